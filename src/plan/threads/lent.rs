//! Threads that the caller lends for the time of a run: a rayon pool, or a `parallel_for` of its own.
//!
//! Nothing rests on what that function does with the body it is handed: called for every index, for some or for none,
//! at once or one after the other, the run is complete when it returns, because the session's own thread then does
//! whatever is left.

use std::fmt;
use std::sync::Arc;

/// What is run for each index.
type Body<'a> = &'a (dyn Fn(usize) + Sync);

/// The caller's `parallel_for(count, body)`.
#[derive(Clone)]
pub(crate) struct Lent(Arc<dyn Fn(usize, Body<'_>) + Send + Sync>);

impl Lent {
    pub(crate) fn new(parallel_for: impl Fn(usize, Body<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(parallel_for))
    }

    /// Over the threads of `pool`.
    #[cfg(feature = "rayon")]
    pub(crate) fn pool(pool: Arc<rayon::ThreadPool>) -> Self {
        Self::new(move |count, body| pool.install(|| spread(0, count, body)))
    }

    /// Lets the caller's threads run `body`.
    pub(super) fn run(&self, count: usize, body: Body<'_>) {
        (self.0)(count, body);
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lent")
    }
}

/// `body(i)` for `start <= i < end`, halved and halved again: `join` keeps its jobs on the stack, so nothing allocates.
#[cfg(feature = "rayon")]
fn spread(start: usize, end: usize, body: Body<'_>) {
    match end - start {
        0 => (),
        1 => body(start),
        len => {
            let middle = start + len / 2;
            rayon::join(|| spread(start, middle, body), || spread(middle, end, body));
        }
    }
}

#[cfg(all(test, feature = "rayon"))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_pool_runs_every_index_once() {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let lent = Lent::pool(Arc::new(pool));
            for count in [0, 1, 2, 7] {
                let calls: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                lent.run(count, &|i| {
                    calls[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1), "{calls:?}");
            }
        }
    }
}
