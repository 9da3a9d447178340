//! Mapping a weight file: the pages are the file's own, shared by every process that maps it.

#![allow(unsafe_code, reason = "a mapped file can change under us; the caller vouches that it does not")]

use std::fs::File;
use std::path::Path;

use super::{Bytes, Profile, Weights};
use crate::{Error, Result};

impl Weights {
    /// Maps the file at `path` read-only and checks it, its hash included.
    ///
    /// # Safety
    /// As long as the weights live, nobody may change or truncate the file: not this process, no other. A changed
    /// file changes the weights under a running session; a truncated one ends the process with a signal. A file that
    /// is replaced by renaming a new one over it, as [`super::write`] does, is safe. [`Weights::open`] reads the file
    /// into memory instead and asks for nothing.
    ///
    /// # Errors
    /// If it cannot be mapped, or is not of the profile.
    pub unsafe fn map(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let io = |source| Error::Io { path: path.into(), source };
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.len() == 0 {
            return Err(Error::Format { at: 0, problem: "the file is empty".into() });
        }
        // SAFETY: the caller vouches that nobody changes the file; the map is read-only.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        Self::checked(Bytes::Mapped(map), Profile::Strict)
    }
}
