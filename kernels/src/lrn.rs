//! Local response normalisation across channels.
//!
//! `y[c] = x[c] / (k + alpha / size * sum of x[j]^2)^beta`, the sum over the `size` channels around `c`. Source:
//! Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012,
//! section 3.3, with Caffe's division of alpha by size.
//!
//! ```text
//! in place or not; for two vectors of pixels: for c:  square[c+2] = x[c+2]^2, the four before it are still in registers
//!     sum = square[c-2] + ... + square[c+2];  y[c] = x[c] / (k + alpha / size * sum)^beta
//! ```
//!
//! The sum is made anew for every channel: a running sum would keep the rounding errors of channels long gone. The
//! usual beta, 3/4, is two square roots and a division; they bound the speed. Other sizes and powers take a plain loop.

use crate::isa::Isa;
use crate::op::{self, Op};
use crate::simd::Simd;
use crate::view::RowsMut;

/// The shape and constants of a normalisation of `[c, plane]`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are the formula's")]
pub struct LrnShape {
    pub c: usize,
    pub plane: usize,
    pub size: usize,
    pub alpha: f32,
    pub beta: f32,
    pub k: f32,
}

/// One variant. Panics if `y` does not have `c` rows, `x` is not `[c, plane]` or lacks the pixels, or the window is
/// even or of more than [`MAX_SIZE`] channels.
pub type LrnFn = fn(Lrn<'_>);

/// The operands of a normalisation.
pub struct Lrn<'a> {
    /// Shape and constants.
    pub shape: &'a LrnShape,
    /// The input, `[c, plane]`, and which of its pixels is the first to be normalised; without it, `y` is normalised
    /// where it lies.
    pub x: Option<(&'a [f32], usize)>,
    /// The output: a row a channel, a column for each of some pixels.
    pub y: RowsMut<'a>,
}

/// The widest window.
pub const MAX_SIZE: usize = 15;

/// The variant for `isa`.
#[inline(never)] // or the kernel would be compiled with the caller's optimisation, not this crate's
pub fn select(isa: Isa) -> LrnFn {
    op::select::<Kernel>(isa)
}

struct Kernel;

impl Op for Kernel {
    type Args<'a> = Lrn<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, Lrn { shape, x, mut y }: Lrn<'_>) {
        assert_eq!(y.rows(), shape.c, "channels");
        assert!(shape.size % 2 == 1, "a window of {} channels has no middle", shape.size);
        assert!(shape.size <= MAX_SIZE, "a window of {} channels", shape.size);
        let pixels = y.row_len();
        let to = Rows { first: y.as_mut_ptr(), stride: y.stride() };
        let from = x.map_or(to, |(x, first_px)| {
            assert_eq!(shape.c.checked_mul(shape.plane), Some(x.len()), "input length");
            let inside = pixels <= shape.plane && first_px <= shape.plane - pixels;
            assert!(inside, "pixels {first_px}+{pixels} of {}", shape.plane);
            // Only read from.
            Rows { first: x.as_ptr().wrapping_add(first_px).cast_mut(), stride: shape.plane }
        });
        let rows = [from, to];
        let mut px = 0;
        while px < pixels {
            let n = if pixels - px < S::LANES { pixels - px } else { S::LANES };
            // SAFETY: px + n (and px + 2 * LANES where that is tested) ends inside the rows, of which there are
            // shape.c.
            unsafe {
                if shape.size != 5 || shape.beta != 0.75 {
                    any(s, shape, rows, px, n);
                } else if pixels - px >= 2 * S::LANES {
                    five_channels::<S, 2>(s, shape, rows, px, S::LANES);
                    px += S::LANES;
                } else {
                    five_channels::<S, 1>(s, shape, rows, px, n);
                }
            }
            px += n;
        }
    }
}

/// Where the rows of channels lie.
#[derive(Clone, Copy)]
struct Rows {
    first: *mut f32,
    stride: usize,
}

impl Rows {
    /// Pixel `px` of channel `c`.
    #[inline(always)]
    fn at(self, c: usize, px: usize) -> *mut f32 {
        self.first.wrapping_add(c * self.stride + px)
    }
}

