//! Weight files: a strict profile of safetensors, described in `weights/FORMAT.md`.
//!
//! `format.rs` parses and checks a header, `map.rs` maps a file, `metadata.rs` reads what the metadata say about the
//! network and its pictures, `write.rs` writes. [`Weights`] holds the bytes, however they came, and lends tensors.

mod format;
#[cfg(feature = "map")]
mod map;
mod metadata;
mod view;
mod write;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub use format::{Dtype, Profile};
pub use view::Tensor;
pub use write::{NewTensor, write};

use crate::{Error, Result};
use format::Header;

/// A cache line, so that bytes read into memory are aligned as mapped ones are.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// The bytes of a weight file.
enum Bytes {
    Owned {
        lines: Vec<Line>,
        len: usize,
    },
    Static(&'static [u8]),
    #[cfg(feature = "map")]
    Mapped(memmap2::Mmap),
}

/// A checked weight file; immutable.
pub struct Weights {
    bytes: Bytes,
    header: Header,
}

impl Weights {
    /// Reads the file at `path` into memory and checks it, its hash included.
    ///
    /// # Errors
    /// If it cannot be read, or is not of the profile.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|source| Error::Io { path: path.into(), source })?;
        Self::from_bytes(&bytes)
    }

    /// Checks and copies `bytes`.
    ///
    /// # Errors
    /// If they are not of the profile.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::copied(bytes, Profile::Strict)
    }

    /// Checks and copies a safetensors file of another maker: no metadata, no alignment, no hash are asked for.
    ///
    /// # Errors
    /// If `bytes` are no safetensors of f32 and f16.
    pub fn from_plain_bytes(bytes: &[u8]) -> Result<Self> {
        Self::copied(bytes, Profile::Plain)
    }

    /// Checks bytes that are part of the program; nothing is copied.
    ///
    /// # Errors
    /// If they are not of the profile, or do not begin at a multiple of 64 bytes.
    pub fn from_static(bytes: &'static [u8]) -> Result<Self> {
        if !bytes.as_ptr().addr().is_multiple_of(size_of::<Line>()) {
            return Err(Error::Format { at: 0, problem: "static bytes do not begin at a multiple of 64".into() });
        }
        Self::checked(Bytes::Static(bytes), Profile::Strict)
    }

    fn copied(bytes: &[u8], profile: Profile) -> Result<Self> {
        let mut lines = vec![Line([0; 64]); bytes.len().div_ceil(size_of::<Line>())];
        bytemuck::cast_slice_mut::<Line, u8>(&mut lines)[..bytes.len()].copy_from_slice(bytes);
        Self::checked(Bytes::Owned { lines, len: bytes.len() }, profile)
    }

    fn checked(bytes: Bytes, profile: Profile) -> Result<Self> {
        let header = format::parse(bytes.as_slice(), profile)?;
        let weights = Self { bytes, header };
        if profile == Profile::Strict {
            weights.check_hash()?;
        }
        Ok(weights)
    }

    /// The data's hash must be the one that the metadata name.
    fn check_hash(&self) -> Result<()> {
        let expected = self.get("hash")?;
        let found = format::hash(&self.bytes.as_slice()[self.header.data_start..]);
        if expected == found { Ok(()) } else { Err(Error::Hash { expected: expected.into(), found }) }
    }

    /// The metadata, key by key.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.header.metadata
    }

    /// The tensors, in the order of their data.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'_>> {
        self.header.tensors.iter().map(|entry| Tensor::new(entry, self.bytes.as_slice()))
    }

    /// The tensor `name`.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let entry = self.header.tensors.iter().find(|entry| entry.name == name)?;
        Some(Tensor::new(entry, self.bytes.as_slice()))
    }

    /// Bytes of the file.
    pub fn file_len(&self) -> usize {
        self.bytes.as_slice().len()
    }
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Owned { lines, len } => &bytemuck::cast_slice(lines)[..*len],
            Bytes::Static(bytes) => bytes,
            #[cfg(feature = "map")]
            Bytes::Mapped(map) => map,
        }
    }
}
