//! NumPy's arrays. What comes in is checked, and what is wrong with it is named; what goes out shares memory with the
//! session.

use std::sync::Arc;

use numpy::ndarray::ArrayViewD;
use numpy::{
    PyArray3, PyArray4, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyReadonlyArray4, PyUntypedArray,
    PyUntypedArrayMethods, dtype,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::picture::Pixels;

/// Values that arrays show. Nobody writes to them: a session's next run writes elsewhere while this lives.
#[pyclass(frozen)]
struct Memory(#[expect(dead_code, reason = "it is held, so that arrays may look at it")] Arc<Vec<f32>>);

/// An array of `shape` that shows the first of `values`, without a copy. It cannot be written to, and keeps the values alive.
pub fn shared<'py>(py: Python<'py>, values: &Arc<Vec<f32>>, shape: &[usize]) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
    let view = ArrayViewD::from_shape(shape, &values[..shape.iter().product()]).expect("as many values as it has");
    let owner = Bound::new(py, Memory(values.clone()))?;
    // SAFETY: `owner` becomes the array's base and holds the vector that `view` looks at: it lives as long as the array, and
    // is neither moved nor reallocated, as a vector in an `Arc` that others hold cannot be changed.
    let array = unsafe { PyArrayDyn::borrow_from_array(&view, owner.into_any()) };
    // NumPy lets nobody make it writeable again, as its base is no buffer.
    array.readwrite().make_nonwriteable();
    Ok(array)
}

/// The pixels of an array `[h, w, 3]` of uint8, RGB. Rows may lie apart, as those of a part of a picture do.
pub fn pixels(array: &Bound<'_, PyUntypedArray>) -> PyResult<Pixels> {
    let py = array.py();
    let found = array.dtype();
    if !found.is_equiv_to(&dtype::<u8>(py)) {
        return Err(PyValueError::new_err(format!("array has dtype {found}, expected uint8")));
    }
    let &[height, width, 3] = array.shape() else {
        let text = format!("array has shape {:?}, expected [h, w, 3]: rows, columns, RGB", array.shape());
        return Err(PyValueError::new_err(text));
    };
    if height == 0 || width == 0 {
        return Err(PyValueError::new_err(format!("array has shape {:?}, an empty picture", array.shape())));
    }
    let typed = array.cast::<PyArray3<u8>>().map_err(PyErr::from)?.try_readonly();
    let typed = typed.map_err(|error| PyValueError::new_err(error.to_string()))?;
    let view = typed.as_array();
    let mut data = Vec::with_capacity(height * width * 3);
    for row in view.outer_iter() {
        let Some(row) = row.to_slice() else {
            let text = format!(
                "array has strides {:?} in bytes, expected (n, 3, 1): the pixels of a row one after the other; \
                 numpy.ascontiguousarray makes it so",
                array.strides()
            );
            return Err(PyValueError::new_err(text));
        };
        data.extend_from_slice(row);
    }
    Ok(Pixels { width, height, data })
}

/// The values of an array `[n, 3, side, side]` of float32, with `n` of 1 to `batch`: in C order, aligned to their elements.
pub fn input<'py>(x: &Bound<'py, PyAny>, side: usize, batch: usize) -> PyResult<PyReadonlyArray4<'py, f32>> {
    let Ok(array) = x.cast::<PyUntypedArray>() else {
        let text = format!("expected a numpy.ndarray of float32, found {}", x.get_type().name()?);
        return Err(PyTypeError::new_err(text));
    };
    let found = array.dtype();
    if (found.kind(), found.itemsize()) == (b'f', 4) && found.is_native_byteorder() == Some(false) {
        let text = format!("array has dtype {found}, a byte order that is not this machine's");
        return Err(PyValueError::new_err(text));
    }
    if !found.is_equiv_to(&dtype::<f32>(x.py())) {
        return Err(PyValueError::new_err(format!("array has dtype {found}, expected float32")));
    }
    let shape = array.shape();
    match *shape {
        [n, 3, h, w] if (1..=batch).contains(&n) && [h, w] == [side; 2] => {}
        _ => {
            let text = format!(
                "array has shape {shape:?}, expected [n, 3, {side}, {side}] with n of 1 to {batch}, the session's batch"
            );
            return Err(PyValueError::new_err(text));
        }
    }
    if !array.is_c_contiguous() {
        let text = match array.is_fortran_contiguous() {
            true => "array is in Fortran order, expected C order; numpy.ascontiguousarray makes it so".to_owned(),
            false => format!(
                "array has strides {:?} in bytes, expected {:?}; numpy.ascontiguousarray makes it so",
                array.strides(),
                [12 * side * side, 4 * side * side, 4 * side, 4]
            ),
        };
        return Err(PyValueError::new_err(text));
    }
    if !array.getattr("flags")?.getattr("aligned")?.is_truthy()? {
        let text = "array is not aligned to its elements; numpy.require(x, requirements=\"A\") makes it so";
        return Err(PyValueError::new_err(text));
    }
    let typed = array.cast::<PyArray4<f32>>().map_err(PyErr::from)?.try_readonly();
    typed.map_err(|error| PyValueError::new_err(error.to_string()))
}
