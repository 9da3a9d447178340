//! The static execution plan: all choices made once, then run any number of times.
//!
//! ```text
//! build/      graph -> steps -> schedule: which kind of step, which kernel, which phase, where in the arena
//! steps/      what a kind of step is, a file each
//! packing/    the weights as steps want them: made, in the file, or another session's
//! schedule.rs what all of that results in; sessions with equal options share it
//! memory/     the arena that tasks share, and the proof that they may
//! threads/    a session's own threads, or those that a caller lends
//! overview.rs a plan as drawings show it
//! work.rs     what the threads do in a run
//! record.rs   when they did it, and trace.rs: that as callers read it
//! ```

mod build;
mod cache;
mod describe;
mod memory;
#[cfg(feature = "cli")]
mod overview;
mod packing;
mod precision;
mod record;
mod schedule;
mod steps;
#[cfg(test)]
mod tests;
mod threads;
mod trace;
mod work;

use std::sync::{Arc, PoisonError};

use googlenet_kernels::isa::{self, Isa};

use crate::Result;
use crate::aligned::AlignedBytes;
use crate::model::{Graph, Place};
use crate::weights::Weights;
use build::{Formats, Machine, Nominal};
use record::Recording;
use schedule::{Kept, Key, Schedule};
use threads::Team;
use work::Work;

pub(crate) use cache::Cache;
pub use describe::{LayerTime, StepDescription};
#[cfg(feature = "cli")]
pub(crate) use overview::{Overview, Span};
pub use precision::Precision;
pub(crate) use threads::Lent;
pub use trace::{Activity, Slice, Trace};

/// What a plan is built for.
pub(crate) struct Request<'a> {
    pub graph: Graph,
    pub isa: Isa,
    pub precision: Precision,
    pub weights: &'a Arc<Weights>,
    /// What sessions of those weights share.
    pub cache: &'a Cache,
    pub threads: usize,
    /// Where the threads come from, if not from the plan itself.
    pub lent: Option<Lent>,
    pub batch: usize,
    /// What is copied out after each image.
    pub keep: Vec<Place>,
    pub profile: bool,
}

/// A schedule with memory, weights and threads: what one session has.
pub(crate) struct Plan {
    team: Team<Work>,
    packing: String,
    /// By place that is kept: what the last run that ended left there, `[batch, channels, h, w]`. A run writes into the
    /// work's own, so that these stay what they are if it panics; and what is shared with a caller stays as it is.
    outputs: Vec<Arc<Vec<f32>>>,
}

impl Plan {
    /// Makes all choices, finds or packs the weights, and starts the threads.
    pub(crate) fn build(request: Request<'_>) -> Result<Self> {
        let Request { graph, isa, precision, weights, cache, threads, lent, batch, keep, profile } = request;
        let shares_images = batch < threads;
        let sharing = if shares_images { threads } else { 1 };
        let key = Key::new(&graph, isa, precision, sharing, &keep);
        let machine = Machine::here(isa);
        let formats = Formats::new(&graph, precision, &machine, &**weights);
        let schedule = cache.schedules.get(key, || Ok(build::schedule(graph, &machine, formats, sharing, &keep)))?;
        let packing = packing::packing(&schedule);
        let origin = packing::Origin { weights, cache, threads, lent: lent.as_ref() };
        let weights = packing::weights(&schedule, &packing, &origin)?;
        let output = |kept: &Kept| work::zeros(batch * kept.len());
        let outputs: Vec<Vec<f32>> = schedule.kept.iter().map(output).collect::<Result<_>>()?;
        let work = Work::new(schedule, weights, &outputs, batch, shares_images, profile)?;
        let outputs = outputs.into_iter().map(Arc::new).collect();
        Ok(Self { team: Team::new(work, threads, lent)?, packing, outputs })
    }

    /// The graph that it computes.
    pub(crate) fn graph(&self) -> &Graph {
        &self.schedule().graph
    }

    fn schedule(&self) -> &Schedule {
        &self.team.job().schedule
    }

    /// The input, `[batch, c, h, w]`.
    pub(crate) fn input_mut(&mut self) -> &mut [f32] {
        &mut self.team.job_mut().input
    }

    /// A pointer to the input, which is that of the allocation itself: no later borrow ends it.
    pub(crate) fn input_pointer(&mut self) -> *mut f32 {
        self.team.job_mut().input.as_mut_ptr()
    }

    /// Runs every image of the batch.
    pub(crate) fn run(&mut self) {
        for round in 0..self.team.job().rounds() {
            self.team.job_mut().begin(round);
            self.team.run();
        }
        let work = self.team.job_mut();
        work.end();
        for (own, written) in self.outputs.iter_mut().zip(&mut work.outputs) {
            let written = written.get_mut().unwrap_or_else(PoisonError::into_inner);
            match Arc::get_mut(own) {
                Some(own) => std::mem::swap(own, written),
                // A caller holds what an earlier run left: the next run gets other memory to write into.
                None => {
                    let next = vec![0.0; written.len()];
                    *own = Arc::new(std::mem::replace(written, next));
                }
            }
        }
    }

