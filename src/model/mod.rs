//! Networks as data: one typed table of layers, from which shapes, names, costs and the plan all derive.
//!
//! Nothing else in the crate states a layer's size. A table is a list of [`Layer`]s ([`googlenet`] makes
//! GoogLeNet's); [`Network::graph`] lowers it for one input side to nodes and tensors in execution order.

mod cost;
mod googlenet;
mod graph;

pub use cost::{Cost, cost};
pub use googlenet::googlenet;
pub use graph::{Graph, Node, Op, Place, Tensor};

/// A network: what it is called, what it eats, and its layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// `googlenet`.
    pub name: &'static str,
    /// Which of its published forms the table describes, as weight files name it: `bvlc`.
    pub dialect: &'static str,
    /// Channels of the input image.
    pub channels: usize,
    /// How many classes it tells apart.
    pub classes: usize,
    /// The layers, in order.
    pub layers: Vec<Layer>,
}

/// The smallest input side that leaves every layer of the family a pixel.
pub const MIN_SIDE: usize = 32;

/// The largest input side a plan is made for; beyond it buffer sizes stop being reasonable.
pub const MAX_SIDE: usize = 4096;

/// One layer, with its parameters as fields; names are those of the Caffe model.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// Convolution, bias, ReLU.
    Conv(Conv),
    /// Max pooling.
    MaxPool(MaxPool),
    /// Local response normalisation across channels.
    Lrn(Lrn),
    /// Branches over one input, concatenated by channel.
    Inception(Inception),
    /// The mean of each channel.
    GlobalAverage {
        /// Its name.
        name: &'static str,
    },
    /// A matrix and a bias; as many outputs as there are classes.
    FullyConnected {
        /// Its name.
        name: &'static str,
    },
    /// Probabilities.
    Softmax {
        /// Its name.
        name: &'static str,
    },
}

/// A square convolution with bias, followed by ReLU.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Its name; its tensors are `<name>.weight` and `<name>.bias`.
    pub name: String,
    /// Output channels.
    pub oc: usize,
    /// Side of the filter.
    pub kernel: usize,
    /// Step between two outputs.
    pub stride: usize,
    /// Zeros around the input.
    pub pad: usize,
}

/// A square max pool.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPool {
    /// Its name.
    pub name: String,
    /// Side of the window.
    pub kernel: usize,
    /// Step between two windows.
    pub stride: usize,
    /// Padding around the input, which never wins.
    pub pad: usize,
    /// How a last, incomplete window counts.
    pub rounding: Rounding,
}

/// What a pool does with a last window that reaches past the padded input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// It is left out.
    Floor,
    /// It is kept, if it begins inside the input or its leading padding (Caffe's rule).
    Ceil,
}

/// `y[c] = x[c] / (k + alpha / size * sum of x^2 over `size` channels around c) ^ beta`.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are the formula's")]
pub struct Lrn {
    pub name: &'static str,
    pub size: usize,
    pub alpha: f32,
    pub beta: f32,
    pub k: f32,
}

/// An Inception module: each branch is a chain of layers over the module's input.
#[derive(Clone, Debug, PartialEq)]
pub struct Inception {
    /// Its name; the output is `<name>/output`.
    pub name: String,
    /// The branches, in the order of their channels in the output.
    pub branches: Vec<Vec<Layer>>,
}

impl MaxPool {
    /// The output side for an input side.
    pub fn output_side(&self, side: usize) -> usize {
        // A window larger than its input still counts as one (Caffe rounds a negative span up to 0).
        let span = (side + 2 * self.pad).saturating_sub(self.kernel);
        match self.rounding {
            Rounding::Floor => span / self.stride + 1,
            Rounding::Ceil => {
                let out = span.div_ceil(self.stride) + 1;
                if (out - 1) * self.stride >= side + self.pad { out - 1 } else { out }
            }
        }
    }
}

impl Conv {
    /// The output side for an input side.
    pub fn output_side(&self, side: usize) -> usize {
        (side + 2 * self.pad - self.kernel) / self.stride + 1
    }
}
