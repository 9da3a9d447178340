//! The arena: one allocation for every activation, and the one place where threads share it through raw parts.
//!
//! A schedule is a list of phases, a phase a list of tasks, and a task says which elements it reads and which it
//! writes ([`Access`]). [`Arena::new`] refuses a schedule in which a task of a phase writes what another task of the
//! same phase reads or writes. [`Arena::run`] admits as many threads as the arena is for, hands every task to exactly
//! one of them, with slices of exactly what it declared, and lets none into a phase before all have left the one before.
//! An arena for a crowd admits any number of threads, and lets none into a phase before all tasks of the one before are
//! done (`crowd.rs`).
//! So whatever the tasks do, no element is written while somebody else can see it: that is the argument behind every
//! `unsafe` below.

#![allow(unsafe_code, reason = "the shared arena; see the file's text")]

use std::cell::UnsafeCell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use googlenet_kernels::view::RowsMut;

use super::barrier::Barrier;
use super::crowd::Crowd;

/// `rows` rows of `len` elements, `stride` apart, the first at `offset`; rows do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub offset: usize,
    pub rows: usize,
    pub len: usize,
    pub stride: usize,
}

/// The most places a task writes to: the three outputs of a module's stacked 1x1 convolutions.
pub(super) const MAX_WRITES: usize = 3;

/// What a task touches.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// What it reads, in the arena; none if it reads the network's input.
    pub read: Option<Range<usize>>,
    /// What it writes; at most [`MAX_WRITES`] places.
    pub writes: Vec<Region>,
}

/// What a task is handed.
pub(super) struct Operands<'a> {
    /// What it declared to read; none if that is the network's input.
    pub read: Option<&'a [f32]>,
    /// What it declared to write, in order.
    pub writes: [Option<RowsMut<'a>>; MAX_WRITES],
}

/// One cache line, so that the allocation begins at one.
#[repr(C, align(64))]
struct Line(UnsafeCell<[f32; LINE]>);

/// f32 in a cache line; buffers begin at multiples of it.
pub(super) const LINE: usize = 16;

/// The activations, and the checked schedule that may touch them.
pub(super) struct Arena {
    lines: Box<[Line]>,
    phases: Arc<[Vec<Access>]>,
    /// The next unclaimed task of each phase.
    claims: Vec<AtomicUsize>,
    barrier: Barrier,
    threads: usize,
    /// Instead of the barrier, if nobody knows how many threads will come.
    crowd: Option<Crowd>,
    /// Threads inside the current run; stays above zero for ever if one of them unwinds.
    entered: AtomicUsize,
}

// SAFETY: elements are reached only inside `run`, under the rules in the file's text, and through `&mut self`.
unsafe impl Sync for Arena {}

impl Region {
    /// Whether `self` and `other` have an element in common. Exact for equal strides, cautious for others.
    fn overlaps(&self, other: &Region) -> bool {
        if self.rows == 0 || self.len == 0 || other.rows == 0 || other.len == 0 {
            return false;
        }
        let end = |r: &Region| r.offset + (r.rows - 1) * r.stride + r.len;
        if self.offset >= end(other) || other.offset >= end(self) {
            return false;
        }
        if self.stride != other.stride || self.rows == 1 || other.rows == 1 {
            return true;
        }
        // Same stride: `b` begins `shift` columns right of `a`'s columns, and may reach into the next row of the grid.
        let (a, b) = if self.offset <= other.offset { (self, other) } else { (other, self) };
        let (skipped, shift) = ((b.offset - a.offset) / a.stride, (b.offset - a.offset) % a.stride);
        let same_row = skipped < a.rows && shift < a.len;
        let next_row = skipped + 1 < a.rows && shift + b.len > a.stride;
        same_row || next_row
    }
}

