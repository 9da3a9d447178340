//! From a picture to the network's input: resize, crop, reorder, normalise.
//!
//! ```text
//! bytes --decode--> RGB8 [h, w, 3] --resize--> RGB [side, side, 3] --normalise--> f32 [3, side, side]
//! ```
//!
//! A [`Rule`] says how this is done, and a [`Preset`] is the rule of some weights' authors. A preset resamples as the
//! library that they used, bit for bit, because accuracies are measured with it: Pillow, OpenCV or TensorFlow 1. (Of
//! pictures taller than wide Pillow 13 makes some pixels one level off ours, see `resize.rs`.) Decoding needs the
//! feature `decode`: a caller who has pixels already needs no decoder.
//!
//! `decode` and `open` turn a picture upright as its orientation tag says. The programs whose accuracies presets repeat
//! left it as it is stored (Pillow and TensorFlow do, unless told otherwise): `decode_as_stored` and `open_as_stored` do, too.
//! Colour profiles are ignored.

use std::fmt;

use crate::Result;
use crate::error::{PictureError, PrepareError};

mod axis;
mod crops;
#[cfg(feature = "decode")]
mod decode;
#[cfg(feature = "decode")]
mod jpeg;
mod normalise;
mod opencv;
mod resize;
mod rule;
mod tensorflow;
#[cfg(test)]
mod tests;
mod window;

pub use crate::model::Channels;
pub use crops::{Crops, Cuts};
#[cfg(feature = "decode")]
pub use decode::{Decoded, decode, decode_as_stored, open, open_as_stored};
pub use rule::{Geometry, Preset, Rule};
pub use window::Window;

use axis::Axis;
use rule::Pixels;

/// A borrowed picture: `height` rows of `width` RGB pixels, one byte for each channel, rows `stride` bytes apart.
#[derive(Clone, Copy)]
pub struct Rgb8<'a> {
    width: usize,
    height: usize,
    stride: usize,
    data: &'a [u8],
}

impl<'a> Rgb8<'a> {
    /// Wraps `data`; the padding after the last row may be missing.
    ///
    /// # Errors
    ///
    /// [`PictureError::Empty`] where a side is 0, [`PictureError::Stride`] where a row does not fit its stride,
    /// [`PictureError::TooShort`] where `data` ends before the last pixel.
    ///
    /// ```
    /// use googlenet::{Error, error::PictureError, image::Rgb8};
    ///
    /// let pixels = [0; 2 * 12]; // two rows of three pixels, each padded to 12 bytes
    /// assert_eq!(Rgb8::new(3, 2, 12, &pixels)?.width(), 3);
    /// let refused = Rgb8::new(3, 3, 12, &pixels);
    /// assert!(matches!(refused, Err(Error::Picture(PictureError::TooShort { needed: 33, found: 24 }))));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn new(width: usize, height: usize, stride: usize, data: &'a [u8]) -> Result<Self> {
        if width == 0 || height == 0 {
            return Err(PictureError::Empty { width, height }.into());
        }
        let row_bytes = width.checked_mul(3).filter(|&bytes| bytes <= stride);
        let row_bytes = row_bytes.ok_or(PictureError::Stride { width, stride })?;
        let needed = (height - 1).checked_mul(stride).and_then(|bytes| bytes.checked_add(row_bytes));
        match needed {
            Some(needed) if needed <= data.len() => Ok(Self { width, height, stride, data }),
            _ => Err(PictureError::TooShort { needed: needed.unwrap_or(usize::MAX), found: data.len() }.into()),
        }
    }

    /// The number of pixels in a row, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The number of rows, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width and height.
    fn size(&self) -> [usize; 2] {
        [self.width, self.height]
    }

    /// The part of `width` and `height` whose first pixel is at `x`, `y`; all of it must lie inside the picture.
    fn window(self, x: usize, y: usize, width: usize, height: usize) -> Self {
        debug_assert!(x + width <= self.width && y + height <= self.height);
        Self { width, height, stride: self.stride, data: &self.data[y * self.stride + 3 * x..] }
    }

    /// Row `iy` without its padding, `3 * width` bytes.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, iy: usize) -> &'a [u8] {
        &self.data[iy * self.stride..][..3 * self.width]
    }
}

impl fmt::Debug for Rgb8<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rgb8({}x{}, stride {})", self.width, self.height, self.stride)
    }
}

/// Writes the network's input for `image` into `out`, `[3, side, side]`.
///
/// Only the pixels that reach the crop are resampled: whatever the picture's shape, memory is needed for the crop's
/// `side * side * 3` bytes and for `side * 3` bytes of each source row under one output pixel.
///
/// # Errors
///
/// [`PrepareError::InputLength`] where `out` does not hold exactly `3 * side * side` values, and
/// [`PrepareError::Crop`] or [`PrepareError::Normalisation`] where `rule` makes no sense.
///
/// ```
/// use googlenet::image::{Preset, Rgb8, prepare};
///
/// let grey = vec![128; 640 * 480 * 3];
/// let image = Rgb8::new(640, 480, 640 * 3, &grey)?;
/// let mut input = vec![0.0; 3 * 224 * 224];
/// prepare(image, &Preset::ShortSide.rule(224), 224, &mut input)?;
/// assert_eq!(input[0], 24.0);
/// # Ok::<(), googlenet::Error>(())
/// ```
pub fn prepare(image: Rgb8<'_>, rule: &Rule, side: usize, out: &mut [f32]) -> Result<()> {
    let expected = side.checked_mul(side).and_then(|area| area.checked_mul(3)).unwrap_or(usize::MAX);
    if out.len() != expected {
        return Err(PrepareError::InputLength { expected, found: out.len() }.into());
    }
    check(rule, side)?;
    normalise::pixels_to_planes(&middle(image, rule, side), rule, out);
    Ok(())
}

/// The middle `side` x `side` pixels of `image`, resized as `rule` says; no other pixels are computed.
fn middle(image: Rgb8<'_>, rule: &Rule, side: usize) -> Pixels {
    let source = rule.geometry.source(image);
    let (width, height) = rule.geometry.resized(source.size(), rule.resize);
    let axis = |in_len, len| {
        let first = rule.geometry.middle(len, side);
        Axis::part(in_len, len, first..first + side)
    };
    rule.geometry.resample(source, &axis(source.width, width), &axis(source.height, height))
}

/// Checks that `rule` makes sense for an input of `side`.
fn check(rule: &Rule, side: usize) -> Result<()> {
    if side == 0 || rule.resize < side {
        return Err(PrepareError::Crop { side, resize: rule.resize }.into());
    }
    for (&mean, &std) in rule.mean.iter().zip(&rule.std) {
        if !mean.is_finite() || !std.is_finite() || std == 0.0 {
            return Err(PrepareError::Normalisation { mean, std }.into());
        }
    }
    Ok(())
}
