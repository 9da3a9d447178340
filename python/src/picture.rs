//! What Python calls a picture: a path, the bytes of a JPEG or PNG file, a PIL image, or an array `[h, w, 3]` of uint8.

use std::path::PathBuf;

use googlenet::image::{self, Decoded, Rgb8};
use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString};

use crate::arrays;

/// A picture as Python handed it over, which needs no interpreter any more.
pub enum Source {
    /// A file's path.
    Path(PathBuf),
    /// A file's bytes.
    Bytes(PyBackedBytes),
    /// A copy of pixels.
    Pixels(Pixels),
}

/// Pixels, RGB, without gaps.
pub struct Pixels {
    pub width: usize,
    pub height: usize,
    pub data: Vec<u8>,
}

/// A picture that is decoded.
pub enum Picture {
    /// By the library.
    Decoded(Decoded),
    /// By somebody else.
    Pixels(Pixels),
}

impl Source {
    /// The picture that `x` is; `None` if it is none, but may hold some.
    pub fn of(x: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        if let Ok(bytes) = x.cast::<PyBytes>() {
            return Ok(Some(Source::Bytes(bytes.clone().into())));
        }
        if let Ok(bytes) = x.cast::<PyByteArray>() {
            return Ok(Some(Source::Bytes(bytes.clone().into())));
        }
        if x.is_instance_of::<PyMemoryView>() {
            let bytes = x.call_method0("tobytes")?.cast_into::<PyBytes>().map_err(PyErr::from)?;
            return Ok(Some(Source::Bytes(bytes.into())));
        }
        if x.is_instance_of::<PyString>() || x.hasattr("__fspath__")? {
            return Ok(Some(Source::Path(x.extract()?)));
        }
        if let Ok(array) = x.cast::<PyUntypedArray>() {
            // A batch of pictures is an iterable of them.
            return if array.ndim() == 4 { Ok(None) } else { arrays::pixels(array).map(Source::Pixels).map(Some) };
        }
        if is_pil(x)? {
            let rgb = x.call_method1("convert", ("RGB",))?;
            let (width, height) = rgb.getattr("size")?.extract()?;
            let data = rgb.call_method0("tobytes")?.extract::<Vec<u8>>()?;
            return Ok(Some(Source::Pixels(Pixels { width, height, data })));
        }
        Ok(None)
    }

    /// How messages call it: a file by its path, and nothing else by any name.
    pub fn name(&self) -> String {
        match self {
            Source::Path(path) => path.display().to_string(),
            _ => String::new(),
        }
    }

    /// The picture's pixels.
    pub fn decode(self) -> googlenet::Result<Picture> {
        Ok(match self {
            Source::Path(path) => Picture::Decoded(image::open(path)?),
            Source::Bytes(bytes) => Picture::Decoded(image::decode(&bytes)?),
            Source::Pixels(pixels) => Picture::Pixels(pixels),
        })
    }
}

impl Picture {
    /// The pixels, as the library takes them.
    pub fn view(&self) -> googlenet::Result<Rgb8<'_>> {
        match self {
            Picture::Decoded(decoded) => Ok(decoded.view()),
            Picture::Pixels(Pixels { width, height, data }) => Rgb8::new(*width, *height, 3 * width, data),
        }
    }
}

/// Whether `x` is an image of Pillow. Who has one has loaded Pillow, which this package does without.
fn is_pil(x: &Bound<'_, PyAny>) -> PyResult<bool> {
    let modules = x.py().import("sys")?.getattr("modules")?;
    match modules.call_method1("get", ("PIL.Image",))? {
        module if module.is_none() => Ok(false),
        module => x.is_instance(&module.getattr("Image")?),
    }
}
