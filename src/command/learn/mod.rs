//! `learn`: a classifier for classes of one's own, on the features of a network that is there.

mod blocks;
mod cache;
mod choice;
mod moments;
mod page;
mod pictures;
mod regression;
mod report;
mod rows;
mod views;

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::command::caller::{self, complain, say, warn};
use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::printable::Printable;
use crate::command::progress::Progress;
use crate::command::{load, output};
use crate::file::NewFile;

use blocks::Rows;
use choice::Choice;
use moments::Moments;
use pictures::{Files, Picture, Split};
use regression::Problem;
use report::{Judged, Report};
use rows::CachedRows;
use views::{Eye, Task};

/// Learn classes of your own from pictures in folders, one for each class.
///
/// DIR holds a folder for each class, with its pictures in it or in folders inside; the folder's name becomes the class's
/// label. 5 pictures of a class are the least, some hundred are better. OUT is BASE with another classifier, trained on the
/// features of BASE (`pool5` of GoogLeNet) by multinomial logistic regression, and is used as any other weight file.
/// Auxiliary heads tell BASE's classes apart and are left out.
///
/// A part of the pictures of each class is held back: the classifier is judged on these, and nothing is learnt from any view
/// of them. Files that hold the same are taken as one; the same file in two classes is left out. Pictures that are nearly
/// the same, as those of one film, are not told from others: where they lie on both sides, the report is too good. A picture
/// that cannot be read is named on stderr and counted apart.
///
/// Features are kept in a cache (--cache), from which a run that was interrupted goes on, and which saves computing them
/// again when pictures are added. It takes 4 KB for each view of a picture; delete it when it is no longer needed. The same
/// pictures, weights and options give the same OUT on machines with the same instruction set, for any number of threads,
/// however often the run was interrupted.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Learn {
    /// Where the folders of pictures are
    #[arg(value_name = "DIR")]
    pictures: PathBuf,
    /// What to write
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Weights of the network that gives the features, as `convert` writes them [default: the demonstration weights]
    #[arg(short, long, value_name = "BASE")]
    weights: Option<PathBuf>,
    /// Views of a picture to learn from: the middle; mirrored, too; or also the corners, both ways
    #[arg(long, value_name = "1|2|10", default_value = "10", value_parser = views())]
    views: usize,
    /// The share of each class's pictures to hold back
    #[arg(long, value_name = "SHARE", default_value = "0.2", value_parser = share)]
    held_back: f64,
    /// The folder that features are kept in [default: OUT.features, beside OUT]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Write a page with the report, and with the pictures that the classifier is most wrong about
    #[arg(long, value_name = "FILE.html")]
    page: Option<PathBuf>,
    /// Threads to use [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = load::threads)]
    threads: Option<usize>,
    /// Print one JSON object instead of tables
    #[arg(short, long)]
    json: bool,
    /// Replace OUT and the page if they exist
    #[arg(short, long)]
    force: bool,
}

