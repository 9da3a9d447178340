//! The arena: one allocation for every activation, and the one place where threads share it through raw parts.
//!
//! A schedule is a list of phases, a phase a list of tasks, and a task declares what it reads and what it writes.
//! [`Accesses`] are the proof that no task of a phase writes what another task of that phase reads or writes. An arena
//! hands every task to exactly one thread, with slices of exactly what the task declared, and lets no thread into a phase
//! before all tasks of the phase before are done ([`Progress`]). So whatever the tasks do, no byte is written while
//! somebody else can see it: that is the argument behind every `unsafe` below.

#![allow(unsafe_code, reason = "the shared arena; see the file's text")]

use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;
use googlenet_kernels::view::RowsMut;

use super::{Access, Accesses, MAX_WRITES};
use crate::Result;
use crate::aligned::AlignedBytes;
use crate::error::SessionError;
use crate::plan::threads::Progress;

/// What a task is handed.
pub(in crate::plan) struct Operands<'a> {
    /// What it declared to read; empty if it declared nothing.
    read: &'a [u8],
    /// What it declared to write, in order.
    writes: [Option<RowsMut<'a, u8>>; MAX_WRITES],
}

impl<'a> Operands<'a> {
    /// What the task reads, as elements.
    ///
    /// # Panics
    /// If the bytes are no whole number of elements: the schedule and the step disagree about a buffer's type.
    pub(in crate::plan) fn read<T: Pod>(&self) -> &'a [T] {
        bytemuck::cast_slice(self.read)
    }

    /// The windows that the task writes, as elements, in the order in which it declared them.
    ///
    /// # Panics
    /// As [`Operands::read`].
    pub(in crate::plan) fn writes<T: Pod>(self) -> [Option<RowsMut<'a, T>>; MAX_WRITES] {
        self.writes.map(|rows| rows.map(RowsMut::cast))
    }

    /// The one window that the task writes, as elements.
    ///
    /// # Panics
    /// As [`Operands::read`], or if the task declared to write nothing.
    pub(in crate::plan) fn write<T: Pod>(self) -> RowsMut<'a, T> {
        let [first, ..] = self.writes::<T>();
        first.expect("every task writes")
    }
}

/// What a thread does on its way through a schedule.
pub(in crate::plan) trait Walk {
    /// Computes one task, named by phase and index.
    fn task(&mut self, phase: usize, index: usize, operands: Operands<'_>);

    /// The phase has ended, for which the thread may have waited.
    fn waited(&mut self, phase: usize);

    /// Takes what is wanted of the whole arena, after the last task. Of threads that share an arena one is called.
    fn finish(&mut self, arena: &[u8]);
}

/// The activations of an image, and the accesses that may reach them.
pub(in crate::plan) struct Arena {
    /// Kept for the memory alone, which is reached through `base` until it is freed.
    _memory: AlignedBytes,
    base: *mut u8,
    accesses: Arc<Accesses>,
    progress: Progress,
}

// SAFETY: bytes are reached only inside `run` and `run_alone`, under the rules in the file's text; the other fields are `Sync`
// themselves.
unsafe impl Sync for Arena {}
// SAFETY: the memory is the arena's own, wherever the arena is.
unsafe impl Send for Arena {}

impl Arena {
    /// An arena for schedules of these accesses.
    ///
    /// # Errors
    /// If its memory cannot be had.
    pub(in crate::plan) fn new(accesses: Arc<Accesses>) -> Result<Self> {
        let bytes = accesses.arena_bytes();
        let mut memory = AlignedBytes::try_zeroed(bytes).map_err(|_| SessionError::Memory { bytes })?;
        let progress = Progress::new(accesses.phases().iter().map(Vec::len).collect());
        Ok(Self { base: memory.as_mut_ptr(), _memory: memory, accesses, progress })
    }

    /// Walks the schedule on this thread alone, on the image `input`: every phase, every task. There is nothing to wait for.
    pub(in crate::plan) fn run_alone(&mut self, input: &[u8], walk: &mut impl Walk) {
        for (index, phase) in self.accesses.phases().iter().enumerate() {
            for (i, access) in phase.iter().enumerate() {
                // SAFETY: the arena is borrowed exclusively, operands of the task before are gone, and `Accesses` proves that
                // what this task writes overlaps neither itself nor what it reads.
                walk.task(index, i, unsafe { self.operands(access, input) });
            }
        }
        // SAFETY: the arena is borrowed exclusively, and all operands are gone.
        walk.finish(unsafe { self.slice(0..self.accesses.arena_bytes()) });
    }

    /// Begins a run of any number of threads; before that, [`Arena::run`] finds every task done.
    pub(in crate::plan) fn rewind(&mut self) {
        self.progress.rewind();
    }

    /// Walks the schedule together with whoever else calls it, any number of threads at any time, on the image `input`. Each
    /// task is done once between two calls of [`Arena::rewind`]. Whoever does the last task finishes. Returns when every
    /// task is done; another thread may still be finishing.
    ///
    /// # Panics
    /// If a task does, on whichever thread.
    pub(in crate::plan) fn run(&self, input: &[u8], walk: &mut impl Walk) {
        let phases = self.accesses.phases();
        for (index, phase) in phases.iter().enumerate() {
            while let Some(i) = self.progress.claim(index) {
                // SAFETY: this thread alone claimed the task, and calls this once; `Accesses` proves that no other task of the
                // phase touches what it writes or writes what it reads, nor the task itself twice; and the wait below keeps
                // other phases out, and returns only when it has seen (`Acquire`) that all tasks of its phase are done.
                let operands = || unsafe { self.operands(&phase[i], input) };
                let is_last = self.progress.perform(index, || walk.task(index, i, operands()));
                if is_last && index + 1 == phases.len() {
                    // SAFETY: all tasks of the last phase are done, so that nobody holds operands, and none is left; `perform`
                    // has made visible what they wrote, and says so to one thread.
                    walk.finish(unsafe { self.slice(0..self.accesses.arena_bytes()) });
                }
            }
            self.progress.wait(index);
            walk.waited(index);
        }
    }

