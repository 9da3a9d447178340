//! Ensembles: several models, several crops of a picture.

use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use googlenet::image::Crops;
use numpy::PyArray1;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::ahead::{Kept, Made, Results, Runner};
use crate::errors::{Error, OrRaise};
use crate::model::{Model, no_picture, options};
use crate::picture::{Picture, Source};
use crate::session::predictions;

/// Models that look at a picture's crops together: probabilities are averaged over crops and models.
///
/// models: a `Model` or several, whose classes have to be the same in the same order.
/// crops: 1, the middle; 10, corners and middle, mirrored too; or the paper's 144.
/// threads, precision: as of `Model.session`.
///
/// It serves one call at a time, as a session does.
#[pyclass(frozen, module = "googlenet")]
pub struct Ensemble {
    held: Mutex<Held>,
    /// The first model, with which predictions draw their picture.
    model: Py<Model>,
    models: usize,
    labels: Vec<String>,
    classes: usize,
    crops: usize,
    threads: usize,
}

struct Held {
    /// The ensemble; it is taken out only to be dropped.
    ensemble: Option<googlenet::Ensemble>,
    /// The process in which its threads are, if it has any.
    process: Option<u32>,
}

impl Held {
    fn is_forked(&self) -> bool {
        self.process.is_some_and(|process| process != std::process::id())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.is_forked() {
            // Its threads do not exist in this process: to wait for their end would take for ever.
            std::mem::forget(self.ensemble.take());
        }
    }
}

impl Ensemble {
    fn claim(&self) -> PyResult<MutexGuard<'_, Held>> {
        match self.held.try_lock() {
            Ok(held) if held.is_forked() => Err(Error::new_err("ensemble has threads, which a fork leaves behind")),
            Ok(held) => Ok(held),
            Err(TryLockError::WouldBlock) => Err(Error::new_err("ensemble is in use by another call")),
            Err(TryLockError::Poisoned(_)) => Err(Error::new_err("ensemble is broken by a fault of the library's own")),
        }
    }
}

#[pymethods]
impl Ensemble {
    #[new]
    #[pyo3(signature = (models, *, crops = 1, threads = None, precision = "f32"))]
    fn new(
        py: Python<'_>,
        models: &Bound<'_, PyAny>,
        crops: usize,
        threads: Option<usize>,
        precision: &str,
    ) -> PyResult<Self> {
        let models: Vec<Py<Model>> = match models.cast::<Model>() {
            Ok(model) => vec![model.clone().unbind()],
            Err(_) => {
                let model = |model: PyResult<Bound<'_, PyAny>>| -> PyResult<Py<Model>> {
                    let model = model?;
                    let other =
                        || PyTypeError::new_err(format!("models are googlenet.Model, found {}", model.get_type()));
                    Ok(model.cast::<Model>().map_err(|_| other())?.clone().unbind())
                };
                models.try_iter()?.map(model).collect::<PyResult<_>>()?
            }
        };
        let kind = Crops::from_count(crops)
            .ok_or_else(|| PyValueError::new_err(format!("crops is {crops}, expected 1, 10 or 144")))?;
        let options = options(threads, precision)?;
        let (threads, process) = (options.thread_count(), options.starts_threads().then(std::process::id));
        let inner: Vec<googlenet::Model> = models.iter().map(|model| model.get().inner.clone()).collect();
        let ensemble = py.detach(|| googlenet::Ensemble::new(&inner, kind, options)).or_raise("")?;
        Ok(Self {
            labels: ensemble.labels().to_vec(),
            classes: ensemble.classes(),
            model: models[0].clone_ref(py),
            models: models.len(),
            crops,
            threads,
            held: Mutex::new(Held { ensemble: Some(ensemble), process }),
        })
    }

    /// Say what is on a picture, a list of pictures or an iterable of them: see `Session.classify`.
    #[pyo3(signature = (x, top = 5, *, errors = "raise"))]
    fn classify<'py>(
        slf: &Bound<'py, Self>,
        x: &Bound<'py, PyAny>,
        top: usize,
        errors: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        Results::of(slf.py(), x, EnsembleRunner { ensemble: slf.clone().unbind(), top }, errors)
    }

    /// The probability of each class for a picture: float32, [classes], the mean over crops and models.
    fn probabilities<'py>(&self, py: Python<'py>, picture: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let source = Source::of(picture)?.ok_or_else(|| no_picture(picture))?;
        let name = source.name();
        let mut held = self.claim()?;
        let ensemble = held.ensemble.as_mut().expect("it is there until it is dropped");
        let values = py.detach(|| Ok(ensemble.probabilities(source.decode()?.view()?)?.to_vec()));
        Ok(PyArray1::from_vec(py, values.or_raise(&name)?))
    }

    /// The names of the classes that the models have in common, in order; empty if no model has any.
    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.labels)
    }

    /// The number of classes that the models have in common.
    #[getter]
    fn classes(&self) -> usize {
        self.classes
    }

    /// The number of crops that each model looks at.
    #[getter]
    fn crops(&self) -> usize {
        self.crops
    }

    fn __repr__(&self) -> String {
        let s = |count: usize| if count == 1 { "" } else { "s" };
        format!("<googlenet.Ensemble: {} model{}, {} crop{}>", self.models, s(self.models), self.crops, s(self.crops))
    }
}

/// Classifies pictures by an ensemble.
struct EnsembleRunner {
    ensemble: Py<Ensemble>,
    top: usize,
}

impl Runner for EnsembleRunner {
    type Prepared = Picture;

    fn prepare(&self, _py: Python<'_>) -> Arc<dyn Fn(Source) -> googlenet::Result<Picture> + Send + Sync> {
        Arc::new(Source::decode)
    }

    fn batch(&self, _py: Python<'_>) -> usize {
        1
    }

    fn threads(&self, py: Python<'_>) -> usize {
        self.ensemble.bind(py).get().threads
    }

    fn run(&self, py: Python<'_>, prepared: Vec<Picture>, kept: Vec<Kept>) -> PyResult<Vec<Made>> {
        let own = self.ensemble.bind(py).get();
        let mut held = own.claim()?;
        let ensemble = held.ensemble.as_mut().expect("it is there until it is dropped");
        let all: googlenet::Result<Vec<_>> =
            py.detach(|| prepared.iter().map(|picture| ensemble.classify(picture.view()?, self.top)).collect());
        drop(held);
        let model = own.model.clone_ref(py).into_any();
        Ok(all
            .or_raise("")?
            .into_iter()
            .zip(kept)
            .map(|(top, kept)| predictions(py, top, kept, &model, None))
            .collect())
    }

    fn unusable(&self, x: &Bound<'_, PyAny>) -> PyErr {
        no_picture(x)
    }
}
