//! Packed weights of a model, made once for all its sessions.
//!
//! What a kernel wants is told by `packed.rs`'s key: instruction set, kernel, widths of blocks and the layers it computes.
//! Sessions of any batch and number of threads share it, and those of other sides where kernels are the same. The model holds no reference of its own: when the last session that uses a
//! packing is gone, so is the packing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::aligned::Aligned;
use crate::Result;

/// One lock a packing: who comes while it is being made waits for it, and makes others meanwhile.
type Slot = Arc<Mutex<Weak<Aligned>>>;

/// By key.
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