/// Windows of 5 channels and beta = 3/4, for P vectors of `n` pixels each, from `px` on.
///
/// # Safety
/// `n` is `LANES` or P is 1; the `P * n` pixels lie in both `rows`, which have `shape.c` rows and are the same or
/// disjoint.
#[inline(always)]
unsafe fn five_channels<S: Simd, const P: usize>(s: S, shape: &LrnShape, [x, y]: [Rows; 2], px: usize, n: usize) {
    let (scale, k) = (s.splat(shape.alpha / 5.0), s.splat(shape.k));
    // square[p][j] belongs to channel c - 2 + j, 0 outside: for two sets, 2 x 5 squares + 2 constants + 3 = 15 of 16.
    let mut square = [[s.splat(0.0); 5]; P];
    let load = {
        #[inline(always)]
        |c: usize, p: usize| {
            // SAFETY: the caller vouches for channel c < shape.c and the n pixels of vector p.
            unsafe {
                let at = x.at(c, px + p * S::LANES).cast_const();
                if n == S::LANES { s.load(at) } else { s.load_window(at, 0, n) }
            }
        }
    };
    for c in 0..if shape.c < 2 { shape.c } else { 2 } {
        for (p, square) in square.iter_mut().enumerate() {
            let v = load(c, p);
            square[3 + c] = s.mul(v, v);
        }
    }
    for c in 0..shape.c {
        for (p, square) in square.iter_mut().enumerate() {
            let [_, a, b, d, e] = *square;
            let next = if c + 2 < shape.c {
                let v = load(c + 2, p);
                s.mul(v, v)
            } else {
                s.splat(0.0)
            };
            *square = [a, b, d, e, next];
            let sum = s.add(s.add(s.add(a, b), s.add(d, e)), next);
            let base = s.mul_add(scale, sum, k);
            let root = s.sqrt(base);
            let v = s.div(load(c, p), s.mul(root, s.sqrt(root)));
            // SAFETY: the caller vouches for row c and the n columns of vector p.
            unsafe {
                let at = y.at(c, px + p * S::LANES);
                if n == S::LANES { s.store(at, v) } else { s.store_first(at, v, n) }
            }
        }
    }
}

/// Any window and beta, for the `n` pixels from `px` on.
///
/// # Safety
/// The `n <= LANES` pixels lie in both `rows`, which have `shape.c` rows and are the same or disjoint.
#[inline(always)]
unsafe fn any<S: Simd>(s: S, shape: &LrnShape, [x, y]: [Rows; 2], px: usize, n: usize) {
    let reach = shape.size / 2;
    let (scale, k) = (s.splat(shape.alpha / shape.size as f32), s.splat(shape.k));
    // Squares by channel: those of channels already normalised are nowhere else.
    let mut square = [s.splat(0.0); MAX_SIZE + 1];
    let mut squared = 0;
    for c in 0..shape.c {
        let to = if reach < shape.c - c { c + reach + 1 } else { shape.c };
        while squared < to {
            // SAFETY: the caller vouches for these pixels of channel squared < shape.c.
            let v = unsafe { s.load_window(x.at(squared, px), 0, n) };
            square[squared % (MAX_SIZE + 1)] = s.mul(v, v);
            squared += 1;
        }
        let mut sum = s.splat(0.0);
        for j in c.saturating_sub(reach)..to {
            sum = s.add(sum, square[j % (MAX_SIZE + 1)]);
        }
        let base = s.mul_add(scale, sum, k);
        // SAFETY: the caller vouches for row c and its n columns from px on.
        unsafe {
            let v = s.load_window(x.at(c, px), 0, n);
            let v = if shape.beta == 0.75 {
                let root = s.sqrt(base);
                s.div(v, s.mul(root, s.sqrt(root)))
            } else {
                power(s, v, base, shape.beta)
            };
            s.store_first(y.at(c, px), v, n);
        }
    }
}

