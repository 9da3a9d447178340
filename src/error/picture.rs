//! Errors of pictures: files to decode, and pixels of the caller.

use std::fmt;

use super::Cause;

/// What was wrong with a picture.
#[derive(Debug)]
#[non_exhaustive]
pub enum PictureError {
    /// The bytes begin like no JPEG and no PNG.
    NotAPicture,
    /// The bytes begin like a picture and stop before its end.
    Truncated {
        /// Bytes there are.
        length: usize,
    },
    /// More than 65535 pixels on a side, or more memory than a picture may take.
    TooLarge {
        /// The decoder's reason.
        source: Cause,
    },
    /// The decoder refused the bytes.
    Damaged {
        /// The decoder's reason.
        source: Cause,
    },
    /// A picture without pixels.
    Empty {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// A row of `3 * width` bytes is longer than the distance between rows.
    Stride {
        /// Pixels in a row.
        width: usize,
        /// Bytes from row to row.
        stride: usize,
    },
    /// The pixels end before the last row does.
    TooShort {
        /// Bytes that the sizes call for (`usize::MAX` where they overflow).
        needed: usize,
        /// Bytes given.
        found: usize,
    },
}

impl fmt::Display for PictureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPicture => write!(f, "neither a JPEG nor a PNG picture"),
            Self::Truncated { length } => write!(f, "picture is cut off after {length} bytes"),
            Self::TooLarge { source: _ } => write!(f, "picture is too large"),
            Self::Damaged { source: _ } => write!(f, "picture could not be decoded"),
            Self::Empty { width, height } => write!(f, "picture of {width}x{height} pixels is empty"),
            Self::Stride { width, stride } => {
                write!(f, "row of {width} RGB pixels does not fit a stride of {stride}")
            }
            Self::TooShort { needed, found } => {
                write!(f, "picture needs {needed} bytes of pixels, found {found}")
            }
        }
    }
}

impl std::error::Error for PictureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TooLarge { source } | Self::Damaged { source } => Some(source.as_ref()),
            _ => None,
        }
    }
}
