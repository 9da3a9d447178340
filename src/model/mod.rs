//! Networks as data: one typed table of layers, from which shapes, names, costs and the plan all derive.
//!
//! Nothing else in the crate states a layer's size. A table is a [`Network`]: the [`Layer`]s of its trunk, its
//! auxiliary [`Head`]s, and the [`Roles`] that some of its layers have. Each network's file here makes the tables of its
//! published versions, which [`Dialect`] lists; [`googlenet`] makes GoogLeNet's.
//! [`Network::graph`] lowers it for one input side to nodes and activations in execution order. Whoever wants the
//! logits, the features or a head asks the table for them: no other part of the crate knows a layer by its name, but
//! the importers, whose files have names of their own.

mod cost;
mod dialect;
mod googlenet;
mod graph;
mod grid;
mod input;
mod krizhevsky;
mod naive;
#[cfg(test)]
pub(crate) mod small;
mod zeiler_fergus;

pub use cost::{Cost, cost, depth};
pub use dialect::Dialect;
pub use googlenet::googlenet;
pub use graph::{Activation, Graph, Node, Op, Place, WeightRows};
pub use grid::Grid;
pub use input::{Channels, Input};

/// The table of a network: its name, its input, its layers, and what some of them are for.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// The network's name, `googlenet`, which its dialects share.
    pub name: &'static str,
    /// The published version of the network that the table describes.
    pub dialect: Dialect,
    /// The number of channels of the input image.
    pub channels: usize,
    /// How many classes the network tells apart.
    pub classes: usize,
    /// The input side that the shapes of the weights are stated for. Only fully connected layers that see a whole map
    /// depend on it: the network runs only at sides that leave those of its trunk maps of the same size, and a head at
    /// those that leave it one, as [`Network::fits`] and [`Network::head_fits`] say.
    pub side: usize,
    /// The layers of the trunk, in order; the heads' layers are not among them.
    pub layers: Vec<Layer>,
    /// The auxiliary heads that are part of this network, in the order of the layers that they read.
    pub heads: Vec<Head>,
    /// Which layers of the trunk give what a user of the network wants.
    pub roles: Roles,
    /// Whether class 0 stands for no class at all, as slim's "background" does.
    pub background: bool,
}

/// Names of the layers, all of the trunk, that give what a user of the network wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// The classifier: a fully connected layer with an output for each class.
    pub logits: String,
    /// The layer that makes probabilities of the logits.
    pub probabilities: String,
    /// The layer whose output describes a picture whatever the classes, where the network has one.
    pub features: Option<String>,
}

impl Network {
    /// The same network with those of its heads that are named in `heads`, and no others.
    pub fn keep_heads(mut self, heads: &[&str]) -> Network {
        self.heads.retain(|head| heads.contains(&head.name));
        self
    }

    /// The names of the heads, in order.
    pub fn head_names(&self) -> Vec<&'static str> {
        self.heads.iter().map(|head| head.name).collect()
    }

    /// The names of all layers that have an output for each class: the heads' and the trunk's.
    pub fn classifiers(&self) -> impl Iterator<Item = &str> {
        self.heads.iter().map(Head::logits).chain([self.roles.logits.as_str()])
    }
}

/// The smallest input side that leaves every layer of the family a pixel.
pub const MIN_SIDE: usize = 32;

/// The largest input side a plan is made for; beyond it buffer sizes stop being reasonable.
pub const MAX_SIDE: usize = 4096;

/// One layer, with its parameters as fields. No two layers of a network have the same name.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// A convolution with bias, followed by ReLU.
    Conv(Conv),
    /// A max pool.
    MaxPool(MaxPool),
    /// Local response normalisation across channels.
    Lrn(Lrn),
    /// An Inception module: branches over one input, whose outputs are concatenated by channel.
    Inception(Inception),
    /// An average pool: the means of windows.
    AveragePool(AveragePool),
    /// A global average: the mean of each channel.
    GlobalAverage {
        /// The layer's name.
        name: &'static str,
    },
    /// A fully connected layer: a matrix and a bias.
    FullyConnected(FullyConnected),
    /// A softmax, which makes probabilities of logits.
    Softmax {
        /// The layer's name.
        name: &'static str,
    },
}

