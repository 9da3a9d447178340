//! Picture files: JPEG and PNG, by the `image` crate, to 8-bit red, green and blue.
//!
//! Grey is copied to all three colours, alpha is dropped, 16 bits are cut to 8, CMYK is converted by the decoder.

use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, ImageReader, Limits};

use super::{MAX_PIXELS, Rgb8};
use crate::{Error, Result};

/// The most memory that decoding may take, in bytes.
const MAX_ALLOCATION: u64 = 512 << 20;

/// A decoded picture.
pub struct Picture {
    pixels: image::RgbImage,
}

impl Picture {
    /// The picture, borrowed.
    ///
    /// # Errors
    /// If a side is 0.
    pub fn view(&self) -> Result<Rgb8<'_>> {
        let (width, height) = (self.pixels.width() as usize, self.pixels.height() as usize);
        Rgb8::new(width, height, 3 * width, self.pixels.as_raw())
    }
}

/// Reads and decodes the picture at `path`.
///
/// # Errors
/// If it cannot be read or is no usable picture.
pub fn open(path: impl AsRef<Path>) -> Result<Picture> {
    let path = path.as_ref();
    decode(&std::fs::read(path).map_err(|source| Error::Io { path: path.into(), source })?)
}

/// Decodes a picture.
///
/// # Errors
/// If `bytes` are neither JPEG nor PNG, are damaged, or would take more than 65,536 pixels a side or 512 MiB.
pub fn decode(bytes: &[u8]) -> Result<Picture> {
    let fail = |problem: String| Error::Picture { problem };
    let format = image::guess_format(bytes).ok().filter(|f| matches!(f, ImageFormat::Jpeg | ImageFormat::Png));
    let format = format.ok_or_else(|| fail("neither JPEG nor PNG".into()))?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOCATION);
    limits.max_image_width = Some(MAX_PIXELS as u32);
    limits.max_image_height = Some(MAX_PIXELS as u32);
    reader.limits(limits);
    let picture = reader.decode().map_err(|error| fail(error.to_string()))?;
    Ok(Picture { pixels: picture.into_rgb8() })
}
