//! The loops of a convolution in the transformed domain, around its three kernels.
//!
//! ```text
//! for group of rows of tiles whose inputs and products stay in the cache
//!   transform the inputs of all channels                                                      -> v
//!   for block of output channels:  products with v  -> m;  transform m back, pool if asked, store
//! ```
//!
//! Where a map has too few rows of tiles to go round among threads, they share `v` instead: each transforms some blocks
//! of input channels of all tiles ([`Transformed::transform`]), and when all have, each makes some blocks of output
//! channels ([`Transformed::multiply`]). No sum depends on how the work is split.

use core::ops::Range;

use super::{Grid, LINE, Operands, Products, Winograd, filter, index, input, output, product};
use crate::buffer::{bytes_of, cast, cast_mut, elements};
use crate::conv::{Block, ConvShape};
use crate::element::{Bf16, Element};
use crate::view::RowsMut;

/// A convolution in the transformed domain, perhaps with the max pool that follows it.
#[derive(Clone, Debug)]
pub struct Transformed {
    algorithm: Winograd,
    shape: ConvShape,
    grid: Grid,
    blocks: Vec<Block>,
    /// Rows of tiles that are transformed before the blocks are walked.
    pub(super) rows: usize,
    input: Element,
    pub(super) output: Element,
    /// Rows and columns of windows, if a 3x3 max pool of stride 2 without padding takes the place of the store.
    pool: Option<[usize; 2]>,
}

/// One block of output channels of some rows of tiles, whose transformed inputs are there.
struct BlockTask<'a> {
    block: &'a Block,
    tile_rows: Range<usize>,
    /// `[point][channel block][tile][LANES]`.
    v: &'a [f32],
    packed: &'a [f32],
    relu: bool,
    y: RowsMut<'a, u8>,
    pool: Option<output::Pool<'a>>,
    /// [`Winograd::block_scratch_len`] elements.
    scratch: &'a mut [f32],
}

impl Transformed {
    /// The convolution of `shape` by `algorithm` from `input` to `output`, as many rows of tiles at a time as
    /// [`rows_at_once`](Winograd::rows_at_once) says.
    ///
    /// # Panics
    /// If the algorithm does not compute `shape` or take the elements, a size of it is above [`crate::conv::MAX_SIZE`], or a
    /// buffer would be larger than memory.
    pub fn new(algorithm: Winograd, shape: ConvShape, [input, output]: [Element; 2], group_bytes: usize) -> Self {
        shape.assert_sizes();
        let takes = algorithm.takes(input, output);
        assert!(takes, "{} does not go from {} to {}", algorithm.name, input.name(), output.name());
        assert!(algorithm.fits(&shape), "{} does not compute {shape:?}", algorithm.name);
        let _ = algorithm.packed_bytes(&shape); // offsets of blocks are less
        let (grid, blocks) = (algorithm.grid(&shape), algorithm.blocks(&shape).collect());
        let rows = algorithm.rows_at_once(&shape, group_bytes);
        let conv = Self { algorithm, shape, grid, blocks, rows, input, output, pool: None };
        // Buffers larger than memory are refused here and not in a run.
        let _ = (conv.scratch_bytes(), conv.shared_scratch_bytes(), conv.v_bytes());
        conv
    }

    /// The same with a 3x3 max pool of stride 2 without padding behind it, of `windows` rows and columns of windows,
    /// which may reach past the last row and column, as rounding up makes them. [`Self::run`] alone knows the pool; its
    /// results are those of the convolution and then a pool.
    ///
    /// # Panics
    /// If a window begins outside of the convolution's output.
    pub fn with_pool(mut self, windows: [usize; 2]) -> Self {
        let inside = |windows: usize, outputs: usize| windows <= outputs.div_ceil(2);
        let [rows, columns] = windows;
        assert!(inside(rows, self.shape.oh) && inside(columns, self.shape.ow), "{rows} x {columns} windows");
        self.pool = Some(windows);
        let _ = self.scratch_bytes();
        self
    }

