//! The names of layers that a caller may ask for, and which of them was meant.

use crate::Model;
use crate::error::SessionError;

use crate::command::exit::{Code, Failure};

/// The failure that `model` has no layer that a caller may call `name`, with those that it has.
pub fn unknown(model: &Model, name: &str) -> Failure {
    let (network, side) = (model.network(), model.side());
    let heads = network.head_names().into_iter().filter(|&head| network.head_fits(head, side));
    let mut known = vec!["logits".to_owned()];
    let graph = network.graph(side);
    for layer in graph.nodes.iter().map(|node| node.layer()) {
        // A module's output is no layer's own.
        let module = layer.split_once('/').map(|(module, _)| format!("{module}/output"));
        known.extend(module.filter(|module| graph.find(module).is_some() && !known.contains(module)));
        if known.last().is_none_or(|last| last != layer) && !known.iter().any(|other| other == layer) {
            known.push(layer.to_owned());
        }
    }
    known.extend(heads.map(str::to_owned));
    let near = known.iter().map(|other| (strsim::jaro_winkler(other, name), other));
    let near = near.filter(|&(near, _)| near > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
    let near = near.map(|(_, other)| format!("; {other} is similar")).unwrap_or_default();
    let error = SessionError::UnknownLayer { layer: name.to_owned() };
    Failure::new(Code::Usage, format!("{error}{near}; there are {}", known.join(", ")))
}
