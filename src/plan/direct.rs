//! A convolution by its definition, or several pointwise ones that share their input: tile by tile.

use std::ops::Range;

use googlenet_kernels::conv::{self, Block, ConvKernel, ConvShape, Tile};

use super::arena::Operands;

/// A convolution by its definition, or several that share their input, with the choices made for it.
#[derive(Clone, Debug)]
pub(super) struct DirectStep {
    /// The stack's shape: `oc` is the sum over its nodes.
    pub shape: ConvShape,
    pub kernel: ConvKernel,
    pub in_place: bool,
    pub reason: String,
    /// Blocks of channels, node after node.
    pub blocks: Vec<StackBlock>,
    /// Tiles whose panels are packed before the blocks are walked.
    pub group: usize,
}

/// A block of a stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct StackBlock {
    /// Which of the step's nodes it belongs to.
    pub node: usize,
    pub block: Block,
}

/// Bytes of panels that are packed at a time: a quarter of a 1 MiB L2 cache, beside a block's weights.
const GROUP_BYTES: usize = 256 * 1024;

/// How many tiles' panels fit beside a block's weights.
pub(super) fn group(kernel: &ConvKernel, shape: &ConvShape) -> usize {
    (GROUP_BYTES / (4 * kernel.px() * shape.steps())).clamp(1, shape.pixels().div_ceil(kernel.px()))
}

impl DirectStep {
    /// The stack of `shape` over outputs of `widths` channels.
    pub(super) fn new(shape: ConvShape, widths: &[usize], kernel: ConvKernel, in_place: bool, reason: String) -> Self {
        let mut offset = 0;
        let mut blocks = Vec::new();
        for (node, &oc) in widths.iter().enumerate() {
            for mut block in conv::blocks(&kernel, oc, shape.steps()) {
                block.offset += offset;
                blocks.push(StackBlock { node, block });
            }
            offset += conv::packed_len(&kernel, oc, shape.steps());
        }
        Self { shape, kernel, in_place, reason, blocks, group: group(&kernel, &shape) }
    }

    /// Tiles of pixels.
    pub(super) fn tiles(&self) -> usize {
        self.shape.pixels().div_ceil(self.kernel.px())
    }

    /// Elements from one panel of a group to the next.
    fn panel_stride(&self) -> usize {
        self.kernel.panel_len(&self.shape).next_multiple_of(16)
    }

    /// Elements of scratch.
    pub(super) fn scratch_len(&self) -> usize {
        let panels = if self.in_place { 1 } else { self.group };
        panels * self.panel_stride()
    }
}

/// The loop nest of `kernels/src/conv/mod.rs`, a group of tiles at a time: the tiles `part`, the blocks `blocks`.
pub(super) fn convolve(
    conv: &DirectStep,
    weights: &[f32],
    (part, blocks): (Range<usize>, Range<usize>),
    x: &[f32],
    operands: &mut Operands<'_>,
    scratch: &mut [f32],
) {
    let (shape, kernel, steps) = (&conv.shape, &conv.kernel, conv.shape.steps());
    let (px, pixels, plane) = (kernel.px(), shape.pixels(), shape.ih * shape.iw);
    let panel_stride = conv.panel_stride();
    let blocks = &conv.blocks[blocks];
    let packed = |block: &StackBlock| &weights[block.block.offset..][..block.block.width * (steps + 1)];
    let first_px = part.start * px;
    let mut tile = part.start;
    while tile < part.end {
        let group = tile..(tile + conv.group).min(part.end);
        for t in group.clone() {
            let live = px.min(pixels - t * px);
            if !conv.in_place {
                let panel = &mut scratch[(t - group.start) * panel_stride..][..panel_stride];
                kernel.pack_panel(shape, x, t * px, live, panel);
            } else if live < px {
                kernel.pack_panel(shape, x, t * px, live, &mut scratch[..panel_stride]);
            }
        }
        for (index, block) in blocks.iter().enumerate() {
            let (w, bias) = packed(block).split_at(block.block.width * steps);
            // While a block is computed the next one is fetched, a share by each tile.
            let next = blocks.get(index + 1).or(blocks.first()).map_or(&[][..], packed);
            let share = next.len().div_ceil(group.len());
            let y = operands.writes[block.node].as_mut().expect("a place for each node");
            // The task's place begins at the first of its blocks of this node.
            let first = blocks.iter().find(|b| b.node == block.node).map_or(0, |b| b.block.first);
            let rows = block.block.first - first..block.block.first - first + block.block.live;
            for (i, t) in group.clone().enumerate() {
                let live = px.min(pixels - t * px);
                let (x, x_step) = match (conv.in_place, live == px) {
                    (true, true) => (&x[t * px..], plane),
                    (true, false) => (&scratch[..panel_stride], px),
                    (false, _) => (&scratch[(t - group.start) * panel_stride..][..panel_stride], px),
                };
                let columns = t * px - first_px..t * px - first_px + live;
                let ahead = &next[(i * share).min(next.len())..((i + 1) * share).min(next.len())];
                kernel.run(Tile { x, x_step, w, bias, relu: true, y: y.window(rows.clone(), columns), ahead });
            }
        }
        tile = group.end;
    }
}
