//! Where in a picture an input lies: the way back from what a network computes to the picture's own pixels.
//!
//! Positions are distances from the top left corner, so that the middle of the first pixel is at 0.5. Resizing maps corners
//! to corners, and with them every other point in proportion:
//!
//! ```text
//! input u  -- + where the crop begins -->  resized u'  -- * (source / resized) -->  source  -- + margin -->  picture
//! ```
//!
//! TensorFlow 1 maps the middle of the first pixel to the middle of the first pixel instead, which is a shift of half the
//! difference of a pixel's sizes.

use super::{Geometry, Rule, check};
use crate::Result;
use crate::error::PictureError;

/// The part of a picture that an input shows, in pixels of the picture. `x` and `y` are where the input's top left corner
/// lies; they may be a little below 0 under TensorFlow's rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// The distance of the left edge from the picture's.
    pub x: f64,
    /// The distance of the upper edge from the picture's.
    pub y: f64,
    /// How many of the picture's columns the input shows.
    pub width: f64,
    /// How many of the picture's rows the input shows.
    pub height: f64,
    /// The side of the input, in its own pixels.
    pub side: usize,
}

impl Rule {
    /// The part of a picture of `width` by `height` pixels that [`prepare`](super::prepare) makes an input of `side` by
    /// `side` pixels of.
    ///
    /// # Errors
    /// [`PictureError::Empty`] where the picture has no pixels, and the errors of [`prepare`](super::prepare) about the rule.
    ///
    /// ```
    /// use googlenet::image::Preset;
    ///
    /// // 512x256 pixels already have the short side 256; the middle 224 are the input.
    /// let window = Preset::ShortSide.rule(224).window(512, 256, 224)?;
    /// assert_eq!((window.x, window.y, window.width, window.height), (144.0, 16.0, 224.0, 224.0));
    /// assert_eq!(window.point([112.0, 0.0]), [256.0, 16.0]);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn window(&self, width: usize, height: usize, side: usize) -> Result<Window> {
        check(self, side)?;
        if width == 0 || height == 0 {
            return Err(PictureError::Empty { width, height }.into());
        }
        let geometry = self.geometry;
        let [left, top] = geometry.margins(width, height);
        let source = [width - 2 * left, height - 2 * top];
        let (columns, rows) = geometry.resized(source, self.resize);
        let axis = |margin: usize, source: usize, resized: usize| {
            let scale = source as f64 / resized as f64;
            let shift = if geometry == Geometry::TfSlim { 0.5 * (1.0 - scale) } else { 0.0 };
            let first = geometry.middle(resized, side) as f64 * scale + margin as f64 + shift;
            (first, side as f64 * scale)
        };
        let ((x, width), (y, height)) = (axis(left, source[0], columns), axis(top, source[1], rows));
        Ok(Window { x, y, width, height, side })
    }
}

impl Window {
    /// Where the point `[x, y]` of the input lies in the picture.
    pub fn point(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let side = self.side as f64;
        [self.x + x / side * self.width, self.y + y / side * self.height]
    }

    /// Which point `[x, y]` of the input shows the point of the picture that is given; it may lie outside of the input.
    ///
    /// ```
    /// use googlenet::image::Preset;
    ///
    /// let window = Preset::Bvlc.rule(224).window(640, 480, 224)?;
    /// let [x, y] = window.input_point(window.point([30.5, 62.5]));
    /// assert!((x - 30.5).abs() < 1e-9 && (y - 62.5).abs() < 1e-9);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn input_point(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let side = self.side as f64;
        [(x - self.x) / self.width * side, (y - self.y) / self.height * side]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Preset, Rgb8, prepare};

    /// A picture in which a pixel's red says its column and its green its row is prepared by each rule; what an input's pixel
    /// shows is then known.
    #[test]
    fn a_point_of_the_input_is_where_the_window_says() {
        for (width, height) in [(250, 180), (120, 255), (64, 64), (201, 201)] {
            let pixels: Vec<u8> =
                (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8, y as u8, 0])).collect();
            let picture = Rgb8::new(width, height, 3 * width, &pixels).expect("a picture");
            for (preset, side) in Preset::ALL.into_iter().flat_map(|preset| [48, 64].map(|side| (preset, side))) {
                let rule = Rule { mean: [0.0; 3], std: [1.0; 3], ..preset.rule(side) };
                let mut input = vec![0.0; 3 * side * side];
                prepare(picture, &rule, side, &mut input).expect("prepared");
                let window = rule.window(width, height, side).expect("a window");
                let red = if rule.channels == crate::image::Channels::Rgb { 0 } else { 2 };
                // At the edges filters see less than they would.
                for (x, y) in (8..side - 8).step_by(7).flat_map(|x| (8..side - 8).step_by(7).map(move |y| (x, y))) {
                    let shown = [red, 1].map(|plane| f64::from(input[(plane * side + y) * side + x]) + 0.5);
                    let point = window.point([x as f64 + 0.5, y as f64 + 0.5]);
                    // Values are rounded to bytes, twice, and OpenCV's shares to 11 bits.
                    let far = (0..2).map(|axis| (shown[axis] - point[axis]).abs()).fold(0.0, f64::max);
                    assert!(far < 1.01, "{preset:?} {width}x{height} to {side} at {x}, {y}: {shown:?} {point:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_shows_no_part_of_a_picture_without_pixels() {
        assert!(Preset::Bvlc.rule(64).window(0, 5, 64).is_err());
        assert!(Preset::Bvlc.rule(64).window(5, 5, 0).is_err());
    }
}
