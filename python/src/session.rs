//! Sessions: what runs.

use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use googlenet::image::{self, Rule};
use googlenet::{Options, Prediction};
use numpy::{PyArrayDyn, PyArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::ahead::{Kept, Made, Results, Runner};
use crate::arrays;
use crate::count::Count;
use crate::errors::{Error, OrRaise};
use crate::model::{Model, no_picture};
use crate::picture::Source;

/// A plan over a model's weights, with the memory and threads of a run. It serves one call at a time: a second one, from
/// another thread, raises `Error` and changes nothing. A call for a list of pictures has the session until the list is done;
/// an iterator has it while it computes a batch, and leaves it to other calls between its results.
#[pyclass(frozen, module = "googlenet")]
pub struct Session {
    /// The model, with which predictions draw their picture.
    own: Py<Model>,
    model: googlenet::Model,
    held: Mutex<Held>,
    /// The layer whose outputs are embeddings, and how many values it has.
    features: Option<(String, usize)>,
    /// The layers whose outputs are kept because the caller asked.
    endpoints: Vec<String>,
    side: usize,
    batch: usize,
    threads: usize,
    class_map_shape: Option<[usize; 2]>,
}

/// What one call at a time has.
pub struct Held {
    /// The session; it is taken out only to be dropped.
    session: Option<googlenet::Session>,
    /// How many images of the last run were the caller's.
    live: usize,
    /// The process in which the session's threads are, if it has any.
    process: Option<u32>,
}

impl Held {
    /// The session.
    pub fn session(&mut self) -> &mut googlenet::Session {
        self.session.as_mut().expect("it is there until it is dropped")
    }

    fn is_forked(&self) -> bool {
        self.process.is_some_and(|process| process != std::process::id())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.is_forked() {
            // Its threads do not exist in this process: to wait for their end would take for ever.
            std::mem::forget(self.session.take());
        }
    }
}

impl Session {
    /// A session of `model` that keeps the layers `endpoints`.
    pub fn new(own: &Bound<'_, Model>, options: Options, endpoints: &[String]) -> PyResult<Self> {
        let (py, model) = (own.py(), &own.get().inner);
        let roles = &model.network().roles;
        let known = |name: &String| match name.as_str() {
            LOGITS => roles.logits.clone(),
            _ => name.clone(),
        };
        let endpoints: Vec<String> = endpoints.iter().map(known).collect();
        let features = &roles.features;
        let options = endpoints.iter().chain(features).fold(options, |options, name| options.endpoint(name));
        let process = options.starts_threads().then(std::process::id);
        let session = py.detach(|| model.session(options)).or_raise("")?;
        let values = |name: &String| {
            let [c, h, w] = session.endpoint_shape(name).expect("kept by every session");
            (name.clone(), c * h * w)
        };
        Ok(Self {
            own: own.clone().unbind(),
            model: model.clone(),
            features: features.as_ref().map(values),
            endpoints,
            side: session.side(),
            batch: session.batch(),
            threads: session.threads(),
            class_map_shape: session.class_map_shape(),
            held: Mutex::new(Held { session: Some(session), live: 0, process }),
        })
    }

    /// The right to use the session, or an exception if it is in use.
    pub fn claim(&self) -> PyResult<MutexGuard<'_, Held>> {
        let held = match self.held.try_lock() {
            Ok(held) => held,
            Err(TryLockError::WouldBlock) => return Err(Error::new_err("session is in use by another call")),
            Err(TryLockError::Poisoned(_)) => {
                return Err(Error::new_err("session is broken by a fault of the library's own"));
            }
        };
        match held.is_forked() {
            false => Ok(held),
            true => Err(Error::new_err(
                "session has threads, which a fork leaves behind; make it in the process that uses it, or with threads=1",
            )),
        }
    }

    /// Runs the inputs, of which there are at most as many as images in a batch, and returns what came of each; fails if that
    /// is not finite.
    fn run_inputs(
        &self,
        py: Python<'_>,
        held: &mut Held,
        inputs: &[Vec<f32>],
        top: usize,
        embed: bool,
    ) -> PyResult<Vec<Row>> {
        held.live = 0; // until the run has ended
        let session = held.session();
        let rows = py.detach(|| {
            let len = 3 * self.side * self.side;
            for (input, own) in inputs.iter().zip(session.input_mut().chunks_exact_mut(len)) {
                own.copy_from_slice(input);
            }
            session.run();
            let features = self.features.as_ref().filter(|_| embed);
            let embeddings = features.and_then(|(name, _)| session.endpoint(name));
            let width = features.map_or(0, |(_, width)| *width);
            let row = |index: usize| {
                let embedding = embeddings.map(|all| all[index * width..][..width].to_vec());
                Ok(Row { top: session.predictions(index, top)?, embedding })
            };
            (0..inputs.len()).map(row).collect::<googlenet::Result<_>>()
        });
        held.live = inputs.len();
        rows.or_raise("")
    }

    /// How many values an embedding has.
    fn embedding_len(&self) -> PyResult<usize> {
        self.features.as_ref().map(|(_, len)| *len).ok_or_else(|| {
            PyValueError::new_err(format!("{} has no layer of features to embed with", self.model.network().name))
        })
    }

    /// What the session kept of the layer `name`: the first `live` images of the last run.
    fn view<'py>(&self, py: Python<'py>, held: &mut Held, name: &str) -> Option<PyResult<Bound<'py, PyArrayDyn<f32>>>> {
        let live = held.live;
        let session = held.session();
        let roles = &self.model.network().roles;
        let (values, [c, h, w]) = (session.shared_endpoint(name)?, session.endpoint_shape(name)?);
        let is_flat = [&roles.logits, &roles.probabilities].iter().any(|flat| *flat == name);
        Some(match is_flat {
            true => arrays::shared(py, &values, &[live, c]),
            false => arrays::shared(py, &values, &[live, c, h, w]),
        })
    }
}

