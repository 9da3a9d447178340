//! What a schedule is made of: steps, and the tasks that they are cut into.

use std::ops::Range;

use googlenet_kernels::{average_pool, lrn, pool};

use super::direct::DirectStep;
use super::winograd::WinogradStep;
use crate::model::Graph;

/// A step: one or several nodes that run as one, or a part of one.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Indices of its nodes in the graph; several for stacked convolutions, or for one and the pool after it.
    pub nodes: Vec<usize>,
    pub phase: usize,
    pub kind: Kind,
    /// The buffer it reads: a tensor of the graph, or one that the plan adds.
    pub input: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Direct(DirectStep),
    /// A whole convolution in the transformed domain, perhaps with the pool after it.
    Winograd(WinogradStep),
    /// Its input transform alone, into the buffer `v`.
    WinogradInput {
        conv: WinogradStep,
        v: usize,
    },
    /// The rest of it, from that buffer.
    WinogradOutput(WinogradStep),
    MaxPool(pool::PoolShape),
    /// In place where nothing else needs the input; then both tensors are one buffer.
    Lrn {
        shape: lrn::LrnShape,
        in_place: bool,
    },
    AveragePool(average_pool::AveragePoolShape),
    GlobalAverage {
        plane: usize,
    },
    FullyConnected {
        relu: bool,
    },
    Softmax,
}

/// One task: which step, which part of it.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub step: usize,
    /// Tiles of pixels (direct convolution), rows of tiles or of windows or blocks of input channels (transformed),
    /// channels (pool, average, fully connected), pixels (normalisation).
    pub part: Range<usize>,
    /// Blocks of output channels of a convolution.
    pub blocks: Range<usize>,
}

impl Step {
    /// Its nodes whose outputs exist: of a convolution and a pool in one, the pool.
    pub(super) fn written(&self) -> &[usize] {
        match &self.kind {
            Kind::Winograd(WinogradStep { pool: Some(_), .. }) => &self.nodes[1..],
            _ => &self.nodes,
        }
    }

    /// Every buffer it reads or writes.
    pub(super) fn touches(&self, graph: &Graph) -> Vec<usize> {
        let written: Vec<usize> = match &self.kind {
            Kind::WinogradInput { v, .. } => vec![*v],
            _ => self.written().iter().map(|&node| graph.nodes[node].output.activation).collect(),
        };
        [self.input].into_iter().chain(written).collect()
    }

    /// Multiply-adds, as a measure of its work; 0 for what is not a convolution.
    pub(super) fn multiply_adds(&self) -> u64 {
        match &self.kind {
            Kind::Direct(conv) => conv.shape().multiply_adds(),
            Kind::Winograd(conv) | Kind::WinogradOutput(conv) => conv.multiply_adds(),
            _ => 0,
        }
    }

    /// Elements of scratch that a thread needs for it.
    pub(super) fn scratch_len(&self) -> usize {
        match &self.kind {
            Kind::Direct(conv) => conv.scratch_bytes() / size_of::<f32>(),
            Kind::Winograd(conv) => conv.scratch_bytes() / size_of::<f32>(),
            Kind::WinogradInput { conv, .. } | Kind::WinogradOutput(conv) => {
                conv.shared_scratch_bytes() / size_of::<f32>()
            }
            _ => 0,
        }
    }
}
