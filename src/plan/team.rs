//! The threads of a session: one resident job on a rayon pool, released once per run.
//!
//! `ThreadPool::broadcast` would do, but allocates its list of jobs on every call, and a run must not allocate. So
//! each pool thread enters [`serve`] when the team is made and leaves it when the team is dropped. Between runs it
//! spins for a moment, in case the next run follows at once, and then sleeps on a condition variable.
//!
//! The job travels as an [`Arc`], which every worker drops before it reports that it is done: between runs the
//! session holds the only reference, and `Arc::get_mut` gives it back its inputs and outputs without any unsafe.
//!
//! Threads that the caller lends (`lent.rs`) are not held: they come for the time of a run, as many as there are, and
//! the job must be one that any number of threads can finish.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::barrier::spin_then_yield;
use super::lent::Lent;
use crate::{Error, Result};

/// What a team works on: each thread calls `work` once per run; threads that are lent perhaps never, or one after the
/// other, and the session's own then once more.
pub(super) trait Job: Send + Sync + 'static {
    /// What a thread keeps between runs.
    type Worker: Send;

    /// Makes a thread's own things; called on that thread, once.
    fn worker(&self) -> Self::Worker;

    /// Does this thread's part of a run.
    fn work(&self, worker: &mut Self::Worker);
}

/// A session's threads: the caller's own and those of a pool.
pub(super) struct Team<J: Job> {
    job: Arc<J>,
    /// The session's own thread's first, then those of threads that are lent.
    workers: Vec<Mutex<J::Worker>>,
    helpers: Helpers<J>,
}

enum Helpers<J> {
    None,
    Own(Arc<Board<J>>, rayon::ThreadPool),
    Lent(Lent),
}

/// Why there are no `threads` threads.
pub(super) fn refused(threads: usize, source: impl Into<crate::error::Source>) -> Error {
    Error::Threads { threads, source: source.into() }
}

/// Where runs are announced.
struct Board<J> {
    /// Counts runs; what spinning workers watch.
    run: AtomicU64,
    /// Workers that have not finished the current run.
    busy: AtomicUsize,
    notice: Mutex<Notice<J>>,
    changed: Condvar,
}

struct Notice<J> {
    run: u64,
    job: Option<Arc<J>>,
    quit: bool,
}

impl<J: Job> Team<J> {
    /// A team of `threads`, the caller included; one means no pool at all. If threads are lent, they come from there.
    pub(super) fn new(job: J, threads: usize, lent: Option<Lent>) -> Result<Self> {
        let job = Arc::new(job);
        let workers = |count: usize| (0..count).map(|_| Mutex::new(job.worker())).collect();
        if threads == 1 {
            return Ok(Self { workers: workers(1), job, helpers: Helpers::None });
        }
        if let Some(lent) = lent {
            return Ok(Self { workers: workers(threads), job, helpers: Helpers::Lent(lent) });
        }
        let workers = workers(1);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads - 1)
            .thread_name(|i| format!("googlenet-{}", i + 1))
            .build()
            .map_err(|source| refused(threads, source))?;
        let board = Arc::new(Board {
            run: AtomicU64::new(0),
            busy: AtomicUsize::new(threads - 1),
            notice: Mutex::new(Notice { run: 0, job: Some(job.clone()), quit: false }),
            changed: Condvar::new(),
        });
        let shared = board.clone();
        pool.spawn_broadcast(move |_| serve(&shared));
        let mut team = Self { job, workers, helpers: Helpers::Own(board, pool) };
        team.wait();
        Ok(team)
    }

    /// The job, between runs.
    pub(super) fn job(&self) -> &J {
        &self.job
    }

    /// The job, to change it between runs.
    pub(super) fn job_mut(&mut self) -> &mut J {
        Arc::get_mut(&mut self.job).expect("workers let go of the job before a run ends")
    }

    /// One run: every thread works once.
    pub(super) fn run(&mut self) {
        if let Helpers::Lent(lent) = &self.helpers {
            // By order of arrival: an index that is called twice must not share a worker's memory.
            let arrived = AtomicUsize::new(0);
            lent.run(self.workers.len(), &|_| {
                if let Some(worker) = self.workers.get(arrived.fetch_add(1, Ordering::Relaxed)) {
                    self.job.work(&mut worker.lock().unwrap_or_else(PoisonError::into_inner));
                }
            });
        }
        if let Helpers::Own(board, pool) = &self.helpers {
            board.busy.store(pool.current_num_threads(), Ordering::Relaxed);
            let mut notice = board.lock();
            notice.run += 1;
            notice.job = Some(self.job.clone());
            board.run.store(notice.run, Ordering::Release);
            drop(notice);
            board.changed.notify_all();
        }
        self.job.work(self.workers[0].get_mut().unwrap_or_else(PoisonError::into_inner));
        self.wait();
    }

    /// Waits until every worker has finished and let go of the job.
    fn wait(&mut self) {
        let Helpers::Own(board, _) = &self.helpers else { return };
        let done = || board.busy.load(Ordering::Acquire) == 0;
        while !spin_then_yield(done) {}
        board.lock().job = None;
    }
}

impl<J> Board<J> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Notice<J>> {
        self.notice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J: Job> Drop for Team<J> {
    fn drop(&mut self) {
        if let Helpers::Own(board, _) = &self.helpers {
            let mut notice = board.lock();
            notice.quit = true;
            notice.run += 1;
            board.run.store(notice.run, Ordering::Release);
            drop(notice);
            board.changed.notify_all();
        }
    }
}

/// A worker's life.
fn serve<J: Job>(board: &Board<J>) {
    let job = board.lock().job.clone().expect("the first notice carries the job");
    let mut own = job.worker();
    drop(job);
    let mut seen = 0;
    board.busy.fetch_sub(1, Ordering::Release);
    loop {
        let posted = || board.run.load(Ordering::Acquire) != seen;
        let spun = spin_then_yield(posted);
        let mut notice = board.lock();
        while !spun && notice.run == seen {
            notice = board.changed.wait(notice).unwrap_or_else(PoisonError::into_inner);
        }
        if notice.quit {
            return;
        }
        seen = notice.run;
        let job = notice.job.clone().expect("a run's notice carries the job");
        drop(notice);
        job.work(&mut own);
        drop(job);
        board.busy.fetch_sub(1, Ordering::Release);
    }
}
