//! How far logits are from those of another precision.

/// What the logits of any number of images have in common with the same images' logits in f32.
///
/// ```
/// use googlenet::quantise::Distance;
///
/// let mut distance = Distance::default();
/// distance.add(&[3.0, -4.0], &[3.0, -4.5]);
/// distance.add(&[0.0, 1.0], &[0.1, 0.0]);
/// assert!((distance.rms_error() - (1.26_f64 / 26.0).sqrt()).abs() < 1e-7);
/// assert_eq!((distance.images(), distance.agreement()), (2, 0.5));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distance {
    images: usize,
    agreeing: usize,
    square: f64,
    square_error: f64,
}

impl Distance {
    /// Adds an image by its logits in f32, and those that are compared with them.
    ///
    /// # Panics
    /// If there are not as many of one as of the other.
    pub fn add(&mut self, reference: &[f32], logits: &[f32]) {
        assert_eq!(reference.len(), logits.len(), "logits");
        let pairs = || reference.iter().zip(logits).map(|(&a, &b)| (f64::from(a), f64::from(b)));
        self.images += 1;
        self.agreeing += usize::from(largest(reference) == largest(logits));
        self.square += pairs().map(|(a, _)| a * a).sum::<f64>();
        self.square_error += pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    }

    /// The number of images.
    pub fn images(&self) -> usize {
        self.images
    }

    /// The root mean square of the difference of all logits, divided by that of the logits in f32: 0 where they are equal,
    /// infinite where any is not finite, or where all in f32 are zero and others are not.
    pub fn rms_error(&self) -> f64 {
        match (self.square_error, self.square) {
            (0.0, _) => 0.0,
            (error, square) if error.is_finite() && square.is_finite() => (error / square).sqrt(),
            _ => f64::INFINITY,
        }
    }

    /// The share of images whose largest logit is the same class's; 1 without images.
    pub fn agreement(&self) -> f64 {
        if self.images == 0 { 1.0 } else { self.agreeing as f64 / self.images as f64 }
    }
}

/// The index of the largest value, of equal ones the first.
fn largest(values: &[f32]) -> Option<usize> {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b]).then(b.cmp(&a)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_infinitely_far_and_equal_logits_are_not_far() {
        let distance = |reference: &[f32], logits: &[f32]| {
            let mut distance = Distance::default();
            distance.add(reference, logits);
            (distance.rms_error(), distance.agreement())
        };
        assert_eq!(Distance::default().rms_error(), 0.0);
        assert_eq!(distance(&[1.0, 2.0], &[1.0, 2.0]), (0.0, 1.0));
        assert_eq!(distance(&[0.0, 0.0], &[0.0, 0.0]), (0.0, 1.0));
        assert_eq!(distance(&[0.0, 0.0], &[0.0, 1.0]), (f64::INFINITY, 0.0));
        assert_eq!(distance(&[1.0, 2.0], &[1.0, f32::NAN]).0, f64::INFINITY);
        assert_eq!(distance(&[1.0, 2.0], &[f32::INFINITY, 2.0]), (f64::INFINITY, 0.0));
        assert_eq!(distance(&[2.0, 2.0], &[2.0, 1.0]).1, 1.0, "of equal logits the first counts");
    }
}
