//! 8 lanes of AVX2 and FMA; F16C widens f16.
//!
//! Partial stores are made of 128-, 64- and 32-bit pieces: `vmaskmovps` stores are slow on Zen, its loads are not.

use core::arch::x86_64::*;

use super::{Bytes, INTERLEAVED, MOST_LANES, Simd};
use crate::isa::Avx2;

/// Eight set lanes between eight clear ones on either side: a window of it is the mask of any lane range's end.
static MASKS: [i32; 24] = {
    let mut masks = [0; 24];
    let mut i = 8;
    while i < 16 {
        masks[i] = -1;
        i += 1;
    }
    masks
};

/// A mask of the lanes `from..to`, both at most 8.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn lanes(from: usize, to: usize) -> __m256i {
    assert!(from <= to && to <= 8);
    // SAFETY: asserted above: both windows of 8 lie in the 24 elements; the caller vouches for AVX2.
    unsafe {
        let below = _mm256_loadu_si256(MASKS.as_ptr().add(16 - to).cast()); // set where i < to
        let above = _mm256_loadu_si256(MASKS.as_ptr().add(8 - from).cast()); // set where i >= from
        _mm256_and_si256(below, above)
    }
}

/// The vector of `lane(0)`, `lane(1)`, .. `lane(7)`. Each is inserted: on Zen a gather takes longer, and a load would wait
/// for the stores of all of them.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn inserted(lane: impl Fn(usize) -> f32) -> __m256 {
    // SAFETY: registers only, beside what `lane` reads on its own account; the caller vouches for AVX2.
    unsafe {
        let low = _mm_setr_ps(lane(0), lane(1), lane(2), lane(3));
        _mm256_set_m128(_mm_setr_ps(lane(4), lane(5), lane(6), lane(7)), low)
    }
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    type V = __m256;
    type W = __m256i;

    on_registers! {
        fn splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        fn add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        fn sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        fn mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        fn div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        fn max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        fn min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        fn sqrt(a: __m256) -> __m256 = _mm256_sqrt_ps(a);
        fn splat_word(x: u32) -> __m256i = _mm256_set1_epi32(x.cast_signed());
        fn add_words(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32(a, b);
        fn and_words(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        fn or_words(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
        fn shift_left(a: __m256i, n: u32) -> __m256i = _mm256_sllv_epi32(a, _mm256_set1_epi32(n.cast_signed()));
        fn shift_right(a: __m256i, n: u32) -> __m256i = _mm256_srlv_epi32(a, _mm256_set1_epi32(n.cast_signed()));
        fn bits(a: __m256) -> __m256i = _mm256_castps_si256(a);
        fn of_bits(a: __m256i) -> __m256 = _mm256_castsi256_ps(a);
        fn is_nan(a: __m256) -> __m256i = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, a));
        fn to_f32(a: __m256i) -> __m256 = _mm256_cvtepi32_ps(a);
        fn round(a: __m256) -> __m256i = _mm256_cvtps_epi32(a);
    }

    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        // SAFETY: the token proves AVX2; register shuffles only.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn prefetch(self, x: *const f32) {
        // SAFETY: a hint; it never faults, and every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(x.cast()) }
    }

    #[inline(always)]
    fn lane_mask(self, from: usize, to: usize) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { lanes(from, to) }
    }

    #[inline(always)]
    fn dot_u8_s8(self, acc: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: registers only; the token proves AVX2.
        unsafe {
            // Sums of two products in 16 bits, which do not saturate: 255 * 128 is less than 2^15.
            let pairs = _mm256_maddubs_epi16(x, w);
            _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    fn dot_i16(self, acc: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: registers only; the token proves AVX2.
        unsafe { _mm256_add_epi32(acc, _mm256_madd_epi16(x, w)) }
    }

    #[inline(always)]
    fn transposed(self, tile: &[__m256]) -> [__m256; MOST_LANES] {
        let mut square = [self.splat(0.0); 8];
        square[..tile.len()].copy_from_slice(tile);
        let mut rows = [self.splat(0.0); MOST_LANES];
        // SAFETY: the token proves AVX2.
        rows[..8].copy_from_slice(&unsafe { transpose(square) });
        rows
    }

    #[inline(always)]
    unsafe fn load_words(self, x: *const u32) -> __m256i {
        // SAFETY: the caller vouches for 8 readable words; loadu takes any alignment; the token proves AVX2.
        unsafe { _mm256_loadu_si256(x.cast()) }
    }

    #[inline(always)]
    unsafe fn load_u8(self, x: *const u8) -> __m256i {
        // SAFETY: the caller vouches for 8 readable bytes; the token proves AVX2.
        unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(x.cast())) }
    }

    #[inline(always)]
    unsafe fn load_u16(self, x: *const u16) -> __m256i {
        // SAFETY: the caller vouches for 8 readable elements; loadu takes any alignment; the token proves AVX2.
        unsafe { _mm256_cvtepu16_epi32(_mm_loadu_si128(x.cast())) }
    }

    #[inline(always)]
    unsafe fn store_words(self, y: *mut u32, w: __m256i) {
        // SAFETY: the caller vouches for 8 writable words; storeu takes any alignment; the token proves AVX2.
        unsafe { _mm256_storeu_si256(y.cast(), w) }
    }

    #[inline(always)]
    unsafe fn store_first_u8(self, y: *mut u8, w: __m256i, n: usize) {
        debug_assert!(n <= 8);
        // SAFETY: the pieces cover the first `n` bytes, which the caller vouches for; the token proves AVX2.
        unsafe {
            let eight = halves(w);
            let bytes = _mm_cvtsi128_si64(_mm_packus_epi16(eight, eight)).cast_unsigned();
            if n == 8 {
                return y.cast::<u64>().write_unaligned(bytes);
            }
            let (mut bytes, mut y) = (bytes, y);
            if n & 4 != 0 {
                y.cast::<u32>().write_unaligned(bytes as u32);
                (bytes, y) = (bytes >> 32, y.add(4));
            }
            if n & 2 != 0 {
                y.cast::<u16>().write_unaligned(bytes as u16);
                (bytes, y) = (bytes >> 16, y.add(2));
            }
            if n & 1 != 0 {
                *y = bytes as u8;
            }
        }
    }

    #[inline(always)]
    unsafe fn store_two_u8(self, y: *mut u8, a: __m256, b: __m256) {
        // SAFETY: the caller vouches for 16 bytes; the token proves AVX2.
        unsafe {
            // What is too small, or NaN, becomes an integer below 0, and what is below 0 is packed as 0.
            let most = self.splat(255.0);
            let (a, b) = (_mm256_cvtps_epi32(self.min(most, a)), _mm256_cvtps_epi32(self.min(most, b)));
            let pairs = _mm256_packs_epi32(a, b); // a 0..4, b 0..4 | a 4..8, b 4..8
            let turns = _mm_packus_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256::<1>(pairs));
            _mm_storeu_si128(y.cast(), _mm_shuffle_epi32::<0xD8>(turns));
        }
    }

    #[inline(always)]
    unsafe fn store_first_u16(self, y: *mut u16, w: __m256i, n: usize) {
        debug_assert!(n <= 8);
        // SAFETY: the pieces cover the first `n` elements, which the caller vouches for; the token proves AVX2.
        unsafe {
            let eight = halves(w);
            if n == 8 {
                return _mm_storeu_si128(y.cast(), eight);
            }
            let (mut piece, mut y) = (_mm_cvtsi128_si64(eight).cast_unsigned(), y);
            if n & 4 != 0 {
                y.cast::<u64>().write_unaligned(piece);
                (piece, y) = (_mm_extract_epi64::<1>(eight).cast_unsigned(), y.add(4));
            }
            if n & 2 != 0 {
                y.cast::<u32>().write_unaligned(piece as u32);
                (piece, y) = (piece >> 32, y.add(2));
            }
            if n & 1 != 0 {
                y.write_unaligned(piece as u16);
            }
        }
    }

    #[inline(always)]
    unsafe fn load(self, x: *const f32) -> __m256 {
        // SAFETY: the caller vouches for 8 readable f32; loadu takes any alignment; the token proves AVX2.
        unsafe { _mm256_loadu_ps(x) }
    }

    #[inline(always)]
    unsafe fn load_window(self, x: *const f32, from: usize, to: usize) -> __m256 {
        // SAFETY: masked lanes are not read, the caller vouches for the others; the token proves AVX2.
        unsafe { _mm256_maskload_ps(x, lanes(from, to)) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, x: *const u16) -> __m256 {
        // SAFETY: the caller vouches for 8 readable elements; loadu takes any alignment; the token proves F16C.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(x.cast())) }
    }

    #[inline(always)]
    unsafe fn load_even_window(self, x: *const f32, from: usize, to: usize) -> __m256 {
        debug_assert!(from < to && to <= 8);
        if (from, to) == (0, 8) {
            // SAFETY: the elements 0..=7 and 7..=14, which the caller vouches for; the token proves AVX2.
            return unsafe {
                // 0 2 | 8 10 | 4 6 | 12 14
                let even = _mm256_shuffle_ps::<0xD8>(_mm256_loadu_ps(x), _mm256_loadu_ps(x.add(7)));
                _mm256_castpd_ps(_mm256_permute4x64_pd::<0xD8>(_mm256_castps_pd(even)))
            };
        }
        // The elements 2 * from ..= 2 * to - 2: without the last odd one, which may not exist.
        let (first, end) = (2 * from, 2 * to - 1);
        // SAFETY: masked lanes are not read, the caller vouches for the others; the token proves AVX2.
        unsafe {
            let low = _mm256_maskload_ps(x, lanes(first.min(8), end.min(8)));
            let high = _mm256_maskload_ps(x.wrapping_add(8), lanes(first.max(8) - 8, end.max(8) - 8));
            let even = _mm256_shuffle_ps::<0x88>(low, high); // 0 2 | 8 10 | 4 6 | 12 14
            _mm256_castpd_ps(_mm256_permute4x64_pd::<0xD8>(_mm256_castps_pd(even)))
        }
    }

    #[inline(always)]
    unsafe fn load_strided_window(self, x: *const f32, stride: usize, from: usize, to: usize) -> __m256 {
        debug_assert!(from <= to && to <= 8);
        let at = {
            #[inline(always)]
            // SAFETY: below this is asked for the lanes from..to alone, whose elements the caller vouches for.
            |i: usize| unsafe { *x.wrapping_add(stride * i) }
        };
        // SAFETY: the token proves AVX2.
        unsafe {
            if (from, to) == (0, 8) {
                return inserted(at);
            }
            inserted({
                #[inline(always)]
                |i| if from <= i && i < to { at(i) } else { 0.0 }
            })
        }
    }

    #[inline(always)]
    unsafe fn store(self, y: *mut f32, v: __m256) {
        // SAFETY: the caller vouches for 8 writable f32; storeu takes any alignment; the token proves AVX2.
        unsafe { _mm256_storeu_ps(y, v) }
    }

    #[inline(always)]
    unsafe fn store_first(self, y: *mut f32, v: __m256, n: usize) {
        debug_assert!(n <= 8);
        // SAFETY: the pieces cover the first `n` elements, which the caller vouches for; the token proves AVX2.
        unsafe {
            if n == 8 {
                return _mm256_storeu_ps(y, v);
            }
            let (mut piece, mut y) = (_mm256_castps256_ps128(v), y);
            if n & 4 != 0 {
                _mm_storeu_ps(y, piece);
                (piece, y) = (_mm256_extractf128_ps::<1>(v), y.add(4));
            }
            if n & 2 != 0 {
                // Of bytes: the store of a double would ask for a double's alignment.
                _mm_storel_epi64(y.cast(), _mm_castps_si128(piece));
                (piece, y) = (_mm_movehl_ps(piece, piece), y.add(2));
            }
            if n & 1 != 0 {
                _mm_store_ss(y, piece);
            }
        }
    }

    #[inline(always)]
    unsafe fn store_transposed(self, tile: &[__m256], columns: usize, y: *mut f32, stride: usize, rows: usize) {
        debug_assert!(columns <= tile.len() && tile.len() <= 8 && rows <= 8);
        let mut square = [self.splat(0.0); 8];
        square[..tile.len()].copy_from_slice(tile);
        // SAFETY: the token proves AVX2.
        let transposed = unsafe { transpose(square) };
        for (row, v) in transposed.into_iter().enumerate() {
            if row < rows {
                // SAFETY: the caller vouches for `columns` elements of each of `rows` rows.
                unsafe { self.store_first(y.add(row * stride), v, columns) };
            }
        }
    }
}

