//! Max pooling of f32, and of bf16 as f32.
//!
//! The windows of networks go down the rows a vector of outputs at a time, each input row being reduced along x once and
//! shared by the windows it lies in:
//!
//! ```text
//! for block of channels that stays in the cache, for vector of output columns, for channel of the block:
//!     for output row y: for each input row iy that is new in its window:
//!             h[iy] = max over kx of load(row iy, columns x * stride + kx - pad_l)
//!         y = max over the window's rows of h
//! ```
//!
//! Small planes under windows of 3x3 at stride 1 are one row each (`flat`).

use super::{FLAT, PoolShape, Pooled, is_same, one_by_one};
use crate::element::{Bf16, Values, of_bf16};
use crate::simd::{MOST_LANES, Simd};

/// An element whose values are f32 while they are compared.
trait Floats: Values + Pooled {
    /// Lane `i` is `x[at + STRIDE * i]` for `from <= i < to`, 0 elsewhere, where `at` may lie outside of `x`. `WHOLE`: these
    /// are all lanes.
    ///
    /// # Safety
    /// `from < to <= LANES`, and `from..to` is `0..LANES` if WHOLE; STRIDE is 1 or 2, and `at + STRIDE * i` is an index of `x`
    /// for those `i`.
    unsafe fn load_columns<S: Simd, const STRIDE: usize, const WHOLE: bool>(
        s: S,
        x: &[Self],
        at: isize,
        from: usize,
        to: usize,
    ) -> S::V;

    /// The first of `wide` become the elements of `x`, of which there are no more.
    fn widen<S: Simd>(s: S, x: &[Self], wide: &mut [f32]);
}

impl Floats for f32 {
    #[inline(always)]
    unsafe fn load_columns<S: Simd, const STRIDE: usize, const WHOLE: bool>(
        s: S,
        x: &[f32],
        at: isize,
        from: usize,
        to: usize,
    ) -> S::V {
        let at = x.as_ptr().wrapping_offset(at);
        // SAFETY: the caller vouches for the elements of from..to, which are at least one, and all of LANES if WHOLE.
        unsafe {
            match (STRIDE, WHOLE) {
                (1, true) => s.load(at),
                (1, false) => s.load_window(at, from, to),
                _ => s.load_even_window(at, from, to),
            }
        }
    }

    #[inline(always)]
    fn widen<S: Simd>(_: S, x: &[f32], wide: &mut [f32]) {
        wide[..x.len()].copy_from_slice(x);
    }
}

impl Floats for Bf16 {
    #[inline(always)]
    unsafe fn load_columns<S: Simd, const STRIDE: usize, const WHOLE: bool>(
        s: S,
        x: &[Bf16],
        at: isize,
        from: usize,
        to: usize,
    ) -> S::V {
        if STRIDE == 1 {
            // SAFETY: the caller vouches for the elements of from..to, all of LANES if WHOLE.
            return unsafe {
                if WHOLE { Bf16::load(s, x.as_ptr().offset(at)) } else { Bf16::load_within(s, x, at, from, to) }
            };
        }
        // A word is two elements: of the first the lower half, of the second the upper. Every second element is in either
        // half of the words from it on, or from the one before it on, and one of the two lies in `x` but for its ends.
        let lies_within = |at: isize| at >= 0 && at.cast_unsigned() + 2 * S::LANES <= x.len();
        let v = if cfg!(target_endian = "little") && lies_within(at) {
            // SAFETY: the 2 * LANES elements from `at` on lie in `x`, as tested.
            of_bf16(s, unsafe { s.load_words(x.as_ptr().offset(at).cast()) })
        } else if cfg!(target_endian = "little") && lies_within(at.wrapping_sub(1)) {
            // SAFETY: the 2 * LANES elements from the one before `at` on lie in `x`, as tested.
            let words = unsafe { s.load_words(x.as_ptr().offset(at - 1).cast()) };
            s.of_bits(s.and_words(words, s.splat_word(0xFFFF_0000)))
        } else {
            // SAFETY: the caller vouches for the elements of from..to.
            return unsafe { Bf16::load_window(s, x.as_ptr().wrapping_offset(at), STRIDE, from, to) };
        };
        if WHOLE { v } else { s.of_bits(s.and_words(s.bits(v), s.lane_mask(from, to))) }
    }

