//! Max pooling over the planes of an NCHW buffer.
//!
//! `y[c, y, x]` is the largest of the `kernel * kernel` inputs from `(y * stride - pad_t, x * stride - pad_l)` on;
//! what lies outside the input is -inf and never wins, and a window wholly outside gives -inf. The windows that
//! networks use (3x3 at stride 1 and 2, 2x2 at stride 2) go down the rows a vector of outputs at a time, each input
//! row being reduced along x once and shared by the windows it lies in:
//!
//! ```text
//! for block of channels that stays in the cache, for vector of output columns, for channel of the block:
//!     for output row y: for each input row iy that is new in its window:
//!             h[iy] = max over kx of load(row iy, columns x * stride + kx - pad_l)
//!         y = max over the window's rows of h
//! ```
//!
//! Small planes under windows of 3x3 at stride 1 are one row each (`flat`). Any other window is computed element by
//! element. NaN is not promised to reach the output. Source: Caffe's
//! `PoolingLayer` (Jia et al., "Caffe: Convolutional Architecture for Fast Feature Embedding", 2014, arXiv:1408.5093),
//! whose rounding up is the caller's choice of `oh` and `ow`.

use crate::isa::Isa;
use crate::op::{self, Op};
use crate::simd::Simd;

/// The shape of one channel's pooling; bottom and right padding is what `oh` and `ow` imply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the field's own, see the file's text")]
pub struct PoolShape {
    pub ih: usize,
    pub iw: usize,
    pub oh: usize,
    pub ow: usize,
    pub kernel: usize,
    pub stride: usize,
    pub pad_t: usize,
    pub pad_l: usize,
}

/// One variant. Panics if the lengths of `x` and `y` disagree about the number of channels.
pub type MaxPoolFn = fn(MaxPool<'_>);

/// The operands of a pooling.
#[derive(Debug)]
pub struct MaxPool<'a> {
    /// The shape of each channel.
    pub shape: &'a PoolShape,
    /// The input, `[c, ih, iw]`.
    pub x: &'a [f32],
    /// The output, `[c, oh, ow]`.
    pub y: &'a mut [f32],
}

/// The variant for `isa`.
#[inline(never)] // or the kernel would be compiled with the caller's optimisation, not this crate's
pub fn select(isa: Isa) -> MaxPoolFn {
    op::select::<Kernel>(isa)
}

struct Kernel;

impl Op for Kernel {
    type Args<'a> = MaxPool<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, MaxPool { shape, x, y }: MaxPool<'_>) {
        let shape = &{ *shape }; // a copy, which the stores to `y` are known not to change
        let plane = |h: usize, w: usize| h.checked_mul(w).filter(|&plane| plane > 0);
        let (Some(in_plane), Some(out_plane)) = (plane(shape.ih, shape.iw), plane(shape.oh, shape.ow)) else {
            panic!("no planes of {shape:?}");
        };
        assert!(shape.kernel > 0 && shape.stride > 0, "empty {shape:?}");
        assert!(x.len().is_multiple_of(in_plane) && y.len().is_multiple_of(out_plane), "lengths for {shape:?}");
        assert_eq!(x.len() / in_plane, y.len() / out_plane, "channels of input and output");
        match (shape.kernel, shape.stride) {
            (3, 1) if is_same(shape) && in_plane <= FLAT => flat(s, shape, x, y),
            (3, 1) => down_the_rows::<S, 3, 1>(s, shape, x, y),
            (3, 2) => down_the_rows::<S, 3, 2>(s, shape, x, y),
            (2, 2) => down_the_rows::<S, 2, 2>(s, shape, x, y),
            _ => one_by_one(shape, x, y),
        }
    }
}

/// The loop of the file's head, for `K = kernel` and `STRIDE = stride`, at most 2 and at most `K`.
#[inline(always)]
fn down_the_rows<S: Simd, const K: usize, const STRIDE: usize>(s: S, shape: &PoolShape, x: &[f32], y: &mut [f32]) {
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
                    columns::<S, K, STRIDE, true>(s, shape, x, y, column, n, &reaches);
                } else {
                    columns::<S, K, STRIDE, false>(s, shape, x, y, column, n, &reaches);
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
        const { assert!(S::LANES <= MAX_LANES) };
        let mut edges = [f32::NEG_INFINITY; MAX_LANES];
        edges[from..to].fill(-0.0);
        // SAFETY: `edges` holds a vector of any set, asserted above.
        Self { from, to, edge: unsafe { s.load(edges.as_ptr()) } }
    }
}

