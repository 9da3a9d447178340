//! `V = B'd B`: a row of tiles at a time, LANES channels at a time.
//!
//! ```text
//! for block of channels, row of tiles
//!   rows [n][column][LANES]: the n input rows, transposed, zeros for padding; r - 1 of them are there already
//!   for column: n values of rows -> half [n][column][LANES]                     (vertical)
//!   for tile, row of half: n values -> v[point][block][tile][LANES]             (horizontal)
//! ```
//!
//! Tiles overlap: input row y lies in slot y % n, and the vertical half is done once for all tiles of a row.

use core::marker::PhantomData;
use core::ops::Range;

use super::Grid;
use super::points::{self, MAX_N, Points};
use crate::buffer::cast;
use crate::conv::ConvShape;
use crate::element::{Values, to_bf16};
use crate::op::Op;
use crate::simd::Simd;
use crate::view::RowsMut;

/// The operands of the input transform; `Transformed::inputs` asserts their lengths.
pub(super) struct Operands<'a> {
    pub shape: &'a ConvShape,
    pub grid: Grid,
    pub x: &'a [u8],
    pub tile_rows: Range<usize>,
    pub blocks: Range<usize>,
    pub v: RowsMut<'a>,
    pub strip: &'a mut [f32],
}

/// The channel of the input, and the phase of it, that one lane holds.
#[derive(Clone, Copy)]
struct Lane {
    /// Where the channel begins in the input.
    first: usize,
    /// Input row of the phase's row 0, and column of its column 0.
    iy: isize,
    ix: isize,
    /// The phase's columns that lie in the input.
    from: isize,
    to: isize,
}

/// The input transform over the points `F` of inputs of `E`, which stores transformed inputs as `T`.
pub(super) struct Input<F, E, T>(PhantomData<(F, E, T)>);

/// What transformed inputs are stored as.
pub(super) trait Stored {
    /// Whether two channels take a word, so that a vector of channels takes half as much.
    const WORDS: bool;

    /// Stores a vector of channels.
    ///
    /// # Safety
    /// `at` is valid for writes of `LANES` values, of 32 or 16 bits, and aligned as f32 or u16 are.
    unsafe fn store<S: Simd>(s: S, at: *mut f32, v: S::V);
}

/// As they are.
pub(super) struct AsF32;

/// Rounded to bf16.
pub(super) struct AsBf16;

/// As i16, which are whole numbers of that range before: transformed bytes.
pub(super) struct AsI16;

impl Stored for AsF32 {
    const WORDS: bool = false;

    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, at: *mut f32, v: S::V) {
        // SAFETY: the caller vouches for LANES f32.
        unsafe { s.store(at, v) }
    }
}

impl Stored for AsBf16 {
    const WORDS: bool = true;

    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, at: *mut f32, v: S::V) {
        // SAFETY: the caller vouches for LANES values of 16 bits.
        unsafe { s.store_first_u16(at.cast(), to_bf16(s, v), S::LANES) }
    }
}

impl Stored for AsI16 {
    const WORDS: bool = true;

    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, at: *mut f32, v: S::V) {
        // The lower half of an i32 is the i16.
        let halves = s.and_words(s.round(v), s.splat_word(0xFFFF));
        // SAFETY: the caller vouches for LANES values of 16 bits.
        unsafe { s.store_first_u16(at.cast(), halves, S::LANES) }
    }
}

impl<F: Points, E: Values, T: Stored> Op for Input<F, E, T> {
    type Args<'a> = Operands<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, mut operands: Operands<'_>) {
        const { assert!(S::LANES <= 16) };
        let (shape, x) = (operands.shape, cast::<E>(operands.x));
        let (stride, columns) = (shape.stride_h, operands.grid.columns);
        let channels = shape.ic * stride * stride;
        let width = columns * F::M + F::R - 1;
        let tiles = operands.tile_rows.len() * columns;
        // Two halves of the strip (`strip_len`), n rows of `width` columns of LANES each.
        let rows = operands.strip.as_mut_ptr();
        let half = rows.wrapping_add(F::N * width * S::LANES);
        let (v, v_stride) = (operands.v.as_mut_ptr(), operands.v.stride());
        for (index, block) in operands.blocks.clone().enumerate() {
            let first = block * S::LANES;
            let live = if channels - first < S::LANES { channels - first } else { S::LANES };
            let mut lanes = [Lane { first: 0, iy: 0, ix: 0, from: 0, to: 0 }; 16];
            for (i, lane) in lanes.iter_mut().enumerate().take(live) {
                let (c, phase) = ((first + i) / (stride * stride), (first + i) % (stride * stride));
                let ix = (phase % stride) as isize - shape.pad_l as isize;
                *lane = Lane {
                    first: c * shape.ih * shape.iw,
                    iy: (phase / stride) as isize - shape.pad_t as isize,
                    ix,
                    // Where 0 <= ix + stride * column < iw; both are rounded up.
                    from: -ix.div_euclid(stride as isize),
                    to: -(ix - shape.iw as isize).div_euclid(stride as isize),
                };
            }
            for (row, tile_row) in operands.tile_rows.clone().enumerate() {
                let top = tile_row * F::M;
                let new = if row == 0 { 0 } else { F::R - 1 };
                for y in top + new..top + F::N {
                    // SAFETY: `rows` has n slots of `width` columns; `lanes` holds `live` channels of `[ih, iw]`.
                    unsafe {
                        let row = rows.add(y % F::N * width * S::LANES);
                        gather(s, shape, x, &lanes[..live], y * stride, width, row);
                    }
                }
                let mut slots = [rows; MAX_N];
                for (i, slot) in slots.iter_mut().enumerate().take(F::N) {
                    *slot = rows.wrapping_add((top + i) % F::N * width * S::LANES);
                }
                for column in 0..width {
                    let mut d = [s.splat(0.0); MAX_N];
                    for (d, slot) in d.iter_mut().zip(&slots).take(F::N) {
                        // SAFETY: column < width of one of the n slots.
                        *d = unsafe { s.load(slot.add(column * S::LANES)) };
                    }
                    let d = points::input::<S, F>(s, &d);
                    for (i, &d) in d.iter().enumerate().take(F::N) {
                        // SAFETY: row i < n, column < width of `half`.
                        unsafe { s.store(half.add((i * width + column) * S::LANES), d) };
                    }
                }
                for column in 0..columns {
                    let tile = (index * tiles + row * columns + column) * v_lanes::<S>(T::WORDS);
                    for i in 0..F::N {
                        let mut d = [s.splat(0.0); MAX_N];
                        for (j, d) in d.iter_mut().enumerate().take(F::N) {
                            // SAFETY: column * m + j < width, since the last tile begins at (columns - 1) * m.
                            *d = unsafe { s.load(half.add((i * width + column * F::M + j) * S::LANES)) };
                        }
                        let d = points::input::<S, F>(s, &d);
                        for (j, &d) in d.iter().enumerate().take(F::N) {
                            // SAFETY: v has n * n rows of blocks * tiles vectors.
                            unsafe { T::store(s, v.add((i * F::N + j) * v_stride + tile), d) };
                        }
                    }
                }
            }
        }
    }
}

