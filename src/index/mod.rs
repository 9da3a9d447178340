//! Indexes of pictures: what a network's features say of each, in a file, and exact search over them.
//!
//! A network's features (GoogLeNet's `pool5`, 1024 values) describe a picture whatever the classes. An index holds them
//! for many pictures, each as a row of length 1, so that the product of two rows is the cosine of the angle between them:
//! 1 for the same features, 0 for such that have nothing in common. [`Index::search`] multiplies all rows with one by the
//! network's own kernel, as fast as memory gives them.
//!
//! The file, whose numbers are little-endian:
//!
//! ```text
//! 0               64 bytes    "googlenet index\n", then zeros
//! 64              rows        f32, [pictures, features], each row of length 1, or 0 where all features are 0
//!                             zeros, to a multiple of 64 bytes
//! names           ends        u64, [pictures]: where each name ends among the names' bytes, which never falls
//!                 names       bytes: the pictures' names, one after the other
//! metadata        JSON        one object of strings
//! end - 64        footer      version u32 = 1, features u32, pictures u64, bytes of names u64, bytes of metadata u64,
//!                             hash of the rows 16 bytes, hash of names, metadata and the footer so far 16 bytes
//! ```
//!
//! Hashes are XXH3 of 128 bits, the lower half first. NumPy reads the rows of an index of n pictures by
//! `numpy.memmap(path, "<f4", "r", 64, (n, 1024))`.
//!
//! ```
//! use googlenet::index::{Index, Writer};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("pictures.index");
//! let mut writer = Writer::create(&path, 2)?;
//! for (name, features) in [("north", [0.0, 2.0]), ("east", [3.0, 0.0]), ("northeast", [5.0, 5.0])] {
//!     writer.push(name.as_bytes(), &features)?;
//! }
//! writer.finish(&Default::default(), false)?;
//!
//! let index = Index::open(&path)?;
//! let found = index.search(&[0.1, 1.0], 2, 1)?;
//! assert_eq!(found.iter().map(|hit| index.name(hit.row)).collect::<Vec<_>>(), [&b"north"[..], b"northeast"]);
//! assert!(found[0].similarity > 0.99 && found[1].similarity < 0.8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod duplicates;
mod format;
mod search;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use googlenet_kernels::isa::Isa;
use xxhash_rust::xxh3::xxh3_128;

use crate::Result;
use crate::aligned::AlignedBytes;
use crate::error::IndexError;
use crate::weights::Storage;

use format::Layout;

pub use duplicates::Group;
pub use search::Hit;
pub use write::Writer;

/// A checked index: immutable, `Send` and `Sync`.
pub struct Index {
    storage: Storage,
    layout: Layout,
    isa: Isa,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Index({} rows of {})", self.len(), self.features())
    }
}

