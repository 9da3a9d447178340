//! What the fuzz targets do, as plain functions of bytes: the programs in `fuzz_targets` hand these what the fuzzer makes up,
//! and `tests/fuzzed.rs` whatever lies in `corpus` and `crashes`.
//!
//! A target panics where something is wrong. It takes any bytes, and at most some hundred megabytes and a second for them.

pub mod calls;
mod convolution;
pub mod imports;
pub mod index;
pub mod journal;
pub mod kernels;
pub mod narrow;
pub mod npy;
pub mod pictures;
pub mod plan;
pub mod quantised;
pub mod weights;

/// A target: the name that its folder has in `corpus`, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 14] = [
    ("calls", calls::run),
    ("caffemodel", imports::caffemodel),
    ("index", index::run),
    ("journal", journal::run),
    ("kernels", kernels::run),
    ("narrow", narrow::run),
    ("npy", npy::run),
    ("npz", imports::npz),
    ("onnx", imports::onnx),
    ("pictures", pictures::run),
    ("plan", plan::run),
    ("quantised", quantised::run),
    ("state_dict", imports::state_dict),
    ("weights", weights::run),
];
