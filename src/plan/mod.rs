//! The static execution plan: all choices made once, then run any number of times.
//!
//! `step.rs` says what a schedule is made of, `build.rs` makes it: `choose.rs` picks a convolution's algorithm,
//! `place.rs` places the buffers, `tasks.rs` cuts the work. `packed.rs` packs the weights (on threads of `parallel.rs`),
//! or finds them packed in the file or, by `cache.rs`, with another session. `arena.rs` owns the memory and hands out
//! tasks, `run.rs` computes one, `direct.rs` and `winograd.rs` know how; `team.rs` and `barrier.rs` hold the session's
//! own threads together, `lent.rs` and `crowd.rs` those that the caller lends.
//!
//! There are two ways to share work. With fewer images than threads, all threads work on each image in turn, phase by
//! phase. Otherwise each thread takes whole images, with an arena of its own and no barrier at all. Both compute
//! every sum in the same order, so the results have the same bits.

mod aligned;
mod arena;
mod barrier;
mod build;
mod cache;
mod choose;
mod crowd;
mod describe;
mod direct;
mod lent;
mod packed;
mod parallel;
mod place;
mod run;
mod step;
mod tasks;
mod team;
mod winograd;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use googlenet_kernels::isa::Isa;

use crate::Result;
use crate::model::{Graph, Place};
use crate::weights::Weights;
pub(crate) use aligned::Aligned;
use arena::Arena;
use packed::Packed;
use run::Executor;
use team::{Job, Team};

pub(crate) use cache::Cache;
pub use describe::{LayerTime, StepDescription};
pub(crate) use lent::Lent;

/// What a plan is built for.
pub(crate) struct Request<'a> {
    pub graph: &'a Graph,
    pub isa: Isa,
    pub weights: &'a Arc<Weights>,
    /// What sessions of those weights have packed.
    pub cache: &'a Cache,
    pub threads: usize,
    /// Where the threads come from, if not from a pool of the plan's own.
    pub lent: Option<Lent>,
    pub batch: usize,
    /// What is copied out after each image.
    pub outputs: Vec<Place>,
    pub profile: bool,
}

/// A plan with its memory and threads.
pub(crate) struct Plan {
    team: Team<Work>,
    packing: String,
}

/// What the threads share.
struct Work {
    executor: Executor,
    batch: usize,
    /// `[batch, c, h, w]`.
    input: Vec<f32>,
    /// The arena of all threads, if they share each image.
    shared: Option<Arena>,
    /// The next image, if each thread takes whole ones; the image at hand, if a crowd shares each.
    next: AtomicUsize,
    /// Arena ranges to copy out after each image.
    taps: Vec<std::ops::Range<usize>>,
    /// By image: one buffer a tap. The locks are never contended: an image is finished by one thread.
    outputs: Vec<Mutex<Vec<Vec<f32>>>>,
}

/// A thread's own memory.
struct Worker {
    scratch: Aligned,
    arena: Option<Arena>,
}

impl Work {
    fn solo_arena(&self) -> Arena {
        let layout = &self.executor.layout;
        Arena::new(layout.arena_len, layout.accesses.clone(), 1)
    }

    /// How often the threads are called for a run: once, or once an image if a crowd shares each.
    fn rounds(&self) -> usize {
        if self.shared.as_ref().is_some_and(Arena::is_for_crowd) { self.batch } else { 1 }
    }

    /// Prepares such a call.
    fn begin(&mut self, round: usize) {
        *self.next.get_mut() = round;
        self.shared.iter_mut().for_each(Arena::rewind);
    }

    fn image(&self, arena: &Arena, image: usize, scratch: &mut [f32]) {
        let len = self.input.len() / self.batch;
        let input = &self.input[image * len..(image + 1) * len];
        let finish = |all: &[f32]| {
            let mut outputs = self.outputs[image].lock().unwrap_or_else(PoisonError::into_inner);
            for (output, tap) in outputs.iter_mut().zip(&self.taps) {
                output.copy_from_slice(&all[tap.clone()]);
            }
        };
        let task = |phase, index, operands: arena::Operands<'_>| {
            self.executor.execute(phase, index, operands, input, scratch);
        };
        arena.run(task, finish);
    }
}

impl Job for Work {
    type Worker = Worker;

    fn worker(&self) -> Worker {
        let arena = self.shared.is_none().then(|| self.solo_arena());
        Worker { scratch: Aligned::zeroed(self.executor.layout.scratch_len), arena }
    }

    fn work(&self, worker: &mut Worker) {
        match (&self.shared, &worker.arena) {
            (Some(arena), _) if arena.is_for_crowd() => {
                self.image(arena, self.next.load(Ordering::Relaxed), &mut worker.scratch);
            }
            (Some(arena), _) => (0..self.batch).for_each(|image| self.image(arena, image, &mut worker.scratch)),
            (None, Some(arena)) => loop {
                let image = self.next.fetch_add(1, Ordering::Relaxed);
                if image >= self.batch {
                    break;
                }
                self.image(arena, image, &mut worker.scratch);
            },
            (None, None) => unreachable!("a worker without a shared arena has its own"),
        }
    }
}

