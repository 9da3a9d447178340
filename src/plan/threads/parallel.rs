//! Work that is done once, when a plan is built, on several threads: packing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::lent::Lent;
use super::team::refused;
use crate::Result;

/// `f(0)`, ... `f(n - 1)`, computed by `threads` threads: those lent, or some that have ended when this returns.
pub(in crate::plan) fn map<T: Send>(
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
        // Threads are joined one by one: a scope alone waits for their closures, and a thread still frees memory after
        // its closure has ended.
        None => std::thread::scope(|scope| -> Result<()> {
            let spawn =
                |i| std::thread::Builder::new().name(format!("googlenet-pack-{i}")).spawn_scoped(scope, || body(0));
            let helpers = (1..threads).map(spawn).collect::<std::io::Result<Vec<_>>>();
            let helpers = helpers.map_err(|source| refused(threads, source))?;
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
    use crate::error::SessionError;

    #[test]
    fn results_come_in_order_and_errors_first() {
        let lenders: [Lent; 3] =
            [Lent::new(|_, _| ()), Lent::new(|n, body| (0..n).for_each(body)), Lent::new(|_, body| body(7))];
        let lenders = lenders.iter().map(Some).chain([None]);
        for (lent, threads) in lenders.flat_map(|lent| [(lent, 1), (lent, 3)]) {
            let squares = map(100, threads, lent, |i| Ok(i * i)).expect("no error");
            assert_eq!(squares, (0..100).map(|i| i * i).collect::<Vec<_>>());
            let odd = |i: usize| {
                if i.is_multiple_of(2) {
                    Ok(i)
                } else {
                    Err(SessionError::UnknownLayer { layer: i.to_string() }.into())
                }
            };
            let error = map(100, threads, lent, odd).expect_err("half of them");
            assert!(matches!(&error, Error::Session(SessionError::UnknownLayer { layer }) if layer == "1"), "{error}");
        }
    }
}
