//! Mapping a weight file instead of reading it.
//!
//! The system brings in each page of a mapped file when it is first touched, and processes share them. The price is
//! that another process can change or truncate the file while references to its bytes exist, which Rust cannot see and
//! the system does not prevent.

use super::Strictness;
use super::view::{Storage, Weights};
use crate::error::FileError;
use crate::{Result, file};
use std::ops::Range;
use std::path::Path;

impl Weights {
    /// Maps the file at `path`, read-only, and checks it like [`Weights::open`], its hash included. Of a packed file
    /// only the header is checked, as reading all its data would cost more than mapping saves; [`Weights::verify`]
    /// checks the hash, and so does a session that cannot use the packed tensors.
    ///
    /// A page begins at a multiple of 64 bytes in memory, so every tensor does.
    ///
    /// This function needs the feature `mmap`.
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
    ///
    /// ```
    /// use googlenet::weights::Weights;
    ///
    /// // SAFETY: nobody writes to the file while this program runs.
    /// let weights = unsafe { Weights::map("weights/demo.safetensors") }?;
    /// assert_eq!(weights.tensors().len(), 287);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub unsafe fn map(path: impl AsRef<Path>) -> Result<Weights> {
        // SAFETY: the caller promises what `Storage::map` asks for.
        Weights::new(unsafe { Storage::map(path.as_ref()) }?, Strictness::Strict)
    }
}

impl Storage {
    /// Maps the file at `path`, read-only.
    ///
    /// # Safety
    /// Until the value is dropped, nobody may write to the file or truncate it: not this process, nor any other.
    ///
    /// # Errors
    /// [`FileError::Io`] where it cannot be mapped, [`FileError::NotRegular`] where it is a directory, pipe or device.
    pub(crate) unsafe fn map(path: &Path) -> Result<Storage> {
        let io = |action| move |source| FileError::Io { action, path: path.to_owned(), source };
        let file = file::open(path)?;
        crate::faults::point().map_err(io("map"))?;
        // SAFETY: the caller promises that the file does not change while it is mapped; the map is private to
        // `Storage`, which hands out shared references only.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io("map"))?;
        Ok(Storage::Mapped(map))
    }
}

/// Brings `range` of the file into memory at once; the range is widened to whole pages.
#[cfg(target_os = "linux")]
pub(super) fn populate(map: &memmap2::Mmap, range: Range<usize>) {
    let start = range.start / PAGE * PAGE;
    // A Linux older than 5.14 refuses the advice, which does no harm: pages then come in when they are first touched.
    let _ = map.advise_range(memmap2::Advice::PopulateRead, start, range.end - start);
}

/// Does nothing: only Linux has the advice, and elsewhere pages come in when they are first touched.
#[cfg(not(target_os = "linux"))]
pub(super) fn populate(_map: &memmap2::Mmap, _range: Range<usize>) {}

/// A multiple of the page size, whichever a machine has.
#[cfg(target_os = "linux")]
const PAGE: usize = 64 * 1024;

#[cfg(all(test, not(miri)))]
mod tests {
    use super::super::{Dtype, NewTensor, write};
    use super::*;
    use crate::Error;
    use crate::error::WeightsError;
    use std::collections::BTreeMap;

    #[test]
    fn a_mapped_file_is_aligned_checked_and_outlives_its_replacement() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w");
        let put = |values: &[f32]| {
            let new = NewTensor { name: "t", shape: &[2], dtype: Dtype::F32, values: values.into() };
            write(&path, &BTreeMap::new(), &[new], true).unwrap();
        };
        put(&[1.0, 2.0]);
        // SAFETY: only this test knows the folder, and `write` renames instead of changing a file.
        let weights = unsafe { Weights::map(&path) }.unwrap();
        put(&[3.0, 4.0]);
        let tensor = weights.tensor("t").unwrap();
        assert!(tensor.bytes().as_ptr().addr().is_multiple_of(64));
        assert_eq!(tensor.as_f32(), Some(&[1.0, 2.0][..]));

        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        for (name, content) in [("damaged", &bytes[..]), ("empty", &[])] {
            std::fs::write(dir.path().join(name), content).unwrap();
            // SAFETY: only this test knows the folder, and it does not touch the file again.
            let error = unsafe { Weights::map(dir.path().join(name)) }.unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::Weights(WeightsError::HashMismatch { .. } | WeightsError::Truncated { found: 0, .. })
                ),
                "{error:?}"
            );
        }
    }
}
