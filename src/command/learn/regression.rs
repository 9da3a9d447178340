//! Multinomial logistic regression with an L2 penalty, as near the optimum as is asked.
//!
//! ```text
//! minimise over W [classes, features], b [classes]:
//!     1/n sum_i (log sum_k exp z_ik - z_i,class(i)) + penalty/2 |W|^2         z_i = W (x_i - mean) + b
//!
//! repeat   g = gradient
//!          s = -H^-1 g, roughly: conjugate gradients on products H v, of which each is a pass over the rows
//!          step along s, halved until the value falls; done if s was to gain little
//! ```
//!
//! It is the problem that scikit-learn's `LogisticRegression` solves with `C = 1 / (penalty n)`; that the mean is taken away
//! changes `b` alone, and makes the problem better conditioned. It is convex, and so a Newton step is a descent, and near the
//! optimum the whole step is taken. The crates that were looked at for this rest on one that nobody maintains.
//!
//! Values and gradients are f64, as the optimum is where a gradient vanishes. Products, which are nearly all of the work, are
//! f32: an error in one makes a step a little worse, and the next gradient sees it.
//!
//! Source: Jorge Nocedal and Stephen Wright, Numerical Optimization, 2nd edition, 2006, algorithm 7.1 (line search
//! Newton-CG) with the preconditioner of section 5.1; Stephen Nash and Ariela Sofer, Assessing a search direction within a
//! truncated-Newton method, 1990, for where the conjugate gradients end.

use rayon::ThreadPool;

use crate::command::exit::{Code, Failure, Outcome};

use super::blocks::{BLOCK, Rows, added, block, matrix, numbers, outer, parts, products, sweep};
use super::moments::Moments;

/// A regression over rows.
pub struct Problem<'a> {
    rows: &'a dyn Rows,
    classes: usize,
    moments: &'a Moments,
    pool: &'a ThreadPool,
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

/// How nearly a Newton step is looked for: until as many products again would gain at most one of these.
struct Way {
    /// A share of what the products have gained.
    share: f64,
    /// An amount of the value.
    least: f64,
}

/// The value at some parameters, and what belongs to it.
struct Value {
    value: f64,
    gradient: Vec<f64>,
    /// For each class the mean of `p (1 - p)` over the rows.
    spread: Vec<f64>,
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

