//! The views of a picture that a network sees: the middle, as `classify` sees it, the corners, and all of these mirrored.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::progress::Progress;
use crate::error::FileError;
use crate::image::{self, Crops, Cuts, Rgb8, Rule};
use crate::{Model, Options, Result, Session, file};

use super::cache::Cache;

/// The number of views of a picture. View 0 is the middle, view 1 its mirror image; 2 to 5 are the corners, row by row, 6 to 9
/// their mirror images.
pub const VIEWS: usize = 10;

/// A picture's file to be looked at.
pub struct Task<'a> {
    pub path: &'a Path,
    /// What the file must hold, if that is known already.
    pub content: Option<u128>,
    /// The views that are wanted.
    pub views: Vec<usize>,
}

/// A network that gives features, and where they are kept.
pub struct Eye {
    session: Session,
    rule: Rule,
    endpoint: String,
    pub cache: Cache,
}

impl Eye {
    /// A session of `model` for its features, and the cache in `folder` that holds such features.
    pub fn new(model: &Model, threads: usize, folder: &Path) -> Outcome<Self> {
        let network = model.network();
        let endpoint = network.roles.features.clone().ok_or_else(|| {
            Failure::new(Code::Model, format!("{} has no layer of features to learn from", network.name))
        })?;
        let side = model.side();
        let batch = ENOUGH.max(threads).min(Options::MAX_PIXELS / (side * side)).clamp(1, Options::MAX_BATCH);
        let options = Options::new().threads(threads).batch(batch).endpoint(&endpoint);
        let session = model.session(options).or_fail(Code::Usage, "")?;
        let [c, h, w] = session.endpoint_shape(&endpoint).expect("asked for above");
        let mut key = Xxh3::new();
        let metadata = model.weights().metadata().iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
        // Of equal weights, other kernels give other bits.
        for text in metadata.chain([session.packing(), endpoint.as_str(), env!("CARGO_PKG_VERSION")]) {
            key.update(&(text.len() as u64).to_le_bytes());
            key.update(text.as_bytes());
        }
        let cache = Cache::open(folder, key.digest128(), c * h * w)?;
        Ok(Self { session, rule: *model.rule(), endpoint, cache })
    }

    /// Sees to it that the cache has the views that `tasks` want. `done` is called with each task's number and its picture's
    /// content, or why it could not be read, in order.
    pub fn look(
        &mut self,
        tasks: &[Task<'_>],
        what: &'static str,
        mut done: impl FnMut(usize, std::result::Result<u128, String>) -> Outcome,
    ) -> Outcome {
        let progress = Progress::new(tasks.len(), what);
        let (rule, side) = (self.rule, self.session.side());
        let mut batch = Batch { eye: self, waiting: Vec::new() };
        let mut there = Contents::new();
        for &view in tasks.iter().flat_map(|task| &task.views) {
            there.entry(view).or_insert_with(|| batch.eye.cache.contents(view).collect());
        }
        thread::scope(|scope| {
            // A thread reads, decodes and prepares a picture while the network looks at those before.
            let (sender, receiver) = sync_channel(1);
            scope.spawn(move || {
                for (number, task) in tasks.iter().enumerate() {
                    let seen = see(task, &rule, side, &mut there);
                    // Sending fails when the receiver is gone, because the run has ended early.
                    if sender.send((number, seen)).is_err() {
                        break;
                    }
                }
            });
            for (number, seen) in receiver {
                let content = match seen {
                    Ok((content, inputs)) => {
                        for (view, input) in inputs {
                            batch.add(content, view, &input, tasks[number].path)?;
                        }
                        Ok(content)
                    }
                    Err(error) => Err(Failure::of(Code::Input, "", &error).to_string()),
                };
                done(number, content)?;
                progress.advance(1)?;
            }
            batch.run(Path::new(""))
        })
    }
}

/// Inputs that wait until there are enough for a run.
struct Batch<'a> {
    eye: &'a mut Eye,
    /// The contents and views of the first images of the batch.
    waiting: Vec<(u128, usize)>,
}

impl Batch<'_> {
    fn add(&mut self, content: u128, view: usize, input: &[f32], path: &Path) -> Outcome {
        let at = self.waiting.len() * input.len();
        self.eye.session.input_mut()[at..at + input.len()].copy_from_slice(input);
        self.waiting.push((content, view));
        match self.waiting.len() == self.eye.session.batch() {
            true => self.run(path),
            false => Ok(()),
        }
    }

    /// Runs the network on what waits; `path` is the last picture of that.
    fn run(&mut self, path: &Path) -> Outcome {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let Eye { session, endpoint, cache, .. } = &mut *self.eye;
        session.run();
        let features = session.endpoint(endpoint).expect("the session was made with it");
        for (&(content, view), features) in self.waiting.iter().zip(features.chunks_exact(cache.features())) {
            if !features.iter().all(|x| x.is_finite()) {
                let text = format!("the weights give no features for pictures up to {}", path.display());
                return Err(Failure::new(Code::Model, text));
            }
            cache.add(content, view, features)?;
        }
        self.waiting.clear();
        Ok(())
    }
}

/// What a picture's file holds, and the inputs of those of its views that are not `there`, which they are from then on: should
/// another file hold the same, they are on their way already.
fn see(task: &Task<'_>, rule: &Rule, side: usize, there: &mut Contents) -> Result<(u128, Inputs)> {
    let bytes = file::read(task.path, MAX_BYTES)?;
    let content = xxh3_128(&bytes);
    if task.content.is_some_and(|known| known != content) {
        let source = std::io::Error::other("it has changed since it was read first");
        return Err(FileError::Io { action: "read", path: task.path.to_owned(), source }.into());
    }
    let is_new = |view: &usize| !there[view].contains(&content);
    let new: Vec<usize> = task.views.iter().copied().filter(is_new).collect();
    if new.is_empty() {
        return Ok((content, Vec::new()));
    }
    let inputs = inputs(image::decode(&bytes)?.view(), rule, side, &new)?;
    for view in new {
        there.get_mut(&view).expect("every view that is wanted").insert(content);
    }
    Ok((content, inputs))
}

/// For each view the contents of the pictures of which it is there.
type Contents = HashMap<usize, HashSet<u128>>;

/// Views of a picture, and the inputs of a network that show them.
type Inputs = Vec<(usize, Vec<f32>)>;

fn inputs(picture: Rgb8<'_>, rule: &Rule, side: usize, views: &[usize]) -> Result<Inputs> {
    let mut cuts = None;
    let mut made = Vec::new();
    for &view in views {
        let mut input = vec![0.0; 3 * side * side];
        if let Some(corner) = view.checked_sub(2) {
            // Of the ten crops the fifth and the tenth are the middle.
            if cuts.is_none() {
                cuts = Some(Cuts::new(picture, rule, side, Crops::Ten)?);
            }
            cuts.as_ref().expect("made above").write(corner + corner / 4, &mut input);
        } else {
            image::prepare(picture, rule, side, &mut input)?;
            if view == 1 {
                input.chunks_exact_mut(side).for_each(<[f32]>::reverse);
            }
        }
        made.push((view, input));
    }
    Ok(made)
}

/// The number of images beyond which a larger batch is no faster.
const ENOUGH: usize = 8;

/// The length in bytes of the longest picture's file that is read, as `image::open` has it.
const MAX_BYTES: u64 = 512 << 20;
