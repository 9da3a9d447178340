//! The command, which is part of the library.

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use googlenet::command::{self, Failed};
use pyo3::exceptions::{PyFileExistsError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::Error;
use crate::model::Model;
use crate::signals::Signals;

/// Run the command `googlenet` with arguments, of which the first is the program's name; returns the exit code. Whoever calls
/// it promises what the command's help says: nobody writes to a weight file or index that is in use.
#[pyfunction]
pub fn main(py: Python<'_>, args: Vec<OsString>) -> u8 {
    // SAFETY: the documentation, and the command's help, say that nobody may write to a weight file or index while it is in
    // use.
    py.detach(|| unsafe { command::main(args) })
}

/// Call the command `googlenet` with arguments, of which the first is the program's name; `models` take the place of the
/// demonstration weights. Returns what it says, and what it prints.
#[pyfunction]
pub fn call<'py>(
    py: Python<'py>,
    args: Vec<OsString>,
    models: Vec<Py<Model>>,
) -> PyResult<(Vec<String>, Bound<'py, PyBytes>)> {
    let models: Vec<googlenet::Model> = models.iter().map(|model| model.get().inner.clone()).collect();
    let raised = Arc::new(Mutex::new(None));
    let (mut signals, kept) = (Signals::new(), raised.clone());
    let is_over = move || match signals.raised() {
        None => false,
        Some(error) => {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            true
        }
    };
    let mut out = Vec::new();
    let outcome = py.detach(|| command::call(args, &models, &mut out, is_over));
    if let Some(error) = raised.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    let words = outcome.map_err(exception)?;
    Ok((words, PyBytes::new(py, &out)))
}

/// The photograph of a cat that is built in, a PNG file: "Chelsea" by Stefan van der Walt, CC0.
#[pyfunction]
pub fn photograph(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, command::PHOTOGRAPH)
}

/// The exception for a failure of the command, by its exit code.
fn exception(Failed { code, text, system }: Failed) -> PyErr {
    let text = text.strip_prefix("error: ").unwrap_or(&text).to_owned();
    match (code, system) {
        (_, Some(number)) => PyOSError::new_err((number, text)),
        (2, _) => PyValueError::new_err(text),
        // The command's words name its own option.
        (5, _) => PyFileExistsError::new_err(text.replace("--force replaces it", "force=True replaces it")),
        _ => Error::new_err(text),
    }
}
