//! `eval`: how often weights are right about pictures whose classes are known.

mod heads;
pub mod journal;
mod report;
mod truth;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::image::Crops;
use crate::{Ensemble, Model, Options, Precision};
use clap::Args;
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::Xxh3;

use crate::command::ahead;
use crate::command::caller::{self, complain, say, warn};
use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::inputs::{self, Source};
use crate::command::labels;
use crate::command::load;
use crate::command::printable::Printable;
use crate::command::progress::Progress;
use heads::Heads;
use journal::{Journal, KIND, Opinion, VERSION, Verdict};
use report::{Context, Report};
use truth::{Names, Picture};

/// Judge weights on pictures whose classes are known.
///
/// DIR holds folders named by class, or pictures whose names begin with a synset id (n01440764_tench.jpg), or both. Of folders
/// inside of folders the innermost that is named by a class counts. A class is named by its synset id, its label or its number. DIR may also be a text file: in each line a picture's
/// path, from the file's own folder, and its class, after a tab or a space; `-` is such a list on standard input.
///
/// Pictures are JPEG, PNG, WebP, GIF, BMP or TIFF files, and turned upright as their EXIF orientation says; --as-stored leaves them
/// as they are stored, as the programs did with which accuracies were published. A picture that cannot be read is named on
/// stderr and counted apart, and the exit code is then 4.
///
/// If the weights hold auxiliary heads (`loss1`, `loss2`), these are judged, too, and so is the mean of their
/// probabilities and the network's own, each weighted equally; the pictures on which they are split are listed, in the
/// JSON object all of them. Heads are left out, and stderr says so, if not all of several weights have them, or if the
/// weights are for an input side that they do not fit. They take time, and weights that were packed without them are
/// packed again in memory: --no-heads leaves them out.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Eval {
    /// Where the pictures are
    #[arg(value_name = "DIR")]
    pictures: PathBuf,
    /// Weights, as `convert` writes them; of several the probabilities are averaged [default: the demonstration weights]
    #[arg(short, long, value_name = "FILE")]
    weights: Vec<PathBuf>,
    /// Crops of a picture: the middle; corners and middle, mirrored too; the paper's 144
    #[arg(short, long, value_name = "1|10|144", default_value = "1", value_parser = load::crops())]
    crops: Crops,
    /// A text file with a line for each class, in their order: a synset id and a label, or one of them [default: the
    /// labels in the weights]
    #[arg(short, long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Threads to use [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = load::threads)]
    threads: Option<usize>,
    /// Precision to compute in: `f32`; `bf16`, rounded to 8 significant bits; `int8`, for weights that `quantize` made
    #[arg(short, long, value_name = "NAME", default_value = "f32", value_parser = load::precision())]
    precision: Precision,
    /// Take pictures as their files store them: a camera's orientation (EXIF) is ignored, as it was when accuracies were
    /// measured with Pillow
    #[arg(long)]
    as_stored: bool,
    /// Judge no auxiliary heads
    #[arg(long)]
    no_heads: bool,
    /// Note each picture in FILE; a run that was killed goes on from there when it is started again
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Print the table of all classes, too
    #[arg(long)]
    per_class: bool,
    /// Print one JSON object instead of tables
    #[arg(short, long, conflicts_with = "csv")]
    json: bool,
    /// Print the table of classes as CSV
    #[arg(long)]
    csv: bool,
}

const EXAMPLE: &str = "\
Examples:
  googlenet eval photographs --weights googlenet.safetensors --labels synset_words.txt --crops 10
  googlenet eval photographs --journal judged.jsonl --json";

