//! Scales for int8, found by running a network in f32 on pictures; and weight files with them.
//!
//! ```text
//! Calibration   runs f32, observes activations       histogram.rs, filters.rs
//! Quantised     scales and biases by layer           written beside the weights, as weights/FORMAT.md says
//! Distance      how far another session's logits are from those in f32
//! ```
//!
//! A file with scales runs in every precision; with [`Precision::Int8`](crate::Precision::Int8) its sessions use them.
//!
//! ```
//! use googlenet::quantise::{Calibration, Clipping};
//! use googlenet::{Model, image};
//!
//! let model = Model::open("weights/demo.safetensors")?;
//! let mut calibration = Calibration::new(&model, 1)?;
//! # #[cfg(feature = "decode")]
//! for path in ["weights/chelsea.png"] {
//!     let picture = image::open(path)?;
//!     image::prepare(picture.view(), model.rule(), model.side(), calibration.input_mut())?;
//!     calibration.observe()?;
//! }
//! # #[cfg(not(feature = "decode"))]
//! # calibration.observe()?;
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let path = folder.path().join("quantised.safetensors");
//! calibration.quantise(Clipping::Maximum, true)?.write(&path, false)?;
//! assert_eq!(Model::open(&path)?.weights().metadata()["int8"], "1");
//! # Ok::<(), googlenet::Error>(())
//! ```

mod calibration;
mod distance;
mod filters;
mod histogram;
mod quantised;
#[cfg(test)]
mod tests;

pub use calibration::Calibration;
pub use distance::Distance;
pub use quantised::Quantised;

/// Which value of an activation becomes 255, the largest byte. Larger values are clipped to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clipping {
    /// The largest that was observed.
    Maximum,
    /// One that 99.99 % of all values that were observed do not exceed.
    Percentile,
    /// One with which the squared error of all values that were observed is the least.
    SquaredError,
}

impl Clipping {
    /// All of them.
    pub const ALL: [Clipping; 3] = [Clipping::Maximum, Clipping::Percentile, Clipping::SquaredError];

    /// The share of values that [`Clipping::Percentile`] leaves as they are.
    const SHARE: f64 = 0.9999;

    /// The name: `maximum`, `percentile` or `squared-error`.
    pub const fn name(self) -> &'static str {
        match self {
            Clipping::Maximum => "maximum",
            Clipping::Percentile => "percentile",
            Clipping::SquaredError => "squared-error",
        }
    }
}