/// A square convolution with bias, followed by ReLU.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// The layer's name; its tensors are `<name>.weight` and `<name>.bias`.
    pub name: String,
    /// The number of output channels.
    pub oc: usize,
    /// The number of groups into which the channels are divided, at least 1: the first group of output channels sees
    /// the first group of input channels alone, and so on.
    pub groups: usize,
    /// The side of the filters.
    pub kernel: usize,
    /// The distance between the windows of two neighbouring outputs, in pixels of the input.
    pub stride: usize,
    /// The zeros around the input.
    pub padding: Padding,
}

/// A square max pool.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPool {
    /// The layer's name.
    pub name: String,
    /// The side of the windows.
    pub kernel: usize,
    /// The distance between two neighbouring windows, in pixels of the input.
    pub stride: usize,
    /// The padding around the input; a padded pixel is never the maximum.
    pub padding: Padding,
    /// What becomes of a last, incomplete window; there is none if the padding is [`Padding::Same`].
    pub rounding: Rounding,
}

/// An average pool over square windows, or over parts of the map.
#[derive(Clone, Debug, PartialEq)]
pub struct AveragePool {
    /// The layer's name.
    pub name: String,
    /// Where the windows lie.
    pub windows: AverageWindows,
}

/// The windows of an average pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AverageWindows {
    /// Windows of `kernel` by `kernel` pixels every `stride` pixels; a last, incomplete window is kept (Caffe's rule).
    Sliding {
        /// The side of a window.
        kernel: usize,
        /// The distance from one window to the next.
        stride: usize,
    },
    /// This many windows a side, whatever the map's size.
    Adaptive(usize),
}

/// A fully connected layer.
#[derive(Clone, Debug, PartialEq)]
pub struct FullyConnected {
    /// The layer's name; its tensors are `<name>.weight` and `<name>.bias`.
    pub name: String,
    /// The number of outputs of a hidden layer, which ReLU follows; `None` for a classifier, which has an output for
    /// each class and no ReLU.
    pub hidden: Option<usize>,
}

/// An auxiliary classifier over the output of a layer of the trunk (Szegedy et al. 2014, arXiv:1409.4842, section 5).
/// It is part of a network only if its weights are there.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The head's name, which as an endpoint stands for its logits.
    pub name: &'static str,
    /// The layer or the module of the trunk whose output the head reads.
    pub after: String,
    /// The head's layers, in order; the last gives its logits.
    pub layers: Vec<Layer>,
}

impl Head {
    /// The name of the layer that gives the head's logits.
    ///
    /// # Panics
    /// If the head has no layers.
    pub fn logits(&self) -> &str {
        self.layers.last().expect("a head has layers").name()
    }
}

impl Layer {
    /// The layer's name. An Inception module's output has a name of its own, `<name>/output`.
    pub fn name(&self) -> &str {
        match self {
            Layer::Conv(conv) => &conv.name,
            Layer::MaxPool(pool) => &pool.name,
            Layer::Lrn(lrn) => lrn.name,
            Layer::Inception(module) => &module.name,
            Layer::AveragePool(pool) => &pool.name,
            Layer::FullyConnected(layer) => &layer.name,
            Layer::GlobalAverage { name } | Layer::Softmax { name } => name,
        }
    }
}

/// How much is added around an input before windows are laid over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// This many pixels at each edge.
    Around(usize),
    /// As many pixels as `side / stride` windows, rounded up, take in all. Each edge gets half of them, and the end one
    /// more if their number is odd (TensorFlow's `SAME`).
    Same,
}

/// What a pool does with a last window that reaches past the padded input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// The window is left out.
    Floor,
    /// The window is kept, if it begins inside the input or its leading padding (Caffe's rule).
    Ceil,
}

/// Local response normalisation: `y[c] = x[c] / (k + alpha / size * s) ^ beta`, where `s` is the sum of `x^2` over
/// `size` channels around `c`.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are the formula's")]
pub struct Lrn {
    pub name: &'static str,
    pub size: usize,
    pub alpha: f32,
    pub beta: f32,
    pub k: f32,
}

/// An Inception module: each branch is a chain of one layer or more over the module's input, whatever their kinds. The
/// branches' outputs, which must be maps of one size, lie one after the other in the channels of the module's.
#[derive(Clone, Debug, PartialEq)]
pub struct Inception {
    /// The module's name; the name of its output is `<name>/output`.
    pub name: String,
    /// The branches, in the order of their channels in the output.
    pub branches: Vec<Vec<Layer>>,
}

