//! Multinomial logistic regression with an L2 penalty, as near the optimum as is asked.
//!
//! ```text
//! minimise over W [classes, features], b [classes]:
//!     1/n sum_i (log sum_k exp z_ik - z_i,class(i)) + penalty/2 |W|^2         z_i = W (x_i - mean) + b
//!
//! repeat   g = gradient; done if |g| or what s gains is small
//!          s = -H^-1 g, roughly: conjugate gradients on products H v, of which each is a pass over the rows
//!          step along s, halved until the value falls
//! ```
//!
//! It is the problem that scikit-learn's `LogisticRegression` solves with `C = 1 / (penalty n)`; that the mean is taken away
//! changes `b` alone, and makes the problem better conditioned. It is convex, and so a Newton step is a descent, and near the
//! optimum the whole step is taken. The crates that were looked at for this rest on one that nobody maintains.
//!
//! Rows are divided into parts whose number depends on the problem alone; a thread adds up a part in order, and the parts'
//! sums are added in order, so that results have the same bits for any number of threads. Rows are read block by block:
//! memory does not grow with their number.
//!
//! Source: Jorge Nocedal and Stephen Wright, Numerical Optimization, 2nd edition, 2006, algorithm 7.1 (line search
//! Newton-CG) with the preconditioner of section 5.1.

use std::ops::Range;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use rayon::ThreadPool;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::command::exit::Outcome;

/// Rows of features, `[len, features]`, each of a class.
pub trait Rows: Sync {
    /// The number of rows.
    fn len(&self) -> usize;

    /// The number of features in a row.
    fn features(&self) -> usize;

    /// The class of a row.
    fn class(&self, row: usize) -> usize;

    /// Reads the rows of `range` into `out`, `[range.len(), features]`.
    fn read(&self, range: Range<usize>, out: &mut [f32]) -> Outcome;
}

/// The mean and the variance of each feature over some rows.
pub struct Moments {
    pub mean: Vec<f64>,
    pub variance: Vec<f64>,
}

/// A regression over rows.
pub struct Problem<'a> {
    rows: &'a dyn Rows,
    classes: usize,
    moments: &'a Moments,
    pool: &'a ThreadPool,
}

/// How near the optimum a fit ends.
#[derive(Clone, Copy, Debug)]
pub enum Enough {
    /// The logits of a row at the usual distance from the mean differ by at most this from the optimum's.
    Logits(f64),
    /// The last Newton step was to lower the value, by the slope along it, by no more than this share of it.
    Value(f64),
}

/// What a fit came to.
pub struct Fit {
    /// `W`, `[classes, features]`, then `b`, `[classes]`, for features less their means.
    pub parameters: Vec<f64>,
    /// How many Newton steps were taken.
    pub steps: usize,
    /// Whether it came as near the optimum as was asked for.
    pub converged: bool,
}

/// The value at some parameters, and what belongs to it.
struct Value {
    value: f64,
    gradient: Vec<f64>,
    /// For each class the mean of `p (1 - p)` over the rows.
    spread: Vec<f64>,
}

impl Moments {
    /// The moments of `rows`.
    pub fn of(rows: &dyn Rows, pool: &ThreadPool) -> Outcome<Self> {
        let n = rows.len() as f64;
        let zero = vec![0.0; rows.features()];
        let sums = |mean: &[f64], power: i32| -> Outcome<Vec<f64>> {
            let begin = || vec![0.0; rows.features()];
            let parts = sweep(rows, mean, pool, MAX_PARTS, begin, |sums: &mut Vec<f64>, x, _| {
                for row in x.rows() {
                    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x.powi(power));
                }
            })?;
            Ok(added(parts).into_iter().map(|sum| sum / n).collect())
        };
        let mean = sums(&zero, 1)?;
        let variance = sums(&mean, 2)?;
        Ok(Self { mean, variance })
    }

    /// The mean square of the rows' distances from their mean.
    pub fn total_variance(&self) -> f64 {
        self.variance.iter().sum()
    }
}

impl<'a> Problem<'a> {
    /// The regression that tells `classes` classes apart by `rows`, of which there is at least one. `moments` may be those of
    /// other, similar rows: they change the way to the optimum alone.
    pub fn new(rows: &'a dyn Rows, classes: usize, moments: &'a Moments, pool: &'a ThreadPool) -> Self {
        Self { rows, classes, moments, pool }
    }

