//! Failures of the system that a test asks for.
//!
//! Every place of this crate where the system may refuse to read, write or name a file passes a [`point`] first. In a build
//! with debug assertions the environment says which of a process's points fails: `GOOGLENET_FAULT=7:FILE` lets the seventh,
//! and makes the empty file `FILE`, so that whoever asked knows that it did; `0:FILE` fails none, and makes `FILE` as many bytes
//! long as there were points. In other builds points are nothing.

use std::fs::File;
use std::io::{self, Read, Write};

/// Fails if it is this point's turn.
#[cfg(debug_assertions)]
pub(crate) fn point() -> io::Result<()> {
    use std::fs::OpenOptions;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static PASSED: AtomicU64 = AtomicU64::new(0);
    static ASKED: LazyLock<Option<(u64, String)>> = LazyLock::new(|| {
        let text = std::env::var("GOOGLENET_FAULT").ok()?;
        let (number, path) = text.split_once(':')?;
        Some((number.parse().ok()?, path.to_owned()))
    });
    match &*ASKED {
        Some((0, path)) => OpenOptions::new().create(true).append(true).open(path)?.write_all(b"."),
        Some((number, path)) if PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *number => {
            File::create(path)?;
            Err(io::ErrorKind::StorageFull.into())
        }
        _ => Ok(()),
    }
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn point() -> io::Result<()> {
    Ok(())
}

/// A file of which each read and write passes a point.
#[derive(Debug)]
pub(crate) struct Watched(pub File);

impl Read for Watched {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        point()?;
        self.0.read(bytes)
    }
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        point()?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