    /// What the last run left in the place `index` of those that are kept, `[batch, channels, h, w]`.
    pub(crate) fn output(&self, index: usize) -> &[f32] {
        &self.outputs[index]
    }

    /// The same, shared: later runs leave it as it is.
    pub(crate) fn shared_output(&self, index: usize) -> Arc<Vec<f32>> {
        self.outputs[index].clone()
    }

    /// Records what the threads, of which there are `threads`, do in the next `runs` runs.
    pub(crate) fn record(&mut self, runs: usize, threads: usize) -> Result<()> {
        let work = self.team.job_mut();
        // First, so that memory is not needed for both.
        work.recording = None;
        if runs > 0 {
            work.recording = Some(Recording::new(threads, runs, work.most_events())?);
        }
        Ok(())
    }

    /// What was recorded.
    pub(crate) fn trace(&self, threads: usize) -> Trace {
        Trace::new(self.schedule(), self.team.job().recording.as_ref(), threads)
    }

    /// All of the plan, to be drawn.
    #[cfg(feature = "cli")]
    pub(crate) fn overview(&self) -> Overview {
        Overview::new(self.schedule())
    }

    /// Bytes of one arena of activations.
    pub(crate) fn arena_bytes(&self) -> usize {
        self.schedule().accesses.arena_bytes()
    }

    /// The precision that it was made for.
    pub(crate) fn precision(&self) -> Precision {
        self.schedule().formats.precision
    }

    /// The packing of its weights: in a file of the same packing they are used where they lie.
    pub(crate) fn packing(&self) -> &str {
        &self.packing
    }

    /// Whether the weights lie in the file, none packed or copied in memory.
    pub(crate) fn uses_packed_file(&self) -> bool {
        self.team.job().weights.iter().all(|weights| !weights.is_in_memory())
    }

    /// Bytes of everything a run of `threads` threads works in: input, arenas, scratch, outputs.
    pub(crate) fn memory_bytes(&self, threads: usize) -> usize {
        let work = self.team.job();
        let arenas = if work.shares_images() { 1 } else { threads };
        let values = work.input.len() + 2 * self.outputs.iter().map(|output| output.len()).sum::<usize>();
        arenas * self.arena_bytes() + threads * work.schedule.scratch_bytes + values * size_of::<f32>()
    }
}

/// What a packed weight file adds for `graph` in `precision` on `isa`: the packing, and each tensor's name and bytes.
pub(crate) fn pack(
    graph: Graph,
    isa: Isa,
    precision: Precision,
    weights: &Weights,
    threads: usize,
) -> Result<(String, Vec<PackedTensor>)> {
    let schedule = alone(graph, isa, precision, weights, 1);
    let packed = packing::make(&schedule, weights, threads)?;
    let steps = schedule.steps.iter().zip(packed).filter(|(_, bytes)| !bytes.is_empty());
    let tensors = steps.map(|(step, bytes)| (packing::tensor_name(&schedule.graph, step), bytes)).collect();
    Ok((packing::packing(&schedule), tensors))
}

/// Whether plans for `graph` in `precision` on `isa`, whatever their threads, batch and endpoints, use the packed weights of
/// `weights`.
pub(crate) fn is_packed(graph: Graph, isa: Isa, precision: Precision, weights: &Weights) -> bool {
    let schedule = alone(graph, isa, precision, weights, 1);
    packing::in_file(&schedule, &packing::packing(&schedule), weights).is_some()
}

/// The packing of plans for `graph` in `precision` on `isa`, whatever their threads, batch and endpoints.
pub(crate) fn packing_of(graph: Graph, isa: Isa, precision: Precision, weights: &Weights) -> String {
    packing::packing(&alone(graph, isa, precision, weights, 1))
}

/// Bytes of the arena of a plan for `graph` in `precision` on `isa`, of `threads` threads that share each image; for int8
/// with weights of which all layers were quantised.
pub(crate) fn arena_bytes(graph: Graph, isa: Isa, precision: Precision, threads: usize) -> usize {
    alone(graph, isa, precision, &Nominal, threads).accesses.arena_bytes()
}

/// The same plan, whole.
#[cfg(feature = "cli")]
pub(crate) fn overview_of(graph: Graph, isa: Isa, precision: Precision, threads: usize) -> Overview {
    Overview::new(&alone(graph, isa, precision, &Nominal, threads))
}

/// By node of `graph`, whether it is a convolution that computes in integers where a file has scales for all layers.
pub(crate) fn takes_bytes(graph: &Graph) -> Vec<bool> {
    // What is decided for int8 depends on no machine.
    let formats = Formats::new(graph, Precision::Int8, &Machine::here(isa::best()), &Nominal);
    (0..graph.nodes.len()).map(|node| formats.is_integer(node)).collect()
}

/// A schedule that no session has, and of which nothing is kept.
fn alone(graph: Graph, isa: Isa, precision: Precision, scales: &dyn build::Scales, threads: usize) -> Schedule {
    let machine = Machine::here(isa);
    let formats = Formats::new(&graph, precision, &machine, scales);
    build::schedule(graph, &machine, formats, threads, &[])
}

/// A tensor of a packed file: words of 32 bits.
pub(crate) type PackedTensor = (String, AlignedBytes);
