//! Ensembles: several models, several crops of a picture.

use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use googlenet::Prediction;
use googlenet::image::{Crops, Rgb8};
use numpy::PyArray1;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};

use crate::ahead::{Kept, Made, Results, Runner};
use crate::count::Count;
use crate::errors::{Error, OrRaise};
use crate::model::{Model, no_picture, options};
use crate::picture::{Picture, Source};
use crate::session::predictions;
use crate::signals::Signals;

/// Models that look at a picture's crops together: probabilities are averaged over crops and models.
///
/// models: a `Model` or several, whose classes have to be the same in the same order.
/// crops: 1, the middle; 10, corners and middle, mirrored too; or the paper's 144.
/// threads, precision: as of `Model.session`.
///
/// It serves one call at a time, as a session does. Ctrl-C is heard between two runs, of which a picture of many crops takes
/// several.
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

pub struct Held {
    /// The ensemble; it is taken out only to be dropped.
    ensemble: Option<googlenet::Ensemble>,
    /// The process in which its threads are, if it has any.
    process: Option<u32>,
}

impl Held {
    /// The probabilities of a picture's classes. `None` if Ctrl-C was pressed before the last run, whose exception `raised` gets.
    fn probabilities(&mut self, picture: Rgb8<'_>, raised: &mut Option<PyErr>) -> googlenet::Result<Option<&[f32]>> {
        let ensemble = self.ensemble.as_mut().expect("it is there until it is dropped");
        let mut signals = Signals::new();
        ensemble.probabilities_unless(picture, || {
            *raised = signals.raised();
            raised.is_some()
        })
    }

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
    #[pyo3(
        signature = (models, *, crops = Count::Usable(1), threads = None, precision = "f32"),
        text_signature = "(models, *, crops=1, threads=None, precision='f32')"
    )]
    fn new(
        py: Python<'_>,
        models: &Bound<'_, PyAny>,
        crops: Count,
        threads: Option<Count>,
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
        let refuse = |crops: &str| format!("crops is {crops}, expected 1, 10 or 144");
        let crops = crops.or_refuse(refuse)?;
        let kind = Crops::from_count(crops).ok_or_else(|| PyValueError::new_err(refuse(&crops.to_string())))?;
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
    #[pyo3(
        signature = (x, top = Count::Usable(5), *, errors = "raise"),
        text_signature = "($self, x, top=5, *, errors='raise')"
    )]
    fn classify<'py>(
        slf: &Bound<'py, Self>,
        x: &Bound<'py, PyAny>,
        top: Count,
        errors: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        Results::of(slf.py(), x, EnsembleRunner { ensemble: slf.clone().unbind(), top: top.top()? }, errors)
    }

    /// The probability of each class for a picture: float32, [classes], the mean over crops and models.
    fn probabilities<'py>(&self, py: Python<'py>, picture: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let source = Source::of(picture)?.ok_or_else(|| no_picture(picture))?;
        let name = source.name();
        let mut held = self.claim()?;
        let (own, mut raised) = (&mut *held, None);
        let values: googlenet::Result<Option<Vec<f32>>> =
            py.detach(|| Ok(own.probabilities(source.decode()?.view()?, &mut raised)?.map(<[f32]>::to_vec)));
        match (values.or_raise(&name)?, raised) {
            (Some(values), _) => Ok(PyArray1::from_vec(py, values)),
            (None, raised) => Err(raised.expect("nothing else ends it")),
        }
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
    type Claim<'a> = MutexGuard<'a, Held>;

    fn prepare(&self) -> Arc<dyn Fn(Source) -> googlenet::Result<Picture> + Send + Sync> {
        Arc::new(Source::decode)
    }

    fn batch(&self) -> usize {
        1
    }

    fn threads(&self) -> usize {
        self.ensemble.get().threads
    }

    fn claim(&self) -> PyResult<MutexGuard<'_, Held>> {
        self.ensemble.get().claim()
    }

    fn run(
        &self,
        py: Python<'_>,
        held: &mut Self::Claim<'_>,
        prepared: Vec<Picture>,
        kept: Vec<Kept>,
    ) -> PyResult<Vec<Made>> {
        let (own, held, mut raised) = (self.ensemble.get(), &mut **held, None);
        let all: googlenet::Result<Vec<_>> = py.detach(|| {
            let mut all = Vec::new();
            for picture in &prepared {
                let Some(probabilities) = held.probabilities(picture.view()?, &mut raised)? else { break };
                all.push(Prediction::most_likely(probabilities, &own.labels, self.top));
            }
            Ok(all)
        });
        let all = all.or_raise("")?;
        if let Some(raised) = raised {
            return Err(raised);
        }
        let model = own.model.clone_ref(py).into_any();
        Ok(all.into_iter().zip(kept).map(|(top, kept)| predictions(py, top, kept, &model, None)).collect())
    }

    fn unusable(&self, x: &Bound<'_, PyAny>) -> PyErr {
        no_picture(x)
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.ensemble)
    }
}
