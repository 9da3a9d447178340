//! The plan as people read it.

use std::sync::atomic::Ordering;

use super::Plan;
use super::build::Layout;
use super::step::{Kind, Step};
use crate::model::{Cost, Graph, cost};

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
    /// Why this kernel.
    pub reason: String,
    /// Into how many tasks it is cut.
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
}

fn layers(step: &Step, graph: &Graph) -> String {
    step.nodes.iter().map(|&node| graph.nodes[node].name.as_str()).collect::<Vec<_>>().join(" + ")
}

/// Where each of its outputs begins in the arena, in bytes.
fn offsets(step: &Step, graph: &Graph, layout: &Layout) -> Vec<usize> {
    let output = |&node: &usize| {
        let place = graph.nodes[node].output;
        layout.offsets[place.activation] + place.channel * graph.activations[place.activation].plane()
    };
    let elements: Vec<usize> = match step.kind {
        Kind::WinogradInput { v, .. } => vec![layout.offsets[v]],
        _ => step.written().iter().map(output).collect(),
    };
    elements.into_iter().map(|offset| offset * size_of::<f32>()).collect()
}

/// Those of its layers, by their definition; an input transform's are counted where its products are.
fn multiply_adds(step: &Step, costs: &[Cost]) -> u64 {
    match step.kind {
        Kind::WinogradInput { .. } => 0,
        _ => step.nodes.iter().map(|&node| costs[node].multiply_adds).sum(),
    }
}

/// Kernel and tile, and why.
pub(super) fn kernel(step: &Step) -> (String, String) {
    let (name, reason) = match &step.kind {
        Kind::Direct(conv) => return (conv.kernel().name().into(), conv.reason.clone()),
        Kind::Winograd(conv) => return (conv.algorithm().name().into(), conv.reason.clone()),
        Kind::WinogradInput { conv, .. } => return (format!("{} input", conv.algorithm().name()), String::new()),
        Kind::WinogradOutput(conv) => return (conv.algorithm().name().into(), conv.reason.clone()),
        Kind::MaxPool(shape) => ("max pool", format!("{0}x{0}/{1}", shape.kernel, shape.stride)),
        Kind::Lrn { shape, .. } => ("local response normalisation", format!("{} channels", shape.size)),
        Kind::AveragePool(shape) => ("average pool", format!("{:?}", shape.windows)),
        Kind::GlobalAverage { plane } => ("average", format!("{plane} pixels")),
        Kind::FullyConnected { .. } => ("dot products", String::new()),
        Kind::Softmax => ("softmax", String::new()),
    };
    (name.into(), reason)
}

impl Plan {
    /// Every step, phase by phase.
    pub(crate) fn describe(&self, graph: &Graph) -> Vec<StepDescription> {
        let layout = &self.team.job().executor.layout;
        let costs = cost(graph);
        let mut steps: Vec<_> = layout
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| {
                let (first, written) = (&graph.nodes[step.nodes[0]], step.written());
                let y = &graph.activations[graph.nodes[written[0]].output.activation];
                let x = &graph.activations[first.input.activation];
                let channels = written.iter().map(|&node| graph.nodes[node].output.channels).sum();
                let (kernel, reason) = kernel(step);
                StepDescription {
                    layers: layers(step, graph),
                    phase: step.phase,
                    shapes: [[x.c, x.h, x.w], [channels, y.h, y.w]],
                    kernel,
                    reason,
                    tasks: layout.tasks[step.phase].iter().filter(|task| task.step == index).count(),
                    offsets: offsets(step, graph, layout),
                    multiply_adds: multiply_adds(step, &costs),
                }
            })
            .collect();
        steps.sort_by_key(|step| step.phase);
        steps
    }

    /// What each step took, in the graph's order; empty unless the plan was built to profile.
    pub(crate) fn profile(&self, graph: &Graph) -> Vec<LayerTime> {
        let executor = &self.team.job().executor;
        let costs = cost(graph);
        let times = executor.profile.iter().flatten();
        times
            .zip(&executor.layout.steps)
            .map(|(time, step)| LayerTime {
                layers: layers(step, graph),
                kernel: kernel(step).0,
                nanoseconds: time.load(Ordering::Relaxed),
                multiply_adds: multiply_adds(step, &costs),
                computed: match step.kind {
                    Kind::Direct(_) | Kind::Winograd(_) | Kind::WinogradOutput(_) => step.multiply_adds(),
                    _ => multiply_adds(step, &costs),
                },
            })
            .collect()
    }

    /// Sets all times back to zero.
    pub(crate) fn reset_profile(&self) {
        for time in self.team.job().executor.profile.iter().flatten() {
            time.store(0, Ordering::Relaxed);
        }
    }
}
