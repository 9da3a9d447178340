//! A plan as drawings show it: its graph, what lies where in the arena in which phase, and what each task is of its step.

use std::ops::{Range, RangeInclusive};

use super::build::Machine;
use super::describe::StepDescription;
use super::memory::{BufferId, Rows};
use super::schedule::{Schedule, Task};
use crate::model::Graph;

/// A plan, whole.
#[derive(Clone, Debug)]
pub(crate) struct Overview {
    pub graph: Graph,
    /// Every step, phase by phase.
    pub steps: Vec<StepDescription>,
    /// What lies in the arena.
    pub spans: Vec<Span>,
    /// The tasks of each phase, in the order in which they are claimed.
    pub tasks: Vec<Vec<Share>>,
    pub arena_bytes: usize,
}

/// A buffer of the arena.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    /// The activation's name, or the layers that a buffer is made for.
    pub name: String,
    /// Whether it is an activation of the graph, not something that steps add.
    pub is_activation: bool,
    /// What its values are stored as.
    pub element: &'static str,
    pub bytes: Range<usize>,
    /// The phases in which it holds values; the last one may be one beyond the plan's, if it is read after the run.
    pub phases: RangeInclusive<usize>,
}

/// A task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// Its step, by its index in [`Overview::steps`].
    pub step: usize,
    /// What it takes, estimated, in multiply-adds: its share of the step's work, by the parts that it has.
    pub work: f64,
}

impl Overview {
    pub(super) fn new(schedule: &Schedule) -> Self {
        let places = schedule.described_places();
        let parts = |task: &Task| (task.part.range.len() * task.part.blocks.len().max(1)) as f64;
        let mut all = vec![0.0; schedule.steps.len()];
        schedule.tasks.iter().flatten().for_each(|task| all[task.step] += parts(task));
        // To move a vector takes so many cycles, each of which could multiply two.
        let moved = 2.0 * Machine::nominal(schedule.isa).costs.store;
        let work = |step: usize| {
            let step = &schedule.steps[step];
            let elements: usize = [&step.ends.input].into_iter().chain(&step.ends.outputs).map(Rows::elements).sum();
            step.step.multiply_adds() as f64 + moved * elements as f64
        };
        let share = |task: &Task| {
            let work = work(task.step) * parts(task) / all[task.step].max(1.0);
            Share { step: places[task.step], work }
        };
        let spans = schedule.places.iter().enumerate().filter_map(|(id, place)| {
            let buffer = &schedule.buffers[id];
            let begin = (*place)?;
            let is_activation = id < schedule.graph.activations.len();
            let name = if is_activation { schedule.graph.activations[id].name.clone() } else { schedule.made_for(id) };
            let (element, bytes) = (buffer.element.name(), begin..begin + buffer.bytes());
            Some(Span { name, is_activation, element, bytes, phases: buffer.first..=buffer.last })
        });
        Self {
            steps: schedule.describe(),
            spans: spans.collect(),
            tasks: schedule.tasks.iter().map(|phase| phase.iter().map(share).collect()).collect(),
            arena_bytes: schedule.accesses.arena_bytes(),
            graph: schedule.graph.clone(),
        }
    }
}

impl Schedule {
    /// The layers of the step that fills a buffer.
    fn made_for(&self, buffer: BufferId) -> String {
        let makes = |outputs: &[Rows]| outputs.iter().any(|rows| rows.buffer == buffer);
        let step = self.steps.iter().find(|step| makes(&step.ends.outputs));
        step.map_or_else(String::new, |step| super::describe::layers(step, &self.graph))
    }
}

#[cfg(test)]
mod tests {
    use googlenet_kernels::isa;

    use crate::model::Dialect;
    use crate::plan::Precision;
    use crate::plan::overview_of;

    #[test]
    fn what_lies_in_the_arena_at_once_lies_apart_and_fills_it() {
        for dialect in Dialect::ALL {
            for threads in [1, 3] {
                let network = dialect.network(10);
                let graph = network.graph(network.side);
                let overview = overview_of(graph, isa::best(), Precision::F32, threads);
                let end = overview.spans.iter().map(|span| span.bytes.end).max().expect("buffers");
                assert!(end <= overview.arena_bytes && overview.arena_bytes - end < 64, "{dialect}: {end}");
                for (i, a) in overview.spans.iter().enumerate() {
                    for b in &overview.spans[i + 1..] {
                        let together = a.phases.start() <= b.phases.end() && b.phases.start() <= a.phases.end();
                        let apart = a.bytes.end <= b.bytes.start || b.bytes.end <= a.bytes.start;
                        assert!(apart || !together, "{dialect}: {a:?} and {b:?}");
                    }
                }
                let mut counts = vec![0; overview.steps.len()];
                for (phase, tasks) in overview.tasks.iter().enumerate() {
                    for share in tasks {
                        assert_eq!(overview.steps[share.step].phase, phase);
                        assert!(share.work > 0.0, "{dialect}: {share:?}");
                        counts[share.step] += 1;
                    }
                }
                assert!(overview.steps.iter().zip(counts).all(|(step, count)| step.tasks == count), "{dialect}");
            }
        }
    }
}
