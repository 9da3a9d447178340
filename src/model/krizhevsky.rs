//! Krizhevsky's network: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
//! Networks", NIPS 2012, section 3 and figure 2. The fields of [`Differences`] say how its versions differ; in all else
//! they share one table, whose layers have the names of Caffe's models.
//!
//! | | `krizhevsky` | `bvlc-alexnet` | `caffenet` | `onnx-zoo-alexnet` |
//! |---|---|---|---|---|
//! | after conv1 and conv2 | normalised, pooled | normalised, pooled | pooled, normalised | normalised, pooled |
//! | normalisation's k and alpha | 2, 5e-4 | 1, 1e-4 | 1, 1e-4 | 1, 1e-4 |
//! | pool1, pool2 | round up | round up | round up | round down |
//! | input | 227 | 227 | 227 | 224 |
//!
//! The paper's alpha is 1e-4 and is not divided by the window's 5 channels, as it is here. The paper says that inputs
//! have 224 pixels a side, yet its first maps, of 55, need 227 without padding, which Caffe's models take.
//!
//! The two groups of channels, which the paper spread over two processors, see each other in conv3 and the fully
//! connected layers only. Dropout, which follows two of those in training, does nothing here.
//!
//! Sources: Caffe's `models/bvlc_alexnet` and `models/bvlc_reference_caffenet`; `bvlcalexnet` of the ONNX model zoo.

use super::dialect::Published;
use super::{Conv, Dialect, FullyConnected, Layer, Lrn, MaxPool, Network, Padding, Roles, Rounding};

/// The properties in which the dialects differ.
struct Differences {
    /// The side of the published networks' input.
    side: usize,
    /// The constants k and alpha of the normalisation.
    norm: (f32, f32),
    /// Whether the first two convolutions' outputs are pooled before they are normalised.
    pools_first: bool,
    /// What the first two pools do with a last, incomplete window.
    rounding: Rounding,
}

const OF_CAFFE: Differences =
    Differences { side: 227, norm: (1.0, 1e-4), pools_first: false, rounding: Rounding::Ceil };

const OF_PAPER: Differences = Differences { norm: (2.0, 5e-4), ..OF_CAFFE };

const OF_CAFFENET: Differences = Differences { pools_first: true, ..OF_CAFFE };

const OF_ONNX_ZOO: Differences = Differences { side: 224, rounding: Rounding::Floor, ..OF_CAFFE };

pub(super) const KRIZHEVSKY: Published = Published {
    name: "krizhevsky",
    network: |classes| table(Dialect::Krizhevsky, &OF_PAPER, classes),
    preset: "krizhevsky",
    undoes: None,
};

pub(super) const BVLC_ALEXNET: Published = Published {
    name: "bvlc-alexnet",
    network: |classes| table(Dialect::BvlcAlexnet, &OF_CAFFE, classes),
    preset: "caffenet",
    undoes: None,
};

pub(super) const CAFFENET: Published = Published {
    name: "caffenet",
    network: |classes| table(Dialect::Caffenet, &OF_CAFFENET, classes),
    preset: "caffenet",
    undoes: None,
};

pub(super) const ONNX_ZOO: Published = Published {
    name: "onnx-zoo-alexnet",
    network: |classes| table(Dialect::OnnxZooAlexnet, &OF_ONNX_ZOO, classes),
    preset: "short-side",
    undoes: None,
};

/// The name of the layer whose output is the features: the last hidden layer, of 4096 units.
const FEATURES: &str = "fc7";
/// The name of the layer whose output is the logits.
const LOGITS: &str = "fc8";
/// The name of the layer whose output is the probabilities.
const PROBABILITIES: &str = "prob";

fn table(dialect: Dialect, differences: &Differences, classes: usize) -> Network {
    let &Differences { side, norm: (k, alpha), pools_first, rounding } = differences;
    let lrn = |name| Layer::Lrn(Lrn { name, size: 5, alpha, beta: 0.75, k });
    let in_order = |norm, pool| if pools_first { [pool, norm] } else { [norm, pool] };
    let mut layers = vec![conv("conv1", 96, 1, 11, 4, 0)];
    layers.extend(in_order(lrn("norm1"), pool("pool1", rounding)));
    layers.push(conv("conv2", 256, 2, 5, 1, 2));
    layers.extend(in_order(lrn("norm2"), pool("pool2", rounding)));
    layers.extend([
        conv("conv3", 384, 1, 3, 1, 1),
        conv("conv4", 384, 2, 3, 1, 1),
        conv("conv5", 256, 2, 3, 1, 1),
        pool("pool5", Rounding::Ceil),
        fully_connected("fc6", Some(4096)),
        fully_connected(FEATURES, Some(4096)),
        fully_connected(LOGITS, None),
        Layer::Softmax { name: PROBABILITIES },
    ]);
    Network {
        name: "krizhevsky",
        dialect,
        channels: 3,
        classes,
        side,
        layers,
        heads: Vec::new(),
        roles: Roles { logits: LOGITS.into(), probabilities: PROBABILITIES.into(), features: Some(FEATURES.into()) },
        background: false,
    }
}

fn conv(name: &str, oc: usize, groups: usize, kernel: usize, stride: usize, pad: usize) -> Layer {
    let padding = Padding::Around(pad);
    Layer::Conv(Conv { name: name.into(), oc, groups, kernel, stride, padding })
}

/// A pool of 3x3 windows, each of which overlaps its neighbours by a pixel.
fn pool(name: &str, rounding: Rounding) -> Layer {
    Layer::MaxPool(MaxPool { name: name.into(), kernel: 3, stride: 2, padding: Padding::Around(0), rounding })
}

fn fully_connected(name: &str, hidden: Option<usize>) -> Layer {
    Layer::FullyConnected(FullyConnected { name: name.into(), hidden })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cost;

    #[test]
    fn it_has_sixty_million_parameters() {
        for (dialect, maps) in [
            (Dialect::Krizhevsky, [55, 27, 13, 6]),
            (Dialect::Caffenet, [55, 27, 13, 6]),
            (Dialect::OnnxZooAlexnet, [54, 26, 12, 6]),
        ] {
            let network = dialect.network(1000);
            let graph = network.graph(network.side);
            let side = |name| graph.activations[graph.find(name).expect(name).activation].h;
            assert_eq!(["conv1", "pool1", "pool2", "pool5"].map(side), maps, "{dialect}");
            // The paper says 60 million parameters.
            let parameters: u64 = cost(&graph).iter().map(|layer| layer.parameters).sum();
            assert_eq!(parameters, 60_965_224, "{dialect}");
        }
    }

    #[test]
    fn fully_connected_layers_fix_the_map_not_the_side() {
        let network = Dialect::Caffenet.network(10);
        let fitting: Vec<usize> = (32..=400).filter(|&side| network.fits(side)).collect();
        // Sides whose last pool leaves 6x6.
        assert_eq!(fitting, (199..=230).collect::<Vec<_>>());
    }
}
