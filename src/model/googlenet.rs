//! GoogLeNet: Szegedy et al., "Going Deeper with Convolutions", 2014, arXiv:1409.4842, table 1.
//!
//! Names are those of Caffe's reference model in every dialect: they say a layer's place in the table, and of what size
//! it is there. So the third branch's convolution is `5x5` where a dialect has 3x3 filters, too.

use super::{AveragePool, AverageWindows, Conv, Dialect, Form, FullyConnected, Head};
use super::{Inception, Layer, Lrn, MaxPool, Network, Padding, Rounding};

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

/// The auxiliary heads, and the modules behind which they stand.
const HEADS: [(&str, &str); 2] = [("loss1", "4a"), ("loss2", "4d")];

/// The BVLC GoogLeNet for `classes` classes, without the auxiliary classifiers of its training.
///
/// ```
/// let graph = googlenet::model::googlenet(1000).graph(224);
/// let place = graph.find("inception_3a/output").expect("a module");
/// assert_eq!((place.channels, graph.tensors[place.tensor].h), (256, 28));
/// ```
pub fn googlenet(classes: usize) -> Network {
    table(Dialect::Bvlc, classes, &[])
}

/// The table of `dialect`, with those of `heads` that it has.
pub(super) fn table(dialect: Dialect, classes: usize, heads: &[&str]) -> Network {
    let form = dialect.form();
    let halve = |name: &str, kernel: usize| {
        let Form { padding, rounding, .. } = form;
        Layer::MaxPool(MaxPool { name: name.into(), kernel, stride: 2, padding, rounding })
    };
    let lrn = |name: &'static str| {
        let lrn = Lrn { name, size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 };
        form.normalised.then_some(Layer::Lrn(lrn))
    };
    let mut layers = Vec::new();
    let (name, padding) = ("conv1/7x7_s2".into(), form.stem);
    layers.push(Layer::Conv(Conv { name, oc: 64, kernel: 7, stride: 2, padding }));
    layers.push(halve("pool1/3x3_s2", 3));
    layers.extend(lrn("pool1/norm1"));
    layers.push(conv("conv2/3x3_reduce", 64, 1));
    layers.push(conv("conv2/3x3", 192, 3));
    layers.extend(lrn("conv2/norm2"));
    layers.push(halve("pool2/3x3_s2", 3));
    layers.extend(MODULES_3.map(|module| inception(&form, module)));
    layers.push(halve("pool3/3x3_s2", 3));
    for module in MODULES_4 {
        layers.push(inception(&form, module));
        let name = HEADS.iter().find(|(_, after)| *after == module.0).map(|&(name, _)| name);
        if let (Some(name), Some(windows)) = (name.filter(|name| heads.contains(name)), form.heads) {
            layers.push(head(name, windows));
        }
    }
    layers.push(halve("pool4/3x3_s2", form.pool4));
    layers.extend(MODULES_5.map(|module| inception(&form, module)));
    layers.push(Layer::GlobalAverage { name: "pool5/7x7_s1" });
    layers.push(fully_connected("loss3/classifier", None));
    layers.push(Layer::Softmax { name: "prob" });
    Network { name: "googlenet", dialect, channels: 3, classes, layers }
}

fn fully_connected(name: impl Into<String>, hidden: Option<usize>) -> Layer {
    Layer::FullyConnected(FullyConnected { name: name.into(), hidden })
}

fn head(name: &'static str, windows: AverageWindows) -> Layer {
    let part = |part: &str| format!("{name}/{part}");
    let layers = vec![
        Layer::AveragePool(AveragePool { name: part("ave_pool"), windows }),
        conv(part("conv"), 128, 1),
        fully_connected(part("fc"), Some(1024)),
        fully_connected(part("classifier"), None),
    ];
    Layer::Head(Head { name, layers })
}

/// A convolution at stride 1 that keeps the map's size.
fn conv(name: impl Into<String>, oc: usize, kernel: usize) -> Layer {
    Layer::Conv(Conv { name: name.into(), oc, kernel, stride: 1, padding: Padding::Around(kernel / 2) })
}

fn inception(form: &Form, (module, o1, r3, o3, r5, o5, proj): Module) -> Layer {
    let name = format!("inception_{module}");
    let part = |part: &str| format!("{name}/{part}");
    let (padding, rounding) = (Padding::Around(1), Rounding::Ceil);
    let pool = MaxPool { name: part("pool"), kernel: 3, stride: 1, padding, rounding };
    let branches = vec![
        vec![conv(part("1x1"), o1, 1)],
        vec![conv(part("3x3_reduce"), r3, 1), conv(part("3x3"), o3, 3)],
        vec![conv(part("5x5_reduce"), r5, 1), conv(part("5x5"), o5, form.third)],
        vec![Layer::MaxPool(pool), conv(part("pool_proj"), proj, 1)],
    ];
    Layer::Inception(Inception { name, branches })
}
