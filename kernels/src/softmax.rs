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
    use super::*;
    use crate::reference::softmax_ref;

    #[test]
    fn probabilities_are_within_two_ulp_of_one_and_survive_large_logits() {
        for scale in [0.1, 10.0, 1e3, 1e30] {
            let x: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.37).sin() * scale).collect();
            let mut y = vec![f32::NAN; 1000];
            softmax(&x, &mut y);
            for (&got, expected) in y.iter().zip(softmax_ref(&x)) {
                // exp of a difference d rounds d (relative EPSILON/2, so exp by |d| * EPSILON/2) and itself.
                let depth = if expected > 0.0 { 2.0 + expected.ln().abs() } else { 0.0 };
                let bound = f64::from(f32::EPSILON) * (2.0 + depth) * expected + f64::from(f32::MIN_POSITIVE);
                assert!((f64::from(got) - expected).abs() <= bound, "{got} for {expected}");
            }
            assert!((y.iter().map(|&v| f64::from(v)).sum::<f64>() - 1.0).abs() < 1e-6);
        }
        let mut y = [0.0; 2];
        softmax(&[f32::NAN, 1.0], &mut y);
        assert!(y.iter().all(|v| v.is_nan()));
    }
}