const EXAMPLE: &str = "\
The table has a line for each class: how many of its pictures were learnt from, held back, and right, and what others were
taken for. Below it, of the pictures that were held back:
  top-1         the share that is right, and the interval in which it lies with 95 % confidence (Wilson's)
  calibration   how far the classifier's confidence and its accuracy lie apart. Its logits are divided by a temperature, in
                OUT, too, which was found by the learnt pictures alone

The JSON object's keys:
  network, learnt, views, rows (views of the learnt pictures), held_back, right, top1, interval, top5, most_frequent (what
  naming the most frequent class comes to), classes (label, learnt, held_back, right), confusion (a row for each class, what
  its pictures were taken for), folds, candidates (c, as scikit-learn has it; penalty, log_loss and right by cross-validation),
  best (of these), steps (of the last regression), converged,
  temperature, calibrated and uncalibrated (expected_error, log_loss, bins), wrong (image, label,
  taken_for, confidence, own: its own class's probability), unreadable (image, error), doubled, contradictory, outside,
  heads_left_out, cache

Examples:
  googlenet learn birds birds.safetensors --weights googlenet.safetensors --page birds.html
  googlenet classify --weights birds.safetensors garden.jpg";

impl Learn {
    /// Writes the weight file and the page, and prints the report.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        output::check(&self.output, self.force)?;
        if let Some(page) = &self.page {
            output::check(page, self.force)?;
        }
        let cache = self.cache();
        let Files { classes, files, outside } = Files::find(&self.pictures, &cache)?;
        let model = match caller::models().filter(|_| self.weights.is_none()) {
            Some(models) => models[0].clone(),
            None => load::model(self.weights.as_deref())?,
        };
        // What is learnt from damaged weights would be kept.
        model.weights().verify().or_fail(Code::Model, self.base())?;
        let threads = self.threads.unwrap_or_else(load::all_threads);
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| Failure::new(Code::System, format!("{threads} threads: {error}")))?;
        fs::create_dir_all(&cache).or_fail(Code::System, cache.display())?;
        let mut eye = Eye::new(&model, threads, &cache)?;
        if eye.cache.rows() > 0 {
            say(format_args!(
                "{}: {} views of pictures are there already",
                eye.cache.path().display(),
                eye.cache.rows()
            ));
        }

        let (pictures, unreadable) = self.readable(&mut eye, &files)?;
        let split = Split::new(pictures, &classes, self.held_back)?;
        let views: Vec<usize> = (0..self.views).collect();
        self.look(&mut eye, &split.learnt, &views[1..])?;
        let fitted = fit(&eye, &split.learnt, classes.len(), &views, &pool)?;
        let rows = CachedRows::new(&eye.cache, &split.held_back, &[0]);
        let judged = Judged::new(&rows, &split.held_back, &fitted.parameters(), fitted.choice.temperature)?;

        let (weight, bias) = (&fitted.weight, &fitted.bias);
        let heads = model.write_classifier(&self.output, &classes, weight, bias, self.force);
        let heads = heads.or_fail(Code::System, self.base())?;
        let [learnt, held_back] = report::sides(&split, classes.len());
        let report = Report {
            folder: self.pictures.clone(),
            output: self.output.clone(),
            network: model.network().name,
            rows: learnt.iter().sum::<usize>() * self.views,
            views: self.views,
            learnt,
            held_back,
            classes,
            choice: fitted.choice,
            steps: fitted.steps,
            converged: fitted.converged,
            judged,
            unreadable,
            doubled: split.doubled,
            contradictory: split.contradictory,
            outside,
            heads,
            cache: eye.cache.path().to_owned(),
        };
        if let Some(path) = &self.page {
            let mut file = NewFile::create(path).or_fail(Code::System, path.display())?;
            file.write_all(page::page(&report).as_bytes()).or_fail(Code::System, path.display())?;
            file.commit(self.force).or_fail(Code::System, path.display())?;
        }
        match self.json {
            true => writeln!(out, "{}", report.json())?,
            false => report.text(out)?,
        }
        if !report.converged {
            warn("the regression did not come to its optimum; the report is of what was written");
        }
        if !report.heads.is_empty() {
            let heads = report.heads.join(" and ");
            say(format_args!("{heads} tell other classes apart, and were left out"));
        }
        say(format_args!("{}: {} classes", self.output.display(), report.classes.len()));
        Failure::unless_all_were_read(report.unreadable.len(), files.len())
    }

    /// The folder that features are kept in.
    fn cache(&self) -> PathBuf {
        self.cache.clone().unwrap_or_else(|| {
            let mut path = OsString::from(&self.output);
            path.push(".features");
            path.into()
        })
    }

    /// What the base is called in an error.
    fn base(&self) -> String {
        self.weights.as_deref().unwrap_or(Path::new("")).display().to_string()
    }

    /// Looks at the middle of each picture; the pictures that can be read, and those that cannot.
    #[expect(clippy::type_complexity, reason = "two lists")]
    fn readable(&self, eye: &mut Eye, files: &[(PathBuf, usize)]) -> Outcome<(Vec<Picture>, Vec<(PathBuf, String)>)> {
        let tasks: Vec<_> = files.iter().map(|(path, _)| Task { path, content: None, views: vec![0] }).collect();
        let (mut pictures, mut unreadable) = (Vec::new(), Vec::new());
        eye.look(&tasks, "pictures", |number, content| {
            let (path, class) = files[number].clone();
            match content {
                Ok(content) => pictures.push(Picture { path, class, content }),
                Err(why) => {
                    complain(format_args!("error: {}", Printable(&format!("{}: {why}", path.display()))));
                    unreadable.push((path, why));
                }
            }
            Ok(())
        })?;
        Ok((pictures, unreadable))
    }

    /// Looks at more views of pictures that could be read before.
    fn look(&self, eye: &mut Eye, pictures: &[Picture], views: &[usize]) -> Outcome {
        let missing = |picture: &Picture| {
            views.iter().copied().filter(|&view| eye.cache.find(picture.content, view).is_none()).collect::<Vec<_>>()
        };
        let tasks: Vec<_> = pictures
            .iter()
            .map(|picture| Task { path: &picture.path, content: Some(picture.content), views: missing(picture) })
            .filter(|task| !task.views.is_empty())
            .collect();
        eye.look(&tasks, "views", |number, content| {
            let unreadable = |why| Failure::new(Code::Input, format!("{}: {why}", tasks[number].path.display()));
            content.map(|_| ()).map_err(unreadable)
        })
    }
}

