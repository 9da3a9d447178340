//! Whether an output file may be written.

use std::fs;
use std::path::Path;

use crate::error::FileError;

use crate::command::exit::{Code, Failure, Outcome};

/// Fails if `path` exists and may not be replaced. A subcommand asks this before its work, so that none is done in
/// vain.
pub fn check(path: &Path, force: bool) -> Outcome {
    if path.is_dir() {
        return Err(Failure::new(Code::Usage, format!("{} is a directory", path.display())));
    }
    if !force && fs::symlink_metadata(path).is_ok() {
        let error = FileError::TargetExists { path: path.to_owned() }.into();
        return Err(Failure::of(Code::System, "", &error));
    }
    // A link that leads nowhere has no metadata of its own.
    let is_replaceable =
        fs::metadata(path).map_or_else(|_| fs::symlink_metadata(path).is_err(), |found| found.is_file());
    if !is_replaceable {
        return Err(Failure::new(Code::Usage, format!("{} is no regular file, and is not replaced", path.display())));
    }
    Ok(())
}
