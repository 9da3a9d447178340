//! The loops of a convolution on narrow elements around its microkernels; they are [`crate::conv::Direct`]'s, on words, and
//! every tile has a panel.
//!
//! ```text
//! for group of tiles whose panels stay in the cache
//!   for tile of the group: gather panel
//!   for block of channels, of one convolution after the other      (its weights are read once for the group)
//!     for tile of the group: microkernel, which also asks for a share of the next block's weights
//! ```
//!
//! A task takes a range of tiles by a range of blocks; no sum depends on where the ranges end.

use core::ops::Range;

use super::pack::{of_bf16, of_byte};
use super::tile::Tile;
use super::{Arithmetic, Kernel, fits, is_pair_safe, words};
use crate::buffer::{bytes_of, cast, cast_mut, elements};
use crate::conv::{Block, ConvShape};
use crate::element::Element;
use crate::view::RowsMut;

/// A convolution by its definition on narrow elements, or several of one shape over one input, on one kernel.
#[derive(Clone, Debug)]
pub struct Direct {
    kernel: Kernel,
    shape: ConvShape,
    input: Element,
    outputs: Element,
    /// Words of the sum.
    words: usize,
    /// Tiles whose panels are gathered before the next block.
    group: usize,
    parts: Vec<Part>,
    blocks: Vec<StackBlock>,
}

/// One convolution of a stack.
#[derive(Clone, Debug)]
struct Part {
    oc: usize,
    /// Its share of the packed weights, in words.
    packed: Range<usize>,
}

/// A block of one of the convolutions; its offset counts from the first convolution's weights.
#[derive(Clone, Copy, Debug)]
struct StackBlock {
    part: usize,
    block: Block,
}

/// What a convolution reads, and where it works.
#[derive(Debug)]
pub struct Operands<'a> {
    /// The input, `[ic, ih, iw]`, the bytes of its elements and aligned as they are.
    pub x: &'a [u8],
    /// The packed weights, aligned as words.
    pub packed: &'a [u8],
    /// Whether negative sums become 0.
    pub relu: bool,
    /// At least the bytes that are asked for, aligned as words; their values do not matter.
    pub scratch: &'a mut [u8],
}

/// Panels begin at multiples of a cache line, in words.
const LINE: usize = 16;

impl Direct {
    /// The convolutions of `widths` output channels each, together `shape.oc`, on `kernel`, from `input` to `outputs`. A
    /// block is computed for as many tiles at a time as have their panels in `group_bytes`.
    ///
    /// # Panics
    /// If a size of `shape` is above [`crate::conv::MAX_SIZE`] or a buffer would be larger than memory, `widths` do not add
    /// up, or of bytes the input is none, or sums do not [fit](super::fits).
    pub fn new(
        kernel: Kernel,
        shape: ConvShape,
        widths: &[usize],
        input: Element,
        outputs: Element,
        group_bytes: usize,
    ) -> Self {
        shape.assert_sizes();
        let sum = widths.iter().try_fold(0_usize, |sum, &oc| sum.checked_add(oc));
        assert_eq!(sum, Some(shape.oc), "channels of {widths:?}");
        if kernel.arithmetic == Arithmetic::Int8 {
            assert!(input == Element::U8, "bytes are multiplied, not {}", input.name());
            assert!(fits(&shape), "sums of {shape:?} do not fit 32 bits");
        }
        let (mut parts, mut blocks, mut end) = (Vec::new(), Vec::new(), 0);
        // All offsets below are less than this.
        let _ = elements(&[widths.iter().map(|&oc| kernel.padded(oc)).sum(), kernel.column(&shape)]);
        for (part, &oc) in widths.iter().enumerate() {
            let own = kernel.blocks(oc, &shape).map(|block| Block { offset: end + block.offset, ..block });
            blocks.extend(own.map(|block| StackBlock { part, block }));
            let len = kernel.padded(oc) * kernel.column(&shape);
            parts.push(Part { oc, packed: end..end + len });
            end += len;
        }
        let words = words(&shape, kernel.arithmetic);
        let mut conv = Self { kernel, shape, input, outputs, words, group: 1, parts, blocks };
        conv.group = conv.tiles_at_once(group_bytes);
        // Scratch larger than memory is refused here and not in a run.
        let _ = conv.scratch_bytes();
        conv
    }

