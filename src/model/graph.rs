//! The table, lowered for one input side: nodes over tensors, in an order in which they can run.
//!
//! An Inception module's last layers write straight into their channels of the module's output: a [`Place`] is a
//! tensor and the channel a node's output begins at. No concatenation exists.

use googlenet_kernels::conv::ConvShape;

use super::{AveragePool, Layer, Lrn, MaxPool, Network};

/// A network at one input side.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Every tensor; the first is the input.
    pub tensors: Vec<Tensor>,
    /// Every node, in execution order; the last three give the pooled features, the logits and the probabilities.
    pub nodes: Vec<Node>,
}

/// A value between layers: `[c, h, w]` for each image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// The name of the layer that makes it; for a module, `<module>/output`.
    pub name: String,
    /// Channels.
    pub c: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
}

impl Tensor {
    /// Elements of a channel.
    pub fn plane(&self) -> usize {
        self.h * self.w
    }

    /// Elements of an image.
    pub fn len(&self) -> usize {
        self.c * self.plane()
    }

    /// Whether it has no elements; no tensor of a graph does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where a node's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the tensor.
    pub tensor: usize,
    /// The first of its channels that the node writes.
    pub channel: usize,
    /// How many it writes.
    pub channels: usize,
}

/// One layer at work.
#[derive(Clone, Debug)]
pub struct Node {
    /// The layer's name.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// Index of the tensor it reads, whole.
    pub input: usize,
    /// What it writes.
    pub output: Place,
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum Op {
    /// Convolution, bias, ReLU.
    Conv(ConvShape),
    /// Max pooling.
    MaxPool(MaxPool),
    /// Local response normalisation.
    Lrn(Lrn),
    /// Means of windows.
    AveragePool(AveragePool),
    /// The mean of each channel.
    GlobalAverage,
    /// Matrix and bias.
    FullyConnected {
        /// Whether ReLU follows.
        relu: bool,
    },
    /// Probabilities.
    Softmax,
}

impl Network {
    /// Lowers the table for images of `side` by `side` pixels, without auxiliary heads.
    ///
    /// # Panics
    /// If `side` is not in [`super::MIN_SIDE`]`..=`[`super::MAX_SIDE`].
    pub fn graph(&self, side: usize) -> Graph {
        self.graph_with(side, &[])
    }

    /// The same with those heads of the network whose names are in `heads`, each after the module that it reads.
    ///
    /// # Panics
    /// As [`Network::graph`].
    pub fn graph_with(&self, side: usize, heads: &[&str]) -> Graph {
        assert!((super::MIN_SIDE..=super::MAX_SIDE).contains(&side), "input side {side}");
        let input = Tensor { name: "data".into(), c: self.channels, h: side, w: side };
        let mut graph = Graph { tensors: vec![input], nodes: Vec::new() };
        let mut last = 0;
        for layer in &self.layers {
            match layer {
                Layer::Head(head) if heads.contains(&head.name) => {
                    let lower = |last, layer| graph.lower(layer, last, None, self.classes);
                    head.layers.iter().fold(last, lower);
                }
                Layer::Head(_) => {}
                layer => last = graph.lower(layer, last, None, self.classes),
            }
        }
        graph
    }

    /// The names of its auxiliary heads, in order.
    pub fn heads(&self) -> Vec<&'static str> {
        let name = |layer: &Layer| if let Layer::Head(head) = layer { Some(head.name) } else { None };
        self.layers.iter().filter_map(name).collect()
    }

    /// Whether its head `name` can run at `side`: its matrix is made for one size of the map before it.
    ///
    /// ```
    /// use googlenet::model::Dialect;
    ///
    /// let network = Dialect::Bvlc.network(1000).with_heads(&["loss1"]);
    /// assert!(network.head_fits("loss1", 224) && !network.head_fits("loss1", 256));
    /// ```
    ///
    /// # Panics
    /// As [`Network::graph`].
    pub fn head_fits(&self, name: &str, side: usize) -> bool {
        let graph = self.graph_with(side, &[name]);
        let first = graph.nodes.iter().find(|node| matches!(node.op, Op::FullyConnected { relu: true }));
        first.is_some_and(|node| graph.tensors[node.input].plane() == HEAD_MAP * HEAD_MAP)
    }

    /// Name and shape of every tensor of weights, in the nodes' order: `<layer>.weight`, `[oc, ic, kh, kw]` or, of the
    /// classifier, `[classes, channels]`, then `<layer>.bias`, `[oc]`.
    ///
    /// ```
    /// let parameters = googlenet::model::googlenet(1000).parameters();
    /// assert_eq!(parameters[0], ("conv1/7x7_s2.weight".to_owned(), vec![64, 3, 7, 7]));
    /// assert_eq!(parameters[115], ("loss3/classifier.bias".to_owned(), vec![1000]));
    /// ```
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let graph = self.graph_with(SIDE, &self.heads());
        let tensors = graph.nodes.iter().filter_map(|node| {
            let shape = match &node.op {
                Op::Conv(conv) => vec![conv.oc, conv.ic, conv.kh, conv.kw],
                Op::FullyConnected { .. } => vec![node.output.channels, graph.tensors[node.input].len()],
                _ => return None,
            };
            let bias = vec![shape[0]];
            Some([(format!("{}.weight", node.name), shape), (format!("{}.bias", node.name), bias)])
        });
        tensors.flatten().collect()
    }
}

