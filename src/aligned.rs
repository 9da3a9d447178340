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
    /// `len` zeros, which the system makes as they are touched.
    ///
    /// # Panics
    /// If no memory can be that large. If there is only too little of it, the program ends, as for any other vector.
    pub(crate) fn zeroed(len: usize) -> Self {
        let memory = vec![0; len.checked_add(LINE - 1).expect("less than all memory there can be")];
        Self { start: memory.as_ptr().addr().wrapping_neg() % LINE, memory }.of(len)
    }

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
    pub(crate) fn copy(bytes: &[u8]) -> Self {
        let mut copy = Self::zeroed(bytes.len());
        copy.copy_from_slice(bytes);
        copy
    }

    /// The first `len` bytes of what is there.
    fn of(mut self, len: usize) -> Self {
        self.memory.truncate(self.start + len);
        self
    }

    /// `bytes` themselves where they begin at a multiple of [`LINE`], else a copy of them.
    pub(crate) fn from_vec(bytes: Vec<u8>) -> Self {
        match is_aligned(&bytes) {
            true => Self { memory: bytes, start: 0 },
            false => Self::copy(&bytes),
        }
    }
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
            for mut bytes in [AlignedBytes::zeroed(len), AlignedBytes::try_zeroed(len).expect("memory")] {
                assert_eq!((bytes.len(), bytes.as_ptr().align_offset(64)), (len, 0));
                assert!(bytes.iter_mut().all(|byte| std::mem::replace(byte, 1) == 0));
            }
            let ones = vec![1; len];
            assert!(is_aligned(&AlignedBytes::copy(&ones)));
            let kept = AlignedBytes::from_vec(ones.clone());
            assert!(is_aligned(&kept) && kept[..] == ones[..]);
        }
        assert!(AlignedBytes::try_zeroed(usize::MAX).is_err());
    }
}
