//! Makes every choice once: kernels, packing, phases, tasks, places.
//!
//! ```text
//! nodes -> steps      1x1 convolutions over one tensor become one step with several outputs
//! steps -> phases     a step's phase is one more than that of whatever writes its input
//! phases -> lifetimes -> offsets
//! steps -> tasks      cut by pixels or by channels, for the threads there are
//! ```

use std::ops::Range;

use googlenet_kernels::conv::{self, Block, ConvKernel, ConvShape};
use googlenet_kernels::isa::Isa;
use googlenet_kernels::{lrn, pool};

use super::arena::{Access, MAX_WRITES, Region};
use super::choose::{Choice, choose};
use super::place::{Buffer, place};
use crate::model::{Graph, Node, Op, Place, Tensor};

/// A step: one or several nodes that run as one.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Indices of its nodes in the graph; several for stacked convolutions.
    pub nodes: Vec<usize>,
    pub phase: usize,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Conv(ConvStep),
    MaxPool(pool::PoolShape),
    Lrn(lrn::LrnShape),
    GlobalAverage { plane: usize },
    FullyConnected,
    Softmax,
}

/// A convolution, or several that share their input, with the choices made for it.
#[derive(Clone, Debug)]
pub(super) struct ConvStep {
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

/// One task: which step, which part of it.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub step: usize,
    /// Tiles of pixels (convolution), channels (pool, average, fully connected), pixels (normalisation).
    pub part: Range<usize>,
    /// Blocks of channels of a convolution.
    pub blocks: Range<usize>,
}

/// Everything that is decided before the first run.
#[derive(Debug)]
pub(super) struct Layout {
    pub steps: Vec<Step>,
    /// By phase.
    pub tasks: Vec<Vec<Task>>,
    pub accesses: Vec<Vec<Access>>,
    /// Offset of each tensor of the graph in the arena; meaningless for the input.
    pub offsets: Vec<usize>,
    pub arena_len: usize,
    /// Elements of scratch that a thread needs.
    pub scratch_len: usize,
}

/// Bytes of panels that are packed at a time: a quarter of a 1 MiB L2 cache, beside a block's weights.
const GROUP_BYTES: usize = 256 * 1024;

/// Lays out `graph` for `threads` threads that share each image; `keep` are tensors to be read after the run.
pub(super) fn layout(graph: &Graph, isa: Isa, threads: usize, keep: &[Place]) -> Layout {
    let steps = steps(graph, isa);
    let phases = 1 + steps.iter().map(|step| step.phase).max().expect("a network has layers");

    // Tensors come to life where they are first touched.
    let untouched = |tensor: &Tensor| Buffer { len: tensor.len(), first: usize::MAX, last: 0 };
    let mut buffers: Vec<Buffer> = graph.tensors.iter().map(untouched).collect();
    for step in &steps {
        for &node in &step.nodes {
            let node = &graph.nodes[node];
            for tensor in [node.input, node.output.tensor] {
                let buffer = &mut buffers[tensor];
                (buffer.first, buffer.last) = (buffer.first.min(step.phase), buffer.last.max(step.phase));
            }
        }
    }
    for place in keep {
        buffers[place.tensor].last = phases;
    }
    buffers[0] = Buffer { len: 0, first: 0, last: 0 }; // the input lies outside the arena
    let (offsets, arena_len) = place(&buffers);

    let mut tasks = vec![Vec::new(); phases];
    let mut accesses = vec![Vec::new(); phases];
    let mut scratch_len = 0;
    // Expensive steps first, so that the last tasks of a phase are small ones.
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(steps[i].multiply_adds()));
    for index in order {
        let step = &steps[index];
        if let Kind::Conv(conv) = &step.kind {
            scratch_len = scratch_len.max(conv.scratch_len());
        }
        for task in cut(graph, index, step, threads) {
            accesses[step.phase].push(access(graph, &offsets, step, &task));
            tasks[step.phase].push(task);
        }
    }
    Layout { steps, tasks, accesses, offsets, arena_len, scratch_len }
}

impl Step {
    fn multiply_adds(&self) -> u64 {
        match &self.kind {
            Kind::Conv(conv) => conv.shape.multiply_adds(),
            _ => 0,
        }
    }
}

