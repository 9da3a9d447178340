//! Models: weights that sessions share.

use std::path::PathBuf;

use googlenet::image::{self, Channels, Rule};
use googlenet::model::{MAX_SIDE, MIN_SIDE};
use googlenet::{Options, Precision, command, isa};
use numpy::{PyArray3, PyArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::count::Count;
use crate::errors::OrRaise;
use crate::picture::Source;
use crate::session::Session;

/// Weights and the network that they are of. It does not change, and any number of sessions and threads share it.
#[pyclass(frozen, module = "googlenet")]
pub struct Model {
    pub inner: googlenet::Model,
    /// The absolute path that the weights come from, and whether they are mapped; `None` for the demonstration weights.
    origin: Option<(PathBuf, bool)>,
}

#[pymethods]
impl Model {
    /// Open the weight file at `path`, as `googlenet convert` writes it, and check it.
    ///
    /// The file is read. With `map=True` it is mapped: its pages are then shared by all processes that map it, and a file
    /// that `googlenet pack` wrote is used as it lies. Whoever maps a file promises that nobody writes to it or cuts it off
    /// while the model, one of its sessions or an ensemble of it lives, also in a process that unpickles the model; to replace
    /// it by a rename is harmless.
    #[staticmethod]
    #[pyo3(signature = (path, *, map = false))]
    fn open(py: Python<'_>, path: PathBuf, map: bool) -> PyResult<Self> {
        let inner = py.detach(|| match map {
            // SAFETY: the documentation says that whoever asks for a mapping promises that nobody changes the file.
            true => unsafe { googlenet::Model::map(&path) },
            false => googlenet::Model::open(&path),
        });
        let inner = inner.or_raise(&path.display().to_string())?;
        // Who is handed a model, pickled, may have another working directory.
        Ok(Self { inner, origin: Some((std::path::absolute(path)?, map)) })
    }

    /// The built-in demonstration weights: ten classes, 64x64 pixels, often wrong beyond those.
    #[staticmethod]
    fn demo(py: Python<'_>) -> Self {
        Self { inner: py.detach(command::demonstration), origin: None }
    }

    /// Make a session: a plan over the weights, with its memory and threads.
    ///
    /// threads: how many work on a run, 1 to 256; by default one for each core.
    /// batch: images of a run, 1 to 4096. A run computes them all, also where fewer are handed in.
    /// precision: "f32", "bf16", or, for weights that `quantize` made, "int8".
    /// endpoints: layers whose outputs `Session.endpoint` shows, by the names that `googlenet cost` lists.
    /// side: the input's side in pixels, if not the weights' own.
    /// class_maps: whether to keep what `Session.class_map` needs.
    /// isa: an instruction set, if not the best that this machine has.
    #[pyo3(
        signature = (
            *, threads = None, batch = Count::Usable(1), precision = "f32", endpoints = None, side = None,
            class_maps = false, isa = None
        ),
        text_signature = "($self, *, threads=None, batch=1, precision='f32', endpoints=None, side=None, class_maps=False, \
                          isa=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    fn session(
        slf: &Bound<'_, Self>,
        threads: Option<Count>,
        batch: Count,
        precision: &str,
        endpoints: Option<&Bound<'_, PyAny>>,
        side: Option<Count>,
        class_maps: bool,
        isa: Option<&str>,
    ) -> PyResult<Session> {
        let batch = batch.within("batch", 1, Options::MAX_BATCH)?;
        let mut options = options(threads, precision)?.batch(batch).class_maps(class_maps);
        if let Some(side) = side {
            options = options.side(side.within("input side", MIN_SIDE, MAX_SIDE)?);
        }
        if let Some(name) = isa {
            let sets: Vec<&str> = isa::detected().map(isa::Isa::name).collect();
            let set = isa::detected().find(|set| set.name() == name).ok_or_else(|| {
                PyValueError::new_err(format!("no instruction set {name:?}; this machine has {}", sets.join(", ")))
            })?;
            options = options.isa(set);
        }
        let names = match endpoints {
            None => Vec::new(),
            Some(name) if name.is_instance_of::<pyo3::types::PyString>() => {
                let text = format!("endpoints are a list of names, found the one name {name}");
                return Err(PyTypeError::new_err(text));
            }
            Some(names) => names.try_iter()?.map(|name| name?.extract::<String>()).collect::<PyResult<_>>()?,
        };
        Session::new(slf, options, &names)
    }

    /// What the network sees of a picture: float32, [3, side, side].
    fn prepare<'py>(&self, py: Python<'py>, picture: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray3<f32>>> {
        let values = self.prepared(py, picture, *self.inner.rule())?;
        let side = self.inner.side();
        numpy::PyArray1::from_vec(py, values).reshape([3, side, side])
    }

    /// The part of a picture that the network sees, as pixels: uint8, [side, side, 3], RGB.
    fn crop<'py>(&self, py: Python<'py>, picture: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let rule = Rule { channels: Channels::Rgb, mean: [0.0; 3], std: [1.0; 3], ..*self.inner.rule() };
        let values = self.prepared(py, picture, rule)?;
        let side = self.inner.side();
        let area = side * side;
        let pixels = (0..3 * area).map(|at| values[at % 3 * area + at / 3].round() as u8);
        numpy::PyArray1::from_iter(py, pixels).reshape([side, side, 3])
    }

    /// The names of the classes, in order; empty if the weights have none.
    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.inner.labels())
    }

    /// The number of classes.
    #[getter]
    fn classes(&self) -> usize {
        self.inner.network().classes
    }

    /// The side of the input that the weights are meant for, in pixels.
    #[getter]
    fn side(&self) -> usize {
        self.inner.side()
    }

    /// The network's name.
    #[getter]
    fn network(&self) -> &'static str {
        self.inner.network().name
    }

    /// The published version of the network that the weights are of.
    #[getter]
    fn dialect(&self) -> &'static str {
        self.inner.network().dialect.name()
    }

    /// What the weight file says of itself: preprocessing, labels, hashes.
    #[getter]
    fn metadata(&self) -> std::collections::BTreeMap<String, String> {
        self.inner.weights().metadata().clone()
    }

    /// Where the weights come from; `None` for the demonstration weights.
    #[getter]
    fn path(&self) -> Option<&std::path::Path> {
        self.origin.as_ref().map(|(path, _)| path.as_path())
    }

    fn __repr__(&self) -> String {
        let (network, dialect, classes, side) = (self.network(), self.dialect(), self.classes(), self.side());
        let origin = self.path().map_or("the demonstration weights".into(), |path| format!("{path:?}"));
        format!("<googlenet.Model {origin}: {network} ({dialect}), {classes} classes, {side}x{side}>")
    }

    /// Pickled is where the weights come from, not the weights.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let origin = self.origin.as_ref();
        let function = py.import("googlenet._predictions")?.getattr("_model")?;
        let (path, map) = origin.map_or((None, false), |(path, map)| (Some(path), *map));
        Ok((function, (path, map).into_pyobject(py)?.into_any()))
    }
}

