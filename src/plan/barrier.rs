//! A barrier for phases of some ten microseconds: spin, then yield, then park.
//!
//! Spinning alone is fastest while every thread has a core of its own and ruinous when one has not; parking alone
//! costs a wake-up a phase. Threads spin for a moment, give up their time slice for another, and then sleep.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// Turns of `spin_loop` before the first yield: about 20 microseconds at 3.7 GHz.
const SPINS: u32 = 2_000;
/// Yields before parking.
const YIELDS: u32 = 50;

/// Waits until `done()`: spins, then yields, and then returns false for the caller to park.
pub(super) fn spin_then_yield(done: impl Fn() -> bool) -> bool {
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
        std::thread::yield_now();
    }
    done()
}

/// A reusable barrier for a fixed number of threads.
#[derive(Debug)]
pub(super) struct Barrier {
    threads: u32,
    arrived: AtomicU32,
    generation: AtomicU32,
    /// Whether a thread that the others would wait for has unwound.
    broken: AtomicBool,
    /// How many threads sleep: waking nobody would be a system call, too.
    sleepers: Mutex<u32>,
    opened: Condvar,
}

/// Breaks its barrier when it is dropped: a thread holds one as long as others may wait for it.
pub(super) struct Guard<'a>(&'a Barrier);

impl Guard<'_> {
    /// The thread is through.
    pub(super) fn defuse(self) {
        std::mem::forget(self);
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.broken.store(true, Ordering::Release);
        // Through the lock, so that nobody looks, sees nothing, and sleeps after the call.
        drop(self.0.sleepers.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.opened.notify_all();
    }
}

impl Barrier {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads: u32::try_from(threads).expect("options cap the threads"),
            arrived: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            broken: AtomicBool::new(false),
            sleepers: Mutex::new(0),
            opened: Condvar::new(),
        }
    }

    /// Breaks the barrier for good unless it is defused.
    pub(super) fn guard(&self) -> Guard<'_> {
        Guard(self)
    }

    /// Returns once every thread has called it as often as this one. What a thread wrote before its call is seen by
    /// every thread after its own. The last to arrive runs `last` before anybody goes on.
    ///
    /// # Panics
    /// If the barrier is broken.
    pub(super) fn wait(&self, last: impl FnOnce()) {
        let generation = self.generation.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            last();
            self.arrived.store(0, Ordering::Relaxed);
            // Under the lock, so that nobody checks the generation and sleeps between our store and our call.
            let sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
            self.generation.store(generation.wrapping_add(1), Ordering::Release);
            if *sleepers > 0 {
                self.opened.notify_all();
            }
            return;
        }
        let broken = || self.broken.load(Ordering::Acquire);
        let open = || self.generation.load(Ordering::Acquire) != generation || broken();
        if !spin_then_yield(open) {
            let mut sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
            *sleepers += 1;
            while !open() {
                sleepers = self.opened.wait(sleepers).unwrap_or_else(PoisonError::into_inner);
            }
            *sleepers -= 1;
        }
        assert!(!broken(), "another thread of this run panicked");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn nobody_passes_before_everybody_arrived() {
        let (threads, rounds) = (5, 300);
        let (barrier, count) = (Barrier::new(threads), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for round in 1..=rounds {
                        count.fetch_add(1, Ordering::Relaxed);
                        barrier.wait(|| ());
                        assert_eq!(count.load(Ordering::Relaxed), round * threads);
                        barrier.wait(|| ());
                    }
                });
            }
        });
    }
}
