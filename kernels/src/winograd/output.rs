//! `y = A'M A`, bias, ReLU, and the store to NCHW: a row of tiles at a time, LANES channels at a time.
//!
//! ```text
//! for vector of channels, row of tiles
//!   for tile:  each column of points: n values -> m (vertical);  each row: n values -> m (horizontal), + bias, ReLU
//!              -> strip [m][column][LANES]
//!   for row of the strip: LANES columns at a time, transposed, to y
//! ```
//!
//! A 3x3 max pool of stride 2 may follow before the store, while channels still lie in the lanes: a row of the strip,
//! reduced along its columns, belongs to one or two rows of windows, of which the last is kept from strip to strip.

use core::marker::PhantomData;
use core::ops::Range;

use super::Grid;
use super::points::{self, MAX_N, Points};
use crate::conv::ConvShape;
use crate::element::Values;
use crate::op::Op;
use crate::simd::Simd;
use crate::view::RowsMut;

/// The operands of the output transform; `Transformed::block` asserts their lengths.
pub(super) struct Operands<'a> {
    pub shape: &'a ConvShape,
    pub grid: Grid,
    pub tile_rows: Range<usize>,
    pub m: &'a [f32],
    /// Of sums in integers the real values of 1, `[point][width]`; else nothing.
    pub scales: &'a [f32],
    pub bias: &'a [f32],
    pub relu: bool,
    pub y: RowsMut<'a, u8>,
    pub strip: &'a mut [f32],
    pub pool: Option<Pool<'a>>,
}

/// A 3x3 max pool of stride 2 without padding that takes the place of the store.
pub(super) struct Pool<'a> {
    /// The rows of windows to compute; `y` holds their pixels.
    pub rows: Range<usize>,
    /// Windows of a row.
    pub columns: usize,
    /// The row of windows that is not complete yet, for each vector of this block's channels `[column][LANES]`, whole
    /// vectors of columns.
    pub pending: &'a mut [f32],
}

/// The output transform over the points `F` of sums of `T` to outputs of `E`, and what follows it.
pub(super) struct Output<F, E, T>(PhantomData<(F, E, T)>);

/// What products are summed in.
pub(super) trait Sums {
    /// A vector of sums, as real values.
    ///
    /// # Safety
    /// `m` is valid for reads of `LANES` sums and, if they are integers, `scales` of as many f32; aligned as they are.
    unsafe fn load<S: Simd>(s: S, m: *const f32, scales: *const f32) -> S::V;
}

/// f32.
pub(super) struct InF32;

/// i32, which have scales.
pub(super) struct InI32;

impl Sums for InF32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, m: *const f32, _: *const f32) -> S::V {
        // SAFETY: the caller vouches for LANES sums.
        unsafe { s.load(m) }
    }
}

impl Sums for InI32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, m: *const f32, scales: *const f32) -> S::V {
        // SAFETY: the caller vouches for LANES sums and scales.
        unsafe { s.mul(s.to_f32(s.load_words(m.cast())), s.load(scales)) }
    }
}

