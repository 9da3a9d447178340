//! Makes every choice once: algorithms, phases, tasks, places.
//!
//! ```text
//! nodes -> steps      1x1 convolutions over one tensor become one step with several outputs;
//!                     a transformed convolution that all threads share becomes two steps with a buffer between,
//!                     another one and the max pool after it one step
//! steps -> phases     a step's phase is one more than that of whatever writes its input
//! phases -> lifetimes -> offsets
//! steps -> tasks      cut by pixels or by channels, for the threads there are (`tasks.rs`)
//! ```

use std::sync::Arc;

use googlenet_kernels::average_pool::{AveragePoolShape, Windows};
use googlenet_kernels::conv::ConvShape;
use googlenet_kernels::isa::Isa;
use googlenet_kernels::{lrn, pool};

use super::arena::{Access, MAX_WRITES};
use super::choose::{Algorithm, Choice, choose};
use super::direct::DirectStep;
use super::place::{Buffer, place};
use super::step::{Kind, Step, Task};
use super::tasks::{access, cut};
use super::winograd::WinogradStep;
use crate::model::{AverageWindows, Graph, MaxPool, Node, Op, Place};

/// Everything that is decided before the first run.
#[derive(Debug)]
pub(super) struct Layout {
    pub steps: Vec<Step>,
    /// By phase.
    pub tasks: Vec<Vec<Task>>,
    /// What each task touches; shared by all arenas.
    pub accesses: Arc<[Vec<Access>]>,
    /// Offset of each buffer in the arena: tensors of the graph, then those the plan adds; meaningless for the input.
    pub offsets: Vec<usize>,
    pub arena_len: usize,
    /// Elements of scratch that a thread needs.
    pub scratch_len: usize,
}

/// Lays out `graph` for `threads` threads that share each image; `keep` are tensors to be read after the run.
pub(super) fn layout(graph: &Graph, isa: Isa, threads: usize, keep: &[Place]) -> Layout {
    let (steps, added) = steps(graph, isa, threads, keep);
    let phases = 1 + steps.iter().map(|step| step.phase).max().expect("a network has layers");

    // Buffers come to life where they are first touched.
    let lengths = graph.activations.iter().map(|tensor| tensor.len()).chain(added);
    let mut buffers: Vec<Buffer> = lengths.map(|len| Buffer { len, first: usize::MAX, last: 0 }).collect();
    // The buffer that a tensor shares, or its own: that of the input it was normalised in.
    let mut shared: Vec<usize> = (0..buffers.len()).collect();
    for step in &steps {
        if matches!(step.kind, Kind::Lrn { in_place: true, .. }) {
            shared[graph.nodes[step.nodes[0]].output.activation] = shared[step.input];
        }
    }
    for step in &steps {
        for buffer in step.touches(graph) {
            let buffer = &mut buffers[shared[buffer]];
            (buffer.first, buffer.last) = (buffer.first.min(step.phase), buffer.last.max(step.phase));
        }
    }
    for place in keep {
        buffers[shared[place.activation]].last = phases;
    }
    buffers[0] = Buffer { len: 0, first: 0, last: 0 }; // the input lies outside the arena
    for (buffer, &shared) in shared.iter().enumerate() {
        if buffer != shared {
            buffers[buffer].len = 0;
        }
    }
    // What lies between a convolution and its fused pool is never touched.
    buffers.iter_mut().filter(|buffer| buffer.first == usize::MAX).for_each(|buffer| buffer.len = 0);
    let (places, arena_len) = place(&buffers);
    let offsets: Vec<usize> = shared.iter().map(|&buffer| places[buffer]).collect();

    let mut tasks = vec![Vec::new(); phases];
    let mut accesses = vec![Vec::new(); phases];
    // Expensive steps first, so that the last tasks of a phase are small ones.
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_unstable_by_key(|&i| (std::cmp::Reverse(steps[i].multiply_adds()), i));
    for index in order {
        let step = &steps[index];
        for task in cut(graph, index, step, threads) {
            accesses[step.phase].push(access(graph, &offsets, step, &task));
            tasks[step.phase].push(task);
        }
    }
    // Every session keeps these.
    tasks.iter_mut().for_each(Vec::shrink_to_fit);
    accesses.iter_mut().for_each(Vec::shrink_to_fit);
    let scratch_len = steps.iter().map(Step::scratch_len).max().unwrap_or(0);
    Layout { steps, tasks, accesses: accesses.into(), offsets, arena_len, scratch_len }
}