    /// The shape of the convolution.
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// The algorithm.
    pub fn algorithm(&self) -> &Winograd {
        &self.algorithm
    }

    /// Rows of tiles.
    pub fn tile_rows(&self) -> usize {
        self.grid.rows
    }

    /// What [`Self::run`] can be split by: rows of windows with a pool, rows of tiles without.
    pub fn parts(&self) -> usize {
        self.pool.map_or(self.grid.rows, |[rows, _]| rows)
    }

    /// Blocks of output channels.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// How many channels each block computes, those that do not exist included. They name the layout of packed weights.
    pub fn block_widths(&self) -> Vec<usize> {
        self.blocks.iter().map(|block| block.width).collect()
    }

    /// Rows of tiles that are transformed at a time.
    pub fn rows_at_once(&self) -> usize {
        self.rows
    }

    /// Multiply-adds of the products.
    pub fn multiply_adds(&self) -> u64 {
        let tiles = (self.algorithm.points() * self.grid.rows * self.grid.columns) as u64;
        tiles * self.algorithm.channels(&self.shape) as u64 * self.shape.oc as u64
    }

    /// Blocks of input channels, which [`Self::transform`] can be split by.
    pub fn channel_blocks(&self) -> usize {
        self.algorithm.channel_blocks(&self.shape)
    }

    /// Bytes of one point's transformed inputs of one block of channels, for all tiles.
    pub fn v_block_bytes(&self) -> usize {
        bytes_of(self.grid.rows * self.grid.columns * self.algorithm.v_lanes())
    }

    /// Bytes of one point's transformed inputs, for all tiles: a block of channels after the other.
    pub fn v_row_bytes(&self) -> usize {
        self.channel_blocks() * self.v_block_bytes()
    }

    /// Bytes of all transformed inputs: a row for each of [`Winograd::points`].
    pub fn v_bytes(&self) -> usize {
        bytes_of(self.algorithm.v_len(&self.shape, self.grid.rows))
    }

    /// Bytes of the packed weights.
    pub fn packed_bytes(&self) -> usize {
        self.algorithm.packed_bytes(&self.shape)
    }

    /// Bytes of scratch that [`Self::run`] needs.
    pub fn scratch_bytes(&self) -> usize {
        bytes_of(self.pending_len() + self.algorithm.scratch_len(&self.shape, self.rows))
    }

    /// Bytes of scratch that [`Self::transform`] and [`Self::multiply`] need.
    pub fn shared_scratch_bytes(&self) -> usize {
        bytes_of(self.algorithm.block_scratch_len(&self.shape, self.grid.rows))
    }

    /// Elements of the row of windows that is not complete yet, of all channels.
    fn pending_len(&self) -> usize {
        let lanes = self.algorithm.lanes;
        self.pool.map_or(0, |[_, columns]| {
            elements(&[self.shape.oc.next_multiple_of(lanes), columns.next_multiple_of(lanes)])
        })
    }

    /// The rows of the convolution's output that the rows `tile_rows` of tiles cover.
    fn output_rows(&self, tile_rows: &Range<usize>) -> Range<usize> {
        let row = |tile_row: usize| (tile_row * self.algorithm.m).min(self.shape.oh);
        row(tile_rows.start)..row(tile_rows.end)
    }

    /// The pixels of the output, the pool's if there is one, that [`Self::run`] makes for `part`.
    pub fn pixels(&self, part: &Range<usize>) -> Range<usize> {
        let (rows, columns) = match self.pool {
            Some([_, columns]) => (part.clone(), columns),
            None => (self.output_rows(part), self.shape.ow),
        };
        rows.start * columns..rows.end * columns
    }

    /// The output channels that `blocks` make.
    ///
    /// # Panics
    /// If a block does not exist.
    pub fn channels(&self, blocks: Range<usize>) -> Range<usize> {
        let blocks = &self.blocks[blocks];
        blocks.first().map_or(0, |block| block.first)..blocks.last().map_or(0, |block| block.first + block.live)
    }

