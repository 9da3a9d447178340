//! Weight files: safetensors under stricter rules, which `weights/FORMAT.md` describes.
//!
//! - `format.rs` parses and checks the header; nothing else in a file is used before that
//! - `view.rs` holds [`Weights`], an immutable file in memory, and its named [`Tensor`]s
//! - `map.rs` maps a file instead of reading it, and has the only unsafe code of this module
//! - `write.rs` writes a file whole or not at all
//!
//! ```
//! use googlenet::weights::{Dtype, NewTensor, Weights, write};
//! use std::collections::BTreeMap;
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("tiny.safetensors");
//! let metadata = BTreeMap::from([("dialect".to_owned(), "bvlc".to_owned())]);
//! let values = (&[0.5, 1.0, -2.0]).into();
//! let bias = NewTensor { name: "conv1/7x7_s2.bias", shape: &[3], dtype: Dtype::F16, values };
//! write(&path, &metadata, &[bias], false)?;
//!
//! let weights = Weights::open(&path)?;
//! let bias = weights.tensor("conv1/7x7_s2.bias").expect("just written");
//! assert_eq!(weights.metadata()["dialect"], "bvlc");
//! assert_eq!(bias.to_f32()[..], [0.5, 1.0, -2.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod format;
#[cfg(feature = "mmap")]
#[allow(unsafe_code, reason = "a mapped file can change under us: the caller of `Weights::map` promises it does not")]
mod map;
#[cfg(test)]
mod tests;
mod view;
mod write;

pub use format::{Dtype, Entry, Header, Strictness, parse};
#[cfg(feature = "import")]
pub(crate) use format::{FORMAT, parse_foreign};
pub(crate) use format::{INT8, INT8_BIAS, INT8_VERSION, OUTPUT_SCALE, PACKED, PACKING, SCALES, WEIGHT_SCALE};
pub(crate) use view::Storage;
#[cfg(feature = "import")]
pub(crate) use view::check_hash;
pub use view::{Tensor, Weights};
pub use write::{NewTensor, encode, write};
