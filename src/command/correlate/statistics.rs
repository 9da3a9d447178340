//! The statistics of a layer's units over pictures, in one pass: means, variances, and how units vary together.
//!
//! A unit is a channel of the map `[c, h, w]` that a layer makes of a picture. Two positions of a map lie at distance
//! `d` if the larger of the differences of their columns and of their rows is `d` (Chebyshev). For each distance there
//! is one population: all ordered pairs of positions (p, q) at that distance, of all pictures. Over it the correlation
//! of units i and j is Pearson's, of the values of i at p and of j at q:
//!
//! ```text
//! r_ij = sum (x_i(p) - m_i) (x_j(q) - m_j) / sqrt(V_i V_j)     m_i = mean of x_i(p),   V_i = sum (x_i(p) - m_i)^2
//! ```
//!
//! All three are taken over the population. It has (q, p) wherever it has (p, q): so q's means and variances are p's,
//! the correlations are symmetric, and every direction counts as often as it fits into the map. At distance 0 p is q.
//!
//! In a picture, position p stands in w(p) pairs, as many as there are positions at the distance from it, and the
//! pairs' products are summed after the sum over q, so that a matrix product is left:
//!
//! ```text
//! for each panel of 8 units, in parallel
//!     m, V of each unit, in this picture, weighted by w
//!     x(p) = values - m,  y(p) = sum of x(q) over the positions q at the distance from p
//! for each pair of panels, in parallel
//!     C_ij += sum over p of x_i(p) y_j(p)
//! merge with the pictures before:  C_ij += n n' / (n + n') (m_i - m'_i) (m_j - m'_j)
//! ```
//!
//! The last line is the rule of Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
//! sample variances", 1979, in its form for two variables. No sum depends on the number of threads.
//!
//! C is what takes memory, and is held in f64 where that is little, else in f32: [`Width`]. Then each picture rounds it
//! to 2^-24 of itself, once for each 128 positions and once for its mean, so that a correlation is off by some
//! 1e-7 times the square root of the number of pictures.

use crate::rayon::prelude::*;

use super::product::{Triangle, WIDTH, Width};

/// The statistics of a layer's units at every distance that its maps have, up to [`FARTHEST`].
pub struct Statistics {
    /// The shape of a map, `[c, h, w]`.
    shape: [usize; 3],
    /// One population for each distance, from 0 on.
    populations: Vec<Population>,
    /// A picture's values without the unit's mean in it, `[c / 8][position][8]`; units beyond `c` are 0.
    x: Vec<f64>,
    /// For each value in `x`, the sum of the unit's values in `x` at the distance from it.
    y: Vec<f64>,
}

/// The statistics over the pairs of positions at one distance.
struct Population {
    distance: usize,
    /// The height and width of a map.
    size: [usize; 2],
    /// For each position, the number of positions at the distance from it.
    weights: Vec<f64>,
    /// The number of pairs in a picture.
    pairs: f64,
    /// The number of pairs so far.
    count: f64,
    /// The mean of each unit.
    means: Vec<f64>,
    /// The sum of the squared differences of each unit's values from its mean.
    squares: Vec<f64>,
    /// The sum of products of two units' differences from their means.
    products: Triangle,
}

/// The largest distance between positions at which correlations are computed.
pub const FARTHEST: usize = 2;

impl Statistics {
    /// Statistics of no pictures yet, whose maps will have the shape `shape`, `[c, h, w]`.
    pub fn new(shape: [usize; 3]) -> Self {
        Self::with_width(shape, width(shape))
    }

    fn with_width(shape: [usize; 3], width: Width) -> Self {
        let [c, h, w] = shape;
        let populations = distances(shape).map(|distance| Population::new(c, [h, w], distance, width)).collect();
        let len = c.div_ceil(WIDTH) * WIDTH * h * w;
        Self { shape, populations, x: vec![0.0; len], y: vec![0.0; len] }
    }

