//! The C border: a crate of its own, so that Rust programs carry none of its symbols. `include/googlenet.h` is
//! generated from the documentation of this folder, and is the manual.
//!
//! Every function that can fail goes through `status::border`: it catches panics, turns failures into a status, and
//! keeps their text for the thread. Handles are boxes; a session's and an ensemble's carry a guard that admits one call at a time.
//! Enumerations that come in from C are taken as integers, because a Rust enum of an unknown value is undefined.
//! `unsafe` stands here for raw pointers from C: each is checked for null and used as the header's text allows.

mod ensemble;
mod guard;
mod image;
mod model;
mod options;
mod pointers;
mod process;
mod session;
mod status;

use std::ffi::c_char;

pub use model::ModelHandle;

/// The version of the interface; `c/cbindgen.toml` gives it to the header.
const ABI_VERSION: u32 = 1;

/// The value of `GOOGLENET_ABI_VERSION` that the library was built with. A program that links the shared library may
/// compare it with its header's.
#[unsafe(no_mangle)]
pub extern "C" fn googlenet_abi_version() -> u32 {
    ABI_VERSION
}

/// The library's version, as in "0.1.0"; static.
#[unsafe(no_mangle)]
pub extern "C" fn googlenet_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_header_has_the_same_version() {
        let header = include_str!("../../include/googlenet.h");
        assert!(header.contains(&format!("\n#define GOOGLENET_ABI_VERSION {}\n", super::ABI_VERSION)));
    }
}
