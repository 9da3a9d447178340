//! How any number of threads go through the phases of a schedule together.
//!
//! A session's own threads are as many as it was made for, but one of them may wake late; a pool that belongs to the
//! caller serves others, too: it may give a run all its threads, or one, or one after the other, and two sessions may
//! share it. A barrier that waits for a number of threads would then wait for ever. Here a phase ends when all its *tasks*
//! are done: whoever waits, waits for tasks that somebody is computing at that moment, and a single thread can finish
//! everything alone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::sync::{AtomicBool, AtomicUsize, Ordering};
use super::waiting::Waiting;

/// Who does which task, and which tasks are done.
pub(in crate::plan) struct Progress {
    phases: Vec<Phase>,
    /// Whether a task unwound, so that its phase will never end.
    failed: AtomicBool,
    waiting: Waiting,
}

/// Threads that wait for one phase watch a line of their own, which no other phase's counts lie in.
#[repr(align(64))]
struct Phase {
    tasks: usize,
    /// The next task that nobody has claimed; it counts on past the last one until the next rewind, so that no task is
    /// ever claimed twice.
    next: AtomicUsize,
    done: AtomicUsize,
}

impl Progress {
    /// For phases of so many tasks, all of them done.
    pub(in crate::plan) fn new(tasks: Vec<usize>) -> Self {
        let phase = |tasks| Phase { tasks, next: AtomicUsize::new(tasks), done: AtomicUsize::new(tasks) };
        Self {
            phases: tasks.into_iter().map(phase).collect(),
            failed: AtomicBool::new(false),
            waiting: Waiting::default(),
        }
    }

    /// Back to the first phase, every task undone. That nobody is inside, `&mut` says.
    pub(in crate::plan) fn rewind(&mut self) {
        for phase in &mut self.phases {
            phase.next.store(0, Ordering::Relaxed);
            phase.done.store(0, Ordering::Relaxed);
        }
        self.failed.store(false, Ordering::Relaxed);
    }

    /// A task of `phase` for the caller to do; none if all are claimed.
    pub(in crate::plan) fn claim(&self, phase: usize) -> Option<usize> {
        let Phase { tasks, next, .. } = &self.phases[phase];
        // Whoever comes late only looks, so that the count cannot run away.
        if next.load(Ordering::Relaxed) >= *tasks {
            return None;
        }
        Some(next.fetch_add(1, Ordering::Relaxed)).filter(|claimed| claimed < tasks)
    }

    /// Does a claimed task of `phase`. True for the last task of the phase to be finished; what all others wrote is then
    /// visible.
    pub(in crate::plan) fn perform(&self, phase: usize, task: impl FnOnce()) -> bool {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(task)) {
            // Relaxed: who sees it only panics; what tasks wrote travels with `done`, and who sleeps sees it under the lock of
            // `waiting`.
            self.failed.store(true, Ordering::Relaxed);
            self.waiting.wake();
            resume_unwind(panic);
        }
        let Phase { tasks, done, .. } = &self.phases[phase];
        // AcqRel: releases this task's stores, and acquires those of the tasks that were counted before.
        let is_last = done.fetch_add(1, Ordering::AcqRel) + 1 == *tasks;
        if is_last {
            self.waiting.wake();
        }
        is_last
    }

    /// Waits until every task of `phase` is done; what they wrote is then visible.
    ///
    /// # Panics
    /// If a task did.
    pub(in crate::plan) fn wait(&self, phase: usize) {
        let Phase { tasks, done, .. } = &self.phases[phase];
        self.waiting.until(|| done.load(Ordering::Acquire) == *tasks || self.failed.load(Ordering::Relaxed));
        assert!(!self.failed.load(Ordering::Relaxed), "a task of this run panicked");
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_phase_ends_with_its_last_task_and_once() {
        let mut progress = Progress::new(vec![3, 1]);
        assert_eq!((progress.claim(0), progress.claim(1)), (None, None), "all done before the first rewind");
        progress.rewind();
        let claimed: Vec<_> = (0..5).map(|_| progress.claim(0)).collect();
        assert_eq!(claimed, [Some(0), Some(1), Some(2), None, None]);
        let finished: Vec<bool> = (0..3).map(|_| progress.perform(0, || ())).collect();
        assert_eq!(finished, [false, false, true]);
        progress.wait(0);
        assert!(progress.perform(1, || ()));
        progress.wait(1);
    }

    #[test]
    fn those_who_wait_for_a_task_that_panics_panic_too() {
        let mut progress = Progress::new(vec![2]);
        progress.rewind();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| catch_unwind(AssertUnwindSafe(|| progress.wait(0))).is_err());
            assert!(catch_unwind(AssertUnwindSafe(|| progress.perform(0, || panic!("a test's")))).is_err());
            assert!(waiting.join().expect("caught"));
        });
        progress.rewind();
        assert!(!progress.perform(0, || ()));
        assert!(progress.perform(0, || ()));
        progress.wait(0);
    }
}
