//! Global average: `y[c]` is the mean of channel `c`.
//!
//! The planes of `[c, plane]` lie one after the other, at any alignment.
//!
//! ```text
//! for c: for i in steps of LANES: sum[lane] += x[c, i + lane];  y[c] = (sum across the lanes) / plane
//! ```
//!
//! The order of the sum depends on `plane` and the set alone. Source: Lin, Chen, Yan, "Network In Network", 2013,
//! arXiv:1312.4400, section 3.2.

use crate::isa::Isa;
use crate::op::{self, Op};
use crate::simd::Simd;

/// One variant: `x` is `[c, plane]`, `y` is `[c]`. Panics if the lengths disagree or `plane` is 0.
pub type AverageFn = fn(GlobalAverage<'_>);

/// The operands of a global average.
#[derive(Debug)]
pub struct GlobalAverage<'a> {
    /// The input, `[c, plane]`.
    pub x: &'a [f32],
    /// Elements of a channel.
    pub plane: usize,
    /// The output, `[c]`.
    pub y: &'a mut [f32],
}

/// The variant for `isa`.
#[inline(never)] // or the kernel would be compiled with the caller's optimisation, not this crate's
pub fn select(isa: Isa) -> AverageFn {
    op::select::<Kernel>(isa)
}

struct Kernel;

impl Op for Kernel {
    type Args<'a> = GlobalAverage<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, GlobalAverage { x, plane, y }: GlobalAverage<'_>) {
        let fits = plane.checked_mul(y.len()) == Some(x.len());
        assert!(plane > 0 && fits, "{} elements for {} channels of {plane}", x.len(), y.len());
        for (x, y) in x.chunks_exact(plane).zip(y) {
            let mut sum = s.splat(0.0);
            let mut i = 0;
            while i < plane {
                let n = if plane - i < S::LANES { plane - i } else { S::LANES };
                // SAFETY: i + n <= plane, the length of `x`.
                sum = s.add(sum, unsafe { s.load_window(x.as_ptr().add(i), 0, n) });
                i += n;
            }
            *y = s.sum(sum) / plane as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::isa;
    use crate::reference::global_average_ref;

    const GUARD: f32 = 7777.0;

    fn check(c: usize, plane: usize, at: usize, value: impl Fn(usize) -> f32) {
        let x: Vec<f32> = (0..at + c * plane).map(value).collect();
        let x = &x[at..];
        let expected = global_average_ref(x, plane);
        for isa in isa::detected() {
            let mut y = vec![GUARD; c + 2];
            y[1..=c].fill(f32::NAN);
            select(isa)(GlobalAverage { x, plane, y: &mut y[1..=c] });
            assert_eq!((y[0], y[c + 1]), (GUARD, GUARD), "{isa} wrote outside");
            for (channel, (&got, &expected)) in y[1..].iter().zip(&expected).enumerate() {
                let magnitude: f64 = x[channel * plane..][..plane].iter().map(|v| f64::from(v.abs())).sum();
                // plane - 1 additions and a quotient, of EPSILON / 2 each, taken twice for their products.
                let bound = plane as f64 * f64::from(f32::EPSILON) * magnitude / plane as f64;
                assert!((f64::from(got) - expected).abs() <= bound, "{isa} {plane}: {got} for {expected}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_variant_is_within_the_bound(c in 0_usize..6, plane in 1_usize..300, at in 0_usize..8, shift: f32) {
            let shift = shift % 100.0;
            check(c, plane, at, |i| (i as f32 * 0.7).sin() + shift);
        }
    }

    #[test]
    fn every_variant_at_every_length_and_alignment() {
        for (plane, at) in (1..70).chain([196, 784]).flat_map(|plane| [0, 1, 3].map(|at| (plane, at))) {
            check(3, plane, at, |i| (i as f32 * 0.7).sin() + 0.3);
        }
    }

    #[test]
    fn the_networks_average_is_within_the_bound() {
        check(1024, 49, 0, |i| (i as f32 * 0.7).sin().max(0.0));
    }

    #[test]
    fn whole_numbers_are_summed_exactly() {
        for plane in 1..70 {
            let x: Vec<f32> = (0..2 * plane).map(|i| (i * 37 % 101) as f32 - 50.0).collect();
            for isa in isa::detected() {
                let mut y = [f32::NAN; 2];
                select(isa)(GlobalAverage { x: &x, plane, y: &mut y });
                for (y, x) in y.iter().zip(x.chunks(plane)) {
                    assert_eq!(*y, x.iter().sum::<f32>() / plane as f32, "{isa} {plane}");
                }
            }
        }
    }
}
