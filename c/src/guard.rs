//! One call at a time on what a handle holds, and none in a process that its threads are not in.

use std::sync::atomic::{AtomicBool, Ordering};

use super::process::Process;
use super::status::{Failure, Status};

/// What stands beside the value of a handle, and says who may use it.
pub(super) struct Guard {
    /// Whether a call is being made.
    busy: AtomicBool,
    /// Whether a call panicked.
    broken: AtomicBool,
    /// The process in which the value's threads are; `None` if it has no threads of its own.
    process: Option<Process>,
    /// What the value is called.
    name: &'static str,
}

/// The right to use the value, until it is dropped.
pub(super) struct Entered<'a>(&'a Guard);

impl Guard {
    /// The guard of a new value, which has threads of its own or not.
    pub(super) fn new(name: &'static str, starts_threads: bool) -> Self {
        let process = starts_threads.then(Process::counted);
        Self { busy: AtomicBool::new(false), broken: AtomicBool::new(false), process, name }
    }

    /// Claims the value, or says why it cannot be used now.
    pub(super) fn enter(&self) -> Result<Entered<'_>, Failure> {
        let name = self.name;
        if self.is_forked() {
            let text = format!("{name} has threads, which a fork leaves behind; after a fork, one thread works");
            return Err(Failure::new(Status::GOOGLENET_ERR_FORKED, text));
        }
        if self.busy.swap(true, Ordering::Acquire) {
            return Err(self.is_busy());
        }
        let entered = Entered(self);
        match self.broken.load(Ordering::Relaxed) {
            false => Ok(entered),
            true => {
                let text = format!("{name} is broken by a fault of the library's own");
                Err(Failure::new(Status::GOOGLENET_ERR_INTERNAL, text))
            }
        }
    }

    /// Claims the value for good, to be freed. False if its threads are in another process: they cannot be told to end, and
    /// what they have locked stays locked, so that its memory cannot be freed.
    pub(super) fn close(&self) -> Result<bool, Failure> {
        match self.is_forked() {
            true => Ok(false),
            false if self.busy.swap(true, Ordering::Acquire) => Err(self.is_busy()),
            false => Ok(true),
        }
    }

    fn is_busy(&self) -> Failure {
        Failure::new(Status::GOOGLENET_ERR_BUSY, format!("{} is in use by another call", self.name))
    }

    fn is_forked(&self) -> bool {
        self.process.is_some_and(|process| process != Process::now())
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.store(true, Ordering::Relaxed);
        }
        self.0.busy.store(false, Ordering::Release);
    }
}
