//! Tiles with output channels in the lanes: P pixels x R vectors of channels, of words.
//!
//! ```text
//! for word:  vw[0..R] = weights[word];  for p: acc[p][0..R] = dot(acc[p][0..R], splat(x[word][p]), vw[0..R])
//! ```
//!
//! As in f32 the store transposes in registers, on its way to the element that is stored.

use core::marker::PhantomData;

use crate::element::{Values, of_bf16};
use crate::op::Op;
use crate::simd::Simd;
use crate::view::RowsMut;

/// What a microkernel works on: one tile of pixels, one block of channels. `Kernel::run` asserts the lengths.
pub(super) struct Tile<'a> {
    /// The tile's inputs, `[word][px]`; as f32, two rows for each word.
    pub x: &'a [u32],
    /// The block's packed weights, `[word][width]`, and behind them f32: by channel the multipliers, of bytes alone, and the
    /// biases.
    pub w: &'a [u32],
    pub words: usize,
    /// Channels of the block.
    pub width: usize,
    /// Whether negative sums become 0.
    pub relu: bool,
    /// The outputs, in bytes: a row a channel (at most `width`), a column a pixel (at most P).
    pub y: RowsMut<'a, u8>,
    /// Weights that will be read next, to be asked for meanwhile; may be empty.
    pub ahead: &'a [u32],
}

/// Tiles of bytes that store `E`.
pub(super) struct ByteLanes<E, const P: usize, const R: usize>(PhantomData<E>);

impl<E: Values, const P: usize, const R: usize> Op for ByteLanes<E, P, R> {
    type Args<'a> = Tile<'a>;
    type Output = ();

    /// Computes a tile of as many vectors of channels as the block has.
    #[inline(always)]
    fn run<S: Simd>(s: S, tile: Tile<'_>) {
        const { assert!(R <= 2, "wider tiles are not listed below") };
        match tile.width / S::LANES {
            2 if R >= 2 => bytes::<S, E, P, 2>(s, tile),
            _ => bytes::<S, E, P, 1>(s, tile),
        }
    }
}

/// Tiles of bf16 that store `E`.
pub(super) struct Bf16Lanes<E, const P: usize, const R: usize>(PhantomData<E>);

impl<E: Values, const P: usize, const R: usize> Op for Bf16Lanes<E, P, R> {
    type Args<'a> = Tile<'a>;
    type Output = ();

    /// Computes a tile of as many vectors of channels as the block has.
    #[inline(always)]
    fn run<S: Simd>(s: S, tile: Tile<'_>) {
        const { assert!(R <= 2, "wider tiles are not listed below") };
        match tile.width / S::LANES {
            2 if R >= 2 => bf16::<S, E, P, 2>(s, tile),
            _ => bf16::<S, E, P, 1>(s, tile),
        }
    }
}

/// Tiles of f32 by weights of bf16 that store `E`.
pub(super) struct WidenedLanes<E, const P: usize, const R: usize>(PhantomData<E>);

impl<E: Values, const P: usize, const R: usize> Op for WidenedLanes<E, P, R> {
    type Args<'a> = Tile<'a>;
    type Output = ();

    /// Computes a tile of as many vectors of channels as the block has.
    #[inline(always)]
    fn run<S: Simd>(s: S, tile: Tile<'_>) {
        const { assert!(R <= 2, "wider tiles are not listed below") };
        match tile.width / S::LANES {
            2 if R >= 2 => widened::<S, E, P, 2>(s, tile),
            _ => widened::<S, E, P, 1>(s, tile),
        }
    }
}

/// Computes one tile of f32 by widened weights; `tile.width == R * LANES`.
#[inline(always)]
fn widened<S: Simd, E: Values, const P: usize, const R: usize>(s: S, tile: Tile<'_>) {
    debug_assert_eq!(tile.width, R * S::LANES);
    let behind = tile.w[tile.words * R * S::LANES..].as_ptr().cast::<f32>();
    let mut acc = [[s.splat(0.0); R]; P];
    for r in 0..R {
        // SAFETY: behind the words lie R vectors of biases (asserted by `Kernel::run`).
        let bias = unsafe { s.load(behind.add(r * S::LANES)) };
        for pixel in &mut acc {
            pixel[r] = bias;
        }
    }
    let (mut x, mut w, mut ahead) = (tile.x.as_ptr().cast::<f32>(), tile.w.as_ptr(), tile.ahead.as_ptr());
    let ahead_step = tile.ahead.len().div_ceil(tile.words);
    for _ in 0..tile.words {
        s.prefetch(ahead.cast());
        ahead = ahead.wrapping_add(ahead_step);
        let (mut first, mut second) = ([s.splat(0.0); R], [s.splat(0.0); R]);
        for r in 0..R {
            // SAFETY: this word's R vectors of the `words * width` weights.
            let words = unsafe { s.load_words(w.add(r * S::LANES)) };
            first[r] = of_bf16(s, words);
            second[r] = s.of_bits(s.and_words(words, s.splat_word(0xFFFF_0000)));
        }
        for (p, pixel) in acc.iter_mut().enumerate() {
            // SAFETY: this word's two rows of P pixels, of the panel's `2 * words` (asserted by `Kernel::run`).
            let (a, b) = unsafe { (s.splat(*x.add(p)), s.splat(*x.add(P + p))) };
            for r in 0..R {
                pixel[r] = s.mul_add(b, second[r], s.mul_add(a, first[r], pixel[r]));
            }
        }
        // Past the last word these point outside and are not read.
        (x, w) = (x.wrapping_add(2 * P), w.wrapping_add(R * S::LANES));
    }
    let mut channels = [[s.splat(0.0); P]; R];
    for (r, channels) in channels.iter_mut().enumerate() {
        for (v, acc) in channels.iter_mut().zip(&acc) {
            *v = acc[r];
        }
    }
    store::<S, E, P, R>(s, channels, tile);
}

