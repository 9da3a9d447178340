//! The bodies of the fuzz targets, compiled for the fuzzer; `tests/fuzzed.rs` compiles them for `cargo test`.

// What the command's journal needs of the command, at the root, where it looks for it.
#[allow(dead_code, reason = "the command's own files, of which a target calls some")]
#[path = "../../src/bin/googlenet/exit.rs"]
mod exit;
#[allow(dead_code, reason = "the command's own files, of which a target calls some")]
#[path = "../../src/bin/googlenet/printable.rs"]
mod printable;

#[path = "../targets/mod.rs"]
pub mod targets;