impl Bytes for Avx2 {
    const BYTES: usize = 32;
    type B = __m256i;

    on_registers! {
        fn splat_byte(x: u8) -> __m256i = _mm256_set1_epi8(x.cast_signed());
        fn max_bytes(a: __m256i, b: __m256i) -> __m256i = _mm256_max_epu8(a, b);
        fn and_bytes(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        fn first_of_pairs(a: __m256i) -> __m256i = _mm256_and_si256(a, _mm256_set1_epi16(0x00FF));
        fn second_of_pairs(a: __m256i) -> __m256i = _mm256_srli_epi16::<8>(a);
        // The halves of `a` and `b` are packed by turns, which the permutation undoes.
        fn firsts(a: __m256i, b: __m256i) -> __m256i = _mm256_permute4x64_epi64::<0xD8>(_mm256_packus_epi16(a, b));
    }

    #[inline(always)]
    unsafe fn load_bytes(self, x: *const u8) -> __m256i {
        // SAFETY: the caller vouches for 32 readable bytes; loadu takes any alignment; the token proves AVX2.
        unsafe { _mm256_loadu_si256(x.cast()) }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, y: *mut u8, b: __m256i) {
        // SAFETY: the caller vouches for 32 writable bytes; storeu takes any alignment; the token proves AVX2.
        unsafe { _mm256_storeu_si256(y.cast(), b) }
    }

    #[inline(always)]
    unsafe fn interleave(self, x: *const u8, stride: usize, mask: &[u8; INTERLEAVED], y: *mut u32) {
        // SAFETY: the caller vouches for 16 bytes of each plane and 16 words; any alignment; the token proves AVX2.
        unsafe {
            let mask = _mm_loadu_si128(mask.as_ptr().cast());
            let plane = {
                #[inline(always)]
                |i: usize| _mm_and_si128(_mm_loadu_si128(x.add(i * stride).cast()), mask)
            };
            let (a, b, c, d) = (plane(0), plane(1), plane(2), plane(3));
            let (low, high) = (_mm_unpacklo_epi8(a, b), _mm_unpacklo_epi8(c, d));
            let y: *mut __m128i = y.cast();
            _mm_storeu_si128(y, _mm_unpacklo_epi16(low, high));
            _mm_storeu_si128(y.add(1), _mm_unpackhi_epi16(low, high));
            let (low, high) = (_mm_unpackhi_epi8(a, b), _mm_unpackhi_epi8(c, d));
            _mm_storeu_si128(y.add(2), _mm_unpacklo_epi16(low, high));
            _mm_storeu_si128(y.add(3), _mm_unpackhi_epi16(low, high));
        }
    }
}

/// Words of at most 65,535 as elements of half their length.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn halves(w: __m256i) -> __m128i {
    // SAFETY: register shuffles only; the caller vouches for AVX2.
    unsafe { _mm_packus_epi32(_mm256_castsi256_si128(w), _mm256_extracti128_si256::<1>(w)) }
}