impl ConvStep {
    /// Tiles of pixels.
    pub fn tiles(&self) -> usize {
        self.shape.pixels().div_ceil(self.kernel.px)
    }

    /// Elements from one panel of a group to the next.
    pub fn panel_stride(&self) -> usize {
        self.kernel.panel_len(&self.shape).next_multiple_of(16)
    }

    fn scratch_len(&self) -> usize {
        let panels = if self.in_place { 1 } else { self.group };
        panels * self.panel_stride()
    }
}

fn steps(graph: &Graph, isa: Isa) -> Vec<Step> {
    // The phase after which each tensor is complete.
    let mut ready = vec![0; graph.tensors.len()];
    let mut steps: Vec<Step> = Vec::new();
    let mut taken = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        if taken[index] {
            continue;
        }
        let phase = ready[node.input];
        let nodes = stack(graph, index);
        for &node in &nodes {
            taken[node] = true;
            let output = graph.nodes[node].output.tensor;
            ready[output] = ready[output].max(phase + 1);
        }
        let kind = kind(graph, node, &nodes, isa);
        steps.push(Step { nodes, phase, kind });
    }
    steps
}

/// The nodes that run with `first`: pointwise convolutions of the same input, at most as many as a task may write to.
fn stack(graph: &Graph, first: usize) -> Vec<usize> {
    let pointwise = |node: &Node| matches!(&node.op, Op::Conv(shape) if shape.is_pointwise());
    let input = graph.nodes[first].input;
    if !pointwise(&graph.nodes[first]) {
        return vec![first];
    }
    let together = |&i: &usize| graph.nodes[i].input == input && pointwise(&graph.nodes[i]);
    (first..graph.nodes.len()).filter(together).take(MAX_WRITES).collect()
}

fn kind(graph: &Graph, node: &Node, nodes: &[usize], isa: Isa) -> Kind {
    let (x, y) = (&graph.tensors[node.input], &graph.tensors[node.output.tensor]);
    match &node.op {
        Op::Conv(shape) => Kind::Conv(conv_step(graph, *shape, nodes, isa)),
        Op::MaxPool(pool) => Kind::MaxPool(pool::PoolShape {
            ih: x.h,
            iw: x.w,
            oh: y.h,
            ow: y.w,
            kernel: pool.kernel,
            stride: pool.stride,
            pad_t: pool.pad,
            pad_l: pool.pad,
        }),
        Op::Lrn(lrn) => Kind::Lrn(lrn::LrnShape {
            c: x.c,
            plane: x.plane(),
            size: lrn.size,
            alpha: lrn.alpha,
            beta: lrn.beta,
            k: lrn.k,
        }),
        Op::GlobalAverage => Kind::GlobalAverage { plane: x.plane() },
        Op::FullyConnected => Kind::FullyConnected,
        Op::Softmax => Kind::Softmax,
    }
}

fn conv_step(graph: &Graph, shape: ConvShape, nodes: &[usize], isa: Isa) -> ConvStep {
    let widths: Vec<usize> = nodes.iter().map(|&node| graph.nodes[node].output.channels).collect();
    let shape = ConvShape { oc: widths.iter().sum(), ..shape };
    let Choice { kernel, in_place, reason } = choose(isa, &shape, &widths);
    let mut offset = 0;
    let mut blocks = Vec::new();
    for (node, &oc) in widths.iter().enumerate() {
        for mut block in conv::blocks(&kernel, oc, shape.steps()) {
            block.offset += offset;
            blocks.push(StackBlock { node, block });
        }
        offset += conv::packed_len(&kernel, oc, shape.steps());
    }
    let group = (GROUP_BYTES / (4 * kernel.px * shape.steps())).clamp(1, shape.pixels().div_ceil(kernel.px));
    ConvStep { shape, kernel, in_place, reason, blocks, group }
}

