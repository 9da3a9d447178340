//! The functions of C for models.

use std::ffi::{CString, c_char, c_void};
use std::path::Path;
use std::sync::Arc;

use googlenet::weights::Weights;
use googlenet::{Model, Result};

use super::pointers;
use super::status::{Failure, Outcome, Status, border};

/// Weights, for any number of sessions and threads; nothing changes them. Their form was checked, and, but for packed files
/// that are mapped, their hash; what their numbers are worth was not. Every function that takes a
/// `const googlenet_model *` may be called from several threads at once.
pub struct ModelHandle {
    pub(super) model: Model,
    /// The names of the classes as texts of C. Sessions share them, so that they live as long as any session.
    pub(super) labels: Arc<[CString]>,
}

/// What is known of a model.
#[repr(C)]
pub struct ModelInfo {
    /// `sizeof(googlenet_model_info)`, set by the caller.
    pub struct_size: usize,
    /// Classes that the network tells apart.
    pub classes: usize,
    /// The input side that the weights are meant for, in pixels.
    pub side: usize,
    /// Names of classes: as many as classes, or 0.
    pub labels: usize,
}

impl ModelHandle {
    /// A handle of `model`, which `googlenet_model_free` frees. Public for the fuzz target of calls, whose models are of no file.
    pub fn leak(model: Model) -> *mut Self {
        let labels = texts(model.labels()).into();
        Box::into_raw(Box::new(Self { model, labels }))
    }
}

/// Writes a handle of `model` to `out`, which then belongs to the caller.
///
/// # Safety
/// `out` is not null and may be written.
unsafe fn hand_out(model: Result<Model>, out: *mut *mut ModelHandle) -> Outcome {
    let model = ModelHandle::leak(model?);
    // SAFETY: the caller's promise.
    unsafe { out.write(model) };
    Ok(())
}

/// `labels` as texts of C. A label that has a zero in it ends there, as it would for C.
pub(super) fn texts(labels: &[String]) -> Box<[CString]> {
    let text = |label: &String| {
        let end = label.find('\0').unwrap_or(label.len());
        CString::new(&label[..end]).expect("what stands before the first zero has none")
    };
    labels.iter().map(text).collect()
}

#[cfg(unix)]
fn path(bytes: &std::ffi::CStr) -> std::result::Result<&Path, Failure> {
    use std::os::unix::ffi::OsStrExt;
    Ok(Path::new(std::ffi::OsStr::from_bytes(bytes.to_bytes())))
}

#[cfg(not(unix))]
fn path(bytes: &std::ffi::CStr) -> std::result::Result<&Path, Failure> {
    let text = bytes.to_str();
    text.map(Path::new).map_err(|_| Failure::new(Status::GOOGLENET_ERR_ARGUMENT, "path is not UTF-8"))
}

/// The path that C's text `pointer` names.
///
/// # Safety
/// `pointer` is null or a text that ends in zero, valid for `'a`.
pub(super) unsafe fn path_of<'a>(pointer: *const c_char) -> std::result::Result<&'a Path, Failure> {
    // SAFETY: the caller promises that `pointer` is null or valid.
    unsafe { pointers::get(pointer, "path") }?;
    // SAFETY: `pointer` is not null, and the caller promises that it is then a text that ends in zero.
    path(unsafe { std::ffi::CStr::from_ptr(pointer) })
}

/// Reads a weight file into memory and checks it, its hash included. `path` is in the system's encoding; on Windows it
/// is UTF-8. The caller frees `*model`, which is not written if this fails.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_IO`, `GOOGLENET_ERR_MODEL`.
///
/// # Safety
/// `path` ends in zero; `model` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_model_open(path: *const c_char, model: *mut *mut ModelHandle) -> Status {
    border(|| {
        // SAFETY: the caller promises that `path` is null or a text that ends in zero.
        let path = unsafe { path_of(path) }?;
        let model = pointers::out(model, "model")?;
        // SAFETY: `model` is not null, and the caller promises that it may be written.
        unsafe { hand_out(Model::open(path), model) }
    })
}

/// Maps a weight file instead of reading it, and checks it as `googlenet_model_open` does; but of a packed file only the
/// header, until a session cannot use its packed weights: see `googlenet_model_verify`. The file's pages are shared by
/// all processes that map it, and the system may drop them. Until the model, its sessions and its ensembles are freed,
/// nobody may write to the file or cut it off, or the program may end (SIGBUS) or compute anything; replacing it by a
/// rename is harmless.
///
/// Answers as `googlenet_model_open`.
///
/// # Safety
/// `path` ends in zero, `model` may be written, and nobody changes the file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_model_map(path: *const c_char, model: *mut *mut ModelHandle) -> Status {
    border(|| {
        // SAFETY: the caller promises that `path` is null or a text that ends in zero.
        let path = unsafe { path_of(path) }?;
        let model = pointers::out(model, "model")?;
        // SAFETY: the caller promises that nobody changes the file while anything of this model lives.
        let mapped = unsafe { Model::map(path) };
        // SAFETY: `model` is not null, and the caller promises that it may be written.
        unsafe { hand_out(mapped, model) }
    })
}

