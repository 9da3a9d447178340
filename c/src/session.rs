//! The functions of C for sessions.

use std::cell::UnsafeCell;
use std::ffi::{CString, c_char};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use googlenet::error::{FileError, SessionError};
use googlenet::file::NewFile;
use googlenet::{Error, Result, Session, image};

use super::guard::{Entered, Guard};
use super::image::{Image, picture};
use super::model::{ModelHandle, label_of, path_of};
use super::options::{SessionOptions, number, precision_number};
use super::pointers;
use super::status::{self, Failure, Status, border};

/// A plan over a model's weights, with the memory and the threads of a run. It serves one call at a time: a second one,
/// from another thread, answers `GOOGLENET_ERR_BUSY` and changes nothing. Calls on different sessions do not disturb
/// each other.
pub struct SessionHandle {
    guard: Guard,
    labels: Arc<[CString]>,
    /// The session itself, which belongs to the caller who has entered the guard.
    session: UnsafeCell<Session>,
}

// The caller may take handles to any thread. That is sound because the guard admits one thread at a time to the session,
// which may be sent between threads, as this asserts.
const _: () = {
    const fn sent<T: Send>() {}
    sent::<Session>();
};

/// The right to use a session, until it is dropped.
struct Claim<'a> {
    handle: &'a SessionHandle,
    _entered: Entered<'a>,
}

impl<'a> Claim<'a> {
    /// Claims the session, or says why it cannot be used now.
    ///
    /// # Safety
    /// `session` is null or a session that was not freed.
    unsafe fn new(session: *const SessionHandle) -> std::result::Result<Self, Failure> {
        // SAFETY: the caller promises that `session` is null or a session that was not freed.
        let handle: &'a SessionHandle = unsafe { pointers::get(session, "session") }?;
        Ok(Self { handle, _entered: handle.guard.enter()? })
    }
}

impl Deref for Claim<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        // SAFETY: the guard is entered as long as this claim lives, so that nobody else has the session.
        unsafe { &*self.handle.session.get() }
    }
}

impl DerefMut for Claim<'_> {
    fn deref_mut(&mut self) -> &mut Session {
        // SAFETY: the guard is entered as long as this claim lives, so that nobody else has the session; and the claim is
        // borrowed exclusively.
        unsafe { &mut *self.handle.session.get() }
    }
}

/// What is known of a session.
#[repr(C)]
pub struct SessionInfo {
    /// `sizeof(googlenet_session_info)`, set by the caller.
    pub struct_size: usize,
    /// The input side, in pixels.
    pub side: usize,
    /// Images of a run.
    pub batch: usize,
    /// Threads of a run.
    pub threads: usize,
    /// Classes that the network tells apart.
    pub classes: usize,
    /// Rows of a class map; 0 if the session has none.
    pub map_height: usize,
    /// Columns of a class map; 0 if the session has none.
    pub map_width: usize,
    /// Bytes that a run works in. Packed weights come on top, shared by all sessions of the model, and some 60 KiB.
    pub memory_bytes: usize,
    /// The instruction set, a `googlenet_isa` other than `GOOGLENET_ISA_BEST`.
    pub isa: u32,
    /// The precision, a `googlenet_precision`.
    pub precision: u32,
}

/// One class and how likely it is.
#[repr(C)]
pub struct Prediction {
    /// The class, counted from 0.
    pub class_index: usize,
    /// 0 to 1.
    pub probability: f32,
    /// Its name, UTF-8, or ""; it lives as long as the session, or its model.
    pub label: *const c_char,
}

