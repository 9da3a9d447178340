//! Convolution in the transformed domain: an m x m tile of outputs from (m + r - 1)^2 products instead of (m r)^2.
//!
//! `U = G g G'` for each filter, once; `V = B'd B` for each tile of inputs; `M = sum over channels of U * V`, point by
//! point; `y = A'M A` (`points.rs` has the matrices and their source). With t tiles and n = m + r - 1:
//!
//! ```text
//! transform_input    x [ic, ih, iw]               -> v [n * n][channel block][t][LANES]
//! multiply           v, u [n * n][ic][width]      -> m [n * n][t][width]      one matrix product a point
//! transform_output   m                            -> y [width channels, oh, ow], bias and ReLU
//! ```
//!
//! Channels lie in the vector lanes throughout, and NCHW is transposed in registers on the way in and out. Edge tiles
//! read zeros and write only what exists.
//!
//! Stride 2 is the same with more channels: output y reads the padded rows 2y + ky, ky = 2q + p, so the rows of
//! parity p are an image of their own under a filter of every second tap. A k x k filter of stride 2 becomes four
//! filters of ceil(k / 2) taps over 4 ic channels `(c, py, px)` of stride 1 (the polyphase form).

mod filter;
mod input;
mod output;
mod points;
mod product;
#[cfg(test)]
mod tests;

use core::ops::Range;

use crate::conv::{Block, ConvShape, blocks_of};
use crate::isa::Isa;
use crate::op::Set;
use crate::tiles;
use crate::view::RowsMut;
use points::Points;

/// F(4, 3) over 0, +-3/4, +-3/2: for 3x3 filters.
#[derive(Clone, Copy)]
struct F43;

impl Points for F43 {
    const M: usize = 4;
    const R: usize = 3;
    const ZERO: bool = true;
    const PAIRS: &'static [f64] = &[0.75, 1.5];
}

/// F(2, 3) over 0, +-1: for 3x3 filters on small maps.
#[derive(Clone, Copy)]
struct F23;

impl Points for F23 {
    const M: usize = 2;
    const R: usize = 3;
    const ZERO: bool = true;
    const PAIRS: &'static [f64] = &[1.0];
}

/// F(4, 5) over 0, +-1, +-2, +-1/2: for 5x5 filters.
#[derive(Clone, Copy)]
struct F45;

impl Points for F45 {
    const M: usize = 4;
    const R: usize = 5;
    const ZERO: bool = true;
    const PAIRS: &'static [f64] = &[1.0, 2.0, 0.5];
}

/// F(2, 5) over 0, +-3/4, +-3/2: for 5x5 filters on small maps.
#[derive(Clone, Copy)]
struct F25;

impl Points for F25 {
    const M: usize = 2;
    const R: usize = 5;
    const ZERO: bool = true;
    const PAIRS: &'static [f64] = &[0.75, 1.5];
}

/// F(4, 4) over +-1, +-2, +-1/2: for the polyphase form of 7x7 filters of stride 2.
#[derive(Clone, Copy)]
struct F44;

impl Points for F44 {
    const M: usize = 4;
    const R: usize = 4;
    const ZERO: bool = false;
    const PAIRS: &'static [f64] = &[1.0, 2.0, 0.5];
}