/// The outputs `column .. column + n` of every row of one channel. `INNER`: all of `LANES` outputs, and no element
/// outside of the rows.
#[inline(always)]
fn columns<S: Simd, const K: usize, const STRIDE: usize, const INNER: bool>(
    s: S,
    shape: &PoolShape,
    x: &[f32],
    y: &mut [f32],
    column: usize,
    n: usize,
    reaches: &[Reach<S::V>; K],
) {
    debug_assert!(column + n <= shape.ow && n <= S::LANES && (n == S::LANES || !INNER));
    debug_assert!(x.len() == shape.ih * shape.iw && y.len() == shape.oh * shape.ow);
    // h[i] is row i of the window, reduced along x. Before a step they are still those of the step before.
    let mut h = [s.splat(f32::NEG_INFINITY); K];
    for i in 0..K - STRIDE {
        h[i + STRIDE] = row::<S, K, STRIDE, INNER>(s, shape, x, column, i, reaches);
    }
    for oy in 0..shape.oh {
        for i in 0..K - STRIDE {
            h[i] = h[i + STRIDE];
        }
        for (i, h) in h.iter_mut().enumerate().skip(K - STRIDE) {
            *h = row::<S, K, STRIDE, INNER>(s, shape, x, column, oy * STRIDE + i, reaches);
        }
        let mut best = h[0];
        for &h in &h[1..] {
            best = s.max(best, h);
        }
        // SAFETY: oy < oh and column + n <= ow: the elements lie in `y`, a plane of oh * ow.
        unsafe {
            let at = y.as_mut_ptr().add(oy * shape.ow + column);
            if INNER { s.store(at, best) } else { s.store_first(at, best, n) }
        }
    }
}

/// Row `iy - pad_t` of `x` reduced along the windows of the outputs from `column` on: -inf outside of the input.
#[inline(always)]
fn row<S: Simd, const K: usize, const STRIDE: usize, const INNER: bool>(
    s: S,
    shape: &PoolShape,
    x: &[f32],
    column: usize,
    iy: usize,
    reaches: &[Reach<S::V>; K],
) -> S::V {
    let mut best = s.splat(f32::NEG_INFINITY);
    if iy < shape.pad_t || iy - shape.pad_t >= shape.ih {
        return best;
    }
    let first = x.as_ptr().wrapping_add((iy - shape.pad_t) * shape.iw + column * STRIDE).wrapping_sub(shape.pad_l);
    for (kx, reach) in reaches.iter().enumerate() {
        let at = first.wrapping_add(kx);
        // SAFETY: the lanes from..to (all of them if INNER) take elements whose column lies in 0..iw (see
        // `Reach::new`), of a row below ih (tested above): they lie in `x`, a plane of ih * iw. Nothing else is read.
        let v = unsafe {
            match (INNER, STRIDE) {
                (true, 1) => s.load(at),
                (true, _) => s.load_even_window(at, 0, S::LANES),
                (false, _) if reach.from == reach.to => reach.edge,
                (false, 1) => s.add(s.load_window(at, reach.from, reach.to), reach.edge),
                (false, _) => s.add(s.load_even_window(at, reach.from, reach.to), reach.edge),
            }
        };
        best = if kx == 0 { v } else { s.max(best, v) };
    }
    best
}

/// Whether a 3x3 window around each input makes an output.
fn is_same(shape: &PoolShape) -> bool {
    (shape.pad_t, shape.pad_l, shape.oh, shape.ow) == (1, 1, shape.ih, shape.iw)
}

