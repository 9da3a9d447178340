//! The functions of C for ensembles.

use std::cell::UnsafeCell;
use std::ffi::CString;

use googlenet::image::Crops;
use googlenet::{Ensemble, Model};

use super::guard::Guard;
use super::image::{Image, picture};
use super::model::{ModelHandle, texts};
use super::options::SessionOptions;
use super::pointers;
use super::session::{Prediction, aside, write_predictions};
use super::status::{Failure, Status, border};

/// Models that look together at one or more crops of a picture: their probabilities are averaged. It serves one call at a
/// time, as a session does.
pub struct EnsembleHandle {
    guard: Guard,
    labels: Box<[CString]>,
    /// The ensemble itself, which belongs to the caller who has entered the guard.
    ensemble: UnsafeCell<Ensemble>,
}

// The caller may take handles to any thread. That is sound because the guard admits one thread at a time to the ensemble,
// which may be sent between threads, as this asserts.
const _: () = {
    const fn sent<T: Send>() {}
    sent::<Ensemble>();
};

/// Plans an ensemble of `model_count` models, 1 to 64, which must tell the same classes apart, in the same order; that is not
/// checked. `crops` says how often a picture is looked at: 1, the middle; 10, the corners and the middle, mirrored, too; 144,
/// as the paper of GoogLeNet has it. Of `options`, which may be null, all counts but `batch`, which follows from `crops`, and
/// what keeps layers. The caller frees `*ensemble`, which is not written if this fails; the models may be freed before it.
///
/// Answers as `googlenet_session_new`; `GOOGLENET_ERR_MODEL` where the models differ in their number of classes, by more than a
/// background that is class 0.
///
/// # Safety
/// Pointers are null or valid, `models` for `model_count` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_ensemble_new(
    models: *const *const ModelHandle,
    model_count: usize,
    crops: u32,
    options: *const SessionOptions,
    ensemble: *mut *mut EnsembleHandle,
) -> Status {
    border(|| {
        // SAFETY: the caller promises that `models` is null or valid for `model_count` values.
        let models = unsafe { pointers::slice(models, model_count, "models") }?;
        let mut own = Vec::<Model>::new();
        for (i, &model) in models.iter().take(Ensemble::MAX_MODELS + 1).enumerate() {
            // SAFETY: the caller promises that each model is null or valid.
            own.push(unsafe { pointers::get(model, &format!("models[{i}]")) }?.model.clone());
        }
        let crops = usize::try_from(crops).ok().and_then(Crops::from_count).ok_or_else(|| {
            let text = format!("crops is {crops}, neither 1 nor 10 nor 144");
            Failure::new(Status::GOOGLENET_ERR_ARGUMENT, text)
        })?;
        // SAFETY: the caller promises that `options` is null or valid, and all that it points to, too.
        let options = unsafe { SessionOptions::read(options) }?;
        let out = pointers::out(ensemble, "ensemble")?;
        let starts_threads = options.starts_threads();
        let threads = options.thread_count();
        let make = move || Ensemble::new(&own, crops, options);
        let made = if starts_threads { aside(threads, make) } else { make() }.map_err(Failure::of("models"))?;
        let handle = EnsembleHandle {
            guard: Guard::new("ensemble", starts_threads),
            labels: texts(made.labels()),
            ensemble: UnsafeCell::new(made),
        };
        // SAFETY: `out` is not null, and the caller promises that it may be written.
        unsafe { out.write(Box::into_raw(Box::new(handle))) };
        Ok(())
    })
}

/// Classifies one picture, whose pixels are those of a `googlenet_pixels`, and writes the `count` likeliest classes to
/// `predictions`, the likeliest first; `count` is at most the number of classes. Labels live as long as the ensemble.
///
/// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_STRUCT_SIZE`, `GOOGLENET_ERR_ARGUMENT`, `GOOGLENET_ERR_LENGTH`,
/// `GOOGLENET_ERR_MEMORY`, `GOOGLENET_ERR_BUSY`, `GOOGLENET_ERR_FORKED`; `GOOGLENET_ERR_MODEL` where the weights give no
/// probabilities.
///
/// # Safety
/// Pointers are null or valid, `predictions` for `count` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_ensemble_classify(
    ensemble: *mut EnsembleHandle,
    image: *const Image,
    pixels: u32,
    predictions: *mut Prediction,
    count: usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises that `ensemble` is null or an ensemble that was not freed.
        let handle = unsafe { pointers::get(ensemble, "ensemble") }?;
        let _entered = handle.guard.enter()?;
        // SAFETY: the guard has been entered, so that nobody else has the ensemble until this call ends.
        let ensemble = unsafe { &mut *handle.ensemble.get() };
        // SAFETY: the caller promises that `image` is null or valid, and its `data`, too.
        let picture = unsafe { picture(image, pixels) }?;
        let predictions = pointers::out(predictions, "predictions")?;
        let classes = ensemble.classes();
        if count > classes {
            let text = format!("count is {count}, there are {classes} classes");
            return Err(Failure::new(Status::GOOGLENET_ERR_LENGTH, text));
        }
        let top = ensemble.classify(picture.view()?, count).map_err(Failure::of("image"))?;
        // SAFETY: `predictions` is not null and has room for `count` predictions, as the caller promises, and there are no
        // more than those.
        unsafe { write_predictions(&handle.labels, top, predictions) };
        Ok(())
    })
}

/// Frees `*ensemble`, ends its threads, and sets it to null; `ensemble` and `*ensemble` may be null. In a process that was
/// forked off, one with threads gives up its handle only, as a session does. When this call begins no other thread may be
/// inside a call on the ensemble, and none may begin one after, unless this call answers `GOOGLENET_ERR_BUSY`: a call that has
/// the ensemble makes it answer that, one that is only about to take it does not.
///
/// Answers `GOOGLENET_OK`, or `GOOGLENET_ERR_BUSY`, which leaves it as it is.
///
/// # Safety
/// `ensemble` is null or points to null or an ensemble that was not freed; no other thread is inside a call on it or begins one
/// after, unless this one answers `GOOGLENET_ERR_BUSY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_ensemble_free(ensemble: *mut *mut EnsembleHandle) -> Status {
    border(|| {
        // SAFETY: the caller promises that `ensemble` is null or valid.
        let Some(ensemble) = (unsafe { ensemble.as_mut() }) else { return Ok(()) };
        // SAFETY: the caller promises that `*ensemble` is null or an ensemble that was not freed.
        let Some(handle) = (unsafe { ensemble.as_ref() }) else { return Ok(()) };
        let is_here = handle.guard.close()?;
        let handle = std::mem::replace(ensemble, std::ptr::null_mut());
        if is_here {
            // SAFETY: `googlenet_ensemble_new` made this box, only this function frees it, and nobody is inside a call on it.
            drop(unsafe { Box::from_raw(handle) });
        }
        Ok(())
    })
}
