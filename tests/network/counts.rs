//! What the tables cost is what another program counts from its own shapes: `tests/oracles/counts.py`.

use std::collections::BTreeMap;

use googlenet::model::{Dialect, cost};

/// A layer's name, output shape, multiply-adds and parameters.
type Row = (String, [usize; 3], u64, u64);

#[test]
fn tables_cost_what_pytorch_counts() {
    let stored = include_str!("../oracles/counts.json");
    let networks: BTreeMap<String, Vec<Row>> = serde_json::from_str(stored).expect("JSON");
    assert_eq!(networks.len(), 7);
    for (name, expected) in networks {
        let network = Dialect::from_name(&name).expect("a dialect").network(1000);
        let graph = network.graph(network.side);
        let mut rows: Vec<Row> = Vec::new();
        for (node, cost) in graph.nodes.iter().zip(cost(&graph)) {
            let Some(weights) = &node.weights else { continue };
            match rows.last_mut() {
                // The groups of a convolution are nodes of their own.
                Some((layer, [channels, ..], multiply_adds, parameters)) if *layer == weights.layer => {
                    *channels += cost.shape[0];
                    *multiply_adds += cost.multiply_adds;
                    *parameters += cost.parameters;
                }
                _ => rows.push((weights.layer.clone(), cost.shape, cost.multiply_adds, cost.parameters)),
            }
        }
        // Tables and script list the branches of a module in one order, GoogLeNet's.
        assert_eq!(rows, expected, "{name}");
    }
}
