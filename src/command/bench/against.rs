//! A measurement beside another: one that was saved, or that of another build of the command, taken in turns.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Bench, rounded};
use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::printable::Printable;
use crate::command::progress::Progress;
use crate::file;

/// How long an image took here and there, and what that comes to.
pub struct Comparison {
    /// What the other one is: a file or a program, by its name.
    name: String,
    /// Milliseconds an image: the other's median, and ours.
    medians: [f64; 2],
    /// How many times as long as the other's ours is: less than 1 is faster.
    ratio: f64,
    /// The least and the largest ratio of a turn, if there were turns.
    spread: Option<[f64; 2]>,
}

/// A measurement that `--save` wrote.
pub struct Saved {
    name: String,
    value: Value,
}

impl Saved {
    /// The measurement in the file `path`.
    pub fn read(path: &Path) -> Outcome<Self> {
        let name = path.display().to_string();
        let bytes = file::read(path, MOST_BYTES).or_fail(Code::Input, path.display())?;
        let wrong = |why: &str| Failure::new(Code::Input, format!("{name}: no measurement of `bench --save`: {why}"));
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| wrong(&error.to_string()))?;
        match median(&value) {
            Some(_) => Ok(Self { name, value }),
            None => Err(wrong("it has no median_ms")),
        }
    }

    /// Fails unless it was taken of the same work as `own`. With `strictly` the machine must be the same, too, as another
    /// one's times prove nothing of a program.
    pub fn check(&self, own: &Value, strictly: bool) -> Outcome {
        let keys = ["multiply_adds", "side", "batch", "threads", "precision"];
        let host = |value: &Value| value["host"]["cpu"].clone();
        let differs = keys.iter().map(|&key| (key, self.value[key].clone(), own[key].clone()));
        let cpu = strictly.then(|| ("cpu", host(&self.value), host(own)));
        match differs.chain(cpu).find(|(_, there, here)| there != here) {
            None => Ok(()),
            Some((key, there, here)) => {
                let text = format!("{} was measured with {key} {there}, not {here}: the two do not compare", self.name);
                Err(Failure::new(Code::Usage, text))
            }
        }
    }

    /// Compares `own` with it.
    pub fn compare(&self, own: &Value) -> Comparison {
        let medians = [&self.value, own].map(|value| median(value).expect("checked when it was read"));
        Comparison { name: self.name.clone(), medians, ratio: medians[1] / medians[0], spread: None }
    }
}

/// The median of a measurement, if it has a usable one.
fn median(value: &Value) -> Option<f64> {
    value["median_ms"].as_f64().filter(|ms| ms.is_finite() && *ms > 0.0)
}

/// Runs the program `other` and this one in turns, each as a process of its own that measures what `bench` does.
pub fn in_turns(bench: &Bench, other: &Path) -> Outcome<Comparison> {
    let own = std::env::current_exe().or_fail(Code::System, "this program's own file")?;
    let programs = [other, &own];
    let progress = Progress::new(2 * TURNS, "turns");
    let mut ms = [Vec::new(), Vec::new()];
    for turn in 0..TURNS {
        // Whoever begins changes, so that nobody always runs on the warmer machine.
        for which in if turn % 2 == 0 { [0, 1] } else { [1, 0] } {
            ms[which].push(measure(programs[which], bench)?);
            progress.advance(1)?;
        }
    }
    let mut ratios: Vec<f64> = ms[0].iter().zip(&ms[1]).map(|(other, own)| own / other).collect();
    ratios.sort_by(f64::total_cmp);
    let medians = ms.map(|mut ms| {
        ms.sort_by(f64::total_cmp);
        ms[ms.len() / 2]
    });
    let (ratio, spread) = (ratios[ratios.len() / 2], Some([ratios[0], ratios[ratios.len() - 1]]));
    Ok(Comparison { name: other.display().to_string(), medians, ratio, spread })
}

