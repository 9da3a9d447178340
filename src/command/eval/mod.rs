//! `eval`: how often weights are right about pictures whose classes are known.

mod heads;
pub mod journal;
mod report;
mod truth;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::image::{self, Crops};
use crate::{Ensemble, Model, Options, Precision};
use clap::Args;
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::Xxh3;

use crate::command::caller::{self, say};
use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::labels::{self, Label};
use crate::command::load;
use crate::command::printable::Printable;
use crate::command::progress::Progress;
use heads::Heads;
use journal::{Journal, KIND, Opinion, VERSION, Verdict};
use report::{Context, Report};
use truth::{Names, Picture};

/// Judge weights on pictures whose classes are known.
///
/// DIR holds folders named by class, or pictures whose names begin with a synset id (n01440764_tench.jpg), or both. A
/// class is named by its synset id, its label or its number. DIR may also be a text file: in each line a picture's
/// path, from the file's own folder, and its class, after a tab or a space.
///
/// A picture that cannot be read is named on stderr and counted apart.
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
    #[arg(long, value_name = "FILE")]
    weights: Vec<PathBuf>,
    /// Crops of a picture: the middle; corners and middle, mirrored too; the paper's 144
    #[arg(long, value_name = "1|10|144", default_value = "1", value_parser = load::crops())]
    crops: Crops,
    /// A text file with a line for each class, in their order: a synset id and a label, or one of them [default: the
    /// labels in the weights]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Threads to use [default: one for each core]
    #[arg(long, value_name = "N", value_parser = load::threads)]
    threads: Option<usize>,
    /// Precision to compute in: `f32`; `bf16`, rounded to 8 significant bits; `int8`, for weights that `quantize` made
    #[arg(long, value_name = "NAME", default_value = "f32", value_parser = load::precision())]
    precision: Precision,
    /// Judge no auxiliary heads
    #[arg(long)]
    no_heads: bool,
    /// Note each picture in FILE; a run that was killed goes on from there when it is started again
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Print one JSON object instead of tables
    #[arg(long, conflicts_with = "csv")]
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
        let threads = self.threads.unwrap_or_else(load::all_threads);
        let options = Options::new().threads(threads).precision(self.precision);
        let options = heads.iter().fold(options, |options, &head| options.endpoint(head));
        let mut ensemble = Ensemble::new(&models, self.crops, options).or_fail(Code::Usage, "")?;
        let (labels, skip) = self.labels(&models, &ensemble)?;
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
        judge(&mut ensemble, &heads, skip, &pictures, &todo, |picture, verdict| {
            journal.note(picture, &verdict)?;
            if let Verdict::Unreadable(why) = &verdict {
                say(format_args!("error: {}", Printable(&format!("{}: {why}", pictures[picture].path.display()))));
            }
            verdicts[picture] = Some(verdict);
            Ok(())
        })?;
        let took = begin.elapsed();

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
            Ok(())
        } else if self.csv {
            report.csv(&context, out)
        } else {
            report.text(&context, out)
        }
    }

    /// A label for each class, or no labels, and how many of the ensemble's classes are left out before the
    /// first: 1 if class 0 is a background that the labels do not have, or 0.
    fn labels(&self, models: &[Model], ensemble: &Ensemble) -> Outcome<(Vec<Label>, usize)> {
        let Some(path) = &self.labels else {
            let label = |text: &String| Label { id: None, text: text.clone() };
            return Ok((ensemble.labels().iter().map(label).collect(), 0));
        };
        let (labels, classes) = (labels::read_any(path)?, ensemble.classes());
        // If class 0 is the background, lists of labels do not have it, and no picture shows it.
        let background = models.iter().all(|model| model.network().background);
        match classes - labels.len().min(classes) {
            0 if labels.len() == classes => Ok((labels, 0)),
            1 if background => Ok((labels, 1)),
            _ => Err(labels::misfit(path, labels.len(), classes)),
        }
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
        let precision =
            (self.precision != Precision::F32).then(|| ("precision".to_owned(), json!(self.precision.name())));
        about.into_iter().chain(precision).collect()
    }
}

/// Judges the pictures whose indices are in `todo`; `done` is called with each picture's index and verdict, in order. It fails
/// if the caller wants no more, which is asked before each run.
fn judge(
    ensemble: &mut Ensemble,
    heads: &[&str],
    skip: usize,
    pictures: &[Picture],
    todo: &[usize],
    mut done: impl FnMut(usize, Verdict) -> Outcome,
) -> Outcome {
    let progress = Progress::new(todo.len(), "pictures");
    thread::scope(|scope| {
        // A thread decodes pictures while others are judged. It is only a few ahead, as each may be large.
        let (sender, receiver) = sync_channel(1);
        scope.spawn(move || {
            for &picture in todo {
                // Sending fails when the receiver is gone, because judging has ended early.
                if sender.send((picture, image::open(&pictures[picture].path))).is_err() {
                    break;
                }
            }
        });
        for (picture, opened) in receiver {
            let verdict = match opened {
                Ok(decoded) => {
                    let name = pictures[picture].path.display();
                    let mut over = Ok(());
                    let mut is_over = || {
                        over = caller::check();
                        over.is_err()
                    };
                    let main =
                        ensemble.probabilities_unless(decoded.view(), &mut is_over).or_fail(Code::Input, name)?;
                    let main = main.map(<[f32]>::to_vec);
                    over?;
                    let main = main.expect("nothing else ends it");
                    let all = heads::probabilities(ensemble, main, heads);
                    verdict(all.iter().map(|probabilities| &probabilities[skip..]), heads)
                }
                Err(error) => Verdict::Unreadable(Failure::of(Code::Input, "", &error).to_string()),
            };
            done(picture, verdict)?;
            progress.advance(1)?;
        }
        Ok(())
    })
}

/// The verdict for a picture: an opinion for each of `all`, the probabilities of the classes by the network and by each
/// of `heads`.
fn verdict<'a>(all: impl Iterator<Item = &'a [f32]>, heads: &[&str]) -> Verdict {
    let opinions: Vec<Option<Opinion>> = all.map(opinion).collect();
    match opinions.iter().position(Option::is_none) {
        None => Verdict::Classes(opinions.into_iter().flatten().collect()),
        Some(0) => Verdict::Unreadable("the weights give no probabilities for it".to_owned()),
        // The last opinion, the mean's, is none only if a head's is.
        Some(index) => {
            let head = heads[index - 1];
            Verdict::Unreadable(format!("the auxiliary head {head} gives no probabilities for it; see --no-heads"))
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