impl Arena {
    /// An arena of `len` elements for `threads` threads that run `phases`.
    ///
    /// # Panics
    /// If a task reaches outside, or two tasks of a phase would touch an element that one of them writes: a bug of
    /// whoever built the schedule.
    pub(super) fn new(len: usize, phases: impl Into<Arc<[Vec<Access>]>>, threads: usize) -> Self {
        let phases = phases.into();
        for (index, phase) in phases.iter().enumerate() {
            for (i, task) in phase.iter().enumerate() {
                check_bounds(task, len);
                for (j, other) in phase.iter().enumerate() {
                    let read = other.read.clone().map(|read| Region {
                        offset: read.start,
                        rows: 1,
                        len: read.len(),
                        stride: 1,
                    });
                    let later = if j > i { other.writes.as_slice() } else { &[] };
                    let own = if i == j { task.writes.as_slice() } else { &[] };
                    for (w, write) in task.writes.iter().enumerate() {
                        let clash = read.iter().chain(later).chain(own.iter().skip(w + 1)).find(|r| write.overlaps(r));
                        assert!(
                            clash.is_none(),
                            "phase {index}: task {i} writes {write:?}, task {j} touches {clash:?}"
                        );
                    }
                }
            }
        }
        let lines = (0..len.div_ceil(LINE)).map(|_| Line(UnsafeCell::new([0.0; LINE]))).collect();
        let claims = phases.iter().map(|_| AtomicUsize::new(0)).collect();
        let (barrier, entered) = (Barrier::new(threads), AtomicUsize::new(0));
        Self { lines, phases, claims, barrier, threads, crowd: None, entered }
    }

    /// An arena of `len` elements for as many threads as come. [`Arena::rewind`] precedes each run.
    ///
    /// # Panics
    /// As [`Arena::new`].
    pub(super) fn for_crowd(len: usize, phases: impl Into<Arc<[Vec<Access>]>>) -> Self {
        let phases = phases.into();
        let crowd = Crowd::new(phases.iter().map(Vec::len).collect());
        Self { crowd: Some(crowd), ..Self::new(len, phases, 1) }
    }

    /// Whether it is for as many threads as come.
    pub(super) fn is_for_crowd(&self) -> bool {
        self.crowd.is_some()
    }

    /// Begins a new run, if it is for a crowd; before that, [`Arena::run`] finds every task done.
    pub(super) fn rewind(&mut self) {
        if let Some(crowd) = &mut self.crowd {
            crowd.rewind();
            self.claims.iter_mut().for_each(|claim| *claim.get_mut() = 0);
        }
    }

    /// Bytes of the activations.
    pub(super) fn bytes(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }

