//! GoogLeNet with naive Inception modules: a module's 1x1, 3x3 and 5x5 convolutions and its 3x3 max pool all read the
//! module's input, and nothing reduces its channels before or after. As the pool hands on every channel that it reads,
//! each module is wider than the one before, and so costs more: Szegedy et al. 2014, arXiv:1409.4842, section 4 and
//! figure 2a, which is why the paper's own modules have reductions.
//!
//! Nobody published such a network. This one keeps what GoogLeNet's table says of everything else, the widths of the
//! convolutions included, and has no auxiliary heads.

use super::dialect::Published;
use super::{Conv, Dialect, Layer, Network, googlenet};

pub(super) const NAIVE: Published = Published { name: "naive", network: table, preset: "short-side", undoes: None };

fn table(classes: usize) -> Network {
    let mut network = Network { name: "naive", dialect: Dialect::Naive, ..googlenet(classes) };
    for layer in &mut network.layers {
        if let Layer::Inception(module) = layer {
            module.branches.iter_mut().for_each(naive);
        }
    }
    network
}

/// Leaves a branch the one layer that looks at neighbours, if there is one.
fn naive(branch: &mut Vec<Layer>) {
    let is_pointwise = |layer: &Layer| matches!(layer, Layer::Conv(Conv { kernel: 1, .. }));
    if branch.len() > 1 {
        branch.retain(|layer| !is_pointwise(layer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cost;

    #[test]
    fn modules_widen_without_end() {
        let graph = table(1000).graph(224);
        let modules = ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"];
        let width = |module| graph.find(&format!("inception_{module}/output")).expect(module).channels;
        // Each module adds the widths of its three convolutions, as the paper's table 1 has them, to its input's.
        assert_eq!(modules.map(width), [416, 832, 1280, 1728, 2176, 2640, 3344, 4048, 4944]);
        let multiply_adds: u64 = cost(&graph).iter().map(|layer| layer.multiply_adds).sum();
        assert!(multiply_adds > 6 * 1_582_671_872, "{multiply_adds}");
    }
}