    /// The optimum for `penalty`, found from the parameters `start` on, until a Newton step, looked for roughly, was to lower
    /// the value by no more than the share `enough` of it; in trials some 30 times that were left. Before each pass over the
    /// rows `watch` is told how far the way is gone, 0 to 1, counted in powers of ten of what a step gains, and may end it.
    ///
    /// What is left has a meaning: a value lies above the optimum's by the mean over the rows of the Kullback-Leibler
    /// divergence KL(optimum's probabilities, its own), and by penalty/2 of the squared distance of `W`. So where d is left,
    /// the probability of no event differs by more than sqrt(d / 2) (root of the mean square over the rows; Pinsker's
    /// inequality).
    ///
    /// # Errors
    /// [`Code::Model`] if features are so large that the value is not finite.
    pub fn fit(
        &self,
        start: Vec<f64>,
        penalty: f64,
        enough: f64,
        watch: &mut dyn FnMut(f64) -> Outcome,
    ) -> Outcome<Fit> {
        let mut parameters = start;
        watch(0.0)?;
        let mut here = self.value(&parameters, penalty)?;
        let (mut steps, mut converged) = (0, false);
        // What steps gained, as shares of the value: the first, and the last.
        let mut gains: Option<(f64, f64)> = None;
        let mut done = 0.0;
        while !converged && steps < MAX_STEPS {
            let share = gains.map_or(0.1, |(first, last)| (last / first).sqrt().min(0.1));
            let way = Way { share, least: 0.1 * enough * here.value };
            let step = self.newton_step(&parameters, &here, penalty, &way, &mut || watch(done))?;
            let slope = dot(&here.gradient, &step);
            // Half of the slope along it is what a Newton step gains of a value that is quadratic.
            let gain = -slope / 2.0 / here.value;
            if !gain.is_finite() {
                return Err(Failure::new(Code::Model, "features are too large to learn from"));
            }
            if gain <= 0.0 {
                // At the optimum the gradient is 0; elsewhere rounding has made products useless.
                converged = here.gradient.iter().all(|&g| g == 0.0);
                break;
            }
            converged = gain <= enough;
            let first = gains.map_or(gain, |(first, _)| first);
            gains = Some((first, gain));
            done = f64::max(done, ((first / gain).ln() / (first / enough).ln()).clamp(0.0, 1.0));
            let mut length = 1.0;
            let next = loop {
                watch(done)?;
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
            let Some((there, value)) = next else {
                converged = false;
                break;
            };
            (parameters, here) = (there, value);
            steps += 1;
        }
        // What all classes have in common changes no probability.
        let biases = parameters.len() - self.classes;
        let common = parameters[biases..].iter().sum::<f64>() / self.classes as f64;
        parameters[biases..].iter_mut().for_each(|bias| *bias -= common);
        Ok(Fit { parameters, steps, converged })
    }

    /// `-H^-1 g`, as nearly as it is worth while at this distance from the optimum.
    fn newton_step(
        &self,
        parameters: &[f64],
        here: &Value,
        penalty: f64,
        way: &Way,
        check: &mut dyn FnMut() -> Outcome,
    ) -> Outcome<Vec<f64>> {
        let weights = self.classes * self.rows.features();
        let preconditioned = |left: &[f64]| {
            let (of_weights, of_biases) = left.split_at(weights);
            let mut out = self.moments.preconditioned(of_weights, &here.spread, penalty);
            out.extend(of_biases.iter().zip(&here.spread).map(|(left, spread)| left / (spread + penalty)));
            out
        };
        let mut step = vec![0.0; parameters.len()];
        let mut left: Vec<f64> = here.gradient.iter().map(|g| -g).collect();
        let mut scaled = preconditioned(&left);
        let mut direction = scaled.clone();
        let mut energy = dot(&left, &scaled);
        let mut gained = 0.0;
        for number in 1..=MAX_PRODUCTS {
            check()?;
            let product = self.product(parameters, &direction, penalty)?;
            let curvature = dot(&direction, &product);
            if !(curvature > 0.0 && curvature.is_finite()) {
                break; // rounding alone does that: the value is convex
            }
            let length = energy / curvature;
            step.iter_mut().zip(&direction).for_each(|(step, d)| *step += length * d);
            left.iter_mut().zip(&product).for_each(|(left, p)| *left -= length * p);
            // What the quadratic falls by here.
            let gain = length * energy / 2.0;
            gained += gain;
            if number as f64 * gain <= f64::max(way.share * gained, way.least) {
                break;
            }
            scaled = preconditioned(&left);
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
        let parts = sweep(
            self.rows,
            &self.moments.mean,
            self.pool,
            parts(self.parameters()),
            begin,
            |part: &mut Part, x, rows| {
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
                outer(matrix(&part.logits, classes), x, 1.0, of_weights);
            },
        )?;
        let n = self.rows.len() as f64;
        let sums = added(parts.into_iter().map(|part| part.sums).collect());
        let mut gradient: Vec<f64> = sums[1 + classes..].iter().map(|sum| sum / n).collect();
        gradient.iter_mut().zip(weights).for_each(|(g, w)| *g += penalty * w);
        let spread = sums[1..1 + classes].iter().map(|sum| sum / n).collect();
        Ok(Value { value: sums[0] / n + penalty / 2.0 * dot(weights, weights), gradient, spread })
    }

    /// The product of the second derivative at `parameters` with `direction`, computed in f32.
    fn product(&self, parameters: &[f64], direction: &[f64], penalty: f64) -> Outcome<Vec<f64>> {
        let (classes, features) = (self.classes, self.rows.features());
        let (weights, biases) = parameters.split_at(classes * features);
        let (along, along_biases) = direction.split_at(classes * features);
        // One product gives the logits and their change along the direction.
        let both = [numbers::<f32>(weights), numbers(along)].concat();
        struct Part {
            sums: Vec<f64>,
            /// Logits and their changes, `[rows, 2, classes]`.
            products: Vec<f32>,
            /// The changes of the probabilities, `[rows, classes]`.
            changes: Vec<f32>,
            /// What a block of rows adds to the sums of the weights.
            block: Vec<f32>,
        }
        let begin = || Part {
            sums: vec![0.0; parameters.len()],
            products: Vec::new(),
            changes: Vec::new(),
            block: vec![0.0; classes * features],
        };
        let parts = sweep(
            self.rows,
            &numbers(&self.moments.mean),
            self.pool,
            parts(self.parameters()),
            begin,
            |part: &mut Part, x, _| {
                products(x, &both, 2 * classes, &mut part.products);
                part.changes.clear();
                let (of_weights, of_biases) = part.sums.split_at_mut(classes * features);
                let (mut z, mut dz) = (vec![0.0; classes], vec![0.0; classes]);
                for row in part.products.chunks_exact(2 * classes) {
                    let (own, own_change) = row.split_at(classes);
                    let wide = |out: &mut [f64], own: &[f32], biases: &[f64]| {
                        out.iter_mut()
                            .zip(own.iter().zip(biases))
                            .for_each(|(out, (&own, bias))| *out = f64::from(own) + bias);
                    };
                    wide(&mut z, own, biases);
                    wide(&mut dz, own_change, along_biases);
                    softmax(&mut z);
                    let mean = dot(&z, &dz);
                    for ((p, dz), sum) in z.iter().zip(&dz).zip(&mut *of_biases) {
                        let change = p * (dz - mean);
                        part.changes.push(change as f32);
                        *sum += change;
                    }
                }
                outer(matrix(&part.changes, classes), x, 0.0, &mut part.block);
                of_weights.iter_mut().zip(&part.block).for_each(|(sum, &own)| *sum += f64::from(own));
            },
        )?;
        let n = self.rows.len() as f64;
        let mut product = added(parts.into_iter().map(|part| part.sums).collect());
        product.iter_mut().for_each(|sum| *sum /= n);
        product.iter_mut().zip(along).for_each(|(sum, v)| *sum += penalty * v);
        Ok(product)
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

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Newton's method takes a dozen steps; a hundred do not help where it has not ended by then.
const MAX_STEPS: usize = 100;

/// The most products of one step: with weak penalties some hundreds are taken near the optimum.
const MAX_PRODUCTS: usize = 1000;

#[cfg(test)]
pub mod tests {
    use std::ops::Range;

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
        let moments = Moments::of(table, &pool, &mut || Ok(())).expect("read");
        let problem = Problem::new(table, classes, &moments, &pool);
        let fit = problem.fit(vec![0.0; problem.parameters()], penalty, 1e-20, &mut |_| Ok(())).expect("read");
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
        let moments = Moments::of(&table, &pool, &mut || Ok(())).expect("read");
        let problem = Problem::new(&table, 4, &moments, &pool);
        let fit = |enough| {
            let fit = problem.fit(vec![0.0; problem.parameters()], 1e-4, enough, &mut |_| Ok(())).expect("read");
            assert!(fit.converged);
            (fit.steps, problem.value(&fit.parameters, 1e-4).expect("read").value)
        };
        let ((few, rough), (steps, least)) = (fit(1e-3), fit(1e-20));
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

    #[test]
    fn features_whose_squares_f32_does_not_hold_end_a_fit() {
        for size in [1e30, f32::MAX] {
            let mut table = table(700, 7, 4);
            table.values.iter_mut().for_each(|x| *x = if *x > 0.0 { size } else { -size });
            let pool = pool(1);
            let moments = Moments::of(&table, &pool, &mut || Ok(())).expect("read");
            let problem = Problem::new(&table, 4, &moments, &pool);
            let mut passes = 0;
            let mut watch = |_| {
                passes += 1;
                Ok(())
            };
            // Whether it comes to the optimum or says that it did not: what is written must be numbers.
            let fit = problem.fit(vec![0.0; problem.parameters()], 1e-3, 1e-9, &mut watch);
            assert!(passes < 100, "{size}: {passes} passes");
            assert!(fit.is_ok_and(|fit| fit.parameters.iter().all(|value| value.is_finite())), "{size}");
        }
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
