//! A session takes as much memory as it says, and a run allocates nothing.
//!
//! This test runs without the test harness, whose own thread allocates when a test takes more than a minute.

#![allow(unsafe_code, reason = "a counting allocator")]

#[path = "network/random.rs"]
mod random;
#[path = "network/tensors.rs"]
mod tensors;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use googlenet::{Model, Options, model};

/// The system's allocator, which also counts.
struct Counting;

/// The number of allocations so far.
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
/// The number of bytes that are allocated and not freed.
static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator, which does what the trait asks for.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller promises what `alloc` asks for, and `System.alloc` asks for the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller promises what `dealloc` asks for, and `at` comes from `System.alloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn main() {
    let network = model::googlenet(10);
    let model: Model = random::random_model(&network, 32);
    let session = model.session(Options::new().side(224)).expect("a session");
    assert!(session.arena_bytes() <= 5 << 20, "arena of {} bytes", session.arena_bytes());
    // A second session shares the packed weights.
    let (before, begin) = (LIVE.load(Ordering::Relaxed), Instant::now());
    let second = model.session(Options::new().side(224)).expect("a session");
    let (took, more) = (begin.elapsed(), LIVE.load(Ordering::Relaxed) - before);
    let rest = more - second.memory_bytes();
    println!("a second session: {} bytes, {rest} beside them, in {took:?}", second.memory_bytes());
    assert!(rest <= 64 << 10, "{rest} bytes beside input, arena, scratch and outputs");
    drop((session, second));
    for (threads, batch) in [(1, 1), (2, 1), (3, 2), (2, 4)] {
        let mut session = model.session(Options::new().threads(threads).batch(batch)).expect("a session");
        session.run();
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        (0..1000).for_each(|_| session.run());
        let count = ALLOCATIONS.load(Ordering::Relaxed) - before;
        assert_eq!(count, 0, "{count} allocations in 1,000 runs, {threads} threads, batch {batch}");
    }
    // Nor where layers are timed and what threads do is recorded: what that takes is had before.
    for (threads, batch) in [(1, 1), (2, 1), (3, 2), (2, 4)] {
        let options = Options::new().threads(threads).batch(batch).profile(true);
        let mut session = model.session(options).expect("a session");
        session.record(50).expect("memory");
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        (0..100).for_each(|_| session.run());
        let count = ALLOCATIONS.load(Ordering::Relaxed) - before;
        assert_eq!(count, 0, "{count} allocations in 100 runs, 50 of them recorded, {threads} threads, batch {batch}");
        assert_eq!(session.trace().runs.len(), 50);
    }
    println!("arenas are small and runs allocate nothing: ok");
}
