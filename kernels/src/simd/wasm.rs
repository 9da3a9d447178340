//! 4 lanes of WebAssembly: 128-bit SIMD, and the relaxed multiply-add where the module is built with it.
//!
//! A module is compiled by the browser as a whole: one with instructions that the browser lacks does not load, and there is
//! nothing to ask at run time. So the set is there exactly in builds with the target feature `simd128`, and the multiply-add
//! is relaxed (fused where the machine can) in those with `relaxed-simd`.

use core::arch::wasm32::*;

use super::{Bytes, INTERLEAVED, MOST_LANES, Simd};
use crate::isa::Simd128;

impl Simd for Simd128 {
    const LANES: usize = 4;
    type V = v128;
    type W = v128;

    on_wasm_registers! {
        fn splat(x: f32) -> v128 = f32x4_splat(x);
        fn add(a: v128, b: v128) -> v128 = f32x4_add(a, b);
        fn sub(a: v128, b: v128) -> v128 = f32x4_sub(a, b);
        fn mul(a: v128, b: v128) -> v128 = f32x4_mul(a, b);
        fn div(a: v128, b: v128) -> v128 = f32x4_div(a, b);
        fn sqrt(a: v128) -> v128 = f32x4_sqrt(a);
        fn splat_word(x: u32) -> v128 = u32x4_splat(x);
        fn add_words(a: v128, b: v128) -> v128 = u32x4_add(a, b);
        fn and_words(a: v128, b: v128) -> v128 = v128_and(a, b);
        fn or_words(a: v128, b: v128) -> v128 = v128_or(a, b);
        fn shift_left(a: v128, n: u32) -> v128 = u32x4_shl(a, n);
        fn shift_right(a: v128, n: u32) -> v128 = u32x4_shr(a, n);
        fn bits(a: v128) -> v128 = a;
        fn of_bits(a: v128) -> v128 = a;
        fn is_nan(a: v128) -> v128 = f32x4_ne(a, a);
        fn to_f32(a: v128) -> v128 = f32x4_convert_i32x4(a);
        fn round(a: v128) -> v128 = i32x4_trunc_sat_f32x4(f32x4_nearest(a));
        fn dot_i16(acc: v128, x: v128, w: v128) -> v128 = i32x4_add(acc, i32x4_dot_i16x8(x, w));
    }

    #[inline(always)]
    fn mul_add(self, a: v128, b: v128, c: v128) -> v128 {
        #[cfg(target_feature = "relaxed-simd")]
        return f32x4_relaxed_madd(a, b, c);
        #[cfg(not(target_feature = "relaxed-simd"))]
        return f32x4_add(f32x4_mul(a, b), c);
    }

    #[inline(always)]
    fn max(self, a: v128, b: v128) -> v128 {
        // `f32x4.max` would return NaN; the pseudo-maximum of `b` and `a` is `b < a ? a : b`, the trait's "b where either is NaN".
        // With relaxed instructions the compiler takes `f32x4.relaxed_max` for it, which may return either.
        #[cfg(target_feature = "relaxed-simd")]
        return v128_bitselect(a, b, f32x4_gt(a, b));
        #[cfg(not(target_feature = "relaxed-simd"))]
        return f32x4_pmax(b, a);
    }

    #[inline(always)]
    fn min(self, a: v128, b: v128) -> v128 {
        #[cfg(target_feature = "relaxed-simd")]
        return v128_bitselect(a, b, f32x4_lt(a, b));
        #[cfg(not(target_feature = "relaxed-simd"))]
        return f32x4_pmin(b, a);
    }

    #[inline(always)]
    fn sum(self, a: v128) -> f32 {
        let pairs = f32x4_add(a, i32x4_shuffle::<2, 3, 2, 3>(a, a));
        f32x4_extract_lane::<0>(pairs) + f32x4_extract_lane::<1>(pairs)
    }

    #[inline(always)]
    fn lane_mask(self, from: usize, to: usize) -> v128 {
        debug_assert!(from <= to && to <= 4);
        let lane = u32x4(0, 1, 2, 3);
        v128_and(u32x4_ge(lane, u32x4_splat(from as u32)), u32x4_lt(lane, u32x4_splat(to as u32)))
    }

