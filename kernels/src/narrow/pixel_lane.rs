//! Tiles with pixels in the lanes: M channels x C vectors of pixels, of words of bytes.
//!
//! ```text
//! for word:  vx[0..C] = x[word];  for o: acc[o][0..C] = dot(acc[o][0..C], vx[0..C], splat(w[word][o]))
//! ```
//!
//! A row of accumulators is a row of NCHW output, stored as it is. Vectors without a pixel are not computed.

use core::marker::PhantomData;

use super::tile::Tile;
use crate::element::Values;
use crate::op::Op;
use crate::simd::Simd;

/// Tiles of bytes that store `E`.
pub(super) struct BytePixels<E, const M: usize, const C: usize>(PhantomData<E>);

/// What the channels of a block of at most `m` are a multiple of: of small blocks there are as many bodies as of two channels.
pub(super) const fn granule(m: usize) -> usize {
    if m < 8 { 2 } else { 4 }
}

impl<E: Values, const M: usize, const C: usize> Op for BytePixels<E, M, C> {
    type Args<'a> = Tile<'a>;
    type Output = ();

    /// Computes a tile of as many channels as the block has.
    #[inline(always)]
    fn run<S: Simd>(s: S, tile: Tile<'_>) {
        const { assert!(M <= 8 && M.is_multiple_of(granule(M)), "other tiles are not listed below") };
        match tile.width {
            8 if M == 8 => by_vectors::<S, E, 8, C>(s, tile),
            6 if M == 6 => by_vectors::<S, E, 6, C>(s, tile),
            4 if M >= 4 => by_vectors::<S, E, 4, C>(s, tile),
            _ if M < 8 => by_vectors::<S, E, 2, C>(s, tile),
            width => unreachable!("a block of {width} channels"),
        }
    }
}

/// Computes a tile of as many of the C vectors as have pixels.
#[inline(always)]
fn by_vectors<S: Simd, E: Values, const M: usize, const C: usize>(s: S, tile: Tile<'_>) {
    const { assert!(C <= 3, "wider tiles are not listed below") };
    match (tile.y.row_len() / size_of::<E>()).div_ceil(S::LANES) {
        3 if C >= 3 => bytes::<S, E, M, 3>(s, tile, C * S::LANES),
        2 if C >= 2 => bytes::<S, E, M, 2>(s, tile, C * S::LANES),
        _ => bytes::<S, E, M, 1>(s, tile, C * S::LANES),
    }
}

/// Computes one tile of M channels; words are `px` pixels apart.
#[inline(always)]
fn bytes<S: Simd, E: Values, const M: usize, const C: usize>(s: S, tile: Tile<'_>, px: usize) {
    debug_assert_eq!(tile.width, M);
    let mut acc = [[s.splat_word(0); C]; M];
    let (mut x, mut w, mut ahead) = (tile.x.as_ptr(), tile.w.as_ptr(), tile.ahead.as_ptr());
    let ahead_step = tile.ahead.len().div_ceil(tile.words);
    for _ in 0..tile.words {
        s.prefetch(ahead.cast());
        ahead = ahead.wrapping_add(ahead_step);
        let mut vx = [s.splat_word(0); C];
        for (c, vx) in vx.iter_mut().enumerate() {
            // SAFETY: this word's vectors of the panel's `words * px` (asserted by `Kernel::run`).
            *vx = unsafe { s.load_words(x.add(c * S::LANES)) };
        }
        for (o, channel) in acc.iter_mut().enumerate() {
            // SAFETY: this word's M of the `words * M` weights.
            let vw = s.splat_word(unsafe { *w.add(o) });
            for c in 0..C {
                channel[c] = s.dot_u8_s8(channel[c], vx[c], vw);
            }
        }
        // Past the last word these point outside and are not read.
        (x, w) = (x.wrapping_add(px), w.wrapping_add(M));
    }
    let behind = tile.w[tile.words * M..].as_ptr().cast::<f32>();
    let values = {
        #[inline(always)]
        |o: usize, relu: bool| {
            // SAFETY: behind the words lie M multipliers and M biases (asserted by `Kernel::run`).
            let (m, b) = unsafe { (s.splat(*behind.add(o)), s.splat(*behind.add(M + o))) };
            let mut values = [b; C];
            for (v, &sum) in values.iter_mut().zip(&acc[o]) {
                *v = s.add(s.mul(s.to_f32(sum), m), b);
                if relu {
                    *v = s.max(s.splat(0.0), *v);
                }
            }
            values
        }
    };
    let relu = tile.relu && !E::IS_RELU;
    let mut y = tile.y.cast::<E>();
    let (rows, live, stride) = (y.rows(), y.row_len(), y.stride());
    let y = y.as_mut_ptr();
    if (rows, live, relu) == (M, C * S::LANES, false) {
        // Most tiles, of bytes: without a branch between the rows `acc` stays in registers.
        for o in 0..M {
            // SAFETY: row `o` and its C vectors lie in `y`.
            unsafe { E::store_row(s, y.add(o * stride), &values(o, false), C * S::LANES) };
        }
        return;
    }
    for o in 0..M {
        if o < rows {
            // SAFETY: row `o` and its `live` columns lie in `y`; they have C vectors at most (see `by_vectors`).
            unsafe { E::store_row(s, y.add(o * stride), &values(o, relu), live) };
        }
    }
}