impl Model {
    /// The input that `rule` makes of a picture, `[3, side, side]`.
    fn prepared(&self, py: Python<'_>, picture: &Bound<'_, PyAny>, rule: Rule) -> PyResult<Vec<f32>> {
        let source = Source::of(picture)?.ok_or_else(|| no_picture(picture))?;
        let name = source.name();
        let side = self.inner.side();
        let values = py.detach(|| {
            let mut values = vec![0.0; 3 * side * side];
            image::prepare(source.decode()?.view()?, &rule, side, &mut values)?;
            Ok(values)
        });
        values.or_raise(&name)
    }
}

/// The exception for what is neither a picture nor an iterable.
pub fn no_picture(x: &Bound<'_, PyAny>) -> PyErr {
    let found = x.get_type().name().map(|name| name.to_string()).unwrap_or_default();
    PyTypeError::new_err(format!(
        "expected a picture (a path, the bytes of a JPEG or PNG file, a PIL image, an array of uint8 [h, w, 3]), found {found}"
    ))
}

/// Options of so many threads, by default one for each core, and a precision of that name.
pub fn options(threads: Option<Count>, precision: &str) -> PyResult<Options> {
    let all = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(Options::MAX_THREADS);
    let known = Precision::from_name(precision).ok_or_else(|| {
        let names = Precision::ALL.map(Precision::name).join(", ");
        PyValueError::new_err(format!("unknown precision {precision:?}, expected one of {names}"))
    })?;
    let threads = threads.map(|threads| threads.within("threads", 1, Options::MAX_THREADS)).transpose()?;
    Ok(Options::new().threads(threads.unwrap_or_else(all)).precision(known))
}
