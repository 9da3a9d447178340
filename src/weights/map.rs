//! Mapping a weights file instead of reading it.
//!
//! Pages come in as they are touched and are shared between processes; the price is that another process can change
//! or truncate the file while references to its bytes exist, which Rust cannot see and the system does not prevent.

use super::Profile;
use super::view::{Storage, Weights};
use crate::{Error, Result};
use std::fs::File;
use std::path::Path;

impl Weights {
    /// Maps the file at `path`, read-only, and checks it like [`Weights::open`], its hash included.
    ///
    /// A page begins at a multiple of 64 bytes, so every tensor does.
    ///
    /// # Safety
    ///
    /// Until the value is dropped, nobody may write to the file or truncate it: not this process, nor any other.
    /// Replacing it by rename, as [`write`](super::write()) does, is harmless: the old file stays as long as it is
    /// mapped.
    ///
    /// # Errors
    ///
    /// Those of [`Weights::open`].
    pub unsafe fn map(path: impl AsRef<Path>) -> Result<Weights> {
        let path = path.as_ref();
        let io = |action| move |source| Error::Io { action, path: path.to_owned(), source };
        let file = File::open(path).map_err(io("open"))?;
        // SAFETY: the caller promises that the file does not change while it is mapped; the map is private to
        // `Storage`, which hands out shared references only.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io("map"))?;
        Weights::new(Storage::Mapped(map), Profile::Strict)
    }
}
