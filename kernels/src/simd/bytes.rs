//! Vectors of bytes, of which every set has far more lanes than of f32.

/// How many bytes of a plane are interleaved at a time.
pub(crate) const INTERLEAVED: usize = 16;

/// The most lanes of any set's vector of bytes.
pub(crate) const MOST_BYTES: usize = 32;

/// Vectors of unsigned bytes of one instruction set.
///
/// A vector is also pairs: bytes `2 * i` and `2 * i + 1` are pair `i`, so that what takes every second byte of memory may
/// leave each where it lies, with a byte of 0 behind it, until the last step.
pub(crate) trait Bytes: Copy {
    /// Lanes of a vector: an even number of at most [`MOST_BYTES`].
    const BYTES: usize;

    /// One vector register.
    type B: Copy;

    /// Every lane `x`.
    fn splat_byte(self, x: u8) -> Self::B;
    /// The larger of `a` and `b`.
    fn max_bytes(self, a: Self::B, b: Self::B) -> Self::B;
    /// The bits that are set in both.
    fn and_bytes(self, a: Self::B, b: Self::B) -> Self::B;
    /// The first byte of each pair, in its place, and 0 in the place of the second.
    fn first_of_pairs(self, a: Self::B) -> Self::B;
    /// The second byte of each pair, in the place of the first, and 0 in its own.
    fn second_of_pairs(self, a: Self::B) -> Self::B;
    /// The first bytes of the pairs of `a`, and behind them those of `b`. The second byte of every pair is 0.
    fn firsts(self, a: Self::B, b: Self::B) -> Self::B;

    /// Lane `i` is `x[i]`.
    ///
    /// # Safety
    /// `x` is valid for reads of `BYTES` bytes.
    unsafe fn load_bytes(self, x: *const u8) -> Self::B;

    /// `y[i]` becomes lane `i`.
    ///
    /// # Safety
    /// `y` is valid for writes of `BYTES` bytes.
    unsafe fn store_bytes(self, y: *mut u8, b: Self::B);

    /// `y[i]` becomes the word of the bytes `x[i]`, `x[stride + i]`, `x[2 * stride + i]` and `x[3 * stride + i]`, the first in
    /// the lowest bits, each of them masked by `mask[i]`.
    ///
    /// # Safety
    /// `x` is valid for reads of `INTERLEAVED` bytes at 0, `stride`, `2 * stride` and `3 * stride`, and `y` for writes of
    /// `INTERLEAVED` words; any alignment.
    #[inline(always)]
    unsafe fn interleave(self, x: *const u8, stride: usize, mask: &[u8; INTERLEAVED], y: *mut u32) {
        for (i, mask) in mask.iter().enumerate() {
            // SAFETY: the caller vouches for byte `i` of each of the four, and for word `i`.
            unsafe {
                let byte = |of: usize| *x.add(of * stride + i) & mask;
                y.add(i).write_unaligned(u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)]));
            }
        }
    }
}
