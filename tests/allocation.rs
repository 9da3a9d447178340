//! The system refuses one large allocation after the other while weights are opened and sessions are planned: each time that is
//! an error, and the next try succeeds.
//!
//! A test without the harness, as it needs an allocator of its own.

#![allow(unsafe_code, reason = "an allocator that refuses")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use googlenet::error::{FileError, SessionError, WeightsError};
use googlenet::weights::Weights;
use googlenet::{Error, Model, Options, Precision, Result};

/// The system's allocator, but for the large allocation whose turn it is.
struct Refusing;

/// Large allocations that are still granted before one is refused; at `usize::MAX` all are.
static GRANTED: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Bytes from which an allocation is large.
const LARGE: usize = 128 << 10;

fn is_refused(bytes: usize) -> bool {
    let count = |granted: usize| if granted == usize::MAX { None } else { Some(granted.wrapping_sub(1)) };
    // At 0 it is this one's turn; after that, all are granted again.
    bytes >= LARGE && GRANTED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count) == Ok(0)
}

// SAFETY: every call is handed on to the system's allocator, which does what the trait asks for, or answers null, as the trait
// allows.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller promises what `alloc` asks for, and `System.alloc` asks for the same.
        if is_refused(layout.size()) { null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller promises what `dealloc` asks for, and `at` comes from `System`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller promises what `realloc` asks for, and `at` comes from `System`.
        if is_refused(bytes) { null_mut() } else { unsafe { System.realloc(at, layout, bytes) } }
    }
}

#[global_allocator]
static REFUSING: Refusing = Refusing;

/// Refuses the first large allocation of `work`, then the second, and so on, later ones by steps but for the long form, until it
/// needs no more; returns about how many there were.
fn refused_each<T>(what: &str, work: impl Fn() -> Result<T>) -> usize {
    let step = if std::env::var_os("GOOGLENET_LONG").is_some() { 1 } else { 17 };
    for granted in (0..4).chain((4..).step_by(step)) {
        GRANTED.store(granted, Ordering::Relaxed);
        let result = work();
        let was_refused = GRANTED.swap(usize::MAX, Ordering::Relaxed) == usize::MAX;
        match result {
            Ok(_) if !was_refused => {
                println!("{what}: no more than {granted} large allocations, which may be refused: ok");
                return granted;
            }
            Ok(_) => panic!("{what}: allocation {granted} was refused, and nothing came of it"),
            Err(Error::Session(SessionError::Memory { .. }) | Error::Weights(WeightsError::Memory { .. })) => {}
            Err(Error::File(FileError::Io { source, .. })) if source.kind() == std::io::ErrorKind::OutOfMemory => {}
            Err(error) => panic!("{what}: allocation {granted}: {error}"),
        }
    }
    unreachable!("counting ends")
}

fn main() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors");
    let bytes = std::fs::read(path).expect("the demonstration weights");
    assert!(refused_each("open", || Model::open(path)) > 0);
    assert!(refused_each("copy", || Weights::copy(&bytes)) > 0);
    let model = Model::open(path).expect("read");
    for precision in Precision::ALL {
        // One thread packs; with several it is another's allocation each time.
        let options = || Options::new().precision(precision).batch(3).side(96);
        assert!(refused_each(&format!("a session in {precision}"), || model.session(options())) > 3);
    }
    // A thread of the session's own has an arena and scratch of its own; the weights are packed already.
    let options = || Options::new().threads(3).batch(3).side(224);
    let held = model.session(options()).expect("a session");
    assert!(refused_each("a session of three threads", || model.session(options())) > 3);
    drop(held);
    let recorded = || model.session(Options::new().threads(2)).and_then(|mut session| session.record(5000));
    assert!(refused_each("a recording of two threads", recorded) > 2);
    println!("1 passed, 0 failed");
}