    #[inline(always)]
    fn dot_u8_s8(self, acc: v128, x: v128, w: v128) -> v128 {
        // Of each pair of bytes the lower, and the upper, widened to 16 bits.
        let x = [v128_and(x, u16x8_splat(0xFF)), u16x8_shr(x, 8)];
        let w = [i16x8_shr(i16x8_shl(w, 8), 8), i16x8_shr(w, 8)];
        i32x4_add(acc, i32x4_add(i32x4_dot_i16x8(x[0], w[0]), i32x4_dot_i16x8(x[1], w[1])))
    }

    #[inline(always)]
    fn transposed(self, tile: &[v128]) -> [v128; MOST_LANES] {
        let mut c = [f32x4_splat(0.0); 4];
        c[..tile.len()].copy_from_slice(tile);
        let mut rows = [f32x4_splat(0.0); MOST_LANES];
        rows[..4].copy_from_slice(&transpose(c));
        rows
    }

    #[inline(always)]
    unsafe fn load_words(self, x: *const u32) -> v128 {
        // SAFETY: the caller vouches for 4 readable words; any alignment.
        unsafe { v128_load(x.cast()) }
    }

    #[inline(always)]
    unsafe fn load_u8(self, x: *const u8) -> v128 {
        // SAFETY: the caller vouches for 4 readable bytes; any alignment.
        u32x4_extend_low_u16x8(u16x8_extend_low_u8x16(unsafe { v128_load32_zero(x.cast()) }))
    }

    #[inline(always)]
    unsafe fn load_u16(self, x: *const u16) -> v128 {
        // SAFETY: the caller vouches for 4 readable elements; any alignment.
        unsafe { u32x4_load_extend_u16x4(x) }
    }

    #[inline(always)]
    unsafe fn store_words(self, y: *mut u32, w: v128) {
        // SAFETY: the caller vouches for 4 writable words; any alignment.
        unsafe { v128_store(y.cast(), w) }
    }

    #[inline(always)]
    unsafe fn store_first_u8(self, y: *mut u8, w: v128, n: usize) {
        debug_assert!(n <= 4);
        let halves = u16x8_narrow_i32x4(w, w);
        let bytes = u32x4_extract_lane::<0>(u8x16_narrow_i16x8(halves, halves));
        // SAFETY: the first `n` bytes, which the caller vouches for, and 4 are there to copy.
        unsafe {
            if n == 4 {
                return y.cast::<u32>().write_unaligned(bytes);
            }
            y.copy_from_nonoverlapping(bytes.to_le_bytes().as_ptr(), n);
        }
    }

    #[inline(always)]
    unsafe fn store_two_u8(self, y: *mut u8, a: v128, b: v128) {
        // A NaN converts to 0, and narrowing saturates, at 0 and 255, what lies within 16 bits.
        let words = |v| i32x4_trunc_sat_f32x4(f32x4_nearest(v));
        let halves = i16x8_narrow_i32x4(words(a), words(b));
        // SAFETY: the caller vouches for 8 writable bytes; any alignment.
        unsafe { v128_store64_lane::<0>(u8x16_narrow_i16x8(halves, halves), y.cast()) }
    }

    #[inline(always)]
    unsafe fn store_first_u16(self, y: *mut u16, w: v128, n: usize) {
        debug_assert!(n <= 4);
        let halves = u64x2_extract_lane::<0>(u16x8_narrow_i32x4(w, w));
        // SAFETY: the first `n` elements, which the caller vouches for, and 4 are there to copy.
        unsafe { y.cast::<u8>().copy_from_nonoverlapping(halves.to_le_bytes().as_ptr(), 2 * n) }
    }

    #[inline(always)]
    unsafe fn load(self, x: *const f32) -> v128 {
        // SAFETY: the caller vouches for 4 readable f32; any alignment.
        unsafe { v128_load(x.cast()) }
    }

