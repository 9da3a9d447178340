//! Golden plans: for each set and number of threads a text file in `golden/` that pins each layer's kernel, tile and
//! tasks, the arena and the scratch, on the set's nominal machine: for the BVLC network at 224x224, and, in files that
//! begin with their dialects' names, for the other networks at their own sides.
//!
//! Where a plan is meant to change, `GOOGLENET_RECORD=1 cargo test --lib golden` writes the files of this machine's sets
//! anew, and the commit shows what changed and says why.

use std::fmt::Write;
use std::path::PathBuf;

use googlenet_kernels::isa::{self, Isa};

use crate::model::Dialect;
use crate::plan::Precision;
use crate::plan::build::{Formats, Machine, Nominal, schedule};

fn text(dialect: Dialect, isa: Isa, threads: usize) -> String {
    let network = dialect.network(1000);
    let (graph, machine) = (network.graph(network.side), Machine::nominal(isa));
    let formats = Formats::new(&graph, Precision::F32, &machine, &Nominal);
    let schedule = schedule(graph, &machine, formats, threads, &[]);
    let mut text = format!("arena {} scratch {}\n", schedule.accesses.arena_bytes(), schedule.scratch_bytes);
    for step in schedule.describe() {
        let tasks = if step.tasks == 1 { "1 task".to_owned() } else { format!("{} tasks", step.tasks) };
        let why = if step.reason.is_empty() { String::new() } else { format!(" ({})", step.reason) };
        writeln!(text, "{:>2} {:<28} {:>8}  {}{why}", step.phase, step.kernel, tasks, step.layers).expect("a string");
    }
    text
}

#[test]
fn plans_are_those_that_were_recorded() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/plan/golden");
    let record = std::env::var_os("GOOGLENET_RECORD").is_some();
    let plan = |dialect: Dialect, isa: Isa, threads: usize| match dialect {
        Dialect::Bvlc => (dialect, isa, threads, format!("{isa}-{threads}.txt")),
        _ => (dialect, isa, threads, format!("{dialect}-{isa}-{threads}.txt")),
    };
    let plans = isa::detected().flat_map(|isa| {
        let others = [Dialect::Caffenet, Dialect::ZeilerFergus, Dialect::Naive];
        let others = others.into_iter().flat_map(move |dialect| [1, 2].map(|threads| plan(dialect, isa, threads)));
        [1, 2, 8].into_iter().map(move |threads| plan(Dialect::Bvlc, isa, threads)).chain(others)
    });
    for (dialect, isa, threads, name) in plans {
        let path = folder.join(name);
        let found = text(dialect, isa, threads);
        if record {
            std::fs::write(&path, &found).expect("written");
        }
        let recorded = std::fs::read_to_string(&path);
        let recorded =
            recorded.unwrap_or_else(|_| panic!("no plan of {dialect} on {isa} with {threads} threads is recorded"));
        for (found, recorded) in found.lines().zip(recorded.lines()) {
            assert_eq!(found, recorded, "{dialect} on {isa}, {threads} threads");
        }
        assert_eq!(found, recorded, "{dialect} on {isa}, {threads} threads");
    }
}
