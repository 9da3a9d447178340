//! What each layer costs: its multiply-adds, counted by its definition, and its parameters; and how deep a network is.

use super::{Graph, Node, Op};

/// The cost of one layer, or of one group of a convolution that has several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The node's name, which is the layer's, or, if a convolution has groups, the group's.
    pub name: String,
    /// The channels, rows and columns of the node's output.
    pub shape: [usize; 3],
    /// The multiply-adds of a convolution or a fully connected layer; 0 for all other layers.
    pub multiply_adds: u64,
    /// The number of weights and biases.
    pub parameters: u64,
}

/// The cost of every node of `graph`, in the nodes' order, for one image.
///
/// ```
/// use googlenet::model::{cost, googlenet};
///
/// let layers = cost(&googlenet(1000).graph(224));
/// let parameters: u64 = layers.iter().map(|layer| layer.parameters).sum();
/// assert_eq!(parameters, 6_998_552);
/// assert_eq!((layers[0].multiply_adds, layers[0].shape), (118_013_952, [64, 112, 112]));
/// ```
pub fn cost(graph: &Graph) -> Vec<Cost> {
    graph
        .nodes
        .iter()
        .map(|node| {
            let shape = graph.shape(node.output);
            let (inputs, channels) = (graph.shape(node.input).iter().product::<usize>(), node.output.channels);
            let (multiply_adds, parameters) = match &node.op {
                Op::Conv(shape) => (shape.multiply_adds(), (shape.steps() + 1) * shape.oc),
                Op::FullyConnected { .. } => ((inputs * channels) as u64, (inputs + 1) * channels),
                Op::MaxPool(_) | Op::Lrn(_) | Op::AveragePool(_) | Op::GlobalAverage | Op::Softmax => (0, 0),
            };
            Cost { name: node.name.clone(), shape, multiply_adds, parameters: parameters as u64 }
        })
        .collect()
}

/// The depth of `graph`: the number of layers with weights on the longest way from the input to the logits.
///
/// ```
/// use googlenet::model::{Dialect, depth, googlenet};
///
/// assert_eq!(depth(&googlenet(1000).graph(224)), 22); // as the paper counts
/// assert_eq!(depth(&Dialect::Caffenet.network(1000).graph(227)), 8);
/// ```
pub fn depth(graph: &Graph) -> usize {
    // The depth of each activation; every node comes after those that make its input.
    let mut depths = vec![0; graph.activations.len()];
    for Node { input, output, weights, .. } in &graph.nodes {
        let depth = depths[input.activation] + usize::from(weights.is_some());
        depths[output.activation] = depths[output.activation].max(depth);
    }
    depths[graph.logits().activation]
}

#[cfg(test)]
mod tests {
    use crate::model::{cost, googlenet};

    #[test]
    fn googlenet_at_224_costs_what_the_paper_says() {
        let costs = cost(&googlenet(1000).graph(224));
        let multiply_adds: u64 = costs.iter().map(|cost| cost.multiply_adds).sum();
        assert_eq!((multiply_adds as f64 / 1e5).round() / 10.0, 1582.7);
        assert_eq!(costs.iter().map(|cost| cost.parameters).sum::<u64>(), 6_998_552);
    }

    #[test]
    fn maps_halve_five_times_rounding_up() {
        let graph = googlenet(1000).graph(224);
        let side = |name| graph.activations[graph.find(name).expect(name).activation].h;
        let maps = ["conv1/7x7_s2", "pool1/3x3_s2", "pool2/3x3_s2", "pool3/3x3_s2", "pool4/3x3_s2"].map(side);
        assert_eq!(maps, [112, 56, 28, 14, 7]);
    }
}
