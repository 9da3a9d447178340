//! One tensor of a weight file.

use std::borrow::Cow;

use half::f16;
use xxhash_rust::xxh3::Xxh3;

use super::format::{Dtype, Entry};

/// A tensor, borrowed from its file.
#[derive(Clone, Copy)]
pub struct Tensor<'a> {
    entry: &'a Entry,
    bytes: &'a [u8],
}

impl<'a> Tensor<'a> {
    pub(super) fn new(entry: &'a Entry, file: &'a [u8]) -> Self {
        Self { entry, bytes: &file[entry.start..entry.end] }
    }

    /// Its name.
    pub fn name(&self) -> &'a str {
        &self.entry.name
    }

    /// How its values are stored.
    pub fn dtype(&self) -> Dtype {
        self.entry.dtype
    }

    /// Its shape, outermost dimension first.
    pub fn shape(&self) -> &'a [usize] {
        &self.entry.shape
    }

    /// Where its data begin in the file, in bytes.
    pub fn offset(&self) -> usize {
        self.entry.start
    }

    /// Its data as they are stored.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its values, without copying; none if they are stored as f16 or lie unaligned (in files of other makers).
    pub fn as_f32(&self) -> Option<&'a [f32]> {
        match self.entry.dtype {
            Dtype::F32 => bytemuck::try_cast_slice(self.bytes).ok(),
            Dtype::F16 => None,
        }
    }

    /// Its values as f32, copied only if they must be.
    pub fn to_f32(&self) -> Cow<'a, [f32]> {
        if let Some(values) = self.as_f32() {
            return Cow::Borrowed(values);
        }
        let two = |b: &[u8]| f16::from_le_bytes([b[0], b[1]]).to_f32();
        let four = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        Cow::Owned(match self.entry.dtype {
            Dtype::F16 => self.bytes.chunks_exact(2).map(two).collect(),
            Dtype::F32 => self.bytes.chunks_exact(4).map(four).collect(),
        })
    }

    /// XXH3-128 of its name, shape and values as little-endian f32: equal for equal tensors, however they are stored.
    pub fn hash(&self) -> u128 {
        let mut hasher = Xxh3::new();
        hasher.update(self.name().as_bytes());
        for &dimension in self.shape() {
            hasher.update(&(dimension as u64).to_le_bytes());
        }
        for value in self.to_f32().iter() {
            hasher.update(&value.to_le_bytes());
        }
        hasher.digest128()
    }
}
