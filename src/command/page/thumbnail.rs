//! Small pictures for pages.

use std::path::Path;

use ::image::ExtendedColorType;
use ::image::codecs::jpeg::JpegEncoder;

use crate::image::{self, Channels, Geometry, Rgb8, Rule};

/// The side of a small picture, in pixels.
pub const SIDE: u32 = 112;

/// The middle of the picture in the file `path`, small, as a JPEG file; none if it cannot be read.
pub fn of(path: &Path) -> Option<Vec<u8>> {
    of_picture(image::open(path).ok()?.view())
}

/// The middle of `picture`, small, as a JPEG file; none if it is too large.
pub fn of_picture(picture: Rgb8<'_>) -> Option<Vec<u8>> {
    let (geometry, side) = (Geometry::ShortSide, SIDE as usize);
    let rule = Rule { geometry, channels: Channels::Rgb, mean: [0.0; 3], std: [1.0; 3], resize: side };
    let mut planes = vec![0.0; 3 * side * side];
    image::prepare(picture, &rule, side, &mut planes).ok()?;
    let pixel = |at: usize| [0, 1, 2].map(|plane| planes[plane * side * side + at] as u8);
    let pixels: Vec<u8> = (0..side * side).flat_map(pixel).collect();
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 80).encode(&pixels, SIDE, SIDE, ExtendedColorType::Rgb8).ok()?;
    Some(jpeg)
}