impl Padding {
    /// The number of padded pixels before the first of `side` pixels, under windows of `kernel` pixels every `stride`
    /// pixels.
    fn leading(self, side: usize, kernel: usize, stride: usize) -> usize {
        match self {
            Padding::Around(pad) => pad,
            Padding::Same => ((side.div_ceil(stride) - 1) * stride + kernel).saturating_sub(side) / 2,
        }
    }
}

impl MaxPool {
    /// The output side for an input side.
    pub fn output_side(&self, side: usize) -> usize {
        let Padding::Around(pad) = self.padding else { return side.div_ceil(self.stride) };
        // A window larger than its input still counts as one (Caffe rounds a negative span up to 0).
        let span = (side + 2 * pad).saturating_sub(self.kernel);
        match self.rounding {
            Rounding::Floor => span / self.stride + 1,
            Rounding::Ceil => {
                let out = span.div_ceil(self.stride) + 1;
                if (out - 1) * self.stride >= side + pad { out - 1 } else { out }
            }
        }
    }

    /// The number of padded pixels before the first of `side` pixels.
    pub fn leading(&self, side: usize) -> usize {
        self.padding.leading(side, self.kernel, self.stride)
    }
}

impl AveragePool {
    /// The output side for an input side.
    pub fn output_side(&self, side: usize) -> usize {
        match self.windows {
            AverageWindows::Sliding { kernel, stride } => {
                let out = side.saturating_sub(kernel).div_ceil(stride) + 1;
                // Where windows are further apart than they are long, a last one may begin behind the input.
                if (out - 1) * stride >= side { out - 1 } else { out }
            }
            AverageWindows::Adaptive(n) => n,
        }
    }
}

impl Conv {
    /// The output side for an input side.
    ///
    /// # Panics
    /// If not one window fits into the padded input.
    pub fn output_side(&self, side: usize) -> usize {
        match self.padding {
            Padding::Around(pad) => {
                assert!(side + 2 * pad >= self.kernel, "{}: a window larger than the padded map", self.name);
                (side + 2 * pad - self.kernel) / self.stride + 1
            }
            Padding::Same => side.div_ceil(self.stride),
        }
    }

    /// The number of zeros before the first of `side` pixels.
    pub fn leading(&self, side: usize) -> usize {
        self.padding.leading(side, self.kernel, self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_average_is_of_an_empty_window() {
        for (side, kernel, stride) in (1..20).flat_map(|s| (1..5).flat_map(move |k| (1..7).map(move |t| (s, k, t)))) {
            let pool = AveragePool { name: String::new(), windows: AverageWindows::Sliding { kernel, stride } };
            let last = (pool.output_side(side) - 1) * stride;
            // It begins inside the input, and the next one would not, or all is seen already.
            assert!(last < side && (last + stride >= side || last + kernel >= side), "{side} {kernel} {stride}");
        }
    }

    #[test]
    fn same_padding_is_tensorflows() {
        // A case has a side, a kernel and a stride, then the outputs and the padding before the first pixel, which were
        // computed by hand from TensorFlow's "Notes on padding". A comment beside a case gives the padding at both ends
        // together.
        for (side, kernel, stride, outputs, before) in [
            (224, 7, 2, 112, 2), // 5 in all
            (225, 7, 2, 113, 3), // 6 in all
            (112, 3, 2, 56, 0),  // 1 in all
            (113, 3, 2, 57, 1),  // 2 in all
            (14, 2, 2, 7, 0),
            (15, 2, 2, 8, 0), // 1 in all
            (7, 3, 1, 7, 1),
            (1, 3, 2, 1, 1),
        ] {
            let (name, padding) = (String::new(), Padding::Same);
            let pool = MaxPool { name: name.clone(), kernel, stride, padding, rounding: Rounding::Floor };
            let conv = Conv { name, oc: 1, groups: 1, kernel, stride, padding };
            let sides = [pool.output_side(side), conv.output_side(side)];
            assert_eq!((sides, [pool.leading(side), conv.leading(side)]), ([outputs; 2], [before; 2]), "{side}");
        }
    }
}
