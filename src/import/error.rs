//! What can be wrong with a file to import.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

/// Why a file was refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImportError {
    /// The file could not be read.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Neither safetensors nor a readable ONNX model.
    Decode {
        /// What the decoder said; none if the bytes are an empty message.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// A safetensors file is damaged.
    Safetensors {
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is more of something than any GoogLeNet has.
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// What the file has.
        found: usize,
    },
    /// A node is not what the model table has in its place.
    Node {
        /// Its name, or, if it has none, its first output's.
        node: String,
        /// The layer of the table.
        layer: String,
        /// What differs: `operator`, an attribute, ...
        what: &'static str,
        /// What the table asks for.
        expected: String,
        /// What stands in the file.
        found: String,
    },
    /// A node has no part in the network.
    ExtraNode {
        /// Its name, or, if it has none, its first output's.
        node: String,
        /// Its operator.
        operator: String,
    },
    /// Nodes or names of a graph do not fit together.
    Graph {
        /// The node or value.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A tensor is not in the file.
    MissingTensor {
        /// Its name.
        tensor: String,
    },
    /// A tensor has no part in the network.
    ExtraTensor {
        /// Its name.
        tensor: String,
    },
    /// A tensor has another shape.
    Shape {
        /// Its name in the model table.
        tensor: String,
        /// Its name in the file.
        source_name: String,
        /// The table's shape; `None` where any number of classes would do.
        expected: Vec<Option<usize>>,
        /// The file's.
        found: Vec<i64>,
    },
    /// A tensor's elements are neither f32 nor f16.
    ElementType {
        /// Its name in the model table.
        tensor: String,
        /// Its name in the file.
        source_name: String,
        /// The file format's number of the type.
        found: i32,
    },
    /// A tensor's data is not as long as its shape asks for.
    Length {
        /// Its name in the model table.
        tensor: String,
        /// Its name in the file.
        source_name: String,
        /// Elements, by its shape.
        expected: usize,
        /// Bytes found.
        found_bytes: usize,
    },
    /// A tensor's data stands in another file.
    External {
        /// Its name in the model table.
        tensor: String,
        /// Its name in the file.
        source_name: String,
    },
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, .. } => write!(f, "cannot read {}", path.display()),
            Self::Decode { .. } => f.write_str("not a safetensors file, and no ONNX model"),
            Self::Safetensors { source } => write!(f, "damaged safetensors file: {source}"),
            Self::TooMany { what, limit, found } => write!(f, "{found} {what}, more than the limit of {limit}"),
            Self::Node { node, layer, what, expected, found } => {
                write!(f, "node `{node}`, in the place of layer `{layer}`: {what}: expected {expected}, found {found}")
            }
            Self::ExtraNode { node, operator } => write!(f, "node `{node}` ({operator}) has no part in the network"),
            Self::Graph { name, what } => write!(f, "`{name}`: {what}"),
            Self::MissingTensor { tensor } => write!(f, "tensor `{tensor}` is missing"),
            Self::ExtraTensor { tensor } => write!(f, "tensor `{tensor}` has no part in the network"),
            Self::Shape { tensor, source_name, expected, found } => {
                let dims = expected.iter().map(|dim| dim.map_or_else(|| "classes".into(), |dim| dim.to_string()));
                let expected = dims.collect::<Vec<_>>().join(", ");
                write!(f, "tensor `{source_name}`, as `{tensor}`: expected shape [{expected}], found {found:?}")
            }
            Self::ElementType { tensor, source_name, found } => {
                write!(f, "tensor `{source_name}`, as `{tensor}`: expected elements f32 or f16, found type {found}")
            }
            Self::Length { tensor, source_name, expected, found_bytes } => {
                write!(
                    f,
                    "tensor `{source_name}`, as `{tensor}`: expected {expected} elements, found {found_bytes} bytes"
                )
            }
            Self::External { tensor, source_name } => {
                write!(
                    f,
                    "tensor `{source_name}`, as `{tensor}`: expected its data in the file, found a reference to another"
                )
            }
        }
    }
}

impl Error for ImportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Decode { source } => source.as_ref().map(|source| &**source as _),
            Self::Safetensors { source } => Some(&**source),
            _ => None,
        }
    }
}
