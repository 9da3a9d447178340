//! Any sequence of calls from C, with arguments as wrong as the header allows: null, zero, too large, handles that were freed
//! and became null, structs of another size. No call answers that it is a fault of the library's own, and none that fails
//! touches its results.
//!
//! Most models are of the small network, of which there is no file, as a sequence with the demonstration weights takes hundreds of
//! times as long.

#![allow(unsafe_code, reason = "calls of the C interface, with valid pointers or null")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
// The small network's types, which it takes from its parent module.
use googlenet::model::{
    AveragePool, AverageWindows, Conv, Dialect, FullyConnected, Head, Inception, Layer, Lrn, MaxPool, Network, Padding,
    Roles, Rounding,
};

use super::plan;

#[path = "../../src/model/small.rs"]
mod small;

#[path = "../../c/src/lib.rs"]
mod border;

#[repr(C)]
struct ModelInfo {
    struct_size: usize,
    classes: usize,
    side: usize,
    labels: usize,
}

#[repr(C)]
struct Options {
    struct_size: usize,
    threads: u32,
    batch: u32,
    side: u32,
    isa: u32,
    endpoints: *const *const c_char,
    endpoint_count: usize,
    class_maps: u32,
    precision: u32,
    parallel_for: Option<unsafe extern "C" fn(*mut c_void, usize, Body, *mut c_void)>,
    parallel_for_context: *mut c_void,
}

type Body = unsafe extern "C" fn(*mut c_void, usize);

#[repr(C)]
struct SessionInfo {
    struct_size: usize,
    sizes: [usize; 7],
    isa: u32,
    precision: u32,
}

