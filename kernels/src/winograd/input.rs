//! `V = B'd B`: a row of tiles at a time, LANES channels at a time.
//!
//! ```text
//! for block of channels, row of tiles
//!   strip [n][column][LANES] = the n input rows, transposed, zeros for padding
//!   each column of the strip: n values -> n                                  (vertical, in place)
//!   for tile, row of the strip: n values -> v[point][block][tile][LANES]     (horizontal)
//! ```
//!
//! Tiles overlap by r - 1 columns; the vertical half is done once for all of them.

use core::ops::Range;

use super::Grid;
use super::points::{self, Form, MAX_N};
use crate::conv::ConvShape;
use crate::simd::Simd;
use crate::view::RowsMut;

/// The operands of `Winograd::transform_input`, which asserts their lengths.
pub(super) struct Input<'a> {
    pub shape: &'a ConvShape,
    pub grid: Grid,
    pub x: &'a [f32],
    pub tile_rows: Range<usize>,
    pub blocks: Range<usize>,
    pub v: RowsMut<'a>,
    pub strip: &'a mut [f32],
}

/// The channel of the input, and the phase of it, that one lane holds.
#[derive(Clone, Copy)]
struct Lane {
    x: *const f32,
    /// Input row of the phase's row 0, and column of its column 0.
    iy: isize,
    ix: isize,
}

#[inline(always)]
pub(super) fn input<S: Simd, F: Form>(s: S, mut operands: Input<'_>) {
    const { assert!(S::LANES <= 16) };
    let shape = operands.shape;
    let (stride, columns) = (shape.stride_h, operands.grid.columns);
    let channels = shape.ic * stride * stride;
    let width = columns * F::M + F::R - 1;
    let tiles = operands.tile_rows.len() * columns;
    let strip = operands.strip.as_mut_ptr();
    let (v, v_stride) = (operands.v.as_mut_ptr(), operands.v.stride());
    for (index, block) in operands.blocks.clone().enumerate() {
        let first = block * S::LANES;
        let live = if channels - first < S::LANES { channels - first } else { S::LANES };
        let mut lanes = [Lane { x: core::ptr::null(), iy: 0, ix: 0 }; 16];
        for (i, lane) in lanes.iter_mut().enumerate().take(live) {
            let (c, phase) = ((first + i) / (stride * stride), (first + i) % (stride * stride));
            *lane = Lane {
                x: operands.x.as_ptr().wrapping_add(c * shape.ih * shape.iw),
                iy: (phase / stride) as isize - shape.pad_t as isize,
                ix: (phase % stride) as isize - shape.pad_l as isize,
            };
        }
        for (row, tile_row) in operands.tile_rows.clone().enumerate() {
            for i in 0..F::N {
                let y = (tile_row * F::M + i) * stride;
                // SAFETY: the strip has n rows of at least `width` columns of LANES (`strip_len`), rounded up; `lanes`
                // holds `live` channels of the `[ic, ih, iw]` input.
                unsafe { gather(s, shape, &lanes, live, y, width, strip.add(i * width * S::LANES)) };
            }
            for column in 0..width {
                let mut d = [s.splat(0.0); MAX_N];
                for (i, d) in d.iter_mut().enumerate().take(F::N) {
                    // SAFETY: row i < n, column < width of the strip.
                    *d = unsafe { s.load(strip.add((i * width + column) * S::LANES)) };
                }
                let d = points::input::<S, F>(s, &d);
                for (i, &d) in d.iter().enumerate().take(F::N) {
                    // SAFETY: as above.
                    unsafe { s.store(strip.add((i * width + column) * S::LANES), d) };
                }
            }
            for column in 0..columns {
                let tile = (index * tiles + row * columns + column) * S::LANES;
                for i in 0..F::N {
                    let mut d = [s.splat(0.0); MAX_N];
                    for (j, d) in d.iter_mut().enumerate().take(F::N) {
                        // SAFETY: column * m + j < width, since the last tile begins at (columns - 1) * m.
                        *d = unsafe { s.load(strip.add((i * width + column * F::M + j) * S::LANES)) };
                    }
                    let d = points::input::<S, F>(s, &d);
                    for (j, &d) in d.iter().enumerate().take(F::N) {
                        // SAFETY: v has n * n rows of blocks * tiles * LANES elements.
                        unsafe { s.store(v.add((i * F::N + j) * v_stride + tile), d) };
                    }
                }
            }
        }
    }
}

/// Row `y` (times the stride) of all lanes, columns 0..width, as `[column][LANES]`; 0 outside of the input and in lanes
/// from `live` on.
///
/// # Safety
/// `out` is valid for writes of `width * LANES` f32; the first `live` of `lanes` point to `[ih, iw]` f32 each.
#[inline(always)]
unsafe fn gather<S: Simd>(
    s: S,
    shape: &ConvShape,
    lanes: &[Lane; 16],
    live: usize,
    y: usize,
    width: usize,
    out: *mut f32,
) {
    let stride = shape.stride_w as isize;
    let mut column = 0;
    while column < width {
        let n = if width - column < S::LANES { width - column } else { S::LANES };
        let mut square = [s.splat(0.0); 16];
        for (lane, v) in lanes.iter().zip(&mut square).take(live) {
            let (iy, ix) = (y as isize + lane.iy, column as isize * stride + lane.ix);
            if iy < 0 || iy >= shape.ih as isize {
                continue;
            }
            // The columns i with 0 <= ix + i * stride < iw.
            let from = if ix >= 0 { 0 } else { ((-ix + stride - 1) / stride) as usize };
            let to = if ix >= shape.iw as isize { 0 } else { ((shape.iw as isize - 1 - ix) / stride + 1) as usize };
            let (from, to) = (from.min(n), to.min(n));
            if from < to {
                let source = lane.x.wrapping_offset(iy * shape.iw as isize + ix);
                // SAFETY: rows iy < ih and columns from..to inside 0..iw of the lane's channel.
                *v = unsafe {
                    if stride == 1 { s.load_window(source, from, to) } else { s.load_even_window(source, from, to) }
                };
            }
        }
        // SAFETY: the caller vouches for n columns of LANES from `column` on.
        unsafe { s.store_transposed(&square[..S::LANES], S::LANES, out.add(column * S::LANES), S::LANES, n) };
        column += S::LANES;
    }
}
