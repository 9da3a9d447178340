//! From a graph to a schedule: makes every choice once.
//!
//! ```text
//! activations -> formats: what each is stored as (formats.rs)
//! nodes -> steps      for each node the cheapest offer (choice.rs); an offer may cover several nodes, or be several steps
//! steps -> phases     a step's phase is one more than that of whatever writes its input
//! phases -> lifetimes -> offsets in the arena (placement.rs)
//! steps -> tasks      each step splits itself for the threads there are
//! ```

mod choice;
mod formats;
mod machine;
mod placement;
mod site;

pub(super) use formats::{Formats, Nominal, Scales};
pub(super) use machine::Machine;
pub(super) use site::Site;

use std::ops::Range;
use std::sync::Arc;

use super::memory::{Access, Accesses, Buffer, INPUT, Region, Rows, Window};
use super::schedule::{Kept, PlannedStep, Schedule, Task};
use crate::model::{Activation, Graph, Place};

/// Schedules `graph` for `threads` threads that share each image; `keep` are the places that are read after the run.
pub(super) fn schedule(graph: Graph, machine: &Machine, formats: Formats, threads: usize, keep: &[Place]) -> Schedule {
    let (steps, mut buffers) = steps(&graph, machine, &formats, threads, keep);
    let phases = 1 + steps.iter().map(|step| step.phase).max().expect("a network has layers");
    let Placed { offsets, owns, arena_bytes } = place(&mut buffers, &steps, keep, phases);

    let mut tasks = vec![Vec::new(); phases];
    let mut accesses = vec![Vec::new(); phases];
    // Expensive steps first, so that the last tasks of a phase are small ones.
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_unstable_by_key(|&i| (std::cmp::Reverse(steps[i].step.multiply_adds()), i));
    for index in order {
        let PlannedStep { step, ends, phase, .. } = &steps[index];
        for part in step.split(ends, machine, threads) {
            let touch = step.touch(ends, &part);
            let (read, input) = match &touch.read {
                Some(window) if window.buffer == INPUT => (None, Some(bytes(window, &buffers, &offsets))),
                Some(window) => (Some(bytes(window, &buffers, &offsets)), None),
                None => (None, None),
            };
            let writes = touch.writes.iter().map(|window| region(window, &buffers, &offsets)).collect();
            accesses[*phase].push(Access { read, input, writes });
            tasks[*phase].push(Task { step: index, part });
        }
    }
    let kept = |&place: &Place| Kept {
        bytes: bytes(&Rows::of(&graph, place).all(), &buffers, &offsets),
        element: formats.element(place.activation),
        scale: formats.scale(place.activation),
    };
    let begins = |step: &PlannedStep| {
        step.ends.outputs.iter().map(|rows| bytes(&rows.all(), &buffers, &offsets).start).collect()
    };
    Schedule {
        kept: keep.iter().map(kept).collect(),
        output_offsets: steps.iter().map(begins).collect(),
        scratch_bytes: steps.iter().map(|step| step.step.scratch_bytes()).max().unwrap_or(0),
        accesses: Arc::new(Accesses::new(accesses, arena_bytes)),
        places: offsets.iter().zip(owns).map(|(&offset, owns)| owns.then_some(offset)).collect(),
        buffers,
        isa: machine.isa,
        formats,
        graph,
        steps,
        tasks,
    }
}

/// All steps, and the buffers of the graph and those that the steps add.
fn steps(
    graph: &Graph,
    machine: &Machine,
    formats: &Formats,
    threads: usize,
    keep: &[Place],
) -> (Vec<PlannedStep>, Vec<Buffer>) {
    let buffer =
        |(index, activation): (usize, &Activation)| Buffer::untouched(formats.element(index), activation.len());
    let mut buffers: Vec<Buffer> = graph.activations.iter().enumerate().map(buffer).collect();
    // The phase after which each activation is complete.
    let mut ready = vec![0; graph.activations.len()];
    let mut steps: Vec<PlannedStep> = Vec::new();
    let mut taken = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        if taken[index] {
            continue;
        }
        let site = Site { graph, index, machine, formats, threads, keep, taken: &taken, next_buffer: buffers.len() };
        let choice::Choice { offer, reason } = choice::choose(&site);
        let reason = match formats.why_not_integer(index) {
            Some(why) => format!("{why}; {reason}"),
            None => reason,
        };
        buffers.extend(offer.buffers.iter().map(|&(element, len)| Buffer::untouched(element, len)));
        let mut phase = ready[node.input.activation];
        let last = offer.steps.len() - 1;
        for (i, (ends, step)) in offer.steps.into_iter().enumerate() {
            let reason = if i == last { reason.clone() } else { step.detail() };
            steps.push(PlannedStep { nodes: offer.nodes.clone(), phase, reason, ends, step });
            phase += 1;
        }
        for node in offer.nodes {
            taken[node] = true;
            let output = graph.nodes[node].output.activation;
            ready[output] = ready[output].max(phase);
        }
    }
    (steps, buffers)
}

/// Where buffers lie, in bytes.
struct Placed {
    /// By buffer; what has no place gets 0.
    offsets: Vec<usize>,
    /// By buffer: whether its place is its own.
    owns: Vec<bool>,
    arena_bytes: usize,
}

/// Gives every buffer its place in the arena.
fn place(buffers: &mut [Buffer], steps: &[PlannedStep], keep: &[Place], phases: usize) -> Placed {
    // The buffer whose memory each one uses: its own, or that of the input which a step overwrites.
    let mut owner: Vec<usize> = (0..buffers.len()).collect();
    for PlannedStep { ends, .. } in steps.iter().filter(|step| step.step.is_in_place()) {
        owner[ends.outputs[0].buffer] = owner[ends.input.buffer];
    }
    // Buffers come to life where they are first touched.
    for PlannedStep { ends, phase, .. } in steps {
        for rows in [&ends.input].into_iter().chain(&ends.outputs) {
            let buffer = &mut buffers[owner[rows.buffer]];
            (buffer.first, buffer.last) = (buffer.first.min(*phase), buffer.last.max(*phase));
        }
    }
    for place in keep {
        buffers[owner[place.activation]].last = phases;
    }
    // The input lies outside the arena; what is never touched lies between two nodes of one step; what another buffer
    // owns needs no memory of its own.
    let placed: Vec<Option<&Buffer>> = buffers
        .iter()
        .enumerate()
        .map(|(id, buffer)| (id != INPUT && owner[id] == id && buffer.first != usize::MAX).then_some(buffer))
        .collect();
    let (places, arena_bytes) = placement::place(&placed);
    let owns = placed.iter().map(Option::is_some).collect();
    Placed { offsets: owner.iter().map(|&owner| places[owner]).collect(), owns, arena_bytes }
}

/// A window of one row, in bytes of the arena, or of the network's input.
fn bytes(window: &Window, buffers: &[Buffer], offsets: &[usize]) -> Range<usize> {
    assert_eq!(window.rows, 1, "what is read is one row");
    let Region { offset, len, .. } = region(window, buffers, offsets);
    offset..offset + len
}

fn region(window: &Window, buffers: &[Buffer], offsets: &[usize]) -> Region {
    let size = buffers[window.buffer].element.bytes();
    let &Window { buffer, offset, rows, len, stride } = window;
    Region { offset: offsets[buffer] + offset * size, rows, len: len * size, stride: stride * size }
}