impl Index {
    /// Reads the file at `path` into memory and checks it, its hashes and rows included.
    ///
    /// # Errors
    /// [`FileError`](crate::error::FileError) if the file cannot be read, or an [`IndexError`] that says what is wrong with it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let storage = Storage::read(path, usize::MAX)?;
        let index = Self::new(storage)?;
        index.verify()?;
        Ok(index)
    }

    /// Maps the file at `path` instead of reading it, and checks all of it but the rows, which a search reads anyway:
    /// [`Index::verify`] checks those.
    ///
    /// This function needs the feature `mmap`.
    ///
    /// # Safety
    /// Until the value is dropped, nobody may write to the file or truncate it: not this process, nor any other. Replacing it
    /// by rename, as [`Writer::finish`] does, is harmless.
    ///
    /// # Errors
    /// Those of [`Index::open`].
    #[cfg(feature = "mmap")]
    #[allow(unsafe_code, reason = "hands the caller's promise on to `Storage::map`")]
    pub unsafe fn map(path: impl AsRef<Path>) -> Result<Self> {
        // SAFETY: the caller promises what `Storage::map` asks for.
        Self::new(unsafe { Storage::map(path.as_ref()) }?)
    }

    /// Uses a file that is in memory, and checks it as [`Index::open`] does.
    ///
    /// # Errors
    /// An [`IndexError`] that says what is wrong with it.
    ///
    /// ```
    /// use googlenet::{Error, error::IndexError, index::Index};
    ///
    /// let refused = Index::from_vec(b"googlenet index\n".to_vec()).expect_err("too short");
    /// assert!(matches!(refused, Error::Index(IndexError::Truncated { found: 16, .. })));
    /// ```
    pub fn from_vec(bytes: Vec<u8>) -> Result<Self> {
        let len = bytes.len();
        let bytes = AlignedBytes::from_vec(bytes).map_err(|_| IndexError::Memory { bytes: len })?;
        let index = Self::new(Storage::Owned(bytes))?;
        index.verify()?;
        Ok(index)
    }

    fn new(storage: Storage) -> Result<Self> {
        let layout = Layout::parse(storage.bytes())?;
        let isa = crate::Options::new().chosen_isa()?;
        Ok(Self { storage, layout, isa })
    }

    /// The number of pictures.
    pub fn len(&self) -> usize {
        self.layout.pictures
    }

    /// Whether there are no pictures.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of features of each picture.
    pub fn features(&self) -> usize {
        self.layout.features
    }

    /// The rows, `[pictures, features]`.
    pub fn rows(&self) -> &[f32] {
        bytemuck::cast_slice(&self.storage.bytes()[self.layout.rows.clone()])
    }

    /// The features of the picture `row`.
    ///
    /// # Panics
    /// If there is no such picture.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.rows()[row * self.features()..][..self.features()]
    }

    /// The name of the picture `row`, as the system spells it: bytes of any kind.
    ///
    /// # Panics
    /// If there is no such picture.
    pub fn name(&self, row: usize) -> &[u8] {
        assert!(row < self.len(), "picture {row} of {}", self.len());
        let bytes = self.storage.bytes();
        let begin = row.checked_sub(1).map_or(0, |before| self.layout.end(bytes, before));
        &bytes[self.layout.names.clone()][begin..self.layout.end(bytes, row)]
    }

    /// The metadata, uninterpreted.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.layout.metadata
    }

    /// Checks that the rows are those that were written. Opening a file does this already, unless it is mapped.
    ///
    /// # Errors
    /// [`IndexError::HashMismatch`] or [`IndexError::NoUnit`].
    pub fn verify(&self) -> Result<()> {
        let rows = &self.storage.bytes()[self.layout.rows.clone()];
        format::check_hash("rows", self.layout.rows_hash, xxh3_128(rows))?;
        // Of a file whose writer was another program.
        for (row, values) in self.rows().chunks_exact(self.features()).enumerate() {
            let length = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
            if !(length == 0.0 || (length - 1.0).abs() < 1e-5) {
                return Err(IndexError::NoUnit { row, length }.into());
            }
        }
        Ok(())
    }
}

/// `features` as a row of length 1, or zeros where they are all 0; `None` where that cannot be, as a value is not finite, or
/// their squares are too large or too small to add up.
///
/// ```
/// assert_eq!(googlenet::index::unit(&[3.0, 0.0, -4.0]), Some(vec![0.6, 0.0, -0.8]));
/// assert_eq!(googlenet::index::unit(&[f32::NAN]), None);
/// ```
pub fn unit(features: &[f32]) -> Option<Vec<f32>> {
    let length = features.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    if features.iter().all(|&value| value == 0.0) {
        return Some(vec![0.0; features.len()]);
    }
    // In f64 neither squares nor their sums overflow, and the least f32 that is not 0 has a square.
    length.is_finite().then(|| features.iter().map(|&value| (f64::from(value) / length) as f32).collect())
}

/// A kernel's product of two rows of `features` values and length 1 is off by less than this: `n` roundings of a sum, whose
/// terms add up to at most 1 in magnitude by the inequality of Cauchy and Schwarz, each of half a unit in the last place, and
/// what rounding the values themselves adds to their length.
fn bound(features: usize) -> f32 {
    (features + 16) as f32 * f32::EPSILON / 2.0 * 1.01
}

/// The product of two rows, as good as rounded once: products of f32 are exact in f64, and the sum carries along what each
/// addition rounds off (A. Neumaier 1974).
fn product(a: &[f32], b: &[f32]) -> f64 {
    let (mut sum, mut rest) = (0.0_f64, 0.0_f64);
    for (&a, &b) in a.iter().zip(b) {
        let term = f64::from(a) * f64::from(b);
        let next = sum + term;
        rest += if sum.abs() >= term.abs() { (sum - next) + term } else { (term - next) + sum };
        sum = next;
    }
    sum + rest
}

#[cfg(test)]
mod tests;
