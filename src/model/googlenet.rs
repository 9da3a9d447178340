//! GoogLeNet: Szegedy et al., "Going Deeper with Convolutions", 2014, arXiv:1409.4842, table 1. The fields of
//! [`Differences`] say how its published versions differ; in all else they share one table.
//!
//! | | `bvlc` | `torchvision` | `tf-slim` | `onnx-zoo` |
//! |---|---|---|---|---|
//! | conv1's padding | 3 | 3 | SAME | 3 |
//! | halving pools | round up | round up | SAME | round down |
//! | response normalisation | yes | no | no | yes |
//! | third branch | 5x5 | 3x3 | 3x3 | 5x5 |
//! | last halving pool | 3x3 | 2x2 | 2x2 | 3x3 |
//! | auxiliary heads' average | 5x5/3 | 4x4 parts | no heads | no heads |
//!
//! Sources: Caffe's `models/bvlc_googlenet`; torchvision's `models/googlenet.py`; TensorFlow models' slim
//! `nets/inception_v1.py` and `preprocessing/inception_preprocessing.py`; `inception_v1` of the ONNX model zoo, which
//! was exported from Caffe2, without Caffe's rounding.
//!
//! In every dialect the layers have the names of Caffe's reference model. A name says where in the table its layer
//! stands, and what size its filters have there: so the third branch's convolution is called `5x5` even if a dialect
//! has 3x3 filters in it.

use super::dialect::Published;
use super::{AveragePool, AverageWindows, Conv, Dialect, FullyConnected, Head, Inception, Input};
use super::{Layer, Lrn, MaxPool, Network, Padding, Roles, Rounding};

/// An Inception module: its name, and the output channels of its convolutions by the columns of the paper's table,
/// which are 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
type Module = (&'static str, usize, usize, usize, usize, usize, usize);

const MODULES_3: [Module; 2] = [("3a", 64, 96, 128, 16, 32, 32), ("3b", 128, 128, 192, 32, 96, 64)];
const MODULES_4: [Module; 5] = [
    ("4a", 192, 96, 208, 16, 48, 64),
    ("4b", 160, 112, 224, 24, 64, 64),
    ("4c", 128, 128, 256, 24, 64, 64),
    ("4d", 112, 144, 288, 32, 64, 64),
    ("4e", 256, 160, 320, 32, 128, 128),
];
const MODULES_5: [Module; 2] = [("5a", 256, 160, 320, 32, 128, 128), ("5b", 384, 192, 384, 48, 128, 128)];

/// The auxiliary heads, and the modules whose outputs they read.
const HEADS: [(&str, &str); 2] = [("loss1", "inception_4a"), ("loss2", "inception_4d")];

/// The name of the layer whose output is the features.
const FEATURES: &str = "pool5/7x7_s1";
/// The name of the layer whose output is the logits.
const LOGITS: &str = "loss3/classifier";
/// The name of the layer whose output is the probabilities.
const PROBABILITIES: &str = "prob";

/// The side of the published networks' input.
const SIDE: usize = 224;

/// The BVLC GoogLeNet for `classes` classes, without the auxiliary classifiers of its training.
///
/// ```
/// let graph = googlenet::model::googlenet(1000).graph(224);
/// let place = graph.find("inception_3a/output").expect("a module");
/// assert_eq!(graph.shape(place), [256, 28, 28]);
/// ```
pub fn googlenet(classes: usize) -> Network {
    Dialect::Bvlc.network(classes)
}

/// The properties in which the dialects differ.
struct Differences {
    /// The padding of the first convolution.
    stem: Padding,
    /// The padding of the pools that halve the map.
    padding: Padding,
    /// What the pools that halve the map do with a last, incomplete window.
    rounding: Rounding,
    /// Whether the network has layers of local response normalisation.
    normalised: bool,
    /// The side of the filters in the third branch of an Inception module.
    third: usize,
    /// The side of the windows of the fourth pool that halves the map.
    pool4: usize,
    /// The windows of the auxiliary heads' average pools; `None` if the dialect has no heads.
    heads: Option<AverageWindows>,
    /// Whether class 0 is a background, which stands for no class at all.
    background: bool,
}

const OF_BVLC: Differences = Differences {
    stem: Padding::Around(3),
    padding: Padding::Around(0),
    rounding: Rounding::Ceil,
    normalised: true,
    third: 5,
    pool4: 3,
    heads: Some(AverageWindows::Sliding { kernel: 5, stride: 3 }),
    background: false,
};

const OF_TORCHVISION: Differences =
    Differences { normalised: false, third: 3, pool4: 2, heads: Some(AverageWindows::Adaptive(4)), ..OF_BVLC };

const OF_TF_SLIM: Differences = Differences {
    stem: Padding::Same,
    padding: Padding::Same,
    normalised: false,
    third: 3,
    pool4: 2,
    heads: None,
    background: true,
    ..OF_BVLC
};

const OF_ONNX_ZOO: Differences = Differences { rounding: Rounding::Floor, heads: None, ..OF_BVLC };

pub(super) const BVLC: Published = Published {
    name: "bvlc",
    network: |classes| table(Dialect::Bvlc, &OF_BVLC, classes),
    preset: "short-side",
    undoes: None,
};

pub(super) const TORCHVISION: Published = Published {
    name: "torchvision",
    network: |classes| table(Dialect::Torchvision, &OF_TORCHVISION, classes),
    preset: "torchvision",
    undoes: Some(Input::IMAGENET),
};

pub(super) const TF_SLIM: Published = Published {
    name: "tf-slim",
    network: |classes| table(Dialect::TfSlim, &OF_TF_SLIM, classes),
    preset: "tf-slim",
    undoes: None,
};

pub(super) const ONNX_ZOO: Published = Published {
    name: "onnx-zoo",
    network: |classes| table(Dialect::OnnxZoo, &OF_ONNX_ZOO, classes),
    preset: "short-side",
    undoes: None,
};

/// The table of `dialect`, with all heads that the dialect publishes.
fn table(dialect: Dialect, differences: &Differences, classes: usize) -> Network {
    let halve = |name: &str, kernel: usize| {
        let &Differences { padding, rounding, .. } = differences;
        Layer::MaxPool(MaxPool { name: name.into(), kernel, stride: 2, padding, rounding })
    };
    let lrn = |name: &'static str| {
        let lrn = Lrn { name, size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 };
        differences.normalised.then_some(Layer::Lrn(lrn))
    };
    let mut layers = Vec::new();
    let (name, padding) = ("conv1/7x7_s2".into(), differences.stem);
    layers.push(Layer::Conv(Conv { name, oc: 64, groups: 1, kernel: 7, stride: 2, padding }));
    layers.push(halve("pool1/3x3_s2", 3));
    layers.extend(lrn("pool1/norm1"));
    layers.push(conv("conv2/3x3_reduce", 64, 1));
    layers.push(conv("conv2/3x3", 192, 3));
    layers.extend(lrn("conv2/norm2"));
    layers.push(halve("pool2/3x3_s2", 3));
    layers.extend(MODULES_3.map(|module| inception(differences, module)));
    layers.push(halve("pool3/3x3_s2", 3));
    layers.extend(MODULES_4.map(|module| inception(differences, module)));
    layers.push(halve("pool4/3x3_s2", differences.pool4));
    layers.extend(MODULES_5.map(|module| inception(differences, module)));
    layers.push(Layer::GlobalAverage { name: FEATURES });
    layers.push(fully_connected(LOGITS, None));
    layers.push(Layer::Softmax { name: PROBABILITIES });
    let heads = differences.heads.map(|windows| HEADS.map(|(name, after)| head(name, after, windows)));
    Network {
        name: "googlenet",
        dialect,
        channels: 3,
        classes,
        side: SIDE,
        layers,
        heads: heads.into_iter().flatten().collect(),
        roles: Roles { logits: LOGITS.into(), probabilities: PROBABILITIES.into(), features: Some(FEATURES.into()) },
        background: differences.background,
    }
}

