//! Sums over rows that are read block by block, on some threads.
//!
//! Rows are divided into parts whose number depends on the problem alone; a thread adds up a part in order, and the parts'
//! sums are added in order, so that results have the same bits for any number of threads. Memory does not grow with the number
//! of rows.

use std::ops::Range;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, LinalgScalar};
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

/// What rows are computed in.
pub trait Number: LinalgScalar + From<f32> + Send + Sync {
    /// The number that is nearest to `value`.
    fn of(value: f64) -> Self;
}

impl Number for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }
}

impl Number for f64 {
    fn of(value: f64) -> Self {
        value
    }
}

/// Calls `add` with each block of rows, less `mean`, and their numbers; what it adds to begins as `begin` for each of `parts`
/// parts of the rows, and is returned for each, in order.
pub fn sweep<T: Number, A: Send>(
    rows: &dyn Rows,
    mean: &[T],
    pool: &ThreadPool,
    parts: usize,
    begin: impl Fn() -> A + Sync,
    add: impl Fn(&mut A, ArrayView2<'_, T>, Range<usize>) + Sync,
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
pub fn block<'x, T: Number>(
    rows: &dyn Rows,
    range: Range<usize>,
    mean: &[T],
    read: &mut [f32],
    x: &'x mut Vec<T>,
) -> Outcome<ArrayView2<'x, T>> {
    let (count, features) = (range.len(), rows.features());
    let read = &mut read[..count * features];
    rows.read(range, read)?;
    x.clear();
    for row in read.chunks_exact(features.max(1)) {
        x.extend(row.iter().zip(mean).map(|(&x, &mean)| T::from(x) - mean));
    }
    Ok(matrix(x, features))
}

/// `x weightsᵀ` into `out`, `[rows, classes]`, for `weights` of `[classes, features]`.
pub fn products<T: Number>(x: ArrayView2<'_, T>, weights: &[T], classes: usize, out: &mut Vec<T>) {
    out.clear();
    out.resize(x.nrows() * classes, T::zero());
    let mut out = ArrayViewMut2::from_shape((x.nrows(), classes), &mut out[..]).expect("as long as that");
    general_mat_mul(T::one(), &x, &matrix(weights, x.ncols()).t(), T::zero(), &mut out);
}

/// `rᵀ x` and `share` of what is there into `sums`, `[classes, features]`, for `r` of `[rows, classes]`.
pub fn outer<T: Number>(r: ArrayView2<'_, T>, x: ArrayView2<'_, T>, share: T, sums: &mut [T]) {
    let mut sums = ArrayViewMut2::from_shape((r.ncols(), x.ncols()), sums).expect("as long as that");
    general_mat_mul(T::one(), &r.t(), &x, share, &mut sums);
}

/// How many parts rows are divided into that add up so many sums: few enough for the sums to be small together.
pub fn parts(sums: usize) -> usize {
    (MAX_SUMS / sums.max(1)).clamp(1, MAX_PARTS)
}

/// Rows of `columns` values.
pub fn matrix<T>(values: &[T], columns: usize) -> ArrayView2<'_, T> {
    ArrayView2::from_shape((values.len() / columns.max(1), columns), values).expect("as long as that")
}

/// The numbers that are nearest to `values`.
pub fn numbers<T: Number>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&value| T::of(value)).collect()
}

/// The sums of `parts`, of which there is at least one, element by element, in order.
pub fn added(parts: Vec<Vec<f64>>) -> Vec<f64> {
    let add = |mut sums: Vec<f64>, part: Vec<f64>| {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        sums
    };
    parts.into_iter().reduce(add).expect("there is a part")
}

/// How many rows are read at a time: 256 of 1024 features are 2 MiB, which a core's caches hold.
pub const BLOCK: usize = 256;

/// The most parts, and so the most threads that have work.
pub const MAX_PARTS: usize = 16;

/// The most numbers that the sums of all parts have together: 64 MiB.
const MAX_SUMS: usize = 8 << 20;
