//! What was recorded of runs, as callers read it, and as files of the Trace Event format.
//!
//! The format is that of "Trace Event Format" (Duffy, Google, 2016): JSON objects with a begin and a duration in
//! microseconds, which Perfetto and other viewers show as slices on the tracks of threads.

use std::io::{self, Write};
use std::ops::Range;

use serde_json::Value;

use super::describe::StepDescription;
use super::record::{Did, Event, Recording};
use super::schedule::Schedule;

/// What the threads of a session did in the runs that were recorded: see [`Session::record`](crate::Session::record).
#[derive(Clone, Debug)]
pub struct Trace {
    /// The plan's steps, as [`Session::describe`](crate::Session::describe) lists them.
    pub steps: Vec<StepDescription>,
    /// How many threads the session has, the caller's included, which is thread 0.
    pub threads: usize,
    /// When each run began and ended, in nanoseconds since the recording began.
    pub runs: Vec<Range<u64>>,
    /// What each thread did: thread by thread, in the order of time. The slices of a thread in a run follow each other from
    /// the run's begin to its end, and overlap nowhere.
    pub slices: Vec<Slice>,
}

/// Something that a thread did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The thread, by number.
    pub thread: usize,
    /// The run, by its index in [`Trace::runs`].
    pub run: usize,
    /// When it began and ended, in nanoseconds since the recording began; at least one nanosecond passed.
    pub nanoseconds: Range<u64>,
    /// What the thread did.
    pub activity: Activity,
}

/// What a thread did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activity {
    /// It computed a task: a part of a step. To claim the task before it is part of it.
    Task {
        /// The step, by its index in [`Trace::steps`].
        step: usize,
        /// The image of the batch, counted from 0.
        image: usize,
        /// Which part of the step it was: of a convolution tiles of pixels or rows of tiles, else channels, or blocks of
        /// input channels, as the step's kernel counts them.
        range: Range<usize>,
        /// Which blocks of output channels of a convolution; empty for other steps.
        blocks: Range<usize>,
    },
    /// It copied what is kept of an image to where the caller reads it.
    Keep {
        /// The image of the batch, counted from 0.
        image: usize,
    },
    /// It waited.
    Wait {
        /// For the tasks of which phase, that other threads computed; none if for the run's begin or end.
        phase: Option<usize>,
    },
}

impl Trace {
    pub(super) fn new(schedule: &Schedule, recording: Option<&Recording>, threads: usize) -> Self {
        let places = schedule.described_places();
        let activity = |event: &Event| {
            let (image, phase) = (event.image as usize, event.phase as usize);
            match event.did {
                Did::Task(index) => {
                    let task = &schedule.tasks[phase][index as usize];
                    let (range, blocks) = (task.part.range.clone(), task.part.blocks.clone());
                    Activity::Task { step: places[task.step], image, range, blocks }
                }
                Did::Keep => Activity::Keep { image },
                Did::Wait => Activity::Wait { phase: Some(phase) },
                Did::Arrive => Activity::Wait { phase: None },
            }
        };
        let runs = recording.map(Recording::runs).unwrap_or_default().to_vec();
        let mut slices = Vec::new();
        for (thread, events) in recording.into_iter().flat_map(Recording::tracks).enumerate() {
            let mut events = events.into_iter().peekable();
            for (run, time) in runs.iter().enumerate() {
                let mut begin = time.start;
                let mut push = |end: u64, activity: Activity| {
                    // Where the clock shows the same twice, nobody waited, and a task took at least a moment.
                    let end = if matches!(activity, Activity::Wait { .. }) { end } else { end.max(begin + 1) };
                    if begin < end {
                        slices.push(Slice { thread, run, nanoseconds: begin..end, activity });
                        begin = end;
                    }
                };
                while let Some(event) = events.next_if(|event| event.run as usize == run) {
                    push(event.end, activity(&event));
                }
                push(time.end, Activity::Wait { phase: None });
            }
        }
        Self { steps: schedule.describe(), threads, runs, slices }
    }

