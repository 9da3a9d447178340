//! `y = A'M A`, bias, ReLU, and the store to NCHW: a row of tiles at a time, LANES channels at a time.
//!
//! ```text
//! for vector of channels, row of tiles
//!   for tile:  each column of points: n values -> m (vertical);  each row: n values -> m (horizontal), + bias, ReLU
//!              -> strip [m][column][LANES]
//!   for row of the strip: LANES columns at a time, transposed, to y
//! ```

use core::ops::Range;

use super::Grid;
use super::points::{self, Form, MAX_N};
use crate::conv::ConvShape;
use crate::simd::Simd;
use crate::view::RowsMut;

/// The operands of `Winograd::transform_output`, which asserts their lengths.
pub(super) struct Output<'a> {
    pub shape: &'a ConvShape,
    pub grid: Grid,
    pub tile_rows: Range<usize>,
    pub m: &'a [f32],
    pub bias: &'a [f32],
    pub relu: bool,
    pub y: RowsMut<'a>,
    pub strip: &'a mut [f32],
}

#[inline(always)]
pub(super) fn output<S: Simd, F: Form>(s: S, mut operands: Output<'_>) {
    let (shape, columns, width) = (operands.shape, operands.grid.columns, operands.bias.len());
    let tiles = operands.tile_rows.len() * columns;
    let strip_width = (columns * F::M).next_multiple_of(S::LANES);
    let strip = operands.strip.as_mut_ptr();
    let (rows, y_stride, y) = (operands.y.rows(), operands.y.stride(), operands.y.as_mut_ptr());
    let first_row = operands.tile_rows.start * F::M;
    let zero = s.splat(0.0);
    for first in (0..rows).step_by(S::LANES) {
        let live = if rows - first < S::LANES { rows - first } else { S::LANES };
        // SAFETY: `bias` has `width` elements, whole vectors, and first < rows <= width.
        let bias = unsafe { s.load(operands.bias.as_ptr().add(first)) };
        for (row, tile_row) in operands.tile_rows.clone().enumerate() {
            for column in 0..columns {
                let m = operands.m.as_ptr().wrapping_add((row * columns + column) * width + first);
                let mut half = [[zero; MAX_N]; MAX_N]; // A'M, [m][n]
                for j in 0..F::N {
                    let mut points = [zero; MAX_N];
                    for (i, point) in points.iter_mut().enumerate().take(F::N) {
                        // SAFETY: point i * n + j of this tile of `m`, `[n * n][tiles][width]`.
                        *point = unsafe { s.load(m.wrapping_add((i * F::N + j) * tiles * width)) };
                    }
                    for (row, &v) in half.iter_mut().zip(&points::output::<S, F>(s, &points)).take(F::M) {
                        row[j] = v;
                    }
                }
                for (k, row) in half.iter().enumerate().take(F::M) {
                    let outputs = points::output::<S, F>(s, row);
                    for (l, &v) in outputs.iter().enumerate().take(F::M) {
                        let v = s.add(v, bias);
                        let v = if operands.relu { s.max(zero, v) } else { v };
                        // SAFETY: row k < m and column < columns * m of the strip (`strip_len`).
                        unsafe { s.store(strip.add((k * strip_width + column * F::M + l) * S::LANES), v) };
                    }
                }
            }
            let top = tile_row * F::M;
            for k in 0..if shape.oh - top < F::M { shape.oh - top } else { F::M } {
                let out = y.wrapping_add(first * y_stride + (top + k - first_row) * shape.ow);
                let mut column = 0;
                while column < shape.ow {
                    let n = if shape.ow - column < S::LANES { shape.ow - column } else { S::LANES };
                    let mut square = [zero; 16];
                    for (i, v) in square.iter_mut().enumerate().take(S::LANES) {
                        // SAFETY: the strip's rows are whole vectors of columns.
                        *v = unsafe { s.load(strip.add((k * strip_width + column + i) * S::LANES)) };
                    }
                    // SAFETY: `live` rows from `first` on and the n columns of output row top + k lie in `y`.
                    unsafe { s.store_transposed(&square[..S::LANES], n, out.add(column), y_stride, live) };
                    column += S::LANES;
                }
            }
        }
    }
}
