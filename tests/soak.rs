//! Many runs in one process: four sessions on two threads, each opened and closed now and then, and at the end not a byte that
//! is not freed, not a thread or descriptor more than when all of them had run for the first time, and no more pages than an
//! allocator needs to keep what comes and goes. Then: inputs of denormal numbers take no longer.
//!
//! It takes 10,000 inferences of a small network, or as many as `GOOGLENET_SOAK` says; the long form is
//! `GOOGLENET_SOAK=1000000 cargo test --release --test soak`.
//!
//! A test without the harness, whose own threads and memory would count.

#![allow(unsafe_code, reason = "a counting allocator")]

#[path = "network/random.rs"]
mod random;
/// The table of the network that runs. It is a file of the model's own tests, and takes its types from its parent module,
/// which is why this one imports them all.
#[path = "../src/model/small.rs"]
mod table;
#[path = "network/tensors.rs"]
mod tensors;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::{Duration, Instant};

use googlenet::model::*;
use googlenet::{Model, Options, Precision, Session};

/// The system's allocator, which also counts.
struct Counting;

/// The number of bytes that are allocated and not freed.
static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call is handed on to the system's allocator, which does what the trait asks for.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller promises what `alloc` asks for, and `System.alloc` asks for the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller promises what `dealloc` asks for, and `at` comes from `System.alloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What the process has of the system.
#[derive(Debug)]
struct Held {
    /// Bytes that are allocated and not freed.
    live: isize,
    threads: usize,
    descriptors: usize,
    /// KiB that are resident and no file's.
    memory: usize,
}

/// What `/proc` says, where there is one.
fn held() -> Option<Held> {
    let count = |folder: &str| std::fs::read_dir(folder).ok().map(Iterator::count);
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    let memory = line.split_whitespace().nth(1)?.parse().ok()?;
    let live = LIVE.load(Ordering::Relaxed);
    Some(Held { live, threads: count("/proc/self/task")?, descriptors: count("/proc/self/fd")?, memory })
}

/// The options of a session, by turns.
fn options(turn: usize) -> Options {
    let options = Options::new().threads(1 + turn % 3).batch(1 + turn / 3 % 2);
    let options = options.precision([Precision::F32, Precision::Bf16][turn / 6 % 2]);
    if turn.is_multiple_of(4) { options.endpoint("mixed1") } else { options }
}

/// Runs two sessions in turns, `runs` times; each is made anew now and then. Returns the images that were run.
fn soak(model: &Model, own: usize, runs: usize) -> usize {
    let mut sessions: [Option<Session>; 2] = [None, None];
    let (mut images, mut turn) = (0, own);
    for run in 0..runs {
        let slot = &mut sessions[run % 2];
        if slot.is_none() || run % 97 == own {
            turn += 1;
            *slot = Some(model.session(options(turn)).expect("a session"));
        }
        let session = slot.as_mut().expect("made above");
        session.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = ((i + run) % 17) as f32 - 8.0);
        session.run();
        assert!(session.probabilities().iter().all(|p| p.is_finite()));
        images += session.batch();
    }
    images
}

/// Both threads, so many runs each.
fn together(model: &Model, runs: usize) -> usize {
    let threads: Vec<_> = (0..2)
        .map(|own| {
            let model = model.clone();
            std::thread::spawn(move || soak(&model, own, runs))
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
}

/// The shortest of many runs on `input`.
fn shortest(session: &mut Session, input: f32) -> Duration {
    session.input_mut().fill(input);
    let run = |_| {
        let begin = Instant::now();
        session.run();
        begin.elapsed()
    };
    (0..60).map(run).min().expect("some")
}

fn main() {
    let number = std::env::var("GOOGLENET_SOAK").map_or(10_000, |text| text.parse().expect("GOOGLENET_SOAK: a number"));
    let model = random::random_model(&table::small(), 32);
    // Once around all options, so that what is made once in a process is made.
    together(&model, 97 * 26);
    let before = held();
    let begin = Instant::now();
    let mut images = 0;
    let mut worst = 0;
    while images < number {
        images += together(&model, 2_000);
        if let (Some(before), Some(now)) = (&before, held()) {
            assert_eq!((now.threads, now.descriptors), (before.threads, before.descriptors), "after {images} images");
            let more = now.live - before.live;
            // Lists of what sessions shared, which shrink when the next session is made, and the text of a path.
            assert!(more.abs() <= 4096, "{more} bytes that nobody frees after {images} images");
            worst = worst.max(now.memory.saturating_sub(before.memory));
        }
    }
    println!("{images} images in {:.1?}: {before:?} before, {:?} after", begin.elapsed(), held());
    // All is freed; what the system's allocator keeps, in pieces, for the threads that come and go, is its own affair.
    assert!(worst <= 16 << 10, "{worst} KiB more while it ran");

    let network = googlenet(10);
    let model = random::random_model(&network, 64);
    let mut session = model.session(Options::new().side(64)).expect("a session");
    // A machine that is busy with other things makes any run longer: the shortest of all turns counts.
    let mut best = [Duration::MAX; 2];
    for _ in 0..3 {
        for (best, input) in best.iter_mut().zip([1.0, 1e-40]) {
            *best = shortest(&mut session, input).min(*best);
        }
    }
    let ratio = best[1].as_secs_f64() / best[0].as_secs_f64();
    println!("{:?} on ones, {:?} on denormal numbers: {ratio:.3}", best[0], best[1]);
    assert!(ratio <= 1.1, "denormal numbers take {ratio:.3} times as long");
    println!("2 passed, 0 failed");
}
