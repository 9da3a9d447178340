//! Files that one run alone writes to, and goes on with where an earlier one ended.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::file::fault_point;

/// A file that this run alone writes to, until it is dropped. To close the file would not do: a process that another thread
/// is about to start has it, too, until it becomes its own program.
pub struct Locked(pub File);

impl Locked {
    /// Opens the file at `path`, or makes it, for this run alone, where the file system has locks. What is written to it is
    /// appended. `busy` says that another run has it.
    pub fn open(path: &Path, busy: &'static str) -> io::Result<Self> {
        fault_point()?;
        let file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(io::Error::new(ErrorKind::ResourceBusy, busy)),
            _ => Ok(Self(file)),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // If it fails, the lock ends with the last of those that have the file.
        let _ = self.0.unlock();
    }
}
