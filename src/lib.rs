//! GoogLeNet on CPUs: hand-written SIMD kernels, memory-mapped weights, a static execution plan.
//!
//! A [`Model`] holds checked weights; a [`Session`] is a plan over them with memory and threads:
//!
//! ```
//! use googlenet::{Model, Options, image};
//!
//! let model = Model::open("weights/demo.safetensors")?;
//! let mut session = model.session(Options::new().threads(2))?;
//! # #[cfg(feature = "cli")]
//! for prediction in session.classify(image::open("weights/chelsea.png")?.view(), 5)? {
//!     println!("{:.3} {}", prediction.probability, prediction.label);
//! }
//! # Ok::<(), googlenet::Error>(())
//! ```
#![deny(missing_docs, unsafe_code)]

mod capi;
mod engine;
pub mod error;
pub mod file;
pub mod image;
#[cfg(feature = "cli")]
pub mod import;
pub mod model;
#[cfg(feature = "cli")]
pub mod npy;
mod plan;
pub mod weights;

pub use engine::{ClassMap, Description, Ensemble, Model, Options, Prediction, Session};
pub use error::{Error, Result};
pub use googlenet_kernels::isa::{self, Isa};
pub use plan::{LayerTime, StepDescription};
/// The version of rayon whose pools [`Options::pool`] takes.
pub use rayon;
