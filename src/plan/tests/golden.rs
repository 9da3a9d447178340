//! Golden plans: for each set and number of threads a text file in `golden/` that pins each layer's kernel, tile and
//! tasks, the arena and the scratch, on the set's nominal machine: for the BVLC network at 224x224, and, in files that
//! begin with their dialects' names, for the other networks at their own sides. In lower precisions plans depend on the
//! instructions that the machine has beside the set, too, which the files' names then name; plans of machines whose
//! instructions are in no name are not compared.
//!
//! Where a plan is meant to change, `GOOGLENET_RECORD=1 cargo test --lib golden` writes the files of this machine's sets
//! anew, and the commit shows what changed and says why.

use std::fmt::Write;
use std::path::PathBuf;

use googlenet_kernels::isa::{self, Isa};
use googlenet_kernels::narrow::{self, Arithmetic};

use crate::model::Dialect;
use crate::plan::Precision;
use crate::plan::build::{Formats, Machine, Nominal, schedule};

fn text(dialect: Dialect, isa: Isa, precision: Precision, threads: usize) -> String {
    let network = dialect.network(1000);
    let (graph, machine) = (network.graph(network.side), Machine::nominal(isa));
    let formats = Formats::new(&graph, precision, &machine, &Nominal);
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
        let found = text(dialect, isa, Precision::F32, threads);
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

#[test]
fn plans_in_lower_precision_are_those_that_were_recorded() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/plan/golden");
    let record = std::env::var_os("GOOGLENET_RECORD").is_some();
    for isa in isa::detected() {
        let instructions: Vec<&str> = [Arithmetic::Int8, Arithmetic::Bf16]
            .into_iter()
            .filter_map(|arithmetic| narrow::kernel(isa, arithmetic).instruction())
            .collect();
        let machine = [&[isa.name()][..], &instructions].concat().join("-");
        if !KNOWN.contains(&&machine[..]) {
            continue;
        }
        for (precision, threads) in [Precision::Bf16, Precision::Int8].into_iter().flat_map(|p| [1, 2].map(|t| (p, t)))
        {
            let path = folder.join(format!("{precision}-{machine}-{threads}.txt"));
            let found = text(Dialect::Bvlc, isa, precision, threads);
            if record {
                std::fs::write(&path, &found).expect("written");
            }
            let recorded = std::fs::read_to_string(&path).expect("the plans of machines that are known are recorded");
            for (found, recorded) in found.lines().zip(recorded.lines()) {
                assert_eq!(found, recorded, "{precision} on {machine}, {threads} threads");
            }
            assert_eq!(found, recorded, "{precision} on {machine}, {threads} threads");
        }
    }
}

/// Sets and their instructions for bytes and bf16, of machines whose plans in lower precision are recorded.
const KNOWN: [&str; 4] = ["portable", "neon-usdot-bfdot", "avx2-vpmaddubsw", "avx512-vpdpbusd-vdpbf16ps"];
