//! Packed weights of a model, made once for all its sessions.
//!
//! What a kernel wants is told by its instruction set, its name and the layers it computes, so sessions of any side,
//! batch and number of threads share it. The model holds no reference of its own: when the last session that uses a
//! packing is gone, so is the packing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::aligned::Aligned;
use crate::Result;

/// One lock a packing: who comes while it is being made waits for it, and makes others meanwhile.
type Slot = Arc<Mutex<Weak<Aligned>>>;

/// By instruction set, kernel and layers.
#[derive(Default)]
pub(crate) struct Cache {
    slots: Mutex<HashMap<String, Slot>>,
}

impl Cache {
    /// The packed weights called `key`, made by `pack` unless a session has them.
    pub(super) fn get(&self, key: String, pack: impl FnOnce() -> Result<Aligned>) -> Result<Arc<Aligned>> {
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
