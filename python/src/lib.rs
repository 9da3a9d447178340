//! The extension module of the Python package `googlenet`.
//!
//! ```text
//! errors.rs      the library's errors as exceptions
//! arrays.rs      NumPy's arrays: those that come in are checked, those that go out share the session's memory
//! picture.rs     what Python calls a picture: a path, the bytes of a file, a PIL image, an array
//! ahead.rs       pictures of an iterable, decoded ahead by threads
//! count.rs       numbers that count something, negative ones refused
//! signals.rs     whether Ctrl-C was pressed
//! model.rs session.rs ensemble.rs command.rs     what a user holds
//! ```
//!
//! Every class is frozen, and what changes is behind a lock that is never waited for: a session that is in use answers a
//! second thread with an exception. So nothing here rests on the interpreter's lock, and interpreters without one may load
//! the module as it is. Whatever computes or decodes does so without the interpreter's lock.

mod ahead;
mod arrays;
mod command;
mod count;
mod ensemble;
mod errors;
mod model;
mod picture;
mod session;
mod signals;

/// Native part of `googlenet`; the package's documentation is in its own modules.
#[pyo3::pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use crate::ahead::Results;
    #[pymodule_export]
    use crate::command::{call, main, photograph};
    #[pymodule_export]
    use crate::ensemble::Ensemble;
    #[pymodule_export]
    use crate::errors::Error;
    #[pymodule_export]
    use crate::model::Model;
    #[pymodule_export]
    use crate::session::Session;

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        use pyo3::types::PyModuleMethods;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