/// The median milliseconds an image that `program` measures.
fn measure(program: &Path, bench: &Bench) -> Outcome<f64> {
    let subject = &bench.subject;
    let runs = bench.runs.div_ceil(TURNS);
    let mut command = Command::new(program);
    command.args(["bench", "--json", "--precision", subject.precision.name(), "--runs", &runs.to_string()]);
    command.args(["--threads", &subject.threads.to_string(), "--batch", &subject.batch.to_string()]);
    if let Some(side) = subject.side {
        command.args(["--side", &side.to_string()]);
    }
    if let Some(weights) = &subject.weights {
        command.arg("--weights").arg(weights);
    }
    let output = command.stdin(Stdio::null()).output().or_fail(Code::Usage, program.display())?;
    let value: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    value.as_ref().and_then(median).filter(|_| output.status.success()).ok_or_else(|| {
        let words = String::from_utf8_lossy(&output.stderr);
        let last = words.lines().last().unwrap_or("it says nothing");
        let text = format!("{} measured nothing ({}): {last}", program.display(), output.status);
        Failure::new(Code::Usage, text)
    })
}

impl Comparison {
    /// Says in JSON what it comes to.
    pub fn json(&self, most: Option<f64>) -> Value {
        json!({
            "name": self.name,
            "median_ms": rounded(self.medians[0], 4),
            "own_median_ms": rounded(self.medians[1], 4),
            "ratio": rounded(self.ratio, 4),
            "spread": self.spread.map(|spread| spread.map(|ratio| rounded(ratio, 4))),
            "assert": most,
            "holds": most.map(|most| self.ratio <= most),
        })
    }

    /// Says in words what it comes to.
    pub fn text(&self, out: &mut dyn Write) -> Outcome {
        let ([other, own], name) = (self.medians, Printable(&self.name));
        let how = match self.spread {
            Some([least, most]) => format!(" (in {TURNS} turns {least:.3} to {most:.3})"),
            None => String::new(),
        };
        writeln!(out, "against  {name}: median {other:.3} ms there, {own:.3} ms here: {:.3} times{how}", self.ratio)?;
        Ok(())
    }

    /// Fails if ours takes more than `most` times as long.
    pub fn check(&self, most: Option<f64>) -> Outcome {
        match most {
            Some(most) if self.ratio > most => {
                let text = format!("{:.4} times as long as {}, --assert allows {most}", self.ratio, self.name);
                Err(Failure::new(Code::Slower, text))
            }
            _ => Ok(()),
        }
    }
}

/// How often each of two programs measures.
const TURNS: usize = 7;
/// The most bytes of a saved measurement.
const MOST_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(value: Value) -> Saved {
        Saved { name: "a".into(), value }
    }

    #[test]
    fn what_takes_longer_than_allowed_fails_with_its_own_code() {
        let compared = saved(json!({ "median_ms": 2.0 })).compare(&json!({ "median_ms": 2.05 }));
        assert_eq!(compared.json(Some(1.02))["holds"], false);
        assert_eq!(compared.json(None)["ratio"], 1.025);
        assert_eq!(compared.check(Some(1.02)).expect_err("slower").code(), Code::Slower);
        assert!(compared.check(Some(1.03)).is_ok() && compared.check(None).is_ok());
    }

    #[test]
    fn other_work_and_where_it_counts_other_machines_do_not_compare() {
        let of = |threads: usize, cpu: &str| json!({ "median_ms": 1.0, "threads": threads, "host": { "cpu": cpu } });
        let there = saved(of(2, "x"));
        assert!(there.check(&of(2, "x"), true).is_ok() && there.check(&of(2, "y"), false).is_ok());
        let failed = there.check(&of(1, "x"), false).expect_err("other work");
        assert!(failed.code() == Code::Usage && failed.to_string().contains("threads 2, not 1"), "{failed}");
        assert!(there.check(&of(2, "y"), true).is_err());
    }
}
