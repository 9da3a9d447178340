//! The threads of a session: they live as long as it does, and are released once per run.
//!
//! They are not those of a rayon pool, though a session can be made to run on one: `broadcast` allocates on every call,
//! and a run must not allocate; and a pool's threads end some time after it is dropped, while a program that unloads this
//! library, or counts its threads, wants them gone. So each thread is in [`serve`] from its start to its end. Between runs
//! the threads wait: they spin for a moment, in case the next run follows at once, and then sleep.
//!
//! The job travels as an [`Arc`], which every worker drops before it reports that it is done: between runs the
//! session holds the only reference, and `Arc::get_mut` gives it back its inputs and outputs without any unsafe.
//!
//! Threads that the caller lends (`lent.rs`) are not held: they come for the time of a run, as many as there are, and
//! the job must be one that any number of threads can finish.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;

use super::lent::Lent;
use super::sync::{Arc, AtomicBool, AtomicU64, AtomicUsize, Builder, JoinHandle, Mutex, MutexGuard, Ordering};
use super::waiting::Waiting;
use crate::error::SessionError;
use crate::{Error, Result};

/// What a team works on: each thread calls `work` once per run; threads that are lent perhaps never, or one after the
/// other, and the session's own then once more.
pub(in crate::plan) trait Job: Send + Sync + 'static {
    /// What a thread keeps between runs.
    type Worker: Send;

    /// Makes the own things of thread `index`, which is 0 for the session's own thread; called once, on that thread unless
    /// it is lent.
    ///
    /// # Errors
    /// If the memory for them cannot be had.
    fn worker(&self, index: usize) -> Result<Self::Worker>;

    /// Does this thread's part of a run.
    fn work(&self, worker: &mut Self::Worker);
}

/// A session's threads: the caller's own and those that help it.
pub(in crate::plan) struct Team<J: Job> {
    job: Arc<J>,
    /// The session's own thread's first, then those of threads that are lent.
    workers: Vec<Mutex<J::Worker>>,
    helpers: Helpers<J>,
}

enum Helpers<J> {
    None,
    Own(Arc<Board<J>>, Vec<JoinHandle<()>>),
    Lent(Lent),
}

/// The error of `threads` threads that the system refused.
pub(super) fn refused(threads: usize, source: impl Into<crate::error::Cause>) -> Error {
    SessionError::Threads { threads, source: source.into() }.into()
}

/// Where runs are announced to a session's own threads.
struct Board<J> {
    /// Whether a worker panicked.
    failed: AtomicBool,
    /// Counts runs; workers wait for it to change.
    run: AtomicU64,
    /// Workers that have not finished the current run; the session's own thread waits for zero.
    busy: AtomicUsize,
    notice: Mutex<Notice<J>>,
    posted: Waiting,
    finished: Waiting,
}

/// What a run is: the job, until it is done, or the end of the team.
struct Notice<J> {
    job: Option<Arc<J>>,
    quit: bool,
    /// Why a thread could not make what it needs.
    refused: Option<Error>,
}

impl<J: Job> Team<J> {
    /// A team of `threads`, the caller included; one thread needs no helpers. If threads are lent, they come from there.
    pub(in crate::plan) fn new(job: J, threads: usize, lent: Option<Lent>) -> Result<Self> {
        let job = Arc::new(job);
        let workers =
            |count: usize| (0..count).map(|index| job.worker(index).map(Mutex::new)).collect::<Result<Vec<_>>>();
        if threads == 1 {
            return Ok(Self { workers: workers(1)?, job, helpers: Helpers::None });
        }
        if let Some(lent) = lent {
            return Ok(Self { workers: workers(threads)?, job, helpers: Helpers::Lent(lent) });
        }
        let workers = workers(1)?;
        let board = Arc::new(Board {
            failed: AtomicBool::new(false),
            run: AtomicU64::new(0),
            busy: AtomicUsize::new(threads - 1),
            notice: Mutex::new(Notice { job: Some(job.clone()), quit: false, refused: None }),
            posted: Waiting::default(),
            finished: Waiting::default(),
        });
        // A team from the start, so that those who did start are told to quit if one does not.
        let mut team = Self { job, workers, helpers: Helpers::Own(board.clone(), Vec::with_capacity(threads - 1)) };
        for i in 1..threads {
            let Helpers::Own(_, handles) = &mut team.helpers else { unreachable!("made above") };
            let board = board.clone();
            let builder = Builder::new().name(format!("googlenet-{i}"));
            handles.push(builder.spawn(move || serve(&*board, i)).map_err(|source| refused(threads, source))?);
        }
        if !team.settle() {
            // Those who did begin end before the panic goes on.
            drop(team);
            panic!("a thread of this session panicked");
        }
        let Helpers::Own(board, _) = &team.helpers else { unreachable!("made above") };
        let refused = board.notice().refused.take();
        refused.map_or(Ok(team), Err)
    }

    /// The job, between runs.
    pub(in crate::plan) fn job(&self) -> &J {
        &self.job
    }

    /// The job, to change it between runs.
    pub(in crate::plan) fn job_mut(&mut self) -> &mut J {
        Arc::get_mut(&mut self.job).expect("workers let go of the job before a run ends")
    }

