//! How the command ends: with a documented code, and with one line that says what was wrong.

use std::fmt;
use std::io;

use crate::Error;
use crate::error::{FileError, SessionError, WeightsError, with_causes};

use crate::command::printable::Printable;

/// Exit codes, as `googlenet --help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The system failed.
    System = 1,
    /// An argument cannot be used.
    Usage = 2,
    /// A weight or model file cannot be used.
    Model = 3,
    /// A picture or tensor file cannot be used.
    Input = 4,
    /// The output exists.
    Exists = 5,
    /// What was measured is slower than was allowed.
    Slower = 6,
}

/// Why the command ends early.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    text: String,
    broken_pipe: bool,
    /// Whether the results are there but for some pictures that could not be used.
    partial: bool,
    /// The system's number of what it refused, if it did.
    system: Option<i32>,
}

/// What a subcommand returns.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure that the command itself has found, not the library.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), broken_pipe: false, partial: false, system: None }
    }

    /// What `bad` of `all` pictures that could not be used amount to, in the end, when each was named and the results of the
    /// others are printed: no failure if `bad` is 0.
    pub fn unless_all_were_read(bad: usize, all: usize) -> Outcome {
        match bad {
            0 => Ok(()),
            _ => {
                let s = if all == 1 { "" } else { "s" };
                let text = format!("{bad} of {all} picture{s} could not be used");
                Err(Self { partial: bad < all, ..Self::new(Code::Input, text) })
            }
        }
    }

    /// The failure that an error of the library, with its causes, amounts to. `file` and `what` are the code and the
    /// name of the file in hand, for errors that do not tell these themselves.
    pub fn of(file: Code, what: impl fmt::Display, error: &Error) -> Self {
        let text = match error {
            Error::File(FileError::TargetExists { path }) => format!("{} exists, --force replaces it", path.display()),
            // These errors name their file themselves.
            Error::File(FileError::Io { .. } | FileError::NotRegular { .. } | FileError::TooLarge { .. }) => {
                chain(error)
            }
            _ => named(what, &chain(error)),
        };
        let system = match error {
            Error::File(FileError::Io { source, .. }) => source.raw_os_error(),
            _ => None,
        };
        Self { system, ..Self::new(code(error, file), text) }
    }

    /// The exit code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The system's number of what it refused, if it did.
    pub fn system(&self) -> Option<i32> {
        self.system
    }

    /// Whether the results are there but for some pictures that could not be used.
    pub fn is_partial(&self) -> bool {
        self.partial
    }

    /// Whether stdout was closed by its reader.
    pub fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(&self.text).fmt(f)
    }
}

/// Only errors of writing to stdout are converted so; every other error is given a code and a context by [`OrFail`].
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self {
            code: Code::System,
            text: format!("standard output: {error}"),
            broken_pipe,
            partial: false,
            system: None,
        }
    }
}

/// Turns errors into failures.
pub trait OrFail<T> {
    /// Turns an error into a failure. `code` and `what` are the code and the name of the file in hand, for errors that
    /// do not tell these themselves.
    fn or_fail(self, code: Code, what: impl fmt::Display) -> Outcome<T>;
}

impl<T> OrFail<T> for crate::Result<T> {
    fn or_fail(self, code: Code, what: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Failure::of(code, what, &error))
    }
}

impl<T> OrFail<T> for io::Result<T> {
    fn or_fail(self, code: Code, what: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| {
            let text = named(what, &chain(&error));
            Failure { system: error.raw_os_error(), ..Failure::new(code, text) }
        })
    }
}

