//! Graphs: a network's table, lowered for one input side to nodes over activations, in an order in which they can run.
//!
//! A [`Place`] is a range of channels of an activation; a node reads one and writes one. So no concatenation exists:
//! the last layers of an Inception module's branches write straight into their channels of the module's output. Nor
//! does a grouped convolution: it is one node for each group, which reads some of the input's channels and writes some
//! of the output's, and uses some of the rows of the layer's weights.

use std::ops::Range;

use googlenet_kernels::conv::ConvShape;

use super::{AveragePool, Conv, Inception, Layer, Lrn, MaxPool, Network};

/// A network, lowered for one input side.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Every activation; the first is the input.
    pub activations: Vec<Activation>,
    /// Every node, in execution order.
    pub nodes: Vec<Node>,
    logits: Place,
    probabilities: Place,
    features: Option<Place>,
    heads: Vec<(&'static str, Place)>,
    modules: Vec<(String, Place)>,
}

/// A value between layers: `[c, h, w]` for each image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// The name of the layer that makes it; for a module, `<module>/output`.
    pub name: String,
    /// The number of channels.
    pub c: usize,
    /// The number of rows.
    pub h: usize,
    /// The number of columns.
    pub w: usize,
}

impl Activation {
    /// The number of elements of a channel.
    pub fn plane(&self) -> usize {
        self.h * self.w
    }

    /// The number of elements for one image.
    pub fn len(&self) -> usize {
        self.c * self.plane()
    }

    /// Whether the activation has no elements, which is true of no activation of a graph.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A range of channels of an activation, which a node reads or writes. The planes of its channels lie one after the
/// other, without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The index of the activation in [`Graph::activations`].
    pub activation: usize,
    /// The first channel of the range.
    pub channel: usize,
    /// The number of channels in the range.
    pub channels: usize,
}

/// One layer at work, or one group of a convolution that has several.
#[derive(Clone, Debug)]
pub struct Node {
    /// A name that no other node has: the layer's, or, of a group, the layer's and the group's number,
    /// `<layer>/group0`.
    pub name: String,
    /// What the node computes.
    pub op: Op,
    /// What the node reads.
    pub input: Place,
    /// What the node writes.
    pub output: Place,
    /// The weights that the node uses, if it uses any.
    pub weights: Option<WeightRows>,
}

/// The weights that a node uses: rows of the tensors `<layer>.weight` and `<layer>.bias`, all of them unless the layer
/// has groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightRows {
    /// The layer's name.
    pub layer: String,
    /// Which of the layer's output channels, or outputs of a fully connected layer, the node computes; these are the
    /// indices of the tensors' first dimension.
    pub rows: Range<usize>,
}

impl Node {
    /// The name of the layer that the node is of.
    pub fn layer(&self) -> &str {
        self.weights.as_ref().map_or(&self.name, |weights| &weights.layer)
    }
}

impl WeightRows {
    /// The name of the tensor of weights.
    pub fn weight(&self) -> String {
        format!("{}.weight", self.layer)
    }

    /// The name of the tensor of biases.
    pub fn bias(&self) -> String {
        format!("{}.bias", self.layer)
    }
}

/// What a node computes.
#[derive(Clone, Debug)]
pub enum Op {
    /// A convolution with bias, followed by ReLU.
    Conv(ConvShape),
    /// A max pool.
    MaxPool(MaxPool),
    /// Local response normalisation across channels.
    Lrn(Lrn),
    /// An average pool: the means of windows.
    AveragePool(AveragePool),
    /// A global average: the mean of each channel.
    GlobalAverage,
    /// A fully connected layer: a matrix and a bias.
    FullyConnected {
        /// Whether ReLU follows.
        relu: bool,
    },
    /// A softmax, which makes probabilities of logits.
    Softmax,
}

