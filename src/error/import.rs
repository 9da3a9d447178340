//! Errors of models to import from files of other makers.

use std::fmt;

use super::text::{Listed, Named, Quoted};
use super::{Cause, Error};

/// What was wrong with a model to import.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImportError {
    /// The bytes are neither safetensors nor `.npz`, nor a readable ONNX model or `.caffemodel`.
    NotAModel {
        /// The decoder's reason; `None` if the bytes decode, but as a message without a network.
        source: Option<Cause>,
    },
    /// A safetensors file to import is damaged.
    Safetensors {
        /// What is wrong with the file.
        source: Box<Error>,
    },
    /// A ZIP archive of arrays to import cannot be read.
    Archive {
        /// The array's name; empty where the archive as a whole is damaged.
        member: String,
        /// What is wrong with the array or the archive.
        what: &'static str,
    },
    /// The file is a checkpoint of PyTorch's, a program that makes Python's objects.
    TorchCheckpoint,
    /// A node is not what the network has in its place.
    NodeMismatch {
        /// The node's name, or, if it has none, the name of its first output.
        node: String,
        /// The layer of the network that belongs there.
        layer: String,
        /// The property that differs: `operator`, or an attribute's name, for example.
        what: &'static str,
        /// The property's value in the network.
        expected: String,
        /// The property's value in the file.
        found: String,
    },
    /// A node has no part in the network.
    UnexpectedNode {
        /// The node's name, or, if it has none, the name of its first output.
        node: String,
        /// The node's operator.
        operator: String,
    },
    /// Nodes or names of a graph do not fit together.
    Graph {
        /// The name of the node or of the value.
        name: String,
        /// What is wrong with the node or the value.
        what: &'static str,
    },
    /// A tensor's elements are of no type that is read: f32, f16, bf16, f64.
    ElementType {
        /// The tensor's name in the network.
        tensor: String,
        /// The tensor's name in the file.
        source_name: String,
        /// The number that the file's format gives to the type.
        found: i32,
    },
    /// A tensor's data is not as long as its shape asks for.
    DataLength {
        /// The tensor's name in the network.
        tensor: String,
        /// The tensor's name in the file.
        source_name: String,
        /// How many elements the shape asks for.
        expected: usize,
        /// How many bytes of data there are.
        found_bytes: usize,
    },
    /// A graph keeps data in a file that does not lie in its own folder.
    Sidecar {
        /// Where the graph says that the file is.
        location: String,
    },
    /// A tensor's data stands in another file, and the graph was read from memory, or does not say in which.
    ExternalData {
        /// The tensor's name in the network.
        tensor: String,
        /// The tensor's name in the file.
        source_name: String,
    },
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAModel { source: _ } => {
                write!(f, "neither a safetensors nor an .npz file, and no ONNX model or .caffemodel")
            }
            Self::Safetensors { source: _ } => write!(f, "damaged safetensors file"),
            Self::Archive { member, what } if member.is_empty() => write!(f, "damaged .npz archive: {what}"),
            Self::Archive { member, what } => write!(f, "array {} of the archive {what}", Quoted(member)),
            Self::TorchCheckpoint => write!(
                f,
                "a checkpoint of PyTorch's (.pth), a pickle, is not read; save it as safetensors: \
                 safetensors.torch.save_file(model.state_dict(), \"weights.safetensors\")"
            ),
            Self::NodeMismatch { node, layer, what, expected, found } => {
                let [node, layer] = [node, layer].map(|text| Quoted(text));
                write!(f, "node {node}, in the place of layer {layer}: {what}: expected ")?;
                write!(f, "{}, found {}", Listed(expected), Listed(found))
            }
            Self::UnexpectedNode { node, operator } => {
                write!(f, "node {} ({}) is not part of the network", Quoted(node), Listed(operator))
            }
            Self::Graph { name, what } => write!(f, "{}: {what}", Quoted(name)),
            Self::ElementType { tensor, source_name, found } => {
                write!(
                    f,
                    "{} has elements of type {found}, expected f32, f16, bf16 or f64",
                    Named { tensor, source_name }
                )
            }
            Self::DataLength { tensor, source_name, expected, found_bytes } => {
                write!(f, "{} has {found_bytes} bytes, expected {expected} elements", Named { tensor, source_name })
            }
            Self::Sidecar { location } => {
                write!(f, "data of the graph are in {}, expected a file in the graph's own folder", Quoted(location))
            }
            Self::ExternalData { tensor, source_name } => {
                let tensor = Named { tensor, source_name };
                write!(
                    f,
                    "{tensor} has its data in another file, which is looked for only beside a graph that is a file"
                )
            }
        }
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotAModel { source } => source.as_ref().map(|source| &**source as _),
            Self::Safetensors { source } => Some(source),
            _ => None,
        }
    }
}