/// Plans and prepares a session: chooses kernels, packs weights, reserves memory, starts threads. All that can fail
/// fails here. `options` may be null: one thread, one image. The caller frees `*session`, which is not written if this
/// fails; the model may be freed before it.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_STRUCT_SIZE`, `GOOGLENET_ERR_ARGUMENT`,
/// `GOOGLENET_ERR_LENGTH`, `GOOGLENET_ERR_LAYER`, `GOOGLENET_ERR_ISA`, `GOOGLENET_ERR_THREADS`, `GOOGLENET_ERR_MEMORY`;
/// `GOOGLENET_ERR_MODEL` where
/// the weights turn out to be damaged: see `googlenet_model_verify`.
///
/// # Safety
/// Pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_session_new(
    model: *const ModelHandle,
    options: *const SessionOptions,
    session: *mut *mut SessionHandle,
) -> Status {
    border(|| {
        // SAFETY: the caller promises that `model` is null or valid. It is not used below `make`, whose `parallel_for` may free
        // it.
        let model = unsafe { pointers::get(model, "model") }?;
        // SAFETY: the caller promises that `options` is null or valid, and all that it points to, too.
        let options = unsafe { SessionOptions::read(options) }?;
        let out = pointers::out(session, "session")?;
        let starts_threads = options.starts_threads();
        let (threads, own, labels) = (options.thread_count(), model.model.clone(), model.labels.clone());
        let make = move || own.session(options);
        let made = if starts_threads { aside(threads, make) } else { make() };
        let made = made.map_err(Failure::of("options"))?;
        let handle =
            SessionHandle { guard: Guard::new("session", starts_threads), labels, session: UnsafeCell::new(made) };
        // SAFETY: `out` is not null, and the caller promises that it may be written.
        unsafe { out.write(Box::into_raw(Box::new(handle))) };
        Ok(())
    })
}

/// Frees `*session`, ends its threads, and sets it to null; `session` and `*session` may be null. In a process that was
/// forked off, a session with threads gives up its handle only: its memory stays. When this call begins no other thread may be
/// inside a call on the session, and none may begin one after, unless this call answers `GOOGLENET_ERR_BUSY`: a call that has
/// the session makes it answer that, one that is only about to take it does not.
///
/// Answers `GOOGLENET_OK`, or `GOOGLENET_ERR_BUSY`, which leaves it as it is.
///
/// # Safety
/// `session` is null or points to null or a session that was not freed; no other thread is inside a call on it or begins one
/// after, unless this one answers `GOOGLENET_ERR_BUSY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_session_free(session: *mut *mut SessionHandle) -> Status {
    border(|| {
        // SAFETY: the caller promises that `session` is null or valid.
        let Some(session) = (unsafe { session.as_mut() }) else { return Ok(()) };
        // SAFETY: the caller promises that `*session` is null or a session that was not freed.
        let Some(handle) = (unsafe { session.as_ref() }) else { return Ok(()) };
        let is_here = handle.guard.close()?;
        let handle = std::mem::replace(session, std::ptr::null_mut());
        if is_here {
            // SAFETY: `googlenet_session_new` made this box, only this function frees it, and nobody is inside a call
            // on it.
            drop(unsafe { Box::from_raw(handle) });
        }
        Ok(())
    })
}

/// Describes a session: the caller sets `info->struct_size`, this function all other fields.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_STRUCT_SIZE`, or any that a busy session answers.
///
/// # Safety
/// Pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_session_describe(session: *const SessionHandle, info: *mut SessionInfo) -> Status {
    border(|| {
        // SAFETY: the caller promises that `session` is null or valid.
        let session = unsafe { Claim::new(session) }?;
        let info = pointers::out(info, "info")?;
        // SAFETY: `info` is not null, and the caller has set this field.
        let struct_size = unsafe { (*info).struct_size };
        pointers::check_size::<SessionInfo>(struct_size, "info")?;
        let [map_height, map_width] = session.class_map_shape().unwrap_or([0, 0]);
        let described = SessionInfo {
            struct_size,
            side: session.side(),
            batch: session.batch(),
            threads: session.threads(),
            classes: session.logits().len() / session.batch(),
            map_height,
            map_width,
            memory_bytes: session.memory_bytes(),
            isa: number(session.isa()),
            precision: precision_number(session.precision()),
        };
        // SAFETY: `info` is not null, points to a struct of this size, and may be written, as the caller promises.
        unsafe { info.write(described) };
        Ok(())
    })
}