/// Input row `y` of every lane's image, columns 0..width, as `[column][LANES]`; 0 outside of the input and in vectors'
/// lanes behind the last of `lanes`.
///
/// # Safety
/// `out` is valid for writes of `width * LANES` f32; at each of `lanes`, of which there is one at least and LANES at most,
/// begin `[ih, iw]` elements of `x`.
#[inline(always)]
unsafe fn gather<S: Simd, E: Values>(
    s: S,
    shape: &ConvShape,
    x: &[E],
    lanes: &[Lane],
    y: usize,
    width: usize,
    out: *mut f32,
) {
    let (ih, iw, plane) = (shape.ih as isize, shape.iw as isize, shape.ih * shape.iw);
    let (stride, live) = (shape.stride_w, lanes.len());
    let mut column = 0;
    while column < width {
        let n = if width - column < S::LANES { width - column } else { S::LANES };
        let mut square = [s.splat(0.0); 16];
        if stride == 1 {
            // One window for all lanes, whose channels follow each other.
            let (iy, ix) = (y as isize + lanes[0].iy, column as isize + lanes[0].ix);
            let (from, to) = (clamp(-ix, n), clamp(iw - ix, n));
            let inside = 0 <= iy && iy < ih && from < to;
            let at = iy.wrapping_mul(iw).wrapping_add(ix); // outside it may be more than any offset, and is not used
            if inside && live == S::LANES && to - from == S::LANES {
                for (i, v) in square.iter_mut().enumerate().take(S::LANES) {
                    // SAFETY: LANES columns of row iy of the channel, which lie one plane apart.
                    *v = unsafe {
                        E::load(s, x.as_ptr().wrapping_add(lanes[0].first).wrapping_offset(at).add(i * plane))
                    };
                }
            } else if inside {
                for (i, v) in square.iter_mut().enumerate().take(live) {
                    // SAFETY: row iy and the columns from..to, inside 0..iw, of the channel.
                    *v = unsafe { E::load_within(s, x, (lanes[0].first + i * plane) as isize + at, from, to) };
                }
            }
        } else {
            for (lane, v) in lanes.iter().zip(&mut square) {
                let (iy, ix) = (y as isize + lane.iy, (stride * column) as isize + lane.ix);
                let (from, to) = (clamp(lane.from - column as isize, n), clamp(lane.to - column as isize, n));
                if 0 <= iy && iy < ih && from < to {
                    let at = x.as_ptr().wrapping_add(lane.first).wrapping_offset(iy * iw + ix);
                    // SAFETY: row iy and of every stride-th column those from..to, which lie in 0..iw, of the lane's channel;
                    // `Winograd::fits` allows strides up to 4.
                    *v = unsafe { E::load_window(s, at, stride, from, to) };
                }
            }
        }
        // SAFETY: the caller vouches for n columns of LANES from `column` on.
        unsafe { s.store_transposed(&square[..S::LANES], S::LANES, out.add(column * S::LANES), S::LANES, n) };
        column += S::LANES;
    }
}

/// Words that a vector of channels takes when it is transformed.
pub(super) const fn v_lanes<S: Simd>(is_words: bool) -> usize {
    if is_words { S::LANES / 2 } else { S::LANES }
}

/// `i` between 0 and `most`.
#[inline(always)]
fn clamp(i: isize, most: usize) -> usize {
    if i < 0 {
        0
    } else if i as usize > most {
        most
    } else {
        i as usize
    }
}
