//! Errors of indexes of pictures.

use std::fmt;

use super::Cause;
use super::text::listed;

/// What was wrong with an index, or with what was asked of one.
#[derive(Debug)]
#[non_exhaustive]
pub enum IndexError {
    /// The file does not begin as an index does.
    NoIndex,
    /// The memory for a copy of the file cannot be had.
    Memory {
        /// How many bytes were asked for.
        bytes: usize,
    },
    /// The file is of another version.
    Version {
        /// The file's version.
        found: u32,
        /// The version that is known.
        known: u32,
    },
    /// Numbers lie in a file the other way around than on this machine.
    BigEndian,
    /// The file ends before what it says it holds.
    Truncated {
        /// How many bytes the file must have.
        expected: u64,
        /// How many bytes the file has.
        found: u64,
    },
    /// The file holds more than it says.
    TooLong {
        /// How many bytes the file must have.
        expected: u64,
        /// How many bytes the file has.
        found: u64,
    },
    /// There is more of something than an index may have.
    TooMany {
        /// What there is too much of, as in "pictures".
        what: &'static str,
        /// How many there are.
        found: u64,
        /// The most that is allowed.
        limit: u64,
    },
    /// Rows have no values.
    NoFeatures,
    /// A byte that only aligns what follows is not zero.
    Padding {
        /// The byte's offset in the file.
        offset: u64,
        /// The byte's value.
        value: u8,
    },
    /// A name ends before the one before it, or behind the names' last byte; or names end before that.
    NameEnd {
        /// The picture that the name is of; one more than there are, if the last names' bytes belong to none.
        row: usize,
        /// Where the name ends.
        end: u64,
        /// Where the name before it ends.
        last: u64,
        /// How many bytes all names have.
        bytes: u64,
    },
    /// The metadata are no JSON object of strings.
    Metadata {
        /// The JSON parser's reason.
        source: Cause,
    },
    /// A part of the file has another hash than the file states.
    HashMismatch {
        /// What the hash is of, as in "rows".
        part: &'static str,
        /// The hash that the file states.
        stored: u128,
        /// The hash of the part as it is.
        computed: u128,
    },
    /// A row has another length than 1, as a vector.
    NoUnit {
        /// The row.
        row: usize,
        /// Its length.
        length: f64,
    },
    /// A row, to write or to search, has a value that is no number.
    NotFinite {
        /// The row.
        row: usize,
    },
    /// What is looked for has a value that is no number.
    QueryNotFinite,
    /// A row to write, or what is looked for, has not as many values as the index's rows.
    RowLength {
        /// How many values the index's rows have.
        expected: usize,
        /// How many values there are.
        found: usize,
    },
}

impl IndexError {
    /// The error for metadata that the JSON parser refuses with `source`, whose text is kept escaped and shortened.
    pub(crate) fn metadata(source: &serde_json::Error) -> Self {
        Self::Metadata { source: listed(source).into() }
    }
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoIndex => write!(f, "no index of pictures: it does not begin as one"),
            Self::Memory { bytes } => write!(f, "cannot have {bytes} bytes of memory"),
            Self::Version { found, known } => write!(f, "an index of version {found}, only {known} is known"),
            Self::BigEndian => write!(f, "indexes cannot be read on a machine with big-endian numbers"),
            Self::Truncated { expected, found } => {
                write!(f, "the index is cut off: expected {expected} bytes, found {found}")
            }
            Self::TooLong { expected, found } => {
                write!(f, "the index has bytes that belong to nothing: expected {expected} bytes, found {found}")
            }
            Self::TooMany { what, found, limit } => write!(f, "{found} {what}, the limit is {limit}"),
            Self::NoFeatures => write!(f, "rows without features"),
            Self::Padding { offset, value } => write!(f, "alignment byte {offset} is {value:#04x} instead of zero"),
            Self::NameEnd { row, end, last, bytes } => {
                write!(f, "name {row} ends at byte {end}, the one before at {last}, of {bytes} bytes of names")
            }
            Self::Metadata { source: _ } => write!(f, "the index's metadata are no object of strings"),
            Self::HashMismatch { part, stored, computed } => {
                write!(
                    f,
                    "the index is damaged: the hash of its {part} is {computed:032x}, the file says {stored:032x}"
                )
            }
            Self::NoUnit { row, length } => write!(f, "row {row} has the length {length}, expected 1"),
            Self::NotFinite { row } => write!(f, "row {row} has values that are no numbers"),
            Self::QueryNotFinite => write!(f, "what is looked for has values that are no numbers"),
            Self::RowLength { expected, found } => {
                write!(f, "a row of {found} values, the index has rows of {expected}")
            }
        }
    }
}

impl std::error::Error for IndexError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Metadata { source } => Some(source.as_ref()),
            _ => None,
        }
    }
}
