//! Everything that can go wrong, with the values that were wrong.

use std::path::PathBuf;
use std::{fmt, io};

/// What a fallible function of this crate gives.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate. Messages are lower case and have no full stop.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are what the variant's message names")]
pub enum Error {
    /// A file could not be read or written.
    Io { path: PathBuf, source: io::Error },
    /// An output file exists already.
    Exists { path: PathBuf },
    /// Bytes that are no weight file; `at` is an offset in them.
    Format { at: usize, problem: String },
    /// A weight file's data is not what its hash says.
    Hash { expected: String, found: String },
    /// A key of a weight file's metadata is missing.
    MissingMetadata { key: &'static str },
    /// A key of a weight file's metadata has a value that does not fit.
    Metadata { key: &'static str, value: String, expected: &'static str },
    /// A tensor that the network needs is not in the file.
    MissingTensor { name: String },
    /// A tensor that the network does not know is in the file.
    UnexpectedTensor { name: String },
    /// A tensor has another shape than the network's.
    TensorShape { name: String, expected: Vec<usize>, found: Vec<usize> },
    /// The file is for a dialect that this version does not know.
    Dialect { found: String, known: Vec<&'static str> },
    /// There are not as many labels as classes.
    LabelCount { labels: usize, classes: usize },
    /// A model to import is not the network it should be.
    Import { node: String, expected: String, found: String },
    /// Bytes that are no picture this crate reads.
    Picture { problem: String },
    /// An option is out of its range.
    OutOfRange { what: &'static str, value: usize, least: usize, most: usize },
    /// An instruction set that this machine does not have, or nobody has.
    InstructionSet { name: String, known: bool, available: Vec<&'static str> },
    /// A layer that the network does not have.
    UnknownLayer { name: String },
    /// Threads could not be started.
    Threads { threads: usize, source: Box<dyn std::error::Error + Send + Sync> },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Error::Exists { path } => write!(f, "{} exists already", path.display()),
            Error::Format { at, problem } => write!(f, "not a weight file: {problem} (at byte {at})"),
            Error::Hash { expected, found } => {
                write!(f, "damaged weight file: the data's hash is {found}, the header says {expected}")
            }
            Error::MissingMetadata { key } => write!(f, "the weight file's metadata has no {key:?}"),
            Error::Metadata { key, value, expected } => {
                write!(f, "the weight file's metadata has {key:?} = {value:?}, expected {expected}")
            }
            Error::MissingTensor { name } => write!(f, "tensor {name:?} is missing"),
            Error::UnexpectedTensor { name } => write!(f, "tensor {name:?} is not part of the network"),
            Error::TensorShape { name, expected, found } => {
                write!(f, "tensor {name:?} has shape {found:?}, expected {expected:?}")
            }
            Error::Dialect { found, known } => write!(f, "unknown dialect {found:?}, known: {}", known.join(", ")),
            Error::LabelCount { labels, classes } => write!(f, "{labels} labels for {classes} classes"),
            Error::Import { node, expected, found } => {
                write!(f, "not this network: {node}: expected {expected}, found {found}")
            }
            Error::Picture { problem } => write!(f, "not a usable picture: {problem}"),
            Error::OutOfRange { what, value, least, most } => write!(f, "{what} {value} is not in {least} to {most}"),
            Error::InstructionSet { name, known: true, available } => {
                write!(f, "this machine has no {name}, it has {}", available.join(", "))
            }
            Error::InstructionSet { name, known: false, available } => {
                write!(f, "unknown instruction set {name:?}, this machine has {}", available.join(", "))
            }
            Error::UnknownLayer { name } => write!(f, "the network has no layer {name:?}"),
            Error::Threads { threads, source } => write!(f, "cannot start {threads} threads: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            Error::Threads { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}
