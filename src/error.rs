//! The crate's one error type.
//!
//! Text that comes from a file is shown quoted and shortened, so that a hostile file cannot flood a terminal.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// What was wrong, with the values that were wrong. Offsets and lengths are in bytes.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    Io {
        /// What was being done, as in "open".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The target exists and may not be replaced.
    TargetExists {
        /// The file.
        path: PathBuf,
    },
    /// The weights end before their header does.
    Truncated {
        /// Bytes needed at least.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// The header claims, or would need, more bytes than any weights file has.
    HeaderTooLong {
        /// The header's length.
        length: u64,
        /// The longest allowed.
        limit: u64,
    },
    /// The header does not begin with `{`: this is no safetensors file.
    HeaderStart {
        /// The first byte, if there is one.
        found: Option<u8>,
    },
    /// The header is not JSON of the expected structure.
    HeaderSyntax {
        /// The JSON parser's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A key of the header or of its metadata, or a tensor's name, occurs twice.
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// There are too many tensors.
    TooManyTensors {
        /// Tensors there.
        count: usize,
        /// The most allowed.
        limit: usize,
    },
    /// A tensor may not have this name.
    TensorName {
        /// The name.
        tensor: String,
    },
    /// An element type that is not supported.
    TensorType {
        /// The tensor's name.
        tensor: String,
        /// Its type, as the file spells it.
        dtype: String,
    },
    /// A shape with too many dimensions, a dimension that is zero, or a product that overflows.
    TensorShape {
        /// The tensor's name.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// A tensor's data offsets do not lie in order within the data section.
    TensorOffsets {
        /// The tensor's name.
        tensor: String,
        /// Offset of its first byte in the data section.
        begin: u64,
        /// Offset past its last byte.
        end: u64,
        /// Length of the data section.
        data_length: u64,
    },
    /// A tensor has another length than its shape and type ask for.
    TensorLength {
        /// The tensor's name.
        tensor: String,
        /// Bytes asked for.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// Two tensors share bytes.
    TensorOverlap {
        /// The tensor that lies first.
        first: String,
        /// The tensor that begins within it.
        second: String,
        /// Where it begins, in the data section.
        offset: u64,
    },
    /// The data section, or a tensor, does not begin where its alignment asks.
    Misaligned {
        /// The tensor's name, or "data section".
        what: String,
        /// Where it begins, in the file.
        offset: u64,
        /// What the offset must be a multiple of.
        alignment: u64,
    },
    /// Bytes of the data section belong to no tensor and are more than alignment asks for.
    Gap {
        /// Where they begin, in the data section.
        offset: u64,
        /// How many they are.
        length: u64,
    },
    /// An alignment byte is not zero.
    Padding {
        /// Where it lies, in the data section.
        offset: u64,
        /// Its value.
        value: u8,
    },
    /// The data section is not the one the metadata describe.
    HashMismatch {
        /// The hash stored in the metadata.
        stored: String,
        /// The hash of the bytes there.
        computed: String,
    },
    /// A metadata key that must be there is not.
    MetadataMissing {
        /// The key.
        key: &'static str,
    },
    /// A metadata value cannot be used.
    MetadataValue {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A finite value has no finite f16.
    HalfRange {
        /// The tensor's name.
        tensor: String,
        /// Index of the element.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A tensor that the network needs is not in the file.
    MissingTensor {
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor that the network does not know is in the file.
    UnexpectedTensor {
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor has another shape than the network's.
    WrongShape {
        /// The tensor's name.
        tensor: String,
        /// The network's shape.
        expected: Vec<usize>,
        /// The file's.
        found: Vec<usize>,
    },
    /// The weights are for a dialect that this version does not know.
    UnknownDialect {
        /// The dialect.
        dialect: String,
        /// The one that is known.
        known: &'static str,
    },
    /// There are not as many labels as classes.
    LabelCount {
        /// Labels.
        labels: usize,
        /// Classes.
        classes: usize,
    },
    /// A picture cannot be used.
    Image {
        /// Why.
        source: crate::image::ImageError,
    },
    /// An option is out of its range.
    OutOfRange {
        /// The option.
        option: &'static str,
        /// Its value.
        value: usize,
        /// The smallest value.
        least: usize,
        /// The largest value.
        most: usize,
    },
    /// An instruction set that this machine does not have, or that nobody knows.
    InstructionSet {
        /// The name asked for.
        name: String,
        /// Whether there is such a set.
        known: bool,
        /// The sets of this machine.
        available: Vec<&'static str>,
    },
    /// A layer that the network does not have.
    UnknownLayer {
        /// The name asked for.
        layer: String,
    },
    /// Threads could not be started.
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<crate::image::ImageError> for Error {
    fn from(source: crate::image::ImageError) -> Self {
        Error::Image { source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { action, path, source: _ } => write!(f, "cannot {action} {}", path.display()),
            Error::TargetExists { path } => write!(f, "{} exists already", path.display()),
            Error::Truncated { expected, found } => {
                write!(f, "weights are cut off: expected at least {expected} bytes, found {found}")
            }
            Error::HeaderTooLong { length, limit } => {
                write!(f, "header of {length} bytes, the limit is {limit}: damaged, or not a safetensors file")
            }
            Error::HeaderStart { found: Some(byte) } => {
                write!(f, "header begins with byte {byte:#04x} instead of '{{': not a safetensors file")
            }
            Error::HeaderStart { found: None } => write!(f, "header is empty"),
            Error::HeaderSyntax { source: _ } => write!(f, "header is not a safetensors header"),
            Error::DuplicateKey { key } => write!(f, "key {} occurs twice", Quoted(key)),
            Error::TooManyTensors { count, limit } => write!(f, "{count} tensors, the limit is {limit}"),
            Error::TensorName { tensor } => write!(f, "{} cannot be a tensor's name", Quoted(tensor)),
            Error::TensorType { tensor, dtype } => {
                write!(f, "tensor {} has unsupported type {}", Quoted(tensor), Quoted(dtype))
            }
            Error::TensorShape { tensor, shape } => {
                write!(f, "tensor {} has impossible shape {:?}", Quoted(tensor), &shape[..shape.len().min(9)])
            }
            Error::TensorOffsets { tensor, begin, end, data_length } => {
                write!(f, "tensor {} at bytes {begin}..{end} of {data_length}", Quoted(tensor))
            }
            Error::TensorLength { tensor, expected, found } => {
                write!(f, "tensor {} has {found} bytes, its shape asks for {expected}", Quoted(tensor))
            }
            Error::TensorOverlap { first, second, offset } => {
                write!(f, "tensors {} and {} overlap at byte {offset}", Quoted(first), Quoted(second))
            }
            Error::Misaligned { what, offset, alignment } => {
                write!(f, "{} begins at byte {offset}, which is no multiple of {alignment}", Quoted(what))
            }
            Error::Gap { offset, length } => write!(f, "{length} bytes at byte {offset} belong to no tensor"),
            Error::Padding { offset, value } => {
                write!(f, "alignment byte {offset} is {value:#04x} instead of zero")
            }
            Error::HashMismatch { stored, computed } => {
                write!(f, "weights are damaged: their hash is {computed}, the file says {}", Quoted(stored))
            }
            Error::MetadataMissing { key } => write!(f, "metadata have no key {key:?}"),
            Error::MetadataValue { key, value, expected } => {
                write!(f, "metadata key {key:?} is {}, expected {expected}", Quoted(value))
            }
            Error::HalfRange { tensor, index, value } => {
                write!(f, "tensor {}: element {index} is {value}, too large for f16", Quoted(tensor))
            }
            Error::MissingTensor { tensor } => write!(f, "tensor {} is missing", Quoted(tensor)),
            Error::UnexpectedTensor { tensor } => {
                write!(f, "tensor {} is not part of the network", Quoted(tensor))
            }
            Error::WrongShape { tensor, expected, found } => {
                write!(f, "tensor {} has shape {found:?}, expected {expected:?}", Quoted(tensor))
            }
            Error::UnknownDialect { dialect, known } => {
                write!(f, "unknown dialect {}, expected {known}", Quoted(dialect))
            }
            Error::LabelCount { labels, classes } => write!(f, "{labels} labels for {classes} classes"),
            Error::Image { source: _ } => write!(f, "cannot use the picture"),
            Error::OutOfRange { option, value, least, most } => {
                write!(f, "{option} {value} is not in {least} to {most}")
            }
            Error::InstructionSet { name, known: true, available } => {
                write!(f, "this machine has no {name}, it has {}", available.join(", "))
            }
            Error::InstructionSet { name, known: false, available } => {
                write!(f, "unknown instruction set {}, this machine has {}", Quoted(name), available.join(", "))
            }
            Error::UnknownLayer { layer } => write!(f, "the network has no layer {}", Quoted(layer)),
            Error::Threads { threads, source: _ } => write!(f, "cannot start {threads} threads"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            Error::HeaderSyntax { source } | Error::Threads { source, .. } => Some(source.as_ref()),
            Error::Image { source } => Some(source),
            _ => None,
        }
    }
}

/// Foreign text: in quotes, control characters escaped, at most `SHOWN` characters of it.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{:?}...", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}

const SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn foreign_text_is_escaped_and_shortened() {
        let error = Error::DuplicateKey { key: "\u{1b}[2J".to_owned() + &"é".repeat(10_000) };
        let text = error.to_string();
        assert!(text.len() < 250 && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn sources_are_set() {
        let source = io::Error::from(io::ErrorKind::NotFound);
        let error = Error::Io { action: "open", path: "a/b".into(), source };
        assert_eq!(error.to_string(), "cannot open a/b");
        assert!(error.source().is_some());
        assert!(Error::HeaderStart { found: None }.source().is_none());
    }
}