impl Network {
    /// Lowers the table for images of `side` by `side` pixels, without auxiliary heads.
    ///
    /// # Panics
    /// If `side` is not in [`super::MIN_SIDE`]`..=`[`super::MAX_SIDE`], or the table makes no sense: a role or a head
    /// names no layer of the trunk; two layers have one name; a module has no branches, or one without layers, or their
    /// maps differ in size; the channels of a convolution do not divide into its groups, or its map is too small.
    pub fn graph(&self, side: usize) -> Graph {
        self.graph_with(side, &[])
    }

    /// Lowers the table as [`Network::graph`] does, with those heads of the network whose names are in `heads`. A
    /// head's nodes come right after the layer that it reads.
    ///
    /// # Panics
    /// The panics of [`Network::graph`].
    pub fn graph_with(&self, side: usize, heads: &[&str]) -> Graph {
        assert!((super::MIN_SIDE..=super::MAX_SIDE).contains(&side), "input side {side}");
        let mut lowering = Lowering { classes: self.classes, ..Lowering::default() };
        let mut last = lowering.add_activation("data".into(), [self.channels, side, side]);
        let mut lowered_heads = Vec::new();
        for layer in &self.layers {
            last = lowering.layer(layer, last, None);
            for head in self.heads.iter().filter(|head| head.after == layer.name() && heads.contains(&head.name)) {
                let end = head.layers.iter().fold(last, |last, layer| lowering.layer(layer, last, None));
                lowered_heads.push((head.name, end));
            }
        }
        let asked = self.heads.iter().filter(|head| heads.contains(&head.name));
        assert_eq!(lowered_heads.len(), asked.count(), "a head of {} reads no layer of the trunk", self.name);
        let role = |name: &String| {
            assert!(self.layers.iter().any(|layer| layer.name() == name), "{}: no layer {name}", self.name);
            output_of(&lowering.nodes, name).expect("every layer was lowered")
        };
        let (logits, probabilities) = (role(&self.roles.logits), role(&self.roles.probabilities));
        let features = self.roles.features.as_ref().map(role);
        let Lowering { mut activations, mut nodes, mut modules, .. } = lowering;
        // A graph lives as long as the sessions that use it: it holds no memory for elements that never come.
        activations.shrink_to_fit();
        nodes.shrink_to_fit();
        modules.shrink_to_fit();
        Graph { activations, nodes, logits, probabilities, features, heads: lowered_heads, modules }
    }

    /// Whether the network can run at `side`, its heads aside: the fully connected layers of its trunk are made for
    /// inputs of the length that they have at the network's own side.
    ///
    /// ```
    /// use googlenet::model::Dialect;
    ///
    /// assert!(Dialect::Bvlc.network(1000).fits(448));
    /// let network = Dialect::Caffenet.network(1000);
    /// assert!(network.fits(227) && !network.fits(448));
    /// ```
    ///
    /// # Panics
    /// The panics of [`Network::graph`], but for a side out of range, which does not fit.
    pub fn fits(&self, side: usize) -> bool {
        self.leaves_as_long(&[], &self.layers, side)
    }

    /// Whether the head `name` can run at `side`: its fully connected layers are made for inputs of the length that
    /// they have at the network's own side.
    ///
    /// ```
    /// use googlenet::model::Dialect;
    ///
    /// let network = Dialect::Bvlc.network_with_heads(1000);
    /// assert!(network.head_fits("loss1", 224) && !network.head_fits("loss1", 256));
    /// ```
    ///
    /// # Panics
    /// The panics of [`Network::graph`].
    pub fn head_fits(&self, name: &str, side: usize) -> bool {
        let head = self.heads.iter().find(|head| head.name == name);
        head.is_some_and(|head| self.leaves_as_long(&[name], &head.layers, side))
    }

