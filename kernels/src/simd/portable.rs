//! 8 lanes of the `wide` crate, for every machine.
//!
//! `wide` picks its instructions when this crate is built, from the build's target features: two SSE2 registers a
//! vector on plain x86-64, two NEON registers on aarch64, arrays elsewhere.

use wide::{f32x8, i16x16, i32x8, u8x16, u16x8, u32x8};

use super::{Bytes, MOST_LANES, Simd};

/// The portable set; it needs no proof.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Simd for Portable {
    const LANES: usize = 8;
    type V = f32x8;
    type W = u32x8;

    #[inline(always)]
    fn splat(self, x: f32) -> f32x8 {
        f32x8::splat(x)
    }

    #[inline(always)]
    fn add(self, a: f32x8, b: f32x8) -> f32x8 {
        a + b
    }

    #[inline(always)]
    fn sub(self, a: f32x8, b: f32x8) -> f32x8 {
        a - b
    }

    #[inline(always)]
    fn mul(self, a: f32x8, b: f32x8) -> f32x8 {
        a * b
    }

    #[inline(always)]
    fn div(self, a: f32x8, b: f32x8) -> f32x8 {
        a / b
    }

    #[inline(always)]
    fn mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn max(self, a: f32x8, b: f32x8) -> f32x8 {
        // `f32x8::max` treats NaN otherwise than x86 does; compare and select is the trait's contract.
        a.simd_gt(b).select(a, b)
    }

    #[inline(always)]
    fn min(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_lt(b).select(a, b)
    }

    #[inline(always)]
    fn sqrt(self, a: f32x8) -> f32x8 {
        a.sqrt()
    }

    #[inline(always)]
    fn sum(self, a: f32x8) -> f32 {
        a.reduce_add()
    }

    #[inline(always)]
    fn splat_word(self, x: u32) -> u32x8 {
        u32x8::splat(x)
    }

    #[inline(always)]
    fn add_words(self, a: u32x8, b: u32x8) -> u32x8 {
        a + b
    }

    #[inline(always)]
    fn and_words(self, a: u32x8, b: u32x8) -> u32x8 {
        a & b
    }

    #[inline(always)]
    fn or_words(self, a: u32x8, b: u32x8) -> u32x8 {
        a | b
    }

    #[inline(always)]
    fn shift_left(self, a: u32x8, n: u32) -> u32x8 {
        a << n
    }

    #[inline(always)]
    fn shift_right(self, a: u32x8, n: u32) -> u32x8 {
        a >> n
    }

    #[inline(always)]
    fn bits(self, a: f32x8) -> u32x8 {
        bytemuck::cast(a)
    }

    #[inline(always)]
    fn of_bits(self, a: u32x8) -> f32x8 {
        bytemuck::cast(a)
    }

    #[inline(always)]
    fn is_nan(self, a: f32x8) -> u32x8 {
        bytemuck::cast(a.is_nan())
    }

    #[inline(always)]
    fn lane_mask(self, from: usize, to: usize) -> u32x8 {
        debug_assert!(from <= to && to <= 8);
        let mut lanes = [0; 8];
        lanes[from..to].fill(u32::MAX);
        u32x8::new(lanes)
    }

    #[inline(always)]
    fn to_f32(self, a: u32x8) -> f32x8 {
        bytemuck::cast::<u32x8, i32x8>(a).round_float()
    }

    #[inline(always)]
    fn round(self, a: f32x8) -> u32x8 {
        // Next to 1.5 * 2^23 the f32 are the integers, so that the addition rounds as every addition does.
        let integers = f32x8::splat(12_582_912.0);
        self.bits(a + integers) - self.bits(integers)
    }

    #[inline(always)]
    fn dot_u8_s8(self, acc: u32x8, x: u32x8, w: u32x8) -> u32x8 {
        // Of each pair of bytes the lower, and the upper, widened to 16 bits.
        let bytes = u32x8::splat(0x00FF_00FF);
        let x: [i16x16; 2] = [bytemuck::cast(x & bytes), bytemuck::cast((x >> 8_u32) & bytes)];
        let w: i16x16 = bytemuck::cast(w);
        let w = [(w << 8_i32) >> 8_i32, w >> 8_i32];
        acc + bytemuck::cast::<i32x8, u32x8>(x[0].dot(w[0]) + x[1].dot(w[1]))
    }

    #[inline(always)]
    fn dot_i16(self, acc: u32x8, x: u32x8, w: u32x8) -> u32x8 {
        let (x, w): (i16x16, i16x16) = (bytemuck::cast(x), bytemuck::cast(w));
        acc + bytemuck::cast::<i32x8, u32x8>(x.dot(w))
    }

    #[inline(always)]
    fn transposed(self, tile: &[f32x8]) -> [f32x8; MOST_LANES] {
        let mut rows = [[0.0; 8]; MOST_LANES];
        for (column, v) in tile.iter().enumerate() {
            for (row, lane) in rows.iter_mut().zip(v.to_array()) {
                row[column] = lane;
            }
        }
        rows.map(f32x8::new)
    }

    #[inline(always)]
    unsafe fn load_words(self, x: *const u32) -> u32x8 {
        // SAFETY: the caller vouches for 8 readable words.
        u32x8::new(unsafe { x.cast::<[u32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_u8(self, x: *const u8) -> u32x8 {
        // SAFETY: the caller vouches for 8 readable bytes.
        u32x8::new(unsafe { x.cast::<[u8; 8]>().read() }.map(u32::from))
    }

    #[inline(always)]
    unsafe fn load_u16(self, x: *const u16) -> u32x8 {
        // SAFETY: the caller vouches for 8 readable elements.
        u32x8::new(unsafe { x.cast::<[u16; 8]>().read_unaligned() }.map(u32::from))
    }

    #[inline(always)]
    unsafe fn store_words(self, y: *mut u32, w: u32x8) {
        // SAFETY: the caller vouches for 8 writable words.
        unsafe { y.cast::<[u32; 8]>().write_unaligned(w.to_array()) }
    }

    #[inline(always)]
    unsafe fn store_first_u8(self, y: *mut u8, w: u32x8, n: usize) {
        debug_assert!(n <= 8);
        // SAFETY: the caller vouches for `n` writable bytes, and 8 are there to copy.
        unsafe { y.copy_from_nonoverlapping(w.to_array().map(|word| word as u8).as_ptr(), n) }
    }

    #[inline(always)]
    unsafe fn store_first_u16(self, y: *mut u16, w: u32x8, n: usize) {
        debug_assert!(n <= 8);
        let lanes = w.to_array().map(|word| word as u16);
        // SAFETY: the caller vouches for `n` writable elements, and 8 are there to copy.
        unsafe { y.cast::<u8>().copy_from_nonoverlapping(lanes.as_ptr().cast(), 2 * n) }
    }

    #[inline(always)]
    unsafe fn load(self, x: *const f32) -> f32x8 {
        // SAFETY: the caller vouches for 8 readable f32.
        f32x8::new(unsafe { x.cast::<[f32; 8]>().read() })
    }

    #[inline(always)]
    unsafe fn load_window(self, x: *const f32, from: usize, to: usize) -> f32x8 {
        debug_assert!(from <= to && to <= 8);
        if (from, to) == (0, 8) {
            // SAFETY: the caller vouches for the elements 0..8.
            return unsafe { self.load(x) };
        }
        let mut lanes = [0.0; 8];
        for (i, lane) in lanes.iter_mut().enumerate() {
            if (from..to).contains(&i) {
                // SAFETY: the caller vouches for the elements from..to.
                *lane = unsafe { *x.wrapping_add(i) };
            }
        }
        f32x8::new(lanes)
    }

    #[inline(always)]
    unsafe fn load_f16(self, x: *const u16) -> f32x8 {
        // SAFETY: the caller vouches for 8 readable elements.
        widen(u16x8::new(unsafe { x.cast::<[u16; 8]>().read() }))
    }

    #[inline(always)]
    unsafe fn load_even_window(self, x: *const f32, from: usize, to: usize) -> f32x8 {
        debug_assert!(from < to && to <= 8);
        let mut lanes = [0.0; 8];
        for (i, lane) in lanes.iter_mut().enumerate() {
            if (from..to).contains(&i) {
                // SAFETY: the caller vouches for the elements 2 * from ..= 2 * (to - 1).
                *lane = unsafe { *x.wrapping_add(2 * i) };
            }
        }
        f32x8::new(lanes)
    }

    #[inline(always)]
    unsafe fn store(self, y: *mut f32, v: f32x8) {
        // SAFETY: the caller vouches for 8 writable f32.
        unsafe { y.cast::<[f32; 8]>().write(v.to_array()) }
    }

    #[inline(always)]
    unsafe fn store_first(self, y: *mut f32, v: f32x8, n: usize) {
        debug_assert!(n <= 8);
        // SAFETY: the caller vouches for `n` writable f32, and 8 are there to copy.
        unsafe { y.copy_from_nonoverlapping(v.to_array().as_ptr(), n) }
    }

    #[inline(always)]
    unsafe fn store_transposed(self, tile: &[f32x8], columns: usize, y: *mut f32, stride: usize, rows: usize) {
        debug_assert!(columns <= tile.len() && tile.len() <= 8 && rows <= 8);
        for (column, v) in tile[..columns].iter().enumerate() {
            for (row, &lane) in v.to_array()[..rows].iter().enumerate() {
                // SAFETY: the caller vouches for `columns` elements of each of `rows` rows.
                unsafe { *y.add(row * stride + column) = lane };
            }
        }
    }
}

impl Bytes for Portable {
    const BYTES: usize = 16;
    type B = u8x16;

    #[inline(always)]
    fn splat_byte(self, x: u8) -> u8x16 {
        u8x16::splat(x)
    }

    #[inline(always)]
    fn max_bytes(self, a: u8x16, b: u8x16) -> u8x16 {
        a.max(b)
    }

    #[inline(always)]
    fn and_bytes(self, a: u8x16, b: u8x16) -> u8x16 {
        a & b
    }

    #[inline(always)]
    fn first_of_pairs(self, a: u8x16) -> u8x16 {
        a & u8x16::new([255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0])
    }

    #[inline(always)]
    fn second_of_pairs(self, a: u8x16) -> u8x16 {
        let pairs: u16x8 = bytemuck::cast(a);
        bytemuck::cast(if cfg!(target_endian = "little") { pairs >> 8 } else { pairs << 8 })
    }

    #[inline(always)]
    fn firsts(self, a: u8x16, b: u8x16) -> u8x16 {
        // As numbers of 16 bits, of which the second byte of a pair, 0, may be the lower half.
        let numbers = {
            #[inline(always)]
            |pairs: u8x16| {
                let pairs: u16x8 = bytemuck::cast(pairs);
                bytemuck::cast(if cfg!(target_endian = "little") { pairs } else { pairs >> 8 })
            }
        };
        u8x16::narrow_i16x8(numbers(a), numbers(b))
    }

    #[inline(always)]
    unsafe fn load_bytes(self, x: *const u8) -> u8x16 {
        // SAFETY: the caller vouches for 16 readable bytes.
        u8x16::new(unsafe { x.cast::<[u8; 16]>().read() })
    }

    #[inline(always)]
    unsafe fn store_bytes(self, y: *mut u8, b: u8x16) {
        // SAFETY: the caller vouches for 16 writable bytes.
        unsafe { y.cast::<[u8; 16]>().write(b.to_array()) }
    }
}

/// The numbers whose f16 bits are `halves`, as f32.
///
/// No f32 on the way is subnormal: on subnormals some CPUs are slow, and others take them for 0.
#[inline(always)]
fn widen(halves: u16x8) -> f32x8 {
    let splat = i32x8::splat;
    let halves = i32x8::from_u16x8(halves);
    // Exponent and fraction, 5 bits and 10, and then where an f32 has its own.
    let magnitude = halves & splat(0x7FFF);
    let sign = (halves ^ magnitude) << 16_u32;
    let shifted = magnitude << 13_u32;
    // The bias of an f32's exponent is 127, of an f16's 15. A subnormal's fraction counts in 2^-24: with the exponent of
    // 2^-14 it is 2^-14 too much.
    let is_subnormal = splat(0x0400).simd_gt(magnitude);
    let exponent = splat((127 - 15) << 23) + (is_subnormal & splat(1 << 23));
    let excess = is_subnormal & splat((127 - 14) << 23);
    let finite = bytemuck::cast::<i32x8, f32x8>(shifted + exponent) - bytemuck::cast::<i32x8, f32x8>(excess);
    // Of infinities and NaN all bits of the exponent are set.
    let special = magnitude.simd_gt(splat(0x7BFF)) & splat(0xFF << 23);
    bytemuck::cast(bytemuck::cast::<f32x8, i32x8>(finite) | special | sign)
}
