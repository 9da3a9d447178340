//! Reading networks' weights out of other programs' files: ONNX graphs, `.caffemodel`s, and tensors under the names
//! of Caffe, torchvision or TensorFlow's slim, as safetensors or `.npz`.
//!
//! ```text
//! onnx/, caffe/           make a file's messages a network of net.rs, which walk.rs compares with the model table
//! safetensors.rs, npz.rs  list a file's tensors, which names.rs finds by their names
//! table.rs                has the model table's tensors, and finds out how many classes a file has
//! tensor.rs               reads numbers, reorders them, and folds normalisation in f64
//! wire.rs                 bounds what decoding a protocol buffer may allocate
//! ```
//!
//! The model table is the network as `src/model/` describes it. All formats end in [`Imported`]: every tensor of the
//! table, in the table's order and with exactly the table's shape, and nothing else. A file decides no more than the
//! dialect, the number of classes and which auxiliary heads there are. Files are hostile: whatever is not understood is
//! an error.
//!
//! This module needs the feature `import`.

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
mod torch;
mod walk;
mod wire;

use crate::error::ImportError;
use crate::model::{Dialect, Input};
use crate::{Result, file};
use std::collections::BTreeMap;
use std::path::Path;
use tensor::Parts;

/// The longest file that is read: 512 MiB, where the largest network's weights for 1000 classes take 390 MB.
pub const MAX_BYTES: u64 = 512 << 20;

/// The weights of a network, as they were imported.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The published version of a network that the weights are for.
    pub dialect: Dialect,
    /// How many classes the classifier tells apart.
    pub classes: usize,
    /// The names of the auxiliary heads that the file has.
    pub heads: Vec<&'static str>,
    /// Every tensor of the network, in the order of its nodes, each weight before its bias.
    pub tensors: Vec<ImportedTensor>,
    /// How pixels become the network's input; `None` where the file does not show it: then as the dialect's authors do.
    pub input: Option<Input>,
    /// How many values of all tensors are NaN or infinite; sound weights have none.
    pub non_finite: usize,
    /// The metadata of a safetensors file, uninterpreted; empty for files of another format.
    pub metadata: BTreeMap<String, String>,
}

/// One imported tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedTensor {
    /// The tensor's name: `<layer>.weight` or `<layer>.bias`.
    pub name: String,
    /// The tensor's shape: `[oc, ic, kh, kw]` for a convolution, `[outputs, inputs]` for a fully connected layer,
    /// `[oc]` for a bias.
    pub shape: Vec<usize>,
    /// The tensor's elements, the last dimension fastest; those of an f16 file are widened.
    pub values: Vec<f32>,
}

/// What a file shows of the input that its network expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InputHint {
    /// The file shows nothing: it has tensors, but no graph.
    Unknown,
    /// The graph's first convolution reads the input itself.
    Plain,
    /// The graph undoes ImageNet's normalisation of the input first, as torchvision's `transform_input` does.
    Transformed,
}

