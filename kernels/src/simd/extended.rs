//! Sets that are another set and one instruction more: every operation is the other set's, but one. And AVX-512 F, as far as
//! it is AVX2.

#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::*;
#[cfg(target_arch = "aarch64")]
use core::arch::{aarch64::*, asm};

use super::{Bytes, INTERLEAVED, MOST_LANES, Simd};
#[cfg(target_arch = "x86_64")]
use crate::isa::{Avx2, Avx2Vnni, Avx512, Avx512Bf16, Avx512Bw, Avx512Vnni};
#[cfg(target_arch = "aarch64")]
use crate::isa::{Neon, NeonBf16, NeonDot, NeonI8mm};

/// Implements [`Simd`] for `$name` as `$base` does, but for the operation that follows.
macro_rules! extended {
    ($name:ident of $base:ident { $($own:item)+ }) => {
        impl Simd for $name {
            const LANES: usize = $base::LANES;
            type V = <$base as Simd>::V;
            type W = <$base as Simd>::W;

            $($own)+

            as_the_base! {
                fn splat(x: f32) -> Self::V;
                fn add(a: Self::V, b: Self::V) -> Self::V;
                fn sub(a: Self::V, b: Self::V) -> Self::V;
                fn mul(a: Self::V, b: Self::V) -> Self::V;
                fn div(a: Self::V, b: Self::V) -> Self::V;
                fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
                fn max(a: Self::V, b: Self::V) -> Self::V;
                fn min(a: Self::V, b: Self::V) -> Self::V;
                fn sqrt(a: Self::V) -> Self::V;
                fn sum(a: Self::V) -> f32;
                fn splat_word(x: u32) -> Self::W;
                fn add_words(a: Self::W, b: Self::W) -> Self::W;
                fn and_words(a: Self::W, b: Self::W) -> Self::W;
                fn or_words(a: Self::W, b: Self::W) -> Self::W;
                fn shift_left(a: Self::W, n: u32) -> Self::W;
                fn shift_right(a: Self::W, n: u32) -> Self::W;
                fn bits(a: Self::V) -> Self::W;
                fn of_bits(a: Self::W) -> Self::V;
                fn is_nan(a: Self::V) -> Self::W;
                fn lane_mask(from: usize, to: usize) -> Self::W;
                fn to_f32(a: Self::W) -> Self::V;
                fn round(a: Self::V) -> Self::W;
                fn transposed(tile: &[Self::V]) -> [Self::V; MOST_LANES];
                fn prefetch(x: *const f32) -> ();
            }
            unsafe_as_the_base! {
                fn load_words(x: *const u32) -> Self::W;
                fn load_u8(x: *const u8) -> Self::W;
                fn load_u16(x: *const u16) -> Self::W;
                fn store_words(y: *mut u32, w: Self::W) -> ();
                fn store_first_u8(y: *mut u8, w: Self::W, n: usize) -> ();
                fn store_two_u8(y: *mut u8, a: Self::V, b: Self::V) -> ();
                fn store_first_u16(y: *mut u16, w: Self::W, n: usize) -> ();
                fn load(x: *const f32) -> Self::V;
                fn load_window(x: *const f32, from: usize, to: usize) -> Self::V;
                fn load_f16(x: *const u16) -> Self::V;
                fn load_even_window(x: *const f32, from: usize, to: usize) -> Self::V;
                fn load_strided_window(x: *const f32, stride: usize, from: usize, to: usize) -> Self::V;
                fn store(y: *mut f32, v: Self::V) -> ();
                fn store_first(y: *mut f32, v: Self::V, n: usize) -> ();
                fn store_transposed(tile: &[Self::V], columns: usize, y: *mut f32, stride: usize, rows: usize) -> ();
            }
        }

        bytes_as_the_base! { $name of $base }
    };
}

/// Implements [`Bytes`] for `$name` as `$base` does.
macro_rules! bytes_as_the_base {
    ($name:ident of $base:ident) => {
        impl Bytes for $name {
            const BYTES: usize = $base::BYTES;
            type B = <$base as Bytes>::B;

            as_the_base! {
                fn splat_byte(x: u8) -> Self::B;
                fn max_bytes(a: Self::B, b: Self::B) -> Self::B;
                fn and_bytes(a: Self::B, b: Self::B) -> Self::B;
                fn first_of_pairs(a: Self::B) -> Self::B;
                fn second_of_pairs(a: Self::B) -> Self::B;
                fn firsts(a: Self::B, b: Self::B) -> Self::B;
            }
            unsafe_as_the_base! {
                fn load_bytes(x: *const u8) -> Self::B;
                fn store_bytes(y: *mut u8, b: Self::B) -> ();
                fn interleave(x: *const u8, stride: usize, mask: &[u8; INTERLEAVED], y: *mut u32) -> ();
            }
        }
    };
}

/// Methods that the set which is extended has.
macro_rules! as_the_base {
    ($(fn $name:ident($($argument:ident: $type:ty),+) -> $result:ty;)+) => {$(
        #[inline(always)]
        fn $name(self, $($argument: $type),+) -> $result {
            self.base().$name($($argument),+)
        }
    )+};
}

