//! What holds for the schedule of any network, side and number of threads. That no two tasks of a phase are in each
//! other's way `Accesses::new` has checked when a schedule is there at all.

use googlenet_kernels::isa;

use crate::model::{Dialect, Place, small::small};
use crate::plan::Precision;
use crate::plan::build::{Formats, Machine, Nominal, schedule};
use crate::plan::memory::{INPUT, Region};
use crate::plan::schedule::Schedule;

fn schedules() -> Vec<(String, Schedule)> {
    let mut schedules = Vec::new();
    let networks = Dialect::ALL.map(|dialect| dialect.network_with_heads(7)).into_iter().chain([small()]);
    for network in networks {
        let heads: Vec<&str> = network.head_names();
        for (isa, (side, threads)) in
            isa::detected().flat_map(|isa| [(32, 1), (64, 3), (71, 2), (224, 1), (224, 8)].map(|case| (isa, case)))
        {
            let graph = network.graph_with(side, &heads);
            let keep: Vec<Place> = graph.nodes.iter().rev().step_by(9).map(|node| node.output).collect();
            for keep in [&[][..], &keep] {
                let name = format!(
                    "{} {} on {isa} at {side}, {threads} threads, {} kept",
                    network.name,
                    network.dialect,
                    keep.len()
                );
                let machine = Machine::nominal(isa);
                // Lower precisions where most is split, as there are many schedules.
                for &precision in &Precision::ALL[..if threads > 2 { 3 } else { 1 }] {
                    let formats = Formats::new(&graph, precision, &machine, &Nominal);
                    let schedule = schedule(graph.clone(), &machine, formats, threads, keep);
                    schedules.push((format!("{name} in {precision}"), schedule));
                }
            }
        }
    }
    schedules
}

/// Every byte of a region, as a mark in `arena`, which must not have it yet.
fn mark(arena: &mut [bool], region: &Region, name: &str) {
    for row in 0..region.rows {
        for byte in &mut arena[region.offset + row * region.stride..][..region.len] {
            assert!(!std::mem::replace(byte, true), "{name}: written twice");
        }
    }
}

#[test]
fn the_tasks_of_a_step_write_its_outputs_and_nothing_else_once() {
    for (name, schedule) in schedules() {
        let mut arena = vec![false; schedule.accesses.arena_bytes()];
        for (index, planned) in schedule.steps.iter().enumerate() {
            arena.fill(false);
            let tasks = &schedule.tasks[planned.phase];
            let own =
                tasks.iter().zip(&schedule.accesses.phases()[planned.phase]).filter(|(task, _)| task.step == index);
            own.flat_map(|(_, access)| &access.writes).for_each(|region| mark(&mut arena, region, &name));
            for (rows, &offset) in planned.ends.outputs.iter().zip(&schedule.output_offsets[index]) {
                // What is no activation is transformed inputs, of 4 bytes.
                let is_activation = rows.buffer < schedule.graph.activations.len();
                let element = if is_activation { schedule.formats.element(rows.buffer).bytes() } else { 4 };
                let bytes = rows.elements() * element;
                let written = &mut arena[offset..offset + bytes];
                assert!(written.iter().all(|&byte| byte), "{name}: {planned:?} leaves bytes unwritten");
                written.fill(false);
            }
            assert!(!arena.contains(&true), "{name}: {planned:?} writes outside of its outputs");
        }
    }
}

#[test]
fn steps_read_what_earlier_phases_made() {
    for (name, schedule) in schedules() {
        let made_in = |buffer: usize| {
            let makers =
                schedule.steps.iter().filter(|step| step.ends.outputs.iter().any(|rows| rows.buffer == buffer));
            makers.map(|step| step.phase).max()
        };
        let mut computed = vec![0; schedule.graph.nodes.len()];
        for planned in &schedule.steps {
            let input = planned.ends.input.buffer;
            let before = made_in(input).is_some_and(|phase| phase < planned.phase);
            assert!(before || input == INPUT, "{name}: {planned:?} reads what is not there");
            for node in planned.results(&schedule.graph) {
                computed[node] += 1;
            }
        }
        for (node, count) in schedule.graph.nodes.iter().zip(computed) {
            let inside = schedule.steps.iter().any(|step| {
                let fused = step
                    .nodes
                    .iter()
                    .any(|&other| schedule.graph.nodes[other].input.activation == node.output.activation);
                fused && count == 0
            });
            // Two where a convolution is two steps; none where another node of its step takes its output.
            assert!(count == 1 || count == 2 || inside, "{name}: {} is computed {count} times", node.name);
        }
    }
}

#[test]
fn one_thread_gets_one_task_a_step() {
    for (name, schedule) in schedules().into_iter().filter(|(name, _)| name.contains(" 1 threads")) {
        let tasks: usize = schedule.tasks.iter().map(Vec::len).sum();
        assert_eq!(tasks, schedule.steps.len(), "{name}");
    }
}