    /// One run: every thread works once.
    ///
    /// # Panics
    /// If the job does, on whichever thread.
    pub(in crate::plan) fn run(&mut self) {
        match &self.helpers {
            Helpers::None => {}
            Helpers::Lent(lent) => {
                // By order of arrival: an index that is called twice must not share a worker's memory.
                let arrived = AtomicUsize::new(0);
                lent.run(self.workers.len(), &|_| {
                    if let Some(worker) = self.workers.get(arrived.fetch_add(1, Ordering::Relaxed)) {
                        self.job.work(&mut worker.lock().unwrap_or_else(PoisonError::into_inner));
                    }
                });
            }
            Helpers::Own(board, handles) => {
                // A run that unwound on this thread may have left workers behind.
                assert_eq!(board.busy.load(Ordering::Relaxed), 0, "the run before this one did not end");
                board.busy.store(handles.len(), Ordering::Relaxed);
                board.post(|notice| notice.job = Some(self.job.clone()));
            }
        }
        self.job.work(self.workers[0].get_mut().unwrap_or_else(PoisonError::into_inner));
        assert!(self.settle(), "a thread of this session panicked");
    }

    /// Waits until every worker has finished and let go of the job; whether none has panicked.
    fn settle(&mut self) -> bool {
        let Helpers::Own(board, _) = &self.helpers else { return true };
        board.finished.until(|| board.busy.load(Ordering::Acquire) == 0);
        board.notice().job = None;
        !board.failed.load(Ordering::Relaxed)
    }
}

impl<J> Board<J> {
    fn notice(&self) -> MutexGuard<'_, Notice<J>> {
        self.notice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces the next run, or the end.
    fn post(&self, write: impl FnOnce(&mut Notice<J>)) {
        write(&mut self.notice());
        // Relaxed: what a run is travels under the lock of `notice`, which a worker takes after it has seen the count change.
        self.run.fetch_add(1, Ordering::Relaxed);
        self.posted.wake();
    }

    /// A worker has done its part, and holds the job no more.
    fn leave(&self) {
        if self.busy.fetch_sub(1, Ordering::Release) == 1 {
            self.finished.wake();
        }
    }
}

impl<J: Job> Drop for Team<J> {
    fn drop(&mut self) {
        if let Helpers::Own(board, handles) = &mut self.helpers {
            board.post(|notice| notice.quit = true);
            // A worker catches what its job does; if it had panicked itself, there would be nothing left to do about it.
            handles.drain(..).for_each(|handle| drop(handle.join()));
        }
    }
}

/// The life of worker `index`.
fn serve<J: Job>(board: &Board<J>, index: usize) {
    let job = board.notice().job.clone().expect("the first notice carries the job");
    let made = catch_unwind(AssertUnwindSafe(|| job.worker(index)));
    drop(job);
    // Whoever makes the team waits for this thread, and is to hear of it.
    let mut own = match made {
        Ok(Ok(own)) => own,
        Ok(Err(error)) => {
            board.notice().refused = Some(error);
            return board.leave();
        }
        Err(_) => {
            board.failed.store(true, Ordering::Relaxed);
            return board.leave();
        }
    };
    let mut seen = 0;
    board.leave();
    loop {
        board.posted.until(|| board.run.load(Ordering::Relaxed) != seen);
        seen += 1; // the next run is posted only when this one has ended
        let notice = board.notice();
        if notice.quit {
            return;
        }
        let job = notice.job.clone().expect("a run's notice carries the job");
        drop(notice);
        if catch_unwind(AssertUnwindSafe(|| job.work(&mut own))).is_err() {
            board.failed.store(true, Ordering::Relaxed);
        }
        drop(job);
        board.leave();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Everybody adds one; the last worker to come panics in the run that it is told to.
    struct Count {
        count: AtomicUsize,
        panic_at: usize,
    }

    impl Count {
        fn team(threads: usize, panic_at: usize) -> Team<Self> {
            Team::new(Self { count: AtomicUsize::new(0), panic_at }, threads, None).expect("threads")
        }
    }

    impl Job for Count {
        type Worker = ();

        fn worker(&self, _: usize) -> Result<()> {
            Ok(())
        }

        fn work(&self, (): &mut ()) {
            let arrival = self.count.fetch_add(1, Ordering::Relaxed);
            assert_ne!(arrival, self.panic_at, "a test's panic");
        }
    }

    #[test]
    fn every_thread_works_once_a_run() {
        let mut team = Count::team(4, usize::MAX);
        for run in 1..if cfg!(miri) { 4 } else { 100 } {
            team.run();
            assert_eq!(*team.job_mut().count.get_mut(), 4 * run);
        }
    }

    /// The first thread gets its own things; those that help it panic, or have no memory.
    struct Unmade {
        made: AtomicUsize,
        panics: bool,
    }

    impl Job for Unmade {
        type Worker = ();

        fn worker(&self, _: usize) -> Result<()> {
            let is_first = self.made.fetch_add(1, Ordering::Relaxed) == 0;
            assert!(is_first || !self.panics, "a test's panic");
            if is_first { Ok(()) } else { Err(SessionError::Memory { bytes: 9 }.into()) }
        }

        fn work(&self, (): &mut ()) {}
    }

    #[test]
    fn a_thread_that_cannot_begin_is_not_waited_for() {
        for threads in [2, 4] {
            let make = |panics| Team::new(Unmade { made: AtomicUsize::new(0), panics }, threads, None);
            assert!(catch_unwind(|| make(true).is_ok()).is_err());
            let refused = make(false).err().expect("no memory");
            assert!(matches!(refused, Error::Session(SessionError::Memory { bytes: 9 })), "{refused}");
        }
    }

    #[test]
    fn a_panic_on_any_thread_ends_the_run_and_all_threads() {
        for panic_at in 4..8 {
            let mut team = Count::team(4, panic_at);
            team.run();
            assert!(catch_unwind(AssertUnwindSafe(|| team.run())).is_err());
            drop(team); // joins them
        }
    }
}