fn fully_connected(name: impl Into<String>, hidden: Option<usize>) -> Layer {
    Layer::FullyConnected(FullyConnected { name: name.into(), hidden })
}

fn head(name: &'static str, after: &str, windows: AverageWindows) -> Head {
    let part = |part: &str| format!("{name}/{part}");
    let layers = vec![
        Layer::AveragePool(AveragePool { name: part("ave_pool"), windows }),
        conv(part("conv"), 128, 1),
        fully_connected(part("fc"), Some(1024)),
        fully_connected(part("classifier"), None),
    ];
    Head { name, after: after.into(), layers }
}

/// A convolution at stride 1 that keeps the map's size.
fn conv(name: impl Into<String>, oc: usize, kernel: usize) -> Layer {
    let padding = Padding::Around(kernel / 2);
    Layer::Conv(Conv { name: name.into(), oc, groups: 1, kernel, stride: 1, padding })
}

fn inception(differences: &Differences, (module, o1, r3, o3, r5, o5, proj): Module) -> Layer {
    let name = format!("inception_{module}");
    let part = |part: &str| format!("{name}/{part}");
    let (padding, rounding) = (Padding::Around(1), Rounding::Ceil);
    let pool = MaxPool { name: part("pool"), kernel: 3, stride: 1, padding, rounding };
    let branches = vec![
        vec![conv(part("1x1"), o1, 1)],
        vec![conv(part("3x3_reduce"), r3, 1), conv(part("3x3"), o3, 3)],
        vec![conv(part("5x5_reduce"), r5, 1), conv(part("5x5"), o5, differences.third)],
        vec![Layer::MaxPool(pool), conv(part("pool_proj"), proj, 1)],
    ];
    Layer::Inception(Inception { name, branches })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Op;

    #[test]
    fn each_dialect_has_its_published_geometry() {
        let cases = [
            (Dialect::Bvlc, [112, 56, 28, 14, 7], 6_998_552, 2),
            // Batch normalisation has four vectors a layer, of which the published figure, 6,624,904, counts two. Here
            // each layer has one vector instead: the biases that the four become.
            (Dialect::Torchvision, [112, 56, 28, 14, 7], 6_624_904 - 7_280, 0),
            (Dialect::TfSlim, [112, 56, 28, 14, 7], 6_624_904 - 7_280, 0),
            (Dialect::OnnxZoo, [112, 55, 27, 13, 6], 6_998_552, 2),
        ];
        for (dialect, maps, parameters, normalised) in cases {
            let network = dialect.network(1000);
            let graph = network.graph(224);
            let side = |name| graph.activations[graph.find(name).expect(name).activation].h;
            let names = ["conv1/7x7_s2", "pool1/3x3_s2", "pool2/3x3_s2", "pool3/3x3_s2", "pool4/3x3_s2"];
            assert_eq!(names.map(side), maps, "{dialect}");
            let sum: u64 = crate::model::cost(&graph).iter().map(|layer| layer.parameters).sum();
            assert_eq!(sum, parameters, "{dialect}");
            let lrn = graph.nodes.iter().filter(|node| matches!(node.op, Op::Lrn(_))).count();
            assert_eq!(lrn, normalised, "{dialect}");
        }
    }
}
