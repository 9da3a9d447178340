//! What share of the time each thread was at work, and for which phases threads waited longest.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};

use crate::command::bench::rounded;
use crate::command::exit::Outcome;
use crate::{Activity, Trace};

/// How the threads spent the time of the runs.
pub struct Shares {
    /// Nanoseconds of all runs.
    all: u64,
    threads: Vec<Thread>,
    /// Nanoseconds that threads waited for the end of a phase, with the layers of the phase, longest first.
    phases: Vec<(u64, usize, String)>,
}

/// Nanoseconds of a thread.
#[derive(Clone, Copy, Default)]
struct Thread {
    tasks: u64,
    keeps: u64,
    waits: u64,
}

impl Shares {
    pub fn of(trace: &Trace) -> Self {
        let mut threads = vec![Thread::default(); trace.threads];
        let mut phases: BTreeMap<usize, u64> = BTreeMap::new();
        for slice in &trace.slices {
            let thread = &mut threads[slice.thread];
            let nanoseconds = slice.nanoseconds.end - slice.nanoseconds.start;
            match slice.activity {
                Activity::Task { .. } => thread.tasks += nanoseconds,
                Activity::Keep { .. } => thread.keeps += nanoseconds,
                Activity::Wait { phase } => {
                    thread.waits += nanoseconds;
                    if let Some(phase) = phase {
                        *phases.entry(phase).or_default() += nanoseconds;
                    }
                }
            }
        }
        let layers = |phase: usize| {
            let steps = trace.steps.iter().filter(|step| step.phase == phase);
            steps.map(|step| step.layers.as_str()).collect::<Vec<_>>().join(", ")
        };
        let mut phases: Vec<_> = phases.into_iter().map(|(phase, waits)| (waits, phase, layers(phase))).collect();
        phases.sort_by_key(|&(waits, phase, _)| (std::cmp::Reverse(waits), phase));
        Self { all: trace.runs.iter().map(|run| run.end - run.start).sum(), threads, phases }
    }

    /// Milliseconds of all runs.
    pub fn ms(&self) -> f64 {
        self.all as f64 / 1e6
    }

    fn share(&self, nanoseconds: u64) -> f64 {
        nanoseconds as f64 / self.all.max(1) as f64
    }

    pub fn json(&self) -> Value {
        let thread = |thread: &Thread| {
            json!({
                "tasks": rounded(self.share(thread.tasks), 4),
                "keeps": rounded(self.share(thread.keeps), 4),
                "waits": rounded(self.share(thread.waits), 4),
            })
        };
        self.threads.iter().map(thread).collect()
    }

    pub fn text(&self, out: &mut dyn Write) -> Outcome {
        for (i, thread) in self.threads.iter().enumerate() {
            let [tasks, keeps, waits] =
                [thread.tasks, thread.keeps, thread.waits].map(|nanoseconds| 100.0 * self.share(nanoseconds));
            writeln!(out, "thread {i} tasks {tasks:.1} %, waits {waits:.1} %, outputs {keeps:.1} %")?;
        }
        // With one thread nobody waits for anybody.
        for (waits, phase, layers) in self.phases.iter().take(if self.threads.len() > 1 { SHOWN } else { 0 }) {
            let share = 100.0 * self.share(*waits) / self.threads.len() as f64;
            writeln!(out, "waits    {share:.2} % of all threads' time for phase {phase}: {layers}")?;
        }
        Ok(())
    }
}

/// How many phases are named that threads wait for.
const SHOWN: usize = 5;