    /// The operands of a task on the image `input`.
    ///
    /// # Safety
    /// While they live nobody else may write what `access` reads, or touch what it writes. `access` is one of the
    /// arena's own.
    unsafe fn operands<'a>(&'a self, access: &Access, input: &'a [u8]) -> Operands<'a> {
        let mut writes = [const { None }; MAX_WRITES];
        for (slot, region) in writes.iter_mut().zip(&access.writes) {
            // SAFETY: the region lies in the arena and its rows do not overlap (`Accesses::new`), the arena was zeroed, and
            // bytes have any alignment; the caller vouches for exclusiveness.
            *slot = Some(unsafe {
                RowsMut::from_raw(self.base.add(region.offset), region.rows, region.len, region.stride)
            });
        }
        // SAFETY: the range lies in the arena (`Accesses::new`), which was zeroed, and the caller vouches that nobody writes
        // it.
        let in_arena = access.read.clone().map(|read| unsafe { self.slice(read) });
        let in_input = || access.input.clone().map(|range| &input[range]);
        Operands { read: in_arena.or_else(in_input).unwrap_or_default(), writes }
    }

    /// # Safety
    /// `range` lies in the arena, and nobody writes it while the slice lives.
    unsafe fn slice(&self, range: Range<usize>) -> &[u8] {
        // SAFETY: the memory is one allocation, all of it initialised; the caller vouches for the rest.
        unsafe { std::slice::from_raw_parts(self.base.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Region;
    use super::*;

    /// Under Miri a run takes a second.
    const RUNS: u8 = if cfg!(miri) { 5 } else { 50 };

    /// A walk of closures.
    struct Closures<T, F>(T, F);

    impl<T: FnMut(usize, usize, Operands<'_>), F: FnMut(&[u8])> Walk for Closures<T, F> {
        fn task(&mut self, phase: usize, index: usize, operands: Operands<'_>) {
            (self.0)(phase, index, operands);
        }

        fn waited(&mut self, _: usize) {}

        fn finish(&mut self, arena: &[u8]) {
            (self.1)(arena);
        }
    }

    fn three_phases() -> Arc<Accesses> {
        let phase = |shift: usize| -> Vec<Access> {
            let region = |i: usize| Region { offset: (i * 2 + shift) % 64, rows: 1, len: 2, stride: 2 };
            (0..32).map(|i| Access { read: None, input: None, writes: vec![region(i)] }).collect()
        };
        Arc::new(Accesses::new(vec![phase(0), phase(2), phase(4)], 64))
    }

    /// Every task adds one to what it writes; each byte is written once a phase.
    fn add_one(_: usize, _: usize, operands: Operands<'_>) {
        operands.write::<u8>().row(0).iter_mut().for_each(|v| *v += 1);
    }

    fn expect(run: u8) -> impl Fn(&[u8]) {
        move |all| assert!(all.iter().all(|&v| v == 3 * run), "{all:?}")
    }

    #[test]
    fn every_task_runs_once_and_phases_stay_apart_for_any_number_of_threads() {
        let mut arena = Arena::new(three_phases()).expect("memory");
        for run in 1..RUNS {
            arena.rewind();
            let together = || arena.run(&[], &mut Closures(add_one, expect(run)));
            std::thread::scope(|scope| (0..run % 5).for_each(|_| drop(scope.spawn(together))));
            together(); // alone, or too late
        }
    }

    #[test]
    fn one_thread_walks_the_same_schedule() {
        let mut arena = Arena::new(three_phases()).expect("memory");
        (1..RUNS).for_each(|run| arena.run_alone(&[], &mut Closures(add_one, expect(run))));
    }

    #[test]
    fn operands_are_what_the_task_declared() {
        let write = Region { offset: 8, rows: 2, len: 4, stride: 8 };
        let from_input = Access { read: None, input: Some(4..12), writes: vec![write] };
        let from_arena = Access { read: Some(16..20), input: None, writes: vec![Region { offset: 0, ..write }] };
        let mut arena =
            Arena::new(Arc::new(Accesses::new(vec![vec![from_input], vec![from_arena]], 20))).expect("memory");
        let input: Vec<f32> = vec![1.0, 2.0, 3.0, 4.0];
        let copy = |_, _, operands: Operands<'_>| {
            let x = operands.read::<f32>().to_vec();
            let mut y = operands.write::<f32>();
            assert_eq!((y.rows(), y.row_len(), y.stride()), (2, 1, 2));
            (y.row(0)[0], y.row(1)[0]) = (x[0], x[x.len() - 1]);
        };
        let compare = |all: &[u8]| assert_eq!(bytemuck::cast_slice::<u8, f32>(all), [3.0, 0.0, 3.0, 0.0, 3.0]);
        arena.run_alone(bytemuck::cast_slice(&input), &mut Closures(copy, compare));
    }
}