#[pymethods]
impl Session {
    /// Say what is on a picture: the `top` likeliest classes.
    ///
    /// A picture is a path, the bytes of a JPEG or PNG file, a PIL image, or an array of uint8 [h, w, 3] (RGB). Of a list or a
    /// tuple of pictures the results are a list; of any other iterable an iterator, which reads some pictures ahead. Pictures
    /// are computed in batches of the session's, and decoded by as many threads as the session has while others are computed;
    /// a session of one thread starts no other.
    ///
    /// A picture that cannot be used raises; with `errors="return"` the exception stands in its place among the results of a
    /// list or an iterable. With `embed=True` each result has its picture's `embedding`, too.
    #[pyo3(
        signature = (x, top = Count::Usable(5), *, embed = false, errors = "raise"),
        text_signature = "($self, x, top=5, *, embed=False, errors='raise')"
    )]
    fn classify<'py>(
        slf: &Bound<'py, Self>,
        x: &Bound<'py, PyAny>,
        top: Count,
        embed: bool,
        errors: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let own = slf.get();
        if embed {
            own.embedding_len()?;
        }
        let runner = SessionRunner { session: slf.clone().unbind(), top: Some(top.top()?), embed };
        Results::of(slf.py(), x, runner, errors)
    }

    /// The features that the network's classifier sees of a picture: float32, [1024] for GoogLeNet.
    ///
    /// Of a list or a tuple of pictures they are one array, [n, 1024]; of any other iterable an iterator of arrays. Pictures
    /// are those of `classify`, and so is `errors` for an iterable; in a list every picture must be usable, as an array has no
    /// place for an exception.
    #[pyo3(signature = (x, *, errors = "raise"))]
    fn embed<'py>(slf: &Bound<'py, Self>, x: &Bound<'py, PyAny>, errors: &str) -> PyResult<Bound<'py, PyAny>> {
        let len = slf.get().embedding_len()?;
        if errors == "return" && Results::are_listed(x) {
            let text = "errors=\"return\" does not go with pictures whose embeddings are one array; \
                        those of an iterator, as iter(pictures), come one by one";
            return Err(PyValueError::new_err(text));
        }
        let runner = SessionRunner { session: slf.clone().unbind(), top: None, embed: true };
        let made = Results::of(slf.py(), x, runner, errors)?;
        match made.cast::<pyo3::types::PyList>() {
            Ok(rows) if rows.is_empty() => Ok(numpy::PyArray2::<f32>::zeros(slf.py(), [0, len], false).into_any()),
            Ok(rows) => slf.py().import("numpy")?.call_method1("stack", (rows,)),
            Err(_) => Ok(made),
        }
    }

    /// Run the network on inputs that are prepared already, float32 [n, 3, side, side] with n of 1 to the session's batch, and
    /// return the logits, [n, classes]. They are shown, not copied: see `endpoint`.
    fn run<'py>(&self, py: Python<'py>, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let input = arrays::input(x, self.side, self.batch)?;
        let values = input.as_slice().expect("the array is in C order and aligned");
        let mut held = self.claim()?;
        held.live = 0; // until the run has ended
        let live = values.len() / (3 * self.side * self.side);
        let session = held.session();
        session.input_mut()[..values.len()].copy_from_slice(values);
        drop(input);
        py.detach(|| session.run());
        held.live = live;
        self.view(py, &mut held, &self.model.network().roles.logits).expect("kept by every session")
    }

    /// The output of a layer in the last run: float32, [n, c, h, w], or [n, classes] of "logits" and "prob". The session must
    /// have been made with it, but for "logits", "prob" and the layer that embeddings come from, which every session keeps.
    ///
    /// The array shows the session's own memory, is not a copy, and cannot be written to. It keeps that memory alive, also
    /// when the session is gone, and shows the same run for ever: a later run writes into other memory.
    fn endpoint<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let mut held = self.claim()?;
        let own = if name == LOGITS { &self.model.network().roles.logits } else { name };
        let view = self.view(py, &mut held, own);
        view.unwrap_or_else(|| {
            Err(PyValueError::new_err(format!("the session keeps no layer {name:?}: name it in endpoints=")))
        })
    }

    /// Where in the picture number `image` of the last run the class number `index` is seen: its map, float32 [h, w], and the
    /// classifier's bias. The map's mean and the bias add up to the class's logit. The session must have been made with
    /// `class_maps=True`.
    #[pyo3(signature = (index, image = Count::Usable(0)), text_signature = "($self, index, image=0)")]
    fn class_map<'py>(&self, py: Python<'py>, index: Count, image: Count) -> PyResult<Bound<'py, PyAny>> {
        let index = index.within("class", 0, self.model.network().classes - 1)?;
        let mut held = self.claim()?;
        let live = held.live;
        let refuse = |image: &str| format!("image {image} of a run of {live}");
        let image = image.or_refuse(refuse)?;
        if image >= live {
            return Err(PyValueError::new_err(refuse(&image.to_string())));
        }
        let session = held.session();
        let map = py.detach(|| session.class_map(image, index)).or_raise("")?;
        let values = numpy::PyArray1::from_vec(py, map.values).reshape(map.shape)?;
        py.import("googlenet._predictions")?.getattr("ClassMap")?.call1((values, map.bias))
    }

    /// The images of a run.
    #[getter]
    fn batch(&self) -> usize {
        self.batch
    }

    /// The threads that work on a run.
    #[getter]
    fn threads(&self) -> usize {
        self.threads
    }

    /// The side of the input, in pixels.
    #[getter]
    fn side(&self) -> usize {
        self.side
    }

    /// What is computed in: "f32", "bf16" or "int8".
    #[getter]
    fn precision(&self) -> PyResult<&'static str> {
        Ok(self.claim()?.session().precision().name())
    }

    /// The instruction set of the plan.
    #[getter]
    fn isa(&self) -> PyResult<&'static str> {
        Ok(self.claim()?.session().isa().name())
    }

    /// Whether the weight file's packed weights are used where they lie.
    #[getter]
    fn uses_packed_file(&self) -> PyResult<bool> {
        Ok(self.claim()?.session().uses_packed_file())
    }

    /// The layers that `endpoint` shows because they were asked for.
    #[getter]
    fn endpoints<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, pyo3::types::PyTuple>> {
        pyo3::types::PyTuple::new(py, &self.endpoints)
    }

    /// The rows and columns of a class map; `None` if the session keeps none.
    #[getter]
    fn class_map_shape(&self) -> Option<(usize, usize)> {
        self.class_map_shape.map(|[h, w]| (h, w))
    }

    fn __repr__(&self) -> String {
        let s = |count: usize| if count == 1 { "" } else { "s" };
        format!(
            "<googlenet.Session: {}, {} thread{}, batch {}, {side}x{side}>",
            self.model.network().name,
            self.threads,
            s(self.threads),
            self.batch,
            side = self.side
        )
    }
}

