//! Fully connected layer: `y[o] = bias[o] + sum_i w[o, i] * x[i]`.
//!
//! `x` is `[ic]`, `w` is `[oc, ic]`, row-major as it is stored: the weights are read once, which bounds the speed. Four
//! rows at a time share the loads of `x` and hide the latency of each other's sums:
//!
//! ```text
//! for 4 rows o: for i in steps of LANES: acc[o][lane] += w[o, i + lane] * x[i + lane]
//!     y[o] = (acc[o] across the lanes) + bias[o]
//! ```
//!
//! A row's sum has the same order wherever the row stands, so `w` may be cut between rows without changing a bit.

use crate::isa::Isa;
use crate::op::{self, Op};
use crate::simd::Simd;

/// One variant. Panics if the lengths disagree.
pub type DenseFn = fn(Dense<'_>);

/// The operands of a fully connected layer.
#[derive(Debug)]
pub struct Dense<'a> {
    /// The input, `[ic]`.
    pub x: &'a [f32],
    /// The weights, `[oc, ic]`.
    pub w: &'a [f32],
    /// The biases, `[oc]`.
    pub bias: &'a [f32],
    /// The output, `[oc]`.
    pub y: &'a mut [f32],
}

/// The variant for `isa`.
#[inline(never)] // or the kernel would be compiled with the caller's optimisation, not this crate's
pub fn select(isa: Isa) -> DenseFn {
    op::select::<Kernel>(isa)
}

struct Kernel;

impl Op for Kernel {
    type Args<'a> = Dense<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, Dense { x, w, bias, y }: Dense<'_>) {
        let (ic, oc) = (x.len(), y.len());
        let fits = ic.checked_mul(oc) == Some(w.len()) && bias.len() == oc;
        assert!(fits, "{} weights for {ic} to {oc}", w.len());
        let whole = oc / 4 * 4;
        let mut o = 0;
        while o < oc {
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
    use proptest::prelude::*;

    use super::*;
    use crate::isa;
    use crate::reference::dense_ref;

    const GUARD: f32 = 7777.0;

    fn check(ic: usize, oc: usize, at: usize, value: impl Fn(usize) -> f32, exact: bool) {
        let x: Vec<f32> = (0..at + ic).map(|i| value(3 * i)).collect();
        let w: Vec<f32> = (0..at + ic * oc).map(|i| value(5 * i + 1)).collect();
        let bias: Vec<f32> = (0..oc).map(|i| i as f32 - 2.0).collect();
        let (x, w) = (&x[at..], &w[at..]);
        let (expected, magnitude) = dense_ref(x, w, &bias);
        for isa in isa::detected() {
            let mut y = vec![GUARD; oc + 2];
            y[1..=oc].fill(f32::NAN);
            select(isa)(Dense { x, w, bias: &bias, y: &mut y[1..=oc] });
            assert_eq!((y[0], y[oc + 1]), (GUARD, GUARD), "{isa} wrote outside");
            for o in 0..oc {
                // ic products and as many additions, the bias's among them.
                let bound = (ic + 1) as f64 * f64::from(f32::EPSILON) * magnitude[o];
                let err = (f64::from(y[o + 1]) - expected[o]).abs();
                let bound = if exact { 0.0 } else { bound };
                assert!(err <= bound, "{isa} {ic}x{oc} at {o}: {} for {}", y[o + 1], expected[o]);
            }
        }
    }

    fn whole(i: usize) -> f32 {
        (i * 37 % 17) as f32 - 8.0
    }

    fn wave(i: usize) -> f32 {
        (i as f32 * 0.7).sin()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_variant_is_within_the_bound(ic in 0_usize..200, oc in 0_usize..20, at in 0_usize..8, scale in 0.1_f32..1e3) {
            check(ic, oc, at, |i| wave(i) * scale, false);
        }
    }

    #[test]
    fn whole_numbers_are_exact_at_every_length() {
        for (ic, oc) in (0..70).flat_map(|ic| [0, 1, 3, 4, 5, 8, 9].map(|oc| (ic, oc))) {
            check(ic, oc, ic % 4, whole, true);
        }
    }

    #[test]
    fn the_networks_classifier() {
        check(1024, 1000, 0, wave, false);
        check(1024, 1000, 1, whole, true);
    }

    #[test]
    fn a_split_changes_no_bit() {
        let (ic, oc) = (50, 11);
        let x: Vec<f32> = (0..ic).map(wave).collect();
        let w: Vec<f32> = (0..ic * oc).map(|i| wave(i * i % 1000)).collect();
        let bias = vec![0.1; oc];
        for (isa, cut) in isa::detected().flat_map(|isa| (0..=oc).map(move |cut| (isa, cut))) {
            let (mut whole, mut parts) = (vec![f32::NAN; oc], vec![f32::NAN; oc]);
            select(isa)(Dense { x: &x, w: &w, bias: &bias, y: &mut whole });
            select(isa)(Dense { x: &x, w: &w[..cut * ic], bias: &bias[..cut], y: &mut parts[..cut] });
            select(isa)(Dense { x: &x, w: &w[cut * ic..], bias: &bias[cut..], y: &mut parts[cut..] });
            assert_eq!(whole, parts, "{isa} cut at {cut}");
        }
    }
}
