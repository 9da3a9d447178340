//! The library's errors as exceptions, with its words.

use googlenet::error::{FileError, PictureError, SessionError, with_causes};
use pyo3::exceptions::{PyException, PyFileExistsError, PyOSError, PyValueError};
use pyo3::{PyErr, create_exception};

create_exception!(
    googlenet,
    Error,
    PyException,
    "A file, weights or a picture that cannot be used, or a session that is in use."
);

/// The exception for an error of the library: `OSError` where the system refused a file (`FileNotFoundError` where there is
/// none), `FileExistsError` for a target that is not to be replaced, `ValueError` for an argument, `Error` for all others.
/// `what` names the picture or file in hand, and may be empty.
pub fn exception(what: &str, error: &googlenet::Error) -> PyErr {
    use googlenet::Error as E;
    let words = with_causes(error);
    // These errors name their file themselves.
    match error {
        E::File(FileError::Io { source, .. }) => {
            return match source.raw_os_error() {
                Some(number) => PyOSError::new_err((number, words)),
                None => PyOSError::new_err(words),
            };
        }
        E::File(FileError::TargetExists { .. }) => return PyFileExistsError::new_err(words),
        E::File(_) => return Error::new_err(words),
        _ => {}
    }
    let words = if what.is_empty() { words } else { format!("{what}: {words}") };
    match error {
        E::Session(SessionError::Threads { .. }) => Error::new_err(words),
        E::Session(_) | E::Prepare(_) => PyValueError::new_err(words),
        E::Picture(PictureError::Empty { .. } | PictureError::Stride { .. } | PictureError::TooShort { .. }) => {
            PyValueError::new_err(words)
        }
        _ => Error::new_err(words),
    }
}

/// Turns the library's errors into exceptions.
pub trait OrRaise<T> {
    /// Turns an error into an exception, whose text says `what` was in hand.
    fn or_raise(self, what: &str) -> pyo3::PyResult<T>;
}

impl<T> OrRaise<T> for googlenet::Result<T> {
    fn or_raise(self, what: &str) -> pyo3::PyResult<T> {
        self.map_err(|error| exception(what, &error))
    }
}
