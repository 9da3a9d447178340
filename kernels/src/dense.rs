//! Fully connected layer: `y[o] = bias[o] + sum_i w[o, i] * x[i]`.
//!
//! Bound by reading the weights once, row-major as they are stored. Four rows at a time share the loads of `x`; each
//! row sums lane by lane, then across the lanes.

use crate::isa::Isa;
use crate::simd::{Portable, Simd};

/// One variant: `x` is `[ic]`, `w` is `[oc, ic]`, `bias` and `y` are `[oc]`. Panics if the lengths disagree.
pub type DenseFn = fn(x: &[f32], w: &[f32], bias: &[f32], y: &mut [f32]);

/// The variant for `isa`.
pub fn select(isa: Isa) -> DenseFn {
    match isa {
        Isa::Portable => |x, w, bias, y| dense(Portable, x, w, bias, y),
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a `Neon` exists only where neon was detected.
        Isa::Neon(_) => |x, w, bias, y| unsafe { dense_neon(x, w, bias, y) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Avx2` exists only where avx2 and fma were detected.
        Isa::Avx2(_) => |x, w, bias, y| unsafe { dense_avx2(x, w, bias, y) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Avx512` exists only where avx512f was detected.
        Isa::Avx512(_) => |x, w, bias, y| unsafe { dense_avx512(x, w, bias, y) },
    }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn dense_neon(x: &[f32], w: &[f32], bias: &[f32], y: &mut [f32]) {
    // SAFETY: the features enabled on this function are those the token stands for.
    dense(unsafe { crate::isa::Neon::assume() }, x, w, bias, y);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn dense_avx2(x: &[f32], w: &[f32], bias: &[f32], y: &mut [f32]) {
    // SAFETY: the features enabled on this function are those the token stands for.
    dense(unsafe { crate::isa::Avx2::assume() }, x, w, bias, y);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn dense_avx512(x: &[f32], w: &[f32], bias: &[f32], y: &mut [f32]) {
    // SAFETY: the features enabled on this function are those the token stands for.
    dense(unsafe { crate::isa::Avx512::assume() }, x, w, bias, y);
}

#[inline(always)]
fn dense<S: Simd>(s: S, x: &[f32], w: &[f32], bias: &[f32], y: &mut [f32]) {
    let ic = x.len();
    assert!(w.len() == ic * y.len() && bias.len() == y.len(), "{} weights for {ic} to {}", w.len(), y.len());
    let whole = y.len() / 4 * 4;
    let mut o = 0;
    while o < y.len() {
        if o < whole {
            let sums = rows::<S, 4>(s, x, &w[o * ic..(o + 4) * ic]);
            for r in 0..4 {
                y[o + r] = sums[r] + bias[o + r];
            }
            o += 4;
        } else {
            y[o] = rows::<S, 1>(s, x, &w[o * ic..(o + 1) * ic])[0] + bias[o];
            o += 1;
        }
    }
}

/// The products of R rows of weights with `x`.
#[inline(always)]
fn rows<S: Simd, const R: usize>(s: S, x: &[f32], w: &[f32]) -> [f32; R] {
    let ic = x.len();
    debug_assert_eq!(w.len(), R * ic);
    let mut acc = [s.splat(0.0); R];
    let mut i = 0;
    while i + S::LANES <= ic {
        // SAFETY: i + LANES <= ic, the length of `x` and of each of the R rows of `w`.
        unsafe {
            let vx = s.load(x.as_ptr().add(i));
            for (r, acc) in acc.iter_mut().enumerate() {
                *acc = s.mul_add(s.load(w.as_ptr().add(r * ic + i)), vx, *acc);
            }
        }
        i += S::LANES;
    }
    if i < ic {
        // SAFETY: the windows end at ic, the length of `x` and of each of the R rows of `w`.
        unsafe {
            let vx = s.load_window(x.as_ptr().add(i), 0, ic - i);
            for (r, acc) in acc.iter_mut().enumerate() {
                *acc = s.mul_add(s.load_window(w.as_ptr().add(r * ic + i), 0, ic - i), vx, *acc);
            }
        }
    }
    let mut sums = [0.0; R];
    for r in 0..R {
        sums[r] = s.sum(acc[r]);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa;
    use crate::reference::dense_ref;

    #[test]
    fn every_variant_at_every_length() {
        for (ic, oc) in (1..40).flat_map(|ic| [1, 3, 4, 5, 9].map(|oc| (ic, oc))).chain([(1024, 1000)]) {
            let x: Vec<f32> = (0..ic).map(|i| (i as f32 * 0.7).sin()).collect();
            let w: Vec<f32> = (0..ic * oc).map(|i| (i as f32 * 0.3).cos()).collect();
            let bias: Vec<f32> = (0..oc).map(|i| i as f32 - 2.0).collect();
            let (expected, magnitude) = dense_ref(&x, &w, &bias);
            for isa in isa::detected() {
                let mut y = vec![7777.0; oc + 2];
                select(isa)(&x, &w, &bias, &mut y[1..=oc]);
                assert_eq!((y[0], y[oc + 1]), (7777.0, 7777.0), "{isa} wrote outside");
                for o in 0..oc {
                    // ic products and as many additions, the bias's among them.
                    let bound = (ic + 1) as f64 * f64::from(f32::EPSILON) * magnitude[o];
                    let err = (f64::from(y[o + 1]) - expected[o]).abs();
                    assert!(err <= bound, "{isa} {ic}x{oc} at {o}: {} for {}", y[o + 1], expected[o]);
                }
            }
        }
    }
}
