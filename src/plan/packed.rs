//! The packed weights of a model, made once for all its sessions.
//!
//! What a kernel wants is told by its instruction set, its name and the layers it computes, so sessions of any side,
//! batch and number of threads share it. The model holds no reference of its own: when the last session that uses a
//! packing is gone, so is the packing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use googlenet_kernels::isa::Isa;

use super::aligned::Aligned;
use super::step::{Kind, Step};
use crate::Result;
use crate::model::Graph;

/// One lock a packing: who comes while it is being made waits for it, and makes others meanwhile.
type Slot = Arc<Mutex<Weak<Aligned>>>;

/// By instruction set, kernel and layers.
#[derive(Default)]
pub(crate) struct Packed {
    slots: Mutex<HashMap<String, Slot>>,
}

impl Packed {
    /// The packed weights of `step`, made by `pack` unless a session has them.
    pub(super) fn get(
        &self,
        isa: Isa,
        graph: &Graph,
        step: &Step,
        pack: impl FnOnce() -> Result<Aligned>,
    ) -> Result<Arc<Aligned>> {
        let Some(key) = key(isa, graph, step) else { return pack().map(Arc::new) };
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(key).or_default().clone();
        drop(slots);
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(packed) = slot.upgrade() {
            return Ok(packed);
        }
        let packed = Arc::new(pack()?);
        *slot = Arc::downgrade(&packed);
        Ok(packed)
    }
}

/// None for what has no weights.
fn key(isa: Isa, graph: &Graph, step: &Step) -> Option<String> {
    let kernel = match &step.kind {
        Kind::Direct(conv) => conv.kernel.name(),
        Kind::Winograd(conv) | Kind::WinogradOutput(conv) => conv.form.name(),
        Kind::FullyConnected => "dense",
        Kind::WinogradInput { .. }
        | Kind::MaxPool(_)
        | Kind::Lrn { .. }
        | Kind::GlobalAverage { .. }
        | Kind::Softmax => {
            return None;
        }
    };
    let layers: Vec<&str> = step.nodes.iter().map(|&node| graph.nodes[node].name.as_str()).collect();
    Some(format!("{isa} {kernel}: {}", layers.join(" + ")))
}
