//! How features are spread: what a regression over them is measured in.

// Of nalgebra the axes alone: its products are slow where there are few classes, and ndarray finds no axes.
use nalgebra::DMatrix;
use rayon::ThreadPool;

use crate::command::exit::Outcome;

use super::blocks::{MAX_PARTS, Rows, added, matrix, numbers, outer, parts, products, sweep};

/// How features are spread over some rows.
pub struct Moments {
    /// The mean of each feature.
    pub mean: Vec<f64>,
    /// The rows' principal axes, `[features, features]`, an axis a row; none where finding them would take longer than they
    /// save, as for the 4,096 features of Krizhevsky's networks, and the features stand for them.
    axes: Option<Vec<f64>>,
    /// The variance along each axis.
    variance: Vec<f64>,
}

impl Moments {
    /// The moments of `rows`, of which there is at least one. `check` is asked before each pass whether to go on.
    pub fn of(rows: &dyn Rows, pool: &ThreadPool, check: &mut dyn FnMut() -> Outcome) -> Outcome<Self> {
        let (n, features) = (rows.len() as f64, rows.features());
        let means = |mean: &[f64], power: i32| -> Outcome<Vec<f64>> {
            let begin = || vec![0.0; features];
            let parts = sweep(rows, mean, pool, MAX_PARTS, begin, |sums: &mut Vec<f64>, x, _| {
                for row in x.rows() {
                    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x.powi(power));
                }
            })?;
            Ok(added(parts).into_iter().map(|sum| sum / n).collect())
        };
        check()?;
        let mean = means(&vec![0.0; features], 1)?;
        check()?;
        if features > MAX_AXES || rows.len() < ROWS_AN_AXIS * features {
            let variance = means(&mean, 2)?;
            return Ok(Self { mean, axes: None, variance });
        }
        let size = features * features;
        let begin = || (vec![0.0_f64; size], vec![0.0_f32; size]);
        let parts = sweep(rows, &numbers(&mean), pool, parts(size), begin, |(sums, own), x, _| {
            outer(x, x, 0.0, own);
            sums.iter_mut().zip(&*own).for_each(|(sum, &own)| *sum += f64::from(own) / n);
        })?;
        let covariance = added(parts.into_iter().map(|(sums, _)| sums).collect());
        check()?;
        // Squares of large or tiny features can lie outside of what f32 holds. Axes take some three steps each to find.
        let own = covariance.iter().all(|value| value.is_finite()).then(|| {
            DMatrix::from_vec(features, features, covariance).try_symmetric_eigen(f64::EPSILON, 30 * features)
        });
        let Some(own) = own.flatten().filter(|own| own.eigenvalues.sum() > 0.0) else {
            let variance = means(&mean, 2)?;
            return Ok(Self { mean, axes: None, variance });
        };
        // Rounding can leave an axis without variance a little less than none.
        let variance = own.eigenvalues.iter().map(|&value| value.max(0.0)).collect();
        // A column of nalgebra's matrices is contiguous.
        Ok(Self { mean, axes: Some(own.eigenvectors.data.into()), variance })
    }

    /// The mean square of the rows' distances from their mean.
    pub fn total_variance(&self) -> f64 {
        self.variance.iter().sum()
    }

    /// `weights`, `[spread.len(), features]`, times the inverse of H roughly: as if the probability of each class did not
    /// depend on the features, with the mean `spread` of `p (1 - p)`.
    pub fn preconditioned(&self, weights: &[f64], spread: &[f64], penalty: f64) -> Vec<f64> {
        let features = self.mean.len();
        let mut along = weights.to_vec();
        if let Some(axes) = &self.axes {
            products(matrix(weights, features), axes, features, &mut along);
        }
        for (along, spread) in along.chunks_exact_mut(features).zip(spread) {
            along.iter_mut().zip(&self.variance).for_each(|(along, variance)| *along /= spread * variance + penalty);
        }
        let Some(axes) = &self.axes else { return along };
        let mut out = vec![0.0; weights.len()];
        outer(matrix(&along, features).reversed_axes(), matrix(axes, features), 0.0, &mut out);
        out
    }
}

/// The most features whose principal axes are found, which takes time as the cube of their number: 12 s of 2048 on Zen 3.
const MAX_AXES: usize = 2048;

/// How many rows there are for each feature, at least, where principal axes are found. By arithmetic, not tuned: those of 1,024
/// features take as long as some hundred passes over 4,096 rows of ten classes.
const ROWS_AN_AXIS: usize = 4;

#[cfg(test)]
mod tests {
    use super::super::regression::Problem;
    use super::super::regression::tests::{pool, table};
    use super::*;

    #[test]
    fn principal_axes_save_passes() {
        // Features that have nearly all of their variance in common.
        let mut table = table(4000, 40, 3);
        for row in table.values.chunks_exact_mut(40) {
            let common = row.iter().sum::<f32>();
            row.iter_mut().for_each(|x| *x += common);
        }
        let pool = pool(2);
        let moments = Moments::of(&table, &pool, &mut || Ok(())).expect("read");
        assert!(moments.axes.is_some());
        let mut variance = vec![0.0; 40];
        for (at, &x) in table.values.iter().enumerate() {
            variance[at % 40] += (f64::from(x) - moments.mean[at % 40]).powi(2) / 4000.0;
        }
        let features = Moments { mean: moments.mean.clone(), axes: None, variance };
        let (one, other) = (moments.total_variance(), features.total_variance());
        assert!((one / other - 1.0).abs() < 1e-6, "{one}, {other}");
        let passes = |moments| {
            let problem = Problem::new(&table, 3, moments, &pool);
            let mut passes = 0;
            let mut count = |_| {
                passes += 1;
                Ok(())
            };
            let fit = problem.fit(vec![0.0; problem.parameters()], 1e-3, 1e-9, &mut count).expect("read");
            assert!(fit.converged);
            passes
        };
        let (with, without) = (passes(&moments), passes(&features));
        assert!(3 * with < without, "{with} of {without}");
    }
}
