//! Errors of pictures: files to decode, and pixels of the caller.

use std::fmt;

use super::Cause;

/// What was wrong with a picture.
#[derive(Debug)]
#[non_exhaustive]
pub enum PictureError {
    /// The bytes begin like no picture of a format that is read: JPEG, PNG, WebP, GIF, BMP, TIFF.
    NotAPicture,
    /// The bytes begin like a picture and stop before its end.
    Truncated {
        /// How many bytes there are.
        length: usize,
    },
    /// The picture has more than 65535 pixels on a side, or takes more memory than a picture may.
    TooLarge {
        /// The decoder's reason.
        source: Cause,
    },
    /// The decoder refused the bytes.
    Damaged {
        /// The decoder's reason.
        source: Cause,
    },
    /// The picture has no pixels.
    Empty {
        /// The number of pixels in a row.
        width: usize,
        /// The number of rows.
        height: usize,
    },
    /// A row of `3 * width` bytes is longer than the distance between rows.
    Stride {
        /// The number of pixels in a row.
        width: usize,
        /// The number of bytes from the start of a row to the start of the next.
        stride: usize,
    },
    /// The pixels end before the last row does.
    TooShort {
        /// How many bytes width, height and stride call for; `usize::MAX` where that number overflows.
        needed: usize,
        /// How many bytes the caller gave.
        found: usize,
    },
}

impl fmt::Display for PictureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPicture => write!(f, "no picture (JPEG, PNG, WebP, GIF, BMP or TIFF)"),
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