    #[inline(always)]
    fn widen<S: Simd>(s: S, x: &[Bf16], wide: &mut [f32]) {
        assert!(wide.len() >= x.len(), "{} elements for {}", x.len(), wide.len());
        let mut i = 0;
        while i < x.len() {
            let n = if x.len() - i < S::LANES { x.len() - i } else { S::LANES };
            // SAFETY: i + n is at most the length of `x`, and so that of `wide`, as asserted.
            unsafe { s.store_first(wide.as_mut_ptr().add(i), Bf16::load_within(s, x, i.cast_signed(), 0, n), n) };
            i += n;
        }
    }
}

impl Pooled for f32 {
    const OUTSIDE: f32 = f32::NEG_INFINITY;

    #[inline(always)]
    fn larger(self, best: f32) -> f32 {
        if self > best { self } else { best }
    }

    #[inline(always)]
    fn pool<S: Simd>(s: S, shape: &PoolShape, x: &[f32], y: &mut [f32]) {
        pool(s, shape, x, y);
    }
}

impl Pooled for Bf16 {
    const OUTSIDE: Bf16 = Bf16::from_f32(f32::NEG_INFINITY);

    #[inline(always)]
    fn larger(self, best: Bf16) -> Bf16 {
        if self.to_f32() > best.to_f32() { self } else { best }
    }

    #[inline(always)]
    fn pool<S: Simd>(s: S, shape: &PoolShape, x: &[Bf16], y: &mut [Bf16]) {
        pool(s, shape, x, y);
    }
}

/// Every window, by the loop for it.
#[inline(always)]
fn pool<E: Floats, S: Simd>(s: S, shape: &PoolShape, x: &[E], y: &mut [E]) {
    match (shape.kernel, shape.stride) {
        (3, 1) if is_same(shape) && shape.ih * shape.iw <= FLAT => flat(s, shape, x, y),
        (3, 1) => down_the_rows::<E, S, 3, 1>(s, shape, x, y),
        (3, 2) => down_the_rows::<E, S, 3, 2>(s, shape, x, y),
        (2, 2) => down_the_rows::<E, S, 2, 2>(s, shape, x, y),
        _ => one_by_one(shape, x, y),
    }
}

/// The loop of the file's head, for `K = kernel` and `STRIDE = stride`, at most 2 and at most `K`.
#[inline(always)]
fn down_the_rows<E: Floats, S: Simd, const K: usize, const STRIDE: usize>(
    s: S,
    shape: &PoolShape,
    x: &[E],
    y: &mut [E],
) {
    let (in_plane, out_plane) = (shape.ih * shape.iw, shape.oh * shape.ow);
    let channels = (BLOCK / in_plane).clamp(1, (x.len() / in_plane).max(1));
    for (x, y) in x.chunks(channels * in_plane).zip(y.chunks_mut(channels * out_plane)) {
        let mut column = 0;
        while column < shape.ow {
            let n = if shape.ow - column < S::LANES { shape.ow - column } else { S::LANES };
            let mut reaches = [Reach { from: 0, to: 0, edge: s.splat(f32::NEG_INFINITY) }; K];
            let mut inner = n == S::LANES;
            for (kx, reach) in reaches.iter_mut().enumerate() {
                *reach = Reach::new::<S, STRIDE>(s, shape, column, n, kx);
                inner &= reach.from == 0 && reach.to == S::LANES;
            }
            for (x, y) in x.chunks_exact(in_plane).zip(y.chunks_exact_mut(out_plane)) {
                if inner {
                    columns::<E, S, K, STRIDE, true>(s, shape, x, y, column, n, &reaches);
                } else {
                    columns::<E, S, K, STRIDE, false>(s, shape, x, y, column, n, &reaches);
                }
            }
            column += n;
        }
    }
}