/// What came of a picture.
struct Row {
    top: Vec<Prediction>,
    embedding: Option<Vec<f32>>,
}

/// Classifies or embeds pictures by a session.
struct SessionRunner {
    session: Py<Session>,
    /// How many classes are told; `None` if embeddings alone are.
    top: Option<usize>,
    embed: bool,
}

impl Runner for SessionRunner {
    type Prepared = Vec<f32>;
    type Claim<'a> = MutexGuard<'a, Held>;

    fn prepare(&self) -> Arc<dyn Fn(Source) -> googlenet::Result<Vec<f32>> + Send + Sync> {
        let session = self.session.get();
        let (side, rule): (usize, Rule) = (session.side, *session.model.rule());
        Arc::new(move |source| {
            let mut input = vec![0.0; 3 * side * side];
            image::prepare(source.decode()?.view()?, &rule, side, &mut input)?;
            Ok(input)
        })
    }

    fn batch(&self) -> usize {
        self.session.get().batch
    }

    fn threads(&self) -> usize {
        self.session.get().threads
    }

    fn claim(&self) -> PyResult<MutexGuard<'_, Held>> {
        self.session.get().claim()
    }

    fn run(
        &self,
        py: Python<'_>,
        held: &mut Self::Claim<'_>,
        inputs: Vec<Vec<f32>>,
        kept: Vec<Kept>,
    ) -> PyResult<Vec<Made>> {
        let session = self.session.get();
        let rows = session.run_inputs(py, held, &inputs, self.top.unwrap_or(0), self.embed)?;
        let model = session.own.clone_ref(py).into_any();
        let made = |(row, kept): (Row, Kept)| {
            let embedding = row.embedding.map(|values| numpy::PyArray1::from_vec(py, values).into_any());
            match self.top {
                Some(_) => predictions(py, row.top, kept, &model, embedding),
                None => Ok(embedding.expect("it was asked for").unbind()),
            }
        };
        Ok(rows.into_iter().zip(kept).map(made).collect())
    }

    fn unusable(&self, x: &Bound<'_, PyAny>) -> PyErr {
        no_picture(x)
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.session)
    }
}

/// What Python is told of a picture.
pub fn predictions(
    py: Python<'_>,
    top: Vec<Prediction>,
    kept: Kept,
    model: &Py<PyAny>,
    embedding: Option<Bound<'_, PyAny>>,
) -> Made {
    let rows: Vec<(usize, String, f32)> = top.into_iter().map(|p| (p.index, p.label, p.probability)).collect();
    let function = py.import("googlenet._predictions")?.getattr("_predictions")?;
    Ok(function.call1((rows, kept, model, embedding))?.unbind())
}

/// By this name callers ask for the logits of any network.
const LOGITS: &str = "logits";
