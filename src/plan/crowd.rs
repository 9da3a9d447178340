//! How threads that nobody has promised share a schedule: as many as come, whenever they come.
//!
//! A pool that belongs to the caller serves others, too: it may give a run all its threads, or one, or one after the
//! other, and two sessions may share it. A barrier that waits for a number of threads would then wait for ever. Here a
//! phase ends when all its *tasks* are done: whoever waits, waits for tasks that somebody is computing at that moment,
//! and a single thread can finish everything alone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use super::barrier::spin_then_yield;

/// Counts the finished tasks of each phase.
pub(super) struct Crowd {
    /// Tasks of each phase.
    tasks: Vec<usize>,
    done: Vec<AtomicUsize>,
    /// Whether a task unwound, so that its phase will never end.
    failed: AtomicBool,
    sleepers: Mutex<()>,
    changed: Condvar,
}

impl Crowd {
    /// For phases of so many tasks.
    pub(super) fn new(tasks: Vec<usize>) -> Self {
        let done = tasks.iter().map(|_| AtomicUsize::new(0)).collect();
        let (failed, sleepers, changed) = (AtomicBool::new(false), Mutex::new(()), Condvar::new());
        Self { tasks, done, failed, sleepers, changed }
    }

    /// Back to the first phase. That nobody is inside, `&mut` says.
    pub(super) fn rewind(&mut self) {
        self.done.iter_mut().for_each(|done| *done.get_mut() = 0);
        *self.failed.get_mut() = false;
    }

    /// Does one task of `phase`. True for the last of the phase to be finished; what all others wrote is then visible.
    pub(super) fn perform(&self, phase: usize, task: impl FnOnce()) -> bool {
        let unwinding = Unwinding(self);
        task();
        std::mem::forget(unwinding);
        // AcqRel: releases this task's stores, and acquires those of the tasks that were counted before.
        let last = self.done[phase].fetch_add(1, Ordering::AcqRel) + 1 == self.tasks[phase];
        if last {
            self.wake();
        }
        last
    }

    /// Waits until every task of `phase` is done; what they wrote is then visible.
    ///
    /// # Panics
    /// If a task did.
    pub(super) fn wait(&self, phase: usize) {
        let over =
            || self.done[phase].load(Ordering::Acquire) == self.tasks[phase] || self.failed.load(Ordering::Acquire);
        if !spin_then_yield(over) {
            let mut guard = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
            while !over() {
                guard = self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
        }
        assert!(!self.failed.load(Ordering::Acquire), "a task of this run panicked");
    }

    fn wake(&self) {
        // Through the lock, so that nobody looks, sees nothing, and sleeps after the call.
        drop(self.sleepers.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

/// Dropped only where a task unwinds.
struct Unwinding<'a>(&'a Crowd);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        self.0.failed.store(true, Ordering::Release);
        self.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_phase_ends_with_its_last_task_and_once() {
        let crowd = Crowd::new(vec![3, 1]);
        let finished: Vec<bool> = (0..3).map(|_| crowd.perform(0, || ())).collect();
        assert_eq!(finished, [false, false, true]);
        crowd.wait(0);
        assert!(crowd.perform(1, || ()));
        crowd.wait(1);
    }

    #[test]
    fn those_who_wait_for_a_task_that_panics_panic_too() {
        let mut crowd = Crowd::new(vec![2]);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| catch_unwind(AssertUnwindSafe(|| crowd.wait(0))).is_err());
            assert!(catch_unwind(AssertUnwindSafe(|| crowd.perform(0, || panic!("a test's")))).is_err());
            assert!(waiting.join().expect("caught"));
        });
        crowd.rewind();
        assert!(!crowd.perform(0, || ()));
        assert!(crowd.perform(0, || ()));
        crowd.wait(0);
    }
}
