//! JPEG and PNG to RGB8, by the `image` crate.
//!
//! Whatever the file holds becomes three bytes a pixel, as Pillow's `convert("RGB")` does it: grey is repeated,
//! alpha is dropped (not blended), palettes are looked up, CMYK goes through the decoder. Of 16-bit channels the
//! high byte stays. A picture that is cut off is refused rather than filled with grey.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ::image::{DynamicImage, ImageError as DecoderError, ImageFormat, ImageReader, Limits};

use super::Rgb8;
use crate::error::PictureError;
use crate::{Result, file};

/// A decoded picture: rows of RGB8 without gaps. This type needs the feature `decode`.
#[derive(Clone)]
pub struct Decoded {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl Decoded {
    /// The pixels, as [`prepare`](super::prepare) takes them.
    pub fn view(&self) -> Rgb8<'_> {
        Rgb8::new(self.width, self.height, 3 * self.width, &self.data).expect("the decoder filled every row")
    }
}

impl std::fmt::Debug for Decoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decoded({}x{})", self.width, self.height)
    }
}

/// Decodes a JPEG or PNG file of at most 65535 pixels a side and 512 MiB of pixels, both as the file stores them and as
/// RGB8; of a progressive JPEG, whose coefficients are all in memory at once, these may take another 512 MiB.
///
/// This function needs the feature `decode`.
///
/// # Errors
///
/// [`PictureError::NotAPicture`], [`PictureError::Truncated`], [`PictureError::TooLarge`], or [`PictureError::Damaged`]
/// for whatever else the decoder refuses, or panics over.
///
/// ```
/// use googlenet::{Error, error::PictureError, image};
///
/// let photograph = image::decode(&std::fs::read("weights/chelsea.png")?)?;
/// assert_eq!((photograph.view().width(), photograph.view().height()), (451, 300));
/// assert!(matches!(image::decode(b"GIF89a"), Err(Error::Picture(PictureError::NotAPicture))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn decode(bytes: &[u8]) -> Result<Decoded> {
    let format = match bytes {
        [0xff, 0xd8, 0xff, ..] => ImageFormat::Jpeg,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => ImageFormat::Png,
        _ => return Err(PictureError::NotAPicture.into()),
    };
    // The JPEG decoder fills the missing rest of a picture with grey and reports no error.
    if format == ImageFormat::Jpeg && !jpeg_has_end(bytes) {
        return Err(PictureError::Truncated { length: bytes.len() }.into());
    }
    let picture = contained(|| pixels(bytes, format))?;
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    if width == 0 || height == 0 {
        return Err(PictureError::Empty { width, height }.into());
    }
    Ok(Decoded { width, height, data: to_rgb8(picture) })
}

/// What `decoder` makes, or an error if it panics: a picture that a decoder of another crate has a fault for is a damaged
/// picture, and not the end of whoever looks at many.
fn contained<T>(decoder: impl FnOnce() -> Result<T>) -> Result<T> {
    // What the decoder was making is dropped, and nothing else saw it.
    catch_unwind(AssertUnwindSafe(decoder)).unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no text");
        Err(PictureError::Damaged { source: format!("the decoder panicked: {said}").into() }.into())
    })
}

/// Decodes `bytes`, a picture of that format, unless it would take more memory than a picture may.
fn pixels(bytes: &[u8], format: ImageFormat) -> Result<DynamicImage> {
    let reader = || {
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_SIDE);
        limits.max_image_height = Some(MAX_SIDE);
        limits.max_alloc = Some(MAX_BYTES);
        reader.limits(limits);
        reader
    };
    let failed = |error| match error {
        DecoderError::Limits(_) => PictureError::TooLarge { source: error.into() },
        DecoderError::IoError(ref io) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
            PictureError::Truncated { length: bytes.len() }
        }
        error => PictureError::Damaged { source: error.into() },
    };
    // The decoder's limit is for pixels as the file stores them; as RGB8, a grey picture takes three times as many
    // bytes.
    let (width, height) = reader().into_dimensions().map_err(failed)?;
    if 3 * u64::from(width) * u64::from(height) > MAX_BYTES {
        let source = format!("{width}x{height} pixels take more than {MAX_BYTES} bytes");
        return Err(PictureError::TooLarge { source: source.into() }.into());
    }
    // Nor is it for coefficients, of which the decoder has all at once if each scan of the file refines them.
    if format == ImageFormat::Jpeg
        && let Some(components) = progressive_components(bytes)
    {
        // 16 bits each, and sides padded to whole units, which are at most 4 blocks of 8 pixels long.
        let [width, height] = [width, height].map(|side| u64::from(side).next_multiple_of(32));
        if 2 * width * height * components > MAX_BYTES {
            let source = format!("coefficients of {width}x{height} pixels take more than {MAX_BYTES} bytes");
            return Err(PictureError::TooLarge { source: source.into() }.into());
        }
    }
    Ok(reader().decode().map_err(failed)?)
}