/// Where the next run reads its input: `[batch, 3, side, side]` in f32, preprocessed. `*values` stays where it is as long
/// as the session lives, and runs leave its values alone; it must not be written during a call on the session, nor read
/// during one that sets the input or classifies. `length`, unless null, receives how many values it has.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_BUSY`, `GOOGLENET_ERR_FORKED`.
///
/// # Safety
/// Pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_session_input(
    session: *mut SessionHandle,
    values: *mut *mut f32,
    length: *mut usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises that `session` is null or valid.
        let mut session = unsafe { Claim::new(session) }?;
        let values = pointers::out(values, "values")?;
        let input_len = session.input_mut().len();
        // SAFETY: `values` is not null, `length` may be, and the caller promises that both may be written where they
        // are not.
        unsafe {
            // A pointer of the slice's own would end with the next borrow of the input, and the caller keeps this one.
            values.write(session.input_pointer());
            pointers::put(length, input_len);
        }
        Ok(())
    })
}

/// Copies the next run's input, `[batch, 3, side, side]`, preprocessed: `length` must be just that many values.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_LENGTH`, `GOOGLENET_ERR_BUSY`, `GOOGLENET_ERR_FORKED`.
///
/// # Safety
/// Pointers are null or valid, `values` for `length` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_session_set_input(
    session: *mut SessionHandle,
    values: *const f32,
    length: usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises that `session` is null or valid.
        let mut session = unsafe { Claim::new(session) }?;
        // SAFETY: the caller promises that `values` is null or has `length` values. The slice is dropped at once, as it
        // may be the input's own.
        unsafe { pointers::slice(values, length, "values") }?;
        let input = session.input_mut();
        if length != input.len() {
            let text = format!("length is {length}, the input has {} values", input.len());
            return Err(Failure::new(Status::GOOGLENET_ERR_LENGTH, text));
        }
        // SAFETY: `values` and the input have `length` values each; `copy` allows that they overlap.
        unsafe { std::ptr::copy(values, input.as_mut_ptr(), length) };
        Ok(())
    })
}

/// Makes a picture the input of one image of the batch, like `googlenet_session_set_image`, of pixels that are those of a
/// `googlenet_pixels`. But for `GOOGLENET_PIXELS_RGB` it copies the picture, in memory that it takes for as long as it runs.
///
/// Answers as `googlenet_session_set_image`; `GOOGLENET_ERR_ARGUMENT` where `pixels` stands for none,
/// `GOOGLENET_ERR_MEMORY`.
///
/// # Safety
/// Pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_session_set_pixels(
    session: *mut SessionHandle,
    batch_index: usize,
    image: *const Image,
    pixels: u32,
) -> Status {
    // SAFETY: the caller promises that pointers are null or valid.
    border(|| unsafe { set(session, batch_index, image, pixels) })
}

/// Makes a picture, of pixels that are those of a `googlenet_pixels`, the input of an image of the batch.
///
/// # Safety
/// Pointers are null or valid.
unsafe fn set(session: *mut SessionHandle, batch_index: usize, image: *const Image, pixels: u32) -> status::Outcome {
    // SAFETY: the caller promises that `session` is null or valid.
    let mut session = unsafe { Claim::new(session) }?;
    // SAFETY: the caller promises that `image` is null or valid, and its `data`, too.
    let picture = unsafe { picture(image, pixels) }?;
    in_batch(&session, batch_index)?;
    // SAFETY: `picture` found that `image` is not null, and the caller promises that it is then valid.
    unsafe { apart(&mut session, image) }?;
    let (side, rule) = (session.side(), *session.rule());
    let len = 3 * side * side;
    let input = &mut session.input_mut()[batch_index * len..][..len];
    image::prepare(picture.view()?, &rule, side, input).map_err(Failure::of("image"))
}

/// Fails if the picture's data lie in the session's input, where they would be changed while they are read.
///
/// # Safety
/// `image` is not null, and valid.
unsafe fn apart(session: &mut Claim, image: *const Image) -> status::Outcome {
    let input = session.input_mut().as_ptr_range();
    let (start, end) = (input.start.cast::<u8>(), input.end.cast::<u8>());
    // SAFETY: the caller's promise.
    let (data, length) = unsafe { ((*image).data, (*image).length) };
    if data < end && start < data.wrapping_add(length) {
        let text = "image->data lies in the session's input";
        return Err(Failure::new(Status::GOOGLENET_ERR_ARGUMENT, text));
    }
    Ok(())
}

