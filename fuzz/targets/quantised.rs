//! Any bytes as the values of a quantised file of a small network, over and over: it is refused, or a model whose sessions
//! run in every precision.

use std::collections::BTreeMap;

use googlenet::model::{Conv, Dialect, FullyConnected, Layer, Network, Padding, Roles};
use googlenet::weights::{Dtype, NewTensor, Weights, encode};
use googlenet::{Model, Options, Precision};

/// Makes a file of `bytes`, opens it, and runs what opens.
pub fn run(bytes: &[u8]) {
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