    /// The number of parameters.
    pub fn parameters(&self) -> usize {
        self.classes * (self.rows.features() + 1)
    }

    /// The optimum for `penalty`, found from the parameters `start` on, as nearly as is `enough`. `check` is asked before each
    /// pass over the rows whether to go on.
    pub fn fit(
        &self,
        start: Vec<f64>,
        penalty: f64,
        enough: Enough,
        check: &mut dyn FnMut() -> Outcome,
    ) -> Outcome<Fit> {
        let (least_gradient, least_gain) = match enough {
            // The value is strongly convex in W, by `penalty`: |W - optimum| <= |gradient| / penalty, and a logit differs by at
            // most that times the row's length.
            Enough::Logits(most) => (most * penalty / self.moments.total_variance().sqrt().max(f64::MIN_POSITIVE), 0.0),
            Enough::Value(share) => (0.0, share),
        };
        let mut parameters = start;
        check()?;
        let mut here = self.value(&parameters, penalty)?;
        let first = norm(&here.gradient);
        let (mut steps, mut converged) = (0, norm(&here.gradient) <= least_gradient);
        while !converged && steps < MAX_STEPS {
            let share = (norm(&here.gradient) / first).sqrt().min(0.3);
            let least = (share * norm(&here.gradient)).max(0.1 * least_gradient);
            let step = self.newton_step(&parameters, &here, penalty, least, check)?;
            let slope = dot(&here.gradient, &step);
            // Half of the slope along it is what a Newton step gains of a value that is quadratic.
            let is_last = least_gain > 0.0 && -slope / 2.0 <= least_gain * here.value;
            let mut length = 1.0;
            let next = loop {
                check()?;
                let there: Vec<f64> = parameters.iter().zip(&step).map(|(own, step)| own + length * step).collect();
                let value = self.value(&there, penalty)?;
                // Near the optimum the value falls by less than its rounding.
                let rounding = 64.0 * f64::EPSILON * here.value.abs();
                if value.value <= here.value + 1e-4 * length * slope + rounding {
                    break Some((there, value));
                }
                length /= 2.0;
                if length < 1e-9 {
                    break None;
                }
            };
            let Some((there, value)) = next else { break };
            (parameters, here) = (there, value);
            steps += 1;
            converged = is_last || norm(&here.gradient) <= least_gradient;
        }
        // What all classes have in common changes no probability.
        let biases = parameters.len() - self.classes;
        let common = parameters[biases..].iter().sum::<f64>() / self.classes as f64;
        parameters[biases..].iter_mut().for_each(|bias| *bias -= common);
        Ok(Fit { parameters, steps, converged })
    }

    /// `-H^-1 g`, until what is left of the gradient is at most `least` long.
    fn newton_step(
        &self,
        parameters: &[f64],
        here: &Value,
        penalty: f64,
        least: f64,
        check: &mut dyn FnMut() -> Outcome,
    ) -> Outcome<Vec<f64>> {
        // H's diagonal, roughly: as if a class's probability did not depend on the features.
        let scale = |class: usize, variance: f64| 1.0 / (here.spread[class] * variance + penalty);
        let weights = (0..self.classes).flat_map(|class| self.moments.variance.iter().map(move |v| (class, *v)));
        let biases = (0..self.classes).map(|class| (class, 1.0));
        let scales: Vec<f64> = weights.chain(biases).map(|(class, variance)| scale(class, variance)).collect();

        let mut step = vec![0.0; parameters.len()];
        let mut left: Vec<f64> = here.gradient.iter().map(|g| -g).collect();
        let mut scaled: Vec<f64> = left.iter().zip(&scales).map(|(r, s)| r * s).collect();
        let mut direction = scaled.clone();
        let mut energy = dot(&left, &scaled);
        for _ in 0..MAX_PRODUCTS {
            check()?;
            let product = self.product(parameters, &direction, penalty)?;
            let curvature = dot(&direction, &product);
            if curvature <= 0.0 {
                break; // rounding alone does that: the value is convex
            }
            let length = energy / curvature;
            step.iter_mut().zip(&direction).for_each(|(step, d)| *step += length * d);
            left.iter_mut().zip(&product).for_each(|(left, p)| *left -= length * p);
            if norm(&left) <= least {
                break;
            }
            scaled.iter_mut().zip(left.iter().zip(&scales)).for_each(|(scaled, (r, s))| *scaled = r * s);
            let before = std::mem::replace(&mut energy, dot(&left, &scaled));
            direction.iter_mut().zip(&scaled).for_each(|(d, scaled)| *d = scaled + energy / before * *d);
        }
        Ok(step)
    }

