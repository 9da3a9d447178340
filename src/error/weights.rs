//! Errors of weight files as a whole: header, metadata, order of the bytes. Those of single tensors are in `tensor.rs`.

use std::fmt;

use super::Cause;
use super::text::{Quoted, listed};

/// What was wrong with a weight file, whatever network it is for. Offsets and lengths are in bytes.
#[derive(Debug)]
#[non_exhaustive]
pub enum WeightsError {
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
        source: Cause,
    },
    /// A key of the header or of its metadata, or a tensor's name, occurs twice.
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// There is more of something than any network of the family has.
    TooMany {
        /// Of what, as in "tensors".
        what: &'static str,
        /// How many there are.
        found: usize,
        /// The most allowed.
        limit: usize,
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
}

impl WeightsError {
    /// A header that `source` refuses; its text may quote the file, so it is kept escaped and shortened.
    pub(crate) fn header_syntax(source: &serde_json::Error) -> Self {
        Self::HeaderSyntax { source: listed(source).into() }
    }
}

impl fmt::Display for WeightsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { expected, found } => {
                write!(f, "weights are cut off: expected at least {expected} bytes, found {found}")
            }
            Self::HeaderTooLong { length, limit } => {
                write!(f, "header of {length} bytes, the limit is {limit}: damaged, or not a safetensors file")
            }
            Self::HeaderStart { found: Some(byte) } => {
                write!(f, "header begins with byte {byte:#04x} instead of '{{': not a safetensors file")
            }
            Self::HeaderStart { found: None } => write!(f, "header is empty"),
            Self::HeaderSyntax { source: _ } => write!(f, "header is not a safetensors header"),
            Self::DuplicateKey { key } => write!(f, "key {} occurs twice", Quoted(key)),
            Self::TooMany { what, found, limit } => write!(f, "{found} {what}, the limit is {limit}"),
            Self::Misaligned { what, offset, alignment } => {
                write!(f, "{} begins at byte {offset}, which is no multiple of {alignment}", Quoted(what))
            }
            Self::Gap { offset, length } => write!(f, "{length} bytes at byte {offset} belong to no tensor"),
            Self::Padding { offset, value } => {
                write!(f, "alignment byte {offset} is {value:#04x} instead of zero")
            }
            Self::HashMismatch { stored, computed } => {
                write!(f, "weights are damaged: their hash is {computed}, the file says {}", Quoted(stored))
            }
            Self::MetadataMissing { key } => write!(f, "metadata have no key {key:?}"),
            Self::MetadataValue { key, value, expected } => {
                write!(f, "metadata key {key:?} is {}, expected {expected}", Quoted(value))
            }
        }
    }
}

impl std::error::Error for WeightsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::HeaderSyntax { source } => Some(source.as_ref()),
            _ => None,
        }
    }
}
