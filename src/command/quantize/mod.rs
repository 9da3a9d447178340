//! `quantize`: scales for int8, found on pictures, and written beside the weights.
//!
//! ```text
//! look.rs      runs f32 on every picture: most calibrate, some are held back
//! judge.rs     int8 sessions against f32: which clipping, how sensitive each layer is, what must be kept higher
//! report.rs    what came of it, as tables or JSON
//! ```

mod judge;
mod look;
mod report;

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::quantise::{Clipping, Distance, Quantised};
use clap::Args;

use crate::command::caller::say;
use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::progress::Progress;
use crate::command::{load, output, pictures};
use judge::{Judge, keep_higher};
use report::{Candidate, Report, Sensitivity, percent};

/// Find scales for int8 on the pictures in a folder and the folders inside, and write weights with them.
///
/// OUT holds IN's weights as they are, so that it runs in every precision, and beside them the scales that `--precision
/// int8` uses. Pictures should be such as will be classified, a hundred or more; no class needs to be known.
///
/// Every fifth picture, of many pictures fewer, is held back and only judges: how far logits in int8 are from those in
/// f32, as the root mean square of the difference by that of the logits in f32, and for how many pictures the likeliest
/// class is the same.
///
/// A picture that cannot be read is named on stderr and counted apart.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Quantize {
    /// A weight file, as `convert` writes it
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// What to write
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Where the pictures are
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Keep the most sensitive layers in a higher precision, as few as make the error on the pictures that were held back at
    /// most this: 0.02 is 2 % [default: keep none]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_error: Option<f64>,
    /// Threads to use [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = load::threads)]
    threads: Option<usize>,
    /// Print one JSON object instead of tables
    #[arg(short, long)]
    json: bool,
    /// Replace OUT if it exists
    #[arg(short, long)]
    force: bool,
}

const EXAMPLE: &str = "\
The tables, and the JSON object's keys:
  candidates   ways to find scales, of which the one with the least error on some of the pictures is used: clipping, which
               value becomes the largest byte (maximum, percentile: 99.99 % of the values, squared-error: what has the
               least); corrected_biases, whether biases take back what the rounding of weights adds; rms_error
  layers       name; int8, whether the layer computes in it; alone, the error on a few of the pictures when no other layer
               does. Under `none` no layer does
  held_back    pictures, rms_error and agreement of what was written
  calibrated, unreadable (image, error), network, dialect

Example:
  googlenet quantize googlenet.safetensors int8.safetensors --images photographs --max-error 0.03";

/// Fewer pictures than this tell too little of a network's activations.
const LEAST: usize = 10;

impl Quantize {
    /// Writes the quantised file, and prints the report.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        output::check(&self.output, self.force)?;
        let paths = pictures::find(&self.images, &self.output)?;
        let model = load::model(Some(&self.input))?;
        let threads = self.threads.unwrap_or_else(load::all_threads);
        let looked = look::look(&model, &self.input, threads, &paths)?;
        let readable = looked.calibration.images() + looked.held_back.len();
        if readable < LEAST {
            let text = format!("{readable} of {} pictures could be read, at least {LEAST} are needed", paths.len());
            return Err(Failure::new(Code::Input, text));
        }
        let judge = Judge { model: &model, input: &self.input, threads };

        let (candidates, best) = self.candidates(&judge, &looked)?;
        let sensitivities = sensitivities(&judge, &best, &looked.chosen)?;
        let (quantised, distance) = self.within_budget(&judge, &best, &sensitivities, &looked)?;
        quantised.write(&self.output, self.force).or_fail(Code::System, self.input.display())?;