    /// Writes the trace as JSON in the Trace Event format, which <https://ui.perfetto.dev> and other viewers open: a track
    /// for each thread, a slice for each task with its step, kernel, phase, image and range, and slices for waits. The runs
    /// are slices of thread 0's track, which hold its own. Times are microseconds since the recording began.
    ///
    /// # Errors
    /// If `out` cannot be written to.
    ///
    /// ```
    /// use googlenet::{Model, Options};
    ///
    /// let mut session = Model::open("weights/demo.safetensors")?.session(Options::new())?;
    /// session.record(1)?;
    /// session.run();
    /// let mut json = Vec::new();
    /// session.trace().write_json(&mut json)?;
    /// assert!(json.starts_with(br#"{"traceEvents":["#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(
            out,
            "{{\"traceEvents\":[\n{{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":{{\"name\":\"googlenet\"}}}}"
        )?;
        for thread in 0..self.threads {
            let (tid, whose) = (thread + 1, if thread == 0 { ", the caller's" } else { "" });
            let meta = format!(",\n{{\"ph\":\"M\",\"pid\":1,\"tid\":{tid},\"name\"");
            write!(out, "{meta}:\"thread_name\",\"args\":{{\"name\":\"thread {thread}{whose}\"}}}}")?;
            write!(out, "{meta}:\"thread_sort_index\",\"args\":{{\"sort_index\":{thread}}}}}")?;
        }
        // Steps and kernels are named once, as there are many slices of each.
        let quoted = |text: &str| Value::from(text).to_string();
        let names: Vec<String> = self.steps.iter().map(|step| quoted(&step.layers)).collect();
        let kernels: Vec<String> = self.steps.iter().map(|step| quoted(&step.kernel)).collect();
        for (run, time) in self.runs.iter().enumerate() {
            // A slice comes after those that hold it, as viewers want it.
            event(out, "run", &format!("\"run {run}\""), 0, time)?;
            write!(out, "\"run\":{run}}}}}")?;
            for Slice { thread, nanoseconds, activity, .. } in self.slices.iter().filter(|slice| slice.run == run) {
                match activity {
                    Activity::Task { step, image, range, blocks } => {
                        let (name, kernel, step) = (&names[*step], &kernels[*step], &self.steps[*step]);
                        event(out, "task", name, *thread, nanoseconds)?;
                        write!(out, "\"step\":{name},\"kernel\":{kernel},\"precision\":\"{}\",", step.precision)?;
                        write!(out, "\"phase\":{},\"image\":{image},", step.phase)?;
                        let [range, blocks] = [range, blocks].map(|range| [range.start, range.end]);
                        write!(out, "\"range\":{range:?},\"blocks\":{blocks:?},\"run\":{run}}}}}")?;
                    }
                    Activity::Keep { image } => {
                        event(out, "keep", "\"keep outputs\"", *thread, nanoseconds)?;
                        write!(out, "\"image\":{image},\"run\":{run}}}}}")?;
                    }
                    Activity::Wait { phase } => {
                        event(out, "wait", "\"wait\"", *thread, nanoseconds)?;
                        match phase {
                            Some(phase) => write!(out, "\"phase\":{phase},\"run\":{run}}}}}")?,
                            None => write!(out, "\"phase\":null,\"run\":{run}}}}}")?,
                        }
                    }
                }
            }
        }
        writeln!(out, "\n],\"displayTimeUnit\":\"ns\"}}")
    }
}

/// Begins a complete event of the format, up to what is in its arguments; `name` is JSON.
fn event(out: &mut dyn Write, category: &str, name: &str, thread: usize, time: &Range<u64>) -> io::Result<()> {
    let (begin, length, tid) = (time.start, time.end - time.start, thread + 1);
    let [begin, length] = [begin, length].map(|ns| format!("{}.{:03}", ns / 1000, ns % 1000));
    write!(out, ",\n{{\"ph\":\"X\",\"cat\":\"{category}\",\"name\":{name},\"pid\":1,\"tid\":{tid},")?;
    write!(out, "\"ts\":{begin},\"dur\":{length},\"args\":{{")
}
