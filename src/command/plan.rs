//! `plan`: what a run will do, phase by phase, and why.

use std::io::Write;
use std::path::PathBuf;

use crate::{Options, Precision};
use clap::Args;

use crate::command::exit::{Code, OrFail, Outcome};
use crate::command::load;

/// Print the plan: its phases, and each step's layers, shapes, kernel, tasks and place in the arena, and why.
///
/// All steps of a phase may run at once; a phase begins when the one before it has ended.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Plan {
    /// Weights, as `convert` writes them [default: the demonstration weights]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Threads to plan for
    #[arg(long, value_name = "N", default_value = "1", value_parser = load::threads)]
    threads: usize,
    /// Images of a run
    #[arg(long, value_name = "N", default_value = "1", value_parser = load::batch)]
    batch: usize,
    /// Precision to plan for: `f32`; `bf16`, rounded to 8 significant bits; `int8`, for weights that `quantize` made
    #[arg(long, value_name = "NAME", default_value = "f32", value_parser = load::precision())]
    precision: Precision,
    /// Side of the input, in pixels [default: the weights']
    #[arg(long, value_name = "PIXELS", value_parser = load::side)]
    side: Option<usize>,
}

const EXAMPLE: &str = "\
Example:
  googlenet plan --threads 2 --batch 4";

impl Plan {
    /// Prints the plan.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        let model = load::model(self.weights.as_deref())?;
        let options = Options::new().threads(self.threads).batch(self.batch).precision(self.precision);
        let options = options.side(self.side.unwrap_or(model.side()));
        let session = model.session(options).or_fail(Code::Usage, "")?;
        writeln!(
            out,
            "{} ({}), side {}, {}, {}, threads {}, batch {}, arena {:.2} MiB",
            model.network().name,
            model.network().dialect,
            session.side(),
            session.isa(),
            session.precision(),
            self.threads,
            self.batch,
            session.arena_bytes() as f64 / (1 << 20) as f64,
        )?;
        writeln!(out, "weights {}", load::weights(&model, &session))?;
        let mut phase = None;
        for step in session.describe() {
            if phase != Some(step.phase) {
                phase = Some(step.phase);
                writeln!(out, "phase {}", step.phase)?;
            }
            let [x, y] = step.shapes.map(|[c, h, w]| format!("{c}x{h}x{w}"));
            let why = if step.reason.is_empty() { String::new() } else { format!(": {}", step.reason) };
            writeln!(out, "  {}", step.layers)?;
            let offsets: Vec<String> = step.offsets.iter().map(usize::to_string).collect();
            let offsets = offsets.join(", ");
            let [from, to] = step.elements;
            let with = step.instruction.map(|instruction| format!(" ({instruction})")).unwrap_or_default();
            let kernel = format!("{}{with}", step.kernel);
            writeln!(out, "    {x} {from} -> {y} {to}, {} tasks, at byte {offsets}, {kernel}{why}", step.tasks)?;
        }
        Ok(())
    }
}
