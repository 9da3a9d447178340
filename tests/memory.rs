//! A plan's memory is what it says, and a run allocates nothing.
//!
//! Without the test harness, whose own thread allocates when a test takes more than a minute: nothing else runs.

#![allow(unsafe_code, reason = "a counting allocator")]

#[path = "network/random.rs"]
mod random;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use googlenet::{Model, Options, model};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: forwards to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's duty.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's duty.
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
    drop(session);
    // Sessions stay until the end: threads of a dropped pool end in their own time, and would be counted too.
    let mut sessions = Vec::new();
    for (threads, batch) in [(1, 1), (2, 1), (3, 2), (2, 4)] {
        let mut session = model.session(Options::new().threads(threads).batch(batch)).expect("a session");
        session.run();
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        (0..1000).for_each(|_| session.run());
        let count = ALLOCATIONS.load(Ordering::Relaxed) - before;
        assert_eq!(count, 0, "{count} allocations in 1,000 runs, {threads} threads, batch {batch}");
        sessions.push(session);
    }
    println!("arenas are small and runs allocate nothing: ok");
}