impl Eval {
    /// Prints the report.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        let models = load::models(&self.weights)?;
        let heads = if self.no_heads { Vec::new() } else { heads::common(&models, &self.weights) };
        let options = Options::new().threads(self.threads()).precision(self.precision);
        let options = heads.iter().fold(options, |options, &head| options.endpoint(head));
        let mut ensemble = Ensemble::new(&models, self.crops, options).or_fail(Code::Usage, "")?;
        let (labels, skip) = labels::of(self.labels.as_deref(), &models, ensemble.classes(), ensemble.labels())?;
        let pictures = truth::pictures(&self.pictures, &Names::new(ensemble.classes() - skip, &labels))?;
        let about = self.about(&models, &heads, skip, &pictures);
        let names = heads::names(&heads);
        let (mut journal, mut verdicts) = Journal::open(self.journal.as_deref(), &about, pictures.len(), names.len())?;

        // Pictures that could not be read are tried again, and named again.
        for verdict in verdicts.iter_mut().filter(|verdict| matches!(verdict, Some(Verdict::Unreadable(_)))) {
            *verdict = None;
        }
        let todo: Vec<usize> = (0..pictures.len()).filter(|&picture| verdicts[picture].is_none()).collect();
        if todo.len() < pictures.len() {
            say(format_args!("{} of {} pictures were judged before", pictures.len() - todo.len(), pictures.len()));
        }
        let begin = Instant::now();
        let mut doubtful = 0;
        self.judge(&mut ensemble, &heads, skip, &pictures, &todo, |picture, verdict, is_doubtful| {
            journal.note(picture, &verdict)?;
            doubtful += usize::from(is_doubtful);
            if let Verdict::Unreadable(why) = &verdict {
                complain(format_args!("error: {}", Printable(&format!("{}: {why}", pictures[picture].path.display()))));
            }
            verdicts[picture] = Some(verdict);
            Ok(())
        })?;
        let took = begin.elapsed();
        if doubtful > 0 {
            let text = "are less than 32 pixels a side, more than 20 times longer than wide, or lack their end marker";
            warn(format_args!("{doubtful} of {} pictures {text}", todo.len()));
        }