    /// The memory in bytes that statistics of maps of the shape `shape`, `[c, h, w]`, take.
    pub fn bytes(shape: [usize; 3]) -> usize {
        let [c, h, w] = shape;
        let panels = c.div_ceil(WIDTH);
        distances(shape).count() * Triangle::bytes(panels, width(shape)) + 2 * 8 * panels * WIDTH * h * w
    }

    /// The number of bits of a sum: 64, or 32 where the sums would take too much memory.
    pub fn bits(shape: [usize; 3]) -> usize {
        match width(shape) {
            Width::F32 => 32,
            Width::F64 => 64,
        }
    }

    /// Adds a picture's map and returns the mean of each unit in it. The map's values must be finite.
    ///
    /// The work is divided among the threads of the rayon pool from which this is called.
    pub fn add(&mut self, map: &[f32]) -> Vec<f64> {
        let [c, h, w] = self.shape;
        assert_eq!(map.len(), c * h * w, "a map of the shape {:?}", self.shape);
        let positions = h * w;
        let mut in_picture = Vec::new();
        for (distance, population) in self.populations.iter_mut().enumerate() {
            let panels = self.x.par_chunks_mut(WIDTH * positions).zip(self.y.par_chunks_mut(WIDTH * positions));
            let moments = panels.zip(map.par_chunks(WIDTH * positions)).flat_map_iter(|((x, y), map)| {
                let moments = population.centre(map, x);
                // At distance 0 each position's only neighbour is itself: the product takes `x` for `y`.
                if distance > 0 {
                    population.gather(x, y);
                }
                moments
            });
            let (means, squares): (Vec<f64>, Vec<f64>) = moments.collect::<Vec<_>>().into_iter().unzip();
            let y = if distance > 0 { &self.y } else { &self.x };
            population.merge(&means, &squares, |products, differences, factor| {
                products.add(&self.x, y, positions, differences, factor);
            });
            if distance == 0 {
                in_picture = means;
            }
        }
        in_picture
    }

    /// The shape of a map, `[c, h, w]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// How many distances there are, from 0 on.
    pub fn distances(&self) -> usize {
        self.populations.len()
    }

    /// The number of ordered pairs of positions of one map that lie at `distance`.
    pub fn pairs(&self, distance: usize) -> usize {
        self.populations[distance].pairs as usize
    }

    /// The mean and the standard deviation of each unit over all positions of all pictures.
    pub fn moments(&self) -> Vec<(f64, f64)> {
        let population = &self.populations[0];
        let moments = population.means.iter().zip(&population.squares);
        moments.map(|(&mean, squares)| (mean, (squares / population.count).sqrt())).collect()
    }

    /// Whether the sums can hold products of a unit's values: f32 has no room for squares of values that vary by less
    /// than some 1e-17, or by more than 1e18.
    pub fn holds(&self, unit: usize) -> bool {
        let held = |population: &Population| (1e-33..1e37).contains(&population.squares[unit]);
        width(self.shape) == Width::F64
            || self.populations.iter().all(|population| population.squares[unit] == 0.0 || held(population))
    }

    /// The correlation of two units at `distance`; `None` if one of them has the same value in the whole population.
    pub fn correlation(&self, distance: usize, i: usize, j: usize) -> Option<f64> {
        let population = &self.populations[distance];
        let scale = (population.squares[i] * population.squares[j]).sqrt();
        (scale > 0.0).then(|| (population.products.get(i, j) / scale).clamp(-1.0, 1.0))
    }

    /// Whether a unit has the same value at every position of every picture.
    pub fn is_dead(&self, unit: usize) -> bool {
        self.populations[0].squares[unit] == 0.0
    }
}

/// The distances that maps of the shape `shape`, `[c, h, w]`, have.
fn distances([_, h, w]: [usize; 3]) -> impl Iterator<Item = usize> {
    (0..=FARTHEST).take_while(move |&distance| distance < h.max(w))
}

/// What the sums of products of maps of the shape `shape`, `[c, h, w]`, are held in.
fn width(shape: [usize; 3]) -> Width {
    let wide = distances(shape).count() * Triangle::bytes(shape[0].div_ceil(WIDTH), Width::F64);
    if wide <= MOST_WIDE { Width::F64 } else { Width::F32 }
}