/// An 8x8 transpose in 24 shuffles: 4x4 blocks inside the 128-bit halves, then the halves.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn transpose(c: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: register shuffles only; the caller vouches for AVX2.
    unsafe {
        let mut q = [_mm256_setzero_ps(); 8];
        // q[4 * g + j]: lanes j and j + 4 of the columns 4g .. 4g + 3, a half each.
        let mut g = 0;
        while g < 2 {
            let (a, b, d, e) = (c[4 * g], c[4 * g + 1], c[4 * g + 2], c[4 * g + 3]);
            let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (de_low, de_high) = (_mm256_unpacklo_ps(d, e), _mm256_unpackhi_ps(d, e));
            q[4 * g] = _mm256_shuffle_ps::<0x44>(ab_low, de_low);
            q[4 * g + 1] = _mm256_shuffle_ps::<0xEE>(ab_low, de_low);
            q[4 * g + 2] = _mm256_shuffle_ps::<0x44>(ab_high, de_high);
            q[4 * g + 3] = _mm256_shuffle_ps::<0xEE>(ab_high, de_high);
            g += 1;
        }
        let mut rows = [_mm256_setzero_ps(); 8];
        let mut j = 0;
        while j < 4 {
            rows[j] = _mm256_permute2f128_ps::<0x20>(q[j], q[4 + j]);
            rows[4 + j] = _mm256_permute2f128_ps::<0x31>(q[j], q[4 + j]);
            j += 1;
        }
        rows
    }
}
