//! Threads that the caller lends for the time of a run: a rayon pool, or a `parallel_for` of its own.
//!
//! Nothing rests on what that function does with the body it is handed: called for every index, for some or for none,
//! at once or one after the other, the run is complete when it returns, because the session's own thread then does
//! whatever is left.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Result;

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

/// `f(0)`, ... `f(n - 1)`, computed by `threads` threads: those lent, or some that have ended when this returns.
pub(super) fn map<T: Send>(
    n: usize,
    threads: usize,
    lent: Option<&Lent>,
    f: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    if threads == 1 {
        return (0..n).map(f).collect();
    }
    let results: Vec<Mutex<Option<Result<T>>>> = (0..n).map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let body = |_| {
        while let i = next.fetch_add(1, Ordering::Relaxed)
            && let Some(result) = results.get(i)
        {
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(f(i));
        }
    };
    match lent {
        Some(lent) => lent.run(threads, &body),
        // Joined one by one: a scope alone waits for their closures, and threads still free memory after those.
        None => std::thread::scope(|scope| {
            let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, || body(0));
            let helpers = (1..threads).map(spawn).collect::<std::io::Result<Vec<_>>>();
            let helpers = helpers.map_err(|source| super::team::refused(threads, source))?;
            body(0);
            helpers.into_iter().for_each(|helper| helper.join().expect("a panic of ours, passed on"));
            Ok(())
        })?,
    }
    body(0);
    let result = |result: Mutex<Option<Result<T>>>| {
        let result = result.into_inner().unwrap_or_else(PoisonError::into_inner);
        result.expect("each was computed above")
    };
    results.into_iter().map(result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

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

    #[test]
    fn results_come_in_order_and_errors_first() {
        let lenders: [Lent; 3] =
            [Lent::new(|_, _| ()), Lent::new(|n, body| (0..n).for_each(body)), Lent::new(|_, body| body(7))];
        let lenders = lenders.iter().map(Some).chain([None]);
        for (lent, threads) in lenders.flat_map(|lent| [(lent, 1), (lent, 3)]) {
            let squares = map(100, threads, lent, |i| Ok(i * i)).expect("no error");
            assert_eq!(squares, (0..100).map(|i| i * i).collect::<Vec<_>>());
            let odd =
                |i: usize| if i.is_multiple_of(2) { Ok(i) } else { Err(Error::UnknownLayer { layer: i.to_string() }) };
            let error = map(100, threads, lent, odd).expect_err("half of them");
            assert!(matches!(&error, Error::UnknownLayer { layer } if layer == "1"), "{error}");
        }
    }
}