/// Cuts a step into tasks. Where a cut leaves less than some ten microseconds of work, it is not made.
fn cut(graph: &Graph, index: usize, step: &Step, threads: usize) -> Vec<Task> {
    let whole = |n: usize, pieces: usize| -> Vec<Range<usize>> {
        let pieces = pieces.clamp(1, n);
        (0..pieces).map(|i| i * n / pieces..(i + 1) * n / pieces).collect()
    };
    let y = &graph.tensors[graph.nodes[step.nodes[0]].output.tensor];
    let pieces = |n: usize, elements: usize| {
        let pieces = if threads == 1 { 1 } else { (elements / 16_384).clamp(1, 4 * threads) };
        let parts = whole(n, pieces).into_iter();
        parts.map(|part| Task { step: index, part, blocks: 0..0 }).collect()
    };
    match &step.kind {
        Kind::Conv(conv) => {
            let (tiles, blocks) = (conv.tiles(), conv.blocks.len());
            // Each piece streams all weights if pixels are cut, packs or reads all inputs if channels are.
            let weights = conv.shape.steps() * conv.shape.oc;
            let inputs = conv.shape.steps() * conv.shape.pixels();
            let most = (conv.shape.multiply_adds() / 500_000).clamp(1, 6 * threads as u64) as usize;
            let (by_tiles, by_blocks) = if threads == 1 {
                (1, 1)
            } else if weights > 3 * inputs {
                (most.div_ceil(blocks).min(2), most.min(blocks))
            } else {
                let by_tiles = most.min(tiles);
                (by_tiles, most.div_ceil(by_tiles).min(2))
            };
            let mut tasks = Vec::new();
            for part in whole(tiles, by_tiles) {
                for blocks in whole(blocks, by_blocks) {
                    tasks.push(Task { step: index, part: part.clone(), blocks });
                }
            }
            tasks
        }
        Kind::Lrn(shape) => pieces(shape.plane, y.len()),
        Kind::MaxPool(_) | Kind::GlobalAverage { .. } => pieces(y.c, y.len() * 4),
        Kind::FullyConnected => pieces(y.c, y.c * graph.tensors[graph.nodes[step.nodes[0]].input].len() / 8),
        Kind::Softmax => vec![Task { step: index, part: 0..y.c, blocks: 0..0 }],
    }
}

/// What a task reads and writes.
fn access(graph: &Graph, offsets: &[usize], step: &Step, task: &Task) -> Access {
    let input = graph.nodes[step.nodes[0]].input;
    let x = &graph.tensors[input];
    let (mut first, mut read_len) = (0, x.len());
    let region = |place: Place, channels: Range<usize>, pixels: Range<usize>| {
        let plane = graph.tensors[place.tensor].plane();
        let offset = offsets[place.tensor] + (place.channel + channels.start) * plane + pixels.start;
        Region { offset, rows: channels.len(), len: pixels.len(), stride: plane }
    };
    let output = |node: usize| graph.nodes[step.nodes[node]].output;
    let part = task.part.clone();
    let writes = match &step.kind {
        Kind::Conv(conv) => {
            let pixels = part.start * conv.kernel.px..(part.end * conv.kernel.px).min(conv.shape.pixels());
            let blocks = &conv.blocks[task.blocks.clone()];
            (0..step.nodes.len())
                .map(|node| {
                    let own = || blocks.iter().filter(|b| b.node == node).map(|b| b.block);
                    let start = own().map(|b| b.first).min().unwrap_or(0);
                    let end = own().map(|b| b.first + b.live).max().unwrap_or(0);
                    region(output(node), start..end, pixels.clone())
                })
                .collect()
        }
        Kind::Lrn(_) => vec![region(output(0), 0..x.c, part)],
        Kind::MaxPool(_) | Kind::GlobalAverage { .. } => {
            (first, read_len) = (part.start * x.plane(), part.len() * x.plane());
            let plane = graph.tensors[output(0).tensor].plane();
            let y = region(output(0), part, 0..plane);
            // Whole planes are one row: the kernel takes a slice.
            vec![Region { offset: y.offset, rows: 1, len: y.rows * plane, stride: y.rows * plane }]
        }
        Kind::FullyConnected | Kind::Softmax => {
            vec![Region {
                offset: offsets[output(0).tensor] + part.start,
                rows: 1,
                len: part.len(),
                stride: part.len(),
            }]
        }
    };
    let read = (input != 0).then(|| offsets[input] + first..offsets[input] + first + read_len);
    Access { read, writes }
}
