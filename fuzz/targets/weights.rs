//! Reads any bytes as a weight file. A file that is accepted has all its tensors in bounds, disjoint, and usable; one
//! that is accepted strictly is accepted plainly too, with the same result. The same bytes as the values of a quantised file
//! of a small network give an error or a model whose sessions run.

use std::collections::BTreeMap;

use googlenet::model::{Conv, Dialect, FullyConnected, Layer, Network, Padding, Roles};
use googlenet::weights::{Dtype, NewTensor, Strictness, Weights, encode, parse};
use googlenet::{Description, Model, Options, Precision};

/// Reads `bytes`.
pub fn run(bytes: &[u8]) {
    quantised(bytes);
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

/// Two convolutions, of which the second can compute in integers, and a classifier.
fn network() -> Network {
    let conv = |name: &str, kernel, stride| {
        let padding = Padding::Around(kernel / 2);
        Layer::Conv(Conv { name: name.into(), oc: 4, groups: 1, kernel, stride, padding })
    };
    Network {
        name: "fuzzed",
        dialect: Dialect::Bvlc,
        channels: 3,
        classes: 2,
        side: 32,
        layers: vec![
            conv("a", 1, 4),
            conv("b", 3, 1),
            Layer::GlobalAverage { name: "average" },
            Layer::FullyConnected(FullyConnected { name: "classifier".into(), hidden: None }),
            Layer::Softmax { name: "probabilities" },
        ],
        heads: Vec::new(),
        roles: Roles { logits: "classifier".into(), probabilities: "probabilities".into(), features: None },
        background: false,
    }
}

/// A quantised file whose values are `bytes`, over and over, is refused, or runs in every precision.
fn quantised(bytes: &[u8]) {
    let (values, _) = bytes.as_chunks::<4>();
    if values.is_empty() {
        return;
    }
    let mut values = values.iter().map(|&value| f32::from_le_bytes(value)).cycle();
    let mut shapes = network().parameters();
    shapes.extend(["a", "b"].map(|layer| (format!("{layer}.output_scale"), vec![1])));
    shapes.extend(["weight_scale", "int8_bias"].map(|what| (format!("b.{what}"), vec![4])));
    let tensors: Vec<_> = shapes
        .iter()
        .map(|(name, shape)| {
            let values: Vec<f32> = values.by_ref().take(shape.iter().product()).collect();
            NewTensor { name, shape, dtype: Dtype::F32, values: values.into() }
        })
        .collect();
    let pairs = [
        ("dialect", "bvlc"),
        ("input_side", "32"),
        ("channels", "rgb"),
        ("mean", "0,0,0"),
        ("std", "1,1,1"),
        ("resize", "32"),
        ("int8", "1"),
    ];
    let metadata: BTreeMap<_, _> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let file = encode(&metadata, &tensors).expect("any values can be written");
    let Ok(model) = Model::with_network(Weights::from_vec(file).expect("just written"), network()) else { return };
    for precision in Precision::ALL {
        match model.session(Options::new().precision(precision)) {
            Ok(mut session) => {
                session.input_mut().fill(1.0);
                session.run();
            }
            Err(error) => assert_eq!(precision, Precision::Int8, "{error}"),
        }
    }
}