/// All steps, and the lengths of the buffers that they add to the graph's.
fn steps(graph: &Graph, isa: Isa, threads: usize, keep: &[Place]) -> (Vec<Step>, Vec<usize>) {
    // The phase after which each tensor is complete.
    let mut ready = vec![0; graph.activations.len()];
    let mut steps: Vec<Step> = Vec::new();
    let mut added = Vec::new();
    let mut taken = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        if taken[index] {
            continue;
        }
        let mut nodes = stack(graph, index);
        let (mut phase, mut input) = (ready[node.input.activation], node.input.activation);
        let mut kind = kind(graph, node, &nodes, isa);
        if let Kind::Winograd(conv) = &kind
            && conv.is_shared_by(threads)
        {
            let conv = conv.clone();
            let v = graph.activations.len() + added.len();
            added.push(conv.algorithm().points() * conv.v_row_len());
            kind = Kind::WinogradOutput(conv.clone());
            steps.push(Step { nodes: nodes.clone(), phase, kind: Kind::WinogradInput { conv, v }, input });
            (phase, input) = (phase + 1, v);
        }
        if let Kind::Winograd(conv) = &mut kind
            && let Some(pool) = fused_pool(graph, index, keep)
        {
            let windows = &graph.activations[graph.nodes[pool].output.activation];
            conv.fuse([windows.h, windows.w]);
            nodes.push(pool);
        }
        if let Kind::Lrn { in_place, .. } = &mut kind {
            let readers = graph.nodes.iter().filter(|node| node.input.activation == input).count();
            *in_place = input != 0 && readers == 1 && keep.iter().all(|place| place.activation != input);
        }
        for &node in &nodes {
            taken[node] = true;
            let output = graph.nodes[node].output.activation;
            ready[output] = ready[output].max(phase + 1);
        }
        steps.push(Step { nodes, phase, kind, input });
    }
    steps.shrink_to_fit();
    (steps, added)
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

/// The 3x3 max pool of stride 2 without leading padding that alone reads what the convolution `node` makes.
fn fused_pool(graph: &Graph, node: usize, keep: &[Place]) -> Option<usize> {
    let output = graph.nodes[node].output;
    let mut readers =
        (0..graph.nodes.len()).filter(|&reader| graph.nodes[reader].input.activation == output.activation);
    let (Some(reader), None) = (readers.next(), readers.next()) else { return None };
    let whole = output.channels == graph.activations[output.activation].c;
    let kept = keep.iter().any(|place| place.activation == output.activation);
    let (h, w) = (graph.activations[output.activation].h, graph.activations[output.activation].w);
    let unpadded = |pool: &MaxPool| (pool.leading(h), pool.leading(w)) == (0, 0);
    match &graph.nodes[reader].op {
        Op::MaxPool(pool) if whole && !kept && (pool.kernel, pool.stride) == (3, 2) && unpadded(pool) => Some(reader),
        _ => None,
    }
}

fn kind(graph: &Graph, node: &Node, nodes: &[usize], isa: Isa) -> Kind {
    let (x, y) = (&graph.activations[node.input.activation], &graph.activations[node.output.activation]);
    match &node.op {
        Op::Conv(shape) => convolution(graph, *shape, nodes, isa),
        Op::MaxPool(pool) => Kind::MaxPool(pool::PoolShape {
            ih: x.h,
            iw: x.w,
            oh: y.h,
            ow: y.w,
            kernel: pool.kernel,
            stride: pool.stride,
            pad_t: pool.leading(x.h),
            pad_l: pool.leading(x.w),
        }),
        Op::Lrn(lrn) => {
            let (c, plane) = (x.c, x.plane());
            let shape = lrn::LrnShape { c, plane, size: lrn.size, alpha: lrn.alpha, beta: lrn.beta, k: lrn.k };
            Kind::Lrn { shape, in_place: false }
        }
        Op::AveragePool(pool) => {
            let windows = match pool.windows {
                AverageWindows::Sliding { kernel, stride } => Windows::Sliding { kernel, stride, pad: 0 },
                AverageWindows::Adaptive(_) => Windows::Adaptive,
            };
            Kind::AveragePool(AveragePoolShape { ih: x.h, iw: x.w, oh: y.h, ow: y.w, windows })
        }
        Op::GlobalAverage => Kind::GlobalAverage { plane: x.plane() },
        Op::FullyConnected { relu } => Kind::FullyConnected { relu: *relu },
        Op::Softmax => Kind::Softmax,
    }
}

fn convolution(graph: &Graph, shape: ConvShape, nodes: &[usize], isa: Isa) -> Kind {
    let widths: Vec<usize> = nodes.iter().map(|&node| graph.nodes[node].output.channels).collect();
    let shape = ConvShape { oc: widths.iter().sum(), ..shape };
    let Choice { algorithm, reason } = choose(isa, &shape, &widths);
    match algorithm {
        Algorithm::Direct { kernel, in_place } => {
            Kind::Direct(DirectStep::new(shape, &widths, kernel, in_place, reason))
        }
        Algorithm::Winograd(form) => Kind::Winograd(WinogradStep::new(shape, form, reason)),
    }
}