    /// Whether `side` leaves the fully connected layers among `layers` inputs as long as the network's own side does;
    /// `heads` are lowered with the trunk.
    fn leaves_as_long(&self, heads: &[&str], layers: &[Layer], side: usize) -> bool {
        let lengths = |side| -> Vec<usize> {
            let graph = self.graph_with(side, heads);
            let dense = graph.nodes.iter().filter(|node| matches!(node.op, Op::FullyConnected { .. }));
            let own = dense.filter(|node| layers.iter().any(|layer| layer.name() == node.layer()));
            own.map(|node| graph.len(node.input)).collect()
        };
        (super::MIN_SIDE..=super::MAX_SIDE).contains(&side) && lengths(side) == lengths(self.side)
    }

    /// The name and shape of every tensor of weights, in the nodes' order: `<layer>.weight`, `[oc, ic / groups, kh,
    /// kw]` of a convolution, `[outputs, inputs]` of a fully connected layer, then `<layer>.bias`, `[oc]` or
    /// `[outputs]`.
    ///
    /// ```
    /// let parameters = googlenet::model::googlenet(1000).parameters();
    /// assert_eq!(parameters[0], ("conv1/7x7_s2.weight".to_owned(), vec![64, 3, 7, 7]));
    /// assert_eq!(parameters[115], ("loss3/classifier.bias".to_owned(), vec![1000]));
    /// ```
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let graph = self.graph_with(self.side, &self.head_names());
        let tensors = graph.nodes.iter().filter_map(|node| {
            // A layer's first node stands for all of its groups.
            let weights = node.weights.as_ref().filter(|weights| weights.rows.start == 0)?;
            let outputs = graph.find(&weights.layer).expect("the node's own layer").channels;
            let shape = match &node.op {
                Op::Conv(conv) => vec![outputs, conv.ic, conv.kh, conv.kw],
                _ => vec![outputs, graph.len(node.input)],
            };
            Some([(weights.weight(), shape), (weights.bias(), vec![outputs])])
        });
        tensors.flatten().collect()
    }
}

impl Graph {
    /// The place of the logits.
    pub fn logits(&self) -> Place {
        self.logits
    }

    /// The place of the probabilities.
    pub fn probabilities(&self) -> Place {
        self.probabilities
    }

    /// The place of the features, if the network has any.
    pub fn features(&self) -> Option<Place> {
        self.features
    }

