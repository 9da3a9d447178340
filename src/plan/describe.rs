//! A plan as people read it: what each step is, and what it took.

use std::sync::atomic::Ordering;

use super::schedule::{PlannedStep, Schedule};
use super::{Plan, Precision};
use crate::model::{Cost, Graph, Place, cost};

/// One step of a plan.
#[derive(Clone, Debug)]
pub struct StepDescription {
    /// The layers it computes, joined by ` + `.
    pub layers: String,
    /// The phase it runs in; all steps of a phase may run at once.
    pub phase: usize,
    /// Input and output shape, `[c, h, w]` each; several outputs have their channels added.
    pub shapes: [[usize; 3]; 2],
    /// Kernel and tile.
    pub kernel: String,
    /// The precision that it computes in.
    pub precision: Precision,
    /// The instruction for that precision, if it is a lower one and the machine has one; without it the same is computed by
    /// other instructions.
    pub instruction: Option<&'static str>,
    /// What the input and the outputs are stored as: `f32`, `bf16` or `u8`.
    pub elements: [&'static str; 2],
    /// Why this kernel.
    pub reason: String,
    /// Into how many tasks it is split.
    pub tasks: usize,
    /// Where each output begins in the arena, in bytes.
    pub offsets: Vec<usize>,
    /// Multiply-adds by the definition, for one image.
    pub multiply_adds: u64,
}

/// What one step took.
#[derive(Clone, Debug)]
pub struct LayerTime {
    /// The layers it computes.
    pub layers: String,
    /// Kernel and tile.
    pub kernel: String,
    /// Nanoseconds since the last reset, summed over threads.
    pub nanoseconds: u64,
    /// Multiply-adds by the definition, for one image.
    pub multiply_adds: u64,
    /// Multiply-adds that its products compute for one image, tiles' edges included: fewer in the transformed domain.
    pub computed: u64,
    /// Bytes of its weights, as they are read: packed, or as the file stores them.
    pub weight_bytes: usize,
    /// Bytes of the activations that it reads and writes for one image, each of them counted once.
    pub activation_bytes: usize,
}

/// The names of the layers that a step computes, joined by ` + `.
pub(super) fn layers(step: &PlannedStep, graph: &Graph) -> String {
    step.nodes.iter().map(|&node| graph.nodes[node].name.as_str()).collect::<Vec<_>>().join(" + ")
}

/// The multiply-adds of a step's layers by their definition. A step that only prepares has none: they are counted where
/// the products are.
fn multiply_adds(step: &PlannedStep, costs: &[Cost]) -> u64 {
    match step.step.multiply_adds() {
        0 => 0,
        _ => step.nodes.iter().map(|&node| costs[node].multiply_adds).sum(),
    }
}

impl Plan {
    /// Every step, phase by phase.
    pub(crate) fn describe(&self) -> Vec<StepDescription> {
        self.schedule().describe()
    }

    /// What each step took, in the graph's order; empty unless the plan was built to profile.
    pub(crate) fn profile(&self) -> Vec<LayerTime> {
        let (work, schedule) = (self.team.job(), self.schedule());
        let costs = cost(&schedule.graph);
        let times = work.profile.iter().flatten();
        times
            .zip(&schedule.steps)
            .zip(&work.weights)
            .map(|((time, step), weights)| LayerTime {
                layers: layers(step, &schedule.graph),
                kernel: step.step.kernel(),
                nanoseconds: time.load(Ordering::Relaxed),
                multiply_adds: multiply_adds(step, &costs),
                computed: step.step.multiply_adds(),
                weight_bytes: weights.bytes(),
                activation_bytes: schedule.activation_bytes(step),
            })
            .collect()
    }

    /// Sets all times back to zero.
    pub(crate) fn reset_profile(&self) {
        for time in self.team.job().profile.iter().flatten() {
            time.store(0, Ordering::Relaxed);
        }
    }
}

impl Schedule {
    /// Bytes of what a step reads and writes, each of them once.
    fn activation_bytes(&self, step: &PlannedStep) -> usize {
        let ends = [&step.ends.input].into_iter().chain(&step.ends.outputs);
        ends.map(|rows| rows.elements() * self.buffers[rows.buffer].element.bytes()).sum()
    }

    /// By step: its index among the steps as they are described, which is by phase.
    pub(super) fn described_places(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.steps.len()).collect();
        order.sort_by_key(|&step| self.steps[step].phase);
        let mut places = vec![0; order.len()];
        order.into_iter().enumerate().for_each(|(place, step)| places[step] = place);
        places
    }

    /// Every step, phase by phase.
    pub(super) fn describe(&self) -> Vec<StepDescription> {
        let (graph, costs) = (&self.graph, cost(&self.graph));
        let describe = |(index, step): (usize, &PlannedStep)| {
            let results: Vec<Place> = step.results(graph).map(|node| graph.nodes[node].output).collect();
            let x = &graph.activations[graph.nodes[step.nodes[0]].input.activation];
            let y = &graph.activations[results[0].activation];
            let channels = results.iter().map(|place| place.channels).sum();
            StepDescription {
                layers: layers(step, graph),
                phase: step.phase,
                shapes: [[graph.nodes[step.nodes[0]].input.channels, x.h, x.w], [channels, y.h, y.w]],
                kernel: step.step.kernel(),
                precision: step.step.precision(),
                instruction: step.step.instruction(),
                elements: [graph.nodes[step.nodes[0]].input, results[0]]
                    .map(|place| self.formats.element(place.activation).name()),
                reason: step.reason.clone(),
                tasks: self.tasks[step.phase].iter().filter(|task| task.step == index).count(),
                offsets: self.output_offsets[index].clone(),
                multiply_adds: multiply_adds(step, &costs),
            }
        };
        let mut steps: Vec<_> = self.steps.iter().enumerate().map(describe).collect();
        steps.sort_by_key(|step| step.phase);
        steps
    }
}
