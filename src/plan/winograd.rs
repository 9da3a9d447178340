//! A convolution in the transformed domain, as one step or as two, and perhaps with the pool that follows it.
//!
//! As one, a thread transforms the inputs of a few rows of tiles into its own scratch, and multiplies and transforms
//! them back block by block of output channels. As two, all threads first share the input transform, by channels,
//! and then the rest, by output channels: for maps with too few rows of tiles to go round.

use std::ops::Range;

use googlenet_kernels::conv::{Block, ConvShape};
use googlenet_kernels::view::RowsMut;
use googlenet_kernels::winograd::Winograd;

/// A convolution in the transformed domain.
#[derive(Clone, Debug)]
pub(super) struct WinogradStep {
    pub shape: ConvShape,
    pub form: Winograd,
    pub reason: String,
    pub blocks: Vec<Block>,
    /// Rows of tiles that are transformed before the blocks are walked.
    pub rows: usize,
    /// Rows and columns of windows, where a 3x3 max pool of stride 2 follows before the store.
    pub pool: Option<[usize; 2]>,
}

/// Tiles that make a weight, once loaded, worth its way from memory.
const ENOUGH_TILES: usize = 14;

/// Bytes of transformed inputs, products and strips at a time, for vectors of `lanes`: half of a 512 KiB L2 cache;
/// CPUs of AVX-512 have 1 MiB and more, and take 0.94 of the time with all of it (`bench`, 1 MiB against 256 KiB).
const fn group_bytes(lanes: usize) -> usize {
    if lanes < 16 { 256 * 1024 } else { 1024 * 1024 }
}

/// Rows of tiles to transform at a time.
pub(super) fn rows_at_once(form: &Winograd, shape: &ConvShape) -> usize {
    let grid = form.grid(shape);
    let fit = |rows: &usize| form.scratch_len(shape, *rows) * size_of::<f32>() <= group_bytes(form.lanes());
    let enough = ENOUGH_TILES.div_ceil(grid.columns);
    (enough..=grid.rows).take_while(fit).last().unwrap_or(enough).clamp(1, grid.rows)
}

impl WinogradStep {
    pub(super) fn new(shape: ConvShape, form: Winograd, reason: String) -> Self {
        Self {
            shape,
            form,
            reason,
            blocks: form.blocks(&shape).collect(),
            rows: rows_at_once(&form, &shape),
            pool: None,
        }
    }

    /// Multiply-adds of the products.
    pub(super) fn multiply_adds(&self) -> u64 {
        let grid = self.form.grid(&self.shape);
        let tiles = self.form.points() * grid.rows * grid.columns;
        (tiles * self.form.channels(&self.shape)) as u64 * self.shape.oc as u64
    }

    /// Rows of tiles.
    pub(super) fn tile_rows(&self) -> usize {
        self.form.grid(&self.shape).rows
    }

    /// Whether `threads` threads share the transformed inputs: where there are too few rows of tiles to go round, and
    /// blocks of output channels instead.
    pub(super) fn is_shared_by(&self, threads: usize) -> bool {
        threads > 1 && self.tile_rows() < 4 * threads && self.blocks.len() > 1
    }

    /// Elements of one point's transformed inputs, for all tiles.
    pub(super) fn v_row_len(&self) -> usize {
        self.form.channel_blocks(&self.shape) * self.block_len()
    }

    /// Elements of one point's transformed inputs of one block of channels, for all tiles.
    pub(super) fn block_len(&self) -> usize {
        let grid = self.form.grid(&self.shape);
        grid.rows * grid.columns * self.form.lanes()
    }

    /// Elements of scratch for the whole convolution, `rows` rows of tiles at a time.
    pub(super) fn scratch_len(&self) -> usize {
        match self.pool {
            Some([_, columns]) => self.form.pooled_scratch_len(&self.shape, columns, self.rows),
            None => self.form.scratch_len(&self.shape, self.rows),
        }
    }

    /// Elements of scratch if the transformed inputs lie elsewhere.
    pub(super) fn shared_scratch_len(&self) -> usize {
        self.form.block_scratch_len(&self.shape, self.tile_rows())
    }

    /// The convolution of the rows `part` of tiles, or the rows `part` of windows of the pool after it; `y` has all
    /// channels, and their pixels.
    pub(super) fn convolve(
        &self,
        x: &[f32],
        weights: &[f32],
        part: Range<usize>,
        y: &mut RowsMut<'_>,
        scratch: &mut [f32],
    ) {
        let (form, shape) = (&self.form, &self.shape);
        match self.pool {
            Some([_, columns]) => {
                form.convolve_pooled(shape, columns, x, weights, true, part, self.rows, y, scratch);
            }
            None => form.convolve(shape, x, weights, true, part, self.rows, y, scratch),
        }
    }

    /// The input transform of all tiles of the channel blocks `blocks`.
    pub(super) fn transform(&self, x: &[f32], blocks: Range<usize>, v: RowsMut<'_>, scratch: &mut [f32]) {
        self.form.transform_input(&self.shape, x, 0..self.tile_rows(), blocks, v, scratch);
    }

    /// The rest, for the blocks `blocks` of output channels; `y` has the channels of those.
    pub(super) fn multiply(
        &self,
        v: &[f32],
        weights: &[f32],
        blocks: Range<usize>,
        y: &mut RowsMut<'_>,
        scratch: &mut [f32],
    ) {
        let blocks = &self.blocks[blocks];
        for block in blocks {
            let first = block.first - blocks[0].first;
            let y = y.window(first..first + block.live, 0..self.shape.pixels());
            self.form.multiply_block(&self.shape, block, v, weights, true, 0..self.tile_rows(), y, scratch);
        }
    }
}
