//! Reads any bytes as a weight file. A file that is accepted has all its tensors in bounds, disjoint, and usable; one
//! that is accepted strictly is accepted plainly too, with the same result.

use googlenet::Description;
use googlenet::weights::{Strictness, Weights, parse};

/// Reads `bytes`.
pub fn run(bytes: &[u8]) {
    let strict = parse(bytes, Strictness::Strict);
    let Ok(header) = parse(bytes, Strictness::Plain) else {
        assert!(strict.is_err(), "strict accepts what plain refuses");
        return;
    };
    let mut end = header.data_start;
    for tensor in &header.tensors {
        let len = tensor.shape.iter().product::<usize>() * tensor.dtype.size();
        assert!(end <= tensor.range.start && tensor.range.len() == len);
        end = tensor.range.end;
    }
    assert_eq!(end, bytes.len());
    if let Ok(strict) = strict {
        assert_eq!((&strict.tensors, &strict.metadata), (&header.tensors, &header.metadata));
        assert!(strict.tensors.iter().all(|tensor| tensor.range.start % 64 == 0));
        assert_eq!(strict.metadata["version"] == "2", strict.metadata.contains_key("int8"));
    }

    // Strictly opened, which checks the hash too, the same bytes give an error or a value, and no panic.
    let _ = Weights::from_vec(bytes.to_vec());
    let weights = Weights::from_vec_as(bytes.to_vec(), Strictness::Plain).expect("just parsed");
    assert_eq!(weights.tensors().len(), header.tensors.len());
    for tensor in weights.tensors() {
        let values = tensor.to_f32();
        assert_eq!(values.len() * tensor.dtype().size(), tensor.bytes().len());
        if let Some(same) = tensor.as_f32() {
            assert!(same.iter().zip(values.iter()).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
        tensor.hash();
        assert_eq!(weights.tensor(tensor.name()).map(|t| t.bytes().len()), Some(tensor.bytes().len()));
    }
    if let Ok(description) = Description::read(weights.metadata()) {
        assert!(description.rule.resize >= description.side);
    }
}
