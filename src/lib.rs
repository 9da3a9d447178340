//! GoogLeNet on CPUs: hand-written SIMD kernels, memory-mapped weights, a static execution plan.
#![deny(unsafe_code)]

mod error;
#[cfg(feature = "cli")]
pub mod import;
pub mod model;
pub mod weights;

pub use error::{Error, Result};
