//! From a picture to a network's input: resize, crop, order the channels, subtract the mean, divide.
//!
//! The short side is resized to `Rule::resize` pixels, the centre square of the network's side is cut out. Only what
//! the square needs is computed, so a picture of 50,000 by 1 pixels costs no more than any other.

#[cfg(feature = "cli")]
pub mod decode;
mod resize;

use crate::{Error, Result};

/// Order of the colours in a network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, as OpenCV and Caffe have them.
    Bgr,
}

/// How a picture becomes input: `(value - mean) / std` of values 0 to 255, in the order of `channels`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Order of the colours.
    pub channels: Channels,
    /// Subtracted, by channel.
    pub mean: [f32; 3],
    /// Divided by, by channel; positive.
    pub std: [f32; 3],
    /// The short side before the crop, in pixels; at least the network's side, or the crop is enlarged to it.
    pub resize: usize,
}

/// A picture of 8-bit red, green and blue, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Rgb8<'a> {
    width: usize,
    height: usize,
    stride: usize,
    data: &'a [u8],
}

/// The largest width and height, in pixels.
pub const MAX_PIXELS: usize = 65_536;

impl<'a> Rgb8<'a> {
    /// A picture whose row `y` begins at `data[y * stride]`, 3 bytes a pixel.
    ///
    /// # Errors
    /// If a side is 0 or above 65,536, rows overlap, or `data` is too short.
    pub fn new(width: usize, height: usize, stride: usize, data: &'a [u8]) -> Result<Self> {
        let sides = 1..=MAX_PIXELS;
        if !sides.contains(&width) || !sides.contains(&height) {
            return Err(Error::Picture { problem: format!("{width} by {height} pixels") });
        }
        let needed = (height - 1).checked_mul(stride).and_then(|rows| rows.checked_add(3 * width));
        if stride < 3 * width || needed.is_none_or(|needed| needed > data.len()) {
            let problem = format!("{} bytes for {width} by {height} pixels at a stride of {stride}", data.len());
            return Err(Error::Picture { problem });
        }
        Ok(Self { width, height, stride, data })
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    fn row(&self, y: usize) -> &'a [u8] {
        &self.data[y * self.stride..][..3 * self.width]
    }
}

/// Prepares `picture` by `rule` for a network of `side` by `side` pixels: `out` is `[3, side, side]`.
///
/// # Errors
/// If `side` is larger than the resized picture's short side.
///
/// # Panics
/// If `out` is not of `3 * side * side` elements.
pub fn prepare(picture: Rgb8<'_>, rule: &Rule, side: usize, out: &mut [f32]) -> Result<()> {
    assert_eq!(out.len(), 3 * side * side, "input length");
    let resize = rule.resize.max(side);
    let square = resize::resized_centre(&picture, resize, side);
    for (channel, out) in out.chunks_exact_mut(side * side).enumerate() {
        let colour = match rule.channels {
            Channels::Rgb => channel,
            Channels::Bgr => 2 - channel,
        };
        for (out, pixel) in out.iter_mut().zip(square.chunks_exact(3)) {
            *out = (f32::from(pixel[colour]) - rule.mean[channel]) / rule.std[channel];
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_mean_and_scale_follow_the_rule() {
        let data: Vec<u8> = (0..4).flat_map(|i| [10 * i, 100, 200]).collect();
        let picture = Rgb8::new(2, 2, 6, &data).expect("fits");
        let mut out = [0.0; 12];
        let mut rule = Rule { channels: Channels::Rgb, mean: [1.0, 2.0, 3.0], std: [1.0, 2.0, 4.0], resize: 2 };
        prepare(picture, &rule, 2, &mut out).expect("prepared");
        assert_eq!(out[..4], [-1.0, 9.0, 19.0, 29.0]);
        assert_eq!((out[4], out[8]), (49.0, 49.25));
        rule.channels = Channels::Bgr;
        prepare(picture, &rule, 2, &mut out).expect("prepared");
        assert_eq!((out[0], out[8]), (199.0, -0.75));
    }

    #[test]
    fn pictures_that_cannot_be_are_refused() {
        for (width, height, stride, len) in [
            (0, 1, 3, 9),
            (1, 0, 3, 9),
            (2, 2, 5, 99),
            (2, 2, 6, 11),
            (1, usize::MAX, 3, 9),
            (70_000, 1, 210_000, 210_000),
        ] {
            assert!(Rgb8::new(width, height, stride, &vec![0; len]).is_err(), "{width}x{height}/{stride}");
        }
    }
}
