//! `similar`: the pictures of an index that are most like another, or like each other.

mod page;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde_json::json;

use crate::file::NewFile;
use crate::index::{Group, Hit, Index};
use crate::{Options, Session};

use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::index::{self, DIALECT, PICTURES, WEIGHTS};
use crate::command::printable::Printable;
use crate::command::progress::Progress;
use crate::command::{inputs, load, output};

/// Find the pictures of an index that are most like others, or that are nearly the same.
///
/// Every picture of the index is compared: the answer is exact. Similarity is the cosine of the angle between features, 1 for
/// the same and some 0.3 to 0.6 for pictures that have nothing to do with each other.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Similar {
    /// An index, as `index` writes it
    #[arg(value_name = "F")]
    index: PathBuf,
    /// What to find the like of
    #[arg(value_name = "IMAGE", required_unless_present = "near_duplicates")]
    images: Vec<PathBuf>,
    /// Instead, find pictures of the index that are nearly the same, at least this alike: 0.5 to 1 [default: 0.95]. That
    /// finds nearly all that were saved again or made smaller, and most with a strip cut off at their edges
    #[arg(long, value_name = "SIMILARITY", num_args = 0..=1, require_equals = true, default_missing_value = "0.95")]
    #[arg(conflicts_with = "images", value_parser = similarity)]
    near_duplicates: Option<f64>,
    /// How many pictures to find, the most alike first
    #[arg(long, value_name = "K", default_value = "10", value_parser = load::count)]
    top: usize,
    /// The weights that the index was made with [default: the demonstration weights]
    #[arg(short, long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Where the index's pictures are now, to show them [default: where they were]
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
    /// Also write a page that shows the pictures and needs no other file
    #[arg(long, value_name = "F.html")]
    html: Option<PathBuf>,
    /// Threads to use [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = load::threads)]
    threads: Option<usize>,
    /// Print a line of JSON for each IMAGE: image, similar (image, similarity), ms (of the search alone); with
    /// --near-duplicates one line: similarity, groups (each of image, similarity to the one that it is most like)
    #[arg(short, long)]
    json: bool,
    /// Replace F.html if it exists
    #[arg(short, long)]
    force: bool,
}

const EXAMPLE: &str = "\
Near duplicates are groups: each picture of a group is at least that much like another one of it. All pictures are compared with
all others: 10,000 take seconds, 100,000 minutes.

Examples:
  googlenet similar photographs.index cat.jpg --weights googlenet.safetensors --html like-the-cat.html
  googlenet similar photographs.index --near-duplicates
  googlenet similar photographs.index --near-duplicates=0.99 --json";

/// What was found for a picture.
struct Found {
    name: String,
    path: PathBuf,
    hits: Vec<Hit>,
}