/// Makes a picture the input of one image of the batch, counted from 0: resized, cropped and normalised as the weights
/// ask.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_STRUCT_SIZE`, `GOOGLENET_ERR_ARGUMENT`,
/// `GOOGLENET_ERR_LENGTH`, `GOOGLENET_ERR_BUSY`, `GOOGLENET_ERR_FORKED`.
///
/// # Safety
/// Pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_session_set_image(
    session: *mut SessionHandle,
    batch_index: usize,
    image: *const Image,
) -> Status {
    // SAFETY: the caller promises that pointers are null or valid.
    border(|| unsafe { set(session, batch_index, image, 0) })
}

/// Runs the network on every image of the batch. It allocates nothing, and gives the same bits for the same input, for
/// any number of threads.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_BUSY`, `GOOGLENET_ERR_FORKED`.
///
/// # Safety
/// `session` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_session_run(session: *mut SessionHandle) -> Status {
    border(|| {
        // SAFETY: the caller promises that `session` is null or valid.
        unsafe { Claim::new(session) }?.run();
        Ok(())
    })
}

/// Records what each thread does in the next `runs` runs, for `googlenet_session_write_trace`; later ones are not recorded,
/// and an earlier recording is dropped. With 0 nothing is recorded any more. All memory for it is had here, some 22 KiB for
/// each run, thread and image of GoogLeNet on two threads: runs allocate nothing, and take less than 1 % longer.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_BUSY`, `GOOGLENET_ERR_FORKED`; `GOOGLENET_ERR_MEMORY`, after
/// which nothing is recorded.
///
/// # Safety
/// `session` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_session_record(session: *mut SessionHandle, runs: usize) -> Status {
    border(|| {
        // SAFETY: the caller promises that `session` is null or valid.
        unsafe { Claim::new(session) }?.record(runs).map_err(Failure::of("runs"))
    })
}

/// Writes what was recorded since `googlenet_session_record` to the file `path`, which is replaced as a whole if it
/// exists: JSON in the Trace Event format, which https://ui.perfetto.dev opens. Each thread has a track, on it a slice for
/// each task, with its step, kernel, phase, image and range, and slices for waits. `path` is in the system's encoding; on
/// Windows it is UTF-8.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_ARGUMENT`, `GOOGLENET_ERR_IO`, `GOOGLENET_ERR_BUSY`,
/// `GOOGLENET_ERR_FORKED`.
///
/// # Safety
/// `session` is null or valid; `path` is null or ends in zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_session_write_trace(session: *const SessionHandle, path: *const c_char) -> Status {
    border(|| {
        // SAFETY: the caller promises that `session` is null or valid.
        let session = unsafe { Claim::new(session) }?;
        // SAFETY: the caller promises that `path` is null or a text that ends in zero.
        let path = unsafe { path_of(path) }?;
        let mut file = NewFile::create(path)?;
        let failed = |source| Error::from(FileError::Io { action: "write", path: path.to_owned(), source });
        session.trace().write_json(&mut file).map_err(failed)?;
        Ok(file.commit(true)?)
    })
}

/// The last run's logits, `[batch, classes]`; zeros before the first. `*values` may be read until the session's next run
/// or its end: after a run they are to be asked for again. `length`, unless null, receives how many there are.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_BUSY`, `GOOGLENET_ERR_FORKED`.
///
/// # Safety
/// Pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_session_logits(
    session: *const SessionHandle,
    values: *mut *const f32,
    length: *mut usize,
) -> Status {
    // SAFETY: the caller promises that each pointer is null or valid.
    unsafe { output(session, values, length, |session| Ok(session.logits())) }
}

/// The last run's probabilities, `[batch, classes]`, like `googlenet_session_logits`.
///
/// Answers as `googlenet_session_logits`.
///
/// # Safety
/// Pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_session_probabilities(
    session: *const SessionHandle,
    values: *mut *const f32,
    length: *mut usize,
) -> Status {
    // SAFETY: the caller promises that each pointer is null or valid.
    unsafe { output(session, values, length, |session| Ok(session.probabilities())) }
}

