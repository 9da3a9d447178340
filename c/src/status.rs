//! The statuses that calls answer, and the text about its last failure that each thread keeps.

use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_int};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::OnceLock;

use googlenet::Error;
use googlenet::error::{FileError, PictureError, PrepareError, SessionError, WeightsError, with_causes};

use super::pointers;

/// What a call answers. Values keep their meaning; later versions may add some.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "the names that C sees")]
pub enum Status {
    /// It is done.
    GOOGLENET_OK = 0,
    /// A pointer that must not be null is.
    GOOGLENET_ERR_NULL = 1,
    /// A struct's `struct_size` is none that this library knows.
    GOOGLENET_ERR_STRUCT_SIZE = 2,
    /// An array has another length than is needed.
    GOOGLENET_ERR_LENGTH = 3,
    /// A number is out of its range, or a text is not UTF-8.
    GOOGLENET_ERR_ARGUMENT = 4,
    /// No layer has that name, or the session was made without it.
    GOOGLENET_ERR_LAYER = 5,
    /// The instruction set is unknown, or this machine does not have it.
    GOOGLENET_ERR_ISA = 6,
    /// The operating system refused to open or read a file.
    GOOGLENET_ERR_IO = 7,
    /// The weights are damaged, or not of this network.
    GOOGLENET_ERR_MODEL = 8,
    /// The system refused to start threads.
    GOOGLENET_ERR_THREADS = 9,
    /// Another thread is inside a call on this session.
    GOOGLENET_ERR_BUSY = 10,
    /// The session has threads, and they stayed behind in the process that forked this one.
    GOOGLENET_ERR_FORKED = 11,
    /// A fault of the library's own; the session, if one was involved, only takes `googlenet_session_free` from now on.
    GOOGLENET_ERR_INTERNAL = 12,
    /// The system has not as much memory as a session, its packed weights or a copy of a file takes.
    GOOGLENET_ERR_MEMORY = 13,
}

use Status::*;

/// Every status and its name.
const NAMES: [(Status, &str); 14] = [
    (GOOGLENET_OK, "GOOGLENET_OK\0"),
    (GOOGLENET_ERR_NULL, "GOOGLENET_ERR_NULL\0"),
    (GOOGLENET_ERR_STRUCT_SIZE, "GOOGLENET_ERR_STRUCT_SIZE\0"),
    (GOOGLENET_ERR_LENGTH, "GOOGLENET_ERR_LENGTH\0"),
    (GOOGLENET_ERR_ARGUMENT, "GOOGLENET_ERR_ARGUMENT\0"),
    (GOOGLENET_ERR_LAYER, "GOOGLENET_ERR_LAYER\0"),
    (GOOGLENET_ERR_ISA, "GOOGLENET_ERR_ISA\0"),
    (GOOGLENET_ERR_IO, "GOOGLENET_ERR_IO\0"),
    (GOOGLENET_ERR_MODEL, "GOOGLENET_ERR_MODEL\0"),
    (GOOGLENET_ERR_THREADS, "GOOGLENET_ERR_THREADS\0"),
    (GOOGLENET_ERR_BUSY, "GOOGLENET_ERR_BUSY\0"),
    (GOOGLENET_ERR_FORKED, "GOOGLENET_ERR_FORKED\0"),
    (GOOGLENET_ERR_INTERNAL, "GOOGLENET_ERR_INTERNAL\0"),
    (GOOGLENET_ERR_MEMORY, "GOOGLENET_ERR_MEMORY\0"),
];

/// Why a call failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub status: Status,
    pub text: String,
}

pub(super) type Outcome = Result<(), Failure>;

