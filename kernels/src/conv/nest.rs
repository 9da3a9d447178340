//! The loops of a convolution by its definition, around the microkernels: for one convolution, or for several that
//! share their input and are one stack of output channels.
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

use super::pack::Block;
use super::{ConvKernel, ConvShape, Tile};
use crate::buffer::{bytes_of, cast, cast_mut, elements};
use crate::view::RowsMut;

/// A convolution by its definition, or several of one shape over one input, on one kernel.
#[derive(Clone, Debug)]
pub struct Direct {
    kernel: ConvKernel,
    shape: ConvShape,
    in_place: bool,
    /// Tiles whose panels are gathered, or that are read in place, before the next block.
    group: usize,
    parts: Vec<Part>,
    blocks: Vec<StackBlock>,
}

/// One convolution of a stack.
#[derive(Clone, Debug)]
struct Part {
    oc: usize,
    /// Its share of the packed weights, in elements.
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
    /// The input, `[ic, ih, iw]`.
    pub x: &'a [f32],
    /// The packed weights and biases, aligned as f32.
    pub packed: &'a [u8],
    /// Whether negative sums become 0.
    pub relu: bool,
    /// At least the bytes that are asked for, aligned as f32; their values do not matter.
    pub scratch: &'a mut [u8],
}

/// Panels begin at multiples of a cache line, in elements.
const LINE: usize = 16;

impl Direct {
    /// The convolutions of `widths` output channels each, together `shape.oc`, on `kernel`. Whole tiles are read where
    /// the input lies if `in_place`. A block is computed for as many tiles at a time as have their inputs in
    /// `group_bytes`.
    ///
    /// # Panics
    /// If a size of `shape` is above [`super::MAX_SIZE`] or a buffer would be larger than memory, `widths` do not add
    /// up, or `in_place` and `shape` is not pointwise.
    pub fn new(kernel: ConvKernel, shape: ConvShape, widths: &[usize], in_place: bool, group_bytes: usize) -> Self {
        shape.assert_sizes();
        let sum = widths.iter().try_fold(0_usize, |sum, &oc| sum.checked_add(oc));
        assert_eq!(sum, Some(shape.oc), "channels of {widths:?}");
        assert!(shape.is_pointwise() || !in_place, "{shape:?} cannot be read in place");
        let steps = shape.steps();
        let (mut parts, mut blocks, mut end) = (Vec::new(), Vec::new(), 0);
        // All offsets below are less than this.
        let _ = elements(&[widths.iter().map(|&oc| kernel.padded(oc)).sum(), steps + 1]);
        for (part, &oc) in widths.iter().enumerate() {
            let own = kernel.blocks(oc, steps).map(|block| Block { offset: end + block.offset, ..block });
            blocks.extend(own.map(|block| StackBlock { part, block }));
            parts.push(Part { oc, packed: end..end + kernel.padded(oc) * (steps + 1) });
            end += kernel.padded(oc) * (steps + 1);
        }
        let group = kernel.tiles_at_once(&shape, group_bytes);
        let conv = Self { kernel, shape, in_place, group, parts, blocks };
        // Scratch larger than memory is refused here and not in a run.
        let _ = conv.scratch_bytes();
        conv
    }

    /// The shape; its output channels are those of all convolutions.
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// The microkernel.
    pub fn kernel(&self) -> &ConvKernel {
        &self.kernel
    }

    /// Tiles of pixels.
    pub fn tiles(&self) -> usize {
        self.shape.pixels().div_ceil(self.kernel.px)
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
        bytes_of(self.packed_len())
    }

    fn packed_len(&self) -> usize {
        self.parts.last().map_or(0, |part| part.packed.end)
    }

    /// Packs convolution `part`'s weights `[oc, ic, kh, kw]` and biases `[oc]` into its share of `packed`.
    ///
    /// # Panics
    /// If there is no such convolution, a length does not fit, or `packed` is not aligned as f32 are.
    pub fn pack(&self, part: usize, w: &[f32], bias: &[f32], packed: &mut [u8]) {
        assert_eq!(packed.len(), self.packed_bytes(), "bytes of packed weights");
        let part = &self.parts[part];
        let packed = &mut cast_mut(packed)[part.packed.clone()];
        self.kernel.pack_weights(&ConvShape { oc: part.oc, ..self.shape }, w, bias, packed);
    }

