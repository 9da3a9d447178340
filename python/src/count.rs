//! Numbers that count something, as callers hand them in: what is negative, or larger than any count, is refused in the words
//! in which the library refuses others, where Python's own exception would be an `OverflowError`.

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;

/// An integer of Python's.
pub enum Count {
    /// One that may be a count.
    Usable(usize),
    /// The text of one that is not: negative, or too large.
    Other(String),
}

impl<'a, 'py> FromPyObject<'a, 'py> for Count {
    type Error = PyErr;

    fn extract(x: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match x.extract::<usize>() {
            Ok(count) => Ok(Count::Usable(count)),
            Err(error) if error.is_instance_of::<PyOverflowError>(x.py()) => {
                Ok(Count::Other(x.py().import("operator")?.call_method1("index", (x,))?.str()?.to_string()))
            }
            Err(error) => Err(error),
        }
    }
}

impl Count {
    /// The count, which the library holds to its range, `least` to `most`; `name` is what it calls it.
    pub fn within(self, name: &str, least: usize, most: usize) -> PyResult<usize> {
        self.or_refuse(|text| format!("{name} {text} is not in {least} to {most}"))
    }

    /// The count; of another number the exception has the words of `refuse`, which gets its text.
    pub fn or_refuse(self, refuse: impl FnOnce(&str) -> String) -> PyResult<usize> {
        match self {
            Count::Usable(count) => Ok(count),
            Count::Other(text) => Err(PyValueError::new_err(refuse(&text))),
        }
    }

    /// How many classes are told: 1 or more, where more than there are means all.
    pub fn top(self) -> PyResult<usize> {
        let refuse = |text: &str| PyValueError::new_err(format!("top is {text}, expected 1 or more"));
        match self {
            Count::Usable(0) => Err(refuse("0")),
            Count::Usable(count) => Ok(count),
            Count::Other(text) if text.starts_with('-') => Err(refuse(&text)),
            Count::Other(_) => Ok(usize::MAX),
        }
    }
}
