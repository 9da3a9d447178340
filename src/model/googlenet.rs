//! GoogLeNet: Szegedy et al., "Going Deeper with Convolutions", 2014, arXiv:1409.4842, table 1.
//!
//! The BVLC dialect is Caffe's reference model: 5x5 third branches, both normalisations, pools that round up.

use super::{Conv, Inception, Layer, Lrn, MaxPool, Network, Rounding};

/// Name, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection: the columns of the paper's table.
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

/// The BVLC GoogLeNet for `classes` classes, without the auxiliary classifiers of its training.
///
/// ```
/// let graph = googlenet::model::googlenet(1000).graph(224);
/// let place = graph.find("inception_3a/output").expect("a module");
/// assert_eq!((place.channels, graph.tensors[place.tensor].h), (256, 28));
/// ```
pub fn googlenet(classes: usize) -> Network {
    let mut layers = vec![
        conv("conv1/7x7_s2", 64, 7, 2),
        halve("pool1/3x3_s2"),
        lrn("pool1/norm1"),
        conv("conv2/3x3_reduce", 64, 1, 1),
        conv("conv2/3x3", 192, 3, 1),
        lrn("conv2/norm2"),
        halve("pool2/3x3_s2"),
    ];
    layers.extend(MODULES_3.map(inception));
    layers.push(halve("pool3/3x3_s2"));
    layers.extend(MODULES_4.map(inception));
    layers.push(halve("pool4/3x3_s2"));
    layers.extend(MODULES_5.map(inception));
    layers.push(Layer::GlobalAverage { name: "pool5/7x7_s1" });
    layers.push(Layer::FullyConnected { name: "loss3/classifier" });
    layers.push(Layer::Softmax { name: "prob" });
    Network { name: "googlenet", dialect: "bvlc", channels: 3, classes, layers }
}

fn conv(name: impl Into<String>, oc: usize, kernel: usize, stride: usize) -> Layer {
    Layer::Conv(Conv { name: name.into(), oc, kernel, stride, pad: kernel / 2 })
}

fn halve(name: &str) -> Layer {
    Layer::MaxPool(MaxPool { name: name.into(), kernel: 3, stride: 2, pad: 0, rounding: Rounding::Ceil })
}

fn lrn(name: &'static str) -> Layer {
    Layer::Lrn(Lrn { name, size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 })
}

fn inception((module, o1, r3, o3, r5, o5, proj): Module) -> Layer {
    let name = format!("inception_{module}");
    let part = |part: &str| format!("{name}/{part}");
    let pool = MaxPool { name: part("pool"), kernel: 3, stride: 1, pad: 1, rounding: Rounding::Ceil };
    let branches = vec![
        vec![conv(part("1x1"), o1, 1, 1)],
        vec![conv(part("3x3_reduce"), r3, 1, 1), conv(part("3x3"), o3, 3, 1)],
        vec![conv(part("5x5_reduce"), r5, 1, 1), conv(part("5x5"), o5, 5, 1)],
        vec![Layer::MaxPool(pool), conv(part("pool_proj"), proj, 1, 1)],
    ];
    Layer::Inception(Inception { name, branches })
}
