//! Where weights come from, and the arguments that several subcommands share.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use crate::error::SessionError;
use crate::image::{Crops, Preset};
use crate::index::Index;
use crate::model::{Dialect, MAX_SIDE, MIN_SIDE};
use crate::weights::Weights;
use crate::{Error, Model, Options, Precision, Session, include_weights};
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::command::caller::{self, advise, say};
use crate::command::endpoints;
use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::foreign;
use crate::command::printable::Printable;
use crate::command::stream;

pub static DEMONSTRATION: &[u8] = include_weights!("../../weights/demo.safetensors");

/// The demonstration weights that are built into the command: ten classes, 64x64 pixels.
///
/// This function needs the feature `cli`.
///
/// ```
/// assert_eq!(googlenet::command::demonstration().labels()[3], "cat");
/// ```
#[must_use]
pub fn demonstration() -> Model {
    Model::from_static(DEMONSTRATION).expect("the weights were checked when they were built in")
}

const NOTE: &str = "\
these are the built-in demonstration weights: ten classes, 64x64 pixels, often wrong beyond those.
      For ImageNet's 1000 classes fetch the BVLC GoogLeNet, then
          googlenet convert bvlc_googlenet.caffemodel googlenet.safetensors --labels synset_words.txt
      and add `--weights googlenet.safetensors`.";

thread_local! {
    /// Whether weight files and indexes are mapped: what the caller of this thread's command has promised to leave alone.
    static MAPS: Cell<bool> = const { Cell::new(false) };
    /// Whether the demonstration weights have said what they are since the arguments were read.
    static HAS_NOTED: Cell<bool> = const { Cell::new(false) };
}

/// From now on weight files and indexes are mapped on this thread, or read.
pub fn map_files(are_mapped: bool) {
    MAPS.set(are_mapped);
    HAS_NOTED.set(false);
}

/// The weights at `path`, mapped or read, or the demonstration weights, which say once what they are. `-` is standard input.
pub fn model(path: Option<&Path>) -> Outcome<Model> {
    let Some(path) = path else {
        if !HAS_NOTED.replace(true) {
            advise(NOTE);
        }
        return Ok(demonstration());
    };
    let is_pipe = || fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
    let opened = if stream::is_standard(path) || is_pipe() {
        stream::read(path, MAX_WEIGHT_BYTES).and_then(|bytes| Model::new(Weights::from_vec(bytes)?))
    } else {
        open(path)
    };
    opened.map_err(|error| foreign::explain(path, Failure::of(Code::Model, stream::name(path), &error)))
}

/// The weights at each of `paths`, or what the caller handed in, or the demonstration weights.
pub fn models(paths: &[PathBuf]) -> Outcome<Vec<Model>> {
    match paths {
        [] => caller::models().map_or_else(|| Ok(vec![model(None)?]), Ok),
        paths => paths.iter().map(|path| model(Some(path))).collect(),
    }
}

/// The weights at `path`, mapped or read.
#[allow(unsafe_code, reason = "the caller of `command::main` has promised that nobody writes to the file")]
pub fn open(path: &Path) -> crate::Result<Model> {
    match MAPS.get() {
        // SAFETY: only `command::main` maps files, whose caller promises that nobody writes to those that are named; `doctor`
        // also maps one that it has just written, under a name that no other process knows. The command itself writes to no
        // existing file but journals and the caches of `learn`, if they begin as such; other files it replaces by a rename.
        true => unsafe { Model::map(path) },
        false => Model::open(path),
    }
}

/// The index at `path`, mapped or read.
#[allow(unsafe_code, reason = "the caller of `command::main` has promised that nobody writes to the file")]
pub fn index(path: &Path) -> Outcome<Index> {
    let index = match MAPS.get() {
        // SAFETY: as in `open`.
        true => unsafe { Index::map(path) },
        false => Index::open(path),
    };
    index.or_fail(Code::Model, path.display())
}

/// A session of `model`; with `verbose` stderr says how its weights came into use, and what layers compute in. If the options
/// ask for a layer that there is not, the failure lists those that there are.
pub fn session(model: &Model, options: Options, verbose: bool) -> Outcome<Session> {
    let session = match model.session(options) {
        Err(Error::Session(SessionError::UnknownLayer { layer })) => return Err(endpoints::unknown(model, &layer)),
        session => session.or_fail(Code::Usage, "")?,
    };
    if verbose {
        explain(model, &session);
    }
    Ok(session)
}