impl<F: Points, E: Values, T: Sums> Op for Output<F, E, T> {
    type Args<'a> = Operands<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, operands: Operands<'_>) {
        let mut pool = operands.pool;
        let mut out = operands.y.cast::<E>();
        let (shape, columns, width) = (operands.shape, operands.grid.columns, operands.bias.len());
        let tiles = operands.tile_rows.len() * columns;
        let strip_width = (columns * F::M).next_multiple_of(S::LANES);
        let strip = operands.strip.as_mut_ptr();
        let (rows, y_stride, y) = (out.rows(), out.stride(), out.as_mut_ptr());
        let first_row = operands.tile_rows.start * F::M;
        let zero = s.splat(0.0);
        for first in (0..rows).step_by(S::LANES) {
            let live = if rows - first < S::LANES { rows - first } else { S::LANES };
            // SAFETY: `bias` has `width` elements, whole vectors, and first < rows <= width.
            let bias = unsafe { s.load(operands.bias.as_ptr().add(first)) };
            let scales = operands.scales.as_ptr().wrapping_add(first);
            for (row, tile_row) in operands.tile_rows.clone().enumerate() {
                for column in 0..columns {
                    let m = operands.m.as_ptr().wrapping_add((row * columns + column) * width + first);
                    let mut half = [[zero; MAX_N]; MAX_N]; // A'M, [m][n]
                    for j in 0..F::N {
                        let mut points = [zero; MAX_N];
                        for (i, point) in points.iter_mut().enumerate().take(F::N) {
                            let at = i * F::N + j;
                            // SAFETY: that point of this tile of `m`, `[n * n][tiles][width]`, and of the scales,
                            // `[n * n][width]`, where there are any.
                            *point = unsafe {
                                T::load(s, m.wrapping_add(at * tiles * width), scales.wrapping_add(at * width))
                            };
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
                let rows = if shape.oh - top < F::M { shape.oh - top } else { F::M };
                for k in 0..rows {
                    let row = strip.wrapping_add(k * strip_width * S::LANES);
                    if let Some(pool) = &mut pool {
                        let out = Channels { at: y.wrapping_add(first * y_stride), stride: y_stride, live };
                        // SAFETY: the strip's row has ow columns, every window begins in it (asserted by
                        // `Transformed::with_pool`); `live` rows from `first` on of the pool's pixels lie in `y` (asserted by
                        // `Transformed::run`).
                        unsafe { pool_row(s, row, top + k, shape.oh, shape.ow, (pool, first), out) };
                    } else {
                        let at = y.wrapping_add(first * y_stride + (top + k - first_row) * shape.ow);
                        // SAFETY: the strip's rows are whole vectors of columns; `live` rows from `first` on and the ow columns
                        // of output row top + k lie in `y` (asserted by `Transformed::block`).
                        unsafe { store_row(s, row, shape.ow, Channels { at, stride: y_stride, live }) };
                    }
                }
            }
        }
    }
}

/// Where LANES channels go, of which `live` exist: a row each, `stride` elements apart.
#[derive(Clone, Copy)]
struct Channels<E> {
    at: *mut E,
    stride: usize,
    live: usize,
}

/// Stores `n` columns of LANES channels as rows of `n` pixels.
///
/// # Safety
/// `row` is valid for reads of `n` columns, rounded up to LANES; `out` for writes of its rows of `n` elements; both aligned as
/// their elements are.
#[inline(always)]
unsafe fn store_row<S: Simd, E: Values>(s: S, row: *const f32, n: usize, out: Channels<E>) {
    let mut column = 0;
    while column < n {
        let whole = if n - column < S::LANES { n - column } else { S::LANES };
        let mut square = [s.splat(0.0); 16];
        for (i, v) in square.iter_mut().enumerate().take(S::LANES) {
            // SAFETY: the caller vouches for whole vectors of columns.
            *v = unsafe { s.load(row.add((column + i) * S::LANES)) };
        }
        // SAFETY: the caller vouches for `live` rows of n.
        unsafe { E::store_transposed(s, &square[..S::LANES], whole, out.at.add(column), out.stride, out.live) };
        column += S::LANES;
    }
}

/// Takes row `r` of `oh` rows of `ow` columns of output, at `row`, into the pool's windows that it belongs to, for the
/// channels from `first` on, and stores rows of windows that it completes.
///
/// # Safety
/// `row` is valid for reads of `ow` columns of LANES, in which every window begins; `out` is valid for writes of its
/// rows of the pool's pixels.
#[inline(always)]
unsafe fn pool_row<S: Simd, E: Values>(
    s: S,
    row: *const f32,
    r: usize,
    oh: usize,
    ow: usize,
    (pool, first): (&mut Pool<'_>, usize),
    out: Channels<E>,
) {
    let (wanted, columns) = (&pool.rows, pool.columns);
    let padded = columns.next_multiple_of(S::LANES);
    let pending = pool.pending[first * padded..][..S::LANES * padded].as_mut_ptr();
    // Row r is the third of the windows r / 2 - 1 and the first of r / 2 if it is even, else the second of r / 2.
    let (current, first) = (r / 2, r.is_multiple_of(2));
    let completes = first && current > wanted.start && current <= wanted.end;
    let takes_part = wanted.contains(&current);
    let mut square = [s.splat(0.0); 16];
    let mut filled = 0;
    for column in 0..columns {
        // SAFETY: 2 column < ow, as every window begins inside, and the others are tested; `pending` was taken as whole
        // vectors of columns above.
        let (best, before) = unsafe {
            let at = row.add(2 * column * S::LANES);
            let mut best = s.load(at);
            if 2 * column + 1 < ow {
                best = s.max(best, s.load(at.add(S::LANES)));
            }
            if 2 * column + 2 < ow {
                best = s.max(best, s.load(at.add(2 * S::LANES)));
            }
            (best, s.load(pending.add(column * S::LANES)))
        };
        let both = s.max(before, best);
        if takes_part {
            // SAFETY: as above.
            unsafe { s.store(pending.add(column * S::LANES), if first { best } else { both }) };
        }
        if completes {
            square[filled] = both;
            filled += 1;
            if filled == S::LANES || column + 1 == columns {
                let at = (current - 1 - wanted.start) * columns + column + 1 - filled;
                // SAFETY: the `filled` windows up to this one of a wanted row.
                unsafe {
                    E::store_transposed(s, &square[..S::LANES], filled, out.at.add(at), out.stride, out.live);
                }
                filled = 0;
            }
        }
    }
    // The last row of all completes what it takes part in.
    if takes_part && r + 1 == oh {
        let at = (current - wanted.start) * columns;
        // SAFETY: `pending` has whole vectors of columns; a wanted row of windows.
        unsafe { store_row(s, pending, columns, Channels { at: out.at.add(at), ..out }) };
    }
}