impl Graph {
    /// Adds `layer` over tensor `input`; its output goes to `place`, or to a tensor of its own. Returns the tensor.
    fn lower(&mut self, layer: &Layer, input: usize, place: Option<Place>, classes: usize) -> usize {
        let x = self.tensors[input].clone();
        let (name, op, c, h, w) = match layer {
            Layer::Conv(conv) => {
                let (oh, ow) = (conv.output_side(x.h), conv.output_side(x.w));
                let shape = ConvShape {
                    ic: x.c,
                    ih: x.h,
                    iw: x.w,
                    oc: conv.oc,
                    oh,
                    ow,
                    kh: conv.kernel,
                    kw: conv.kernel,
                    stride_h: conv.stride,
                    stride_w: conv.stride,
                    pad_t: conv.leading(x.h),
                    pad_l: conv.leading(x.w),
                };
                (conv.name.as_str(), Op::Conv(shape), conv.oc, oh, ow)
            }
            Layer::MaxPool(pool) => {
                let (oh, ow) = (pool.output_side(x.h), pool.output_side(x.w));
                (pool.name.as_str(), Op::MaxPool(pool.clone()), x.c, oh, ow)
            }
            Layer::Lrn(lrn) => (lrn.name, Op::Lrn(lrn.clone()), x.c, x.h, x.w),
            Layer::AveragePool(pool) => {
                let (oh, ow) = (pool.output_side(x.h), pool.output_side(x.w));
                (pool.name.as_str(), Op::AveragePool(pool.clone()), x.c, oh, ow)
            }
            Layer::GlobalAverage { name } => (*name, Op::GlobalAverage, x.c, 1, 1),
            Layer::FullyConnected(layer) => {
                let op = Op::FullyConnected { relu: layer.hidden.is_some() };
                (layer.name.as_str(), op, layer.hidden.unwrap_or(classes), 1, 1)
            }
            Layer::Head(_) => unreachable!("heads stand between the layers of a network"),
            Layer::Softmax { name } => (*name, Op::Softmax, x.c, 1, 1),
            Layer::Inception(module) => {
                let channels = |branch: &Vec<Layer>| match branch.last() {
                    Some(Layer::Conv(conv)) => conv.oc,
                    _ => unreachable!("every branch of a table ends in a convolution"),
                };
                let c = module.branches.iter().map(channels).sum();
                let output = self.add_tensor(format!("{}/output", module.name), c, x.h, x.w);
                let mut channel = 0;
                for branch in &module.branches {
                    let place = Place { tensor: output, channel, channels: channels(branch) };
                    channel += place.channels;
                    let mut last = input;
                    for (i, layer) in branch.iter().enumerate() {
                        let place = (i + 1 == branch.len()).then_some(place);
                        last = self.lower(layer, last, place, classes);
                    }
                }
                return output;
            }
        };
        let place = place.unwrap_or_else(|| {
            let tensor = self.add_tensor(name.into(), c, h, w);
            Place { tensor, channel: 0, channels: c }
        });
        self.nodes.push(Node { name: name.into(), op, input, output: place });
        place.tensor
    }

    fn add_tensor(&mut self, name: String, c: usize, h: usize, w: usize) -> usize {
        self.tensors.push(Tensor { name, c, h, w });
        self.tensors.len() - 1
    }

    /// The channels of the tensor that `name`, a layer's, a head's or a module's output's, stands for.
    pub fn find(&self, name: &str) -> Option<Place> {
        let classifier = |node: &Node| node.name.strip_suffix("/classifier") == Some(name);
        let node = self.nodes.iter().find(|node| node.name == name || classifier(node)).map(|node| node.output);
        let whole = |tensor: usize| Place { tensor, channel: 0, channels: self.tensors[tensor].c };
        node.or_else(|| self.tensors.iter().position(|tensor| tensor.name == name).map(whole))
    }
}

/// The input side that shapes of weights are read at; only heads' depend on it, which are made for it.
const SIDE: usize = 224;
/// Side of the map that a head's first matrix is made for.
const HEAD_MAP: usize = 4;

#[cfg(test)]
mod tests {
    use crate::model::Dialect;

    #[test]
    fn heads_are_there_when_asked_for_and_change_nothing_else() {
        for dialect in [Dialect::Bvlc, Dialect::Torchvision] {
            let network = dialect.network(1000).with_heads(&["loss1", "loss2"]);
            let plain = dialect.network(1000);
            assert_eq!((network.heads(), plain.heads().len()), (vec!["loss1", "loss2"], 0));
            let names =
                |graph: crate::model::Graph| -> Vec<String> { graph.nodes.into_iter().map(|n| n.name).collect() };
            assert_eq!(names(network.graph(224)), names(plain.graph(224)));
            let graph = network.graph_with(224, &["loss2"]);
            assert!(graph.find("loss1").is_none());
            let conv = graph.nodes.iter().find(|node| node.name == "loss2/conv").expect("asked for");
            assert_eq!(graph.tensors[conv.input].c, 528, "behind 4d");
            let last: Vec<_> = graph.nodes[graph.nodes.len() - 2..].iter().map(|node| node.name.as_str()).collect();
            assert_eq!(last, ["loss3/classifier", "prob"]);
            // The published Caffe model has 13,378,280 values.
            let count: usize = network.parameters().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
            let plain: usize = plain.parameters().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
            assert_eq!(count - plain, 13_378_280 - 6_998_552);
        }
    }

    #[test]
    fn a_head_fits_where_its_map_has_four_pixels_a_side() {
        let fits = |dialect: Dialect, side| dialect.network(10).with_heads(&["loss1"]).head_fits("loss1", side);
        let sides = [190, 191, 192, 224, 238, 239];
        assert_eq!(sides.map(|side| fits(Dialect::Bvlc, side)), [false, true, true, true, true, false]);
        assert_eq!(sides.map(|side| fits(Dialect::Torchvision, side)), [true; 6]);
    }
}
