//! Errors of weight files as a whole: of header, metadata and the order of the bytes. Errors of single tensors are in
//! `tensor.rs`.

use std::fmt;

use super::Cause;
use super::text::{Quoted, listed};

/// What was wrong with a weight file, whatever network it is for. Offsets and lengths are in bytes.
#[derive(Debug)]
#[non_exhaustive]
pub enum WeightsError {
    /// The memory for a copy of the file cannot be had.
    Memory {
        /// How many bytes were asked for.
        bytes: usize,
    },
    /// The file ends before its header does.
    Truncated {
        /// How many bytes the file must have at least.
        expected: u64,
        /// How many bytes the file has.
        found: u64,
    },
    /// The header to read claims, or the header to write needs, more bytes than a header may have.
    HeaderTooLong {
        /// The header's length.
        length: u64,
        /// The longest header that is allowed.
        limit: u64,
    },
    /// The header does not begin with `{`: this is no safetensors file.
    HeaderStart {
        /// The header's first byte, if there is one.
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
        /// What there is too much of, as in "tensors".
        what: &'static str,
        /// How many there are.
        found: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// The data section, or a tensor, does not begin at a multiple of its alignment.
    Misaligned {
        /// The tensor's name, or "data section".
        what: String,
        /// The offset in the file at which the tensor or the data section begins.
        offset: u64,
        /// The number that the offset must be a multiple of.
        alignment: u64,
    },
    /// More bytes of the data section than alignment asks for belong to no tensor.
    Gap {
        /// The offset in the data section at which these bytes begin.
        offset: u64,
        /// How many bytes belong to no tensor.
        length: u64,
    },
    /// A byte that only aligns the tensor after it is not zero.
    Padding {
        /// The byte's offset in the data section.
        offset: u64,
        /// The byte's value.
        value: u8,
    },
    /// The data section has another hash than the metadata state.
    HashMismatch {
        /// The hash stored in the metadata.
        stored: String,
        /// The hash of the data section as it is.
        computed: String,
    },
    /// A metadata key that must be there is missing.
    MetadataMissing {
        /// The key.
        key: &'static str,
    },
    /// A metadata value cannot be used.
    MetadataValue {
        /// The key.
        key: &'static str,
        /// The key's value.
        value: String,
        /// The value that the key should have.
        expected: &'static str,
    },
}

impl WeightsError {
    /// The error for a header that the JSON parser refuses with `source`. Its text is kept escaped and shortened, as it
    /// may quote the file.
    pub(crate) fn header_syntax(source: &serde_json::Error) -> Self {
        Self::HeaderSyntax { source: listed(source).into() }
    }
}

impl fmt::Display for WeightsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { bytes } => write!(f, "cannot have {bytes} bytes of memory"),
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