    /// Transforms weights `[oc, ic, kh, kw]` in f64 and packs them, each rounded once, with biases `[oc]`: for each
    /// block `[point][channel][width]` weights, in 16 bits words of two channels, in integers `[point][width]` scales, then
    /// `[width]` biases.
    ///
    /// # Panics
    /// If a length does not fit, or `packed` is not aligned as f32 are.
    pub fn pack(&self, w: &[f32], bias: &[f32], packed: &mut [u8]) {
        assert_eq!(w.len(), self.shape.oc * self.shape.steps(), "weights length");
        assert_eq!(bias.len(), self.shape.oc, "bias length");
        assert_eq!(packed.len(), self.packed_bytes(), "bytes of packed weights");
        let packed = cast_mut::<u32>(packed);
        packed.fill(0);
        let (channels, points) = (self.algorithm.channels(&self.shape), self.algorithm.points());
        let (steps, values) = (self.algorithm.steps(&self.shape), self.algorithm.products.values());
        let mut u = vec![0.0; points * channels];
        let (mut reach, mut q) = (vec![0.0; points], vec![0; channels]);
        (self.algorithm.reach)(&mut reach);
        for block in &self.blocks {
            let column = self.algorithm.column(&self.shape);
            let packed = &mut packed[block.offset..][..block.width * (column + 1)];
            let (weights, behind) = packed.split_at_mut(block.width * points * steps);
            let (scales, packed_bias) = behind.split_at_mut(block.width * (column - points * steps));
            for lane in 0..block.live {
                (self.algorithm.filter)(&self.shape, w, block.first + lane, &mut u);
                let mut rows = weights.chunks_exact_mut(block.width);
                for (point, u) in u.chunks_exact(channels).enumerate() {
                    if self.algorithm.products == Products::Integers {
                        scales[point * block.width + lane] = filter::quantise(u, reach[point], &mut q).to_bits();
                        q.chunks(values).zip(&mut rows).for_each(|(q, row)| row[lane] = of_i16(q));
                    } else {
                        u.chunks(values).zip(&mut rows).for_each(|(u, row)| {
                            row[lane] = match *u {
                                [u] if values == 1 => (u as f32).to_bits(),
                                [u] => of_bf16(u, 0.0),
                                [first, second] => of_bf16(first, second),
                                _ => unreachable!("a step has one channel or two"),
                            };
                        });
                    }
                }
                packed_bias[lane] = bias[block.first + lane].to_bits();
            }
        }
    }

    /// Computes the rows `part` of tiles or, with a pool, of windows. `y` has a row a channel and as columns
    /// [`Self::pixels`].
    ///
    /// # Panics
    /// If rows do not exist, a length does not fit, or bytes are not aligned as their elements are.
    pub fn run(&self, operands: Operands<'_>, part: Range<usize>, y: &mut RowsMut<'_, u8>) {
        let Operands { x, packed, relu, scratch } = operands;
        let (algorithm, shape) = (&self.algorithm, &self.shape);
        assert!(part.start <= part.end && part.end <= self.parts(), "rows {part:?} of {}", self.parts());
        let (own, bytes) = (self.pixels(&part), self.output.bytes());
        assert!(y.rows() == shape.oc && y.row_len() == own.len() * bytes, "outputs of rows {part:?}");
        let (packed, scratch) = (self.packed(packed), scratch_of(scratch, self.scratch_bytes()));
        let (pending, scratch) = scratch.split_at_mut(self.pending_len());
        let (scratch, v) = scratch.split_at_mut(algorithm.block_scratch_len(shape, self.rows));
        let tile_rows = if self.pool.is_some() { self.pooled_tile_rows(&part) } else { part.clone() };
        for top in tile_rows.clone().step_by(self.rows) {
            let rows = top..(top + self.rows).min(tile_rows.end);
            let v = &mut v[..algorithm.v_len(shape, rows.len())];
            let row = v.len() / algorithm.points();
            let v_rows = RowsMut::new(v, algorithm.points(), row, row);
            self.inputs(x, rows.clone(), 0..self.channel_blocks(), v_rows, scratch);
            for block in &self.blocks {
                let (pool, columns) = match self.pool {
                    Some([_, columns]) => {
                        let padded = columns.next_multiple_of(algorithm.lanes);
                        let pending = &mut pending[block.first * padded..][..block.width * padded];
                        (Some(output::Pool { rows: part.clone(), columns, pending }), 0..own.len())
                    }
                    None => {
                        let pixels = self.pixels(&rows);
                        (None, pixels.start - own.start..pixels.end - own.start)
                    }
                };
                let columns = columns.start * bytes..columns.end * bytes;
                let y = y.window(block.first..block.first + block.live, columns);
                self.block(BlockTask { block, tile_rows: rows.clone(), v, packed, relu, y, pool, scratch });
            }
        }
    }