/// Says on stderr how a session's weights came into use, and what layers compute in.
pub fn explain(model: &Model, session: &Session) {
    say(format_args!("weights: {}", weights(model, session)));
    say(format_args!("precision: {}", precisions(session)));
}

/// A text that says how many layers a session computes in each precision, and with what.
pub fn precisions(session: &Session) -> String {
    let steps = session.describe();
    let of = |precision: Precision| {
        let steps = || steps.iter().filter(|step| step.precision == precision && step.multiply_adds > 0);
        let layers: usize = steps().map(|step| step.layers.split(" + ").count()).sum();
        let instructions: BTreeSet<&str> = steps().filter_map(|step| step.instruction).collect();
        let how = match precision {
            Precision::F32 => String::new(),
            Precision::Bf16 if instructions.is_empty() => " (weights; this machine computes them in f32)".into(),
            _ if instructions.is_empty() => " (this machine has no instruction for it)".into(),
            _ => format!(" ({})", instructions.into_iter().collect::<Vec<_>>().join(", ")),
        };
        (layers > 0).then(|| format!("{layers} layers in {precision}{how}"))
    };
    Precision::ALL.into_iter().rev().filter_map(of).collect::<Vec<_>>().join(", ")
}

/// A text that says how a session's weights came into use.
pub fn weights(model: &Model, session: &Session) -> String {
    let packing = session.packing();
    match model.packing() {
        _ if session.uses_packed_file() => format!("packed in the file for {packing}, used where they lie"),
        Some(own) if own == packing => format!("packed in memory for {packing}, as the file's lack a tensor"),
        Some(other) => format!("packed in memory for {packing}; the file's are for {}", Printable(other)),
        None => format!("packed in memory for {packing}"),
    }
}

/// The number of threads that this process may run at once, at most as many as a session takes.
pub fn all_threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get).min(Options::MAX_THREADS)
}

/// The most bytes of a weight file, as the format has it.
pub const MAX_WEIGHT_BYTES: u64 = i32::MAX as u64;

/// Parses `--dialect`.
pub fn dialect() -> impl TypedValueParser<Value = Dialect> {
    let names = PossibleValuesParser::new(Dialect::ALL.map(Dialect::name));
    names.map(|name| Dialect::from_name(&name).expect("one of the names"))
}

/// Parses `--precision`.
pub fn precision() -> impl TypedValueParser<Value = Precision> {
    let names = PossibleValuesParser::new(Precision::ALL.map(Precision::name));
    names.map(|name| Precision::from_name(&name).expect("one of the names"))
}

/// Parses `--crops`.
pub fn crops() -> impl TypedValueParser<Value = Crops> {
    let names = PossibleValuesParser::new(["1", "10", "144"]);
    names.map(|name| name.parse().ok().and_then(Crops::from_count).expect("one of the numbers"))
}

/// Parses `--preset`.
pub fn preset() -> impl TypedValueParser<Value = Preset> {
    let names = PossibleValuesParser::new(Preset::ALL.map(Preset::name));
    names.map(|name| Preset::from_name(&name).expect("one of the names"))
}

/// Parses `--threads`.
pub fn threads(text: &str) -> Result<usize, String> {
    in_range(text, 1, Options::MAX_THREADS)
}

/// Parses `--batch`.
pub fn batch(text: &str) -> Result<usize, String> {
    in_range(text, 1, Options::MAX_BATCH)
}

/// Parses a count that may be anything but 0.
pub fn count(text: &str) -> Result<usize, String> {
    in_range(text, 1, 1_000_000_000)
}

/// Parses a number of classes; the largest sets of pictures have some 20,000.
pub fn classes(text: &str) -> Result<usize, String> {
    in_range(text, 1, 1 << 15)
}

/// Parses an input side.
pub fn side(text: &str) -> Result<usize, String> {
    in_range(text, MIN_SIDE, MAX_SIDE)
}

fn in_range(text: &str, least: usize, most: usize) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(format!("expected a whole number from {least} to {most}")),
    }
}
