//! Work that is done ahead: several threads make what the caller takes one after the other, in order.

use std::sync::mpsc::sync_channel;
use std::thread;

use crate::command::exit::Outcome;

/// Calls `done` with each of `items` and what `make` makes of it, in order, on the caller's thread. Meanwhile `threads` threads
/// make those that come next, each of them one at a time, so that no more than `threads` results wait.
pub fn each<'a, T: Sync, R: Send>(
    threads: usize,
    items: &'a [T],
    make: impl Fn(&'a T) -> R + Sync,
    mut done: impl FnMut(&'a T, R) -> Outcome,
) -> Outcome {
    let threads = threads.clamp(1, MAX_THREADS).min(items.len().max(1));
    let make = &make;
    thread::scope(|scope| {
        // Thread `i` makes items `i`, `i + threads` and so on; it waits until one is taken before it makes another.
        let receivers: Vec<_> = (0..threads)
            .map(|first| {
                let (sender, receiver) = sync_channel(0);
                scope.spawn(move || {
                    // Sending fails when the receiver is gone, because the work has ended early.
                    items.iter().skip(first).step_by(threads).all(|item| sender.send(make(item)).is_ok())
                });
                receiver
            })
            .collect();
        for (item, receiver) in items.iter().zip(receivers.iter().cycle()) {
            match receiver.recv() {
                Ok(made) => done(item, made)?,
                // Its thread has panicked; the scope hands the panic on.
                Err(_) => break,
            }
        }
        drop(receivers);
        Ok(())
    })
}

/// The most threads: each may hold a picture of hundreds of megabytes.
const MAX_THREADS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::exit::{Code, Failure};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn results_come_in_order_and_only_a_few_wait() {
        let items: Vec<usize> = (0..100).collect();
        for threads in [1, 2, 3, 9] {
            let (made, mut taken) = (AtomicUsize::new(0), Vec::new());
            let make = |&item: &usize| {
                made.fetch_add(1, Ordering::SeqCst);
                item * 2
            };
            let done = |&item: &usize, result| {
                taken.push((item, result));
                let ahead = made.load(Ordering::SeqCst) - taken.len();
                assert!(ahead <= threads.min(MAX_THREADS), "{ahead} of {threads}");
                Ok(())
            };
            each(threads, &items, make, done).expect("no failure");
            assert!(taken.into_iter().eq(items.iter().map(|&item| (item, 2 * item))));
        }
        each(3, &[] as &[usize], |&item| item, |_, _| panic!("there is none")).expect("nothing to do");
    }

    #[test]
    fn a_failure_ends_the_work() {
        let items: Vec<usize> = (0..1000).collect();
        let made = AtomicUsize::new(0);
        let make = |_: &usize| made.fetch_add(1, Ordering::SeqCst);
        let done = |&item: &usize, _| match item {
            9 => Err(Failure::new(Code::Input, "enough")),
            _ => Ok(()),
        };
        assert_eq!(each(2, &items, make, done).expect_err("it fails").to_string(), "enough");
        assert!(made.load(Ordering::SeqCst) < 20);
    }
}