/// Computes one tile of bytes; `tile.width == R * LANES`.
#[inline(always)]
fn bytes<S: Simd, E: Values, const P: usize, const R: usize>(s: S, tile: Tile<'_>) {
    let acc = walk::<S, S::W, P, R>(s, &tile, [s.splat_word(0); R], {
        #[inline(always)]
        |acc, x, w| s.dot_u8_s8(acc, x, w)
    });
    let behind = tile.w[tile.words * R * S::LANES..].as_ptr().cast::<f32>();
    let mut channels = [[s.splat(0.0); P]; R];
    for (r, channels) in channels.iter_mut().enumerate() {
        // SAFETY: behind the words lie R vectors of multipliers and R of biases (asserted by `Kernel::run`).
        let (m, b) = unsafe { (s.load(behind.add(r * S::LANES)), s.load(behind.add((R + r) * S::LANES))) };
        for (v, acc) in channels.iter_mut().zip(&acc) {
            *v = s.add(s.mul(s.to_f32(acc[r]), m), b);
        }
    }
    store::<S, E, P, R>(s, channels, tile);
}

/// Computes one tile of bf16; `tile.width == R * LANES`.
#[inline(always)]
fn bf16<S: Simd, E: Values, const P: usize, const R: usize>(s: S, tile: Tile<'_>) {
    let behind = tile.w[tile.words * R * S::LANES..].as_ptr().cast::<f32>();
    let mut start = [s.splat(0.0); R];
    for (r, start) in start.iter_mut().enumerate() {
        // SAFETY: behind the words lie R vectors of biases (asserted by `Kernel::run`).
        *start = unsafe { s.load(behind.add(r * S::LANES)) };
    }
    let acc = walk::<S, S::V, P, R>(s, &tile, start, {
        #[inline(always)]
        |acc, x, w| s.dot_bf16(acc, x, w)
    });
    let mut channels = [[s.splat(0.0); P]; R];
    for (r, channels) in channels.iter_mut().enumerate() {
        for (v, acc) in channels.iter_mut().zip(&acc) {
            *v = acc[r];
        }
    }
    store::<S, E, P, R>(s, channels, tile);
}

/// Walks all words, from `start` on, and returns the accumulators, by pixel and vector.
#[inline(always)]
fn walk<S: Simd, A: Copy, const P: usize, const R: usize>(
    s: S,
    tile: &Tile<'_>,
    start: [A; R],
    dot: impl Fn(A, S::W, S::W) -> A,
) -> [[A; R]; P] {
    debug_assert_eq!(tile.width, R * S::LANES);
    let mut acc = [start; P];
    let (mut x, mut w, mut ahead) = (tile.x.as_ptr(), tile.w.as_ptr(), tile.ahead.as_ptr());
    let ahead_step = tile.ahead.len().div_ceil(tile.words);
    for _ in 0..tile.words {
        s.prefetch(ahead.cast());
        ahead = ahead.wrapping_add(ahead_step);
        let mut vw = [s.splat_word(0); R];
        for (r, vw) in vw.iter_mut().enumerate() {
            // SAFETY: this word's R vectors of the `words * width` weights.
            *vw = unsafe { s.load_words(w.add(r * S::LANES)) };
        }
        for (p, pixel) in acc.iter_mut().enumerate() {
            // SAFETY: this word's P of the panel's `words * P` (asserted by `Kernel::run`).
            let vx = s.splat_word(unsafe { *x.add(p) });
            for r in 0..R {
                pixel[r] = dot(pixel[r], vx, vw[r]);
            }
        }
        // Past the last word these point outside and are not read.
        (x, w) = (x.wrapping_add(P), w.wrapping_add(R * S::LANES));
    }
    acc
}

/// Stores by vector of channels the values of P pixels.
#[inline(always)]
fn store<S: Simd, E: Values, const P: usize, const R: usize>(s: S, mut channels: [[S::V; P]; R], tile: Tile<'_>) {
    if tile.relu {
        let zero = s.splat(0.0);
        for v in channels.iter_mut().flatten() {
            *v = s.max(zero, *v);
        }
    }
    let mut y = tile.y.cast::<E>();
    let (rows, live, stride) = (y.rows(), y.row_len(), y.stride());
    let y = y.as_mut_ptr();
    for (r, pixels) in channels.iter().enumerate() {
        let first = r * S::LANES;
        if first >= rows {
            break;
        }
        let live_rows = if rows - first < S::LANES { rows - first } else { S::LANES };
        let mut p = 0;
        while p < P {
            let whole = if P - p < S::LANES { P - p } else { S::LANES };
            let n = if p + whole <= live { whole } else { live.saturating_sub(p) };
            if n > 0 {
                // SAFETY: the rows first..first + live_rows and the columns p..p + n lie in `y`.
                unsafe {
                    E::store_transposed(s, &pixels[p..p + whole], n, y.add(first * stride + p), stride, live_rows);
                }
            }
            p += whole;
        }
    }
}
