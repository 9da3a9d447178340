//! GoogLeNet and its predecessors on CPUs: hand-written SIMD kernels, memory-mapped weights, a static execution plan.
//!
//! A [`Model`] holds checked weights; a [`Session`] is a plan over them with memory and threads:
//!
//! ```
//! use googlenet::{Model, Options, image};
//!
//! let model = Model::open("weights/demo.safetensors")?;
//! let mut session = model.session(Options::new().threads(2))?;
//! # #[cfg(feature = "decode")]
//! for prediction in session.classify(image::open("weights/chelsea.png")?.view(), 5)? {
//!     println!("{:.3} {}", prediction.probability, prediction.label);
//! }
//! # Ok::<(), googlenet::Error>(())
//! ```
//!
//! An item that needs a feature of the crate says so. The feature `decode` brings [`image`]'s decoders, `import` the
//! importers of other programs' weights, `mmap` the mapping of weight files, `rayon` sessions on a rayon pool, and
//! `cli`, the default, the command with all of these.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_docs, unsafe_code)]

mod aligned;
#[cfg(feature = "cli")]
pub mod command;
mod engine;
pub mod error;
mod faults;
pub mod file;
pub mod image;
#[cfg(feature = "import")]
pub mod import;
pub mod index;
pub mod model;
#[cfg(feature = "import")]
pub mod npy;
mod plan;
pub mod quantise;
pub mod weights;

pub use engine::{ClassMap, Description, Ensemble, Model, Options, Prediction, Session};
pub use error::{Error, Result};
pub use googlenet_kernels::isa::{self, Isa};
pub use plan::{Activity, LayerTime, Precision, Slice, StepDescription, Trace};
/// The crate rayon, in the version whose pools [`Options::pool`] takes. It is there with the feature `rayon`.
#[cfg(feature = "rayon")]
pub use rayon;