/// Copies a weight file that is in memory, `length` bytes at `data`, and checks it.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_LENGTH`, `GOOGLENET_ERR_MODEL`, `GOOGLENET_ERR_MEMORY`.
///
/// # Safety
/// `data` has `length` bytes; `model` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_model_copy(
    data: *const c_void,
    length: usize,
    model: *mut *mut ModelHandle,
) -> Status {
    border(|| {
        // SAFETY: the caller promises that `data` is null or has `length` bytes.
        let bytes = unsafe { pointers::slice(data.cast::<u8>(), length, "data") }?;
        let model = pointers::out(model, "model")?;
        // SAFETY: `model` is not null, and the caller promises that it may be written.
        unsafe { hand_out(Weights::copy(bytes).and_then(Model::new), model) }
    })
}

/// Uses a weight file where it lies in memory, `length` bytes at `data`, and checks it: an array of the program, aligned
/// to 64 bytes. If it is not so aligned, it is copied. It must stay as it is until the model, its sessions and its
/// ensembles are freed.
///
/// Answers as `googlenet_model_copy`.
///
/// # Safety
/// `data` has `length` bytes, which stay as they are while the model, its sessions and its ensembles live; `model` may be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_model_borrow(
    data: *const c_void,
    length: usize,
    model: *mut *mut ModelHandle,
) -> Status {
    border(|| {
        // SAFETY: the caller promises that `data` is null or has `length` bytes, which stay as they are while anything
        // of this model lives.
        let bytes: &'static [u8] = unsafe { pointers::slice(data.cast::<u8>(), length, "data") }?;
        let model = pointers::out(model, "model")?;
        // SAFETY: `model` is not null, and the caller promises that it may be written.
        unsafe { hand_out(Model::from_static(bytes), model) }
    })
}

/// Checks a model's weights against the file's hash. Whoever opens, copies or borrows a file has that done already; of a
/// packed file that is mapped only the header was checked. This reads the whole file.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, or `GOOGLENET_ERR_MODEL` where the weights are damaged.
///
/// # Safety
/// `model` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_model_verify(model: *const ModelHandle) -> Status {
    border(|| {
        // SAFETY: the caller promises that `model` is null or valid.
        let model = unsafe { pointers::get(model, "model") }?;
        Ok(model.model.weights().verify()?)
    })
}

/// Frees `*model` and sets it to null; `model` and `*model` may be null. Sessions of the model live on: they keep what
/// they need. No other thread may be using the handle.
///
/// Answers `GOOGLENET_OK`, always.
///
/// # Safety
/// `model` is null or points to null or a model that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_model_free(model: *mut *mut ModelHandle) -> Status {
    border(|| {
        // SAFETY: the caller promises that `model` is null or valid.
        let Some(model) = (unsafe { model.as_mut() }) else { return Ok(()) };
        let handle = std::mem::replace(model, std::ptr::null_mut());
        if !handle.is_null() {
            // SAFETY: `ModelHandle::leak` made this box, and the caller promises that it was not freed before.
            drop(unsafe { Box::from_raw(handle) });
        }
        Ok(())
    })
}

/// Describes a model: the caller sets `info->struct_size`, this function all other fields.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_STRUCT_SIZE`.
///
/// # Safety
/// Pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_model_describe(model: *const ModelHandle, info: *mut ModelInfo) -> Status {
    border(|| {
        // SAFETY: the caller promises that `model` is null or valid.
        let model = unsafe { pointers::get(model, "model") }?;
        let info = pointers::out(info, "info")?;
        // SAFETY: `info` is not null, and the caller has set this field.
        let struct_size = unsafe { (*info).struct_size };
        pointers::check_size::<ModelInfo>(struct_size, "info")?;
        let network = model.model.network();
        let described =
            ModelInfo { struct_size, classes: network.classes, side: model.model.side(), labels: model.labels.len() };
        // SAFETY: `info` is not null, points to a struct of this size, and may be written, as the caller promises.
        unsafe { info.write(described) };
        Ok(())
    })
}

/// The name of a class, counted from 0, in UTF-8; it lives as long as the model, or any session of it. Where the weights
/// have no names, `*label` becomes "".
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, or `GOOGLENET_ERR_ARGUMENT` where there is no such class.
///
/// # Safety
/// Pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_model_label(
    model: *const ModelHandle,
    class_index: usize,
    label: *mut *const c_char,
) -> Status {
    border(|| {
        // SAFETY: the caller promises that `model` is null or valid.
        let model = unsafe { pointers::get(model, "model") }?;
        let label = pointers::out(label, "label")?;
        let classes = model.model.network().classes;
        if class_index >= classes {
            let text = format!("class_index {class_index} is not in 0 to {}", classes - 1);
            return Err(Failure::new(Status::GOOGLENET_ERR_ARGUMENT, text));
        }
        // SAFETY: `label` is not null, and the caller promises that it may be written.
        unsafe { label.write(label_of(&model.labels, class_index)) };
        Ok(())
    })
}

/// The name of `class` as a text of C, which lives as long as `labels`; "" if there is none.
pub(super) fn label_of(labels: &[CString], class: usize) -> *const c_char {
    labels.get(class).map_or(c"".as_ptr(), |label| label.as_ptr())
}