        let verdicts: Vec<Verdict> = verdicts.into_iter().map(|verdict| verdict.expect("all were judged")).collect();
        let report = Report::new(&pictures, &verdicts, &labels);
        if report.judged() == 0 {
            let text = format!("none of {} pictures could be read", report.unreadable().len());
            return Err(Failure::new(Code::Input, text));
        }
        let heads = Heads::new(&pictures, &verdicts, names);
        let context = Context {
            crops: self.crops.count(),
            models: models.len(),
            images_per_second: (!todo.is_empty() && took > Duration::ZERO)
                .then(|| todo.len() as f64 / took.as_secs_f64()),
            labels: &labels,
            heads: heads.as_ref(),
        };
        if self.json {
            writeln!(out, "{}", report.json(&context))?;
        } else if self.csv {
            report.csv(&context, out)?;
        } else {
            report.text(&context, self.per_class, out)?;
        }
        Failure::unless_all_were_read(report.unreadable().len(), pictures.len())
    }

    fn threads(&self) -> usize {
        self.threads.unwrap_or_else(load::all_threads)
    }

    /// All that verdicts depend on, except the programme itself: what a journal's first line says.
    fn about(&self, models: &[Model], heads: &[&str], skip: usize, pictures: &[Picture]) -> Map<String, Value> {
        // A model's metadata hold the hash of the weights, the preprocessing and the labels.
        let weights = models.iter().map(|model| hash(model.weights().metadata().iter().flat_map(|(k, v)| [k, v])));
        let classes: Vec<String> = pictures.iter().map(|picture| picture.class.to_string()).collect();
        let relative = |path: &Path| path.strip_prefix(&self.pictures).unwrap_or(path).to_string_lossy().into_owned();
        let names: Vec<String> = pictures.iter().map(|picture| relative(&picture.path)).collect();
        let about = [
            (KIND.to_owned(), json!(VERSION)),
            ("weights".to_owned(), json!(weights.collect::<Vec<_>>())),
            ("heads".to_owned(), json!(heads)),
            ("crops".to_owned(), json!(self.crops.count())),
            ("classes left out".to_owned(), json!(skip)),
            ("number of pictures".to_owned(), json!(pictures.len())),
            ("pictures or classes".to_owned(), json!(hash(names.iter().chain(&classes)))),
        ];
        // A journal that names no precision is of f32.
        let orientation = self.as_stored.then(|| ("as stored".to_owned(), json!(true)));
        let precision =
            (self.precision != Precision::F32).then(|| ("precision".to_owned(), json!(self.precision.name())));
        about.into_iter().chain(precision).chain(orientation).collect()
    }

    /// Judges the pictures whose indices are in `todo`; `done` is called with each picture's index, its verdict, and whether the
    /// picture is doubtful, in order.
    fn judge(
        &self,
        ensemble: &mut Ensemble,
        heads: &[&str],
        skip: usize,
        pictures: &[Picture],
        todo: &[usize],
        mut done: impl FnMut(usize, Verdict, bool) -> Outcome,
    ) -> Outcome {
        let progress = Progress::new(todo.len(), "pictures");
        let open = |&picture: &usize| inputs::open(&Source::File(pictures[picture].path.clone()), self.as_stored);
        ahead::each(self.threads(), todo, open, |&picture, opened| {
            let (verdict, is_doubtful) = match opened {
                Ok(decoded) => {
                    let name = pictures[picture].path.display();
                    let mut over = Ok(());
                    let is_over = || {
                        over = caller::check();
                        over.is_err()
                    };
                    let main = ensemble.probabilities_unless(decoded.view(), is_over).or_fail(Code::Input, &name)?;
                    let main = main.map(<[f32]>::to_vec);
                    over?;
                    let main = main.expect("nothing else ends it");
                    let all = heads::probabilities(ensemble, main, heads);
                    let verdict = verdict(all.iter().map(|probabilities| &probabilities[skip..]), heads);
                    let failed = |why: String| Failure::new(Code::Model, format!("{name}: {why}"));
                    (verdict.map_err(failed)?, !inputs::doubts(&decoded).is_empty())
                }
                Err(error) => (Verdict::Unreadable(Failure::of(Code::Input, "", &error).to_string()), false),
            };
            done(picture, verdict, is_doubtful)?;
            progress.advance(1)
        })
    }
}

/// The verdict for a picture: an opinion for each of `all`, the probabilities of the classes by the network and by each
/// of `heads`. If one gives no probabilities, the weights are to blame, and the failure says which.
fn verdict<'a>(all: impl Iterator<Item = &'a [f32]>, heads: &[&str]) -> Result<Verdict, String> {
    let opinions: Vec<Option<Opinion>> = all.map(opinion).collect();
    match opinions.iter().position(Option::is_none) {
        None => Ok(Verdict::Classes(opinions.into_iter().flatten().collect())),
        Some(0) => Err("the weights give no probabilities for it".to_owned()),
        // The last opinion, the mean's, is none only if a head's is.
        Some(index) => {
            let head = heads[index - 1];
            Err(format!("the auxiliary head {head} gives no probabilities for it; see --no-heads"))
        }
    }
}

/// The five likeliest classes by `probabilities`, and the confidence in the first; `None` if they are not
/// probabilities. If a class was left out of them, they do not add up to 1, and the confidence is the first one's share
/// of their sum.
fn opinion(probabilities: &[f32]) -> Option<Opinion> {
    let sum: f64 = probabilities.iter().map(|&probability| f64::from(probability)).sum();
    if !(sum > 0.0 && sum.is_finite()) {
        return None;
    }
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]).then(a.cmp(&b)));
    order.truncate(5);
    let confidence = f64::from(probabilities[order[0]]) / sum;
    Some(Opinion { top: order, confidence })
}

/// The hash of `texts` and their lengths.
fn hash<'a>(texts: impl Iterator<Item = &'a String>) -> String {
    let mut hash = Xxh3::new();
    for text in texts {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    format!("{:032x}", hash.digest128())
}