/// `v / base^beta` for a beta that has no short cut.
#[inline(always)]
fn power<S: Simd>(s: S, v: S::V, base: S::V, beta: f32) -> S::V {
    const { assert!(S::LANES <= 16) };
    let mut lanes = [0.0_f32; 16];
    // SAFETY: 16 elements hold a vector of any set, asserted above.
    unsafe {
        s.store(lanes.as_mut_ptr(), base);
        for lane in &mut lanes[..S::LANES] {
            *lane = lane.powf(-beta);
        }
        s.mul(v, s.load(lanes.as_ptr()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::isa;
    use crate::reference::lrn_ref;

    const GUARD: f32 = 7777.0;

    /// Normalises the pixels `first_px .. first_px + pixels` into rows that start `gap` elements further apart.
    fn check(shape: LrnShape, first_px: usize, pixels: usize, gap: usize, scale: f32) {
        let x: Vec<f32> = (0..1 + shape.c * shape.plane).map(|i| (i as f32 * 0.71).sin() * scale).collect();
        let x = &x[1..];
        let expected = lrn_ref(&shape, x);
        let stride = pixels + gap;
        for (isa, in_place) in isa::detected().flat_map(|isa| [(isa, true), (isa, false)]) {
            let mut buffer = vec![GUARD; 3 + shape.c * stride];
            for c in 0..shape.c {
                let row = &mut buffer[3 + c * stride..][..pixels];
                row.fill(f32::NAN);
                if in_place {
                    row.copy_from_slice(&x[c * shape.plane + first_px..][..pixels]);
                }
            }
            let y = RowsMut::new(&mut buffer[3..], shape.c, pixels, stride);
            select(isa)(Lrn { shape: &shape, x: (!in_place).then_some((x, first_px)), y });
            assert_eq!(buffer[..3], [GUARD; 3], "{isa} {shape:?} wrote before its rows");
            for (c, row) in buffer[3..].chunks_exact(stride.max(1)).enumerate() {
                assert!(row[pixels..].iter().all(|&v| v == GUARD), "{isa} {shape:?} wrote outside of row {c}");
                for (i, (&got, &expected)) in
                    row.iter().zip(&expected[c * shape.plane + first_px..][..pixels]).enumerate()
                {
                    // Of EPSILON / 2 each: a square, size - 1 additions, the constant, its product and the sum make
                    // size + 3 roundings of the base (no term is negative), of which beta <= 1 reaches the result;
                    // two roots, product and quotient add 4, powf (within 2 ulp) and product 5.
                    let bound = (shape.size + 8) as f64 / 2.0 * f64::from(f32::EPSILON) * expected.abs();
                    let err = (f64::from(got) - expected).abs();
                    assert!(err <= bound, "{isa} {shape:?} channel {c} pixel {i}: {got} for {expected}");
                }
            }
        }
    }

    fn five(c: usize, plane: usize) -> LrnShape {
        LrnShape { c, plane, size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_variant_is_within_the_bound(
            c in 1_usize..20, plane in 1_usize..90, from in 0_usize..90, len in 0_usize..90, gap in 0_usize..3,
            reach in 0_usize..8, beta in 0_usize..4, alpha in 1e-5_f32..1.0, k in 0.5_f32..3.0, scale in 0.1_f32..1e4,
        ) {
            let beta = [0.75, 0.75, 0.5, 1.0][beta];
            let shape = LrnShape { c, plane, size: 2 * reach + 1, alpha, beta, k };
            let first_px = from.min(plane);
            check(shape, first_px, len.min(plane - first_px), gap, scale);
        }
    }

    #[test]
    fn pixels_around_the_lanes_are_within_the_bound() {
        for plane in (0..=9).chain([15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65]) {
            for c in [1, 2, 3, 4, 5, 6, 11] {
                check(five(c, plane), 0, plane, 2, 40.0);
            }
        }
    }

    #[test]
    fn the_networks_normalisations_are_within_the_bound() {
        check(five(64, 56 * 56), 0, 56 * 56, 0, 100.0);
        check(five(192, 56 * 56), 0, 56 * 56, 0, 100.0);
        // Krizhevsky's constants, with alpha for the sum of squares, not their mean.
        let krizhevsky = |c, side: usize| LrnShape { alpha: 5e-4, k: 2.0, ..five(c, side * side) };
        check(krizhevsky(96, 55), 0, 55 * 55, 0, 100.0);
        check(krizhevsky(256, 27), 5, 27 * 27 - 9, 1, 100.0);
    }

    #[test]
    fn a_split_changes_no_bit() {
        let (shape, end) = (five(7, 100), 37);
        let x: Vec<f32> = (0..700).map(|i| (i as f32 * 0.71).sin() * 90.0).collect();
        for isa in isa::detected() {
            let (mut whole, mut parts) = (x.clone(), x.clone());
            select(isa)(Lrn { shape: &shape, x: None, y: RowsMut::new(&mut whole, 7, 100, 100) });
            let mut rows = RowsMut::new(&mut parts, 7, 100, 100);
            select(isa)(Lrn { shape: &shape, x: None, y: rows.window(0..7, 0..end) });
            select(isa)(Lrn { shape: &shape, x: None, y: rows.window(0..7, end..100) });
            assert_eq!(whole, parts, "{isa}");
        }
    }

    #[test]
    fn a_large_neighbour_is_forgotten() {
        // A running sum would keep the rounding error of 1e12 in all later channels.
        let shape = LrnShape { alpha: 5.0, ..five(12, 1) };
        let mut x = [0.5_f32; 12];
        x[1] = 1e6;
        let expected = lrn_ref(&shape, &x);
        for isa in isa::detected() {
            let mut y = x;
            select(isa)(Lrn { shape: &shape, x: None, y: RowsMut::new(&mut y, 12, 1, 1) });
            for c in 4..12 {
                // Six roundings of a value below 0.5, as in `check`; what is looked for is a thousand times larger.
                assert!((f64::from(y[c]) - expected[c]).abs() < 1e-6, "{isa}: {} for {}", y[c], expected[c]);
            }
        }
    }

    #[test]
    #[should_panic(expected = "a window of 17 channels")]
    fn windows_wider_than_the_buffer_of_squares_are_refused() {
        let shape = LrnShape { size: 17, ..five(1, 1) };
        select(isa::best())(Lrn { shape: &shape, x: None, y: RowsMut::new(&mut [0.0], 1, 1, 1) });
    }

    #[test]
    #[should_panic(expected = "pixels 2+3 of 4")]
    fn pixels_behind_the_input_are_refused() {
        let mut y = [0.0; 3];
        let y = RowsMut::new(&mut y, 1, 3, 3);
        select(isa::best())(Lrn { shape: &five(1, 4), x: Some((&[0.0; 4], 2)), y });
    }

    #[test]
    #[should_panic(expected = "channels")]
    fn rows_that_are_not_the_channels_are_refused() {
        select(isa::best())(Lrn { shape: &five(2, 1), x: None, y: RowsMut::new(&mut [0.0], 1, 1, 1) });
    }
}
