//! The static execution plan: all choices made once, then run any number of times.
//!
//! `step.rs` says what a schedule is made of, `build.rs` makes it: `choose.rs` picks a convolution's algorithm,
//! `place.rs` places the buffers, `tasks.rs` cuts the work. `arena.rs` owns the memory and hands out tasks, `run.rs`
//! computes one, `direct.rs` and `winograd.rs` know how; `team.rs` and `barrier.rs` hold the threads together.
//!
//! There are two ways to share work. With fewer images than threads, all threads work on each image in turn, phase by
//! phase. Otherwise each thread takes whole images, with an arena of its own and no barrier at all. Both compute
//! every sum in the same order, so the results have the same bits.

mod aligned;
mod arena;
mod barrier;
mod build;
mod choose;
mod describe;
mod direct;
mod place;
mod run;
mod step;
mod tasks;
mod team;
mod winograd;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use googlenet_kernels::conv;
use googlenet_kernels::isa::Isa;

use crate::Result;
use crate::model::{Graph, Place};
use aligned::Aligned;
use arena::Arena;
use run::Executor;
use step::Kind;
use team::{Job, Team};

pub use describe::{LayerTime, StepDescription};

/// Where a plan gets a node's weights: `<name>.weight` in the model's layout, and `<name>.bias`, as f32.
pub(crate) type Fetch<'a> = &'a (dyn Fn(&str) -> Result<Vec<f32>> + Sync);

/// What a plan is built for.
pub(crate) struct Request<'a> {
    pub graph: &'a Graph,
    pub isa: Isa,
    pub threads: usize,
    pub batch: usize,
    /// What is copied out after each image.
    pub outputs: Vec<Place>,
    pub profile: bool,
}

/// A plan with its memory and threads.
pub(crate) struct Plan {
    team: Team<Work>,
}

/// What the threads share.
struct Work {
    executor: Executor,
    batch: usize,
    /// `[batch, c, h, w]`.
    input: Vec<f32>,
    /// The arena of all threads, if they share each image.
    shared: Option<Arena>,
    /// The next image, if each thread takes whole ones.
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
    /// Makes all choices, packs the weights, and starts the threads.
    pub(crate) fn build(request: Request<'_>, fetch: Fetch<'_>) -> Result<Self> {
        let Request { graph, isa, threads, batch, outputs, profile } = request;
        let whole_images = batch >= threads;
        let layout = build::layout(graph, isa, if whole_images { 1 } else { threads }, &outputs);
        let weights = pack(graph, &layout, fetch, threads)?;
        let tap = |place: &Place| {
            let plane = graph.tensors[place.tensor].plane();
            let start = layout.offsets[place.tensor] + place.channel * plane;
            start..start + place.channels * plane
        };
        let taps: Vec<_> = outputs.iter().map(tap).collect();
        let buffers = || taps.iter().map(|tap| vec![0.0; tap.len()]).collect();
        let outputs = (0..batch).map(|_| Mutex::new(buffers())).collect();
        let shared = (!whole_images).then(|| Arena::new(layout.arena_len, layout.accesses.clone(), threads));
        let work = Work {
            input: vec![0.0; batch * graph.tensors[0].len()],
            executor: Executor::new(layout, weights, isa, profile),
            batch,
            shared,
            next: AtomicUsize::new(0),
            taps,
            outputs,
        };
        Ok(Self { team: Team::new(work, threads)? })
    }

    /// The input, `[batch, c, h, w]`.
    pub(crate) fn input_mut(&mut self) -> &mut [f32] {
        &mut self.team.job_mut().input
    }

    /// Runs every image of the batch.
    pub(crate) fn run(&mut self) {
        self.team.job().next.store(0, Ordering::Relaxed);
        self.team.run();
    }

    /// Calls `read(image, output, values)` for every output of every image of the last run.
    pub(crate) fn read_outputs(&mut self, mut read: impl FnMut(usize, usize, &[f32])) {
        for (image, outputs) in self.team.job_mut().outputs.iter_mut().enumerate() {
            let outputs = outputs.get_mut().unwrap_or_else(PoisonError::into_inner);
            outputs.iter().enumerate().for_each(|(index, values)| read(image, index, values));
        }
    }

    /// Bytes of one arena of activations.
    pub(crate) fn arena_bytes(&self) -> usize {
        let work = self.team.job();
        work.shared.as_ref().map_or(work.executor.layout.arena_len * size_of::<f32>(), Arena::bytes)
    }
}

/// The weights of every step, as its kernel wants them.
fn pack(graph: &Graph, layout: &build::Layout, fetch: Fetch<'_>, threads: usize) -> Result<Vec<Aligned>> {
    use rayon::prelude::*;
    let pack_step = |step: &step::Step| -> Result<Aligned> {
        let tensors = |node: usize| -> Result<(Vec<f32>, Vec<f32>)> {
            let name = &graph.nodes[node].name;
            Ok((fetch(&format!("{name}.weight"))?, fetch(&format!("{name}.bias"))?))
        };
        match &step.kind {
            Kind::Direct(step_conv) => {
                let shape = |node: usize| {
                    let oc = graph.nodes[node].output.channels;
                    conv::ConvShape { oc, ..step_conv.shape }
                };
                let len = |&node: &usize| conv::packed_len(&step_conv.kernel, shape(node).oc, shape(node).steps());
                let mut packed = Aligned::zeroed(step.nodes.iter().map(len).sum());
                let mut rest = &mut packed[..];
                for &node in &step.nodes {
                    let (w, bias) = tensors(node)?;
                    let (own, after) = rest.split_at_mut(len(&node));
                    step_conv.kernel.pack_weights(&shape(node), &w, &bias, own);
                    rest = after;
                }
                Ok(packed)
            }
            Kind::Winograd(conv) | Kind::WinogradOutput(conv) => {
                let (w, bias) = tensors(step.nodes[0])?;
                let mut packed = Aligned::zeroed(conv.form.packed_len(&conv.shape));
                conv.form.pack_weights(&conv.shape, &w, &bias, &mut packed);
                Ok(packed)
            }
            Kind::FullyConnected { .. } => {
                let (w, bias) = tensors(step.nodes[0])?;
                let mut packed = Aligned::zeroed(w.len() + bias.len());
                packed[..w.len()].copy_from_slice(&w);
                packed[w.len()..].copy_from_slice(&bias);
                Ok(packed)
            }
            _ => Ok(Aligned::zeroed(0)),
        }
    };
    if threads == 1 {
        return layout.steps.iter().map(pack_step).collect();
    }
    // Threads that are joined before this returns: the threads of a pool that is merely dropped start and end in their
    // own time, and allocate while they do, perhaps when the session runs already.
    std::thread::scope(|scope| {
        let mut packers = Vec::with_capacity(threads);
        let spawn = |packer: rayon::ThreadBuilder| {
            packers.push(std::thread::Builder::new().spawn_scoped(scope, || packer.run())?);
            Ok(())
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).spawn_handler(spawn).build();
        let pool = pool.map_err(|source| team::refused(threads, source))?;
        let packed = pool.install(|| layout.steps.par_iter().map(pack_step).collect());
        drop(pool);
        packers.into_iter().for_each(|packer| packer.join().expect("a packer has nothing left to fail at"));
        packed
    })
}