    #[inline(always)]
    unsafe fn load_window(self, x: *const f32, from: usize, to: usize) -> v128 {
        debug_assert!(from <= to && to <= 4);
        if (from, to) == (0, 4) {
            // SAFETY: the caller vouches for the elements 0..4.
            return unsafe { v128_load(x.cast()) };
        }
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate() {
            if (from..to).contains(&i) {
                // SAFETY: the caller vouches for the elements from..to.
                *lane = unsafe { *x.wrapping_add(i) };
            }
        }
        f32x4(lanes[0], lanes[1], lanes[2], lanes[3])
    }

    #[inline(always)]
    unsafe fn load_f16(self, x: *const u16) -> v128 {
        // SAFETY: the caller vouches for 4 readable elements.
        widen(unsafe { self.load_u16(x) })
    }

    #[inline(always)]
    unsafe fn load_even_window(self, x: *const f32, from: usize, to: usize) -> v128 {
        debug_assert!(from < to && to <= 4);
        if (from, to) == (0, 4) {
            // The seven elements from the first to the last, of which the fourth is read twice.
            // SAFETY: the caller vouches for the elements 0 to 6.
            let (low, high) = unsafe { (v128_load(x.cast()), v128_load(x.add(3).cast())) };
            return i32x4_shuffle::<0, 2, 5, 7>(low, high);
        }
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate() {
            if (from..to).contains(&i) {
                // SAFETY: the caller vouches for the elements 2 * from ..= 2 * (to - 1).
                *lane = unsafe { *x.wrapping_add(2 * i) };
            }
        }
        f32x4(lanes[0], lanes[1], lanes[2], lanes[3])
    }

    #[inline(always)]
    unsafe fn store(self, y: *mut f32, v: v128) {
        // SAFETY: the caller vouches for 4 writable f32; any alignment.
        unsafe { v128_store(y.cast(), v) }
    }

    #[inline(always)]
    unsafe fn store_first(self, y: *mut f32, v: v128, n: usize) {
        debug_assert!(n <= 4);
        // SAFETY: the pieces cover the first `n` elements, which the caller vouches for.
        unsafe {
            if n == 4 {
                return v128_store(y.cast(), v);
            }
            let (mut piece, mut y) = (v, y);
            if n & 2 != 0 {
                v128_store64_lane::<0>(piece, y.cast());
                (piece, y) = (i32x4_shuffle::<2, 3, 2, 3>(v, v), y.add(2));
            }
            if n & 1 != 0 {
                v128_store32_lane::<0>(piece, y.cast());
            }
        }
    }

    #[inline(always)]
    unsafe fn store_transposed(self, tile: &[v128], columns: usize, y: *mut f32, stride: usize, rows: usize) {
        debug_assert!(columns <= tile.len() && tile.len() <= 4 && rows <= 4);
        let mut c = [f32x4_splat(0.0); 4];
        c[..tile.len()].copy_from_slice(tile);
        for (row, v) in transpose(c).into_iter().enumerate() {
            if row < rows {
                // SAFETY: the caller vouches for `columns` elements of each of `rows` rows.
                unsafe { self.store_first(y.add(row * stride), v, columns) };
            }
        }
    }
}

impl Bytes for Simd128 {
    const BYTES: usize = 16;
    type B = v128;

    on_wasm_registers! {
        fn splat_byte(x: u8) -> v128 = u8x16_splat(x);
        fn max_bytes(a: v128, b: v128) -> v128 = u8x16_max(a, b);
        fn and_bytes(a: v128, b: v128) -> v128 = v128_and(a, b);
        fn first_of_pairs(a: v128) -> v128 = v128_and(a, u16x8_splat(0xFF));
        fn second_of_pairs(a: v128) -> v128 = u16x8_shr(a, 8);
        fn firsts(a: v128, b: v128) -> v128 = u8x16_narrow_i16x8(a, b);
    }

