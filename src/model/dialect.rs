//! Published versions of the networks, by the names that weight files have for them.
//!
//! What a dialect is stands in the file of its network's table, as a [`Published`].

use std::fmt;

use super::{Input, Network, googlenet, krizhevsky, naive, zeiler_fergus};

/// A published version of a network, as weight files name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// `bvlc`: GoogLeNet, Caffe's reference model.
    Bvlc,
    /// `torchvision`: GoogLeNet, trained with batch normalisation, which is folded into weights and biases.
    Torchvision,
    /// `tf-slim`: GoogLeNet as Inception v1 of TensorFlow's slim, whose batch normalisation is folded into weights and
    /// biases; class 0 is the background.
    TfSlim,
    /// `onnx-zoo`: GoogLeNet as Inception v1 of the ONNX model zoo, whose pools leave incomplete windows out.
    OnnxZoo,
    /// `naive`: GoogLeNet's widths in naive Inception modules, without reductions.
    Naive,
    /// `krizhevsky`: Krizhevsky's network of 2012, with the paper's normalisation.
    Krizhevsky,
    /// `bvlc-alexnet`: Krizhevsky's network, Caffe's replication.
    BvlcAlexnet,
    /// `caffenet`: Krizhevsky's network, Caffe's reference model, which pools before it normalises.
    Caffenet,
    /// `onnx-zoo-alexnet`: Krizhevsky's network, Caffe's replication as the ONNX model zoo has it, whose first pools
    /// leave incomplete windows out.
    OnnxZooAlexnet,
    /// `zeiler-fergus`: the Zeiler-Fergus network of 2013.
    ZeilerFergus,
    /// `zfnet512`: the Zeiler-Fergus network, a wider version of the ONNX model zoo.
    Zfnet512,
}

/// What a network's own file says of one of its dialects.
pub(super) struct Published {
    /// The name in weight files.
    pub name: &'static str,
    /// The table for a number of classes, with every auxiliary head that is published.
    pub network: fn(usize) -> Network,
    /// The name of the [`Preset`](crate::image::Preset) by which pictures are prepared unless a weight file says
    /// otherwise.
    pub preset: &'static str,
    /// The normalisation that the first nodes of the authors' own graph undo, if it has such nodes.
    pub undoes: Option<Input>,
}

impl Dialect {
    /// All dialects that this crate knows.
    pub const ALL: [Dialect; 11] = [
        Dialect::Bvlc,
        Dialect::Torchvision,
        Dialect::TfSlim,
        Dialect::OnnxZoo,
        Dialect::Naive,
        Dialect::Krizhevsky,
        Dialect::BvlcAlexnet,
        Dialect::Caffenet,
        Dialect::OnnxZooAlexnet,
        Dialect::ZeilerFergus,
        Dialect::Zfnet512,
    ];

    /// The dialects of GoogLeNet.
    pub const GOOGLENET: [Dialect; 4] = [Dialect::Bvlc, Dialect::Torchvision, Dialect::TfSlim, Dialect::OnnxZoo];

    const fn published(self) -> &'static Published {
        match self {
            Dialect::Bvlc => &googlenet::BVLC,
            Dialect::Torchvision => &googlenet::TORCHVISION,
            Dialect::TfSlim => &googlenet::TF_SLIM,
            Dialect::OnnxZoo => &googlenet::ONNX_ZOO,
            Dialect::Naive => &naive::NAIVE,
            Dialect::Krizhevsky => &krizhevsky::KRIZHEVSKY,
            Dialect::BvlcAlexnet => &krizhevsky::BVLC_ALEXNET,
            Dialect::Caffenet => &krizhevsky::CAFFENET,
            Dialect::OnnxZooAlexnet => &krizhevsky::ONNX_ZOO,
            Dialect::ZeilerFergus => &zeiler_fergus::ZEILER_FERGUS,
            Dialect::Zfnet512 => &zeiler_fergus::ZFNET512,
        }
    }

    /// The dialect's name in weight files.
    pub const fn name(self) -> &'static str {
        self.published().name
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

    /// The name of the [`Preset`](crate::image::Preset) by which pictures are prepared unless a weight file says
    /// otherwise.
    pub const fn preset(self) -> &'static str {
        self.published().preset
    }

    /// The normalisation that the first nodes of the authors' own graph undo, if it has such nodes: a graph of this
    /// dialect without them was trained on that normalisation itself.
    pub const fn undoes(self) -> Option<Input> {
        self.published().undoes
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
        (self.published().network)(classes)
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
    use crate::image::Preset;

    #[test]
    fn names_are_one_to_one() {
        for dialect in Dialect::ALL {
            assert_eq!(Dialect::from_name(&dialect.to_string()), Some(dialect));
        }
    }

    #[test]
    fn every_dialect_has_a_table_of_its_own_and_a_preset() {
        for dialect in Dialect::ALL {
            let network = dialect.network_with_heads(5);
            assert_eq!((network.dialect, network.classes), (dialect, 5));
            assert!(network.fits(network.side) && Preset::from_name(dialect.preset()).is_some(), "{dialect}");
            assert_eq!(Dialect::GOOGLENET.contains(&dialect), network.name == "googlenet", "{dialect}");
        }
    }
}
