//! How correlation falls with distance, as numbers.

use serde_json::{Value, json};

use super::statistics::Statistics;

/// How strongly units are correlated at one distance.
pub struct Share {
    pub distance: usize,
    /// The number of ordered pairs of positions in a map at the distance.
    pub pairs: usize,
    /// How many positions lie at the distance from one, in the mean over the map.
    pub neighbours: f64,
    /// The mean correlation of a unit with itself, which is 1 at distance 0.
    pub same_unit: f64,
    /// The mean over all pairs of different units of the square of their correlation.
    pub mean_square: f64,
    /// The share that `mean_square` has in its sum over the distances.
    pub per_pair: f64,
    /// The share that `neighbours * mean_square` has in its sum over the distances.
    pub together: f64,
}

/// The shares of the distances, over those of `units` that vary at the distance.
pub fn shares(statistics: &Statistics, units: &[usize]) -> Vec<Share> {
    let [_, h, w] = statistics.shape();
    let mut shares: Vec<Share> = (0..statistics.distances())
        .map(|distance| {
            let (mut same, mut others) = (Mean::default(), Mean::default());
            for (index, &i) in units.iter().enumerate() {
                statistics.correlation(distance, i, i).iter().for_each(|&r| same.add(r));
                for &j in &units[..index] {
                    statistics.correlation(distance, i, j).iter().for_each(|&r| others.add(r * r));
                }
            }
            let pairs = statistics.pairs(distance);
            let neighbours = pairs as f64 / (h * w) as f64;
            let (same_unit, mean_square) = (same.get(), others.get());
            Share { distance, pairs, neighbours, same_unit, mean_square, per_pair: 0.0, together: 0.0 }
        })
        .collect();
    // If no two units are correlated at any distance, no distance has a share.
    let sum = |of: fn(&Share) -> f64| shares.iter().map(of).sum::<f64>().max(f64::MIN_POSITIVE);
    let (per_pair, together) = (sum(|share| share.mean_square), sum(|share| share.neighbours * share.mean_square));
    for share in &mut shares {
        share.per_pair = share.mean_square / per_pair;
        share.together = share.neighbours * share.mean_square / together;
    }
    shares
}

impl Share {
    /// The numbers, by name.
    pub fn json(&self) -> Value {
        json!({
            "distance": self.distance, "pairs": self.pairs, "neighbours": self.neighbours, "same_unit": self.same_unit,
            "mean_square": self.mean_square, "share_per_pair": self.per_pair, "share_together": self.together,
        })
    }
}

/// A mean of numbers that come one by one; 0 if none come.
#[derive(Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn get(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }
}
