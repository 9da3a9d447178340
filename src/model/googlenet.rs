//! GoogLeNet: Szegedy et al., "Going Deeper with Convolutions", 2014, arXiv:1409.4842, table 1.
//!
//! In every dialect the layers have the names of Caffe's reference model. A name says where in the table its layer
//! stands, and what size its filters have there: so the third branch's convolution is called `5x5` even if a dialect
//! has 3x3 filters in it.

use super::{AveragePool, AverageWindows, Conv, Dialect, Differences, FullyConnected, Head};
use super::{Inception, Layer, Lrn, MaxPool, Network, Padding, Roles, Rounding};

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

/// The table of `dialect`, with all heads that the dialect publishes.
pub(super) fn table(dialect: Dialect, classes: usize) -> Network {
    let differences = dialect.differences();
    let halve = |name: &str, kernel: usize| {
        let Differences { padding, rounding, .. } = differences;
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
    layers.extend(MODULES_3.map(|module| inception(&differences, module)));
    layers.push(halve("pool3/3x3_s2", 3));
    layers.extend(MODULES_4.map(|module| inception(&differences, module)));
    layers.push(halve("pool4/3x3_s2", differences.pool4));
    layers.extend(MODULES_5.map(|module| inception(&differences, module)));
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
