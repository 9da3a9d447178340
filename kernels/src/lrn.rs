//! Local response normalisation across channels.
//!
//! `y[c] = x[c] / (k + alpha / size * sum of x[j]^2)^beta`, the sum over the `size` channels around `c`. Source:
//! Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012,
//! section 3.3, with Caffe's division of alpha by size.
//!
//! ```text
//! for a vector of pixels: for c:  sum = x[c-2]^2 + ... + x[c+2]^2;  y[c] = x[c] * (k + alpha / size * sum)^-beta
//! ```
//!
//! The sum is made anew for every channel: a running sum would keep the rounding errors of channels long gone.

use crate::isa::Isa;
use crate::simd::{Portable, Simd};
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

/// One variant: `x` is the whole input `[c, plane]`; `y` has a row a channel and a column for each pixel from
/// `first_px` on. Panics if they do not fit the shape.
pub type LrnFn = fn(shape: &LrnShape, x: &[f32], first_px: usize, y: &mut RowsMut<'_>);

/// The variant for `isa`.
pub fn select(isa: Isa) -> LrnFn {
    match isa {
        Isa::Portable => |shape, x, first_px, y| lrn(Portable, shape, x, first_px, y),
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a `Neon` exists only where neon was detected.
        Isa::Neon(_) => |shape, x, first_px, y| unsafe { lrn_neon(shape, x, first_px, y) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Avx2` exists only where avx2 and fma were detected.
        Isa::Avx2(_) => |shape, x, first_px, y| unsafe { lrn_avx2(shape, x, first_px, y) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Avx512` exists only where avx512f was detected.
        Isa::Avx512(_) => |shape, x, first_px, y| unsafe { lrn_avx512(shape, x, first_px, y) },
    }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn lrn_neon(shape: &LrnShape, x: &[f32], first_px: usize, y: &mut RowsMut<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    lrn(unsafe { crate::isa::Neon::assume() }, shape, x, first_px, y);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn lrn_avx2(shape: &LrnShape, x: &[f32], first_px: usize, y: &mut RowsMut<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    lrn(unsafe { crate::isa::Avx2::assume() }, shape, x, first_px, y);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn lrn_avx512(shape: &LrnShape, x: &[f32], first_px: usize, y: &mut RowsMut<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    lrn(unsafe { crate::isa::Avx512::assume() }, shape, x, first_px, y);
}

#[inline(always)]
fn lrn<S: Simd>(s: S, shape: &LrnShape, x: &[f32], first_px: usize, y: &mut RowsMut<'_>) {
    assert_eq!(x.len(), shape.c * shape.plane, "input length");
    assert_eq!(y.rows(), shape.c, "output channels");
    assert!(shape.size % 2 == 1, "a window of {} channels has no middle", shape.size);
    assert!(first_px + y.row_len() <= shape.plane, "pixels {first_px}+{}", y.row_len());
    let (reach, pixels, stride) = (shape.size / 2, y.row_len(), y.stride());
    let (scale, k) = (s.splat(shape.alpha / shape.size as f32), s.splat(shape.k));
    let out = y.as_mut_ptr();
    let mut px = 0;
    while px < pixels {
        let n = if pixels - px < S::LANES { pixels - px } else { S::LANES };
        for c in 0..shape.c {
            let from = c.saturating_sub(reach);
            let to = if c + reach + 1 < shape.c { c + reach + 1 } else { shape.c };
            let (mut sum, mut middle) = (s.splat(0.0), s.splat(0.0));
            let mut j = from;
            while j < to {
                // SAFETY: the pixels first_px + px .. + n of channel j < c lie in `x` (asserted above).
                let v = unsafe {
                    let at = x.as_ptr().add(j * shape.plane + first_px + px);
                    if n == S::LANES { s.load(at) } else { s.load_window(at, 0, n) }
                };
                sum = s.mul_add(v, v, sum);
                if j == c {
                    middle = v;
                }
                j += 1;
            }
            let base = s.mul_add(scale, sum, k);
            let v = if shape.beta == 0.75 {
                let root = s.sqrt(base);
                s.div(middle, s.mul(root, s.sqrt(root)))
            } else {
                power(s, middle, base, shape.beta)
            };
            // SAFETY: row c and the columns px..px + n lie in `y`.
            unsafe { s.store_first(out.add(c * stride + px), v, n) };
        }
        px += n;
    }
}

/// `v / base^beta` for a beta that has no short cut.
#[inline(always)]
fn power<S: Simd>(s: S, v: S::V, base: S::V, beta: f32) -> S::V {
    let mut lanes = [0.0_f32; 16];
    // SAFETY: 16 elements hold a vector of any set.
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

    fn check(shape: LrnShape, first_px: usize, pixels: usize, scale: f32) {
        let x: Vec<f32> = (0..shape.c * shape.plane).map(|i| (i as f32 * 0.71).sin() * scale).collect();
        let expected = lrn_ref(&shape, &x);
        for isa in isa::detected() {
            let mut y = vec![7777.0; shape.c * shape.plane];
            let mut rows = RowsMut::new(&mut y, shape.c, shape.plane, shape.plane);
            select(isa)(&shape, &x, first_px, &mut rows.window(0..shape.c, first_px..first_px + pixels));
            for (i, (&got, &expected)) in y.iter().zip(&expected).enumerate() {
                if !(first_px..first_px + pixels).contains(&(i % shape.plane)) {
                    assert_eq!(got, 7777.0, "{isa} {shape:?} wrote outside at {i}");
                    continue;
                }
                // The base is a sum of size + 1 positive terms: (size + 3) roundings, of which beta < 1 reaches the
                // result; roots, product, quotient (or powf, within 2 ulp) add 4 more.
                let bound = (shape.size + 8) as f64 * f64::from(f32::EPSILON) * expected.abs();
                assert!((f64::from(got) - expected).abs() <= bound, "{isa} {shape:?} at {i}: {got} for {expected}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_variant_is_within_the_bound(
            c in 1_usize..20, plane in 1_usize..60, from in 0_usize..60, reach in 0_usize..4, half: bool, large: bool,
        ) {
            let beta = if half { 0.5 } else { 0.75 };
            let shape = LrnShape { c, plane, size: 2 * reach + 1, alpha: 1e-4, beta, k: 1.0 };
            let first_px = from.min(plane - 1);
            check(shape, first_px, plane - first_px, if large { 3e3 } else { 2.0 });
        }
    }
}