/// Which of a vector of windows reach into the input with one of their columns.
#[derive(Clone, Copy)]
struct Reach<V> {
    /// The first lane whose element lies in its row.
    from: usize,
    /// The end of those lanes; `from` where there is none.
    to: usize,
    /// Added to what was loaded: -0.0 in those lanes, which changes nothing, -inf in the others.
    edge: V,
}

impl<V: Copy> Reach<V> {
    /// Column `kx` of the windows of the outputs `column .. column + n`.
    #[inline(always)]
    fn new<S: Simd<V = V>, const STRIDE: usize>(s: S, shape: &PoolShape, column: usize, n: usize, kx: usize) -> Self {
        // Lane i takes the element first + i * STRIDE - pad_l, which must lie in 0..iw.
        let first = column * STRIDE + kx;
        let before = shape.pad_l.saturating_sub(first).div_ceil(STRIDE);
        let end = (shape.iw.saturating_add(shape.pad_l)).saturating_sub(first).div_ceil(STRIDE);
        let to = if end < n { end } else { n };
        let from = if before < to { before } else { to };
        let mut edges = [f32::NEG_INFINITY; MOST_LANES];
        edges[from..to].fill(-0.0);
        // SAFETY: `edges` has MOST_LANES elements, which hold a vector of any set.
        Self { from, to, edge: unsafe { s.load(edges.as_ptr()) } }
    }
}

/// The outputs `column .. column + n` of every row of one channel. `INNER`: all of `LANES` outputs, and no element
/// outside of the rows.
#[inline(always)]
fn columns<E: Floats, S: Simd, const K: usize, const STRIDE: usize, const INNER: bool>(
    s: S,
    shape: &PoolShape,
    x: &[E],
    y: &mut [E],
    column: usize,
    n: usize,
    reaches: &[Reach<S::V>; K],
) {
    debug_assert!(column + n <= shape.ow && n <= S::LANES && (n == S::LANES || !INNER));
    debug_assert!(x.len() == shape.ih * shape.iw && y.len() == shape.oh * shape.ow);
    // h[i] is row i of the window, reduced along x. Before a step they are still those of the step before.
    let mut h = [s.splat(f32::NEG_INFINITY); K];
    for i in 0..K - STRIDE {
        h[i + STRIDE] = row::<E, S, K, STRIDE, INNER>(s, shape, x, column, i, reaches);
    }
    for oy in 0..shape.oh {
        for i in 0..K - STRIDE {
            h[i] = h[i + STRIDE];
        }
        for (i, h) in h.iter_mut().enumerate().skip(K - STRIDE) {
            *h = row::<E, S, K, STRIDE, INNER>(s, shape, x, column, oy * STRIDE + i, reaches);
        }
        let mut best = h[0];
        for &h in &h[1..] {
            best = s.max(best, h);
        }
        // SAFETY: oy < oh and column + n <= ow, where n is LANES if INNER: the elements lie in `y`, a plane of oh * ow.
        unsafe {
            let at = y.as_mut_ptr().add(oy * shape.ow + column);
            E::store_first(s, at, best, if INNER { S::LANES } else { n });
        }
    }
}

/// Row `iy - pad_t` of `x` reduced along the windows of the outputs from `column` on: -inf outside of the input.
#[inline(always)]
fn row<E: Floats, S: Simd, const K: usize, const STRIDE: usize, const INNER: bool>(
    s: S,
    shape: &PoolShape,
    x: &[E],
    column: usize,
    iy: usize,
    reaches: &[Reach<S::V>; K],
) -> S::V {
    let mut best = s.splat(f32::NEG_INFINITY);
    if iy < shape.pad_t || iy - shape.pad_t >= shape.ih {
        return best;
    }
    let first = ((iy - shape.pad_t) * shape.iw + column * STRIDE).wrapping_sub(shape.pad_l).cast_signed();
    for (kx, reach) in reaches.iter().enumerate() {
        let at = first.wrapping_add_unsigned(kx);
        // SAFETY: the lanes from..to (all of them if INNER) take elements whose column lies in 0..iw (see
        // `Reach::new`), of a row below ih (tested above): they lie in `x`, a plane of ih * iw. Nothing else is read.
        let v = unsafe {
            if INNER {
                E::load_columns::<S, STRIDE, true>(s, x, at, 0, S::LANES)
            } else if reach.from == reach.to {
                reach.edge
            } else {
                s.add(E::load_columns::<S, STRIDE, false>(s, x, at, reach.from, reach.to), reach.edge)
            }
        };
        best = if kx == 0 { v } else { s.max(best, v) };
    }
    best
}