impl Imported {
    /// The weights of `dialect`, made of the `parts` of its layers, which must be in the model table's order.
    fn new(
        dialect: Dialect,
        classes: usize,
        heads: &[&'static str],
        parts: Vec<Parts<'_>>,
        input: InputHint,
    ) -> Result<Imported> {
        let mut tensors = Vec::with_capacity(2 * parts.len());
        for parts in parts {
            tensors.extend(parts.finish()?);
        }
        let named: Vec<_> = tensors.iter().map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect();
        let network = dialect.network_with_heads(classes).keep_heads(heads);
        assert!(network.parameters() == named, "parts are the table's");
        let non_finite = tensors.iter().flat_map(|tensor| &tensor.values).filter(|value| !value.is_finite()).count();
        // A graph that lacks the nodes with which its dialect undoes a normalisation was trained on that normalisation.
        let input = dialect.undoes().filter(|_| input == InputHint::Plain);
        let metadata = BTreeMap::new();
        Ok(Imported { dialect, classes, heads: heads.to_vec(), tensors, input, non_finite, metadata })
    }
}

/// Reads the file at `path`; see [`import_as`].
///
/// # Errors
///
/// An error of [`file::read`] if the file cannot be read or is longer than [`MAX_BYTES`], or one of [`import_bytes`].
///
/// ```
/// let imported = googlenet::import::import("weights/demo.safetensors")?;
/// assert_eq!((imported.classes, imported.tensors.len()), (10, 116));
/// assert_eq!((&*imported.tensors[0].name, &*imported.tensors[0].shape), ("conv1/7x7_s2.weight", &[64, 3, 7, 7][..]));
/// # Ok::<(), googlenet::Error>(())
/// ```
pub fn import(path: impl AsRef<Path>) -> Result<Imported> {
    import_as(path, None)
}

/// Reads the file at `path`, which tells its dialect unless `dialect` asks for one; see [`import_bytes`]. If it is an ONNX graph
/// that keeps its weights in other files, as PyTorch's exporter makes by default (`model.onnx.data`), these are read, too:
/// from the graph's own folder and the folders inside alone, and all of them together up to [`MAX_BYTES`].
///
/// # Errors
///
/// Those of [`import()`]; [`ImportError::Sidecar`] if a graph names a file elsewhere.
///
/// ```
/// use googlenet::import::import_as;
/// use googlenet::model::Dialect;
///
/// assert_eq!(import_as("weights/demo.safetensors", Some(Dialect::Bvlc))?.classes, 10);
/// # Ok::<(), googlenet::Error>(())
/// ```
pub fn import_as(path: impl AsRef<Path>, dialect: Option<Dialect>) -> Result<Imported> {
    let path = path.as_ref();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    import_beside(&file::read(path, MAX_BYTES)?, dialect, Some(folder))
}

/// Reads a file from memory. Its content tells its format, and its dialect unless `dialect` asks for one.
///
/// # Errors
///
/// An error that says what is damaged, or how the file first differs from every network that this crate knows.
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
    import_beside(bytes, dialect, None)
}

/// Reads a file from memory; what an ONNX graph keeps in other files is read from the folder `beside`, if one is given.
fn import_beside(bytes: &[u8], dialect: Option<Dialect>, beside: Option<&Path>) -> Result<Imported> {
    if torch::is_checkpoint(bytes) {
        return Err(ImportError::TorchCheckpoint.into());
    }
    if looks_like_safetensors(bytes) {
        safetensors::read(bytes, dialect)
    } else if bytes.starts_with(b"PK\x03\x04") {
        npz::read(bytes, dialect)
    } else if caffe::looks_like(wire::tags(bytes)) {
        caffe::read(bytes, dialect)
    } else {
        onnx::read(bytes, dialect, beside)
    }
}

/// What a file is that begins with `bytes`, as far as that can be told, if files of its kind may hold weights; `convert` makes a
/// weight file of some of them.
#[cfg(feature = "cli")]
pub(crate) fn kind(bytes: &[u8]) -> Option<&'static str> {
    let tags = || wire::tags(bytes);
    match bytes {
        _ if looks_like_safetensors(bytes) => Some("a safetensors file"),
        _ if torch::is_checkpoint(bytes) => Some("a checkpoint of PyTorch's (.pth)"),
        [b'P', b'K', 3, 4, ..] => Some("an archive of NumPy arrays (.npz)"),
        [0x89, b'H', b'D', b'F', ..] => Some("an HDF5 file"),
        // Field 1 of an ONNX model is a number, the version of its format.
        [8, 1..=127, ..] if tags().next() == Some(1) => Some("an ONNX graph"),
        // A network begins with its name or a layer, and names are short.
        [10, 0..=127, ..] | [0xa2, 6, ..] | [18, ..] if caffe::begins_like(tags()) => Some("a .caffemodel"),
        _ => None,
    }
}

/// Whether `bytes` begin with a length below 4 GiB and then JSON, as a safetensors file does. An ONNX file begins with
/// small fields, whose bytes would make a huge length.
fn looks_like_safetensors(bytes: &[u8]) -> bool {
    matches!(bytes.split_first_chunk::<8>(), Some(([.., 0, 0, 0, 0], [b'{', ..])))
}

/// The most classes that a file may have; the largest sets of pictures have some 20,000.
const MAX_CLASSES: usize = 1 << 15;
