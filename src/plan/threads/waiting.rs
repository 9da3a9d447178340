//! How a thread waits for others that are at work for some ten microseconds: spin, then yield, then park.
//!
//! Spinning alone is fastest while every thread has a core of its own and ruinous when one has not; parking alone costs
//! a wake-up a phase. A thread spins for a moment, gives up its time slice for another, and then sleeps.

use std::sync::PoisonError;

use super::sync::{Condvar, Mutex, MutexGuard, yield_now};

/// Turns of `spin_loop` before the first yield: about 20 microseconds at 3.7 GHz.
const SPINS: u32 = if cfg!(loom) { 1 } else { 2_000 };
/// Yields before parking.
const YIELDS: u32 = if cfg!(loom) { 0 } else { 50 };

/// A place where threads wait for a condition that other threads make true.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// How many threads sleep: waking nobody would be a system call, too.
    sleepers: Mutex<u32>,
    changed: Condvar,
}

impl Waiting {
    /// Waits until `done()`, which must load with `Acquire` what tells that other memory may be read. The wake-up itself needs
    /// no order, as the lock gives it.
    pub(super) fn until(&self, done: impl Fn() -> bool) {
        if spin_then_yield(&done) {
            return;
        }
        let mut sleepers = self.lock();
        *sleepers += 1;
        while !done() {
            sleepers = self.changed.wait(sleepers).unwrap_or_else(PoisonError::into_inner);
        }
        *sleepers -= 1;
    }

    /// Wakes all who sleep, after a condition has become true. The lock is taken after the condition was stored, so that
    /// nobody looks, sees nothing, and sleeps after the call.
    pub(super) fn wake(&self) {
        if *self.lock() > 0 {
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, u32> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spins and yields until `done()`; false if that took too long, and the caller is to park.
fn spin_then_yield(done: impl Fn() -> bool) -> bool {
    for _ in 0..SPINS {
        if done() {
            return true;
        }
        std::hint::spin_loop();
    }
    for _ in 0..YIELDS {
        if done() {
            return true;
        }
        yield_now();
    }
    done()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Threads that pass a count on to each other in turns, some of them asleep.
    #[test]
    fn nobody_sleeps_for_ever() {
        let (threads, rounds) = if cfg!(miri) { (3, 4) } else { (5, 300) };
        let (waiting, turn) = (Waiting::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for own in 0..threads {
                let (waiting, turn) = (&waiting, &turn);
                scope.spawn(move || {
                    for round in 0..rounds {
                        let mine = round * threads + own;
                        waiting.until(|| turn.load(Ordering::Acquire) == mine);
                        turn.store(mine + 1, Ordering::Release);
                        waiting.wake();
                    }
                });
            }
        });
        assert_eq!(turn.into_inner(), threads * rounds);
    }
}