    /// The shape; its output channels are those of all convolutions.
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// The microkernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Words of the sum.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Tiles of pixels.
    pub fn tiles(&self) -> usize {
        self.shape.pixels().div_ceil(self.kernel.px)
    }

    /// Vectors of outputs that are computed, those of pixels and channels that do not exist included.
    pub fn vectors(&self) -> usize {
        let of_tile = |live: usize| -> usize {
            self.blocks.iter().map(|block| self.kernel.vectors(live, block.block.width)).sum()
        };
        let (pixels, px) = (self.shape.pixels(), self.kernel.px);
        pixels / px * of_tile(px) + if pixels.is_multiple_of(px) { 0 } else { of_tile(pixels % px) }
    }

    /// Whether panels are interleaved from whole vectors of bytes, which takes less time than to gather pixel by pixel.
    pub fn interleaves(&self) -> bool {
        self.kernel.interleaves(&self.shape)
    }

    /// How many tiles have their panels in `group_bytes`: at least one and at most all.
    pub fn tiles_at_once(&self, group_bytes: usize) -> usize {
        let panel = elements(&[size_of::<u32>(), self.kernel.px, self.kernel.panel_rows(&self.shape)]);
        (group_bytes / panel.max(1)).clamp(1, self.tiles().max(1))
    }

    /// Blocks of output channels, of one convolution after the other.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// How many channels each block computes, those that do not exist included. They name the layout of packed weights.
    pub fn block_widths(&self) -> Vec<usize> {
        self.blocks.iter().map(|block| block.block.width).collect()
    }

    /// Bytes of all convolutions' packed weights.
    pub fn packed_bytes(&self) -> usize {
        bytes_of(self.parts.last().map_or(0, |part| part.packed.end))
    }

    /// Packs convolution `part`'s bytes `[oc, ic, kh, kw]`, and by output channel its multipliers and biases, `[oc]` each,
    /// into its share of `packed`.
    ///
    /// # Panics
    /// If the kernel multiplies no bytes, there is no such convolution, a length does not fit, `packed` is not aligned as
    /// words are, or a filter is not [safe](is_pair_safe).
    pub fn pack_int8(&self, part: usize, w: &[i8], multipliers: &[f32], biases: &[f32], packed: &mut [u8]) {
        assert_eq!(self.kernel.arithmetic, Arithmetic::Int8, "weights of {}", self.kernel.name);
        let filters = || w.chunks_exact(self.shape.steps());
        assert!(filters().all(|q| is_pair_safe(&self.shape, q)), "a filter with pairs of more than 128");
        self.pack(part, w.len(), |i| of_byte(w[i]), &[multipliers, biases], packed);
    }

    /// Packs convolution `part`'s weights `[oc, ic, kh, kw]`, rounded to bf16, and biases `[oc]` into its share of `packed`.
    ///
    /// # Panics
    /// If the kernel multiplies no bf16, there is no such convolution, a length does not fit, or `packed` is not aligned as
    /// words are.
    pub fn pack_bf16(&self, part: usize, w: &[f32], biases: &[f32], packed: &mut [u8]) {
        assert_eq!(self.kernel.arithmetic, Arithmetic::Bf16, "weights of {}", self.kernel.name);
        self.pack(part, w.len(), |i| of_bf16(w[i]), &[biases], packed);
    }

    fn pack(&self, part: usize, len: usize, bits: impl Fn(usize) -> u32, tail: &[&[f32]], packed: &mut [u8]) {
        assert_eq!(packed.len(), self.packed_bytes(), "bytes of packed weights");
        let part = &self.parts[part];
        assert_eq!(len, part.oc * self.shape.steps(), "weights");
        assert!(tail.iter().all(|tail| tail.len() == part.oc), "multipliers and biases of {} channels", part.oc);
        let packed = &mut cast_mut(packed)[part.packed.clone()];
        self.kernel.pack_words(&ConvShape { oc: part.oc, ..self.shape }, bits, tail, packed);
    }

    /// Words from one panel of a group to the next.
    fn panel_stride(&self) -> usize {
        self.kernel.panel_len(&self.shape).next_multiple_of(LINE)
    }

