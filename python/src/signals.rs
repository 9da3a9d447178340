//! Whether Ctrl-C was pressed, which long work asks now and then without the interpreter's lock.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// Asks the interpreter, but not more often than it can be asked without a cost.
pub struct Signals {
    asked: Instant,
}

impl Signals {
    /// Work begins.
    pub fn new() -> Self {
        Self { asked: Instant::now() }
    }

    /// The exception that a signal's handler raised since it was asked last.
    pub fn raised(&mut self) -> Option<PyErr> {
        if self.asked.elapsed() < PATIENCE {
            return None;
        }
        self.asked = Instant::now();
        Python::attach(|py| py.check_signals()).err()
    }
}

/// How long work goes on before the interpreter is asked.
const PATIENCE: Duration = Duration::from_millis(50);