impl Plan {
    /// Makes all choices, finds or packs the weights, and starts the threads.
    pub(crate) fn build(request: Request<'_>) -> Result<Self> {
        let Request { graph, isa, weights, cache, threads, lent, batch, outputs, profile } = request;
        let whole_images = batch >= threads;
        let layout = build::layout(graph, isa, if whole_images { 1 } else { threads }, &outputs);
        let packing = packed::packing(graph, &layout, isa);
        let source = packed::Source { weights, cache, threads, lent: lent.as_ref() };
        let weights = packed::weights(graph, &layout, isa, &packing, &source)?;
        let tap = |place: &Place| {
            let plane = graph.activations[place.activation].plane();
            let start = layout.offsets[place.activation] + place.channel * plane;
            start..start + place.channels * plane
        };
        let taps: Vec<_> = outputs.iter().map(tap).collect();
        let buffers = || taps.iter().map(|tap| vec![0.0; tap.len()]).collect();
        let outputs = (0..batch).map(|_| Mutex::new(buffers())).collect();
        let shared = (!whole_images).then(|| match lent {
            Some(_) => Arena::for_crowd(layout.arena_len, layout.accesses.clone()),
            None => Arena::new(layout.arena_len, layout.accesses.clone(), threads),
        });
        let work = Work {
            input: vec![0.0; batch * graph.activations[0].len()],
            executor: Executor::new(layout, weights, isa, profile),
            batch,
            shared,
            next: AtomicUsize::new(0),
            taps,
            outputs,
        };
        Ok(Self { team: Team::new(work, threads, lent)?, packing })
    }

    /// The input, `[batch, c, h, w]`.
    pub(crate) fn input_mut(&mut self) -> &mut [f32] {
        &mut self.team.job_mut().input
    }

    /// Runs every image of the batch.
    pub(crate) fn run(&mut self) {
        for round in 0..self.team.job().rounds() {
            self.team.job_mut().begin(round);
            self.team.run();
        }
    }

    /// Calls `read(image, output, values)` for every output of every image of the last run.
    pub(crate) fn read_outputs(&mut self, mut read: impl FnMut(usize, usize, &[f32])) {
        for (image, outputs) in self.team.job_mut().outputs.iter_mut().enumerate() {
            let outputs = outputs.get_mut().unwrap_or_else(PoisonError::into_inner);
            outputs.iter().enumerate().for_each(|(index, values)| read(image, index, values));
        }
    }

    /// The packing of its weights: in a file of the same packing they are used where they lie.
    pub(crate) fn packing(&self) -> &str {
        &self.packing
    }

    /// Whether the weights lie in the file, none packed in memory.
    pub(crate) fn uses_packed_file(&self) -> bool {
        let weights = &self.team.job().executor.weights;
        weights.iter().all(|weights| !matches!(weights, Packed::Made(..)))
    }

    /// Bytes of one arena of activations.
    pub(crate) fn arena_bytes(&self) -> usize {
        let work = self.team.job();
        work.shared.as_ref().map_or(work.executor.layout.arena_len * size_of::<f32>(), Arena::bytes)
    }

    /// Bytes of everything a run of `threads` threads works in: input, arenas, scratch, outputs.
    pub(crate) fn memory_bytes(&self, threads: usize) -> usize {
        let work = self.team.job();
        let arenas = if work.shared.is_some() { 1 } else { threads };
        let outputs: usize = work.taps.iter().map(|tap| tap.len()).sum();
        let elements = work.input.len() + threads * work.executor.layout.scratch_len + work.batch * outputs;
        arenas * self.arena_bytes() + elements * size_of::<f32>()
    }
}

/// What a packed weight file adds for `graph` on `isa`: the packing, and each tensor's name and values.
pub(crate) fn pack(graph: &Graph, isa: Isa, source: &Weights, threads: usize) -> Result<(String, Vec<PackedTensor>)> {
    let layout = build::layout(graph, isa, 1, &[]);
    let packed = packed::make(graph, &layout, source, threads)?;
    let steps = layout.steps.iter().zip(packed).filter(|(_, values)| !values.is_empty());
    let tensors = steps.map(|(step, values)| (packed::tensor_name(graph, step), values)).collect();
    Ok((packed::packing(graph, &layout, isa), tensors))
}

/// Whether plans for `graph` on `isa`, whatever their threads, batch and endpoints, use the packed weights of `source`.
pub(crate) fn is_packed(graph: &Graph, isa: Isa, source: &Arc<Weights>) -> bool {
    let layout = build::layout(graph, isa, 1, &[]);
    packed::in_file(graph, &layout, &packed::packing(graph, &layout, isa), source).is_some()
}

/// A tensor of a packed file.
pub(crate) type PackedTensor = (String, Aligned);
