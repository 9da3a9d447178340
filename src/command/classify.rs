//! `classify`: from picture files to labels.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use crate::image::{self, Crops, Decoded};
use crate::{Ensemble, Options, Precision, Prediction};
use clap::Args;
use serde_json::json;

use crate::command::ahead;
use crate::command::caller::{advise, complain, warn};
use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::inputs::{Inputs, Source, doubts};
use crate::command::labels::{self, Label};
use crate::command::load;
use crate::command::printable::Printable;
use crate::command::progress::Progress;

/// Say what is on pictures: JPEG, PNG, WebP, GIF, BMP and TIFF files, of moving ones the first picture.
///
/// Without an IMAGE it looks at a built-in photograph of a cat; without `--weights` it uses built-in weights that know
/// ten classes. Pictures are turned upright as their EXIF orientation says. A picture that cannot be used is named on stderr, the
/// others are still classified, and the exit code is 4.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Classify {
    /// Weights, as `convert` writes them; of several the probabilities are averaged [default: the demonstration weights]
    #[arg(short, long, value_name = "FILE")]
    weights: Vec<PathBuf>,
    /// A text file with a line for each class, in their order: a synset id and a label, or one of them [default: the
    /// labels in the weights]
    #[arg(short, long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Crops of a picture to average over: the middle; corners and middle, mirrored too; the paper's 144
    #[arg(short, long, value_name = "1|10|144", default_value = "1", value_parser = load::crops())]
    crops: Crops,
    /// How many classes to print, the likeliest first
    #[arg(short = 'k', long, value_name = "K", default_value = "5", value_parser = load::count)]
    top: usize,
    /// Threads to use [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = load::threads)]
    threads: Option<usize>,
    /// Precision to compute in: `f32`; `bf16`, rounded to 8 significant bits; `int8`, for weights that `quantize` made
    #[arg(short, long, value_name = "NAME", default_value = "f32", value_parser = load::precision())]
    precision: Precision,
    /// Say on stderr how the weights came into use, and what layers compute in
    #[arg(short, long)]
    verbose: bool,
    /// Print a line of JSON for each picture: image, top (index, label, probability; with --labels id, the synset's), ms
    #[arg(short, long)]
    json: bool,
    #[command(flatten)]
    inputs: Inputs,
}

/// The photograph that is built into the command, a PNG file: "Chelsea" by Stefan van der Walt, CC0. See weights/README.md.
pub static PHOTOGRAPH: &[u8] = include_bytes!("../../weights/chelsea.png");

const EXAMPLE: &str = "\
Examples:
  googlenet classify --top 3 cat.jpg dog.png
  googlenet classify --weights googlenet.safetensors --json cat.jpg
  googlenet classify photographs
  curl -s https://example.org/cat.jpg | googlenet classify -
  find . -name '*.jpg' -print0 | googlenet classify --files-from -
  googlenet classify --weights a.safetensors --weights b.safetensors --crops 10 cat.jpg";

impl Classify {
    /// Prints labels for every picture.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        let sources = self.inputs.sources()?;
        let models = load::models(&self.weights)?;
        let threads = self.threads.unwrap_or_else(load::all_threads);
        let options = Options::new().threads(threads).precision(self.precision);
        let mut ensemble = Ensemble::new(&models, self.crops, options).or_fail(Code::Usage, "")?;
        if self.verbose {
            for (model, session) in models.iter().zip(ensemble.sessions()) {
                load::explain(model, session);
            }
        }
        let (labels, skip) = labels::of(self.labels.as_deref(), &models, ensemble.classes(), ensemble.labels())?;
        if labels.is_empty() {
            advise("the weights have no labels, and classes are numbered from 0; --labels FILE names them");
        }
        let label = |class: usize| match class.checked_sub(skip) {
            Some(class) => labels.get(class).cloned().unwrap_or_default(),
            None => Label { id: None, text: "background".to_owned() },
        };
        if !self.inputs.are_named() {
            let picture = image::decode(PHOTOGRAPH);
            return self.one(&mut ensemble, &label, "chelsea.png (built in)", None, picture, out);
        }
        let progress = (sources.len() > 1).then(|| Progress::new(sources.len(), "pictures"));
        let mut bad = 0;
        let open = |source| self.inputs.open(source);
        ahead::each(threads, &sources, open, |source, picture| {
            match self.one(&mut ensemble, &label, &source.name(), Some(source), picture, out) {
                Err(failure) if failure.code() == Code::Input && sources.len() > 1 => {
                    complain(format_args!("error: {failure}"));
                    bad += 1;
                }
                outcome => outcome?,
            }
            progress.as_ref().map_or(Ok(()), |progress| progress.advance(1))
        })?;
        drop(progress);
        Failure::unless_all_were_read(bad, sources.len())
    }

    /// Prints what is on one picture. `label` names a class; the built-in picture has no `source`.
    fn one(
        &self,
        ensemble: &mut Ensemble,
        label: &dyn Fn(usize) -> Label,
        name: &str,
        source: Option<&Source>,
        picture: crate::Result<Decoded>,
        out: &mut dyn Write,
    ) -> Outcome {
        let picture = picture.or_fail(Code::Input, name)?;
        for doubt in doubts(&picture) {
            warn(format_args!("{}: {doubt}", Printable(name)));
        }
        let begin = Instant::now();
        let probabilities = ensemble.probabilities(picture.view()).or_fail(Code::Input, name)?;
        let top = Prediction::most_likely(probabilities, &[], self.top);
        let ms = begin.elapsed().as_secs_f64() * 1e3;
        let top = top.into_iter().map(|best| (label(best.index), best.index, best.probability));
        if self.json {
            let class = |(label, index, probability): (Label, usize, f32)| {
                let mut class = json!({ "index": index, "label": label.text, "probability": probability });
                if let Some(id) = label.id {
                    class["id"] = json!(id);
                }
                class
            };
            let mut line = json!({ "image": name });
            if let Some(source) = source {
                source.put(&mut line);
            }
            line["top"] = top.map(class).collect();
            line["ms"] = json!((ms * 1e3).round() / 1e3);
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{}  ({ms:.1} ms)", Printable(name))?;
            for (label, index, probability) in top {
                writeln!(out, "  {:6.2} %  {index:>4}  {}", 100.0 * probability, Printable(&label.text))?;
            }
        }
        Ok(())
    }
}