    #[inline(always)]
    unsafe fn load_bytes(self, x: *const u8) -> v128 {
        // SAFETY: the caller vouches for 16 readable bytes.
        unsafe { v128_load(x.cast()) }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, y: *mut u8, b: v128) {
        // SAFETY: the caller vouches for 16 writable bytes.
        unsafe { v128_store(y.cast(), b) }
    }

    #[inline(always)]
    unsafe fn interleave(self, x: *const u8, stride: usize, mask: &[u8; INTERLEAVED], y: *mut u32) {
        // SAFETY: the caller vouches for 16 bytes of each plane and 16 words; any alignment.
        unsafe {
            let mask = v128_load(mask.as_ptr().cast());
            let plane = {
                #[inline(always)]
                |i: usize| v128_and(v128_load(x.add(i * stride).cast()), mask)
            };
            let planes = [plane(0), plane(1), plane(2), plane(3)];
            let pairs = [bytes_low(planes[0], planes[1]), bytes_low(planes[2], planes[3])];
            let y = y.cast::<v128>();
            v128_store(y, halves_low(pairs[0], pairs[1]));
            v128_store(y.add(1), halves_high(pairs[0], pairs[1]));
            let pairs = [bytes_high(planes[0], planes[1]), bytes_high(planes[2], planes[3])];
            v128_store(y.add(2), halves_low(pairs[0], pairs[1]));
            v128_store(y.add(3), halves_high(pairs[0], pairs[1]));
        }
    }
}

/// The first eight bytes of both, by turns.
#[inline(always)]
fn bytes_low(a: v128, b: v128) -> v128 {
    i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b)
}

/// The last eight bytes of both, by turns.
#[inline(always)]
fn bytes_high(a: v128, b: v128) -> v128 {
    i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b)
}

/// The first four pairs of bytes of both, by turns.
#[inline(always)]
fn halves_low(a: v128, b: v128) -> v128 {
    i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a, b)
}

/// The last four pairs of bytes of both, by turns.
#[inline(always)]
fn halves_high(a: v128, b: v128) -> v128 {
    i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a, b)
}

/// A 4x4 transpose.
#[inline(always)]
fn transpose(c: [v128; 4]) -> [v128; 4] {
    let low = [i32x4_shuffle::<0, 4, 1, 5>(c[0], c[1]), i32x4_shuffle::<0, 4, 1, 5>(c[2], c[3])];
    let high = [i32x4_shuffle::<2, 6, 3, 7>(c[0], c[1]), i32x4_shuffle::<2, 6, 3, 7>(c[2], c[3])];
    [
        i32x4_shuffle::<0, 1, 4, 5>(low[0], low[1]),
        i32x4_shuffle::<2, 3, 6, 7>(low[0], low[1]),
        i32x4_shuffle::<0, 1, 4, 5>(high[0], high[1]),
        i32x4_shuffle::<2, 3, 6, 7>(high[0], high[1]),
    ]
}

/// The numbers whose f16 bits are these words, as f32. No f32 on the way is subnormal.
#[inline(always)]
fn widen(halves: v128) -> v128 {
    // Exponent and fraction, 5 bits and 10, and then where an f32 has its own.
    let magnitude = v128_and(halves, u32x4_splat(0x7FFF));
    let sign = u32x4_shl(v128_xor(halves, magnitude), 16);
    let shifted = u32x4_shl(magnitude, 13);
    // The bias of an f32's exponent is 127, of an f16's 15. A subnormal's fraction counts in 2^-24: with the exponent of
    // 2^-14 it is 2^-14 too much.
    let is_subnormal = i32x4_lt(magnitude, i32x4_splat(0x0400));
    let exponent = i32x4_add(i32x4_splat((127 - 15) << 23), v128_and(is_subnormal, i32x4_splat(1 << 23)));
    let excess = v128_and(is_subnormal, i32x4_splat((127 - 14) << 23));
    let finite = f32x4_sub(i32x4_add(shifted, exponent), excess);
    // Of infinities and NaN all bits of the exponent are set.
    let special = v128_and(i32x4_gt(magnitude, i32x4_splat(0x7BFF)), i32x4_splat(0xFF << 23));
    v128_or(v128_or(finite, special), sign)
}