    /// Bytes of scratch that [`Self::run`] needs.
    pub fn scratch_bytes(&self) -> usize {
        bytes_of(elements(&[self.group, self.panel_stride()]))
    }

    /// The channels of convolution `part`'s output that `blocks` make, perhaps none.
    ///
    /// # Panics
    /// If a block does not exist.
    pub fn channels(&self, part: usize, blocks: Range<usize>) -> Range<usize> {
        let mut own = self.blocks[blocks].iter().filter(|block| block.part == part).map(|block| block.block);
        let Some(first) = own.next() else { return 0..0 };
        let last = own.next_back().unwrap_or(first);
        first.first..last.first + last.live
    }

    /// The output pixels that `tiles` make.
    pub fn pixels(&self, tiles: Range<usize>) -> Range<usize> {
        let pixels = self.shape.pixels();
        (tiles.start * self.kernel.px).min(pixels)..(tiles.end * self.kernel.px).min(pixels)
    }

    /// Computes `tiles` of `blocks`. `y` has a window for each convolution that they make channels of, a row each of
    /// [`Self::channels`], in each the bytes of [`Self::pixels`].
    ///
    /// # Panics
    /// If tiles or blocks do not exist, a window is missing or of other sizes, a length does not fit, or bytes are not
    /// aligned as their elements are.
    pub fn run(
        &self,
        operands: Operands<'_>,
        tiles: Range<usize>,
        blocks: Range<usize>,
        y: &mut [Option<RowsMut<'_, u8>>],
    ) {
        let Operands { x, packed, relu, scratch } = operands;
        let (shape, kernel, words) = (&self.shape, &self.kernel, self.words);
        let (px, pixels, bytes) = (kernel.px, shape.pixels(), self.outputs.bytes());
        assert_eq!(packed.len(), self.packed_bytes(), "bytes of packed weights");
        assert!(scratch.len() >= self.scratch_bytes(), "{} bytes of scratch", scratch.len());
        assert!(tiles.start <= tiles.end && tiles.end <= self.tiles(), "tiles {tiles:?} of {}", self.tiles());
        let (packed, scratch) = (cast::<u32>(packed), cast_mut::<u32>(&mut scratch[..self.scratch_bytes()]));
        let own = self.pixels(tiles.clone());
        for part in 0..self.parts.len() {
            let channels = self.channels(part, blocks.clone()).len();
            let sizes = y.get(part).and_then(Option::as_ref).map(|y| (y.rows(), y.row_len()));
            let fits = channels == 0 || sizes == Some((channels, own.len() * bytes));
            assert!(fits, "outputs {sizes:?} of convolution {part}, for {channels} channels and pixels {own:?}");
        }
        let panel_stride = self.panel_stride();
        let blocks = &self.blocks[blocks];
        let packed = |block: &StackBlock| &packed[block.block.offset..][..block.block.width * kernel.column(shape)];
        let mut tile = tiles.start;
        while tile < tiles.end {
            let group = tile..(tile + self.group).min(tiles.end);
            for t in group.clone() {
                let panel = &mut scratch[(t - group.start) * panel_stride..][..panel_stride];
                kernel.gather(shape, self.input, x, t * px, px.min(pixels - t * px), panel);
            }
            for (index, block) in blocks.iter().enumerate() {
                // While a block is computed the next one is fetched, a share by each tile.
                let next = blocks.get(index + 1).or(blocks.first()).map_or(&[][..], packed);
                let share = next.len().div_ceil(group.len());
                let y = y[block.part].as_mut().expect("asserted above");
                // The window begins at the first block of this convolution.
                let first = blocks.iter().find(|b| b.part == block.part).map_or(0, |b| b.block.first);
                let rows = block.block.first - first..block.block.first - first + block.block.live;
                for (i, t) in group.clone().enumerate() {
                    let live = px.min(pixels - t * px);
                    let columns = (t * px - own.start) * bytes..(t * px - own.start + live) * bytes;
                    let ahead = &next[(i * share).min(next.len())..((i + 1) * share).min(next.len())];
                    let x = &scratch[i * panel_stride..][..panel_stride];
                    let (w, width, y) = (packed(block), block.block.width, y.window(rows.clone(), columns));
                    kernel.run(self.outputs, Tile { x, w, words, width, relu, y, ahead });
                }
            }
            tile = group.end;
        }
    }
}