    /// The names of the heads that were lowered with the trunk, and the places of their logits.
    pub fn heads(&self) -> &[(&'static str, Place)] {
        &self.heads
    }

    /// The place of the logits of the head `name`, if it was lowered with the trunk.
    pub fn head(&self, name: &str) -> Option<Place> {
        self.heads.iter().find(|(head, _)| *head == name).map(|&(_, place)| place)
    }

    /// The place that `name` stands for, which is the name of a layer, a group, a head or a module's output.
    pub fn find(&self, name: &str) -> Option<Place> {
        let group = || self.nodes.iter().find(|node| node.name == name).map(|node| node.output);
        let module = || self.modules.iter().find(|(module, _)| module == name).map(|&(_, place)| place);
        output_of(&self.nodes, name).or_else(|| self.head(name)).or_else(module).or_else(group)
    }

    /// The channels, rows and columns of a place.
    pub fn shape(&self, place: Place) -> [usize; 3] {
        let Activation { h, w, .. } = self.activations[place.activation];
        [place.channels, h, w]
    }

    /// The number of elements of a place, for one image.
    pub fn len(&self, place: Place) -> usize {
        self.shape(place).iter().product()
    }

    /// By activation: the first of those that max pools join it with. A pool hands on values of its input as they are, so
    /// that activations that are joined have one scale where they are stored in bytes.
    pub fn joined(&self) -> Vec<usize> {
        let mut first: Vec<usize> = (0..self.activations.len()).collect();
        for node in self.nodes.iter().filter(|node| matches!(node.op, Op::MaxPool(_))) {
            let (a, b) = (first[node.input.activation], first[node.output.activation]);
            first.iter_mut().filter(|first| **first == a.max(b)).for_each(|first| *first = a.min(b));
        }
        first
    }
}

/// What the layer `name` writes: the outputs of all its nodes, which lie side by side.
fn output_of(nodes: &[Node], name: &str) -> Option<Place> {
    let outputs = nodes.iter().filter(|node| node.layer() == name).map(|node| node.output);
    outputs.reduce(|first, next| {
        debug_assert_eq!((next.activation, next.channel), (first.activation, first.channel + first.channels));
        Place { channels: first.channels + next.channels, ..first }
    })
}

/// A graph in the making.
#[derive(Default)]
struct Lowering {
    classes: usize,
    activations: Vec<Activation>,
    nodes: Vec<Node>,
    modules: Vec<(String, Place)>,
}

impl Lowering {
    /// Adds the nodes of `layer` over `input`. The layer's output goes to `place`, or to an activation of its own;
    /// returns the place of the output.
    fn layer(&mut self, layer: &Layer, input: Place, place: Option<Place>) -> Place {
        let Activation { h, w, .. } = self.activations[input.activation];
        let shape = self.output_shape(layer, [input.channels, h, w]);
        let name = match layer {
            Layer::Inception(module) => format!("{}/output", module.name),
            layer => layer.name().to_owned(),
        };
        let output = match place {
            Some(place) => place,
            None => self.add_activation(name.clone(), shape),
        };
        let op = match layer {
            Layer::Inception(module) => {
                self.modules.push((name, output));
                self.branches(module, input, output);
                return output;
            }
            Layer::Conv(conv) => {
                self.groups(conv, input, output);
                return output;
            }
            Layer::FullyConnected(layer) => Op::FullyConnected { relu: layer.hidden.is_some() },
            Layer::MaxPool(pool) => Op::MaxPool(pool.clone()),
            Layer::Lrn(lrn) => Op::Lrn(lrn.clone()),
            Layer::AveragePool(pool) => Op::AveragePool(pool.clone()),
            Layer::GlobalAverage { .. } => Op::GlobalAverage,
            Layer::Softmax { .. } => Op::Softmax,
        };
        let rows = matches!(op, Op::FullyConnected { .. }).then_some(0..output.channels);
        let weights = rows.map(|rows| WeightRows { layer: name.clone(), rows });
        self.push(Node { name, op, input, output, weights });
        output
    }

    /// Adds a node for each group of `conv`.
    fn groups(&mut self, conv: &Conv, input: Place, output: Place) {
        let (&Activation { h, w, .. }, groups) = (&self.activations[input.activation], conv.groups);
        let divides = |channels: usize| groups > 0 && channels.is_multiple_of(groups);
        assert!(divides(input.channels) && divides(output.channels), "{}: not {groups} groups", conv.name);
        let part = |place: Place, group: usize| {
            let channels = place.channels / groups;
            Place { channel: place.channel + group * channels, channels, ..place }
        };
        for group in 0..groups {
            let (input, output) = (part(input, group), part(output, group));
            let shape = ConvShape {
                ic: input.channels,
                ih: h,
                iw: w,
                oc: output.channels,
                oh: conv.output_side(h),
                ow: conv.output_side(w),
                kh: conv.kernel,
                kw: conv.kernel,
                stride_h: conv.stride,
                stride_w: conv.stride,
                pad_t: conv.leading(h),
                pad_l: conv.leading(w),
            };
            let name = if groups == 1 { conv.name.clone() } else { format!("{}/group{group}", conv.name) };
            let rows = group * output.channels..(group + 1) * output.channels;
            let weights = Some(WeightRows { layer: conv.name.clone(), rows });
            self.push(Node { name, op: Op::Conv(shape), input, output, weights });
        }
    }

