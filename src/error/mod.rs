//! The crate's one error type, nested by subject: files, weights, tensors, models, imports, pictures, sessions,
//! indexes.
//!
//! Each subject has a file with its variants and their texts; [`Error`] shows a subject's text as it stands.

mod file;
mod import;
mod index;
mod model;
mod picture;
mod prepare;
mod session;
mod tensor;
mod text;
mod weights;

use std::fmt;

pub use file::FileError;
pub use import::ImportError;
pub use index::IndexError;
pub use model::ModelError;
pub use picture::PictureError;
pub use prepare::PrepareError;
pub use session::SessionError;
pub use tensor::TensorError;
pub use weights::WeightsError;

/// The error of another crate, or of the system, behind one of this crate's.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// What was wrong, by subject; the subject's variant carries the values that were wrong.
///
/// ```
/// use googlenet::error::WeightsError;
/// use googlenet::{Error, Model};
///
/// let error = Model::open("weights/FORMAT.md").err().expect("no weights");
/// assert!(matches!(error, Error::Weights(WeightsError::HeaderTooLong { limit, .. }) if limit > 0));
/// assert!(error.to_string().contains("not a safetensors file"));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be opened, read or written.
    File(FileError),
    /// A weight file is damaged, or its header or metadata cannot be used.
    Weights(WeightsError),
    /// A tensor is damaged, or not what the network needs.
    Tensor(TensorError),
    /// The dialect, labels or classes of models do not fit.
    Model(ModelError),
    /// A file of another maker cannot be imported.
    Import(ImportError),
    /// A picture cannot be used.
    Picture(PictureError),
    /// A picture cannot be prepared in the way that was asked for.
    Prepare(PrepareError),
    /// An option or argument cannot be used, or a session cannot be made with it.
    Session(SessionError),
    /// An index of pictures cannot be used, or not for what was asked of it.
    Index(IndexError),
}

impl Error {
    fn subject(&self) -> &(dyn std::error::Error + 'static) {
        match self {
            Error::File(error) => error,
            Error::Weights(error) => error,
            Error::Tensor(error) => error,
            Error::Model(error) => error,
            Error::Import(error) => error,
            Error::Picture(error) => error,
            Error::Prepare(error) => error,
            Error::Session(error) => error,
            Error::Index(error) => error,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.subject(), f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.subject().source()
    }
}

/// The texts of an error and its causes, outermost first; a cause that the error before it quotes at its end is left out.
///
/// ```
/// let error = googlenet::Model::open("none.safetensors").err().expect("no such file");
/// let text = googlenet::error::with_causes(&error);
/// assert!(text.contains("none.safetensors"));
/// assert_eq!(text.matches("os error").count(), 1);
/// ```
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// Lets `?` and `into` turn each subject's error into an [`Error`].
macro_rules! from_subjects {
    ($($subject:ident($error:ident)),*) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::$subject(error)
            }
        }
    )*};
}

from_subjects!(
    File(FileError),
    Weights(WeightsError),
    Tensor(TensorError),
    Model(ModelError),
    Import(ImportError),
    Picture(PictureError),
    Prepare(PrepareError),
    Session(SessionError),
    Index(IndexError)
);

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;
    use std::io;

    #[test]
    fn foreign_text_is_escaped_and_shortened() {
        let error = Error::from(WeightsError::DuplicateKey { key: "\u{1b}[2J".to_owned() + &"é".repeat(10_000) });
        let text = error.to_string();
        assert!(text.len() < 250 && !text.contains('\u{1b}'), "{text}");
        let [expected, found] = ["one".to_owned(), "\u{1b}[2J".to_owned() + &"é".repeat(10_000)];
        let error = ImportError::NodeMismatch { node: "n".into(), layer: "l".into(), what: "readers", expected, found };
        let text = Error::from(error).to_string();
        assert!(text.len() < 2000 && !text.contains('\u{1b}'), "{text}");
    }

    /// An error with a text and a cause.
    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Link>>);

    impl fmt::Display for Link {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Link {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn causes_are_said_once() {
        let disk = || Some(Box::new(Link("no space", None)));
        assert_eq!(with_causes(&Link("alone", None)), "alone");
        assert_eq!(with_causes(&Link("not written", disk())), "not written: no space");
        assert_eq!(with_causes(&Link("not written: no space", disk())), "not written: no space");
        let middle = Some(Box::new(Link("a.bin: no space", disk())));
        assert_eq!(with_causes(&Link("not packed", middle)), "not packed: a.bin: no space");
    }

    #[test]
    fn text_and_source_are_the_subjects() {
        let source = io::Error::from(io::ErrorKind::NotFound);
        let error = Error::from(FileError::Io { action: "open", path: "a/b".into(), source });
        assert_eq!(error.to_string(), "cannot open a/b");
        assert!(error.source().is_some_and(|source| source.is::<io::Error>()));
        let empty = Error::from(WeightsError::HeaderStart { found: None });
        assert!(empty.source().is_none());
        let error = Error::from(ImportError::Safetensors { source: Box::new(empty) });
        assert_eq!(error.source().map(ToString::to_string), Some("header is empty".into()));
    }
}