    /// Walks the schedule together with the other threads; each of the arena's `threads` threads calls it once a
    /// run. `task` computes one task, named by phase and index. After the last phase the last thread to leave it
    /// calls `finish` with the whole arena while the others wait.
    ///
    /// Of a crowd's arena, each thread that comes calls it, and whoever does the last task calls `finish`.
    ///
    /// # Panics
    /// If more threads come than the arena is for, or a run before this one did not end.
    pub(super) fn run(&self, mut task: impl FnMut(usize, usize, Operands<'_>), finish: impl FnOnce(&[f32])) {
        if let Some(crowd) = &self.crowd {
            return self.run_in_crowd(crowd, task, finish);
        }
        let others = self.entered.fetch_add(1, Ordering::Acquire);
        assert!(others < self.threads, "{others} threads are in the arena of {}", self.threads);
        let guard = self.barrier.guard();
        let mut finish = Some(finish);
        for (index, phase) in self.phases.iter().enumerate() {
            if self.threads == 1 {
                for (i, access) in phase.iter().enumerate() {
                    // SAFETY: a single thread (asserted above), and each task once: nobody else holds operands.
                    task(index, i, unsafe { self.operands(access) });
                }
                continue;
            }
            loop {
                let i = self.claims[index].fetch_add(1, Ordering::Relaxed);
                let Some(access) = phase.get(i) else { break };
                // SAFETY: this thread alone claimed the task, `new` proved that no other task of the phase touches
                // what it writes or writes what it reads, and the barrier below keeps other phases out.
                task(index, i, unsafe { self.operands(access) });
            }
            let last_phase = index + 1 == self.phases.len();
            self.barrier.wait(|| {
                // Everybody has left the phase: its claims are ready for the next run.
                self.claims[index].store(0, Ordering::Relaxed);
                if last_phase && let Some(finish) = finish.take() {
                    // SAFETY: every other thread waits at this barrier and holds no operands; none but these can be
                    // here, as each counts in `entered` until it has passed.
                    finish(unsafe { self.slice(0..self.lines.len() * LINE) });
                }
            });
        }
        if self.threads == 1
            && let Some(finish) = finish.take()
        {
            // SAFETY: a single thread, which holds no operands any more.
            finish(unsafe { self.slice(0..self.lines.len() * LINE) });
        }
        self.entered.fetch_sub(1, Ordering::Release);
        guard.defuse();
    }

    fn run_in_crowd(
        &self,
        crowd: &Crowd,
        mut task: impl FnMut(usize, usize, Operands<'_>),
        finish: impl FnOnce(&[f32]),
    ) {
        let mut finish = Some(finish);
        for (index, phase) in self.phases.iter().enumerate() {
            loop {
                // Claims count on until the next rewind, so that no task is ever claimed twice.
                let i = self.claims[index].fetch_add(1, Ordering::Relaxed);
                let Some(access) = phase.get(i) else { break };
                // SAFETY: this thread alone claimed the task, `new` proved that no other task of the phase touches
                // what it writes or writes what it reads, and the wait below keeps other phases out.
                let last = crowd.perform(index, || task(index, i, unsafe { self.operands(access) }));
                if last
                    && index + 1 == self.phases.len()
                    && let Some(finish) = finish.take()
                {
                    // SAFETY: all tasks of the last phase are done, so nobody holds operands, and none is left to claim.
                    finish(unsafe { self.slice(0..self.lines.len() * LINE) });
                }
            }
            crowd.wait(index);
        }
    }

    /// The operands of a task.
    ///
    /// # Safety
    /// While they live nobody else may write what `access` reads, or touch what it writes.
    unsafe fn operands(&self, access: &Access) -> Operands<'_> {
        let mut writes = [const { None }; MAX_WRITES];
        for (slot, region) in writes.iter_mut().zip(&access.writes) {
            // SAFETY: in bounds (`check_bounds`), and the caller vouches for exclusiveness.
            *slot = Some(unsafe {
                RowsMut::from_raw(self.base().add(region.offset), region.rows, region.len, region.stride)
            });
        }
        // SAFETY: in bounds (`check_bounds`), and the caller vouches that nobody writes it.
        let read = access.read.clone().map(|read| unsafe { self.slice(read) });
        Operands { read, writes }
    }

    /// # Safety
    /// `range` lies in the arena, and nobody writes it while the slice lives.
    unsafe fn slice(&self, range: Range<usize>) -> &[f32] {
        // SAFETY: the lines are one allocation of f32; the caller vouches for the rest.
        unsafe { std::slice::from_raw_parts(self.base().add(range.start), range.len()) }
    }

    fn base(&self) -> *mut f32 {
        // From the whole slice, so that the pointer may reach every line; `Line` is transparent to its cell's contents.
        self.lines.as_ptr().cast::<UnsafeCell<f32>>().cast_mut().cast()
    }
}

fn check_bounds(task: &Access, len: usize) {
    assert!(task.writes.len() <= MAX_WRITES, "{} places to write", task.writes.len());
    assert!(task.read.as_ref().is_none_or(|r| r.start <= r.end && r.end <= len), "read {:?} of {len}", task.read);
    for w in &task.writes {
        let end = w.rows.checked_sub(1).and_then(|rows| rows.checked_mul(w.stride)).and_then(|e| e.checked_add(w.len));
        let end = end.and_then(|end| end.checked_add(w.offset));
        assert!(w.rows == 0 || end.is_some_and(|end| end <= len), "write {w:?} of {len}");
        assert!(w.rows <= 1 || w.len <= w.stride, "rows of {w:?} overlap");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_what_a_list_of_elements_says() {
        let elements = |r: &Region| -> Vec<usize> {
            (0..r.rows)
                .flat_map(|row| (0..r.len).map(move |i| (row, i)))
                .map(|(row, i)| r.offset + row * r.stride + i)
                .collect()
        };
        let mut regions = Vec::new();
        for offset in [0_usize, 1, 3, 5, 7, 9, 14] {
            for (rows, len, stride) in [(1, 1, 1), (1, 6, 6), (2, 2, 5), (3, 3, 5), (2, 5, 5), (3, 1, 5), (2, 3, 7)] {
                regions.push(Region { offset, rows, len, stride });
            }
        }
        for a in &regions {
            for b in &regions {
                let common = elements(a).iter().any(|e| elements(b).contains(e));
                assert!(a.overlaps(b) || !common, "missed {a:?} {b:?}");
                if a.stride == b.stride && a.rows > 1 && b.rows > 1 {
                    assert_eq!(a.overlaps(b), common, "{a:?} {b:?}");
                }
            }
        }
    }

    fn writes(offset: usize) -> Access {
        Access { read: None, writes: vec![Region { offset, rows: 2, len: 2, stride: 4 }] }
    }

    #[test]
    #[should_panic(expected = "phase 0: task 0 writes")]
    fn two_writers_of_an_element_are_refused() {
        Arena::new(16, vec![vec![writes(0), writes(1)]], 2);
    }

    #[test]
    #[should_panic(expected = "phase 0: task 1 writes")]
    fn a_reader_of_what_another_task_writes_is_refused() {
        let reader = Access { read: Some(0..3), writes: vec![] };
        Arena::new(16, vec![vec![reader, writes(2)]], 2);
    }

    #[test]
    fn a_second_thread_in_an_arena_for_one_is_refused() {
        let arena = Arena::new(16, vec![vec![writes(0)]], 1);
        let inside = |_, _, _: Operands<'_>| {
            let second = || arena.run(|_, _, _| unreachable!("refused"), |_| ());
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(second)).is_err());
        };
        arena.run(inside, |_| ());
    }

    #[test]
    fn every_task_runs_once_and_phases_stay_apart() {
        let arena = Arena::new(64, three_phases(), 3);
        for run in 1..50_u8 {
            std::thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(|| add_one(&arena, run)))));
        }
    }

    #[test]
    fn a_crowd_of_any_size_does_the_same() {
        let mut arena = Arena::for_crowd(64, three_phases());
        for run in 1..50_u8 {
            arena.rewind();
            std::thread::scope(|scope| (0..run % 5).for_each(|_| drop(scope.spawn(|| add_one(&arena, run)))));
            add_one(&arena, run); // alone, or too late
        }
    }

    fn three_phases() -> Vec<Vec<Access>> {
        let phase = |shift: usize| -> Vec<Access> {
            let region = |i: usize| Region { offset: (i * 2 + shift) % 64, rows: 1, len: 2, stride: 2 };
            (0..32).map(|i| Access { read: None, writes: vec![region(i)] }).collect()
        };
        vec![phase(0), phase(2), phase(4)]
    }

    /// Every task adds one to what it writes; each element is written once a phase.
    fn add_one(arena: &Arena, run: u8) {
        let add = |_, _, mut operands: Operands<'_>| {
            let row = operands.writes[0].as_mut().expect("one write").row(0);
            row.iter_mut().for_each(|v| *v += 1.0);
        };
        arena.run(add, |all| assert!(all.iter().all(|&v| v == 3.0 * f32::from(run)), "{all:?}"));
    }
}
