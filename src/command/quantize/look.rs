//! Runs a network in f32 on every picture, once.

use std::path::{Path, PathBuf};

use crate::Model;
use crate::quantise::Calibration;

use crate::command::caller::complain;
use crate::command::exit::{Code, OrFail, Outcome};
use crate::command::pictures;
use crate::command::printable::Printable;
use crate::command::progress::Progress;

/// What was seen.
pub struct Looked {
    pub calibration: Calibration,
    /// Some of the pictures that calibrated, evenly spread over them, to choose by.
    pub chosen: Vec<Sample>,
    /// The pictures that judge what was chosen, and their logits in f32.
    pub held_back: Vec<(PathBuf, Vec<f32>)>,
    /// The pictures that could not be read, and what was wrong with each.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// A picture that is run many times.
pub struct Sample {
    pub input: Vec<f32>,
    /// Its logits in f32.
    pub logits: Vec<f32>,
}

/// Looks at all pictures. `input` is the weights' file, for messages.
pub fn look(model: &Model, input: &Path, threads: usize, paths: &[PathBuf]) -> Outcome<Looked> {
    let calibration = Calibration::new(model, threads).or_fail(Code::Model, input.display())?;
    let (held_back, unreadable) = (Vec::new(), Vec::new());
    let mut looked = Looked { calibration, chosen: Vec::new(), held_back, unreadable };
    let every = EVERY.max(paths.len().div_ceil(MOST_HELD_BACK));
    let choose_every = paths.len().div_ceil(MOST_CHOSEN);
    let progress = Progress::new(paths.len(), "pictures");
    let mut readable = 0;
    pictures::prepare_each(paths, *model.rule(), model.side(), |path, prepared| {
        progress.advance(1)?;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(why) => {
                complain(format_args!("error: {}", Printable(&format!("{}: {why}", path.display()))));
                looked.unreadable.push((path.to_owned(), why));
                return Ok(());
            }
        };
        readable += 1;
        looked.calibration.input_mut().copy_from_slice(&prepared);
        if readable % every == 0 {
            looked.held_back.push((path.to_owned(), looked.calibration.run().to_vec()));
            return Ok(());
        }
        let is_chosen = looked.calibration.images().is_multiple_of(choose_every);
        let logits =
            looked.calibration.observe().or_fail(Code::Model, format!("{}: {}", input.display(), path.display()))?;
        if is_chosen {
            looked.chosen.push(Sample { input: prepared, logits: logits.to_vec() });
        }
        Ok(())
    })?;
    Ok(looked)
}

/// Of this many pictures one is held back.
const EVERY: usize = 5;

/// The most pictures that are held back: each is judged several times.
const MOST_HELD_BACK: usize = 500;

/// The most pictures that are chosen: their inputs are kept in memory, 0.6 MB each at a side of 224.
const MOST_CHOSEN: usize = 40;
