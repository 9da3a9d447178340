//! 16 lanes of AVX-512 F: masks make every partial load and store one instruction.

use core::arch::x86_64::*;

use super::{MOST_LANES, Simd};
use crate::isa::Avx512;

/// A mask of the lanes `from..to`, both at most 16.
#[inline(always)]
fn lanes(from: usize, to: usize) -> __mmask16 {
    ((1_u32 << to) - (1_u32 << from)) as __mmask16
}

impl Simd for Avx512 {
    const LANES: usize = 16;
    type V = __m512;
    type W = __m512i;

    on_registers! {
        fn splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        fn add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        fn sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        fn mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        fn div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        fn max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        fn min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        fn sqrt(a: __m512) -> __m512 = _mm512_sqrt_ps(a);
        fn splat_word(x: u32) -> __m512i = _mm512_set1_epi32(x.cast_signed());
        fn add_words(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        fn and_words(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        fn or_words(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        fn shift_left(a: __m512i, n: u32) -> __m512i = _mm512_sllv_epi32(a, _mm512_set1_epi32(n.cast_signed()));
        fn shift_right(a: __m512i, n: u32) -> __m512i = _mm512_srlv_epi32(a, _mm512_set1_epi32(n.cast_signed()));
        fn bits(a: __m512) -> __m512i = _mm512_castps_si512(a);
        fn of_bits(a: __m512i) -> __m512 = _mm512_castsi512_ps(a);
        fn is_nan(a: __m512) -> __m512i = _mm512_maskz_set1_epi32(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a), -1);
        fn lane_mask(from: usize, to: usize) -> __m512i = _mm512_maskz_set1_epi32(lanes(from, to), -1);
        fn to_f32(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
        fn round(a: __m512) -> __m512i = _mm512_cvtps_epi32(a);
        fn sum(a: __m512) -> f32 = _mm512_reduce_add_ps(a);
    }

    #[inline(always)]
    fn prefetch(self, x: *const f32) {
        // SAFETY: a hint; it never faults, and every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(x.cast()) }
    }

    #[inline(always)]
    fn dot_u8_s8(self, acc: __m512i, x: __m512i, w: __m512i) -> __m512i {
        // AVX-512 F has no integers of 8 or 16 bits: AVX2's, on either half.
        // SAFETY: registers only; the token proves AVX-512 F and AVX2.
        unsafe {
            let ones = _mm256_set1_epi16(1);
            let low = _mm256_maddubs_epi16(_mm512_castsi512_si256(x), _mm512_castsi512_si256(w));
            let high = _mm256_maddubs_epi16(_mm512_extracti64x4_epi64::<1>(x), _mm512_extracti64x4_epi64::<1>(w));
            let low = _mm512_castsi256_si512(_mm256_madd_epi16(low, ones));
            _mm512_add_epi32(acc, _mm512_inserti64x4::<1>(low, _mm256_madd_epi16(high, ones)))
        }
    }

    #[inline(always)]
    fn dot_i16(self, acc: __m512i, x: __m512i, w: __m512i) -> __m512i {
        // As above: AVX2's, on either half.
        // SAFETY: registers only; the token proves AVX-512 F and AVX2.
        unsafe {
            let low = _mm256_madd_epi16(_mm512_castsi512_si256(x), _mm512_castsi512_si256(w));
            let high = _mm256_madd_epi16(_mm512_extracti64x4_epi64::<1>(x), _mm512_extracti64x4_epi64::<1>(w));
            _mm512_add_epi32(acc, _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high))
        }
    }

    #[inline(always)]
    fn transposed(self, tile: &[__m512]) -> [__m512; MOST_LANES] {
        let mut square = [self.splat(0.0); 16];
        square[..tile.len()].copy_from_slice(tile);
        // SAFETY: the token proves AVX-512 F.
        unsafe { transpose(square) }
    }

    #[inline(always)]
    unsafe fn load_words(self, x: *const u32) -> __m512i {
        // SAFETY: the caller vouches for 16 readable words; loadu takes any alignment; the token proves AVX-512 F.
        unsafe { _mm512_loadu_si512(x.cast()) }
    }

    #[inline(always)]
    unsafe fn load_u8(self, x: *const u8) -> __m512i {
        // SAFETY: the caller vouches for 16 readable bytes; loadu takes any alignment; the token proves AVX-512 F.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(x.cast())) }
    }

    #[inline(always)]
    unsafe fn load_u16(self, x: *const u16) -> __m512i {
        // SAFETY: the caller vouches for 16 readable elements; loadu takes any alignment; the token proves AVX-512 F.
        unsafe { _mm512_cvtepu16_epi32(_mm256_loadu_si256(x.cast())) }
    }

    #[inline(always)]
    unsafe fn store_words(self, y: *mut u32, w: __m512i) {
        // SAFETY: the caller vouches for 16 writable words; storeu takes any alignment; the token proves AVX-512 F.
        unsafe { _mm512_storeu_si512(y.cast(), w) }
    }

    #[inline(always)]
    unsafe fn store_first_u8(self, y: *mut u8, w: __m512i, n: usize) {
        debug_assert!(n <= 16);
        // SAFETY: masked lanes are not written, the caller vouches for the others; the token proves AVX-512 F.
        unsafe { _mm512_mask_cvtepi32_storeu_epi8(y.cast(), lanes(0, n), w) }
    }

    #[inline(always)]
    unsafe fn store_first_u16(self, y: *mut u16, w: __m512i, n: usize) {
        debug_assert!(n <= 16);
        // SAFETY: masked lanes are not written, the caller vouches for the others; the token proves AVX-512 F.
        unsafe { _mm512_mask_cvtepi32_storeu_epi16(y.cast(), lanes(0, n), w) }
    }

    #[inline(always)]
    unsafe fn load(self, x: *const f32) -> __m512 {
        // SAFETY: the caller vouches for 16 readable f32; loadu takes any alignment; the token proves AVX-512 F.
        unsafe { _mm512_loadu_ps(x) }
    }

    #[inline(always)]
    unsafe fn load_window(self, x: *const f32, from: usize, to: usize) -> __m512 {
        debug_assert!(from <= to && to <= 16);
        // SAFETY: masked lanes are not read, the caller vouches for the others; the token proves AVX-512 F.
        unsafe { _mm512_maskz_loadu_ps(lanes(from, to), x) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, x: *const u16) -> __m512 {
        // SAFETY: the caller vouches for 16 readable elements; loadu takes any alignment; the token proves AVX-512 F.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(x.cast())) }
    }

    #[inline(always)]
    unsafe fn load_even_window(self, x: *const f32, from: usize, to: usize) -> __m512 {
        debug_assert!(from < to && to <= 16);
        // The elements 2 * from ..= 2 * to - 2 as a mask over 32: without the last odd one, which may not exist.
        let mask = ((1_u64 << (2 * to - 1)) - (1_u64 << (2 * from))) as u32;
        // SAFETY: masked lanes are not read, the caller vouches for the others; the token proves AVX-512 F.
        unsafe {
            let low = _mm512_maskz_loadu_ps(mask as u16, x);
            let high = _mm512_maskz_loadu_ps((mask >> 16) as u16, x.wrapping_add(16));
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            _mm512_permutex2var_ps(low, even, high)
        }
    }

    #[inline(always)]
    unsafe fn load_strided_window(self, x: *const f32, stride: usize, from: usize, to: usize) -> __m512 {
        debug_assert!(from <= to && to <= 16);
        // SAFETY: masked lanes are not read, the caller vouches for the others, and for a stride at most 2^24, 15 of which fit
        // the i32 of an offset; the token proves AVX-512 F.
        unsafe {
            let lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let at = _mm512_mullo_epi32(lane, _mm512_set1_epi32(stride as i32));
            _mm512_mask_i32gather_ps::<4>(_mm512_setzero_ps(), lanes(from, to), at, x)
        }
    }

    #[inline(always)]
    unsafe fn store(self, y: *mut f32, v: __m512) {
        // SAFETY: the caller vouches for 16 writable f32; storeu takes any alignment; the token proves AVX-512 F.
        unsafe { _mm512_storeu_ps(y, v) }
    }

    #[inline(always)]
    unsafe fn store_first(self, y: *mut f32, v: __m512, n: usize) {
        debug_assert!(n <= 16);
        // SAFETY: masked lanes are not written, the caller vouches for the others; the token proves AVX-512 F.
        unsafe { _mm512_mask_storeu_ps(y, lanes(0, n), v) }
    }

    #[inline(always)]
    unsafe fn store_transposed(self, tile: &[__m512], columns: usize, y: *mut f32, stride: usize, rows: usize) {
        debug_assert!(columns <= tile.len() && tile.len() <= 16 && rows <= 16);
        let mut square = [self.splat(0.0); 16];
        square[..tile.len()].copy_from_slice(tile);
        // SAFETY: the token proves AVX-512 F.
        let transposed = unsafe { transpose(square) };
        let mask = lanes(0, columns);
        for (row, v) in transposed.into_iter().enumerate() {
            if row < rows {
                // SAFETY: the caller vouches for `columns` elements of each of `rows` rows; the token proves AVX-512 F.
                unsafe { _mm512_mask_storeu_ps(y.add(row * stride), mask, v) };
            }
        }
    }
}

/// A 16x16 transpose in 64 shuffles: 2x2 and 4x4 blocks inside the 128-bit quarters, then the quarters.
///
/// # Safety
/// The CPU has AVX-512 F.
#[inline(always)]
unsafe fn transpose(c: [__m512; 16]) -> [__m512; 16] {
    // SAFETY: register shuffles only; the caller vouches for AVX-512 F.
    unsafe {
        let mut q = [_mm512_setzero_ps(); 16];
        // q[4 * g + j]: lanes j, j + 4, j + 8, j + 12 of the columns 4g .. 4g + 3, a quarter each.
        let mut g = 0;
        while g < 4 {
            let (a, b, d, e) = (c[4 * g], c[4 * g + 1], c[4 * g + 2], c[4 * g + 3]);
            let (ab_low, ab_high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let (de_low, de_high) = (_mm512_unpacklo_ps(d, e), _mm512_unpackhi_ps(d, e));
            q[4 * g] = _mm512_shuffle_ps::<0x44>(ab_low, de_low);
            q[4 * g + 1] = _mm512_shuffle_ps::<0xEE>(ab_low, de_low);
            q[4 * g + 2] = _mm512_shuffle_ps::<0x44>(ab_high, de_high);
            q[4 * g + 3] = _mm512_shuffle_ps::<0xEE>(ab_high, de_high);
            g += 1;
        }
        let mut rows = [_mm512_setzero_ps(); 16];
        let mut j = 0;
        while j < 4 {
            // Quarters 0 and 2, then 1 and 3, of two groups of columns side by side.
            let even_low = _mm512_shuffle_f32x4::<0x88>(q[j], q[4 + j]);
            let odd_low = _mm512_shuffle_f32x4::<0xDD>(q[j], q[4 + j]);
            let even_high = _mm512_shuffle_f32x4::<0x88>(q[8 + j], q[12 + j]);
            let odd_high = _mm512_shuffle_f32x4::<0xDD>(q[8 + j], q[12 + j]);
            rows[j] = _mm512_shuffle_f32x4::<0x88>(even_low, even_high);
            rows[4 + j] = _mm512_shuffle_f32x4::<0x88>(odd_low, odd_high);
            rows[8 + j] = _mm512_shuffle_f32x4::<0xDD>(even_low, even_high);
            rows[12 + j] = _mm512_shuffle_f32x4::<0xDD>(odd_low, odd_high);
            j += 1;
        }
        rows
    }
}
