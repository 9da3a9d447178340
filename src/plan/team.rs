//! The threads of a session: one resident job on a rayon pool, released once per run.
//!
//! `ThreadPool::broadcast` would do, but allocates its list of jobs on every call, and a run must not allocate. So
//! each pool thread enters [`serve`] when the team is made and leaves it when the team is dropped. Between runs it
//! spins for a moment, in case the next run follows at once, and then sleeps on a condition variable.
//!
//! The job travels as an [`Arc`], which every worker drops before it reports that it is done: between runs the
//! session holds the only reference, and `Arc::get_mut` gives it back its inputs and outputs without any unsafe.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::barrier::spin_then_yield;
use crate::{Error, Result};

/// What a team works on: each thread calls `work` once per run.
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
    own: J::Worker,
    helpers: Option<(Arc<Board<J>>, rayon::ThreadPool)>,
}

/// Why there is no pool of `threads` threads.
pub(super) fn refused(threads: usize, source: rayon::ThreadPoolBuildError) -> Error {
    Error::Threads { threads, source: Box::new(source) }
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
    /// A team of `threads`, the caller included; one means no pool at all.
    pub(super) fn new(job: J, threads: usize) -> Result<Self> {
        let job = Arc::new(job);
        let own = job.worker();
        if threads == 1 {
            return Ok(Self { job, own, helpers: None });
        }
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
        let mut team = Self { job, own, helpers: Some((board, pool)) };
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
        if let Some((board, pool)) = &self.helpers {
            board.busy.store(pool.current_num_threads(), Ordering::Relaxed);
            let mut notice = board.lock();
            notice.run += 1;
            notice.job = Some(self.job.clone());
            board.run.store(notice.run, Ordering::Release);
            drop(notice);
            board.changed.notify_all();
        }
        self.job.work(&mut self.own);
        self.wait();
    }

    /// Waits until every worker has finished and let go of the job.
    fn wait(&mut self) {
        let Some((board, _)) = &self.helpers else { return };
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
        if let Some((board, _)) = &self.helpers {
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
