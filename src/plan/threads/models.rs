//! Models of the threads' meetings: `loom` runs each in every order in which the threads' steps, and the stores that the
//! others see of them, may come, up to some preemptions, and finds stale reads, lost wake-ups and threads that wait for ever.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p googlenet --no-default-features --lib models::`, as `.ci/trust` has it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use loom::sync::Arc;
use loom::thread;

use super::progress::Progress;
use super::sync::{AtomicUsize, Ordering};
use super::team::{Job, Team};
use super::waiting::Waiting;
use crate::Result;

/// Explores `model`, with `usual` preemptions, or as many as `LOOM_MAX_PREEMPTIONS` says.
fn explore(usual: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(usual));
    builder.check(model);
}

/// Memory that a thread writes and others read later. Nothing in an access orders it: unless the threads' meeting does, `loom`
/// lets a reader see what was there before.
struct Cells(Vec<AtomicUsize>);

impl Cells {
    fn new(n: usize) -> Self {
        Self((0..n).map(|_| AtomicUsize::new(0)).collect())
    }

    fn write(&self, i: usize, value: usize) {
        self.0[i].store(value, Ordering::Relaxed);
    }

    fn read(&self, i: usize) -> usize {
        self.0[i].load(Ordering::Relaxed)
    }
}

/// Three threads of which each waits for the one before it.
#[test]
fn nobody_sleeps_for_ever() {
    explore(2, || {
        let shared = Arc::new((Waiting::default(), AtomicUsize::new(0), Cells::new(1)));
        let turn = |own: usize, shared: &(Waiting, AtomicUsize, Cells)| {
            let (waiting, turn, cells) = shared;
            waiting.until(|| turn.load(Ordering::Acquire) == own);
            assert_eq!(cells.read(0), own);
            cells.write(0, own + 1);
            turn.store(own + 1, Ordering::Release);
            waiting.wake();
        };
        let threads: Vec<_> = (1..3)
            .map(|own| {
                let shared = shared.clone();
                thread::spawn(move || turn(own, &shared))
            })
            .collect();
        turn(0, &shared);
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(shared.2.read(0), 3);
    });
}

/// Does what tasks there are on this thread: those of a first phase each write a cell, and one of a second phase reads them
/// all. Returns whether the run ended without a panic.
fn walk(progress: &Progress, cells: &Cells, tasks: &[usize], panics: Option<(usize, usize)>) -> bool {
    let run = || {
        for phase in 0..tasks.len() {
            while let Some(task) = progress.claim(phase) {
                let is_last = progress.perform(phase, || {
                    assert_ne!(panics, Some((phase, task)), "a test's panic");
                    match phase {
                        0 => cells.write(task, cells.read(task) + 1),
                        _ => cells.write(2, (0..tasks[0]).map(|task| cells.read(task)).sum()),
                    }
                });
                // Whoever ends a phase sees what all of its tasks wrote, as the thread does that copies outputs.
                if is_last {
                    let seen =
                        if phase == 0 { (0..tasks[0]).map(|task| cells.read(task)).sum() } else { cells.read(2) };
                    assert_eq!(seen, tasks[0]);
                }
            }
            progress.wait(phase);
        }
    };
    catch_unwind(AssertUnwindSafe(run)).is_ok()
}

/// Three threads walk through phases of so many tasks; whether each ended without a panic, this one's first.
fn together(tasks: &'static [usize], panics: Option<(usize, usize)>) -> (Vec<bool>, usize) {
    let mut progress = Progress::new(tasks.to_vec());
    progress.rewind();
    let shared = Arc::new((progress, Cells::new(3)));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let shared = shared.clone();
            thread::spawn(move || walk(&shared.0, &shared.1, tasks, panics))
        })
        .collect();
    let mut ended = vec![walk(&shared.0, &shared.1, tasks, panics)];
    let result = shared.1.read(2);
    ended.extend(threads.into_iter().map(|thread| thread.join().expect("caught")));
    (ended, result)
}

#[test]
fn phases_stay_apart() {
    explore(1, || assert_eq!(together(&[2, 1], None), (vec![true; 3], 2)));
}

/// Whichever task panics, on whichever thread, no thread waits for it for ever.
#[test]
fn a_task_that_panics_ends_the_run() {
    let cases: [(&[usize], _); 3] = [(&[2], (0, 0)), (&[2], (0, 1)), (&[1, 1], (1, 0))];
    for (tasks, panics) in cases {
        explore(1, move || assert_eq!(together(tasks, Some(panics)).0, [false; 3]));
    }
}

/// Every thread adds to a cell of its own, by order of arrival; one may panic, when it is made or when it works.
struct Adding {
    cells: Cells,
    arrived: AtomicUsize,
    made: AtomicUsize,
    panics_made: Option<usize>,
    panics_at: Option<usize>,
}

impl Adding {
    fn new(panics_made: Option<usize>, panics_at: Option<usize>) -> Self {
        let (arrived, made) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { cells: Cells::new(6), arrived, made, panics_made, panics_at }
    }
}

impl Job for Adding {
    type Worker = usize;

    fn worker(&self, _: usize) -> Result<usize> {
        let own = self.made.fetch_add(1, Ordering::Relaxed);
        assert_ne!(self.panics_made, Some(own), "a test's panic");
        Ok(own)
    }

    fn work(&self, _own: &mut usize) {
        let arrival = self.arrived.fetch_add(1, Ordering::Relaxed);
        assert_ne!(self.panics_at, Some(arrival), "a test's panic");
        self.cells.write(arrival, arrival + 1);
    }
}

/// The caller and two threads of the team's own, in two runs; between them the caller has the job alone.
#[test]
fn a_run_ends_when_every_thread_has_let_go_of_the_job() {
    explore(2, || {
        let mut team = Team::new(Adding::new(None, None), THREADS, None).expect("threads");
        for run in 1..=RUNS {
            team.run();
            let job = team.job_mut();
            assert_eq!(job.arrived.load(Ordering::Relaxed), run * THREADS);
            (0..run * THREADS).for_each(|i| assert_eq!(job.cells.read(i), i + 1));
        }
    });
}

#[test]
fn a_panic_on_any_thread_ends_the_run_and_all_threads() {
    for panics_at in 0..THREADS {
        explore(2, move || {
            let mut team = Team::new(Adding::new(None, Some(panics_at)), THREADS, None).expect("threads");
            assert!(catch_unwind(AssertUnwindSafe(|| team.run())).is_err());
            drop(team); // joins them
        });
    }
}

#[test]
fn a_thread_that_cannot_begin_is_not_waited_for() {
    // The first is the caller's own.
    for panics_made in 1..THREADS {
        explore(2, move || {
            let made = catch_unwind(|| Team::new(Adding::new(Some(panics_made), None), THREADS, None).is_ok());
            assert!(made.is_err());
        });
    }
}

const THREADS: usize = 3;
const RUNS: usize = 2;