    /// Panels of a group: of what is read in place only the map's last tile, cut short, has one.
    fn panels(&self) -> usize {
        if self.in_place { 1 } else { self.group }
    }

    /// Elements from one panel of a group to the next.
    fn panel_stride(&self) -> usize {
        self.kernel.panel_len(&self.shape).next_multiple_of(LINE)
    }

    /// Bytes of scratch that [`Self::run`] needs.
    pub fn scratch_bytes(&self) -> usize {
        bytes_of(elements(&[self.panels(), self.panel_stride()]))
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
    /// [`Self::channels`], a column each of [`Self::pixels`].
    ///
    /// # Panics
    /// If tiles or blocks do not exist, a window is missing or of other sizes, a length does not fit, or bytes are not
    /// aligned as f32 are.
    pub fn run(
        &self,
        operands: Operands<'_>,
        tiles: Range<usize>,
        blocks: Range<usize>,
        y: &mut [Option<RowsMut<'_>>],
    ) {
        let Operands { x, packed, relu, scratch } = operands;
        let (shape, kernel, steps) = (&self.shape, &self.kernel, self.shape.steps());
        let (px, pixels, plane) = (kernel.px, shape.pixels(), shape.ih * shape.iw);
        assert_eq!(x.len(), shape.ic * plane, "input length");
        assert_eq!(packed.len(), self.packed_bytes(), "bytes of packed weights");
        assert!(scratch.len() >= self.scratch_bytes(), "{} bytes of scratch", scratch.len());
        assert!(tiles.start <= tiles.end && tiles.end <= self.tiles(), "tiles {tiles:?} of {}", self.tiles());
        let (packed, scratch) = (cast::<f32>(packed), cast_mut::<f32>(&mut scratch[..self.scratch_bytes()]));
        let own = self.pixels(tiles.clone());
        for part in 0..self.parts.len() {
            let channels = self.channels(part, blocks.clone()).len();
            let sizes = y.get(part).and_then(Option::as_ref).map(|y| (y.rows(), y.row_len()));
            let fits = channels == 0 || sizes == Some((channels, own.len()));
            assert!(fits, "outputs {sizes:?} of convolution {part}, for {channels} channels and pixels {own:?}");
        }
        let panel_stride = self.panel_stride();
        let panel = |i: usize| if self.in_place { 0 } else { i * panel_stride };
        let blocks = &self.blocks[blocks];
        let packed = |block: &StackBlock| &packed[block.block.offset..][..block.block.width * (steps + 1)];
        let mut tile = tiles.start;
        while tile < tiles.end {
            let group = tile..(tile + self.group).min(tiles.end);
            for t in group.clone() {
                let live = px.min(pixels - t * px);
                if !self.in_place || live < px {
                    let panel = &mut scratch[panel(t - group.start)..][..panel_stride];
                    kernel.gather(shape, x, t * px, live, panel);
                }
            }
            for (index, block) in blocks.iter().enumerate() {
                let (w, bias) = packed(block).split_at(block.block.width * steps);
                // While a block is computed the next one is fetched, a share by each tile.
                let next = blocks.get(index + 1).or(blocks.first()).map_or(&[][..], packed);
                let share = next.len().div_ceil(group.len());
                let y = y[block.part].as_mut().expect("asserted above");
                // The window begins at the first block of this convolution.
                let first = blocks.iter().find(|b| b.part == block.part).map_or(0, |b| b.block.first);
                let rows = block.block.first - first..block.block.first - first + block.block.live;
                for (i, t) in group.clone().enumerate() {
                    let live = px.min(pixels - t * px);
                    let (x, x_step) = if self.in_place && live == px {
                        (&x[t * px..], plane)
                    } else {
                        (&scratch[panel(i)..][..panel_stride], px)
                    };
                    let columns = t * px - own.start..t * px - own.start + live;
                    let ahead = &next[(i * share).min(next.len())..((i + 1) * share).min(next.len())];
                    kernel.run(Tile { x, x_step, w, bias, relu, y: y.window(rows.clone(), columns), ahead });
                }
            }
            tile = group.end;
        }
    }
}