    /// The value and the gradient at `parameters`.
    fn value(&self, parameters: &[f64], penalty: f64) -> Outcome<Value> {
        let (classes, features) = (self.classes, self.rows.features());
        let (weights, biases) = parameters.split_at(classes * features);
        /// What a part adds up: the loss, then for each class `p (1 - p)`, then the gradient.
        struct Part {
            sums: Vec<f64>,
            logits: Vec<f64>,
        }
        let begin = || Part { sums: vec![0.0; 1 + classes + parameters.len()], logits: Vec::new() };
        let parts =
            sweep(self.rows, &self.moments.mean, self.pool, self.parts(), begin, |part: &mut Part, x, rows| {
                products(x, weights, classes, &mut part.logits);
                let (loss, rest) = part.sums.split_at_mut(1);
                let (spread, gradient) = rest.split_at_mut(classes);
                let (of_weights, of_biases) = gradient.split_at_mut(classes * features);
                for (row, z) in rows.zip(part.logits.chunks_exact_mut(classes)) {
                    z.iter_mut().zip(biases).for_each(|(z, b)| *z += b);
                    let class = self.rows.class(row);
                    let own = z[class];
                    loss[0] += softmax(z) - own;
                    spread.iter_mut().zip(&*z).for_each(|(spread, p)| *spread += p * (1.0 - p));
                    z[class] -= 1.0;
                    of_biases.iter_mut().zip(&*z).for_each(|(sum, r)| *sum += r);
                }
                add_outer(&part.logits, x, classes, of_weights);
            })?;
        let n = self.rows.len() as f64;
        let sums = added(parts.into_iter().map(|part| part.sums).collect());
        let mut gradient: Vec<f64> = sums[1 + classes..].iter().map(|sum| sum / n).collect();
        gradient.iter_mut().zip(weights).for_each(|(g, w)| *g += penalty * w);
        let spread = sums[1..1 + classes].iter().map(|sum| sum / n).collect();
        Ok(Value { value: sums[0] / n + penalty / 2.0 * dot(weights, weights), gradient, spread })
    }

    /// The product of the second derivative at `parameters` with `direction`.
    fn product(&self, parameters: &[f64], direction: &[f64], penalty: f64) -> Outcome<Vec<f64>> {
        let (classes, features) = (self.classes, self.rows.features());
        let (weights, biases) = parameters.split_at(classes * features);
        let (along, along_biases) = direction.split_at(classes * features);
        // One product gives the logits and their change along the direction.
        let both = [weights, along].concat();
        #[derive(Default)]
        struct Part {
            sums: Vec<f64>,
            logits: Vec<f64>,
            changes: Vec<f64>,
        }
        let begin = || Part { sums: vec![0.0; parameters.len()], ..Part::default() };
        let parts = sweep(self.rows, &self.moments.mean, self.pool, self.parts(), begin, |part: &mut Part, x, _| {
            products(x, &both, 2 * classes, &mut part.logits);
            part.changes.clear();
            let (of_weights, of_biases) = part.sums.split_at_mut(classes * features);
            for z in part.logits.chunks_exact_mut(2 * classes) {
                let (z, dz) = z.split_at_mut(classes);
                z.iter_mut().zip(biases).for_each(|(z, b)| *z += b);
                dz.iter_mut().zip(along_biases).for_each(|(dz, b)| *dz += b);
                softmax(z);
                let mean = dot(z, dz);
                let first = part.changes.len();
                part.changes.extend(z.iter().zip(&*dz).map(|(p, dz)| p * (dz - mean)));
                of_biases.iter_mut().zip(&part.changes[first..]).for_each(|(sum, change)| *sum += change);
            }
            add_outer(&part.changes, x, classes, of_weights);
        })?;
        let n = self.rows.len() as f64;
        let mut product = added(parts.into_iter().map(|part| part.sums).collect());
        product.iter_mut().for_each(|sum| *sum /= n);
        product.iter_mut().zip(along).for_each(|(sum, v)| *sum += penalty * v);
        Ok(product)
    }