/// The most bytes of sums in f64.
const MOST_WIDE: usize = 32 << 20;

impl Population {
    fn new(c: usize, size: [usize; 2], distance: usize, width: Width) -> Self {
        let mut weights = Vec::with_capacity(size[0] * size[1]);
        for_each_neighbourhood(size, distance, |neighbours| weights.push(neighbours.count() as f64));
        let pairs = weights.iter().sum();
        let products = Triangle::new(c.div_ceil(WIDTH), width);
        Self { distance, size, weights, pairs, count: 0.0, means: vec![0.0; c], squares: vec![0.0; c], products }
    }

    /// Writes the units of `map`, `[up to 8][position]`, without their means into `x`, `[position][8]`; returns the
    /// mean of each unit and the sum of the squared differences from it.
    fn centre(&self, map: &[f32], x: &mut [f64]) -> Vec<(f64, f64)> {
        let one = |(lane, unit): (usize, &[f32])| {
            // Sums are of differences from one of the values: a unit that never varies has its value as its mean, and a
            // variance of exactly 0.
            let first = f64::from(unit[0]);
            let sum: f64 =
                unit.iter().zip(&self.weights).map(|(&value, weight)| weight * (f64::from(value) - first)).sum();
            let mean = first + sum / self.pairs;
            let mut squares = 0.0;
            for (p, (&value, weight)) in unit.iter().zip(&self.weights).enumerate() {
                let difference = f64::from(value) - mean;
                x[p * WIDTH + lane] = difference;
                squares += weight * difference * difference;
            }
            (mean, squares)
        };
        map.chunks_exact(self.weights.len()).enumerate().map(one).collect()
    }

    /// Writes into `y` the sums over the neighbours of each position of `x`; both are `[position][8]`.
    fn gather(&self, x: &[f64], y: &mut [f64]) {
        let (x, _) = x.as_chunks::<WIDTH>();
        let mut sums = y.as_chunks_mut::<WIDTH>().0.iter_mut();
        for_each_neighbourhood(self.size, self.distance, |neighbours| {
            let mut sum = [0.0; WIDTH];
            for q in neighbours {
                for (sum, x) in sum.iter_mut().zip(&x[q]) {
                    *sum += x;
                }
            }
            *sums.next().expect("as many as positions") = sum;
        });
    }

    /// Merges a picture's means and sums of squares. `add` adds the picture's products, and the products of the
    /// differences between means that it is given, times a factor.
    fn merge(&mut self, means: &[f64], squares: &[f64], add: impl FnOnce(&mut Triangle, &[f64], f64)) {
        let count = self.count + self.pairs;
        let (share, factor) = (self.pairs / count, self.pairs * (self.count / count));
        let mut differences = vec![0.0; means.len().next_multiple_of(WIDTH)];
        for (unit, difference) in differences[..means.len()].iter_mut().enumerate() {
            *difference = means[unit] - self.means[unit];
            self.means[unit] += share * *difference;
            self.squares[unit] += squares[unit] + factor * *difference * *difference;
        }
        add(&mut self.products, &differences, factor);
        self.count = count;
    }
}

/// Calls `visit` for each position of a map of `h` rows and `w` columns, row by row, with the positions at `distance`
/// from it, row by row.
fn for_each_neighbourhood([h, w]: [usize; 2], distance: usize, mut visit: impl FnMut(&mut dyn Iterator<Item = usize>)) {
    let near = |at: usize, len: usize| at.saturating_sub(distance)..(at + distance + 1).min(len);
    for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
        let mut neighbours = near(y, h)
            .flat_map(|qy| near(x, w).map(move |qx| (qy, qx)))
            .filter(|&(qy, qx)| qy.abs_diff(y).max(qx.abs_diff(x)) == distance)
            .map(|(qy, qx)| qy * w + qx);
        visit(&mut neighbours);
    }
}

#[cfg(test)]
mod tests {
    use crate::rayon;
    use proptest::prelude::*;

