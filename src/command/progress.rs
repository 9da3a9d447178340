//! A progress bar on stderr, only on a terminal, and only once the work has taken a second.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::command::caller;
use crate::command::exit::Outcome;

/// The progress through a known number of runs, pictures or the like. The bar is erased when this is dropped.
pub struct Progress {
    bar: ProgressBar,
    begin: Instant,
}

impl Progress {
    /// Begins with none of `count` done; `what` says what they are.
    pub fn new(count: usize, what: &'static str) -> Self {
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}").expect("a valid template");
        let bar = ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::hidden());
        Self { bar: bar.with_style(style).with_message(what), begin: Instant::now() }
    }

    /// Notes that `count` more are done. It fails if the caller wants no more.
    pub fn advance(&self, count: usize) -> Outcome {
        if self.bar.is_hidden() && self.begin.elapsed() > PATIENCE {
            // The bar stays hidden if stderr is no terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(count as u64);
        caller::check()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// How long work may take before a bar is shown.
const PATIENCE: Duration = Duration::from_secs(1);
