//! 4 lanes of NEON.

use core::arch::{aarch64::*, asm};

use super::Simd;
use crate::isa::Neon;

impl Simd for Neon {
    const LANES: usize = 4;
    type V = float32x4_t;

    on_registers! {
        fn splat(x: f32) -> float32x4_t = vdupq_n_f32(x);
        fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        // `fmax` would return NaN; compare and select keeps the trait's "b where either is NaN".
        fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcgtq_f32(a, b), a, b);
        fn sqrt(a: float32x4_t) -> float32x4_t = vsqrtq_f32(a);
        fn sum(a: float32x4_t) -> f32 = vaddvq_f32(a);
    }

    #[inline(always)]
    unsafe fn load(self, x: *const f32) -> float32x4_t {
        // SAFETY: the caller vouches for 4 readable f32.
        unsafe { vld1q_f32(x) }
    }

    #[inline(always)]
    unsafe fn load_window(self, x: *const f32, from: usize, to: usize) -> float32x4_t {
        debug_assert!(from <= to && to <= 4);
        if (from, to) == (0, 4) {
            // SAFETY: the caller vouches for the elements 0..4.
            return unsafe { vld1q_f32(x) };
        }
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate() {
            if (from..to).contains(&i) {
                // SAFETY: the caller vouches for the elements from..to.
                *lane = unsafe { *x.wrapping_add(i) };
            }
        }
        // SAFETY: `lanes` has 4 elements.
        unsafe { vld1q_f32(lanes.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, x: *const u16) -> float32x4_t {
        // SAFETY: the caller vouches for 4 readable elements.
        let halves = unsafe { vld1_u16(x) };
        let wide: float32x4_t;
        // The instruction is part of NEON, but its intrinsic takes `f16`, which the oldest Rust of this crate has not.
        // SAFETY: registers only; the token proves NEON.
        unsafe {
            asm!("fcvtl {wide:v}.4s, {halves:v}.4h", wide = lateout(vreg) wide, halves = in(vreg) halves,
                options(pure, nomem, nostack, preserves_flags));
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
        // SAFETY: `lanes` has 4 elements.
        unsafe { vld1q_f32(lanes.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store(self, y: *mut f32, v: float32x4_t) {
        // SAFETY: the caller vouches for 4 writable f32.
        unsafe { vst1q_f32(y, v) }
    }

    #[inline(always)]
    unsafe fn store_first(self, y: *mut f32, v: float32x4_t, n: usize) {
        debug_assert!(n <= 4);
        // SAFETY: the pieces cover the first `n` elements, which the caller vouches for.
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
        // SAFETY: register shuffles only; the token proves NEON.
        let transposed = unsafe {
            let (low, high) = (vtrnq_f32(c[0], c[1]), vtrnq_f32(c[2], c[3]));
            [
                vcombine_f32(vget_low_f32(low.0), vget_low_f32(high.0)),
                vcombine_f32(vget_low_f32(low.1), vget_low_f32(high.1)),
                vcombine_f32(vget_high_f32(low.0), vget_high_f32(high.0)),
                vcombine_f32(vget_high_f32(low.1), vget_high_f32(high.1)),
            ]
        };
        for (row, v) in transposed.into_iter().enumerate() {
            if row < rows {
                // SAFETY: the caller vouches for `columns` elements of each of `rows` rows.
                unsafe { self.store_first(y.add(row * stride), v, columns) };
            }
        }
    }
}