    use super::*;

    /// Statistics of `maps`, by `threads` threads.
    fn statistics(shape: [usize; 3], maps: &[Vec<f32>], threads: usize) -> Statistics {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let mut statistics = Statistics::new(shape);
        for map in maps {
            pool.install(|| statistics.add(map));
        }
        statistics
    }

    /// The correlation of units `i` and `j` by its definition, in two passes over the pairs of positions; `None` if the
    /// values of one are all the same.
    fn reference([_, h, w]: [usize; 3], maps: &[Vec<f32>], distance: usize, i: usize, j: usize) -> Option<f64> {
        let mut pairs = Vec::new();
        for map in maps {
            for (p, q) in (0..h * w).flat_map(|p| (0..h * w).map(move |q| (p, q))) {
                if (p / w).abs_diff(q / w).max((p % w).abs_diff(q % w)) == distance {
                    pairs.push((f64::from(map[i * h * w + p]), f64::from(map[j * h * w + q])));
                }
            }
        }
        if pairs.iter().all(|pair| pair.0 == pairs[0].0) || pairs.iter().all(|pair| pair.1 == pairs[0].1) {
            return None;
        }
        let n = pairs.len() as f64;
        let (a, b) = pairs.iter().fold((0.0, 0.0), |sums, pair| (sums.0 + pair.0 / n, sums.1 + pair.1 / n));
        let sum = |f: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|&(x, y)| f(x - a, y - b)).sum::<f64>();
        Some(sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt())
    }

    /// `count` maps of values from 0 to 1, a third of them 0 as behind a ReLU, plus `offset`.
    fn maps(shape: [usize; 3], count: usize, offset: f32) -> Vec<Vec<f32>> {
        let mut state = 1_u32;
        let mut value = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            offset + ((state >> 8) as f32 / (1 << 24) as f32 * 1.5 - 0.5).max(0.0)
        };
        (0..count).map(|_| (0..shape.iter().product()).map(|_| value()).collect()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn correlations_are_those_of_two_passes(
            c in 1_usize..20, h in 1_usize..7, w in 1_usize..7, count in 1_usize..5, offset in 0..4,
        ) {
            let (shape, offset) = ([c, h, w], [0.0, 1.0, -3.0, 100.0][offset as usize]);
            let maps = maps(shape, count, offset);
            let statistics = statistics(shape, &maps, 2);
            prop_assert_eq!(statistics.distances(), h.max(w).min(FARTHEST + 1));
            for distance in 0..statistics.distances() {
                for (i, j) in (0..c).flat_map(|i| (0..c).map(move |j| (i, j))) {
                    let expected = reference(shape, &maps, distance, i, j);
                    let got = statistics.correlation(distance, i, j);
                    prop_assert_eq!(got.is_some(), expected.is_some(), "{} {} {}", distance, i, j);
                    let (got, expected) = (got.unwrap_or_default(), expected.unwrap_or_default());
                    // Two means are off by some 1e-16 of the offset, at most 1e-14; values that are not the same differ
                    // by 7e-6 at the offset of 100.
                    prop_assert!((got - expected).abs() < 1e-8, "{} {} {}: {} {}", distance, i, j, got, expected);
                }
            }
        }
    }

    /// Values around 1e6 are 0.0625 apart in f32, and the same values without the offset are exact: both must have the
    /// same correlations. With sums of squares that are not centred they would not, as those, 1e12 * 600, are 0.06
    /// apart in f64, and sums of centred squares are about 30.
    #[test]
    fn a_large_offset_costs_nothing() {
        let shape = [9, 5, 4];
        let far = maps(shape, 30, 1e6);
        let near: Vec<Vec<f32>> = far.iter().map(|map| map.iter().map(|value| value - 1e6).collect()).collect();
        let (far, near) = (statistics(shape, &far, 1), statistics(shape, &near, 1));
        for (distance, i, j) in (0..=2).flat_map(|d| (0..9).flat_map(move |i| (0..9).map(move |j| (d, i, j)))) {
            let [far, near] = [&far, &near].map(|of| of.correlation(distance, i, j).expect("values vary"));
            // A mean near 1e6 is off by some 1e-10, which the sums of products, of values near 1, see squared and once.
            assert!((far - near).abs() < 1e-9, "{distance} {i} {j}: {far} {near}");
        }
    }

    #[test]
    fn bits_do_not_depend_on_threads() {
        let shape = [70, 15, 13];
        let maps = maps(shape, 5, 0.0);
        let [one, two, five] = [1, 2, 5].map(|threads| statistics(shape, &maps, threads));
        for (distance, i, j) in (0..=2).flat_map(|d| (0..70).flat_map(move |i| (0..70).map(move |j| (d, i, j)))) {
            let [one, two, five] = [&one, &two, &five].map(|of| of.correlation(distance, i, j).map(f64::to_bits));
            assert!(one == two && one == five, "{distance} {i} {j}");
        }
    }

    /// Sums in f32 are those in f64 but for a rounding for each picture and 128 positions, and one for its mean.
    #[test]
    fn narrow_sums_are_close() {
        let shape = [19, 13, 11];
        let maps = maps(shape, 60, 3.0);
        let [wide, narrow] = [Width::F64, Width::F32].map(|width| {
            let mut statistics = Statistics::with_width(shape, width);
            maps.iter().for_each(|map| drop(statistics.add(map)));
            statistics
        });
        let mut differ = false;
        for (distance, i, j) in (0..=2).flat_map(|d| (0..19).flat_map(move |i| (0..19).map(move |j| (d, i, j)))) {
            let [wide, narrow] = [&wide, &narrow].map(|of| of.correlation(distance, i, j).expect("values vary"));
            // 180 roundings by 2^-24 of a sum, of which none exceeds the last sum of squares.
            assert!((wide - narrow).abs() <= 180.0 / f64::from(1 << 24), "{distance} {i} {j}: {wide} {narrow}");
            differ |= wide != narrow;
        }
        assert!(differ);
    }

    #[test]
    fn many_units_have_narrow_sums() {
        let sizes = [[1024, 7, 7], [2048, 1, 1], [4096, 1, 1], [4944, 7, 7]];
        assert_eq!(sizes.map(Statistics::bits), [64, 64, 32, 32]);
        // A triangle of 512 panels has 512 * 513 / 2 blocks of 64 sums.
        assert_eq!(Statistics::bytes([4096, 1, 1]), 512 * 513 / 2 * 64 * 4 + 16 * 4096);
        assert_eq!(Statistics::bytes([1024, 7, 7]), 3 * 128 * 129 / 2 * 64 * 8 + 16 * 1024 * 49);
    }

    #[test]
    fn constant_units_are_dead_and_pairs_are_counted() {
        let shape = [3, 3, 3];
        let mut maps = maps(shape, 3, 0.0);
        for map in &mut maps {
            map[9..18].fill(0.1);
            // The middle of a map of 3x3 has no position at distance 2: the unit varies at distances 0 and 1 alone.
            map[18..].fill(0.0);
            map[22] = 1.0;
        }
        let statistics = statistics(shape, &maps, 1);
        assert_eq!([0, 1, 2].map(|unit| statistics.is_dead(unit)), [false, true, false]);
        assert_eq!([0, 1, 2].map(|distance| statistics.correlation(distance, 0, 1)), [None; 3]);
        assert_eq!([0, 1, 2].map(|distance| statistics.correlation(distance, 0, 2).is_some()), [true, true, false]);
        assert_eq!(statistics.correlation(0, 2, 2), Some(1.0));
        // Of the middle 8, of an edge 5, of a corner 3 neighbours at distance 1; at distance 2, an edge has 3, a corner
        // 5.
        assert_eq!([0, 1, 2].map(|distance| statistics.pairs(distance)), [9, 8 + 4 * 5 + 4 * 3, 4 * 3 + 4 * 5]);
        assert_eq!(statistics.moments()[1], (f64::from(0.1_f32), 0.0));
    }
}
