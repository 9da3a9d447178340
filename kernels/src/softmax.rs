//! Softmax: `y[i] = exp(x[i] - max) / sum of exp(x[j] - max)`, the sum in f64.
//!
//! A thousand exponentials are too few for vectors to matter: one plain loop serves every set, and its bits are the
//! same on all of them.

/// Writes the probabilities of the logits `x` to `y`. NaN in `x` gives NaN everywhere.
///
/// # Panics
/// If `x` and `y` differ in length or are empty.
pub fn softmax(x: &[f32], y: &mut [f32]) {
    assert!(!x.is_empty() && x.len() == y.len(), "{} logits, {} probabilities", x.len(), y.len());
    let max = x.iter().fold(f32::NEG_INFINITY, |max, &v| max.max(v));
    let mut sum = 0.0;
    for (y, &x) in y.iter_mut().zip(x) {
        *y = (x - max).exp();
        sum += f64::from(*y);
    }
    for y in y {
        *y = (f64::from(*y) / sum) as f32;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reference::softmax_ref;

    fn check(x: &[f32]) {
        let mut y = vec![f32::NAN; x.len()];
        softmax(x, &mut y);
        for (&got, expected) in y.iter().zip(softmax_ref(x)) {
            // The difference d is rounded (exp by |d| * EPSILON / 2), exp is within 2 ulp, the quotient rounds. The sum,
            // in f64, has the mean of its terms' errors: that of |d| is at most ln n, since the distribution's entropy,
            // ln sum plus that mean, is. |d| itself is at most |ln expected|, the sum being at least 1. Below the smallest
            // normal number the error is absolute.
            let depth = if expected > 0.0 { expected.ln().abs() } else { 0.0 };
            let bound = f64::from(f32::EPSILON) * (6.0 + x.len().ilog2() as f64 + depth) * expected;
            let bound = bound + f64::from(f32::MIN_POSITIVE);
            assert!((f64::from(got) - expected).abs() <= bound, "{got} for {expected}");
        }
        // Each probability was rounded once more after the division.
        let sum: f64 = y.iter().map(|&v| f64::from(v)).sum();
        assert!((sum - 1.0).abs() <= f64::from(f32::EPSILON), "the probabilities sum to {sum}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_logits_are_within_the_bound(x in prop::collection::vec(-200.0_f32..200.0, 1..1100), shift in -1e3_f32..1e3) {
            check(&x);
            check(&x.iter().map(|v| v * 0.01 + shift).collect::<Vec<_>>());
        }
    }

    #[test]
    fn large_logits_survive() {
        for scale in [0.0, 0.1, 10.0, 1e3, 1e30, f32::MAX / 2.0] {
            check(&(0..1000).map(|i| (i as f32 * 0.37).sin() * scale).collect::<Vec<_>>());
        }
        check(&[f32::NEG_INFINITY, 0.0, 1.0]);
    }

    #[test]
    fn nan_reaches_every_probability() {
        let mut y = [0.0; 2];
        softmax(&[f32::NAN, 1.0], &mut y);
        assert!(y.iter().all(|v| v.is_nan()));
    }
}