        let int8: Vec<&str> = quantised.layers().collect();
        let report = Report {
            network: model.network().name,
            dialect: model.network().dialect,
            calibrated: looked.calibration.images(),
            unreadable: looked.unreadable.iter().map(|(path, why)| (self.name(path), why.clone())).collect(),
            candidates,
            sensitivities,
            int8,
            distance,
        };
        match self.json {
            true => writeln!(out, "{}", report.json())?,
            false => report.print(out)?,
        }
        say(format_args!("{}: {} layers in int8", self.output.display(), report.int8.len()));
        Failure::unless_all_were_read(report.unreadable.len(), paths.len())
    }

    /// Every way to find scales and its error, the best first tried without the correction of biases, too; and the best.
    fn candidates(&self, judge: &Judge<'_>, looked: &look::Looked) -> Outcome<(Vec<Candidate>, Quantised)> {
        let chosen: Vec<&look::Sample> = looked.chosen.iter().collect();
        let progress = Progress::new((Clipping::ALL.len() + 1) * chosen.len(), "candidates");
        let mut tried: Vec<(Candidate, Quantised)> = Vec::new();
        let best = |tried: &[(Candidate, Quantised)]| {
            let errors = tried.iter().map(|(candidate, _)| candidate.rms_error).enumerate();
            errors.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index).expect("something was tried")
        };
        let of = |clipping: Clipping, corrected_biases: bool| -> Outcome<(Candidate, Quantised)> {
            let quantised = looked.calibration.quantise(clipping, corrected_biases);
            let quantised = quantised.or_fail(Code::Model, self.input.display())?;
            let rms_error = judge.samples(&quantised, &chosen, &progress)?.rms_error();
            Ok((Candidate { clipping, corrected_biases, rms_error }, quantised))
        };
        for clipping in Clipping::ALL {
            tried.push(of(clipping, true)?);
        }
        let clipping = tried[best(&tried)].0.clipping;
        tried.push(of(clipping, false)?);
        let index = best(&tried);
        let quantised = tried[index].1.clone();
        Ok((tried.into_iter().map(|(candidate, _)| candidate).collect(), quantised))
    }

    /// What of `best` is within the budget, if there is one, and its distance from f32 on the pictures that were held back.
    fn within_budget(
        &self,
        judge: &Judge<'_>,
        best: &Quantised,
        sensitivities: &[Sensitivity],
        looked: &look::Looked,
    ) -> Outcome<(Quantised, Distance)> {
        // A layer whose error in int8 is no larger than without any is not made better by being kept higher.
        let none = sensitivities.iter().find(|own| own.layer.is_none()).map_or(0.0, |own| own.rms_error);
        let mut order: Vec<&Sensitivity> = sensitivities.iter().filter(|own| own.rms_error > none).collect();
        order.sort_by(|a, b| b.rms_error.total_cmp(&a.rms_error));
        let order: Vec<&str> = order.iter().filter_map(|own| own.layer.as_deref()).collect();
        let (rounds, what) = match self.max_error {
            Some(_) => (2 + order.len().checked_ilog2().unwrap_or(0) as usize, "budget"),
            None => (1, "judgement"),
        };
        let progress = Progress::new(rounds * looked.held_back.len(), what);
        let judged = |kept: usize| {
            let quantised = best.without(&order[..kept]);
            let distance = judge.held_back(&quantised, &looked.held_back, &progress)?;
            Ok((quantised, distance))
        };
        let Some(budget) = self.max_error else { return judged(0) };
        let error = |(_, distance): &(Quantised, Distance)| distance.rms_error();
        match keep_higher(order.len(), judged, |judged| error(judged) <= budget)? {
            Ok(within) => Ok(within),
            Err(least) => {
                let (error, kept) = (percent(error(&least)), order.len());
                let text =
                    format!("--max-error {budget}: the error is {error} with {kept} layers kept in a higher precision");
                Err(Failure::new(Code::Usage, text))
            }
        }
    }

    /// A picture's path from the folder of pictures on.
    fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.images).unwrap_or(path).to_string_lossy().into_owned()
    }
}

/// The error of each layer in int8 alone, and at the end that of none, on a few of `samples`, evenly spread.
fn sensitivities(judge: &Judge<'_>, quantised: &Quantised, samples: &[look::Sample]) -> Outcome<Vec<Sensitivity>> {
    let samples: Vec<&look::Sample> = samples.iter().step_by(samples.len().div_ceil(FEW)).collect();
    let layers: Vec<Option<String>> = quantised.layers().map(|layer| Some(layer.to_owned())).chain([None]).collect();
    let progress = Progress::new(layers.len() * samples.len(), "layers");
    let of = |layer: Option<String>| {
        // No layer has an empty name.
        let alone = quantised.alone(layer.as_deref().unwrap_or_default());
        let rms_error = judge.samples(&alone, &samples, &progress)?.rms_error();
        Ok(Sensitivity { layer, rms_error })
    };
    layers.into_iter().map(of).collect()
}

/// How many pictures tell a layer's sensitivity: logits of many classes make the error of each picture a mean already.
const FEW: usize = 8;

/// Parses `--max-error`.
fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("expected a number above 0 and at most 1, as 0.02 for 2 %".to_owned()),
    }
}
