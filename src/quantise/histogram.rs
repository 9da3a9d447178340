//! A histogram of an activation's values, in one pass and in bounded memory, and the scales that follow from it.
//!
//! Values are never negative, as all of them lie behind a ReLU, and many are zero, which every scale stands for exactly:
//! these are counted apart. The others fall into [`BINS`] bins of one width, from 0 to a power of two. A value beyond that
//! doubles the width as often as needed, which merges bins in pairs.

/// How many values there were of which size.
pub(super) struct Histogram {
    bins: Vec<u64>,
    /// Where the last bin ends: a power of two, in f64, so that it holds every f32. It is 0 before the first value.
    top: f64,
    zeros: u64,
    max: f32,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { bins: vec![0; BINS], top: 0.0, zeros: 0, max: 0.0 }
    }

    /// Adds values, all of which must be finite.
    pub(super) fn add(&mut self, values: &[f32]) {
        let largest = values.iter().copied().fold(0.0, f32::max);
        self.max = self.max.max(largest);
        if f64::from(largest) >= self.top {
            self.widen(f64::from(largest));
        }
        let per_value = BINS as f64 / self.top;
        for &value in values {
            match value > 0.0 {
                true => self.bins[(f64::from(value) * per_value) as usize] += 1,
                false => self.zeros += 1,
            }
        }
    }

    /// Makes room for `value`.
    fn widen(&mut self, value: f64) {
        if value == 0.0 {
            return;
        }
        if self.top == 0.0 {
            self.top = 2.0_f64.powi(value.log2().floor() as i32);
        }
        while value >= self.top {
            for bin in 0..BINS / 2 {
                self.bins[bin] = self.bins[2 * bin] + self.bins[2 * bin + 1];
            }
            self.bins[BINS / 2..].fill(0);
            self.top *= 2.0;
        }
    }

    /// The largest value.
    pub(super) fn max(&self) -> f32 {
        self.max
    }

    /// A value that `share` of all values, zeros included, do not exceed: where the bin ends in which that happens.
    pub(super) fn percentile(&self, share: f64) -> f32 {
        let count = self.zeros + self.bins.iter().sum::<u64>();
        let wanted = share * count as f64;
        let mut seen = self.zeros;
        for (bin, &n) in self.bins.iter().enumerate() {
            seen += n;
            if seen as f64 >= wanted && n > 0 {
                return self.max.min(((bin + 1) as f64 * self.top / BINS as f64) as f32);
            }
        }
        self.max
    }

    /// The largest value to keep, so that bytes from 0 to it have the least squared error: those above lose what they
    /// exceed it by, those below what rounding takes.
    pub(super) fn least_squares(&self) -> f32 {
        let width = self.top / BINS as f64;
        let error = |limit: f64| -> f64 {
            let scale = limit / 255.0;
            let of_bin = |(bin, &n): (usize, &u64)| {
                // The values of a bin lie anywhere in it. A bin that is narrow beside the scale is rounded as its middle
                // is; one that is wide meets every remainder alike, whose mean square is a twelfth.
                let middle = (bin as f64 + 0.5) * width;
                let rounded = ((middle / scale).round() * scale).min(limit);
                let square = match middle < limit && width > scale {
                    true => scale * scale / 12.0,
                    false => (rounded - middle).powi(2),
                };
                n as f64 * square
            };
            self.bins.iter().enumerate().filter(|(_, n)| **n > 0).map(of_bin).sum()
        };
        let limits = (STEPS / 4..=STEPS).rev().map(|step| f64::from(self.max) * f64::from(step) / f64::from(STEPS));
        let best = limits.map(|limit| (error(limit), limit)).min_by(|a, b| a.0.total_cmp(&b.0));
        best.map_or(self.max, |(_, limit)| limit as f32)
    }
}

/// With 2048 bins from 0 to at most twice the largest value, at least four lie in each step of 255.
const BINS: usize = 2048;

/// Limits of the least squares are tried from a quarter of the largest value on, in steps of this part of it.
const STEPS: u32 = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn limits_of_few_values() {
        let mut histogram = Histogram::new();
        assert_eq!((histogram.max(), histogram.percentile(0.5), histogram.least_squares()), (0.0, 0.0, 0.0));
        histogram.add(&[0.0; 10]);
        assert_eq!((histogram.max(), histogram.percentile(1.0), histogram.least_squares()), (0.0, 0.0, 0.0));
        histogram.add(&[f32::MIN_POSITIVE, 1.0]);
        histogram.add(&[f32::MAX, 0.0]);
        assert_eq!((histogram.max(), histogram.percentile(1.0)), (f32::MAX, f32::MAX));
        assert_eq!((histogram.zeros, histogram.bins.iter().sum::<u64>()), (11, 3));
    }

    /// One value far above a million others costs less when it is clipped than the others' rounding would.
    #[test]
    fn least_squares_clip_a_lone_outlier_and_nothing_of_a_flat_range() {
        let flat: Vec<f32> = (1..=100_000).map(|i| i as f32 / 1000.0).collect();
        let mut histogram = Histogram::new();
        histogram.add(&flat);
        // A flat range of 100 rounds with a mean square of (100 / 255)^2 / 12; to clip a share e of it costs e * (100 e)^2 / 3
        // and saves about 2 e of that, so that e is at most sqrt(6 / 12) / 255 = 0.28 %, less than a step of the search.
        assert_eq!(histogram.least_squares(), 100.0);
        for _ in 0..10 {
            histogram.add(&flat);
        }
        histogram.add(&[130.0]);
        assert!(histogram.least_squares() < 110.0, "{}", histogram.least_squares());
        assert_eq!(histogram.max(), 130.0);
        let limit = histogram.percentile(0.5);
        assert!((limit - 50.0).abs() <= 2.0 * 256.0 / BINS as f32, "{limit}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// However the values come, a percentile is at least the value of that rank, and at most two bins above it.
        #[test]
        fn percentiles_are_those_of_the_sorted_values(
            mut values in prop::collection::vec(prop_oneof![Just(0.0_f32), 1e-3_f32..1e3], 1..300),
            cut in 0_usize..300,
            share in 0.01_f64..1.0,
        ) {
            let mut histogram = Histogram::new();
            let (first, rest) = values.split_at(cut.min(values.len()));
            histogram.add(first);
            histogram.add(rest);
            values.sort_by(f32::total_cmp);
            let rank = ((share * values.len() as f64).ceil() as usize).clamp(1, values.len()) - 1;
            // Zeros have no bin: a percentile among them is the end of the first bin that has a value.
            let exact = f64::from(values[rank..].iter().copied().find(|&value| value > 0.0).unwrap_or(0.0));
            let found = f64::from(histogram.percentile(share));
            let width = histogram.top / BINS as f64;
            prop_assert!(found >= exact * (1.0 - 1e-6) && found <= exact + 2.0 * width, "{} for {}", found, exact);
        }
    }
}