/// 3x3 windows at stride 1 around every element of planes of at most `FLAT` elements: each plane as one row.
///
/// ```text
/// rows = -inf, plane, -inf;  v[i] = max of rows[i - w], rows[i], rows[i + w];  y[i] = max of v[i - 1], v[i], v[i + 1]
/// ```
///
/// What the last maximum takes from a neighbouring row at the left and right edge is made -inf by adding it.
#[inline(always)]
fn flat<S: Simd>(s: S, shape: &PoolShape, x: &[f32], y: &mut [f32]) {
    const { assert!(S::LANES <= MAX_LANES) };
    let (w, plane) = (shape.iw, shape.ih * shape.iw);
    let mut rows = [f32::NEG_INFINITY; 3 * FLAT + MAX_LANES];
    let mut v = [f32::NEG_INFINITY; FLAT + 3 * MAX_LANES];
    let (mut left, mut right) = ([-0.0_f32; FLAT + MAX_LANES], [-0.0_f32; FLAT + MAX_LANES]);
    for row in 0..shape.ih {
        left[row * w] = f32::NEG_INFINITY;
        right[row * w + w - 1] = f32::NEG_INFINITY;
    }
    for (x, y) in x.chunks_exact(plane).zip(y.chunks_exact_mut(plane)) {
        rows[w..w + plane].copy_from_slice(x);
        let mut i = 0;
        while i < plane {
            // SAFETY: i + 2 w + LANES <= 3 FLAT + MAX_LANES, and MAX_LANES + i + LANES <= FLAT + 3 MAX_LANES, as w and
            // i are at most the plane, FLAT.
            unsafe {
                let at = rows.as_ptr().add(i);
                let best = s.max(s.max(s.load(at), s.load(at.add(w))), s.load(at.add(2 * w)));
                s.store(v.as_mut_ptr().add(MAX_LANES + i), best);
            }
            i += S::LANES;
        }
        // The last vector may have reached beyond the plane: what follows it must be neutral.
        v[MAX_LANES + plane] = f32::NEG_INFINITY;
        let mut i = 0;
        while i < plane {
            // SAFETY: as above; `left` and `right` have FLAT + MAX_LANES elements, `y` the plane's.
            unsafe {
                let at = v.as_ptr().add(MAX_LANES + i);
                let before = s.add(s.load(at.sub(1)), s.load(left.as_ptr().add(i)));
                let after = s.add(s.load(at.add(1)), s.load(right.as_ptr().add(i)));
                // The first of two may be NaN, an infinite neighbour made -inf: then the second wins.
                let best = s.max(after, s.max(before, s.load(at)));
                let out = y.as_mut_ptr().add(i);
                if plane - i >= S::LANES { s.store(out, best) } else { s.store_first(out, best, plane - i) }
            }
            i += S::LANES;
        }
    }
}

/// Any window, without vectors.
#[inline(always)]
fn one_by_one(shape: &PoolShape, x: &[f32], y: &mut [f32]) {
    let (in_plane, out_plane) = (shape.ih * shape.iw, shape.oh * shape.ow);
    for (x, y) in x.chunks_exact(in_plane).zip(y.chunks_exact_mut(out_plane)) {
        for (oy, y) in y.chunks_exact_mut(shape.ow).enumerate() {
            for (ox, y) in y.iter_mut().enumerate() {
                *y = window(shape, x, oy, ox);
            }
        }
    }
}

/// One window, clipped to the input.
#[inline(always)]
fn window(shape: &PoolShape, x: &[f32], oy: usize, ox: usize) -> f32 {
    let clip = |o: usize, pad: usize, len: usize| {
        let first = o.saturating_mul(shape.stride);
        first.saturating_sub(pad)..first.saturating_add(shape.kernel).saturating_sub(pad).min(len)
    };
    let mut best = f32::NEG_INFINITY;
    for iy in clip(oy, shape.pad_t, shape.ih) {
        for ix in clip(ox, shape.pad_l, shape.iw) {
            let v = x[iy * shape.iw + ix];
            best = if v > best { v } else { best };
        }
    }
    best
}

/// Input elements of a block (128 KiB): each vector of columns reads the whole block, so it has to stay near, and the
/// channels of a block share the windows' columns, so it has to be many of them where planes are small. Tuned on the
/// network's pools: 8 Ki is a tenth slower, and dividing large planes into strips for the nearest cache gains nothing.
const BLOCK: usize = 32 * 1024;

/// Elements of the largest plane that is taken as one row: 28x28, with its neighbours in the nearest cache.
const FLAT: usize = 28 * 28;

