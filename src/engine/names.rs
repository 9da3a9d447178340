//! The names by which callers ask for layers: the network's own, or shorter ones where those are unambiguous.

use crate::model::{Graph, Node, Place};

/// The output that `name` stands for. A name is a layer's whole name, a module's, or what a layer's name has before its
/// slash, if only one layer's name begins so. The network's input has no name here, as no layer computes it.
pub(super) fn find(graph: &Graph, name: &str) -> Option<Place> {
    let module = || graph.find(&format!("{name}/output"));
    let alone = || {
        let begins = |layer: &str| layer.split_once('/').is_some_and(|(first, _)| first == name);
        let mut layers = graph.nodes.iter().map(Node::layer).filter(|layer| begins(layer));
        let first = layers.next()?;
        layers.all(|layer| layer == first).then(|| graph.find(first)).flatten()
    };
    graph.find(name).or_else(module).or_else(alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_stand_for_one_layer_or_none() {
        let graph = crate::model::googlenet(10).graph(64);
        let pairs = [
            ("conv1", "conv1/7x7_s2"),
            ("pool5", "pool5/7x7_s1"),
            ("inception_4e", "inception_4e/output"),
            ("inception_3a/1x1", "inception_3a/1x1"),
            ("prob", "prob"),
        ];
        for (short, whole) in pairs {
            let place = find(&graph, short);
            assert!(place.is_some() && place == graph.find(whole), "{short}");
        }
        // Several layers' names begin with each of the first two; none does with the next three; the last is the input.
        for name in ["pool1", "conv2", "inception_9z", "", "/", "data"] {
            assert_eq!(find(&graph, name), None, "{name}");
        }
    }
}
