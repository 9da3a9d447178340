//! Which process this is, told from the one that it was forked off.
//!
//! A process's number does not tell alone: the first process of a container and the first of a container within it are both
//! number 1. So the C library is asked to count forks, in the child. A child of a `clone` that bypasses the C library is
//! known by its number only.

use std::sync::atomic::{AtomicU64, Ordering};

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    number: u32,
    /// How many forks lie between this process and the first one that asked for the count.
    forks: u64,
}

impl Process {
    /// This process, whose forks are counted from now on, if they were not before.
    pub(super) fn counted() -> Self {
        count_forks();
        Self::now()
    }

    /// This process.
    pub(super) fn now() -> Self {
        Self { number: std::process::id(), forks: FORKS.load(Ordering::Relaxed) }
    }
}

static FORKS: AtomicU64 = AtomicU64::new(0);

#[cfg(unix)]
fn count_forks() {
    use std::ffi::c_int;
    use std::sync::Once;

    type Handler = Option<unsafe extern "C" fn()>;
    unsafe extern "C" {
        fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> c_int;
    }
    unsafe extern "C" fn count() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    static ASKED: Once = Once::new();
    ASKED.call_once(|| {
        // SAFETY: the handler may be called in the child of any fork, as it only adds to an atomic number; it lives as
        // long as the library is loaded, and the C library forgets it where one is unloaded.
        let refused = unsafe { pthread_atfork(None, None, Some(count)) };
        // Without memory for it nothing is counted, and the process's number has to do.
        let _ = refused;
    });
}

#[cfg(not(unix))]
fn count_forks() {}

#[cfg(all(test, unix, not(miri)))]
mod tests {
    use super::*;
    use std::ffi::c_int;

    unsafe extern "C" {
        fn fork() -> c_int;
        fn waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int;
        fn _exit(status: c_int) -> !;
    }

    /// In a namespace of its own the child may have its parent's number, so the number is left out here.
    #[test]
    fn a_child_is_another_process_whatever_its_number() {
        let parent = Process::counted();
        assert_eq!(Process::counted(), parent);
        // SAFETY: the child calls nothing but `getpid`, an atomic load and `_exit`, which a fork's child of many threads
        // may.
        let child = unsafe { fork() };
        if child == 0 {
            let own = Process::now();
            let differs = Process { number: parent.number, ..own } != parent;
            // SAFETY: nothing is to be done at the child's end.
            unsafe { _exit(if differs { 7 } else { 8 }) }
        }
        let mut status = 0;
        // SAFETY: `status` may be written.
        let ended = unsafe { waitpid(child, &mut status, 0) };
        assert!(child > 0 && ended == child);
        assert_eq!(status, 7 << 8, "the exit status stands in the second byte");
        assert_eq!(Process::now(), parent);
    }
}
