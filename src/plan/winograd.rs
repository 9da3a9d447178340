//! A convolution in the transformed domain, as one step or as two.
//!
//! As one, a thread transforms the inputs of a few rows of tiles into its own scratch, and multiplies and transforms
//! them back block by block of output channels. As two, all threads first share the input transform, by channels,
//! and then the rest, by output channels: for maps with too few rows of tiles to go round.

use std::ops::Range;

use googlenet_kernels::conv::{Block, ConvShape};
use googlenet_kernels::view::RowsMut;
use googlenet_kernels::winograd::Winograd;

use super::arena::LINE;

/// A convolution in the transformed domain.
#[derive(Clone, Debug)]
pub(super) struct WinogradStep {
    pub shape: ConvShape,
    pub form: Winograd,
    pub reason: String,
    pub blocks: Vec<Block>,
    /// Rows of tiles that are transformed before the blocks are walked.
    pub rows: usize,
}

/// Tiles that make a weight, once loaded, worth its way from memory.
const ENOUGH_TILES: usize = 14;
/// Bytes of transformed inputs and products at a time: half of a 512 KiB L2 cache.
const GROUP_BYTES: usize = 256 * 1024;

/// Rows of tiles to transform at a time.
pub(super) fn rows_at_once(form: &Winograd, shape: &ConvShape) -> usize {
    let grid = form.grid(shape);
    let fit = |rows: &usize| (form.v_len(shape, *rows) + form.m_len(shape, *rows)) * size_of::<f32>() <= GROUP_BYTES;
    let enough = ENOUGH_TILES.div_ceil(grid.columns);
    (enough..=grid.rows).take_while(fit).last().unwrap_or(enough).clamp(1, grid.rows)
}

impl WinogradStep {
    pub(super) fn new(shape: ConvShape, form: Winograd, reason: String) -> Self {
        Self { shape, form, reason, blocks: form.blocks(&shape).collect(), rows: rows_at_once(&form, &shape) }
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

    /// Whether `threads` threads share the transformed inputs: where there are too few rows of tiles to go round.
    pub(super) fn is_shared_by(&self, threads: usize) -> bool {
        threads > 1 && self.tile_rows() < 4 * threads * self.rows
    }

    /// Elements of one point's transformed inputs, for all tiles.
    pub(super) fn v_row_len(&self) -> usize {
        self.form.channel_blocks(&self.shape) * self.block_len()
    }

    /// Elements of one point's transformed inputs of one block of channels, for all tiles.
    pub(super) fn block_len(&self) -> usize {
        let grid = self.form.grid(&self.shape);
        grid.rows * grid.columns * self.form.lanes
    }

    /// Elements of scratch for the whole convolution, `rows` rows of tiles at a time.
    pub(super) fn scratch_len(&self) -> usize {
        self.strip_len() + self.v_len(self.rows) + self.form.m_len(&self.shape, self.rows)
    }

    /// Elements of scratch if the transformed inputs lie elsewhere.
    pub(super) fn shared_scratch_len(&self) -> usize {
        self.strip_len() + self.form.m_len(&self.shape, self.tile_rows())
    }

    fn strip_len(&self) -> usize {
        self.form.strip_len(&self.shape).next_multiple_of(LINE)
    }

    fn v_len(&self, rows: usize) -> usize {
        self.form.v_len(&self.shape, rows).next_multiple_of(LINE)
    }

    /// The convolution of the rows `tile_rows` of tiles; `y` has all channels, and their pixels.
    pub(super) fn convolve(
        &self,
        x: &[f32],
        weights: &[f32],
        tile_rows: Range<usize>,
        y: &mut RowsMut<'_>,
        scratch: &mut [f32],
    ) {
        let (strip, rest) = scratch.split_at_mut(self.strip_len());
        let first_row = self.form.output_rows(&self.shape, &tile_rows).start;
        for top in tile_rows.clone().step_by(self.rows) {
            let part = top..(top + self.rows).min(tile_rows.end);
            let (v, m) = rest.split_at_mut(self.v_len(part.len()));
            let v = &mut v[..self.form.v_len(&self.shape, part.len())];
            let row = v.len() / self.form.points();
            let blocks = 0..self.form.channel_blocks(&self.shape);
            let v_rows = RowsMut::new(v, self.form.points(), row, row);
            self.form.transform_input(&self.shape, x, part.clone(), blocks, v_rows, strip);
            let rows = self.form.output_rows(&self.shape, &part);
            let pixels = (rows.start - first_row) * self.shape.ow..(rows.end - first_row) * self.shape.ow;
            for block in &self.blocks {
                let y = y.window(block.first..block.first + block.live, pixels.clone());
                self.block(block, v, weights, part.clone(), y, m, strip);
            }
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
        let (strip, m) = scratch.split_at_mut(self.strip_len());
        let blocks = &self.blocks[blocks];
        for block in blocks {
            let first = block.first - blocks[0].first;
            let y = y.window(first..first + block.live, 0..self.shape.pixels());
            self.block(block, v, weights, 0..self.tile_rows(), y, m, strip);
        }
    }

    /// Products and output transform of one block.
    #[expect(clippy::too_many_arguments, reason = "two inputs, two outputs, which part, and scratch")]
    fn block(
        &self,
        block: &Block,
        v: &[f32],
        weights: &[f32],
        tile_rows: Range<usize>,
        y: RowsMut<'_>,
        m: &mut [f32],
        strip: &mut [f32],
    ) {
        let (form, channels) = (&self.form, self.form.channels(&self.shape));
        let tiles = tile_rows.len() * form.grid(&self.shape).columns;
        let len = form.points() * channels * block.width;
        let (u, bias) = weights[block.offset..][..len + block.width].split_at(len);
        let m = &mut m[..form.points() * tiles * block.width];
        form.multiply(channels, tiles, v, u, block.width, m);
        form.transform_output(&self.shape, tile_rows, m, bias, true, y, strip);
    }
}
