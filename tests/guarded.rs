//! Memory proof of the kernels: the fuzz targets of all kernel families run on random shapes while every allocation, and so
//! every operand, lies flush against a page that nobody may touch: at its end first, then at its beginning. A kernel that
//! reads or writes one byte outside of what it was given ends this process.
//!
//! It takes 150 cases of each target and side, or as many as `GOOGLENET_GUARDED` says; the long form is
//! `GOOGLENET_GUARDED=4000 cargo test --release --test guarded`, where each family has seen more than a thousand shapes on
//! every set of the machine. `GOOGLENET_GUARDED_SEED` gives other shapes.
//!
//! A test without the harness, as it needs an allocator of its own and one thread.

#![allow(unsafe_code, reason = "an allocator that asks the system for inaccessible pages")]

#[cfg(target_os = "linux")]
#[path = "../fuzz/targets/convolution.rs"]
mod convolution;
#[cfg(target_os = "linux")]
#[path = "../fuzz/targets/kernels.rs"]
mod kernels;
#[cfg(target_os = "linux")]
#[path = "../fuzz/targets/narrow.rs"]
mod narrow;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("guard pages are asked for as Linux has them: 0 passed, 0 failed");
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;
    use std::ptr::null_mut;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::convolution::{AT_BEGINNING, random};

    /// Where an allocation touches an inaccessible page.
    #[derive(Clone, Copy, PartialEq)]
    enum Side {
        Nowhere,
        End,
        Beginning,
    }

    thread_local! {
        /// What the allocator does for this thread.
        static SIDE: Cell<Side> = const { Cell::new(Side::Nowhere) };
    }

    /// The system's allocator, or pages of [`REGION`].
    struct Guarding;

    #[global_allocator]
    static GUARDING: Guarding = Guarding;

    /// Addresses that are asked for once, and of which none may be touched until it is handed out; after that, never again.
    const REGION: usize = 1 << 43;
    const PAGE: usize = 4096;
    /// Where the region begins, and where its next free page is.
    static BASE: AtomicUsize = AtomicUsize::new(0);
    static NEXT: AtomicUsize = AtomicUsize::new(0);

    /// Asks the system for the region.
    fn reserve() {
        // SAFETY: a new mapping at an address of the system's choice disturbs nothing.
        let base = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            libc::mmap(null_mut(), REGION, libc::PROT_NONE, flags, -1, 0)
        };
        assert_ne!(base, libc::MAP_FAILED, "addresses for guarded allocations");
        BASE.store(base.expose_provenance(), Ordering::Relaxed);
        NEXT.store(base.addr() + PAGE, Ordering::Relaxed);
    }

    // SAFETY: memory comes from the system's allocator, or is pages of the region that no other allocation has, readable and
    // writable, as many as the layout needs, and aligned as it asks, as its size is a multiple of its alignment.
    unsafe impl GlobalAlloc for Guarding {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let side = SIDE.get();
            if side == Side::Nowhere || layout.align() > PAGE || !layout.size().is_multiple_of(layout.align()) {
                // SAFETY: the caller promises what `alloc` asks for.
                return unsafe { System.alloc(layout) };
            }
            let bytes = layout.size().next_multiple_of(PAGE);
            // The page behind the allocation stays inaccessible, as the one before it is.
            let begin = NEXT.fetch_add(bytes + PAGE, Ordering::Relaxed);
            let end = begin + bytes;
            let base = BASE.load(Ordering::Relaxed);
            if end + PAGE > base + REGION {
                return null_mut();
            }
            let at = |address: usize| std::ptr::with_exposed_provenance_mut::<u8>(address);
            // SAFETY: these pages are of the region, and nobody has them.
            if unsafe { libc::mprotect(at(begin).cast(), bytes, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
                return null_mut();
            }
            at(if side == Side::End { end - layout.size() } else { begin })
        }

        unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
            let base = BASE.load(Ordering::Relaxed);
            if !(base..base + REGION).contains(&at.addr()) || base == 0 {
                // SAFETY: the caller promises what `dealloc` asks for, and the memory is the system allocator's.
                return unsafe { System.dealloc(at, layout) };
            }
            // Nobody gets these addresses again, and whoever still uses them is found.
            let begin = at.addr() / PAGE * PAGE;
            let bytes = (at.addr() + layout.size()).next_multiple_of(PAGE) - begin;
            // SAFETY: the pages are those of this allocation alone, which ends here.
            unsafe {
                let pages = at.with_addr(begin).cast();
                libc::madvise(pages, bytes, libc::MADV_DONTNEED);
                libc::mprotect(pages, bytes, libc::PROT_NONE);
            }
        }
    }

    /// Runs `body` with every allocation of this thread at an inaccessible page.
    fn guarded(side: Side, body: impl FnOnce()) {
        AT_BEGINNING.store(side == Side::Beginning, Ordering::Relaxed);
        SIDE.set(side);
        body();
        SIDE.set(Side::Nowhere);
    }

    type Target = (&'static str, fn(&[u8]));

    /// The targets that are all about kernels.
    const TARGETS: [Target; 2] = [("kernels", crate::kernels::run), ("narrow", crate::narrow::run)];

    pub fn main() {
        reserve();
        if let Some(what) = std::env::var_os("GOOGLENET_STRAY") {
            return stray(&what.into_string().expect("a name"));
        }
        let number = |name: &str, default: u64| {
            std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: a number")))
        };
        let cases = number("GOOGLENET_GUARDED", if cfg!(debug_assertions) { 150 } else { 400 });
        strays_end_the_process();
        println!("strays of one element end the process: ok");
        let mut next = random(number("GOOGLENET_GUARDED_SEED", 0x9E37_79B9_7F4A_7C15));
        for (name, run) in TARGETS {
            for (side, text) in [(Side::End, "end"), (Side::Beginning, "beginning")] {
                for _ in 0..cases {
                    let bytes: Vec<u8> = (0..160).map(|_| (next() >> 32) as u8).collect();
                    guarded(side, || run(&bytes));
                }
                println!("{name}, {cases} cases, operands at an inaccessible page at their {text}: ok");
            }
        }
        println!("{} passed, 0 failed", 1 + 2 * TARGETS.len());
    }

    /// A test of the test: one element outside, read or written, at either end, and memory that was freed.
    fn strays_end_the_process() {
        for what in ["read end", "write end", "read beginning", "write beginning", "read freed", "none"] {
            let own = std::env::current_exe().expect("this program");
            let status = Command::new(own).env("GOOGLENET_STRAY", what).status().expect("it starts");
            let expected = if what == "none" { None } else { Some(libc::SIGSEGV) };
            assert_eq!(status.signal(), expected, "{what}: {status}");
        }
    }

    /// Does what a faulty kernel might.
    fn stray(what: &str) {
        let side = if what.ends_with("beginning") { Side::Beginning } else { Side::End };
        guarded(side, || {
            let mut values = std::hint::black_box(vec![1.0_f32; 1003]);
            let (first, past) = (values.as_mut_ptr(), values.as_mut_ptr().wrapping_add(values.len()));
            // SAFETY: there is none. Elements outside of the vector lie in a page that the system lets nobody touch, so that
            // the process ends here; that it does is what is tested.
            unsafe {
                match what {
                    "read end" => drop(std::hint::black_box(past.read_volatile())),
                    "write end" => past.write_volatile(1.0),
                    "read beginning" => drop(std::hint::black_box(first.wrapping_sub(1).read_volatile())),
                    "write beginning" => first.wrapping_sub(1).write_volatile(1.0),
                    "read freed" => {
                        drop(values);
                        std::hint::black_box(first.read_volatile());
                    }
                    _ => assert!(values.iter().all(|&value| value == 1.0)),
                }
            }
        });
    }
}