    /// Adds the branches of `module`, each of which ends in its own channels of `output`.
    fn branches(&mut self, module: &Inception, input: Place, output: Place) {
        let Activation { h, w, .. } = self.activations[input.activation];
        let mut channel = output.channel;
        for branch in &module.branches {
            let [channels, ..] = self.chain_shape(branch, [input.channels, h, w]);
            let place = Place { activation: output.activation, channel, channels };
            channel += channels;
            let mut last = input;
            for (i, layer) in branch.iter().enumerate() {
                last = self.layer(layer, last, (i + 1 == branch.len()).then_some(place));
            }
        }
    }

    /// The shape of the output of `layer` for an input of shape `[c, h, w]`.
    fn output_shape(&self, layer: &Layer, [c, h, w]: [usize; 3]) -> [usize; 3] {
        match layer {
            Layer::Conv(conv) => [conv.oc, conv.output_side(h), conv.output_side(w)],
            Layer::MaxPool(pool) => [c, pool.output_side(h), pool.output_side(w)],
            Layer::AveragePool(pool) => [c, pool.output_side(h), pool.output_side(w)],
            Layer::Lrn(_) => [c, h, w],
            Layer::GlobalAverage { .. } | Layer::Softmax { .. } => [c, 1, 1],
            Layer::FullyConnected(layer) => [layer.hidden.unwrap_or(self.classes), 1, 1],
            Layer::Inception(module) => {
                let shapes = module.branches.iter().map(|branch| self.chain_shape(branch, [c, h, w]));
                let joined = shapes.reduce(|[c, h, w], [more, bh, bw]| {
                    assert_eq!((bh, bw), (h, w), "{}: the branches' maps differ in size", module.name);
                    [c + more, h, w]
                });
                joined.unwrap_or_else(|| panic!("{} has no branches", module.name))
            }
        }
    }

    /// The shape of the output of `branch` for an input of shape `input`.
    fn chain_shape(&self, branch: &[Layer], input: [usize; 3]) -> [usize; 3] {
        assert!(!branch.is_empty(), "a branch without layers");
        branch.iter().fold(input, |shape, layer| self.output_shape(layer, shape))
    }

    /// Adds an activation, and returns the place of all its channels.
    fn add_activation(&mut self, name: String, [c, h, w]: [usize; 3]) -> Place {
        self.activations.push(Activation { name, c, h, w });
        Place { activation: self.activations.len() - 1, channel: 0, channels: c }
    }

    fn push(&mut self, node: Node) {
        assert!(self.nodes.iter().all(|other| other.name != node.name), "two nodes are called {}", node.name);
        self.nodes.push(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::small::small;
    use crate::model::{Dialect, FullyConnected, Padding, cost};

    fn node<'g>(graph: &'g Graph, name: &str) -> &'g Node {
        graph.nodes.iter().find(|node| node.name == name).expect(name)
    }

    fn place(graph: &Graph, name: &str) -> Place {
        graph.find(name).expect(name)
    }

    /// The graphs of every dialect and of the small network at several sides, with all their heads.
    fn graphs() -> Vec<Graph> {
        let dialects = Dialect::ALL.map(|dialect| dialect.network_with_heads(10));
        let networks = dialects.into_iter().chain([small()]);
        let sides = [32, 64, 225, 224];
        let graph = |(network, side): (Network, usize)| network.graph_with(side, &network.head_names());
        networks.flat_map(|network| sides.map(|side| (network.clone(), side))).map(graph).collect()
    }

    #[test]
    fn every_channel_is_written_once_and_before_it_is_read() {
        for graph in graphs() {
            let mut written: Vec<Vec<bool>> = graph.activations.iter().map(|x| vec![false; x.c]).collect();
            written[0].fill(true);
            for node in &graph.nodes {
                let channels = |place: Place| place.channel..place.channel + place.channels;
                let inputs = &written[node.input.activation][channels(node.input)];
                assert!(!inputs.is_empty() && inputs.iter().all(|&written| written), "{} reads", node.name);
                let outputs = &mut written[node.output.activation][channels(node.output)];
                assert!(!outputs.is_empty() && outputs.iter().all(|&written| !written), "{} writes", node.name);
                outputs.fill(true);
            }
            assert!(written.iter().flatten().all(|&written| written));
            assert!(graph.activations.iter().all(|activation| !activation.is_empty()));
        }
    }

