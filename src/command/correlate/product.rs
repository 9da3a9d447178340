//! Sums of products of units, for every two of them: the lower triangle of X Y^T, where that is symmetric.
//!
//! Operands are panels of 8 units, `[c / 8][position][8]`, so that a tile's operands lie side by side whatever `c` is.
//! A block of the triangle holds the 64 sums of two panels, `[8][8]`; row `i` of blocks has the columns 0 to `i`.
//!
//! ```text
//! for each row of blocks, in parallel
//!     for each POSITIONS of the positions         8 KiB of a panel, which stay in the first-level cache
//!         for each column
//!             for each quarter of the block       4x4 sums: 8 vectors of two f64, half of the registers of SSE2
//!                 for each position               4x4 products
//! ```

use crate::rayon::prelude::*;

/// The number of units in a panel.
pub const WIDTH: usize = 8;

/// The lower triangle of a symmetric matrix, whose side is a multiple of [`WIDTH`].
pub struct Triangle {
    /// The number of rows of blocks.
    panels: usize,
    blocks: Vec<f64>,
}

impl Triangle {
    /// The triangle of a matrix of zeros, which has `panels` rows of blocks.
    pub fn new(panels: usize) -> Self {
        Self { panels, blocks: vec![0.0; panels * (panels + 1) / 2 * BLOCK] }
    }

    /// The value in row `i`, column `j`, or the same value in row `j`, column `i`.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        let (i, j) = (i.max(j), i.min(j));
        let (row, column) = (i / WIDTH, j / WIDTH);
        let block = row * (row + 1) / 2 + column;
        self.blocks[block * BLOCK + i % WIDTH * WIDTH + j % WIDTH]
    }

    /// Adds the sums over `positions` positions of products of a unit of `x` and a unit of `y`, and the products of two
    /// of `differences`, one for each unit, times `factor`.
    ///
    /// `x` and `y` are `[panels][positions][8]`.
    pub fn add(&mut self, x: &[f64], y: &[f64], positions: usize, differences: &[f64], factor: f64) {
        let (differences, _) = differences.as_chunks::<WIDTH>();
        assert!(differences.len() == self.panels && x.len() == self.panels * positions * WIDTH && y.len() == x.len());
        let mut rows = Vec::with_capacity(self.panels);
        let mut rest = self.blocks.as_mut_slice();
        for row in 0..self.panels {
            let (blocks, after) = rest.split_at_mut((row + 1) * BLOCK);
            rows.push((row, blocks));
            rest = after;
        }
        // The last rows are the longest; the sooner they begin, the less the threads wait for each other at the end.
        rows.into_par_iter().rev().for_each(|(row, blocks)| {
            let (blocks, _) = blocks.as_chunks_mut::<BLOCK>();
            let a = &x[row * positions * WIDTH..(row + 1) * positions * WIDTH];
            for begin in (0..a.len()).step_by(POSITIONS * WIDTH) {
                let end = a.len().min(begin + POSITIONS * WIDTH);
                for (block, b) in blocks.iter_mut().zip(y.chunks_exact(positions * WIDTH)) {
                    add_block(block, &a[begin..end], &b[begin..end]);
                }
            }
            for (block, column) in blocks.iter_mut().zip(differences) {
                for (sums, difference) in block.as_chunks_mut::<WIDTH>().0.iter_mut().zip(differences[row]) {
                    for (sum, other) in sums.iter_mut().zip(column) {
                        *sum += factor * difference * other;
                    }
                }
            }
        });
    }
}

/// Adds to `block`, `[8][8]`, the sums of products of the units of `a` and those of `b`, both `[position][8]`.
fn add_block(block: &mut [f64; BLOCK], a: &[f64], b: &[f64]) {
    const HALF: usize = WIDTH / 2;
    let ((a, _), (b, _)) = (a.as_chunks::<HALF>(), b.as_chunks::<HALF>());
    for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut sums = [[0.0; HALF]; HALF];
        for (a, b) in a.chunks_exact(2).zip(b.chunks_exact(2)) {
            for (sums, a) in sums.iter_mut().zip(a[i]) {
                for (sum, b) in sums.iter_mut().zip(b[j]) {
                    *sum += a * b;
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            let at = (i * HALF + row) * WIDTH + j * HALF;
            for (value, sum) in block[at..at + HALF].iter_mut().zip(sums) {
                *value += sum;
            }
        }
    }
}

/// The number of values in a block.
const BLOCK: usize = WIDTH * WIDTH;

/// The number of positions that are summed before the next columns: two panels of them, 16 KiB, stay in the first-level
/// cache.
const POSITIONS: usize = 128;
