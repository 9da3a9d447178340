//! How the command ends: a documented code, and one line that says what was wrong.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

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
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        (code as u8).into()
    }
}

/// Why the command ends early.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    text: String,
    broken_pipe: bool,
}

/// What a subcommand returns.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure of the command's own finding.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), broken_pipe: false }
    }

    /// An error with its causes, after `what` it happened to unless they name that.
    pub fn of(code: Code, what: impl fmt::Display, error: &dyn Error) -> Self {
        let (what, causes) = (what.to_string(), chain(error));
        let text = if what.is_empty() || causes.contains(&what) { causes } else { format!("{what}: {causes}") };
        Self::new(code, text)
    }

    /// The exit code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Whether stdout was closed by its reader.
    pub fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Writing to stdout; every other error is given a code and a context.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self { code: Code::System, text: format!("standard output: {error}"), broken_pipe }
    }
}

/// Turns errors into failures.
pub trait OrFail<T> {
    /// With `code`, and `what` it happened to.
    fn or_fail(self, code: Code, what: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: Error> OrFail<T> for Result<T, E> {
    fn or_fail(self, code: Code, what: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Failure::of(code, what, &error))
    }
}

/// An error and its sources, outermost first, on one line; a source that was quoted already is left out.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_file_once_and_its_cause() {
        let error = || Err::<(), _>(io::Error::other("a b\nc"));
        let text = |what: &str| error().or_fail(Code::Model, what).expect_err("it is one").to_string();
        assert_eq!(text("f"), "f: a b c");
        assert_eq!(text("a b"), "a b c");
        assert_eq!(text(""), "a b c");
    }
}
