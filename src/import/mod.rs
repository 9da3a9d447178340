//! Reading GoogLeNet's weights out of other programs' files: ONNX graphs, `.caffemodel`s, and tensors under the names of
//! Caffe, torchvision or TensorFlow's slim, as safetensors or `.npz`.
//!
//! ```text
//! onnx/, caffe/           a file's messages -> net.rs: nodes over values    walk.rs: compared with the model table
//! safetensors.rs, npz.rs  a file's tensors                                  names.rs: found by their names
//! table.rs                the model table's tensors, and how many classes a file has
//! tensor.rs               numbers where they lie; layouts, normalisation folded in f64
//! ```
//!
//! All end in [`Imported`]: every tensor of the table, in its order, with exactly its shape, and nothing else. What a
//! file decides is the dialect, the number of classes and whether the auxiliary heads are there. Files are hostile:
//! whatever is not understood is an error.
//!
//! The module needs the feature `import`.

mod caffe;
mod names;
mod net;
mod npz;
mod onnx;
mod safetensors;
mod table;
mod tensor;
#[cfg(test)]
mod tests;
mod walk;
mod wire;

use crate::model::{Dialect, Input};
use crate::{Result, file};
use std::collections::BTreeMap;
use std::path::Path;
use tensor::Parts;

/// The longest file that is read: 512 MiB, where GoogLeNet's weights for 1000 classes take 28 MB.
pub const MAX_BYTES: u64 = 512 << 20;

/// The weights of a GoogLeNet.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// Which GoogLeNet it is.
    pub dialect: Dialect,
    /// How many classes the classifier tells apart.
    pub classes: usize,
    /// The auxiliary heads that are there.
    pub heads: Vec<&'static str>,
    /// Every tensor of the model table in its nodes' order, the weight before the bias.
    pub tensors: Vec<ImportedTensor>,
    /// What is to be fed to it, as far as the file shows; else it is what the dialect's authors do.
    pub input: Option<Input>,
    /// How many values are NaN or infinite; those of sound weights are not.
    pub non_finite: usize,
    /// What a safetensors file says of itself, as it stands; empty of others.
    pub metadata: BTreeMap<String, String>,
}

/// One tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedTensor {
    /// `<layer>.weight` or `<layer>.bias`.
    pub name: String,
    /// `[oc, ic, kh, kw]` of a convolution, `[outputs, inputs]` of a fully connected layer, `[oc]` of a bias.
    pub shape: Vec<usize>,
    /// The elements, the last dimension fastest; f16 is widened.
    pub values: Vec<f32>,
}

/// What a file shows of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InputForm {
    /// Nothing.
    Unknown,
    /// Its first convolution reads what it is given.
    Plain,
    /// It undoes ImageNet's normalisation first, as torchvision's `transform_input`.
    Transformed,
}

impl Imported {
    /// Tensors of `dialect` from their `parts`, which are in the table's order.
    fn new(
        dialect: Dialect,
        classes: usize,
        heads: &[&'static str],
        parts: Vec<Parts<'_>>,
        input: InputForm,
    ) -> Result<Imported> {
        let mut tensors = Vec::with_capacity(2 * parts.len());
        for parts in parts {
            tensors.extend(parts.finish()?);
        }
        let named: Vec<_> = tensors.iter().map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect();
        let network = dialect.network_with_heads(classes).with_heads(heads);
        assert!(network.parameters() == named, "parts are the table's");
        let non_finite = tensors.iter().flat_map(|tensor| &tensor.values).filter(|value| !value.is_finite()).count();
        // A graph without the nodes that undo a normalisation was trained on that normalisation itself.
        let input = dialect.differences().undoes.filter(|_| input == InputForm::Plain);
        let metadata = BTreeMap::new();
        Ok(Imported { dialect, classes, heads: heads.to_vec(), tensors, input, non_finite, metadata })
    }
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
    import_bytes(&file::read(path, MAX_BYTES)?, None)
}

/// Reads a file from memory; its content tells of which kind it is, and which dialect, unless that is asked for.
///
/// # Errors
///
/// If the file is damaged, or describes anything but a GoogLeNet of the model table: the first difference is named.
///
/// ```
/// use googlenet::import::import_bytes;
/// use googlenet::model::Dialect;
///
/// let bytes = std::fs::read("weights/demo.safetensors")?;
/// assert_eq!(import_bytes(&bytes, None)?.dialect, Dialect::Bvlc);
/// let error = import_bytes(&bytes, Some(Dialect::Torchvision)).unwrap_err();
/// assert!(error.to_string().contains("\"bvlc\", expected torchvision"));
/// assert!(import_bytes(b"neither", None).unwrap_err().to_string().contains("no ONNX model"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn import_bytes(bytes: &[u8], dialect: Option<Dialect>) -> Result<Imported> {
    if looks_like_safetensors(bytes) {
        safetensors::read(bytes, dialect)
    } else if bytes.starts_with(b"PK\x03\x04") {
        npz::read(bytes, dialect)
    } else if caffe::looks_like(wire::tags(bytes)) {
        caffe::read(bytes, dialect)
    } else {
        onnx::read(bytes, dialect)
    }
}

/// A length below 4 GiB, then JSON. An ONNX file begins with small fields, whose bytes would make a huge length.
fn looks_like_safetensors(bytes: &[u8]) -> bool {
    matches!(bytes.split_first_chunk::<8>(), Some(([.., 0, 0, 0, 0], [b'{', ..])))
}

/// The most classes; the largest sets of pictures have some 20,000.
const MAX_CLASSES: usize = 1 << 15;
