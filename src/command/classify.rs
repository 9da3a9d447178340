//! `classify`: from picture files to labels.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use crate::image::{self, Crops};
use crate::{Ensemble, Options, Precision};
use clap::Args;
use serde_json::json;

use crate::command::caller::say;
use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::load;
use crate::command::printable::Printable;
use crate::command::progress::Progress;

/// Say what is on pictures (JPEG or PNG).
///
/// Without an IMAGE it looks at a built-in photograph of a cat; without `--weights` it uses built-in weights that know
/// ten classes. A picture that cannot be used is named on stderr, the others are still classified, and the exit code
/// is 4.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Classify {
    /// Weights, as `convert` writes them; of several the probabilities are averaged [default: the demonstration weights]
    #[arg(long, value_name = "FILE")]
    weights: Vec<PathBuf>,
    /// Crops of a picture to average over: the middle; corners and middle, mirrored too; the paper's 144
    #[arg(long, value_name = "1|10|144", default_value = "1", value_parser = load::crops())]
    crops: Crops,
    /// How many classes to print, the likeliest first
    #[arg(long, value_name = "K", default_value = "5", value_parser = load::count)]
    top: usize,
    /// Threads to use [default: one for each core]
    #[arg(long, value_name = "N", value_parser = load::threads)]
    threads: Option<usize>,
    /// Precision to compute in: `f32`; `bf16`, rounded to 8 significant bits; `int8`, for weights that `quantize` made
    #[arg(long, value_name = "NAME", default_value = "f32", value_parser = load::precision())]
    precision: Precision,
    /// Say on stderr how the weights came into use, and what layers compute in
    #[arg(long)]
    verbose: bool,
    /// Print a line of JSON for each picture: image, top (index, label, probability), ms
    #[arg(long)]
    json: bool,
    /// Pictures
    #[arg(value_name = "IMAGE")]
    images: Vec<PathBuf>,
}

/// The photograph that is built into the command, a PNG file: "Chelsea" by Stefan van der Walt, CC0. See weights/README.md.
pub static PHOTOGRAPH: &[u8] = include_bytes!("../../weights/chelsea.png");

const EXAMPLE: &str = "\
Examples:
  googlenet classify --top 3 cat.jpg dog.png
  googlenet classify --weights googlenet.safetensors --json cat.jpg
  googlenet classify --weights a.safetensors --weights b.safetensors --crops 10 cat.jpg";

impl Classify {
    /// Prints labels for every picture.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        let models = load::models(&self.weights)?;
        let threads = self.threads.unwrap_or_else(load::all_threads);
        let options = Options::new().threads(threads).precision(self.precision);
        let mut ensemble = Ensemble::new(&models, self.crops, options).or_fail(Code::Usage, "")?;
        if self.verbose {
            for (model, session) in models.iter().zip(ensemble.sessions()) {
                load::explain(model, session);
            }
        }
        if self.images.is_empty() {
            return self.one(&mut ensemble, "chelsea.png (built in)", image::decode(PHOTOGRAPH), out);
        }
        let progress = (self.images.len() > 1).then(|| Progress::new(self.images.len(), "pictures"));
        let mut bad = 0;
        for path in &self.images {
            match self.one(&mut ensemble, &path.display().to_string(), image::open(path), out) {
                Err(failure) if failure.code() == Code::Input && self.images.len() > 1 => {
                    say(format_args!("error: {failure}"));
                    bad += 1;
                }
                outcome => outcome?,
            }
            if let Some(progress) = &progress {
                progress.advance(1)?;
            }
        }
        drop(progress);
        match bad {
            0 => Ok(()),
            _ => Err(Failure::new(Code::Input, format!("{bad} of {} pictures could not be used", self.images.len()))),
        }
    }

    fn one(
        &self,
        ensemble: &mut Ensemble,
        name: &str,
        picture: crate::Result<image::Decoded>,
        out: &mut dyn Write,
    ) -> Outcome {
        let picture = picture.or_fail(Code::Input, name)?;
        let begin = Instant::now();
        let top = ensemble.classify(picture.view(), self.top).or_fail(Code::Input, name)?;
        let ms = begin.elapsed().as_secs_f64() * 1e3;
        if top.iter().any(|prediction| !prediction.probability.is_finite()) {
            return Err(Failure::new(Code::Model, format!("{name}: the weights give no probabilities for it")));
        }
        if self.json {
            let top: Vec<_> = top
                .iter()
                .map(|p| json!({ "index": p.index, "label": p.label, "probability": p.probability }))
                .collect();
            writeln!(out, "{}", json!({ "image": name, "top": top, "ms": ms }))?;
        } else {
            writeln!(out, "{}  ({ms:.1} ms)", Printable(name))?;
            for p in top {
                writeln!(out, "  {:6.2} %  {:>4}  {}", 100.0 * p.probability, p.index, Printable(&p.label))?;
            }
        }
        Ok(())
    }
}
