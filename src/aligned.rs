//! Bytes on the heap that begin at a multiple of a cache line.
//!
//! Weight files, packed weights, scratch and arenas all lie in such memory: a vector that is loaded from a multiple of
//! its own length then lies in one cache line, and any element type may be read at the beginning.

use std::io;
use std::ops::{Deref, DerefMut};

/// Bytes of a cache line. Every [`AlignedBytes`] and every buffer of an arena begins at a multiple of it.
pub(crate) const LINE: usize = 64;

/// A fixed number of bytes, the first at a multiple of [`LINE`].
pub(crate) struct AlignedBytes {
    /// The bytes and what lies before them. It never grows, so it never moves.
    memory: Vec<u8>,
    start: usize,
}

impl AlignedBytes {
    /// `len` zeros, for a length that a file or a caller asks for.
    ///
    /// # Errors
    /// If the memory cannot be had.
    pub(crate) fn try_zeroed(len: usize) -> io::Result<Self> {
        let padded = len.checked_add(LINE - 1).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut memory: Vec<u8> = Vec::new();
        memory.try_reserve_exact(padded).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let start = memory.as_ptr().addr().wrapping_neg() % LINE;
        memory.resize(start + len, 0);
        Ok(Self { memory, start })
    }

    /// A copy of `bytes`.
    ///
    /// # Errors
    /// If the memory cannot be had.
    pub(crate) fn try_copy(bytes: &[u8]) -> io::Result<Self> {
        let mut copy = Self::try_zeroed(bytes.len())?;
        copy.copy_from_slice(bytes);
        Ok(copy)
    }

    /// `bytes` themselves where they begin at a multiple of [`LINE`], else a copy of them.
    ///
    /// # Errors
    /// If the memory for a copy cannot be had.
    pub(crate) fn from_vec(bytes: Vec<u8>) -> io::Result<Self> {
        match is_aligned(&bytes) {
            true => Ok(Self { memory: bytes, start: 0 }),
            false => Self::try_copy(&bytes),
        }
    }
}

/// `len` values of f32, all 0.
///
/// # Errors
/// If the memory cannot be had.
pub(crate) fn try_zeros(len: usize) -> io::Result<Vec<f32>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    values.resize(len, 0.0);
    Ok(values)
}

/// Whether `bytes` begin at a multiple of [`LINE`].
pub(crate) fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().addr().is_multiple_of(LINE)
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..]
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_begins_a_line() {
        for len in [0, 1, 63, 64, 1000] {
            let mut bytes = AlignedBytes::try_zeroed(len).expect("memory");
            assert_eq!((bytes.len(), bytes.as_ptr().align_offset(64)), (len, 0));
            assert!(bytes.iter_mut().all(|byte| std::mem::replace(byte, 1) == 0));
            let ones = vec![1; len];
            assert!(is_aligned(&AlignedBytes::try_copy(&ones).expect("memory")));
            let kept = AlignedBytes::from_vec(ones.clone()).expect("memory");
            assert!(is_aligned(&kept) && kept[..] == ones[..]);
        }
        assert!(AlignedBytes::try_zeroed(usize::MAX).is_err() && try_zeros(usize::MAX).is_err());
    }
}
