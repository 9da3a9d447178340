//! `doctor`: what this machine gives the engine, and whether the engine works on it.
//!
//! ```text
//! system.rs    what the system says: processor, caches, threads, quota, memory
//! selftest.rs  every instruction set against golden logits, a mapped file against a read one
//! speed.rs     what a run reaches of the peak, beside what it reached elsewhere
//! ```

mod selftest;
mod speed;
mod system;

use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use crate::command::exit::{Code, Failure, Outcome};
use crate::command::printable::Printable;
use crate::command::version;

/// Look at this machine as the engine sees it, test the engine on it, and say what is wrong.
///
/// It takes some seconds of all cores. For the test of mapping it writes its demonstration weights into the folder for temporary
/// files, and removes them. Of what is doubtful the line begins with `?`, of what is wrong with `!`; if anything is wrong the exit
/// code is 1.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Doctor {
    /// Do not measure speed
    #[arg(long)]
    no_speed: bool,
    /// Print one JSON object: version, findings (what, said, verdict: well, doubtful or wrong)
    #[arg(short, long)]
    json: bool,
}

const EXAMPLE: &str = "\
Example:
  googlenet doctor --no-speed";

/// What was found out.
pub struct Finding {
    pub what: &'static str,
    pub said: String,
    pub verdict: Verdict,
}

/// What is to be thought of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    Well,
    Doubtful,
    Wrong,
}

impl Finding {
    pub fn well(what: &'static str, said: impl Into<String>) -> Self {
        Self { what, said: said.into(), verdict: Verdict::Well }
    }

    /// It is doubtful if `is_doubtful`.
    pub fn doubtful_if(is_doubtful: bool, what: &'static str, said: impl Into<String>) -> Self {
        let verdict = if is_doubtful { Verdict::Doubtful } else { Verdict::Well };
        Self { what, said: said.into(), verdict }
    }

    pub fn wrong(what: &'static str, said: impl Into<String>) -> Self {
        Self { what, said: said.into(), verdict: Verdict::Wrong }
    }
}

impl Doctor {
    /// Prints what was found.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        let mut findings = Vec::new();
        let mut show = |found: Vec<Finding>, out: &mut dyn Write| {
            for Finding { what, said, verdict } in found.iter().filter(|_| !self.json) {
                let sign = match verdict {
                    Verdict::Well => ' ',
                    Verdict::Doubtful => '?',
                    Verdict::Wrong => '!',
                };
                writeln!(out, "{sign} {what:<18} {}", Printable(said))?;
            }
            findings.extend(found);
            Outcome::Ok(())
        };
        show(vec![Finding::well("version", version::short())], out)?;
        show(system::look(), out)?;
        show(selftest::test(), out)?;
        if !self.no_speed {
            show(speed::measure(), out)?;
        }
        let wrong: Vec<&str> =
            findings.iter().filter(|found| found.verdict == Verdict::Wrong).map(|found| found.what).collect();
        if self.json {
            let one = |found: &Finding| -> Value {
                let verdict = match found.verdict {
                    Verdict::Well => "well",
                    Verdict::Doubtful => "doubtful",
                    Verdict::Wrong => "wrong",
                };
                json!({ "what": found.what, "said": found.said, "verdict": verdict })
            };
            let findings: Vec<Value> = findings.iter().map(one).collect();
            writeln!(out, "{}", json!({ "version": version::short(), "findings": findings }))?;
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(Code::System, format!("wrong: {}", wrong.join(", ")))),
        }
    }
}