    /// How many parts the rows are divided into: few enough for their sums to be small together.
    fn parts(&self) -> usize {
        (MAX_SUMS / self.parameters().max(1)).clamp(1, MAX_PARTS)
    }
}

/// Calls `done` with each row's number and its logits, `[classes]`, by `parameters` as a [`Fit`] has them for features less
/// `mean`, in order.
pub fn logits(
    rows: &dyn Rows,
    mean: &[f64],
    parameters: &[f64],
    mut done: impl FnMut(usize, &mut [f64]) -> Outcome,
) -> Outcome {
    let features = rows.features();
    let classes = parameters.len() / (features + 1);
    let (weights, biases) = parameters.split_at(classes * features);
    let (mut read, mut x, mut z) = (vec![0.0; BLOCK * features], Vec::new(), Vec::new());
    for begin in (0..rows.len()).step_by(BLOCK) {
        let range = begin..rows.len().min(begin + BLOCK);
        let x = block(rows, range.clone(), mean, &mut read, &mut x)?;
        products(x, weights, classes, &mut z);
        for (row, z) in range.zip(z.chunks_exact_mut(classes)) {
            z.iter_mut().zip(biases).for_each(|(z, b)| *z += b);
            done(row, z)?;
        }
    }
    Ok(())
}

/// Makes probabilities of logits, and returns the logarithm of the sum of their exponentials.
pub fn softmax(z: &mut [f64]) -> f64 {
    let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    z.iter_mut().for_each(|z| *z = (*z - largest).exp());
    let sum: f64 = z.iter().sum();
    z.iter_mut().for_each(|z| *z /= sum);
    largest + sum.ln()
}

/// Calls `add` with each block of rows, less `mean`, and their numbers; what it adds to begins as `begin` for each of `parts`
/// parts of the rows, and is returned for each, in order.
fn sweep<A: Send>(
    rows: &dyn Rows,
    mean: &[f64],
    pool: &ThreadPool,
    parts: usize,
    begin: impl Fn() -> A + Sync,
    add: impl Fn(&mut A, ArrayView2<'_, f64>, Range<usize>) + Sync,
) -> Outcome<Vec<A>> {
    let blocks = rows.len().div_ceil(BLOCK);
    let parts = parts.min(blocks).max(1);
    let one = |part: usize| {
        let mut sums = begin();
        let (mut read, mut x) = (vec![0.0; BLOCK * rows.features()], Vec::new());
        for number in part * blocks / parts..(part + 1) * blocks / parts {
            let range = number * BLOCK..rows.len().min((number + 1) * BLOCK);
            let x = block(rows, range.clone(), mean, &mut read, &mut x)?;
            add(&mut sums, x, range);
        }
        Ok(sums)
    };
    pool.install(|| (0..parts).into_par_iter().map(one).collect())
}

/// The rows of `range`, less `mean`, in `x`; they are read into `read`.
fn block<'x>(
    rows: &dyn Rows,
    range: Range<usize>,
    mean: &[f64],
    read: &mut [f32],
    x: &'x mut Vec<f64>,
) -> Outcome<ArrayView2<'x, f64>> {
    let (count, features) = (range.len(), rows.features());
    let read = &mut read[..count * features];
    rows.read(range, read)?;
    x.clear();
    for row in read.chunks_exact(features.max(1)) {
        x.extend(row.iter().zip(mean).map(|(&x, mean)| f64::from(x) - mean));
    }
    Ok(ArrayView2::from_shape((count, features), &x[..]).expect("as long as that"))
}

/// `x weightsᵀ` into `out`, `[rows, classes]`, for `weights` of `[classes, features]`.
fn products(x: ArrayView2<'_, f64>, weights: &[f64], classes: usize, out: &mut Vec<f64>) {
    out.clear();
    out.resize(x.nrows() * classes, 0.0);
    let weights = ArrayView2::from_shape((classes, x.ncols()), weights).expect("as long as that");
    let mut out = ArrayViewMut2::from_shape((x.nrows(), classes), &mut out[..]).expect("as long as that");
    general_mat_mul(1.0, &x, &weights.t(), 0.0, &mut out);
}

