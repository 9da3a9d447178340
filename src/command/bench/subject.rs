//! What `bench` and `profile` run: which network, how, and how often.

use std::path::PathBuf;

use clap::Args;

use crate::{Model, Options, Precision, Session};

use crate::command::exit::{Code, OrFail, Outcome};
use crate::command::load;

/// The arguments that say what is run.
#[derive(Args)]
pub struct Subject {
    /// Weights, as `convert` writes them [default: the demonstration weights]
    #[arg(short, long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Threads to use
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = load::threads)]
    pub threads: usize,
    /// Images of a run
    #[arg(long, value_name = "N", default_value = "1", value_parser = load::batch)]
    pub batch: usize,
    /// Side of the input, in pixels [default: the weights']
    #[arg(long, value_name = "PIXELS", value_parser = load::side)]
    pub side: Option<usize>,
    /// Precision to compute in: `f32`; `bf16`, rounded to 8 significant bits; `int8`, for weights that `quantize` made
    #[arg(short, long, value_name = "NAME", default_value = "f32", value_parser = load::precision())]
    pub precision: Precision,
}

impl Subject {
    /// A session for it, with an input; if `profiles`, it measures each layer.
    pub fn session(&self, model: &Model, profiles: bool) -> Outcome<Session> {
        let options = Options::new().threads(self.threads).batch(self.batch).profile(profiles);
        let options = options.precision(self.precision).side(self.side.unwrap_or(model.side()));
        let mut session = model.session(options).or_fail(Code::Usage, "")?;
        // A run's time does not depend on the values, subnormals aside, so that a fixed pattern in a picture's range
        // will do.
        session.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (i % 251) as f32 - 125.0);
        Ok(session)
    }
}

/// Runs to warm up before `runs` that count.
pub fn warm_up(runs: usize) -> usize {
    runs.div_ceil(10)
}
