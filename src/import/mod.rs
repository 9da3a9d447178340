//! Reading GoogLeNet's weights out of other programs' files: ONNX graphs and plain safetensors.
//!
//! - `onnx.rs` reads a graph and checks it node by node against the model table; `proto.rs` is the file format
//! - `safetensors.rs` reads tensors under their Caffe names
//!
//! Both end in [`Imported`]: every tensor of the table, in its order, with exactly its shape, and nothing else. The
//! only thing a file decides is the number of classes. Files are hostile: whatever is not understood is an error.

mod onnx;
mod proto;
mod safetensors;
#[cfg(test)]
mod tests;

use crate::{Result, file};
use std::path::Path;

/// The longest file that is read: 512 MiB, where GoogLeNet's weights for 1000 classes take 28 MB.
pub const MAX_BYTES: u64 = 512 << 20;

/// The weights of a GoogLeNet.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// How many classes the classifier tells apart.
    pub classes: usize,
    /// Every tensor of the model table in its nodes' order, the weight before the bias.
    pub tensors: Vec<ImportedTensor>,
}

/// One tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedTensor {
    /// `<layer>.weight` or `<layer>.bias`.
    pub name: String,
    /// `[oc, ic, kh, kw]` of a convolution, `[classes, channels]` of the classifier, `[oc]` of a bias.
    pub shape: Vec<usize>,
    /// The elements, the last dimension fastest; f16 is widened.
    pub values: Vec<f32>,
}

/// Reads the file at `path`; see [`import_bytes`].
///
/// # Errors
///
/// If the file cannot be read or is longer than [`MAX_BYTES`], and those of [`import_bytes`].
///
/// ```
/// let imported = googlenet::import::import("weights/demo.safetensors")?;
/// assert_eq!((imported.classes, imported.tensors.len()), (10, 116));
/// assert_eq!((&*imported.tensors[0].name, &*imported.tensors[0].shape), ("conv1/7x7_s2.weight", &[64, 3, 7, 7][..]));
/// # Ok::<(), googlenet::Error>(())
/// ```
pub fn import(path: impl AsRef<Path>) -> Result<Imported> {
    import_bytes(&file::read(path, MAX_BYTES)?)
}

/// Reads an ONNX or safetensors file from memory; its content tells which.
///
/// # Errors
///
/// If the file is damaged, or describes anything but the GoogLeNet of the model table: the first difference is named.
///
/// ```
/// use googlenet::import::import_bytes;
///
/// assert_eq!(import_bytes(&std::fs::read("weights/demo.safetensors")?)?.classes, 10);
/// let error = import_bytes(b"neither").unwrap_err();
/// assert!(error.to_string().contains("no ONNX model"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn import_bytes(bytes: &[u8]) -> Result<Imported> {
    if looks_like_safetensors(bytes) { safetensors::read(bytes) } else { onnx::read(bytes) }
}

/// A length below 4 GiB, then JSON. An ONNX file begins with small fields, whose bytes would make a huge length.
fn looks_like_safetensors(bytes: &[u8]) -> bool {
    matches!(bytes.split_first_chunk::<8>(), Some(([.., 0, 0, 0, 0], [b'{', ..])))
}

/// The input side of the published network.
const SIDE: usize = 224;
