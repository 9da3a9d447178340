//! The rows that are most like another, exactly and in order.
//!
//! ```text
//! threads, each taking the next rows that nobody has
//!     products of these rows with the query      the kernel of fully connected layers, sums in f32
//!     keep those that may be among the best      within twice the bound of a sum's error of the best seen
//! of all that are kept: products again, in f64; in order, the first
//! ```
//!
//! A row that is left out has a sum that is lower than that of as many others as are wanted by more than twice what two sums
//! can be off: its product is lower than theirs. So the answer is the same as if all products were computed in f64, for any
//! number of threads and any kernel.

use std::sync::Mutex;

use googlenet_kernels::dense::{Dense, Matrix, Operands};

use crate::Result;
use crate::error::IndexError;

use super::{Index, bound, product, unit};

/// A row that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The row's number.
    pub row: usize,
    /// How alike it is to what was looked for: the cosine of the angle between the two, -1 to 1.
    pub similarity: f64,
}

impl Index {
    /// The `top` rows that are most like `query`, of any length but 0, the most alike first, and of equals the first. Fewer if
    /// there are no more. `threads` share the work; memory grows with `top` alone, unless more rows than that are equals.
    ///
    /// # Errors
    /// [`IndexError::RowLength`] where `query` has not as many values as a row, [`IndexError::NotFinite`] where a value of
    /// `query` or of a row is no number.
    pub fn search(&self, query: &[f32], top: usize, threads: usize) -> Result<Vec<Hit>> {
        let features = self.features();
        if query.len() != features {
            return Err(IndexError::RowLength { expected: features, found: query.len() }.into());
        }
        let query = unit(query).ok_or(IndexError::QueryNotFinite)?;
        if top == 0 || self.is_empty() {
            return Ok(Vec::new());
        }
        let count = (CHUNK_BYTES / (4 * features)).max(1);
        let chunks = Mutex::new(self.rows().chunks(count * features).enumerate());
        let work = || -> Result<Best> {
            let mut best = Best::new(top, bound(features));
            let mut products = vec![0.0; count];
            let whole = Products::new(self, count);
            loop {
                let next = chunks.lock().expect("taking a chunk does not panic").next();
                let Some((chunk, rows)) = next else { return Ok(best) };
                let len = rows.len() / features;
                if len == count {
                    whole.run(&query, rows, &mut products);
                } else {
                    Products::new(self, len).run(&query, rows, &mut products[..len]);
                }
                for (row, &product) in products[..len].iter().enumerate() {
                    best.offer(product, chunk * count + row)?;
                }
            }
        };
        let others = threads.clamp(1, self.len().div_ceil(count)) - 1;
        let found: Vec<Result<Best>> = std::thread::scope(|scope| {
            let others: Vec<_> = (0..others).map(|_| scope.spawn(work)).collect();
            let own = work();
            let joined = others.into_iter().map(|thread| thread.join().expect("searching does not panic"));
            joined.chain([own]).collect()
        });
        let mut best = Best::new(top, bound(features));
        for found in found {
            best.kept.extend(found?.kept);
        }
        best.prune();
        let exact = |&(_, row): &(f32, usize)| Hit { row, similarity: product(&query, self.row(row)) };
        let mut hits: Vec<Hit> = best.kept.iter().map(exact).collect();
        hits.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row)));
        hits.truncate(top);
        Ok(hits)
    }
}

/// The kernel's products of some number of rows with a query.
pub(super) struct Products {
    dense: Dense,
    /// The kernel adds a bias to each product.
    zeros: Vec<f32>,
}

impl Products {
    /// For `count` rows of `index` at a time.
    pub(super) fn new(index: &Index, count: usize) -> Self {
        Self { dense: Dense::new(index.isa, index.features(), count), zeros: vec![0.0; count] }
    }

    /// Writes the products of each of `rows` with `query` to `products`.
    pub(super) fn run(&self, query: &[f32], rows: &[f32], products: &mut [f32]) {
        let packed = bytemuck::cast_slice(&self.zeros);
        let operands = Operands { x: query, matrix: Matrix::F32(rows), packed, relu: false };
        self.dense.run(operands, 0..self.zeros.len(), products);
    }
}

/// The rows that may be among the best of those that were offered.
struct Best {
    top: usize,
    /// What two sums can be off together, twice.
    margin: f32,
    kept: Vec<(f32, usize)>,
    /// What a row's sum must be at least.
    floor: f32,
    /// How many are kept before those are dropped that are not among the best any more.
    limit: usize,
}

impl Best {
    fn new(top: usize, bound: f32) -> Self {
        Self { top, margin: 2.0 * bound, kept: Vec::new(), floor: f32::NEG_INFINITY, limit: top + SPARE }
    }

    #[inline]
    fn offer(&mut self, sum: f32, row: usize) -> Result<()> {
        if sum >= self.floor {
            self.kept.push((sum, row));
            if self.kept.len() > self.limit {
                self.prune();
                self.limit = 2 * self.kept.len() + SPARE;
            }
        } else if sum.is_nan() {
            return Err(IndexError::NotFinite { row }.into());
        }
        Ok(())
    }

    /// Drops what is not among the best.
    fn prune(&mut self) {
        if self.kept.len() > self.top {
            let (_, last, _) = self.kept.select_nth_unstable_by(self.top - 1, |a, b| b.0.total_cmp(&a.0));
            self.floor = last.0 - self.margin;
            self.kept.retain(|&(sum, _)| sum >= self.floor);
        }
    }
}

/// How many bytes of rows a thread takes at a time: few enough for threads to end together, many enough for a row's sums to
/// be what takes time.
const CHUNK_BYTES: usize = 4 << 20;
/// How many more rows than are wanted may be kept before some are dropped.
const SPARE: usize = 1024;