/// A classifier as it is written.
struct Fitted {
    /// `[classes, features]`.
    weight: Vec<f32>,
    /// `[classes]`.
    bias: Vec<f32>,
    choice: Choice,
    steps: usize,
    converged: bool,
}

impl Fitted {
    /// The same numbers as a regression has them.
    fn parameters(&self) -> Vec<f64> {
        self.weight.iter().chain(&self.bias).map(|&value| f64::from(value)).collect()
    }
}

/// Chooses a penalty, and finds the optimum for it.
fn fit(eye: &Eye, pictures: &[Picture], classes: usize, views: &[usize], pool: &ThreadPool) -> Outcome<Fitted> {
    let rows = CachedRows::new(&eye.cache, pictures, views);
    let moments = Moments::of(&rows, pool, &mut caller::check)?;
    let choice = Choice::new(&eye.cache, pictures, classes, views, &moments, pool)?;
    let problem = Problem::new(&rows, classes, &moments, pool);
    let start = vec![0.0; problem.parameters()];
    let progress = Progress::new(100, "regression");
    let mut shown = 0;
    let mut watch = |done: f64| {
        let before = std::mem::replace(&mut shown, (100.0 * done) as usize);
        progress.advance(shown - before)
    };
    let fit = problem.fit(start, choice.penalty(), ENOUGH, &mut watch)?;
    drop(progress);
    // Of features as the network gives them, not less their means.
    let (weight, bias) = fit.parameters.split_at(classes * rows.features());
    let shift = |weight: &[f64]| weight.iter().zip(&moments.mean).map(|(w, mean)| w * mean).sum::<f64>();
    let bias = bias.iter().zip(weight.chunks_exact(rows.features())).map(|(b, weight)| b - shift(weight));
    let divided = |value: f64| (value / choice.temperature) as f32;
    Ok(Fitted {
        weight: weight.iter().map(|&w| divided(w)).collect(),
        bias: bias.map(divided).collect(),
        steps: fit.steps,
        converged: fit.converged,
        choice,
    })
}

/// How little a step of the last regression is to gain, as a share of the value: of 80,000 rows probabilities were then within
/// 5e-6 of the optimum's (root of the mean square), at worst 4e-4.
const ENOUGH: f64 = 1e-9;

/// Parses `--views`.
fn views() -> impl TypedValueParser<Value = usize> {
    PossibleValuesParser::new(["1", "2", "10"]).map(|name| name.parse().expect("a number"))
}

/// Parses `--held-back`.
fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.01..=0.9).contains(&share) => Ok(share),
        _ => Err("expected a number from 0.01 to 0.9, as 0.2 for 20 %".to_owned()),
    }
}
