//! A small network for tests, with what GoogLeNet has not: groups, and a branch that ends in a pool.

use super::{AveragePool, AverageWindows, Conv, Dialect, FullyConnected, Head, Inception, Layer, Lrn};
use super::{MaxPool, Network, Padding, Roles, Rounding};

/// A network of five classes for inputs of 32x32, with two heads: `hidden`, whose matrices are made for that side, and
/// `plain`, which runs at any side.
pub(crate) fn small() -> Network {
    let layers = vec![
        conv("conv1", 16, 1, (5, 2)),
        pool("pool1", 2, Padding::Around(0)),
        Layer::Lrn(Lrn { name: "norm1", size: 5, alpha: 1e-2, beta: 0.75, k: 1.0 }),
        conv("conv2", 24, 2, (3, 1)),
        module(
            "mixed1",
            vec![
                vec![conv("mixed1/1x1", 8, 1, (1, 1))],
                vec![conv("mixed1/3x3_reduce", 10, 1, (1, 1)), conv("mixed1/3x3", 12, 1, (3, 1))],
                vec![pool("mixed1/pool", 1, Padding::Around(1))],
                vec![pool("mixed1/proj_pool", 1, Padding::Around(1)), conv("mixed1/proj", 6, 1, (1, 1))],
            ],
        ),
        module(
            "mixed2",
            vec![
                vec![pool("mixed2/pool", 2, Padding::Same)],
                vec![conv("mixed2/5x5_reduce", 6, 1, (1, 1)), conv("mixed2/5x5", 12, 3, (5, 2))],
            ],
        ),
        Layer::GlobalAverage { name: "average" },
        fully_connected("classifier", None),
        Layer::Softmax { name: "probabilities" },
    ];
    let average = |name: &str, windows| Layer::AveragePool(AveragePool { name: name.into(), windows });
    let hidden = vec![
        average("hidden/average", AverageWindows::Sliding { kernel: 3, stride: 2 }),
        conv("hidden/conv", 7, 1, (1, 1)),
        fully_connected("hidden/dense", Some(20)),
        fully_connected("hidden/classifier", None),
    ];
    let plain = vec![average("plain/average", AverageWindows::Adaptive(2)), fully_connected("plain/classifier", None)];
    Network {
        name: "small",
        dialect: Dialect::Bvlc,
        channels: 3,
        classes: 5,
        side: 32,
        layers,
        heads: vec![
            Head { name: "plain", after: "conv2".into(), layers: plain },
            Head { name: "hidden", after: "mixed1".into(), layers: hidden },
        ],
        roles: Roles {
            logits: "classifier".into(),
            probabilities: "probabilities".into(),
            features: Some("average".into()),
        },
        background: false,
    }
}

fn conv(name: &str, oc: usize, groups: usize, (kernel, stride): (usize, usize)) -> Layer {
    let padding = Padding::Around(kernel / 2);
    Layer::Conv(Conv { name: name.into(), oc, groups, kernel, stride, padding })
}

/// A max pool of 3x3 windows.
fn pool(name: &str, stride: usize, padding: Padding) -> Layer {
    Layer::MaxPool(MaxPool { name: name.into(), kernel: 3, stride, padding, rounding: Rounding::Ceil })
}

fn module(name: &str, branches: Vec<Vec<Layer>>) -> Layer {
    Layer::Inception(Inception { name: name.into(), branches })
}

fn fully_connected(name: &str, hidden: Option<usize>) -> Layer {
    Layer::FullyConnected(FullyConnected { name: name.into(), hidden })
}
