//! The forms in which GoogLeNet is published. What differs between them is a [`Form`]'s fields; all else is one table.
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

use std::fmt;

use super::{AverageWindows, Network, Padding, Rounding, googlenet};

/// A published form of the network, as weight files name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// `bvlc`: Caffe's reference model.
    Bvlc,
    /// `torchvision`: trained with batch normalisation, which is folded into weights and biases.
    Torchvision,
    /// `tf-slim`: Inception v1 of TensorFlow's slim; batch normalisation folded, class 0 the background.
    TfSlim,
    /// `onnx-zoo`: Inception v1 of the ONNX model zoo, whose pools leave incomplete windows out.
    OnnxZoo,
}

/// What one dialect does in its own way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Form {
    /// Of the first convolution.
    pub stem: Padding,
    /// Of the pools that halve the map.
    pub padding: Padding,
    /// Of those pools.
    pub rounding: Rounding,
    /// Whether there is local response normalisation.
    pub normalised: bool,
    /// Side of the third branch's filters.
    pub third: usize,
    /// Side of the fourth halving pool's windows.
    pub pool4: usize,
    /// Of the auxiliary heads, where it has any.
    pub heads: Option<AverageWindows>,
    /// What its authors feed it.
    pub input: Input,
}

/// How pictures become input, unless a weight file says otherwise: `(pixel - mean) / std`, pixels of 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Input {
    /// Order of the channels: `bgr` or `rgb`.
    pub channels: &'static str,
    /// By channel, in that order.
    pub mean: [f32; 3],
    /// By channel, in that order.
    pub std: [f32; 3],
}

impl Dialect {
    /// All that are known.
    pub const ALL: [Dialect; 4] = [Dialect::Bvlc, Dialect::Torchvision, Dialect::TfSlim, Dialect::OnnxZoo];

    /// The name in weight files.
    pub const fn name(self) -> &'static str {
        match self {
            Dialect::Bvlc => "bvlc",
            Dialect::Torchvision => "torchvision",
            Dialect::TfSlim => "tf-slim",
            Dialect::OnnxZoo => "onnx-zoo",
        }
    }

    /// The dialect of that name.
    ///
    /// ```
    /// use googlenet::model::Dialect;
    ///
    /// assert_eq!(Dialect::from_name("tf-slim"), Some(Dialect::TfSlim));
    /// assert_eq!(Dialect::from_name("caffe"), None);
    /// ```
    pub fn from_name(name: &str) -> Option<Dialect> {
        Dialect::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// What it does in its own way.
    pub const fn form(self) -> Form {
        let caffe = Input { channels: "bgr", mean: [104.0, 117.0, 123.0], std: [1.0; 3] };
        // From -1 to 1: 2 x / 255 - 1.
        let symmetric = Input { channels: "rgb", mean: [127.5; 3], std: [127.5; 3] };
        let bvlc = Form {
            stem: Padding::Around(3),
            padding: Padding::Around(0),
            rounding: Rounding::Ceil,
            normalised: true,
            third: 5,
            pool4: 3,
            heads: Some(AverageWindows::Sliding { kernel: 5, stride: 3 }),
            input: caffe,
        };
        match self {
            Dialect::Bvlc => bvlc,
            // The published weights' authors normalise by ImageNet's statistics, and the network undoes that.
            Dialect::Torchvision => Form {
                normalised: false,
                third: 3,
                pool4: 2,
                heads: Some(AverageWindows::Adaptive(4)),
                input: symmetric,
                ..bvlc
            },
            Dialect::TfSlim => Form {
                stem: Padding::Same,
                padding: Padding::Same,
                normalised: false,
                third: 3,
                pool4: 2,
                heads: None,
                input: symmetric,
                ..bvlc
            },
            Dialect::OnnxZoo => Form { rounding: Rounding::Floor, heads: None, ..bvlc },
        }
    }

    /// The network of this dialect for `classes` classes.
    ///
    /// ```
    /// use googlenet::model::Dialect;
    ///
    /// let graph = Dialect::OnnxZoo.network(1000).graph(224);
    /// let pools = ["pool1/3x3_s2", "pool2/3x3_s2", "pool3/3x3_s2", "pool4/3x3_s2"];
    /// let sides = pools.map(|pool| graph.tensors[graph.find(pool).expect("a pool").tensor].h);
    /// assert_eq!(sides, [55, 27, 13, 6]);
    /// ```
    pub fn network(self, classes: usize) -> Network {
        googlenet::table(self, classes, &[])
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Op;

    #[test]
    fn each_dialect_has_its_published_geometry() {
        let cases = [
            (Dialect::Bvlc, [112, 56, 28, 14, 7], 6_998_552),
            // Without batch normalisation's four vectors a layer, with the biases they become; the published figure,
            // 6,624,904, counts two of them a layer.
            (Dialect::Torchvision, [112, 56, 28, 14, 7], 6_624_904 - 7_280),
            (Dialect::TfSlim, [112, 56, 28, 14, 7], 6_624_904 - 7_280),
            (Dialect::OnnxZoo, [112, 55, 27, 13, 6], 6_998_552),
        ];
        for (dialect, maps, parameters) in cases {
            let network = dialect.network(1000);
            let graph = network.graph(224);
            let side = |name| graph.tensors[graph.find(name).expect(name).tensor].h;
            let names = ["conv1/7x7_s2", "pool1/3x3_s2", "pool2/3x3_s2", "pool3/3x3_s2", "pool4/3x3_s2"];
            assert_eq!(names.map(side), maps, "{dialect}");
            let sum: u64 = crate::model::cost(&graph).iter().map(|layer| layer.parameters).sum();
            assert_eq!(sum, parameters, "{dialect}");
            let normalised = graph.nodes.iter().filter(|node| matches!(node.op, Op::Lrn(_))).count();
            assert_eq!(normalised, if dialect.form().normalised { 2 } else { 0 }, "{dialect}");
        }
    }

    #[test]
    fn names_are_one_to_one() {
        for dialect in Dialect::ALL {
            assert_eq!(Dialect::from_name(&dialect.to_string()), Some(dialect));
        }
    }
}