    /// Transforms the inputs of all tiles and the channel blocks `blocks` of `x`, `[ic, ih, iw]`. `v` has a row a
    /// point, which holds `[block][tile][LANES]` of those blocks; `scratch` has [`Self::shared_scratch_bytes`].
    ///
    /// # Panics
    /// If a block does not exist, a length does not fit, or bytes are not aligned as their elements are.
    pub fn transform(&self, x: &[u8], blocks: Range<usize>, v: RowsMut<'_>, scratch: &mut [u8]) {
        let strip = scratch_of(scratch, self.shared_scratch_bytes());
        self.inputs(x, 0..self.grid.rows, blocks, v, strip);
    }

    /// Computes the blocks `blocks` of output channels from the transformed inputs of all tiles, which
    /// [`Self::transform`] left in `operands.x`. `y` has a row for each of [`Self::channels`], the bytes of all pixels; the
    /// scratch has [`Self::shared_scratch_bytes`].
    ///
    /// # Panics
    /// If there is a pool, a block does not exist, a length does not fit, or bytes are not aligned as their elements are.
    pub fn multiply(&self, operands: Operands<'_>, blocks: Range<usize>, y: &mut RowsMut<'_, u8>) {
        let Operands { x: v, packed, relu, scratch } = operands;
        let v = cast::<f32>(v);
        assert!(self.pool.is_none(), "a pool has windows across blocks of rows");
        let (channels, pixels) = (self.channels(blocks.clone()), self.shape.pixels() * self.output.bytes());
        assert!(y.rows() == channels.len() && y.row_len() == pixels, "outputs of channels {channels:?}");
        let (packed, scratch) = (self.packed(packed), scratch_of(scratch, self.shared_scratch_bytes()));
        for block in &self.blocks[blocks] {
            let first = block.first - channels.start;
            let y = y.window(first..first + block.live, 0..pixels);
            self.block(BlockTask { block, tile_rows: 0..self.grid.rows, v, packed, relu, y, pool: None, scratch });
        }
    }

