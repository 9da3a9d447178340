//! The Zeiler-Fergus network: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2013,
//! arXiv:1311.2901, figure 3: one tower, whose first filters are smaller and denser than Krizhevsky's. The fields of
//! [`Differences`] say how its versions differ; in all else they share one table, whose layers have the names of
//! Caffe's models.
//!
//! | | `zeiler-fergus` | `zfnet512` |
//! |---|---|---|
//! | conv1's padding | 1 | 0 |
//! | conv3, conv4, conv5 | 384, 384, 256 | 512, 512, 512 |
//! | pools | round up | round down |
//! | pool5 | 3x3/2 | 2x2/2 |
//! | fc6, fc7 | 4096, 4096 | 4096, 1024 |
//!
//! The figure gives maps of 110, 55, 26, 13 and 6, which follow from this padding and rounding. It calls the layers
//! between "contrast normalised across feature maps" and gives no constants: these are those of `zfnet512`, Krizhevsky's
//! own.
//!
//! Source of `zfnet512`: the graph of that name of the ONNX model zoo.

use super::dialect::Published;
use super::{Conv, Dialect, FullyConnected, Layer, Lrn, MaxPool, Network, Padding, Roles, Rounding};

/// The properties in which the dialects differ.
struct Differences {
    /// The padding of the first convolution.
    stem: usize,
    /// The output channels of the last three convolutions.
    widths: [usize; 3],
    /// What the pools do with a last, incomplete window.
    rounding: Rounding,
    /// The side of the windows of the last pool.
    pool5: usize,
    /// The units of the hidden fully connected layers.
    hidden: [usize; 2],
}

const OF_PAPER: Differences =
    Differences { stem: 1, widths: [384, 384, 256], rounding: Rounding::Ceil, pool5: 3, hidden: [4096, 4096] };

const OF_ZFNET512: Differences =
    Differences { stem: 0, widths: [512; 3], rounding: Rounding::Floor, pool5: 2, hidden: [4096, 1024] };

pub(super) const ZEILER_FERGUS: Published = Published {
    name: "zeiler-fergus",
    network: |classes| table(Dialect::ZeilerFergus, &OF_PAPER, classes),
    preset: "short-side",
    undoes: None,
};

pub(super) const ZFNET512: Published = Published {
    name: "zfnet512",
    network: |classes| table(Dialect::Zfnet512, &OF_ZFNET512, classes),
    preset: "short-side",
    undoes: None,
};

/// The side of the published networks' input.
const SIDE: usize = 224;
/// The name of the layer whose output is the features: the last hidden layer.
const FEATURES: &str = "fc7";
/// The name of the layer whose output is the logits.
const LOGITS: &str = "fc8";
/// The name of the layer whose output is the probabilities.
const PROBABILITIES: &str = "prob";

fn table(dialect: Dialect, differences: &Differences, classes: usize) -> Network {
    let &Differences { stem, widths: [w3, w4, w5], rounding, pool5, hidden: [h6, h7] } = differences;
    let lrn = |name| Layer::Lrn(Lrn { name, size: 5, alpha: 5e-4, beta: 0.75, k: 2.0 });
    let pool = |name: &str, kernel| {
        Layer::MaxPool(MaxPool { name: name.into(), kernel, stride: 2, padding: Padding::Around(0), rounding })
    };
    let layers = vec![
        conv("conv1", 96, 7, 2, stem),
        lrn("norm1"),
        pool("pool1", 3),
        conv("conv2", 256, 5, 2, 0),
        lrn("norm2"),
        pool("pool2", 3),
        conv("conv3", w3, 3, 1, 1),
        conv("conv4", w4, 3, 1, 1),
        conv("conv5", w5, 3, 1, 1),
        pool("pool5", pool5),
        fully_connected("fc6", Some(h6)),
        fully_connected(FEATURES, Some(h7)),
        fully_connected(LOGITS, None),
        Layer::Softmax { name: PROBABILITIES },
    ];
    Network {
        name: "zeiler-fergus",
        dialect,
        channels: 3,
        classes,
        side: SIDE,
        layers,
        heads: Vec::new(),
        roles: Roles { logits: LOGITS.into(), probabilities: PROBABILITIES.into(), features: Some(FEATURES.into()) },
        background: false,
    }
}

fn conv(name: &str, oc: usize, kernel: usize, stride: usize, pad: usize) -> Layer {
    let padding = Padding::Around(pad);
    Layer::Conv(Conv { name: name.into(), oc, groups: 1, kernel, stride, padding })
}

fn fully_connected(name: &str, hidden: Option<usize>) -> Layer {
    Layer::FullyConnected(FullyConnected { name: name.into(), hidden })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_those_of_the_figure_and_of_the_graph() {
        for (dialect, maps) in
            [(Dialect::ZeilerFergus, [110, 55, 26, 13, 6]), (Dialect::Zfnet512, [109, 54, 25, 12, 6])]
        {
            let graph = dialect.network(1000).graph(SIDE);
            let side = |name| graph.activations[graph.find(name).expect(name).activation].h;
            assert_eq!(["conv1", "pool1", "conv2", "pool2", "pool5"].map(side), maps, "{dialect}");
        }
    }
}