/// One algorithm, F(m, r) over certain points, on one instruction set. What it is made of is fixed here: the bounds
/// checks rely on it. Its entries must not run where the set is missing, so it is handed out by [`algorithms`] alone.
#[derive(Clone, Copy, Debug)]
pub struct Winograd {
    name: &'static str,
    m: usize,
    r: usize,
    lanes: usize,
    oc: usize,
    filter: fn(shape: &ConvShape, w: &[f32], o: usize, u: &mut [f64]),
    input: unsafe fn(input::Operands<'_>),
    product: unsafe fn(product::Operands<'_>),
    output: unsafe fn(output::Operands<'_>),
}

/// Every algorithm on `S`, with products in tiles of P tiles by R vectors of output channels.
pub(crate) const fn algorithms_of<S: Set, const P: usize, const R: usize>() -> [Winograd; 5] {
    [
        algorithm::<S, F43, P, R>("F(4,3)"),
        algorithm::<S, F23, P, R>("F(2,3)"),
        algorithm::<S, F45, P, R>("F(4,5)"),
        algorithm::<S, F25, P, R>("F(2,5)"),
        algorithm::<S, F44, P, R>("F(4,4)"),
    ]
}

const fn algorithm<S: Set, F: Points, const P: usize, const R: usize>(name: &'static str) -> Winograd {
    Winograd {
        name,
        m: F::M,
        r: F::R,
        lanes: S::LANES,
        oc: R * S::LANES,
        filter: filter::filter::<F>,
        input: S::enter::<input::Input<F>>,
        product: S::enter::<product::Product<P, R>>,
        output: S::enter::<output::Output<F>>,
    }
}

/// f32 in a cache line.
const LINE: usize = 16;

/// The tiles of an output map: rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Rows of tiles.
    pub rows: usize,
    /// Tiles of a row.
    pub columns: usize,
}

impl Winograd {
    /// Its name in plans and benches: `F(4,3)`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// f32 lanes of a vector.
    pub const fn lanes(&self) -> usize {
        self.lanes
    }

    /// Points of a tile: `(m + r - 1)^2`.
    pub fn points(&self) -> usize {
        (self.m + self.r - 1).pow(2)
    }

    /// Whether it computes `shape`: a square filter of `r` taps a side, at stride 1 or, in the polyphase form, 2.
    pub fn fits(&self, shape: &ConvShape) -> bool {
        let stride = shape.stride_h;
        shape.kh == shape.kw && stride == shape.stride_w && stride <= 2 && shape.kh.div_ceil(stride.max(1)) == self.r
    }

    /// The tiles of `shape`'s output.
    pub fn grid(&self, shape: &ConvShape) -> Grid {
        Grid { rows: shape.oh.div_ceil(self.m), columns: shape.ow.div_ceil(self.m) }
    }

    /// Channels that a product sums over: those of the polyphase form.
    pub fn channels(&self, shape: &ConvShape) -> usize {
        shape.ic * shape.stride_h * shape.stride_w
    }

    /// Blocks of `lanes` of those channels.
    pub fn channel_blocks(&self, shape: &ConvShape) -> usize {
        self.channels(shape).div_ceil(self.lanes)
    }

    /// Blocks of output channels, each with its place in the packed weights: `[point][channel][width]`, then biases.
    pub fn blocks(&self, shape: &ConvShape) -> impl Iterator<Item = Block> {
        blocks_of(self.oc, self.lanes, shape.oc, self.points() * self.channels(shape))
    }

    /// Elements of the packed weights and biases.
    pub fn packed_len(&self, shape: &ConvShape) -> usize {
        self.blocks(shape).last().map_or(0, |b| b.offset + b.width * (self.points() * self.channels(shape) + 1))
    }

    /// Elements of the transformed inputs of `tile_rows` rows of tiles.
    pub fn v_len(&self, shape: &ConvShape, tile_rows: usize) -> usize {
        self.points() * self.channel_blocks(shape) * tile_rows * self.grid(shape).columns * self.lanes
    }

    /// Elements of the products of `tile_rows` rows of tiles and one block of output channels.
    fn m_len(&self, shape: &ConvShape, tile_rows: usize) -> usize {
        self.points() * tile_rows * self.grid(shape).columns * self.oc
    }

    /// Elements of the scratch that the transforms need.
    fn strip_len(&self, shape: &ConvShape) -> usize {
        // A row of tiles' inputs, n rows twice, or outputs, m rows of whole vectors.
        let n = self.m + self.r - 1;
        let width = (self.grid(shape).columns * self.m + self.r - 1).next_multiple_of(self.lanes);
        2 * n * width * self.lanes
    }

    /// Transforms weights `[oc, ic, kh, kw]` in f64 and packs them, each rounded once, with biases `[oc]`: for each
    /// block `[point][channel][width]` weights, then `[width]` biases.
    ///
    /// # Panics
    /// If the algorithm does not fit `shape`, a size of it is above [`crate::conv::MAX_SIZE`], or a length does not fit.
    pub fn pack_weights(&self, shape: &ConvShape, w: &[f32], bias: &[f32], packed: &mut [f32]) {
        self.assert_fits(shape);
        assert_eq!(w.len(), shape.oc * shape.steps(), "weights length");
        assert_eq!(bias.len(), shape.oc, "bias length");
        assert_eq!(packed.len(), self.packed_len(shape), "packed length");
        packed.fill(0.0);
        let (points, channels) = (self.points(), self.channels(shape));
        let mut u = vec![0.0; points * channels];
        for block in self.blocks(shape) {
            let (weights, packed_bias) = packed[block.offset..][..block.width * (points * channels + 1)]
                .split_at_mut(block.width * points * channels);
            for lane in 0..block.live {
                (self.filter)(shape, w, block.first + lane, &mut u);
                for (row, &u) in weights.chunks_exact_mut(block.width).zip(&u) {
                    row[lane] = u as f32;
                }
                packed_bias[lane] = bias[block.first + lane];
            }
        }
    }

    /// Transforms the inputs of the rows `tile_rows` of tiles and the channel blocks `blocks` of `x`, `[ic, ih, iw]`.
    /// `v` has a row a point, which holds `[block][tile][LANES]`; `scratch` has at least
    /// [`Self::block_scratch_len`] elements.
    ///
    /// # Panics
    /// If the algorithm does not fit `shape`, tiles or blocks do not exist, or a length does not fit.
    pub fn transform_input(
        &self,
        shape: &ConvShape,
        x: &[f32],
        tile_rows: Range<usize>,
        blocks: Range<usize>,
        v: RowsMut<'_>,
        scratch: &mut [f32],
    ) {
        self.assert_fits(shape);
        let strip = scratch;
        let grid = self.grid(shape);
        assert_eq!(x.len(), shape.ic * shape.ih * shape.iw, "input length");
        assert!(tile_rows.start <= tile_rows.end && tile_rows.end <= grid.rows, "rows {tile_rows:?} of {grid:?}");
        assert!(blocks.start <= blocks.end && blocks.end <= self.channel_blocks(shape), "channel blocks {blocks:?}");
        assert_eq!(v.rows(), self.points(), "points");
        assert_eq!(v.row_len(), blocks.len() * tile_rows.len() * grid.columns * self.lanes, "a point's length");
        assert!(strip.len() >= self.strip_len(shape), "strip of {}", strip.len());
        // SAFETY: algorithms are handed out for a set that the CPU has.
        unsafe { (self.input)(input::Operands { shape, grid, x, tile_rows, blocks, v, strip }) };
    }

    /// Elements of scratch that [`Self::convolve`] needs for `rows` rows of tiles at a time.
    pub fn scratch_len(&self, shape: &ConvShape, rows: usize) -> usize {
        self.block_scratch_len(shape, rows) + self.v_len(shape, rows)
    }

    /// Elements of scratch that [`Self::multiply_block`] needs for `rows` rows of tiles.
    pub fn block_scratch_len(&self, shape: &ConvShape, rows: usize) -> usize {
        self.strip_len(shape).next_multiple_of(LINE) + self.m_len(shape, rows).next_multiple_of(LINE)
    }

    /// The convolution of the rows `tile_rows` of tiles of `x`, `[ic, ih, iw]`, `rows` at a time. `y` has a row a
    /// channel and as columns the pixels of the output rows that those tiles cover; `packed` is
    /// [`Self::pack_weights`]'s.
    ///
    /// # Panics
    /// If the algorithm does not fit `shape`, tiles do not exist, `rows` is 0, or a length does not fit.
    #[expect(clippy::too_many_arguments, reason = "the operands of a convolution, its part, and scratch")]
    pub fn convolve(
        &self,
        shape: &ConvShape,
        x: &[f32],
        packed: &[f32],
        relu: bool,
        tile_rows: Range<usize>,
        rows: usize,
        y: &mut RowsMut<'_>,
        scratch: &mut [f32],
    ) {
        let (scratch, v) = scratch.split_at_mut(self.block_scratch_len(shape, rows));
        let first_row = self.output_rows(shape, &tile_rows).start;
        for top in tile_rows.clone().step_by(rows) {
            let part = top..(top + rows).min(tile_rows.end);
            let v = &mut v[..self.v_len(shape, part.len())];
            let row = v.len() / self.points();
            let v_rows = RowsMut::new(v, self.points(), row, row);
            self.transform_input(shape, x, part.clone(), 0..self.channel_blocks(shape), v_rows, scratch);
            let rows = self.output_rows(shape, &part);
            let pixels = (rows.start - first_row) * shape.ow..(rows.end - first_row) * shape.ow;
            for block in self.blocks(shape) {
                let y = y.window(block.first..block.first + block.live, pixels.clone());
                self.multiply_block(shape, &block, v, packed, relu, part.clone(), y, scratch);
            }
        }
    }

    /// Elements of scratch that [`Self::convolve_pooled`] needs for `rows` rows of tiles at a time.
    pub fn pooled_scratch_len(&self, shape: &ConvShape, columns: usize, rows: usize) -> usize {
        self.pending_len(shape, columns) + self.scratch_len(shape, rows)
    }

    /// Elements of the row of windows that is not complete yet, of all channels.
    fn pending_len(&self, shape: &ConvShape, columns: usize) -> usize {
        shape.oc.next_multiple_of(self.lanes) * columns.next_multiple_of(self.lanes)
    }

    /// The convolution and a 3x3 max pool of stride 2 without padding after it, `rows` rows of tiles at a time: the
    /// rows `window_rows` of windows, of `columns` each. `y` has a row a channel and as columns the pixels of those
    /// rows. Windows may reach past the last row and column, as rounding up makes them. The same numbers as
    /// [`Self::convolve`] and a pool give.
    ///
    /// # Panics
    /// If the algorithm does not fit `shape`, a window begins outside of the output, `rows` is 0, or a length does not fit.
    #[expect(clippy::too_many_arguments, reason = "the operands of two layers, their part, and scratch")]
    pub fn convolve_pooled(
        &self,
        shape: &ConvShape,
        columns: usize,
        x: &[f32],
        packed: &[f32],
        relu: bool,
        window_rows: Range<usize>,
        rows: usize,
        y: &mut RowsMut<'_>,
        scratch: &mut [f32],
    ) {
        self.assert_fits(shape);
        let inside = |windows: usize, outputs: usize| windows == 0 || windows <= outputs.div_ceil(2);
        assert!(inside(window_rows.end, shape.oh) && inside(columns, shape.ow), "windows {window_rows:?} x {columns}");
        assert!(y.rows() == shape.oc && y.row_len() == window_rows.len() * columns, "outputs of {window_rows:?}");
        let (pending, scratch) = scratch.split_at_mut(self.pending_len(shape, columns));
        let (scratch, v) = scratch.split_at_mut(self.block_scratch_len(shape, rows));
        let tile_rows = self.pooled_tile_rows(shape, &window_rows);
        for top in tile_rows.clone().step_by(rows) {
            let part = top..(top + rows).min(tile_rows.end);
            let v = &mut v[..self.v_len(shape, part.len())];
            let row = v.len() / self.points();
            let v_rows = RowsMut::new(v, self.points(), row, row);
            self.transform_input(shape, x, part.clone(), 0..self.channel_blocks(shape), v_rows, scratch);
            for block in self.blocks(shape) {
                let (bias, m, strip) = self.products(shape, &block, v, packed, part.len(), scratch);
                let padded = columns.next_multiple_of(self.lanes);
                let pending = &mut pending[block.first * padded..][..block.width * padded];
                let operands = output::Operands {
                    shape,
                    grid: self.grid(shape),
                    tile_rows: part.clone(),
                    m,
                    bias,
                    relu,
                    y: y.window(block.first..block.first + block.live, 0..window_rows.len() * columns),
                    strip,
                    pool: Some(output::Pool { rows: window_rows.clone(), columns, pending }),
                };
                // SAFETY: algorithms are handed out for a set that the CPU has.
                unsafe { (self.output)(operands) };
            }
        }
    }

    /// The rows of tiles that the rows `window_rows` of 3x3 windows of stride 2 take their elements from.
    pub fn pooled_tile_rows(&self, shape: &ConvShape, window_rows: &Range<usize>) -> Range<usize> {
        let end = (2 * window_rows.end + 1).min(shape.oh).div_ceil(self.m);
        (2 * window_rows.start / self.m).min(end)..end
    }

    /// Multiplies the transformed inputs `v` of the rows `tile_rows` of tiles, `[point][channel block][tile][LANES]`,
    /// with one block of `packed`, and transforms the products back. `y` has a row for each channel of the block and
    /// as columns the pixels of the output rows that those tiles cover.
    ///
    /// # Panics
    /// If the algorithm does not fit `shape`, tiles do not exist, the block is not one of [`Self::blocks`], or a length
    /// does not fit.
    #[expect(clippy::too_many_arguments, reason = "the operands of a convolution, its part, and scratch")]
    pub fn multiply_block(
        &self,
        shape: &ConvShape,
        block: &Block,
        v: &[f32],
        packed: &[f32],
        relu: bool,
        tile_rows: Range<usize>,
        y: RowsMut<'_>,
        scratch: &mut [f32],
    ) {
        let (bias, m, strip) = self.products(shape, block, v, packed, tile_rows.len(), scratch);
        self.transform_output(shape, tile_rows, m, bias, relu, y, strip);
    }

    /// The products of one block with `rows` rows of tiles, made in `scratch`: the block's biases, the products, and
    /// what is left of `scratch`.
    fn products<'a>(
        &self,
        shape: &ConvShape,
        block: &Block,
        v: &[f32],
        packed: &'a [f32],
        rows: usize,
        scratch: &'a mut [f32],
    ) -> (&'a [f32], &'a [f32], &'a mut [f32]) {
        let channels = self.channels(shape);
        let tiles = rows * self.grid(shape).columns;
        let len = self.points() * channels * block.width;
        let (u, bias) = packed[block.offset..][..len + block.width].split_at(len);
        let (strip, m) = scratch.split_at_mut(self.strip_len(shape).next_multiple_of(LINE));
        let m = &mut m[..self.points() * tiles * block.width];
        self.multiply(channels, tiles, v, u, block.width, m);
        (bias, m, strip)
    }

    /// One matrix product a point: `m`, `[point][tiles][width]`, from `v`, `[point][channel block][tiles][LANES]`, and
    /// a block's packed weights `u`, `[point][channel][width]`.
    ///
    /// # Panics
    /// If a length does not fit, or `width` is not a whole number of vectors up to `oc`.
    fn multiply(&self, channels: usize, tiles: usize, v: &[f32], u: &[f32], width: usize, m: &mut [f32]) {
        let length = |sizes: [usize; 4]| sizes.into_iter().try_fold(1_usize, usize::checked_mul);
        let points = self.points();
        assert!(width > 0 && width <= self.oc && width.is_multiple_of(self.lanes), "block width {width}");
        let blocks = channels.div_ceil(self.lanes);
        assert_eq!(Some(v.len()), length([points, blocks, tiles, self.lanes]), "transformed inputs");
        assert_eq!(Some(u.len()), length([points, channels, width, 1]), "transformed weights");
        assert_eq!(Some(m.len()), length([points, tiles, width, 1]), "products");
        // SAFETY: algorithms are handed out for a set that the CPU has.
        unsafe { (self.product)(product::Operands { points, channels, tiles, v, u, width, m }) };
    }

    /// Transforms the products `m`, `[point][tile][width]`, of the rows `tile_rows` of tiles back, adds `bias`,
    /// `[width]`, and stores. `y` has a row a channel, at most `width`, and as columns the pixels of the output rows
    /// that those tiles cover.
    ///
    /// # Panics
    /// If the algorithm does not fit `shape`, tiles do not exist, or a length does not fit.
    #[expect(clippy::too_many_arguments, reason = "three operands, their shape and part, and scratch")]
    fn transform_output(
        &self,
        shape: &ConvShape,
        tile_rows: Range<usize>,
        m: &[f32],
        bias: &[f32],
        relu: bool,
        y: RowsMut<'_>,
        strip: &mut [f32],
    ) {
        self.assert_fits(shape);
        let (grid, width) = (self.grid(shape), bias.len());
        assert!(tile_rows.start <= tile_rows.end && tile_rows.end <= grid.rows, "rows {tile_rows:?} of {grid:?}");
        assert!(width > 0 && width <= self.oc && width.is_multiple_of(self.lanes), "block width {width}");
        assert_eq!(m.len(), self.points() * tile_rows.len() * grid.columns * width, "products");
        assert!(y.rows() <= width, "{} channels of a block of {width}", y.rows());
        let rows = self.output_rows(shape, &tile_rows);
        assert_eq!(y.row_len(), rows.len() * shape.ow, "pixels of the output rows {rows:?}");
        assert!(strip.len() >= self.strip_len(shape), "strip of {}", strip.len());
        // SAFETY: algorithms are handed out for a set that the CPU has.
        unsafe { (self.output)(output::Operands { shape, grid, tile_rows, m, bias, relu, y, strip, pool: None }) };
    }

    /// The output rows that the rows `tile_rows` of tiles cover.
    pub fn output_rows(&self, shape: &ConvShape, tile_rows: &Range<usize>) -> Range<usize> {
        (tile_rows.start * self.m).min(shape.oh)..(tile_rows.end * self.m).min(shape.oh)
    }

    fn assert_fits(&self, shape: &ConvShape) {
        shape.assert_sizes();
        assert!(self.fits(shape), "{} does not compute {shape:?}", self.name);
    }
}

/// Every algorithm on `isa`.
pub fn algorithms(isa: Isa) -> &'static [Winograd] {
    tiles::of(isa).winograd
}