/// Reads and decodes a file; see [`decode`]. This function needs the feature `decode`.
///
/// # Errors
///
/// An error of [`file::read`] where the file cannot be read or is longer than 512 MiB, or one of [`decode`].
///
/// ```
/// let photograph = googlenet::image::open("weights/chelsea.png")?;
/// assert_eq!(photograph.view().height(), 300);
/// # Ok::<(), googlenet::Error>(())
/// ```
pub fn open(path: impl AsRef<Path>) -> Result<Decoded> {
    decode(&file::read(path, MAX_BYTES)?)
}

/// The picture as three bytes a pixel, converted as Pillow does it. The conversions of the `image` crate blend alpha in
/// and round 16 bits instead.
fn to_rgb8(picture: DynamicImage) -> Vec<u8> {
    let high = |v: u16| (v >> 8) as u8;
    match picture {
        DynamicImage::ImageRgb8(p) => p.into_raw(),
        DynamicImage::ImageLuma8(p) => p.as_raw().iter().flat_map(|&l| [l; 3]).collect(),
        DynamicImage::ImageLumaA8(p) => p.as_raw().as_chunks::<2>().0.iter().flat_map(|&[l, _]| [l; 3]).collect(),
        DynamicImage::ImageRgba8(p) => {
            p.as_raw().as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect()
        }
        DynamicImage::ImageLuma16(p) => p.as_raw().iter().flat_map(|&l| [high(l); 3]).collect(),
        DynamicImage::ImageLumaA16(p) => {
            p.as_raw().as_chunks::<2>().0.iter().flat_map(|&[l, _]| [high(l); 3]).collect()
        }
        DynamicImage::ImageRgb16(p) => p.as_raw().iter().map(|&v| high(v)).collect(),
        DynamicImage::ImageRgba16(p) => {
            p.as_raw().as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b].map(high)).collect()
        }
        other => other.into_rgb8().into_raw(), // only pictures of floats are left, which neither format can hold
    }
}

/// Whether an end marker follows the first scan (ITU-T T.81, annex B).
///
/// Segments are stepped over by their lengths, so the end marker of a thumbnail does not count. Inside a scan `ff 00`
/// is data and `ff d0`..`ff d7` are restarts.
fn jpeg_has_end(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // Step to the next marker; between segments there are only fill bytes to step over.
        while let Some(&[a, b]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            if a == 0xff && !matches!(b, 0x00 | 0x01 | 0xd0..=0xd7 | 0xff) {
                break;
            }
            at += 1;
        }
        match bytes.get(at + 1) {
            None => return false,
            Some(0xd9) => return true,
            Some(_) => {
                let Some(length) = bytes.get(at + 2..at + 4) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
            }
        }
    }
}

/// The number of components, 1 to 4, of a JPEG file that is progressive (ITU-T T.81, B.2.2).
///
/// Whatever looks like the head of a progressive frame is taken for one: a decoder that steps through the file in another
/// way than this crate cannot find one that was not seen here. Compressed data never look so, as `ff` is followed by zero
/// there.
fn progressive_components(bytes: &[u8]) -> Option<u64> {
    // ff c2, length: 2 bytes, precision: 1, height: 2, width: 2, number of components: 1
    let heads = bytes.windows(10).filter(|head| head[..2] == [0xff, 0xc2]);
    heads.map(|head| u64::from(head[9]).clamp(1, 4)).max()
}

/// The most pixels on a side.
const MAX_SIDE: u32 = 65535;
/// The most bytes of a file, and the most bytes of its decoded pixels.
const MAX_BYTES: u64 = 512 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn a_panic_of_a_decoder_is_a_damaged_picture() {
        let error = contained::<()>(|| panic!("index {} of {}", 9, 7)).expect_err("it panics");
        let Error::Picture(PictureError::Damaged { source }) = error else { panic!("{error}") };
        assert_eq!(source.to_string(), "the decoder panicked: index 9 of 7");
        assert_eq!(contained(|| Ok(7)).expect("no panic"), 7);
    }

    /// The headers of a JPEG file without data, of three components.
    fn headers(frame: u8, side: u16) -> Vec<u8> {
        let [high, low] = side.to_be_bytes();
        let mut bytes = vec![0xff, 0xd8, 0xff, frame, 0, 17, 8, high, low, high, low, 3];
        bytes.extend([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]);
        bytes.extend([0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0, 0xff, 0xd9]);
        bytes
    }

    #[test]
    fn coefficients_of_progressive_pictures_count() {
        // 13,000 x 13,000 pixels take 507 MB as RGB8, and 1,014 MB as coefficients.
        let refused = decode(&headers(0xc2, 13_000)).expect_err("too large");
        assert!(matches!(refused, Error::Picture(PictureError::TooLarge { .. })), "{refused:?}");
        // The same picture without progression fails for its missing tables or data.
        let damaged = decode(&headers(0xc0, 13)).expect_err("no data");
        assert!(!matches!(damaged, Error::Picture(PictureError::TooLarge { .. })), "{damaged:?}");
        assert_eq!([0xc0, 0xc2].map(|frame| progressive_components(&headers(frame, 9))), [None, Some(3)]);
    }
}