impl Similar {
    /// Prints what is found.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        if let Some(html) = &self.html {
            output::check(html, self.force)?;
        }
        let index = load::index(&self.index)?;
        let threads = self.threads.unwrap_or_else(load::all_threads);
        match self.near_duplicates {
            Some(similarity) => self.duplicates(&index, similarity, threads, out),
            None => self.search(&index, threads, out),
        }
    }

    fn search(&self, index: &Index, threads: usize, out: &mut dyn Write) -> Outcome {
        let model = load::model(self.weights.as_deref())?;
        let own = index.metadata().get(WEIGHTS);
        let layer = index::features(&model)?;
        let mut session = load::session(&model, Options::new().threads(threads).endpoint(layer), false)?;
        if own.is_none_or(|own| *own != index::fingerprint(&model)) {
            let dialect = index.metadata().get(DIALECT).map_or("unknown", String::as_str);
            let path = self.index.display();
            let text = format!("{path}: made with other weights ({dialect}), which --weights has to name");
            return Err(Failure::new(Code::Model, text));
        }
        let mut all = Vec::new();
        for path in &self.images {
            let name = path.display().to_string();
            let query = embed(&mut session, layer, path)?;
            let begin = Instant::now();
            let hits = index.search(&query, self.top, threads).or_fail(Code::Model, self.index.display())?;
            let ms = begin.elapsed().as_secs_f64() * 1e3;
            if self.json {
                let similar: Vec<_> = hits.iter().map(|hit| self.json_of(index, hit)).collect();
                writeln!(out, "{}", json!({ "image": name, "similar": similar, "ms": ms }))?;
            } else {
                writeln!(out, "{}  ({} searched in {ms:.1} ms)", Printable(&name), index.len())?;
                for hit in &hits {
                    writeln!(out, "{}", self.line(index, hit))?;
                }
            }
            all.push(Found { name, path: path.clone(), hits });
        }
        self.write(|| page::found(&all, |row| self.place(index, row)))
    }

    fn duplicates(&self, index: &Index, similarity: f64, threads: usize, out: &mut dyn Write) -> Outcome {
        let mut progress: Option<Progress> = None;
        let (mut outcome, mut before) = (Ok(()), 0);
        let groups = index.near_duplicates(similarity, threads, |done, of| {
            let bar = progress.get_or_insert_with(|| Progress::new(of, "blocks"));
            // Threads finish blocks in any order.
            outcome = bar.advance(done.saturating_sub(before));
            before = before.max(done);
            outcome.is_ok()
        });
        drop(progress);
        let groups = groups.or_fail(Code::Model, self.index.display())?;
        outcome?;
        let groups = groups.expect("nobody ended it");
        if self.json {
            let of = |group: &Group| group.iter().map(|hit| self.json_of(index, hit)).collect::<Vec<_>>();
            let lists: Vec<_> = groups.iter().map(of).collect();
            writeln!(out, "{}", json!({ "similarity": similarity, "groups": lists }))?;
        } else {
            let pictures: usize = groups.iter().map(Vec::len).sum();
            let of = index.len();
            writeln!(out, "{pictures} of {of} pictures in {} groups, at least {similarity} alike", groups.len())?;
            for group in &groups {
                writeln!(out)?;
                for hit in group {
                    writeln!(out, "{}", self.line(index, hit))?;
                }
            }
        }
        self.write(|| page::duplicates(&groups, similarity, index.len(), |row| self.place(index, row)))
    }

    /// Writes the page that `page` makes, if one is asked for.
    fn write(&self, page: impl FnOnce() -> String) -> Outcome {
        let Some(path) = &self.html else { return Ok(()) };
        let mut file = NewFile::create(path).or_fail(Code::System, path.display())?;
        file.write_all(page().as_bytes()).or_fail(Code::System, path.display())?;
        file.commit(self.force).or_fail(Code::System, path.display())
    }

    /// A picture of the index: its name, and where it should be, unless its name leads out of the folder of pictures.
    fn place(&self, index: &Index, row: usize) -> (String, Option<PathBuf>) {
        let relative = index::path(index.name(row));
        let is_inside = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let folder = || index.metadata().get(PICTURES).map(PathBuf::from);
        let folder = self.pictures.clone().or_else(folder).filter(|_| is_inside);
        (relative.to_string_lossy().into_owned(), folder.map(|folder| folder.join(&relative)))
    }

    fn json_of(&self, index: &Index, hit: &Hit) -> serde_json::Value {
        json!({ "image": self.place(index, hit.row).0, "similarity": hit.similarity })
    }

    fn line(&self, index: &Index, hit: &Hit) -> String {
        format!("  {:7.4}  {}", hit.similarity, Printable(&self.place(index, hit.row).0))
    }
}

/// The features of the picture at `path`.
fn embed(session: &mut Session, layer: &str, path: &Path) -> Outcome<Vec<f32>> {
    let (name, picture) = inputs::open_one(path);
    let picture = picture.or_fail(Code::Input, name)?;
    session.classify(picture.view(), 0).or_fail(Code::Input, path.display())?;
    let features = session.endpoint(layer).expect("it was asked for").to_vec();
    match features.iter().all(|value| value.is_finite()) {
        true => Ok(features),
        false => {
            let text = format!("{}: the weights give no finite values for it", path.display());
            Err(Failure::new(Code::Model, text))
        }
    }
}

/// Parses `--near-duplicates`.
fn similarity(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(similarity) if (0.5..=1.0).contains(&similarity) => Ok(similarity),
        _ => Err("expected a number from 0.5 to 1".to_owned()),
    }
}