/// The last run's output of a layer that the options named, `[batch, c, h, w]`, under the name they gave it, like
/// `googlenet_session_logits`. `shape`, unless null, receives the three numbers `c`, `h`, `w`.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_ARGUMENT`, `GOOGLENET_ERR_LAYER`, `GOOGLENET_ERR_BUSY`,
/// `GOOGLENET_ERR_FORKED`.
///
/// # Safety
/// Pointers are null or valid, `shape` for three values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_session_endpoint(
    session: *const SessionHandle,
    layer: *const c_char,
    values: *mut *const f32,
    length: *mut usize,
    shape: *mut usize,
) -> Status {
    // SAFETY: the caller promises that each pointer is null or valid, `shape` for three values.
    unsafe {
        output(session, values, length, |session| {
            let layer = pointers::text(layer, "layer")?;
            let absent = || {
                let text = format!("layer {layer:.80?} is not kept by this session");
                Failure::new(Status::GOOGLENET_ERR_LAYER, text)
            };
            let (sides, values) = session.endpoint_shape(layer).zip(session.endpoint(layer)).ok_or_else(absent)?;
            pointers::put(shape.cast::<[usize; 3]>(), sides);
            Ok(values)
        })
    }
}

/// Writes to `values` and `length` the output of the session that `of` finds.
///
/// # Safety
/// Pointers are null or valid.
unsafe fn output(
    session: *const SessionHandle,
    values: *mut *const f32,
    length: *mut usize,
    of: impl FnOnce(&Session) -> std::result::Result<&[f32], Failure>,
) -> Status {
    border(|| {
        // SAFETY: the caller promises that `session` is null or valid.
        let session = unsafe { Claim::new(session) }?;
        let out = pointers::out(values, "values")?;
        let found = of(&session)?;
        // SAFETY: `out` is not null, `length` may be, and the caller promises that both may be written where they are
        // not.
        unsafe {
            out.write(found.as_ptr());
            pointers::put(length, found.len());
        }
        Ok(())
    })
}

/// Classifies one picture: prepares it as the first image of the batch, runs, and writes the `count` likeliest classes
/// to `predictions`, the likeliest first; `count` is at most the number of classes.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_STRUCT_SIZE`, `GOOGLENET_ERR_ARGUMENT`,
/// `GOOGLENET_ERR_LENGTH`, `GOOGLENET_ERR_BUSY`, `GOOGLENET_ERR_FORKED`; `GOOGLENET_ERR_MODEL` where the weights give no
/// probabilities, because they have NaN, or numbers so large that sums overflow.
///
/// # Safety
/// Pointers are null or valid, `predictions` for `count` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_session_classify(
    session: *mut SessionHandle,
    image: *const Image,
    predictions: *mut Prediction,
    count: usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises that `session` is null or valid.
        let mut session = unsafe { Claim::new(session) }?;
        // SAFETY: the caller promises that `image` is null or valid, and its `data`, too.
        let picture = unsafe { picture(image, 0) }?;
        let predictions = pointers::out(predictions, "predictions")?;
        // SAFETY: `picture` found that `image` is not null, and the caller promises that it is then valid.
        unsafe { apart(&mut session, image) }?;
        check_count(&session, count)?;
        let top = session.classify(picture.view()?, count).map_err(Failure::of("image"))?;
        // SAFETY: `predictions` is not null and has room for `count` predictions, as the caller promises, and there are no
        // more than those.
        unsafe { write_predictions(&session.handle.labels, top, predictions) };
        Ok(())
    })
}

