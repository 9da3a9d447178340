//! The published versions of GoogLeNet. The fields of [`Differences`] say how they differ; in all else they share one
//! table.
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

use super::{AverageWindows, Input, Network, Padding, Rounding, googlenet};

/// A published version of the network, as weight files name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// `bvlc`: Caffe's reference model.
    Bvlc,
    /// `torchvision`: trained with batch normalisation, which is folded into weights and biases.
    Torchvision,
    /// `tf-slim`: Inception v1 of TensorFlow's slim, whose batch normalisation is folded into weights and biases; class
    /// 0 is the background.
    TfSlim,
    /// `onnx-zoo`: Inception v1 of the ONNX model zoo, whose pools leave incomplete windows out.
    OnnxZoo,
}

/// The properties in which dialects differ from each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Differences {
    /// The padding of the first convolution.
    pub stem: Padding,
    /// The padding of the pools that halve the map.
    pub padding: Padding,
    /// What the pools that halve the map do with a last, incomplete window.
    pub rounding: Rounding,
    /// Whether the network has layers of local response normalisation.
    pub normalised: bool,
    /// The side of the filters in the third branch of an Inception module.
    pub third: usize,
    /// The side of the windows of the fourth pool that halves the map.
    pub pool4: usize,
    /// The windows of the auxiliary heads' average pools; `None` if the dialect has no heads.
    pub heads: Option<AverageWindows>,
    /// Whether class 0 is a background, which stands for no class at all.
    pub background: bool,
    /// The name of the [`Preset`](crate::image::Preset) by which pictures are prepared unless a weight file says
    /// otherwise.
    pub preset: &'static str,
    /// The normalisation that the first nodes of the authors' own graph undo, if it has such nodes: a graph of this
    /// dialect without them was trained on that normalisation itself.
    pub undoes: Option<Input>,
}

impl Dialect {
    /// All dialects that this crate knows.
    pub const ALL: [Dialect; 4] = [Dialect::Bvlc, Dialect::Torchvision, Dialect::TfSlim, Dialect::OnnxZoo];

    /// The dialect's name in weight files.
    pub const fn name(self) -> &'static str {
        match self {
            Dialect::Bvlc => "bvlc",
            Dialect::Torchvision => "torchvision",
            Dialect::TfSlim => "tf-slim",
            Dialect::OnnxZoo => "onnx-zoo",
        }
    }

    /// The dialect that weight files call `name`.
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

    /// The properties of this dialect in which it may differ from others.
    pub const fn differences(self) -> Differences {
        let bvlc = Differences {
            stem: Padding::Around(3),
            padding: Padding::Around(0),
            rounding: Rounding::Ceil,
            normalised: true,
            third: 5,
            pool4: 3,
            heads: Some(AverageWindows::Sliding { kernel: 5, stride: 3 }),
            background: false,
            preset: "short-side",
            undoes: None,
        };
        match self {
            Dialect::Bvlc => bvlc,
            Dialect::Torchvision => Differences {
                normalised: false,
                third: 3,
                pool4: 2,
                heads: Some(AverageWindows::Adaptive(4)),
                preset: "torchvision",
                undoes: Some(Input::IMAGENET),
                ..bvlc
            },
            Dialect::TfSlim => Differences {
                stem: Padding::Same,
                padding: Padding::Same,
                normalised: false,
                third: 3,
                pool4: 2,
                heads: None,
                background: true,
                preset: "tf-slim",
                ..bvlc
            },
            Dialect::OnnxZoo => Differences { rounding: Rounding::Floor, heads: None, ..bvlc },
        }
    }

    /// The network of this dialect for `classes` classes, without auxiliary heads.
    ///
    /// ```
    /// use googlenet::model::Dialect;
    ///
    /// let graph = Dialect::OnnxZoo.network(1000).graph(224);
    /// let pools = ["pool1/3x3_s2", "pool2/3x3_s2", "pool3/3x3_s2", "pool4/3x3_s2"];
    /// let sides = pools.map(|pool| graph.activations[graph.find(pool).expect("a pool").activation].h);
    /// assert_eq!(sides, [55, 27, 13, 6]);
    /// ```
    pub fn network(self, classes: usize) -> Network {
        self.network_with_heads(classes).keep_heads(&[])
    }

    /// The network of this dialect for `classes` classes, with every auxiliary head that the dialect publishes.
    ///
    /// ```
    /// use googlenet::model::Dialect;
    ///
    /// assert_eq!(Dialect::Bvlc.network_with_heads(1000).head_names(), ["loss1", "loss2"]);
    /// assert!(Dialect::TfSlim.network_with_heads(1001).heads.is_empty());
    /// ```
    pub fn network_with_heads(self, classes: usize) -> Network {
        googlenet::table(self, classes)
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
            // Batch normalisation has four vectors a layer, of which the published figure, 6,624,904, counts two. Here
            // each layer has one vector instead: the biases that the four become.
            (Dialect::Torchvision, [112, 56, 28, 14, 7], 6_624_904 - 7_280),
            (Dialect::TfSlim, [112, 56, 28, 14, 7], 6_624_904 - 7_280),
            (Dialect::OnnxZoo, [112, 55, 27, 13, 6], 6_998_552),
        ];
        for (dialect, maps, parameters) in cases {
            let network = dialect.network(1000);
            let graph = network.graph(224);
            let side = |name| graph.activations[graph.find(name).expect(name).activation].h;
            let names = ["conv1/7x7_s2", "pool1/3x3_s2", "pool2/3x3_s2", "pool3/3x3_s2", "pool4/3x3_s2"];
            assert_eq!(names.map(side), maps, "{dialect}");
            let sum: u64 = crate::model::cost(&graph).iter().map(|layer| layer.parameters).sum();
            assert_eq!(sum, parameters, "{dialect}");
            let normalised = graph.nodes.iter().filter(|node| matches!(node.op, Op::Lrn(_))).count();
            assert_eq!(normalised, if dialect.differences().normalised { 2 } else { 0 }, "{dialect}");
        }
    }

    #[test]
    fn names_are_one_to_one() {
        for dialect in Dialect::ALL {
            assert_eq!(Dialect::from_name(&dialect.to_string()), Some(dialect));
        }
    }
}
