//! The small vector trait that every kernel is written over.
//!
//! A kernel is one `#[inline(always)]` function, generic over [`Simd`]; each instruction set instantiates it inside
//! a thin `#[target_feature]` entry, so that everything inlines into code compiled for that set. The value that
//! implements the trait is the set's proof token: whoever holds it may execute the instructions.
//!
//! Everything between an entry and the intrinsics must be `#[inline(always)]`, or an instruction becomes a call.

/// Methods of [`Simd`] that are one expression on registers.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! on_registers {
    ($(fn $name:ident($($argument:ident: $type:ty),+) -> $result:ty = $expression:expr;)+) => {$(
        #[inline(always)]
        fn $name(self, $($argument: $type),+) -> $result {
            // SAFETY: the token, `self`, proves the set; no memory is touched.
            unsafe { $expression }
        }
    )+};
}

/// The same of WebAssembly, whose instructions ask nothing of the caller: a module that has them loads only where they are.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
macro_rules! on_wasm_registers {
    ($(fn $name:ident($($argument:ident: $type:ty),+) -> $result:ty = $expression:expr;)+) => {$(
        #[inline(always)]
        fn $name(self, $($argument: $type),+) -> $result {
            $expression
        }
    )+};
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bytes;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod extended;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod portable;
#[cfg(test)]
mod tests;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

pub(crate) use bytes::{Bytes, INTERLEAVED, MOST_BYTES};
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub(crate) use portable::Portable;

/// The most lanes of any set's vector.
pub(crate) const MOST_LANES: usize = 16;

/// Vectors of f32 of one instruction set.
///
/// Arithmetic is IEEE single precision, lane by lane. `mul_add` rounds once where the set has a fused multiply-add
/// (all but [`Portable`] on x86, and WebAssembly without its relaxed instructions).
pub(crate) trait Simd: Bytes {
    /// f32 lanes of a vector.
    const LANES: usize;

    /// One vector register.
    type V: Copy;

    /// One vector register of as many words: integers of 32 bits, whose sums wrap around.
    type W: Copy;

    /// Every lane `x`.
    fn splat(self, x: f32) -> Self::V;
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger of `a` and `b`; `b` where either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller of `a` and `b`; `b` where either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The square root.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// The sum of all lanes, always in the same order.
    fn sum(self, a: Self::V) -> f32;

    /// Every word `x`.
    fn splat_word(self, x: u32) -> Self::W;
    /// `a + b`.
    fn add_words(self, a: Self::W, b: Self::W) -> Self::W;
    /// The bits that are set in both.
    fn and_words(self, a: Self::W, b: Self::W) -> Self::W;
    /// The bits that are set in either.
    fn or_words(self, a: Self::W, b: Self::W) -> Self::W;
    /// Every word moved up by `n` bits, at most 31, which should be known when this is compiled.
    fn shift_left(self, a: Self::W, n: u32) -> Self::W;
    /// Every word moved down by `n` bits, at most 31, zeros coming in; `n` should be known when this is compiled.
    fn shift_right(self, a: Self::W, n: u32) -> Self::W;
    /// The bits of f32.
    fn bits(self, a: Self::V) -> Self::W;
    /// The f32 of these bits.
    fn of_bits(self, a: Self::W) -> Self::V;
    /// All bits of the lanes that are NaN, none of the others.
    fn is_nan(self, a: Self::V) -> Self::W;
    /// All bits of the lanes `from..to`, none of the others; both are at most `LANES`.
    fn lane_mask(self, from: usize, to: usize) -> Self::W;
    /// Every word as an i32 in f32, rounded to the nearest, of two to the even.
    fn to_f32(self, a: Self::W) -> Self::V;
    /// The nearest integers, of two the even one, as i32. Every lane lies between -2^22 and 2^22.
    fn round(self, a: Self::V) -> Self::W;

    /// `acc` plus, in each word as i32, the products of its four bytes: those of `x` without a sign, those of `w` with one.
    /// The bytes of `w` are such that no two neighbours (the first and second, or the third and fourth) of one sign add up to
    /// more than 128: some sets add their products in 16 bits.
    fn dot_u8_s8(self, acc: Self::W, x: Self::W, w: Self::W) -> Self::W;

    /// `acc` plus, in each word as i32, the products of its two halves, all as i16. No half is -2^15 on both sides.
    fn dot_i16(self, acc: Self::W, x: Self::W, w: Self::W) -> Self::W;

    /// `acc` plus, in each lane, the products of two bf16, the upper halves of the words first.
    ///
    /// Each product is added with a rounding of its own, but how subnormals are taken, and whether the product is rounded
    /// before, is up to the set.
    #[inline(always)]
    fn dot_bf16(self, acc: Self::V, x: Self::W, w: Self::W) -> Self::V {
        let upper = {
            #[inline(always)]
            |words| self.of_bits(self.and_words(words, self.splat_word(0xFFFF_0000)))
        };
        let lower = {
            #[inline(always)]
            |words| self.of_bits(self.shift_left(words, 16))
        };
        let acc = self.mul_add(upper(x), upper(w), acc);
        self.mul_add(lower(x), lower(w), acc)
    }

    /// The vectors of a tile of `LANES` rows: lane `column` of vector `row` is lane `row` of `tile[column]`, 0 where there is
    /// no such column. `tile` has at most `LANES` vectors, and its length should be known when this is compiled; vectors
    /// from `LANES` on are 0.
    fn transposed(self, tile: &[Self::V]) -> [Self::V; MOST_LANES];

    /// Asks for the cache line of `x`, which may point anywhere, to be brought near; where the set cannot, nothing.
    #[inline(always)]
    fn prefetch(self, x: *const f32) {
        let _ = x;
    }

    /// Word `i` is `x[i]`.
    ///
    /// # Safety
    /// `x` is valid for reads of `LANES` words; any alignment.
    unsafe fn load_words(self, x: *const u32) -> Self::W;

    /// Word `i` is `x[i]`.
    ///
    /// # Safety
    /// `x` is valid for reads of `LANES` bytes.
    unsafe fn load_u8(self, x: *const u8) -> Self::W;

    /// Word `i` is `x[i]`.
    ///
    /// # Safety
    /// `x` is valid for reads of `LANES` elements; any alignment.
    unsafe fn load_u16(self, x: *const u16) -> Self::W;

    /// `y[i]` becomes word `i`.
    ///
    /// # Safety
    /// `y` is valid for writes of `LANES` words; any alignment.
    unsafe fn store_words(self, y: *mut u32, w: Self::W);

    /// `y[i]` becomes word `i`, which is at most 255, for `i < n`; nothing else is written.
    ///
    /// # Safety
    /// `n <= LANES`, and `y` is valid for writes of `n` bytes.
    unsafe fn store_first_u8(self, y: *mut u8, w: Self::W, n: usize);

    /// `y[i]` becomes the nearest whole number from 0 to 255 to lane `i`, of two the even one, and 0 for NaN: of the lanes of
    /// `a`, and behind them of those of `b`.
    ///
    /// # Safety
    /// `y` is valid for writes of `2 * LANES` bytes.
    #[inline(always)]
    unsafe fn store_two_u8(self, y: *mut u8, a: Self::V, b: Self::V) {
        for (i, v) in [a, b].into_iter().enumerate() {
            let v = self.round(self.min(self.max(v, self.splat(0.0)), self.splat(255.0)));
            // SAFETY: the caller vouches for two vectors of bytes.
            unsafe { self.store_first_u8(y.add(i * Self::LANES), v, Self::LANES) };
        }
    }

    /// `y[i]` becomes word `i`, which is at most 65,535, for `i < n`; nothing else is written.
    ///
    /// # Safety
    /// `n <= LANES`, and `y` is valid for writes of `n` elements; any alignment.
    unsafe fn store_first_u16(self, y: *mut u16, w: Self::W, n: usize);

    /// Lane `i` is `x[i]`.
    ///
    /// # Safety
    /// `x` is valid for reads of `LANES` f32, and aligned as f32 are.
    unsafe fn load(self, x: *const f32) -> Self::V;

    /// Lane `i` is `x[i]` for `from <= i < to`, 0 elsewhere. Only those elements are read, so `x` itself may point
    /// outside of any buffer.
    ///
    /// # Safety
    /// `from <= to <= LANES`, and the elements `from..to` from `x` are valid for reads, and aligned as
    /// f32 are.
    unsafe fn load_window(self, x: *const f32, from: usize, to: usize) -> Self::V;

    /// Lane `i` is the number whose f16 bits are `x[i]`, as f32: exactly, subnormals and infinities, too, and a NaN as a
    /// NaN.
    ///
    /// # Safety
    /// `x` is valid for reads of `LANES` elements, and aligned as u16 are.
    unsafe fn load_f16(self, x: *const u16) -> Self::V;

    /// Lane `i` is the number whose f16 bits are `x[i]` for `i < n`, 0 elsewhere.
    ///
    /// # Safety
    /// `n <= LANES`, and `x` is valid for reads of `n` elements, and aligned as u16 are.
    #[inline(always)]
    unsafe fn load_first_f16(self, x: *const u16, n: usize) -> Self::V {
        debug_assert!(n <= Self::LANES);
        let mut lanes = [0; MOST_LANES];
        for (i, lane) in lanes[..Self::LANES].iter_mut().enumerate() {
            if i < n {
                // SAFETY: the caller vouches for the elements 0..n.
                *lane = unsafe { *x.add(i) };
            }
        }
        // SAFETY: `lanes` has at least LANES elements.
        unsafe { self.load_f16(lanes.as_ptr()) }
    }

    /// Lane `i` is `x[2 * i]` for `from <= i < to`, 0 elsewhere; only elements between the first and the last of
    /// those are read.
    ///
    /// # Safety
    /// `from < to <= LANES`, and the elements `2 * from ..= 2 * (to - 1)` from `x` are valid for reads, and aligned as
    /// f32 are.
    unsafe fn load_even_window(self, x: *const f32, from: usize, to: usize) -> Self::V;

    /// Lane `i` is `x[stride * i]` for `from <= i < to`, 0 elsewhere. Only those elements are read, so `x` itself may point
    /// outside of any buffer.
    ///
    /// # Safety
    /// `from <= to <= LANES`, `stride` is at most 2^24, and the elements `stride * i` from `x` are valid for reads for
    /// those `i`, and aligned as f32 are.
    #[inline(always)]
    unsafe fn load_strided_window(self, x: *const f32, stride: usize, from: usize, to: usize) -> Self::V {
        debug_assert!(from <= to && to <= Self::LANES);
        let mut lanes = [0.0; MOST_LANES];
        for (i, lane) in lanes[..Self::LANES].iter_mut().enumerate() {
            if (from..to).contains(&i) {
                // SAFETY: the caller vouches for the elements of from..to.
                *lane = unsafe { *x.wrapping_add(stride * i) };
            }
        }
        // SAFETY: `lanes` has at least LANES elements.
        unsafe { self.load(lanes.as_ptr()) }
    }

    /// `y[i]` becomes lane `i`.
    ///
    /// # Safety
    /// `y` is valid for writes of `LANES` f32, and aligned as f32 are.
    unsafe fn store(self, y: *mut f32, v: Self::V);

    /// `y[i]` becomes lane `i` for `i < n`; nothing else is written.
    ///
    /// # Safety
    /// `n <= LANES`, and `y` is valid for writes of `n` f32, and aligned as f32 are.
    unsafe fn store_first(self, y: *mut f32, v: Self::V, n: usize);

    /// Writes a tile transposed: `y[row * stride + column]` becomes lane `row` of `tile[column]`, for `row < rows` and
    /// `column < columns`. `tile` has at most `LANES` vectors; its length should be known when this is compiled.
    ///
    /// # Safety
    /// `rows <= LANES`, `columns <= tile.len()`, and each of the `rows` rows is valid for writes of `columns` f32, all of them
    /// in one allocation, and aligned as f32 are.
    unsafe fn store_transposed(self, tile: &[Self::V], columns: usize, y: *mut f32, stride: usize, rows: usize);
}
