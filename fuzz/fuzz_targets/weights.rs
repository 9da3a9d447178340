//! Any bytes as a weights file. What is accepted has all its tensors in bounds, disjoint, and usable; what the strict
//! profile accepts, the plain one accepts with the same result.
#![no_main]

use googlenet::Description;
use googlenet::weights::{Profile, Weights, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let strict = parse(bytes, Profile::Strict);
    let Ok(header) = parse(bytes, Profile::Plain) else {
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
    }

    // The same bytes with the hash check on top: an error or a value, no panic.
    let _ = Weights::from_vec(bytes.to_vec());
    let weights = Weights::from_vec_as(bytes.to_vec(), Profile::Plain).expect("just parsed");
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
});
