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
    blocks: Blocks,
}

/// The type that sums are held in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Width {
    /// Half the memory. Each picture's sum is made in f64, and rounded to f32 as it is added.
    F32,
    F64,
}

enum Blocks {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Triangle {
    /// The triangle of a matrix of zeros, which has `panels` rows of blocks.
    pub fn new(panels: usize, width: Width) -> Self {
        let len = panels * (panels + 1) / 2 * BLOCK;
        let blocks = match width {
            Width::F32 => Blocks::F32(vec![0.0; len]),
            Width::F64 => Blocks::F64(vec![0.0; len]),
        };
        Self { panels, blocks }
    }

    /// The memory in bytes that the triangle of a matrix with `panels` rows of blocks takes.
    pub fn bytes(panels: usize, width: Width) -> usize {
        let value = match width {
            Width::F32 => size_of::<f32>(),
            Width::F64 => size_of::<f64>(),
        };
        panels * (panels + 1) / 2 * BLOCK * value
    }

    /// The value in row `i`, column `j`, or the same value in row `j`, column `i`.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        let (i, j) = (i.max(j), i.min(j));
        let (row, column) = (i / WIDTH, j / WIDTH);
        let block = row * (row + 1) / 2 + column;
        let at = block * BLOCK + i % WIDTH * WIDTH + j % WIDTH;
        match &self.blocks {
            Blocks::F32(blocks) => blocks[at].into(),
            Blocks::F64(blocks) => blocks[at],
        }
    }

    /// Adds the sums over `positions` positions of products of a unit of `x` and a unit of `y`, and the products of two
    /// of `differences`, one for each unit, times `factor`.
    ///
    /// `x` and `y` are `[panels][positions][8]`.
    pub fn add(&mut self, x: &[f64], y: &[f64], positions: usize, differences: &[f64], factor: f64) {
        let (differences, _) = differences.as_chunks::<WIDTH>();
        assert!(differences.len() == self.panels && x.len() == self.panels * positions * WIDTH && y.len() == x.len());
        match &mut self.blocks {
            Blocks::F32(blocks) => add_rows(blocks, x, y, positions, differences, factor),
            Blocks::F64(blocks) => add_rows(blocks, x, y, positions, differences, factor),
        }
    }
}

/// A number that sums are held in.
trait Sum: Copy + Send {
    /// Adds `more`, rounding once.
    fn add(&mut self, more: f64);
}

impl Sum for f32 {
    fn add(&mut self, more: f64) {
        *self = (f64::from(*self) + more) as f32;
    }
}

impl Sum for f64 {
    fn add(&mut self, more: f64) {
        *self += more;
    }
}

/// What [`Triangle::add`] does, for one type of sums.
fn add_rows<S: Sum>(
    blocks: &mut [S],
    x: &[f64],
    y: &[f64],
    positions: usize,
    differences: &[[f64; WIDTH]],
    factor: f64,
) {
    let mut rows = Vec::with_capacity(differences.len());
    let mut rest = blocks;
    for row in 0..differences.len() {
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
                    sum.add(factor * difference * other);
                }
            }
        }
    });
}

/// Adds to `block`, `[8][8]`, the sums of products of the units of `a` and those of `b`, both `[position][8]`.
fn add_block<S: Sum>(block: &mut [S; BLOCK], a: &[f64], b: &[f64]) {
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
            for (value, &sum) in block[at..at + HALF].iter_mut().zip(sums) {
                value.add(sum);
            }
        }
    }
}

/// The number of values in a block.
const BLOCK: usize = WIDTH * WIDTH;

/// The number of positions that are summed before the next columns: two panels of them, 16 KiB, stay in the first-level
/// cache.
const POSITIONS: usize = 128;
