//! What a plan results in: immutable, shared by sessions of one model with equal options, on any number of machines'
//! threads.

use std::ops::Range;
use std::sync::Arc;

use googlenet_kernels::element::{Bf16, Element};
use googlenet_kernels::isa::Isa;

use super::Precision;
use super::build::Formats;
use super::memory::{Accesses, Buffer, INPUT};
use super::steps::{Ends, Part, Step};
use crate::model::{Graph, Place};

/// Every step, every task, every offset.
#[derive(Debug)]
pub(super) struct Schedule {
    pub graph: Graph,
    pub isa: Isa,
    /// What activations are stored as.
    pub formats: Formats,
    pub steps: Vec<PlannedStep>,
    /// The tasks of each phase, in the order of their accesses.
    pub tasks: Vec<Vec<Task>>,
    /// What each task touches of the arena.
    pub accesses: Arc<Accesses>,
    /// The activations of the graph, and what steps add.
    pub buffers: Vec<Buffer>,
    /// By buffer: where it begins in the arena, in bytes, if it has a place of its own there.
    #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "drawings are the command's"))]
    pub places: Vec<Option<usize>>,
    /// The places that are read after the run.
    pub kept: Vec<Kept>,
    /// By step: where its outputs begin in the arena, in bytes.
    pub output_offsets: Vec<Vec<usize>>,
    /// Bytes of scratch that a thread needs.
    pub scratch_bytes: usize,
}

/// A place that is read after the run, as f32.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// Where it lies in the arena.
    pub bytes: Range<usize>,
    pub element: Element,
    /// The real value of 1.
    pub scale: f32,
}

impl Kept {
    /// How many values it has.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() / self.element.bytes()
    }

    /// Brings it from the arena into `values`, as many as it has.
    pub(super) fn read(&self, arena: &[u8], values: &mut [f32]) {
        let bytes = &arena[self.bytes.clone()];
        match self.element {
            Element::F32 => values.copy_from_slice(bytemuck::cast_slice(bytes)),
            Element::Bf16 => {
                let stored: &[Bf16] = bytemuck::cast_slice(bytes);
                values.iter_mut().zip(stored).for_each(|(value, stored)| *value = stored.to_f32());
            }
            Element::U8 => {
                values.iter_mut().zip(bytes).for_each(|(value, &byte)| *value = f32::from(byte) * self.scale)
            }
        }
    }
}

/// A step and its place in the plan.
#[derive(Debug)]
pub(super) struct PlannedStep {
    /// Indices of the nodes that it computes, or a part of.
    pub nodes: Vec<usize>,
    /// The phase it runs in; all steps of a phase may run at once.
    pub phase: usize,
    /// Why this step, or what it does.
    pub reason: String,
    pub ends: Ends,
    pub step: Box<dyn Step>,
}

/// One task: a part of a step.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// Index of the step.
    pub step: usize,
    pub part: Part,
}

/// What a schedule depends on, besides the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    isa: Isa,
    precision: Precision,
    /// Side of the input.
    side: usize,
    /// Names of the heads that are computed.
    heads: Vec<&'static str>,
    /// Threads that share each image.
    threads: usize,
    /// Places that are kept.
    keep: Vec<Place>,
}

impl Key {
    pub(super) fn new(graph: &Graph, isa: Isa, precision: Precision, threads: usize, keep: &[Place]) -> Self {
        let heads = graph.heads().iter().map(|&(name, _)| name).collect();
        Self { isa, precision, side: graph.activations[INPUT].h, heads, threads, keep: keep.to_vec() }
    }
}

impl PlannedStep {
    /// The nodes whose outputs exist: not those that another node of the step reads.
    pub(super) fn results<'a>(&'a self, graph: &'a Graph) -> impl Iterator<Item = usize> + 'a {
        let reads = move |node: usize, output: usize| graph.nodes[node].input.activation == output;
        let is_read = move |output: usize| self.nodes.iter().any(|&node| reads(node, output));
        self.nodes.iter().copied().filter(move |&node| !is_read(graph.nodes[node].output.activation))
    }
}