#[repr(C)]
struct Image {
    struct_size: usize,
    data: *const u8,
    length: usize,
    width: usize,
    height: usize,
    stride: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Prediction {
    class_index: usize,
    probability: f32,
    label: *const c_char,
}

#[repr(C)]
struct Model([u8; 0]);
#[repr(C)]
struct Session([u8; 0]);

// The declarations of `include/googlenet.h`.
unsafe extern "C" {
    fn googlenet_model_open(path: *const c_char, model: *mut *mut Model) -> c_int;
    fn googlenet_model_copy(data: *const c_void, length: usize, model: *mut *mut Model) -> c_int;
    fn googlenet_model_borrow(data: *const c_void, length: usize, model: *mut *mut Model) -> c_int;
    fn googlenet_model_verify(model: *const Model) -> c_int;
    fn googlenet_model_free(model: *mut *mut Model) -> c_int;
    fn googlenet_model_describe(model: *const Model, info: *mut ModelInfo) -> c_int;
    fn googlenet_model_label(model: *const Model, class_index: usize, label: *mut *const c_char) -> c_int;
    fn googlenet_session_new(model: *const Model, options: *const Options, session: *mut *mut Session) -> c_int;
    fn googlenet_session_free(session: *mut *mut Session) -> c_int;
    fn googlenet_session_describe(session: *const Session, info: *mut SessionInfo) -> c_int;
    fn googlenet_session_input(session: *mut Session, values: *mut *mut f32, length: *mut usize) -> c_int;
    fn googlenet_session_set_input(session: *mut Session, values: *const f32, length: usize) -> c_int;
    fn googlenet_session_set_image(session: *mut Session, batch_index: usize, image: *const Image) -> c_int;
    fn googlenet_session_run(session: *mut Session) -> c_int;
    fn googlenet_session_logits(session: *const Session, values: *mut *const f32, length: *mut usize) -> c_int;
    fn googlenet_session_probabilities(session: *const Session, values: *mut *const f32, length: *mut usize) -> c_int;
    fn googlenet_session_endpoint(
        session: *const Session,
        layer: *const c_char,
        values: *mut *const f32,
        length: *mut usize,
        shape: *mut usize,
    ) -> c_int;
    fn googlenet_session_classify(
        session: *mut Session,
        image: *const Image,
        predictions: *mut Prediction,
        count: usize,
    ) -> c_int;
    fn googlenet_session_class_map(
        session: *mut Session,
        batch_index: usize,
        class_index: usize,
        values: *mut f32,
        length: usize,
        bias: *mut f32,
    ) -> c_int;
    fn googlenet_status_name(status: c_int) -> *const c_char;
    fn googlenet_last_error() -> *const c_char;
    fn googlenet_last_error_copy(buffer: *mut c_char, length: usize, needed: *mut usize) -> c_int;
}

/// Makes the calls that `bytes` say.
pub fn run(bytes: &[u8]) {
    let mut hands = Hands { models: [null_mut(); 2], sessions: [null_mut(); 3] };
    let mut choices = Unstructured::new(bytes);
    for _ in 0..MOST_CALLS {
        if choices.is_empty() || hands.call(&mut choices).is_err() {
            break;
        }
    }
    for session in &mut hands.sessions {
        // SAFETY: null, or a session that was not freed.
        assert_eq!(unsafe { googlenet_session_free(session) }, OK);
        assert!(session.is_null());
    }
    for model in &mut hands.models {
        // SAFETY: null, or a model that was not freed.
        assert_eq!(unsafe { googlenet_model_free(model) }, OK);
    }
}

/// Handles that are null or valid.
struct Hands {
    models: [*mut Model; 2],
    sessions: [*mut Session; 3],
}

/// What a call that fails must leave as it was.
const MARK: *mut f32 = std::ptr::without_provenance_mut(0x1234_0000);

impl Hands {
    #[expect(clippy::too_many_lines, reason = "a line or some for each function")]
    fn call(&mut self, choices: &mut Unstructured<'_>) -> Result<()> {
        let (m, s) = (choices.choose_index(2)?, choices.choose_index(3)?);
        let (model, session) = (self.models[m], self.sessions[s]);
        let (mut pointer, mut length) = (MARK.cast_const(), usize::MAX);
        let lengths: *mut usize = if choices.ratio(1, 4)? { null_mut() } else { &mut length };
        let numbers = [0, 1, 2, 4, 10, 16, 3 * 32 * 32, 3 * 64 * 64, MOST_VALUES, usize::MAX];
        let number = *choices.choose(&numbers)?;
        let out: *mut *const f32 = if choices.ratio(1, 8)? { null_mut() } else { &mut pointer };
        let pixels: Vec<u8> = vec![choices.arbitrary()?; 40 * 50 * 3];
        let few = *choices.choose(&[0, 1, 33, 40])?;
        let image = Image {
            struct_size: size_of::<Image>() - usize::from(choices.ratio(1, 8)?),
            data: if choices.ratio(1, 8)? { null() } else { pixels.as_ptr() },
            length: pixels.len() - choices.int_in_range(0..=3)?,
            width: if choices.ratio(1, 8)? { number } else { few },
            height: if choices.ratio(1, 8)? { number } else { 50 },
            stride: if choices.ratio(1, 8)? { number } else { 120 },
        };
        // A null pointer with a length is what the functions look for; a valid one has at least that many values.
        let values = vec![0.5_f32; if number > MOST_VALUES { 0 } else { number }];
        // SAFETY: handles are null or valid, other pointers are null or valid for what the header asks. A session's values are
        // looked at right after the call that answers where they are, and are as many as it says.
        let status = unsafe {
            match choices.int_in_range(0..=21)? {
                0 => googlenet_model_free(&mut self.models[m]),
                1 if model.is_null() => {
                    self.models[m] = border::ModelHandle::leak(SMALL.clone()).cast();
                    OK
                }
                2 if model.is_null() => {
                    // Zeros, which fuzzers are fond of, are not to choose what takes long.
                    let whole = !choices.ratio(254, 255)?;
                    let end = if whole { WEIGHTS.0.len() } else { number.min(WEIGHTS.0.len() - 1) };
                    let (data, out) = (WEIGHTS.0.as_ptr().cast(), &mut self.models[m]);
                    let status = match choices.arbitrary()? {
                        true => googlenet_model_borrow(data, end, out),
                        false => googlenet_model_copy(data, end.min(1 << 16), out),
                    };
                    assert_eq!(status == OK, !self.models[m].is_null());
                    status
                }
                3 => googlenet_model_open(c"/dev/null".as_ptr(), &mut { null_mut() }),
                4 => googlenet_model_verify(model),
                5 => {
                    let struct_size = if choices.ratio(1, 4)? { number } else { size_of::<ModelInfo>() };
                    googlenet_model_describe(model, &mut ModelInfo { struct_size, classes: 0, side: 0, labels: 0 })
                }
                6 => {
                    let mut label = null();
                    let status = googlenet_model_label(model, number, &mut label);
                    assert_eq!(status == OK, !label.is_null());
                    status
                }
                7..=10 if session.is_null() => {
                    let layer = *choices.choose(&[
                        c"average",
                        c"hidden",
                        c"mixed1",
                        c"pool5",
                        c"inception_4a",
                        c"",
                        c"none",
                    ])?;
                    let options = Options {
                        struct_size: if choices.ratio(1, 16)? { number } else { size_of::<Options>() },
                        threads: *choices.choose(&[0, 1, 2, 3, 257])?,
                        batch: *choices.choose(&[0, 1, 2, 5000])?,
                        side: *choices.choose(&[0, 32, 33, 64, 31, 4097])?,
                        isa: choices.int_in_range(0..=5)?,
                        endpoints: null(),
                        endpoint_count: 0,
                        class_maps: choices.int_in_range(0..=2)?,
                        precision: choices.int_in_range(0..=3)?,
                        parallel_for: if choices.ratio(1, 2)? { Some(one_after_the_other) } else { None },
                        parallel_for_context: null_mut(),
                    };
                    let endpoints = [layer.as_ptr()];
                    let options = Options {
                        endpoints: if choices.ratio(1, 8)? { null() } else { endpoints.as_ptr() },
                        endpoint_count: usize::from(choices.ratio(1, 2)?),
                        ..options
                    };
                    let options: *const Options = if choices.ratio(1, 8)? { null() } else { &options };
                    let status = googlenet_session_new(model, options, &mut self.sessions[s]);
                    assert_eq!(status == OK, !self.sessions[s].is_null());
                    status
                }
                11 => googlenet_session_free(&mut self.sessions[s]),
                12 => {
                    let struct_size = if choices.ratio(1, 4)? { number } else { size_of::<SessionInfo>() };
                    let mut info = SessionInfo { struct_size, sizes: [0; 7], isa: 0, precision: 0 };
                    googlenet_session_describe(session, &mut info)
                }
                13 => {
                    let mut input = MARK;
                    let status = googlenet_session_input(session, &mut input, lengths);
                    assert_eq!(status == OK, input != MARK);
                    if status == OK && !lengths.is_null() {
                        std::slice::from_raw_parts_mut(input, length).fill(choices.arbitrary()?);
                    }
                    status
                }
                14 => {
                    let data = if choices.ratio(1, 8)? { null() } else { values.as_ptr() };
                    googlenet_session_set_input(session, data, values.len())
                }
                15 => googlenet_session_set_image(session, number, &image),
                16 => googlenet_session_run(session),
                17 | 18 => {
                    let layer = *choices.choose(&[
                        c"average",
                        c"hidden",
                        c"mixed1",
                        c"pool5",
                        c"inception_4a",
                        c"",
                        c"none",
                        c"\xff",
                    ])?;
                    let mut shape = [0; 3];
                    let status = match choices.int_in_range(0..=2)? {
                        0 => googlenet_session_logits(session, out, lengths),
                        1 => googlenet_session_probabilities(session, out, lengths),
                        _ => googlenet_session_endpoint(session, layer.as_ptr(), out, lengths, shape.as_mut_ptr()),
                    };
                    assert_eq!(status == OK, pointer != MARK.cast_const());
                    if status == OK && !lengths.is_null() {
                        let values = std::slice::from_raw_parts(pointer, length);
                        std::hint::black_box(values.iter().sum::<f32>());
                    }
                    status
                }
                19 => {
                    let mut predictions = [Prediction { class_index: 99, probability: 9.0, label: null() }; 12];
                    let count = number.min(12);
                    let status = googlenet_session_classify(session, &image, predictions.as_mut_ptr(), count);
                    let written = predictions.iter().filter(|prediction| prediction.class_index != 99).count();
                    assert_eq!(written, if status == OK { count } else { 0 });
                    status
                }
                20 => {
                    let mut map = vec![0.0; values.len()];
                    googlenet_session_class_map(session, few, number % 16, map.as_mut_ptr(), map.len(), null_mut())
                }
                21 => {
                    let mut buffer = vec![1; values.len().min(2000)];
                    let status = googlenet_last_error_copy(buffer.as_mut_ptr(), buffer.len(), lengths);
                    assert!(buffer.is_empty() || status != OK || buffer.contains(&0));
                    status
                }
                _ => OK,
            }
        };
        assert!((0..14).contains(&status) && status != INTERNAL, "status {status}");
        // SAFETY: both are texts that end in zero.
        let (name, text) =
            unsafe { (CStr::from_ptr(googlenet_status_name(status)), CStr::from_ptr(googlenet_last_error())) };
        assert!(name.to_str().is_ok_and(|name| name.starts_with("GOOGLENET_")));
        assert!(status == OK || text.to_str().is_ok_and(|text| !text.is_empty() && text.len() <= 1023));
        Ok(())
    }
}

/// Lends no thread: the calling one does all.
unsafe extern "C" fn one_after_the_other(_context: *mut c_void, count: usize, body: Body, argument: *mut c_void) {
    // SAFETY: the library asks for just these calls.
    (0..count).for_each(|index| unsafe { body(argument, index) });
}

#[repr(C, align(64))]
struct Aligned<B: ?Sized>(B);

/// Weights of the small network of the library's own tests.
static SMALL: LazyLock<googlenet::Model> = LazyLock::new(|| {
    let network = small::small();
    plan::model(&network, network.side, 1)
});

/// The demonstration weights.
static WEIGHTS: &Aligned<[u8]> = &Aligned(*include_bytes!("../../weights/demo.safetensors"));

const OK: c_int = 0;
/// A fault of the library's own.
const INTERNAL: c_int = 12;
/// The most values that are handed to a call.
const MOST_VALUES: usize = 1 << 14;
/// The most calls of a sequence.
const MOST_CALLS: usize = 40;