    fn packed<'a>(&self, packed: &'a [u8]) -> &'a [f32] {
        assert_eq!(packed.len(), self.packed_bytes(), "bytes of packed weights");
        cast(packed)
    }

    /// The rows of tiles that the rows `window_rows` of windows take their elements from.
    fn pooled_tile_rows(&self, window_rows: &Range<usize>) -> Range<usize> {
        let end = (2 * window_rows.end + 1).min(self.shape.oh).div_ceil(self.algorithm.m);
        (2 * window_rows.start / self.algorithm.m).min(end)..end
    }

    /// The input transform of the rows `tile_rows` of tiles and the channel blocks `blocks`; asserts what the kernel
    /// relies on.
    fn inputs(&self, x: &[u8], tile_rows: Range<usize>, blocks: Range<usize>, v: RowsMut<'_>, strip: &mut [f32]) {
        let (algorithm, shape, grid) = (&self.algorithm, &self.shape, self.grid);
        assert_eq!(x.len(), shape.ic * shape.ih * shape.iw * self.input.bytes(), "bytes of the input");
        assert!(tile_rows.start <= tile_rows.end && tile_rows.end <= grid.rows, "rows {tile_rows:?} of {grid:?}");
        assert!(blocks.start <= blocks.end && blocks.end <= self.channel_blocks(), "channel blocks {blocks:?}");
        assert_eq!(v.rows(), algorithm.points(), "points");
        let row = blocks.len() * tile_rows.len() * grid.columns * algorithm.v_lanes();
        assert_eq!(v.row_len(), row, "a point's length");
        assert!(strip.len() >= algorithm.strip_len(shape), "strip of {}", strip.len());
        // SAFETY: algorithms are handed out for a set, and an extension, that the CPU has; the lengths that they rely on are
        // asserted above.
        unsafe { self.enter_input()(input::Operands { shape, grid, x, tile_rows, blocks, v, strip }) };
    }

    /// The products of one block, `m`, `[point][tile][width]`, from `v` and the block's packed weights, `[point]
    /// [channel][width]`, one matrix product a point; then the output transform. Asserts what the kernels rely on.
    fn block(&self, task: BlockTask<'_>) {
        let BlockTask { block, tile_rows, v, packed, relu, y, pool, scratch } = task;
        let (algorithm, shape, grid) = (&self.algorithm, &self.shape, self.grid);
        let (points, channels, width) = (algorithm.points(), algorithm.channels(shape), block.width);
        let tiles = tile_rows.len() * grid.columns;
        assert_eq!(v.len(), algorithm.v_len(shape, tile_rows.len()), "transformed inputs");
        let column = algorithm.column(shape);
        let (u, behind) =
            packed[block.offset..][..width * (column + 1)].split_at(width * points * algorithm.steps(shape));
        let (scales, bias) = behind.split_at(behind.len() - width);
        let (strip, m) = scratch.split_at_mut(algorithm.strip_len(shape).next_multiple_of(LINE));
        let m = &mut m[..points * tiles * width];
        // SAFETY: algorithms are handed out for a set, and an extension, that the CPU has; the lengths that they rely on are
        // asserted above.
        unsafe { (algorithm.product)(product::Operands { points, channels, tiles, v, u, width, m }) };
        assert!(y.rows() <= width, "{} channels of a block of {width}", y.rows());
        if pool.is_none() {
            let rows = self.output_rows(&tile_rows);
            assert_eq!(y.row_len(), rows.len() * shape.ow * self.output.bytes(), "pixels of the output rows {rows:?}");
        }
        // SAFETY: algorithms are handed out for a set, and an extension, that the CPU has; the lengths that they rely on are
        // asserted above, and with a pool `run` asserted the outputs.
        unsafe {
            self.enter_output()(output::Operands { shape, grid, tile_rows, m, scales, bias, relu, y, strip, pool })
        };
    }

    fn enter_input(&self) -> unsafe fn(input::Operands<'_>) {
        self.algorithm.input[index(self.input)].expect("`new` asserts that the algorithm takes it")
    }

    fn enter_output(&self) -> unsafe fn(output::Operands<'_>) {
        self.algorithm.output[index(self.output)].expect("`new` asserts that the algorithm takes it")
    }
}

/// The first `bytes` bytes of scratch, as f32.
fn scratch_of(scratch: &mut [u8], bytes: usize) -> &mut [f32] {
    assert!(scratch.len() >= bytes, "{} bytes of scratch, of {bytes}", scratch.len());
    cast_mut(&mut scratch[..bytes])
}

/// One or two filters of 16 bits as a word, the first in its lower half.
fn of_i16(filters: &[i16]) -> u32 {
    filters.iter().rev().fold(0, |word, &q| word << 16 | u32::from(q.cast_unsigned()))
}

/// Two filters of bf16 as a word, the first in its lower half.
fn of_bf16(first: f64, second: f64) -> u32 {
    let [first, second] = [first, second].map(|u| u32::from(Bf16::from_f32(u as f32).0));
    second << 16 | first
}