/// The `count` likeliest classes of one image of the last run's batch, counted from 0, the likeliest first; `count` is at most
/// the number of classes.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_ARGUMENT`, `GOOGLENET_ERR_LENGTH`, `GOOGLENET_ERR_BUSY`,
/// `GOOGLENET_ERR_FORKED`; `GOOGLENET_ERR_MODEL` where there are no probabilities, because the weights or the input have NaN,
/// or numbers so large that sums overflow.
///
/// # Safety
/// Pointers are null or valid, `predictions` for `count` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_session_predictions(
    session: *const SessionHandle,
    batch_index: usize,
    predictions: *mut Prediction,
    count: usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises that `session` is null or valid.
        let session = unsafe { Claim::new(session) }?;
        let predictions = pointers::out(predictions, "predictions")?;
        in_batch(&session, batch_index)?;
        check_count(&session, count)?;
        let top = session.predictions(batch_index, count)?;
        // SAFETY: `predictions` is not null and has room for `count` predictions, as the caller promises, and there are no
        // more than those.
        unsafe { write_predictions(&session.handle.labels, top, predictions) };
        Ok(())
    })
}

/// Fails if there are fewer than `count` classes.
fn check_count(session: &Session, count: usize) -> status::Outcome {
    let classes = session.logits().len() / session.batch();
    if count > classes {
        let text = format!("count is {count}, there are {classes} classes");
        return Err(Failure::new(Status::GOOGLENET_ERR_LENGTH, text));
    }
    Ok(())
}

/// Writes the classes `top`, which `labels` name, to `predictions`.
///
/// # Safety
/// `predictions` has room for all of them.
pub(super) unsafe fn write_predictions(
    labels: &[CString],
    top: Vec<googlenet::Prediction>,
    predictions: *mut Prediction,
) {
    for (i, best) in top.into_iter().enumerate() {
        let label = label_of(labels, best.index);
        let prediction = Prediction { class_index: best.index, probability: best.probability, label };
        // SAFETY: the caller promises that there is room.
        unsafe { predictions.add(i).write(prediction) };
    }
}

/// Where in a picture a class is seen: how much each place speaks for it, `[map_height, map_width]` values for one image
/// of the last run's batch. Their mean and `*bias` add up to the class's logit. `length` must be
/// `map_height * map_width`, as `googlenet_session_describe` says; `bias` may be null.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_LENGTH`, `GOOGLENET_ERR_ARGUMENT`, `GOOGLENET_ERR_BUSY`,
/// `GOOGLENET_ERR_FORKED`; `GOOGLENET_ERR_LAYER` if the session was made without `class_maps`.
///
/// # Safety
/// Pointers are null or valid, `values` for `length` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_session_class_map(
    session: *const SessionHandle,
    batch_index: usize,
    class_index: usize,
    values: *mut f32,
    length: usize,
    bias: *mut f32,
) -> Status {
    border(|| {
        // SAFETY: the caller promises that `session` is null or valid.
        let session = unsafe { Claim::new(session) }?;
        in_batch(&session, batch_index)?;
        // SAFETY: the caller promises that `values` is null or has `length` values, which may be uninitialised.
        let values = unsafe { pointers::cleared(values, length, "values") }?;
        let own: Result<f32> = session.write_class_map(batch_index, class_index, values);
        let own = own.map_err(|error| match error {
            Error::Session(SessionError::MapLength { .. }) => Failure::of("length")(error),
            Error::Session(SessionError::OutOfRange { .. }) => Failure::of("class_index")(error),
            error => error.into(),
        })?;
        // SAFETY: the caller promises that `bias` is null or may be written.
        unsafe { pointers::put(bias, own) };
        Ok(())
    })
}

/// Makes what starts threads, so many, on a thread that ends with this call. A thread that starts others in a scope
/// gets a handle to itself from the standard library, which never frees the handle of a program's first thread; leak
/// checkers would show that to everybody who embeds this library.
pub(super) fn aside<T: Send + 'static>(threads: usize, make: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let maker = std::thread::Builder::new().name("googlenet-maker".into()).spawn(make);
    let maker = maker.map_err(|source| SessionError::Threads { threads, source: source.into() })?;
    maker.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

/// Fails unless the batch has an image `index`.
fn in_batch(session: &Session, index: usize) -> std::result::Result<(), Failure> {
    if index < session.batch() {
        return Ok(());
    }
    let text = format!("batch_index {index} is not in 0 to {}", session.batch() - 1);
    Err(Failure::new(Status::GOOGLENET_ERR_ARGUMENT, text))
}