/// The same of those whose caller has something to vouch for.
macro_rules! unsafe_as_the_base {
    ($(fn $name:ident($($argument:ident: $type:ty),+) -> $result:ty;)+) => {$(
        #[inline(always)]
        unsafe fn $name(self, $($argument: $type),+) -> $result {
            // SAFETY: the caller vouches for what the method asks for.
            unsafe { self.base().$name($($argument),+) }
        }
    )+};
}

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    /// The set that it is more than.
    #[inline(always)]
    fn base(self) -> Avx2 {
        // SAFETY: an `Avx512` proves all that an `Avx2` does, and whoever holds it runs code compiled for both.
        unsafe { Avx2::assume() }
    }
}

// AVX-512 F alone has no instructions for bytes.
#[cfg(target_arch = "x86_64")]
bytes_as_the_base! { Avx512 of Avx2 }

#[cfg(target_arch = "x86_64")]
extended! { Avx2Vnni of Avx2 {
    #[inline(always)]
    fn dot_u8_s8(self, acc: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: registers only; the token proves AVX-VNNI.
        unsafe { _mm256_dpbusd_avx_epi32(acc, x, w) }
    }
}}

#[cfg(target_arch = "x86_64")]
extended! { Avx512Bw of Avx512 {
    #[inline(always)]
    fn dot_u8_s8(self, acc: __m512i, x: __m512i, w: __m512i) -> __m512i {
        // SAFETY: registers only; the token proves AVX-512 BW.
        unsafe {
            // Sums of two products in 16 bits, which do not saturate: 255 * 128 is less than 2^15.
            let pairs = _mm512_maddubs_epi16(x, w);
            _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        }
    }
}}

#[cfg(target_arch = "x86_64")]
extended! { Avx512Vnni of Avx512 {
    #[inline(always)]
    fn dot_u8_s8(self, acc: __m512i, x: __m512i, w: __m512i) -> __m512i {
        // SAFETY: registers only; the token proves AVX-512 VNNI.
        unsafe { _mm512_dpbusd_epi32(acc, x, w) }
    }
}}

#[cfg(target_arch = "x86_64")]
extended! { Avx512Bf16 of Avx512 {
    #[inline(always)]
    fn dot_u8_s8(self, acc: __m512i, x: __m512i, w: __m512i) -> __m512i {
        self.base().dot_u8_s8(acc, x, w)
    }

    #[inline(always)]
    fn dot_bf16(self, acc: __m512, x: __m512i, w: __m512i) -> __m512 {
        // SAFETY: registers only, which both types are whole ones of; the token proves AVX-512 BF16.
        unsafe {
            _mm512_dpbf16_ps(acc, core::mem::transmute::<__m512i, __m512bh>(x), core::mem::transmute::<__m512i, __m512bh>(w))
        }
    }
}}

// The instructions below have intrinsics that stable Rust does not offer.

#[cfg(target_arch = "aarch64")]
extended! { NeonDot of Neon {
    #[inline(always)]
    fn dot_u8_s8(self, acc: uint32x4_t, x: uint32x4_t, w: uint32x4_t) -> uint32x4_t {
        // The instruction takes signs on both sides: x * w = (x - 128) * w + 64 * w + 64 * w. What depends on `w` alone is
        // computed once for all tiles of a word.
        // SAFETY: registers only; the token proves NEON.
        let (x, half) = unsafe { (veorq_u32(x, vdupq_n_u32(0x8080_8080)), vdupq_n_u32(0x4040_4040)) };
        let half = signed_dot(self, self.splat_word(0), w, half);
        self.add_words(signed_dot(self, acc, x, w), self.shift_left(half, 1))
    }
}}

/// `acc` plus, in each word, the products of its four bytes, all with a sign.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn signed_dot(_: NeonDot, mut acc: uint32x4_t, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
    // SAFETY: registers only; the token proves the instruction.
    unsafe {
        asm!("sdot {acc:v}.4s, {a:v}.16b, {b:v}.16b", acc = inout(vreg) acc, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    acc
}

#[cfg(target_arch = "aarch64")]
extended! { NeonI8mm of Neon {
    #[inline(always)]
    fn dot_u8_s8(self, mut acc: uint32x4_t, x: uint32x4_t, w: uint32x4_t) -> uint32x4_t {
        // SAFETY: registers only; the token proves I8MM.
        unsafe {
            asm!("usdot {acc:v}.4s, {x:v}.16b, {w:v}.16b", acc = inout(vreg) acc, x = in(vreg) x, w = in(vreg) w,
                options(pure, nomem, nostack, preserves_flags));
        }
        acc
    }
}}

#[cfg(target_arch = "aarch64")]
extended! { NeonBf16 of Neon {
    #[inline(always)]
    fn dot_u8_s8(self, acc: uint32x4_t, x: uint32x4_t, w: uint32x4_t) -> uint32x4_t {
        self.base().dot_u8_s8(acc, x, w)
    }

    #[inline(always)]
    fn dot_bf16(self, mut acc: float32x4_t, x: uint32x4_t, w: uint32x4_t) -> float32x4_t {
        // SAFETY: registers only; the token proves BF16.
        unsafe {
            asm!("bfdot {acc:v}.4s, {x:v}.8h, {w:v}.8h", acc = inout(vreg) acc, x = in(vreg) x, w = in(vreg) w,
                options(pure, nomem, nostack, preserves_flags));
        }
        acc
    }
}}
