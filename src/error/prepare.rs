//! Errors of turning a picture into the network's input: of the crop, the normalisation, and the slice to fill.

use std::fmt;

/// What was asked of a picture, or of the slice that it is to fill, and is impossible.
#[derive(Debug)]
#[non_exhaustive]
pub enum PrepareError {
    /// The slice for the network's input is not `3 * side * side` long.
    InputLength {
        /// How many values the crop has.
        expected: usize,
        /// How many values the slice has room for.
        found: usize,
    },
    /// The crop is empty, or larger than the resized short side.
    Crop {
        /// The crop's side in pixels.
        side: usize,
        /// The resized short side in pixels.
        resize: usize,
    },
    /// A mean or deviation is not finite, or a deviation is 0.
    Normalisation {
        /// The channel's mean.
        mean: f32,
        /// The channel's deviation.
        std: f32,
    },
}

impl fmt::Display for PrepareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InputLength { expected, found } => write!(f, "input needs {expected} values, found {found}"),
            Self::Crop { side, resize } => {
                write!(f, "crop of side {side} cannot be cut from a short side of {resize} pixels")
            }
            Self::Normalisation { mean, std } => write!(f, "cannot normalise by mean {mean} and deviation {std}"),
        }
    }
}

impl std::error::Error for PrepareError {}
