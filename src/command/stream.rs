//! `-`: what is read from standard input and written to standard output, wherever a file is named.

use std::io::{self, Read, Write};
use std::path::Path;

use crate::Result;
use crate::error::FileError;
use crate::file::{self, NewFile};

use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::output;

/// Whether `path` stands for standard input or output.
pub fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Whether `path` names what somebody has opened for this process: a shell's pipe or redirection, whose other end is there.
pub fn is_open_already(path: &Path) -> bool {
    cfg!(unix) && (path == Path::new("/dev/stdin") || path.parent() == Some(Path::new("/dev/fd")))
}

/// What standard input is called in what is said and printed.
pub const INPUT: &str = "standard input";

/// What `path` is called in what is said.
pub fn name(path: &Path) -> String {
    if is_standard(path) { INPUT.to_owned() } else { path.display().to_string() }
}

/// Reads a file of at most `limit` bytes, or standard input, as [`file::read`] does.
///
/// # Errors
/// Those of [`file::read`].
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    if !is_standard(path) {
        return file::read(path, limit);
    }
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(limit.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|source| FileError::Io { action: "read", path: INPUT.into(), source })?;
    match bytes.len() as u64 > limit {
        true => Err(FileError::TooLarge { path: INPUT.into(), limit }.into()),
        false => Ok(bytes),
    }
}

/// Where a subcommand writes what it makes: a file that gets its name when it is complete, or standard output.
pub enum Output<'a> {
    File(NewFile),
    Standard(&'a mut dyn Write),
}

impl<'a> Output<'a> {
    /// Fails if `path` may not be written: see [`output::check`].
    pub fn check(path: &Path, force: bool) -> Outcome {
        if is_standard(path) { Ok(()) } else { output::check(path, force) }
    }

    /// Begins the file `path`; what goes to standard output is written to `out`.
    pub fn create(path: &Path, out: &'a mut dyn Write) -> Outcome<Self> {
        match is_standard(path) {
            true => Ok(Self::Standard(out)),
            false => Ok(Self::File(NewFile::create(path).or_fail(Code::System, path.display())?)),
        }
    }

    /// Writes `bytes`; `path` is for what a failure says.
    pub fn put(&mut self, bytes: &[u8], path: &Path) -> Outcome {
        match self {
            Self::File(file) => file.write_all(bytes).or_fail(Code::System, path.display()),
            // A reader that wants no more is no failure: see `Failure`.
            Self::Standard(out) => out.write_all(bytes).map_err(Failure::from),
        }
    }

    /// Completes what was written.
    pub fn commit(self, path: &Path, force: bool) -> Outcome {
        match self {
            Self::File(file) => file.commit(force).or_fail(Code::System, path.display()),
            Self::Standard(out) => out.flush().map_err(Failure::from),
        }
    }
}

/// The bytes of `values` as .npy files have them: little endian.
pub fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