/// The code of an error of the library; `file` is the code of the file in hand, for errors of reading or
/// writing it.
fn code(error: &Error, file: Code) -> Code {
    match error {
        Error::File(FileError::Io { .. } | FileError::NotRegular { .. } | FileError::TooLarge { .. }) => file,
        Error::File(FileError::TargetExists { .. }) => Code::Exists,
        Error::Picture(_) => Code::Input,
        Error::Session(error) => match error {
            SessionError::Threads { .. } | SessionError::Memory { .. } => Code::System,
            SessionError::NoClassMaps | SessionError::MapLength { .. } => Code::Model,
            _ => Code::Usage,
        },
        Error::Weights(WeightsError::Memory { .. }) => Code::System,
        // All other errors are about weights and models.
        _ => Code::Model,
    }
}

fn named(what: impl fmt::Display, problem: &str) -> String {
    let what = what.to_string();
    if what.is_empty() { problem.to_owned() } else { format!("{what}: {problem}") }
}

/// The texts of an error and its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    with_causes(error).replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use crate::error::{ImportError, ModelError, PictureError};

    use super::*;

    #[test]
    fn a_failure_names_its_file_once_and_its_cause() {
        let of = |error: Error, what: &str| Failure::of(Code::Input, what, &error).to_string();
        let io = || io::Error::other("a b\nc");
        assert_eq!(
            of(FileError::Io { action: "read", path: "w".into(), source: io() }.into(), "w"),
            "cannot read w: a b c"
        );
        assert_eq!(of(FileError::TooLarge { path: "w".into(), limit: 1 }.into(), "w").matches("w ").count(), 1);
        assert_eq!(of(FileError::TargetExists { path: "w".into() }.into(), "w"), "w exists, --force replaces it");
        // Short names occur in the text of nearly every error.
        for name in ["w", "a", "e", "is"] {
            let text = of(WeightsError::Truncated { expected: 8, found: 0 }.into(), name);
            assert!(text.starts_with(&format!("{name}: weights are cut off")), "{text}");
            let text = Err::<(), _>(io()).or_fail(Code::Input, name).expect_err("it is one").to_string();
            assert_eq!(text, format!("{name}: a b c"));
        }
        assert_eq!(of(PictureError::NotAPicture.into(), ""), "no picture (JPEG, PNG, WebP, GIF, BMP or TIFF)");
        assert_eq!(Failure::new(Code::Input, "\u{1b}[2J").to_string(), "\\u{1b}[2J");
    }

    #[test]
    fn each_kind_of_error_has_the_documented_code() {
        let io = || io::Error::other("why");
        let cases = [
            (SessionError::Threads { threads: 9, source: Box::new(io()) }.into(), Code::System),
            (SessionError::OutOfRange { option: "batch", value: 0, least: 1, most: 2 }.into(), Code::Usage),
            (SessionError::TooManyPixels { batch: 1, side: 2, limit: 3 }.into(), Code::Usage),
            (SessionError::InstructionSet { name: "x".into(), known: false, available: vec![] }.into(), Code::Usage),
            (SessionError::UnknownLayer { layer: "x".into() }.into(), Code::Usage),
            (WeightsError::HashMismatch { stored: "x".into(), computed: "y".into() }.into(), Code::Model),
            (ImportError::NotAModel { source: None }.into(), Code::Model),
            (ModelError::LabelCount { labels: 1, classes: 2 }.into(), Code::Model),
            (PictureError::NotAPicture.into(), Code::Input),
            (FileError::TargetExists { path: "x".into() }.into(), Code::Exists),
        ];
        for (error, expected) in cases {
            // The file that the caller had in hand does not matter to these errors.
            for file in [Code::System, Code::Usage, Code::Model, Code::Input] {
                assert_eq!(Failure::of(file, "", &error).code(), expected, "{error}");
            }
        }
        for file in [Code::System, Code::Model, Code::Input] {
            let error = FileError::NotRegular { path: "x".into(), kind: "a pipe" }.into();
            assert_eq!(Failure::of(file, "", &error).code(), file);
            let error = FileError::Io { action: "read", path: "x".into(), source: io() }.into();
            assert_eq!(Failure::of(file, "", &error).code(), file);
        }
    }
}
