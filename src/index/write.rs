//! Writing an index, row by row: in memory are only the names.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

use crate::Result;
use crate::error::IndexError;
use crate::file::NewFile;

use super::format::{ALIGNMENT, Footer, MAX_FEATURES, MAX_METADATA, MAX_NAMES, MAX_PICTURES, START};
use super::unit;

/// An index in the making; dropped before [`Writer::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct Writer {
    file: NewFile,
    features: usize,
    hasher: Box<Hasher>,
    ends: Vec<u64>,
    names: Vec<u8>,
}

/// A hasher, which says nothing of itself.
struct Hasher(Xxh3Default);

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

impl Writer {
    /// Begins an index of rows of `features` values, which will be the file `path`.
    ///
    /// # Errors
    /// [`IndexError::TooMany`] or [`IndexError::NoFeatures`] where rows cannot be so long, and the errors of
    /// [`NewFile::create`].
    pub fn create(path: impl AsRef<Path>, features: usize) -> Result<Self> {
        match features as u64 {
            0 => return Err(IndexError::NoFeatures.into()),
            found @ ..=MAX_FEATURES => found,
            found => return Err(IndexError::TooMany { what: "features", found, limit: MAX_FEATURES }.into()),
        };
        let mut file = NewFile::create(path)?;
        file.write_all(&START).map_err(|source| file.write_error(source))?;
        let hasher = Box::new(Hasher(Xxh3Default::new()));
        Ok(Self { file, features, hasher, ends: Vec::new(), names: Vec::new() })
    }

    /// The number of pictures so far.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no pictures so far.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds a picture's features, which are brought to the length 1, under its name.
    ///
    /// # Errors
    /// [`IndexError::NotFinite`] where they cannot be brought to the length 1, [`IndexError::RowLength`],
    /// [`IndexError::TooMany`], and the system's of writing.
    pub fn push(&mut self, name: &[u8], features: &[f32]) -> Result<()> {
        if features.len() != self.features {
            return Err(IndexError::RowLength { expected: self.features, found: features.len() }.into());
        }
        let row = unit(features).ok_or(IndexError::NotFinite { row: self.len() })?;
        let more = |what, found: usize, limit: u64| match found as u64 {
            found if found <= limit => Ok(()),
            found => Err(IndexError::TooMany { what, found, limit }),
        };
        more("pictures", self.ends.len() + 1, MAX_PICTURES)?;
        more("bytes of names", self.names.len() + name.len(), MAX_NAMES)?;
        let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.hasher.0.update(&bytes);
        self.file.write_all(&bytes).map_err(|source| self.file.write_error(source))?;
        self.names.extend(name);
        self.ends.push(self.names.len() as u64);
        Ok(())
    }

    /// Completes the file and gives it its name. Without `force` an existing target is an error.
    ///
    /// # Errors
    /// [`IndexError::TooMany`] where `metadata` are too long, and the errors of [`NewFile::commit`].
    pub fn finish(self, metadata: &BTreeMap<String, String>, force: bool) -> Result<()> {
        let Self { mut file, features, hasher, ends, names } = self;
        let metadata = serde_json::to_vec(metadata).expect("strings are JSON");
        if metadata.len() as u64 > MAX_METADATA {
            let (found, limit) = (metadata.len() as u64, MAX_METADATA);
            return Err(IndexError::TooMany { what: "bytes of metadata", found, limit }.into());
        }
        let footer = Footer {
            features: features as u32,
            pictures: ends.len() as u64,
            names_bytes: names.len() as u64,
            metadata_bytes: metadata.len() as u64,
            rows_hash: hasher.0.digest128(),
        };
        let rows_end = START.len() as u64 + 4 * ends.len() as u64 * features as u64;
        let padding = vec![0; (rows_end.next_multiple_of(ALIGNMENT) - rows_end) as usize];
        let mut tail: Vec<u8> = ends.iter().flat_map(|end| end.to_le_bytes()).collect();
        for part in [&names[..], &metadata, &footer.bytes()] {
            tail.extend(part);
        }
        let hash = xxh3_128(&tail).to_le_bytes();
        let parts = [&padding[..], &tail, &hash];
        let written: io::Result<()> = parts.into_iter().try_for_each(|part| file.write_all(part));
        written.map_err(|source| file.write_error(source))?;
        file.commit(force)
    }
}