/// 3x3 windows at stride 1 around every element of planes of at most `FLAT` elements: each plane as one row.
///
/// ```text
/// rows = -inf, plane, -inf;  v[i] = max of rows[i - w], rows[i], rows[i + w];  y[i] = max of v[i - 1], v[i], v[i + 1]
/// ```
///
/// What the last maximum takes from a neighbouring row at the left and right edge is made -inf by adding it.
#[inline(always)]
fn flat<E: Floats, S: Simd>(s: S, shape: &PoolShape, x: &[E], y: &mut [E]) {
    let (w, plane) = (shape.iw, shape.ih * shape.iw);
    assert!(plane <= FLAT, "a plane of {plane}");
    let mut rows = [f32::NEG_INFINITY; 3 * FLAT + MOST_LANES];
    let mut v = [f32::NEG_INFINITY; FLAT + 3 * MOST_LANES];
    let (mut left, mut right) = ([-0.0_f32; FLAT + MOST_LANES], [-0.0_f32; FLAT + MOST_LANES]);
    for row in 0..shape.ih {
        left[row * w] = f32::NEG_INFINITY;
        right[row * w + w - 1] = f32::NEG_INFINITY;
    }
    for (x, y) in x.chunks_exact(plane).zip(y.chunks_exact_mut(plane)) {
        E::widen(s, x, &mut rows[w..]);
        let mut i = 0;
        while i < plane {
            // SAFETY: i + 2 w + LANES <= 3 FLAT + MOST_LANES, and MOST_LANES + i + LANES <= FLAT + 3 MOST_LANES, as w and i are
            // at most the plane, which is at most FLAT.
            unsafe {
                let at = rows.as_ptr().add(i);
                let best = s.max(s.max(s.load(at), s.load(at.add(w))), s.load(at.add(2 * w)));
                s.store(v.as_mut_ptr().add(MOST_LANES + i), best);
            }
            i += S::LANES;
        }
        // The last vector may have reached beyond the plane: what follows it must be neutral.
        v[MOST_LANES + plane] = f32::NEG_INFINITY;
        let mut i = 0;
        while i < plane {
            // SAFETY: i is as above, and `v` has room for one element more on either side; `left` and `right` have FLAT +
            // MOST_LANES elements, `y` the plane's.
            unsafe {
                let at = v.as_ptr().add(MOST_LANES + i);
                let before = s.add(s.load(at.sub(1)), s.load(left.as_ptr().add(i)));
                let after = s.add(s.load(at.add(1)), s.load(right.as_ptr().add(i)));
                // The first of two may be NaN, an infinite neighbour made -inf: then the second wins.
                let best = s.max(after, s.max(before, s.load(at)));
                let out = y.as_mut_ptr().add(i);
                if plane - i >= S::LANES {
                    E::store_first(s, out, best, S::LANES);
                } else {
                    E::store_first(s, out, best, plane - i);
                }
            }
            i += S::LANES;
        }
    }
}

/// Input elements of a block (128 KiB): each vector of columns reads the whole block, so it has to stay near, and the
/// channels of a block share the windows' columns, so it has to be many of them where planes are small. Tuned on the
/// network's pools: 8 Ki is a tenth slower, and dividing large planes into strips for the nearest cache gains nothing.
const BLOCK: usize = 32 * 1024;