/// At least the lanes of any set.
const MAX_LANES: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::isa;
    use crate::reference::max_pool_ref;

    const GUARD: f32 = 7777.0;

    fn check(shape: PoolShape, c: usize, seed: u32) {
        let n = c * shape.ih * shape.iw;
        // Both signs, many of them negative throughout a window: a padding of 0 would win there.
        let value = |i: u32| (i.wrapping_mul(2654435761).wrapping_add(seed) >> 8) as f32 - 16e6;
        for at in [0, 1, 3] {
            let x: Vec<f32> = (0..(at + n) as u32).map(value).collect();
            let x = &x[at..];
            let expected = max_pool_ref(&shape, x);
            for isa in isa::detected() {
                let mut y = vec![GUARD; at + 1 + expected.len() + 1];
                let (first, end) = (at + 1, at + 1 + expected.len());
                y[first..end].fill(f32::NAN);
                select(isa)(MaxPool { shape: &shape, x, y: &mut y[first..end] });
                assert_eq!(y[first..end], expected, "{isa} {shape:?} at {at}");
                let outside = y[..first].iter().chain(&y[end..]).all(|&v| v == GUARD);
                assert!(outside, "{isa} {shape:?} at {at} wrote outside");
            }
        }
    }

    /// A square window with the same padding on top and left.
    fn square(side: (usize, usize), out: (usize, usize), kernel: usize, stride: usize, pad: usize) -> PoolShape {
        PoolShape { ih: side.0, iw: side.1, oh: out.0, ow: out.1, kernel, stride, pad_t: pad, pad_l: pad }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_variant_equals_the_definition(
            ih in 1_usize..40, iw in 1_usize..80, kernel in 1_usize..5, stride in 1_usize..4,
            pad_t in 0_usize..4, pad_l in 0_usize..4, extra in 0_usize..3, c in 1_usize..4, seed: u32,
        ) {
            let out = |side: usize, pad: usize| (side + 2 * pad).saturating_sub(kernel) / stride + 1 + extra;
            let (oh, ow) = (out(ih, pad_t), out(iw, pad_l));
            check(PoolShape { ih, iw, oh, ow, kernel, stride, pad_t, pad_l }, c, seed);
        }
    }

    #[test]
    fn widths_around_the_lanes_are_exact() {
        for iw in (1..=6).chain([7, 8, 9, 14, 15, 16, 17, 18, 31, 32, 33, 34, 63, 64, 65]) {
            check(square((5, iw), (5, iw), 3, 1, 1), 2, 1);
            check(square((5, iw), (2, iw.div_ceil(2)), 3, 2, 0), 2, 2);
            check(square((5, iw), (3, iw.div_ceil(2)), 2, 2, 0), 2, 3);
        }
    }

    #[test]
    fn the_networks_pools_are_exact() {
        // All but the last: BVLC, rounding up; the last is torchvision's pool4.
        for (side, out, kernel, stride, pad) in [
            (112, 56, 3, 2, 0),
            (56, 28, 3, 2, 0),
            (28, 14, 3, 2, 0),
            (14, 7, 3, 2, 0),
            (28, 28, 3, 1, 1),
            (14, 14, 3, 1, 1),
            (7, 7, 3, 1, 1),
            (14, 7, 2, 2, 0),
        ] {
            check(square((side, side), (out, out), kernel, stride, pad), 3, 5);
        }
    }

    #[test]
    fn a_window_wholly_outside_gives_minus_infinity() {
        for (kernel, stride) in [(3, 1), (3, 2), (2, 2), (3, 3), (5, 1)] {
            let shape = square((2, 2), (9, 9), kernel, stride, 7);
            for isa in isa::detected() {
                let mut y = [f32::NAN; 81];
                select(isa)(MaxPool { shape: &shape, x: &[-1.0; 4], y: &mut y });
                assert_eq!(y[0], f32::NEG_INFINITY, "{isa} {kernel} {stride}");
                assert!(y.contains(&-1.0), "{isa} {kernel} {stride}");
            }
        }
    }

    #[test]
    fn values_pass_unchanged() {
        // The edge vectors are added to what is loaded: a negative zero and the infinities must survive it.
        for value in [-0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MIN, -f32::MIN_POSITIVE / 4.0] {
            for (stride, out) in [(1, 7), (2, 4)] {
                for isa in isa::detected() {
                    let mut y = [f32::NAN; 49];
                    let shape = square((7, 7), (out, out), 3, stride, 1);
                    select(isa)(MaxPool { shape: &shape, x: &[value; 49], y: &mut y[..out * out] });
                    let same = y[..out * out].iter().all(|y| y.to_bits() == value.to_bits());
                    assert!(same, "{isa} stride {stride}: {value}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "no planes")]
    fn planes_larger_than_memory_are_refused() {
        let shape = square((usize::MAX / 2 + 2, 2), (1, 1), 3, 1, 0);
        select(isa::best())(MaxPool { shape: &shape, x: &[0.0; 2], y: &mut [0.0] });
    }
}
