//! 4 lanes of NEON.

use core::arch::{aarch64::*, asm};

use super::{Bytes, INTERLEAVED, MOST_LANES, Simd};
use crate::isa::Neon;

impl Simd for Neon {
    const LANES: usize = 4;
    type V = float32x4_t;
    type W = uint32x4_t;

    on_registers! {
        fn splat(x: f32) -> float32x4_t = vdupq_n_f32(x);
        fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        // `fmax` would return NaN; compare and select keeps the trait's "b where either is NaN".
        fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcgtq_f32(a, b), a, b);
        fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcltq_f32(a, b), a, b);
        fn sqrt(a: float32x4_t) -> float32x4_t = vsqrtq_f32(a);
        fn splat_word(x: u32) -> uint32x4_t = vdupq_n_u32(x);
        fn add_words(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vaddq_u32(a, b);
        fn and_words(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vandq_u32(a, b);
        fn or_words(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vorrq_u32(a, b);
        fn shift_left(a: uint32x4_t, n: u32) -> uint32x4_t = vshlq_u32(a, vdupq_n_s32(n.cast_signed()));
        fn shift_right(a: uint32x4_t, n: u32) -> uint32x4_t = vshlq_u32(a, vdupq_n_s32(-n.cast_signed()));
        fn bits(a: float32x4_t) -> uint32x4_t = vreinterpretq_u32_f32(a);
        fn of_bits(a: uint32x4_t) -> float32x4_t = vreinterpretq_f32_u32(a);
        fn is_nan(a: float32x4_t) -> uint32x4_t = vmvnq_u32(vceqq_f32(a, a));
        fn to_f32(a: uint32x4_t) -> float32x4_t = vcvtq_f32_s32(vreinterpretq_s32_u32(a));
        fn round(a: float32x4_t) -> uint32x4_t = vreinterpretq_u32_s32(vcvtnq_s32_f32(a));
        fn sum(a: float32x4_t) -> f32 = vaddvq_f32(a);
    }

    #[inline(always)]
    fn lane_mask(self, from: usize, to: usize) -> uint32x4_t {
        debug_assert!(from <= to && to <= 4);
        // SAFETY: the four elements of an array; the token proves NEON.
        unsafe {
            let lane = vld1q_u32([0, 1, 2, 3].as_ptr());
            vandq_u32(vcgeq_u32(lane, vdupq_n_u32(from as u32)), vcltq_u32(lane, vdupq_n_u32(to as u32)))
        }
    }

    #[inline(always)]
    fn dot_u8_s8(self, acc: uint32x4_t, x: uint32x4_t, w: uint32x4_t) -> uint32x4_t {
        // SAFETY: registers only; the token proves NEON.
        unsafe {
            let (x, w) = (vreinterpretq_u16_u32(x), vreinterpretq_s16_u32(w));
            // Of each pair of bytes the lower, and the upper, widened to 16 bits.
            let x = [vandq_u16(x, vdupq_n_u16(0xFF)), vshrq_n_u16::<8>(x)].map(|x| vreinterpretq_s16_u16(x));
            let w = [vshrq_n_s16::<8>(vshlq_n_s16::<8>(w)), vshrq_n_s16::<8>(w)];
            let low = vmull_s16(vget_low_s16(x[0]), vget_low_s16(w[0]));
            let low = vmlal_s16(low, vget_low_s16(x[1]), vget_low_s16(w[1]));
            let high = vmull_s16(vget_high_s16(x[0]), vget_high_s16(w[0]));
            let high = vmlal_s16(high, vget_high_s16(x[1]), vget_high_s16(w[1]));
            vaddq_u32(acc, vreinterpretq_u32_s32(vpaddq_s32(low, high)))
        }
    }

    #[inline(always)]
    fn dot_i16(self, acc: uint32x4_t, x: uint32x4_t, w: uint32x4_t) -> uint32x4_t {
        // SAFETY: registers only; the token proves NEON.
        unsafe {
            let (x, w) = (vreinterpretq_s16_u32(x), vreinterpretq_s16_u32(w));
            let low = vmull_s16(vget_low_s16(x), vget_low_s16(w));
            let high = vmull_s16(vget_high_s16(x), vget_high_s16(w));
            vaddq_u32(acc, vreinterpretq_u32_s32(vpaddq_s32(low, high)))
        }
    }

    #[inline(always)]
    fn transposed(self, tile: &[float32x4_t]) -> [float32x4_t; MOST_LANES] {
        let mut c = [self.splat(0.0); 4];
        c[..tile.len()].copy_from_slice(tile);
        let mut rows = [self.splat(0.0); MOST_LANES];
        // SAFETY: the token proves NEON.
        rows[..4].copy_from_slice(&unsafe { transpose(c) });
        rows
    }

    #[inline(always)]
    unsafe fn load_words(self, x: *const u32) -> uint32x4_t {
        // SAFETY: the caller vouches for 4 readable words; vld1 takes any alignment; the token proves NEON.
        unsafe { vld1q_u32(x) }
    }

    #[inline(always)]
    unsafe fn load_u8(self, x: *const u8) -> uint32x4_t {
        // SAFETY: the caller vouches for 4 readable bytes; the token proves NEON.
        unsafe {
            let bytes = vreinterpret_u8_u32(vdup_n_u32(x.cast::<u32>().read_unaligned()));
            vmovl_u16(vget_low_u16(vmovl_u8(bytes)))
        }
    }

    #[inline(always)]
    unsafe fn load_u16(self, x: *const u16) -> uint32x4_t {
        // SAFETY: the caller vouches for 4 readable elements; vld1 takes any alignment; the token proves NEON.
        unsafe { vmovl_u16(vld1_u16(x)) }
    }

    #[inline(always)]
    unsafe fn store_words(self, y: *mut u32, w: uint32x4_t) {
        // SAFETY: the caller vouches for 4 writable words; vst1 takes any alignment; the token proves NEON.
        unsafe { vst1q_u32(y, w) }
    }

    #[inline(always)]
    unsafe fn store_first_u8(self, y: *mut u8, w: uint32x4_t, n: usize) {
        debug_assert!(n <= 4);
        // SAFETY: the first `n` bytes, which the caller vouches for; the token proves NEON.
        unsafe {
            let halves = vmovn_u32(w);
            let bytes = vget_lane_u32::<0>(vreinterpret_u32_u8(vmovn_u16(vcombine_u16(halves, halves))));
            if n == 4 {
                return y.cast::<u32>().write_unaligned(bytes);
            }
            y.copy_from_nonoverlapping(bytes.to_ne_bytes().as_ptr(), n);
        }
    }

    #[inline(always)]
    unsafe fn store_first_u16(self, y: *mut u16, w: uint32x4_t, n: usize) {
        debug_assert!(n <= 4);
        // SAFETY: the first `n` elements, which the caller vouches for, and 4 are there to copy; vst1 takes any alignment; the
        // token proves NEON.
        unsafe {
            let halves = vmovn_u32(w);
            if n == 4 {
                return vst1_u16(y, halves);
            }
            let mut lanes = [0_u16; 4];
            vst1_u16(lanes.as_mut_ptr(), halves);
            y.cast::<u8>().copy_from_nonoverlapping(lanes.as_ptr().cast(), 2 * n);
        }
    }

    #[inline(always)]
    unsafe fn load(self, x: *const f32) -> float32x4_t {
        // SAFETY: the caller vouches for 4 readable f32; the token proves NEON.
        unsafe { vld1q_f32(x) }
    }

    #[inline(always)]
    unsafe fn load_window(self, x: *const f32, from: usize, to: usize) -> float32x4_t {
        debug_assert!(from <= to && to <= 4);
        if (from, to) == (0, 4) {
            // SAFETY: the caller vouches for the elements 0..4; the token proves NEON.
            return unsafe { vld1q_f32(x) };
        }
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate() {
            if (from..to).contains(&i) {
                // SAFETY: the caller vouches for the elements from..to.
                *lane = unsafe { *x.wrapping_add(i) };
            }
        }
        // SAFETY: `lanes` has 4 elements; the token proves NEON.
        unsafe { vld1q_f32(lanes.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, x: *const u16) -> float32x4_t {
        // SAFETY: the caller vouches for 4 readable elements; the token proves NEON.
        let halves = unsafe { vld1_u16(x) };
        let wide: float32x4_t;
        // The instruction is part of NEON, but its intrinsic takes `f16`, which the oldest Rust of this crate has not. It
        // sets a flag for a signalling NaN, and so does not preserve flags.
        // SAFETY: registers only; the token proves NEON.
        unsafe {
            asm!("fcvtl {wide:v}.4s, {halves:v}.4h", wide = lateout(vreg) wide, halves = in(vreg) halves,
                options(pure, nomem, nostack));
        }
        wide
    }

    #[inline(always)]
    unsafe fn load_even_window(self, x: *const f32, from: usize, to: usize) -> float32x4_t {
        debug_assert!(from < to && to <= 4);
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate() {
            if (from..to).contains(&i) {
                // SAFETY: the caller vouches for the elements 2 * from ..= 2 * (to - 1).
                *lane = unsafe { *x.wrapping_add(2 * i) };
            }
        }
        // SAFETY: `lanes` has 4 elements; the token proves NEON.
        unsafe { vld1q_f32(lanes.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store(self, y: *mut f32, v: float32x4_t) {
        // SAFETY: the caller vouches for 4 writable f32; the token proves NEON.
        unsafe { vst1q_f32(y, v) }
    }

    #[inline(always)]
    unsafe fn store_first(self, y: *mut f32, v: float32x4_t, n: usize) {
        debug_assert!(n <= 4);
        // SAFETY: the pieces cover the first `n` elements, which the caller vouches for; the token proves NEON.
        unsafe {
            if n == 4 {
                return vst1q_f32(y, v);
            }
            let (mut piece, mut y) = (vget_low_f32(v), y);
            if n & 2 != 0 {
                vst1_f32(y, piece);
                (piece, y) = (vget_high_f32(v), y.add(2));
            }
            if n & 1 != 0 {
                vst1_lane_f32::<0>(y, piece);
            }
        }
    }

    #[inline(always)]
    unsafe fn store_transposed(self, tile: &[float32x4_t], columns: usize, y: *mut f32, stride: usize, rows: usize) {
        debug_assert!(columns <= tile.len() && tile.len() <= 4 && rows <= 4);
        let mut c = [self.splat(0.0); 4];
        c[..tile.len()].copy_from_slice(tile);
        // SAFETY: the token proves NEON.
        let transposed = unsafe { transpose(c) };
        for (row, v) in transposed.into_iter().enumerate() {
            if row < rows {
                // SAFETY: the caller vouches for `columns` elements of each of `rows` rows.
                unsafe { self.store_first(y.add(row * stride), v, columns) };
            }
        }
    }
}

impl Bytes for Neon {
    const BYTES: usize = 16;
    type B = uint8x16_t;

    on_registers! {
        fn splat_byte(x: u8) -> uint8x16_t = vdupq_n_u8(x);
        fn max_bytes(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t = vmaxq_u8(a, b);
        fn and_bytes(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t = vandq_u8(a, b);
        fn first_of_pairs(a: uint8x16_t) -> uint8x16_t = vtrn1q_u8(a, vdupq_n_u8(0));
        fn second_of_pairs(a: uint8x16_t) -> uint8x16_t = vtrn2q_u8(a, vdupq_n_u8(0));
        fn firsts(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t = vuzp1q_u8(a, b);
    }

    #[inline(always)]
    unsafe fn load_bytes(self, x: *const u8) -> uint8x16_t {
        // SAFETY: the caller vouches for 16 readable bytes; the token proves NEON.
        unsafe { vld1q_u8(x) }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, y: *mut u8, b: uint8x16_t) {
        // SAFETY: the caller vouches for 16 writable bytes; the token proves NEON.
        unsafe { vst1q_u8(y, b) }
    }

    #[inline(always)]
    unsafe fn interleave(self, x: *const u8, stride: usize, mask: &[u8; INTERLEAVED], y: *mut u32) {
        // SAFETY: the caller vouches for 16 bytes of each plane and 16 words; any alignment; the token proves NEON.
        unsafe {
            let mask = vld1q_u8(mask.as_ptr());
            let plane = {
                #[inline(always)]
                |i: usize| vandq_u8(vld1q_u8(x.add(i * stride)), mask)
            };
            vst4q_u8(y.cast(), uint8x16x4_t(plane(0), plane(1), plane(2), plane(3)));
        }
    }
}

/// A 4x4 transpose.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn transpose(c: [float32x4_t; 4]) -> [float32x4_t; 4] {
    // SAFETY: register shuffles only; the caller vouches for NEON.
    unsafe {
        let (low, high) = (vtrnq_f32(c[0], c[1]), vtrnq_f32(c[2], c[3]));
        [
            vcombine_f32(vget_low_f32(low.0), vget_low_f32(high.0)),
            vcombine_f32(vget_low_f32(low.1), vget_low_f32(high.1)),
            vcombine_f32(vget_high_f32(low.0), vget_high_f32(high.0)),
            vcombine_f32(vget_high_f32(low.1), vget_high_f32(high.1)),
        ]
    }
}