    #[test]
    fn names_are_of_one_node_each() {
        for graph in graphs() {
            let mut names: Vec<&str> = graph.nodes.iter().map(|node| &*node.name).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }

    #[test]
    fn the_rows_of_a_layers_nodes_are_those_of_its_tensors() {
        for (network, side) in [(small(), 32), (Dialect::Bvlc.network_with_heads(7), 224)] {
            let graph = network.graph_with(side, &network.head_names());
            let mut parameters = network.parameters();
            for node in &graph.nodes {
                let Some(weights) = &node.weights else {
                    let has_weights = matches!(node.op, Op::Conv(_) | Op::FullyConnected { .. });
                    assert!(!has_weights, "{}", node.name);
                    continue;
                };
                let (_, shape) = parameters.iter_mut().find(|(name, _)| *name == weights.weight()).expect("a tensor");
                assert_eq!(weights.rows.len(), node.output.channels);
                let inputs: usize = shape[1..].iter().product();
                let expected = match node.op {
                    Op::Conv(conv) => conv.steps(),
                    _ => graph.len(node.input),
                };
                assert_eq!(inputs, expected, "{}", node.name);
                // The rows that no node uses are left in the end.
                shape[0] -= weights.rows.len();
            }
            assert!(parameters.iter().all(|(name, shape)| name.ends_with(".bias") || shape[0] == 0));
        }
    }

    #[test]
    fn a_group_reads_and_writes_its_share_of_the_channels() {
        let graph = small().graph(32);
        let (norm, conv) = (place(&graph, "norm1"), place(&graph, "conv2"));
        assert_eq!((graph.shape(norm), graph.shape(conv)), ([16, 8, 8], [24, 8, 8]));
        for (group, name) in ["conv2/group0", "conv2/group1"].into_iter().enumerate() {
            let node = node(&graph, name);
            assert_eq!(node.layer(), "conv2");
            assert_eq!(node.input, Place { channel: 8 * group, channels: 8, ..norm });
            assert_eq!(node.output, Place { channel: 12 * group, channels: 12, ..conv });
            assert_eq!(graph.find(name), Some(node.output));
            let rows = 12 * group..12 * group + 12;
            assert_eq!(node.weights, Some(WeightRows { layer: "conv2".into(), rows }));
            let Op::Conv(shape) = node.op else { panic!("a convolution") };
            assert_eq!((shape.ic, shape.oc, shape.kh, shape.ow), (8, 12, 3, 8));
        }
        // The groups that end a branch lie in the branch's channels of the module's output.
        let module = place(&graph, "mixed2/output");
        assert_eq!(graph.shape(module), [50 + 12, 4, 4]);
        assert_eq!(place(&graph, "mixed2/5x5"), Place { channel: 50, channels: 12, ..module });
        let last = node(&graph, "mixed2/5x5/group2");
        assert_eq!((last.input.channel, last.output), (4, Place { channel: 58, channels: 4, ..module }));
    }

    #[test]
    fn parameters_and_costs_of_groups_are_those_of_their_sums() {
        let network = small();
        let parameters = network.parameters();
        let shape = |name: &str| parameters.iter().find(|(own, _)| own == name).expect(name).1.clone();
        assert_eq!((shape("conv2.weight"), shape("conv2.bias")), (vec![24, 8, 3, 3], vec![24]));
        assert_eq!((shape("mixed2/5x5.weight"), shape("mixed2/5x5.bias")), (vec![12, 2, 5, 5], vec![12]));
        assert_eq!(shape("hidden/dense.weight"), [20, 7 * 4 * 4]);
        assert_eq!(shape("plain/classifier.weight"), [5, 24 * 2 * 2]);
        assert_eq!(parameters.iter().filter(|(name, _)| name.starts_with("conv2")).count(), 2);

        let costs = cost(&network.graph_with(32, &network.head_names()));
        let sum = |layer: &str| {
            let own = costs.iter().filter(|cost| cost.name.split("/group").next() == Some(layer));
            own.fold((0, 0), |sum, cost| (sum.0 + cost.multiply_adds, sum.1 + cost.parameters))
        };
        assert_eq!(sum("conv2"), (24 * 8 * 8 * 8 * 9, 24 * 8 * 9 + 24));
        assert_eq!(sum("mixed2/5x5"), (12 * 4 * 4 * 2 * 25, 12 * 2 * 25 + 12));
        let total: usize = parameters.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        assert_eq!(costs.iter().map(|cost| cost.parameters).sum::<u64>(), total as u64);
    }

    #[test]
    fn branches_end_in_layers_of_any_kind() {
        let graph = small().graph(32);
        let module = place(&graph, "mixed1/output");
        assert_eq!(graph.shape(module), [8 + 12 + 24 + 6, 8, 8]);
        let pool = node(&graph, "mixed1/pool");
        assert_eq!(pool.input, place(&graph, "conv2"));
        assert_eq!(pool.output, Place { channel: 20, channels: 24, ..module });
        assert!(matches!(pool.op, Op::MaxPool(_)) && pool.weights.is_none());
        assert_eq!(place(&graph, "mixed1/proj"), Place { channel: 44, channels: 6, ..module });
        // The output of a module that ends a branch lies in the branch's channels of the outer module's output.
        let mut network = small();
        let Layer::Inception(inner) = network.layers.remove(5) else { panic!("the second module") };
        let Layer::Inception(outer) = &mut network.layers[4] else { panic!("the first module") };
        outer.branches = vec![vec![Layer::Inception(inner.clone())], inner.branches[0].clone()];
        let Layer::MaxPool(pool) = &mut outer.branches[1][0] else { panic!("a pool") };
        pool.name = "other".into();
        let graph = network.graph(32);
        assert_eq!(graph.shape(place(&graph, "mixed1/output")), [24 + 12 + 24, 4, 4]);
        assert_eq!(place(&graph, "mixed2/output").channels, 24 + 12);
        assert_eq!(place(&graph, "other").channel, 24 + 12);
    }

    #[test]
    fn roles_and_heads_have_places() {
        let network = small();
        let graph = network.graph_with(32, &["hidden"]);
        assert_eq!(Some(graph.logits()), graph.find("classifier"));
        assert_eq!(graph.shape(graph.logits()), [5, 1, 1]);
        assert_eq!(Some(graph.probabilities()), graph.find("probabilities"));
        assert_eq!(graph.features().map(|features| graph.shape(features)), Some([62, 1, 1]));
        assert_eq!((graph.head("hidden"), graph.head("plain")), (graph.find("hidden/classifier"), None));
        assert!(graph.head("hidden").is_some() && graph.find("hidden") == graph.head("hidden"));
        assert_eq!(graph.find("plain"), None);
        assert_eq!(node(&graph, "hidden/average").input, place(&graph, "mixed1/output"));
        let names: Vec<_> = network.classifiers().collect();
        assert_eq!(names, ["plain/classifier", "hidden/classifier", "classifier"]);

        let fits = |name, sides: [usize; 4]| sides.map(|side| network.head_fits(name, side));
        assert_eq!(fits("hidden", [32, 33, 34, 224]), [true, true, true, false]);
        assert_eq!(fits("plain", [32, 33, 40, 224]), [true; 4]);
        assert_eq!(fits("none", [32, 33, 40, 224]), [false; 4]);
    }

    #[test]
    fn a_network_may_lack_features() {
        let mut network = small();
        network.roles.features = None;
        assert_eq!(network.graph(32).features(), None);
    }

    type Change = fn(&mut Network);

    /// The text of the panic with which the small network's table is refused after `change` was done to it.
    fn refusal(change: Change) -> String {
        let mut network = small();
        change(&mut network);
        let lowered = std::panic::catch_unwind(|| network.graph_with(32, &["hidden"]));
        let refused = lowered.expect_err("a table that makes no sense");
        let text = refused.downcast_ref::<String>().cloned();
        text.or_else(|| refused.downcast_ref::<&str>().map(|text| (*text).to_owned())).expect("a message")
    }

    #[test]
    fn tables_that_make_no_sense_are_refused() {
        fn module(network: &mut Network) -> &mut Inception {
            let Some(Layer::Inception(module)) = network.layers.get_mut(4) else { panic!("the first module") };
            module
        }
        let cases: [(Change, &str); 8] = [
            (|network| network.roles.logits = "hidden/classifier".into(), "no layer hidden/classifier"),
            (|network| network.roles.features = Some("none".into()), "no layer none"),
            (|network| network.heads[1].after = "mixed1/pool".into(), "reads no layer of the trunk"),
            (|network| module(network).branches.clear(), "mixed1 has no branches"),
            (|network| module(network).branches.push(Vec::new()), "a branch without layers"),
            (
                |network| {
                    let Some(Layer::MaxPool(pool)) = module(network).branches[2].last_mut() else { panic!("a pool") };
                    pool.padding = Padding::Around(0);
                },
                "mixed1: the branches' maps differ in size",
            ),
            (
                |network| {
                    let Layer::Conv(conv) = &mut network.layers[3] else { panic!("a convolution") };
                    conv.groups = 3;
                },
                "conv2: not 3 groups",
            ),
            (
                |network| {
                    let again = FullyConnected { name: "classifier".into(), hidden: None };
                    network.layers.push(Layer::FullyConnected(again));
                },
                "two nodes are called classifier",
            ),
        ];
        for (change, expected) in cases {
            let refusal = refusal(change);
            assert!(refusal.contains(expected), "{refusal}");
        }
    }

    #[test]
    fn heads_are_there_when_asked_for_and_change_nothing_else() {
        for dialect in [Dialect::Bvlc, Dialect::Torchvision] {
            let network = dialect.network_with_heads(1000);
            let plain = dialect.network(1000);
            assert_eq!((network.head_names(), plain.head_names()), (vec!["loss1", "loss2"], vec![]));
            assert_eq!(network.clone().keep_heads(&["loss2", "loss3"]).head_names(), ["loss2"]);
            let names = |graph: Graph| -> Vec<String> { graph.nodes.into_iter().map(|n| n.name).collect() };
            assert_eq!(names(network.graph(224)), names(plain.graph(224)));
            let graph = network.graph_with(224, &["loss2"]);
            assert!(graph.find("loss1").is_none());
            assert_eq!(graph.shape(node(&graph, "loss2/conv").input), [528, 4, 4], "behind 4d");
            let last: Vec<_> = graph.nodes[graph.nodes.len() - 2..].iter().map(|node| node.name.as_str()).collect();
            assert_eq!(last, ["loss3/classifier", "prob"]);
            assert_eq!(
                [graph.logits(), graph.probabilities()].map(Some),
                ["loss3/classifier", "prob"].map(|n| graph.find(n))
            );
            // The published Caffe model has 13,378,280 values.
            let count: usize = network.parameters().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
            let plain: usize = plain.parameters().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
            assert_eq!(count - plain, 13_378_280 - 6_998_552);
        }
    }

    #[test]
    fn a_head_fits_where_its_map_has_four_pixels_a_side() {
        let fits = |dialect: Dialect, side| dialect.network_with_heads(10).head_fits("loss1", side);
        let sides = [190, 191, 192, 224, 238, 239];
        assert_eq!(sides.map(|side| fits(Dialect::Bvlc, side)), [false, true, true, true, true, false]);
        assert_eq!(sides.map(|side| fits(Dialect::Torchvision, side)), [true; 6]);
    }
}
