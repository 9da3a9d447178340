//! What sessions of a model share: packed weights and schedules, each made once for all that need it.
//!
//! The model holds no reference of its own: when the last session that uses a value is gone, so is the value.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};

use super::schedule::{Key, Schedule};
use crate::Result;
use crate::aligned::AlignedBytes;

/// What sessions of one model share.
#[derive(Default)]
pub(crate) struct Cache {
    /// Packed weights by step: the key names kernel, layout and layers (`packing/mod.rs`).
    pub(super) packed: Shared<String, AlignedBytes>,
    pub(super) schedules: Shared<Key, Schedule>,
}

/// Values by key, each alive as long as somebody holds it.
pub(super) struct Shared<K, V> {
    slots: Mutex<HashMap<K, Slot<V>>>,
}

/// One lock a value: who comes while it is being made waits for it, and makes others meanwhile.
type Slot<V> = Arc<Mutex<Weak<V>>>;

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self { slots: Mutex::new(HashMap::new()) }
    }
}

impl<K: Eq + Hash, V> Shared<K, V> {
    /// The value of `key`, made by `make` unless somebody holds it.
    pub(super) fn get(&self, key: K, make: impl FnOnce() -> Result<V>) -> Result<Arc<V>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        // Options are a caller's: keys whose value is gone and that nobody waits for do not pile up.
        slots.retain(|_, slot| {
            let is_held = match slot.try_lock() {
                Ok(value) => value.strong_count() > 0,
                Err(TryLockError::Poisoned(value)) => value.into_inner().strong_count() > 0,
                Err(TryLockError::WouldBlock) => true,
            };
            is_held || Arc::strong_count(slot) > 1
        });
        let slot = slots.entry(key).or_default().clone();
        drop(slots);
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = slot.upgrade() {
            return Ok(value);
        }
        let value = Arc::new(make()?);
        *slot = Arc::downgrade(&value);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_value_is_made_once_while_somebody_holds_it() {
        let (shared, made) = (Shared::<usize, usize>::default(), AtomicUsize::new(0));
        let get = |key| shared.get(key, || Ok(made.fetch_add(1, Ordering::Relaxed))).expect("made");
        let first = get(7);
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| assert_eq!(*get(7), *first)))));
        assert_eq!((*get(8), *get(7)), (1, 0));
        drop(first);
        assert_eq!(*get(7), 2);
        assert_eq!(shared.slots.lock().expect("sound").len(), 1, "values that are gone leave no key");
        assert!(shared.get(9, || Err(crate::error::SessionError::NoClassMaps.into())).is_err());
        assert_eq!(*get(9), 3);
    }
}
