//! Runs several threads over one copy of the weights: `cargo run --release --example batch -- WEIGHTS [THREADS]`
//!
//! Each thread has a session of its own, with a small batch, and takes batches until none is left.

use std::env;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use googlenet::{Model, Options};

/// How many images a session takes at a time.
const BATCH: usize = 4;
/// How many batches there are for all threads together.
const BATCHES: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let model = Model::open(arguments.next().ok_or("usage: batch WEIGHTS [THREADS]")?)?;
    let threads: usize = arguments.next().map_or(Ok(2), |text| text.parse())?;
    let next = AtomicUsize::new(0);
    let begin = Instant::now();
    thread::scope(|scope| -> Result<(), googlenet::Error> {
        let work = || -> googlenet::Result<()> {
            let mut session = model.session(Options::new().batch(BATCH))?;
            while next.fetch_add(1, Ordering::Relaxed) < BATCHES {
                // Real work would write pictures here, with `image::prepare`, one after the other.
                session.input_mut().fill(0.0);
                session.run();
            }
            Ok(())
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no panic"))
    })?;
    let images = (BATCH * BATCHES) as f64;
    println!("{threads} threads: {:.1} images/s", images / begin.elapsed().as_secs_f64());
    Ok(())
}
