//! The bodies of the fuzz targets, compiled for the fuzzer; `tests/fuzzed.rs` compiles them for `cargo test`.

#[path = "../targets/mod.rs"]
pub mod targets;