/// Adds `rᵀ x` to `sums`, `[classes, features]`, for `r` of `[rows, classes]`.
fn add_outer(r: &[f64], x: ArrayView2<'_, f64>, classes: usize, sums: &mut [f64]) {
    let r = ArrayView2::from_shape((x.nrows(), classes), r).expect("as long as that");
    let mut sums = ArrayViewMut2::from_shape((classes, x.ncols()), sums).expect("as long as that");
    general_mat_mul(1.0, &r.t(), &x, 1.0, &mut sums);
}

/// The sums of `parts`, of which there is at least one, element by element, in order.
fn added(parts: Vec<Vec<f64>>) -> Vec<f64> {
    let add = |mut sums: Vec<f64>, part: Vec<f64>| {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        sums
    };
    parts.into_iter().reduce(add).expect("there is a part")
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// How many rows are read at a time: 256 of 1024 features are 2 MiB, which a core's caches hold.
const BLOCK: usize = 256;

/// The most parts, and so the most threads that have work.
const MAX_PARTS: usize = 16;

/// The most numbers that the sums of all parts have together: 64 MiB.
const MAX_SUMS: usize = 8 << 20;

/// Newton's method takes a dozen steps; a hundred do not help where it has not ended by then.
const MAX_STEPS: usize = 100;

/// The most products of one step, which takes some dozens where features are of much the same scale.
const MAX_PRODUCTS: usize = 1000;

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Rows in memory.
    pub struct Table {
        pub features: usize,
        pub values: Vec<f32>,
        pub classes: Vec<usize>,
    }

    impl Rows for Table {
        fn len(&self) -> usize {
            self.classes.len()
        }

        fn features(&self) -> usize {
            self.features
        }

        fn class(&self, row: usize) -> usize {
            self.classes[row]
        }

        fn read(&self, range: Range<usize>, out: &mut [f32]) -> Outcome {
            out.copy_from_slice(&self.values[range.start * self.features..range.end * self.features]);
            Ok(())
        }
    }

    pub fn pool(threads: usize) -> ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads")
    }

    /// Rows of some classes around centres that lie apart, with features of very different variances.
    pub fn table(count: usize, features: usize, classes: usize) -> Table {
        let mut state = 1_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        let centres: Vec<f32> = (0..classes * features).map(|_| random()).collect();
        let mut table = Table { features, values: Vec::new(), classes: Vec::new() };
        for row in 0..count {
            let class = (row * row + row / 3) % classes;
            let scale = |feature: usize| 10.0_f32.powi(feature as i32 % 4 - 2);
            let value = |feature| scale(feature) * (3.0 + centres[class * features + feature] + 2.0 * random());
            table.values.extend((0..features).map(value));
            table.classes.push(class);
        }
        table
    }

    fn fit(table: &Table, classes: usize, penalty: f64, threads: usize) -> (Fit, Moments) {
        let pool = pool(threads);
        let moments = Moments::of(table, &pool).expect("read");
        let problem = Problem::new(table, classes, &moments, &pool);
        let fit =
            problem.fit(vec![0.0; problem.parameters()], penalty, Enough::Logits(1e-9), &mut || Ok(())).expect("read");
        (fit, moments)
    }

    /// At the optimum the gradient, here by its definition, row by row, is 0.
    #[test]
    fn the_gradient_at_the_optimum_is_zero() {
        let (classes, features) = (4, 7);
        let table = table(700, features, classes);
        for penalty in [1.0, 1e-2, 1e-5] {
            let (fit, moments) = fit(&table, classes, penalty, 2);
            assert!(fit.converged && fit.steps < 30, "{penalty}: {} steps", fit.steps);
            let mut gradient = vec![0.0; classes * (features + 1)];
            let mut most = 0.0_f64;
            logits(&table, &moments.mean, &fit.parameters, |row, z| {
                softmax(z);
                z[table.classes[row]] -= 1.0;
                let x = &table.values[row * features..][..features];
                for class in 0..classes {
                    for feature in 0..features {
                        let x = f64::from(x[feature]) - moments.mean[feature];
                        gradient[class * features + feature] += z[class] * x / 700.0;
                    }
                    gradient[classes * features + class] += z[class] / 700.0;
                }
                Ok(())
            })
            .expect("read");
            for (at, gradient) in gradient.iter().enumerate() {
                let penalised = if at < classes * features { penalty * fit.parameters[at] } else { 0.0 };
                most = most.max((gradient + penalised).abs());
            }
            assert!(most < 1e-9 * penalty.max(1e-3), "{penalty}: {most:e}");
            assert!(fit.parameters[classes * features..].iter().sum::<f64>().abs() < 1e-12);
        }
    }

    #[test]
    fn a_rough_fit_is_nearly_as_good() {
        let (table, pool) = (table(700, 7, 4), pool(2));
        let moments = Moments::of(&table, &pool).expect("read");
        let problem = Problem::new(&table, 4, &moments, &pool);
        let fit = |enough| {
            let fit = problem.fit(vec![0.0; problem.parameters()], 1e-4, enough, &mut || Ok(())).expect("read");
            assert!(fit.converged);
            (fit.steps, problem.value(&fit.parameters, 1e-4).expect("read").value)
        };
        let ((few, rough), (steps, least)) = (fit(Enough::Value(1e-3)), fit(Enough::Logits(1e-9)));
        assert!(few < steps && (0.0..1e-3).contains(&(rough / least - 1.0)), "{few} of {steps}: {rough}, {least}");
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        // Several parts of several blocks, the last one shorter.
        let table = table(BLOCK * 19 + 5, 5, 3);
        let (one, _) = fit(&table, 3, 1e-4, 1);
        for threads in [2, 3, 16] {
            let (other, _) = fit(&table, 3, 1e-4, threads);
            assert!(one.parameters.iter().zip(&other.parameters).all(|(a, b)| a.to_bits() == b.to_bits()), "{threads}");
        }
    }

    #[test]
    fn features_that_say_nothing_and_classes_that_are_alike_are_no_obstacle() {
        let table = Table { features: 2, values: vec![1.0; 20], classes: (0..10).map(|row| row % 2).collect() };
        let (fit, _) = fit(&table, 2, 1e-3, 1);
        assert!(fit.converged && fit.parameters.iter().all(|value| value.abs() < 1e-9), "{:?}", fit.parameters);
        // Of classes that can be separated the weights would grow without end, were it not for the penalty.
        let table = Table { features: 1, values: vec![0.0, 1.0], classes: vec![0, 1] };
        let (fit, _) = self::fit(&table, 2, 1e-6, 1);
        assert!(fit.converged && fit.parameters[1] > 5.0, "{:?}", fit.parameters);
    }

    /// What scikit-learn makes of the same rows: `tests/oracles/learn.py` wrote it down.
    #[test]
    fn scikit_learn_comes_to_the_same_probabilities() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracles/learn.json");
        let text = std::fs::read_to_string(path).expect("read");
        let stored: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let numbers = |value: &serde_json::Value| -> Vec<f64> {
            value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
        };
        let cases = stored["cases"].as_array().expect("cases");
        assert_eq!(cases.len(), 4);
        for case in cases {
            let features = case["features"].as_u64().expect("a number") as usize;
            let values: Vec<f32> = numbers(&case["x"]).into_iter().map(|x| x as f32).collect();
            let classes: Vec<usize> = numbers(&case["y"]).into_iter().map(|y| y as usize).collect();
            let count = classes.iter().max().expect("rows") + 1;
            let table = Table { features, values, classes };
            let c = case["c"].as_f64().expect("a number");
            let (fit, moments) = fit(&table, count, 1.0 / (c * table.len() as f64), 2);
            let expected = numbers(&case["probabilities"]);
            let mut most = 0.0_f64;
            logits(&table, &moments.mean, &fit.parameters, |row, z| {
                softmax(z);
                z.iter().zip(&expected[row * count..]).for_each(|(p, e)| most = most.max((p - e).abs()));
                Ok(())
            })
            .expect("read");
            // scikit-learn stops where no element of the gradient is above 1e-10; probabilities are stored with 9 digits.
            assert!(most < 1e-6, "C {c}, {count} classes: {most:e}");
        }
    }
}