impl Failure {
    pub(super) fn new(status: Status, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// Turns an error into a failure that says which argument it is about.
    pub(super) fn of(argument: &str) -> impl Fn(Error) -> Self {
        move |error| {
            let Self { status, text } = error.into();
            Self { status, text: format!("{argument}: {text}") }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Weights(WeightsError::Memory { .. }) => GOOGLENET_ERR_MEMORY,
            Error::File(FileError::Io { .. } | FileError::NotRegular { .. }) => GOOGLENET_ERR_IO,
            Error::File(_) | Error::Weights(_) | Error::Tensor(_) | Error::Model(_) | Error::Import(_) => {
                GOOGLENET_ERR_MODEL
            }
            Error::Picture(PictureError::TooShort { .. }) => GOOGLENET_ERR_LENGTH,
            Error::Prepare(PrepareError::InputLength { .. }) => GOOGLENET_ERR_LENGTH,
            Error::Picture(_) | Error::Prepare(_) => GOOGLENET_ERR_ARGUMENT,
            Error::Session(error) => match error {
                SessionError::Memory { .. } => GOOGLENET_ERR_MEMORY,
                SessionError::Threads { .. } => GOOGLENET_ERR_THREADS,
                SessionError::InstructionSet { .. } => GOOGLENET_ERR_ISA,
                SessionError::UnknownLayer { .. } | SessionError::NoClassMaps => GOOGLENET_ERR_LAYER,
                SessionError::MapLength { .. } => GOOGLENET_ERR_LENGTH,
                SessionError::OutOfRange { .. }
                | SessionError::TooManyPixels { .. }
                | SessionError::HeadSide { .. } => GOOGLENET_ERR_ARGUMENT,
                // The engine may add errors; this crate then gets a line above for each.
                _ => GOOGLENET_ERR_ARGUMENT,
            },
            _ => GOOGLENET_ERR_MODEL,
        };
        Self { status, text: with_causes(&error) }
    }
}

/// Runs a call from C. No panic gets out of it, and the text about a failure is kept for the calling thread.
pub(super) fn border(call: impl FnOnce() -> Outcome) -> Status {
    let failure = match quietly(call) {
        Ok(Ok(())) => return GOOGLENET_OK,
        Ok(Err(failure)) => failure,
        Err(payload) => {
            let said = payload.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no text");
            let failure = Failure::new(GOOGLENET_ERR_INTERNAL, format!("a fault of the library's own: {said}"));
            // The payload is leaked, as a payload may panic when it is dropped.
            std::mem::forget(payload);
            failure
        }
    };
    LAST.with_borrow_mut(|last| last.set(&failure.text));
    failure.status
}

/// Runs `call`, and catches its panic, if any, without anything being printed.
pub(super) fn quietly<T>(call: impl FnOnce() -> T) -> std::thread::Result<T> {
    silence();
    let outside = INSIDE.replace(true);
    // Whatever `call` was changing when it panicked is dropped, or belongs to a session, which marks itself as broken.
    let outcome = catch_unwind(AssertUnwindSafe(call));
    INSIDE.set(outside);
    outcome
}

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

/// Replaces the program's panic hook, which prints, by one that prints nothing for panics inside the border and on the
/// threads of sessions, and calls the program's hook for all others.
fn silence() {
    // The program's hook stands here and not in the new hook's closure, so that no memory is left when the program
    // ends.
    static BEFORE: OnceLock<Hook> = OnceLock::new();
    if BEFORE.get().is_some() || std::thread::panicking() {
        return;
    }
    let mut first = false;
    BEFORE.get_or_init(|| {
        first = true;
        std::panic::take_hook()
    });
    if first {
        std::panic::set_hook(Box::new(|info| {
            let ours = || std::thread::current().name().is_some_and(|name| name.starts_with("googlenet-"));
            if !INSIDE.get() && !ours() {
                BEFORE.get().into_iter().for_each(|before| before(info));
            }
        }));
    }
}

thread_local! {
    /// Whether this thread is inside a call from C.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// The text about this thread's last failure. It needs no destructor, like `INSIDE`: nothing is left when a thread
    /// or the program ends.
    static LAST: RefCell<Text> = const { RefCell::new(Text { bytes: [0; TEXT_BYTES], len: 0 }) };
}

/// The length in bytes of the longest text that is kept, its final zero included.
const TEXT_BYTES: usize = 1024;

/// A text of C in place. The layout is C's, so that `bytes` comes first: C gets a pointer to them.
#[repr(C)]
struct Text {
    bytes: [u8; TEXT_BYTES],
    len: usize,
}

impl Text {
    fn set(&mut self, text: &str) {
        let fits = (0..=text.len().min(TEXT_BYTES - 1)).rev().find(|&len| text.is_char_boundary(len));
        self.len = fits.expect("0 is a boundary");
        for (to, &byte) in self.bytes.iter_mut().zip(&text.as_bytes()[..self.len]) {
            // C would take a zero for the end of the text.
            *to = if byte == 0 { b'?' } else { byte };
        }
        self.bytes[self.len] = 0;
    }
}

/// The name of a status, as in "GOOGLENET_ERR_BUSY"; static, never null. Any value may be asked for.
#[unsafe(no_mangle)]
pub extern "C" fn googlenet_status_name(status: c_int) -> *const c_char {
    let known = NAMES.iter().find(|(known, _)| *known as c_int == status);
    known.map_or("unknown status\0", |(_, name)| name).as_ptr().cast()
}

/// What went wrong in this thread's last call that failed: UTF-8, at most 1023 bytes, never null, "" at first. It names
/// the argument. It stays until the thread's next call that fails, or its end; calls that succeed leave it alone.
#[unsafe(no_mangle)]
pub extern "C" fn googlenet_last_error() -> *const c_char {
    LAST.with(|last| last.as_ptr().cast::<c_char>())
}

/// The same text, copied with its final zero to `buffer` of `length` bytes, and cut off if there is less room.
/// `needed`, unless null, receives the bytes that the whole takes. With a length of 0 `buffer` may be null.
///
/// Answers `GOOGLENET_OK`, or `GOOGLENET_ERR_NULL`, which leaves the text as it is.
///
/// # Safety
/// `buffer` has room for `length` bytes; `needed` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn googlenet_last_error_copy(buffer: *mut c_char, length: usize, needed: *mut usize) -> Status {
    if buffer.is_null() && length > 0 {
        return GOOGLENET_ERR_NULL;
    }
    LAST.with_borrow(|last| {
        // SAFETY: the caller promises that `needed` is null or may be written.
        unsafe { pointers::put(needed, last.len + 1) };
        if length > 0 {
            let len = last.len.min(length - 1);
            // SAFETY: `buffer` is not null and has room for `length` bytes, of which `len + 1` are written; the text is
            // the library's own, so that they do not overlap.
            unsafe {
                std::ptr::copy_nonoverlapping(last.bytes.as_ptr().cast(), buffer, len);
                buffer.add(len).write(0);
            }
        }
    });
    GOOGLENET_OK
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn last() -> String {
        // SAFETY: `googlenet_last_error` never answers null, its text ends in zero, and no other call comes in between.
        unsafe { CStr::from_ptr(googlenet_last_error()) }.to_str().expect("UTF-8").to_owned()
    }

    #[test]
    fn panics_stop_at_the_border() {
        assert_eq!(border(|| panic!("of {}", 7)), GOOGLENET_ERR_INTERNAL);
        assert_eq!(last(), "a fault of the library's own: of 7");
        assert_eq!(border(|| Ok(())), GOOGLENET_OK);
        assert_eq!(border(|| std::panic::panic_any(7)), GOOGLENET_ERR_INTERNAL);
        assert_eq!(last(), "a fault of the library's own: no text");
    }

    #[test]
    fn texts_are_truncated_between_characters_and_each_thread_has_its_own() {
        let fail = |text: String| border(|| Err(Failure::new(GOOGLENET_ERR_ARGUMENT, text)));
        fail("é".repeat(TEXT_BYTES));
        assert_eq!(last(), "é".repeat((TEXT_BYTES - 1) / 2));
        fail("a\0b".into());
        assert_eq!(last(), "a?b");
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(last(), ""));
        });
        assert_eq!(last(), "a?b");
    }

    #[test]
    fn every_status_has_its_name() {
        for (value, (status, name)) in NAMES.iter().enumerate() {
            assert_eq!(*status as usize, value);
            assert_eq!(*name, format!("{status:?}\0"));
        }
    }
}
