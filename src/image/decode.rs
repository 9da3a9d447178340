//! JPEG, PNG, WebP, GIF, BMP and TIFF to RGB8, by the `image` crate.
//!
//! Whatever the file holds becomes three bytes a pixel, as Pillow's `convert("RGB")` does it: grey is repeated,
//! alpha is dropped (not blended), palettes are looked up, CMYK goes through the decoder. Of 16-bit channels the
//! high byte stays. Of pictures that move the first is taken. A picture that is cut off is refused rather than filled with
//! grey, but for a JPEG whose end marker alone is missing.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageDecoder, ImageError as DecoderError, ImageFormat, ImageReader, Limits, RgbImage};
use xxhash_rust::xxh3::xxh3_128;

use super::{Rgb8, jpeg};
use crate::error::PictureError;
use crate::{Result, file};

/// A decoded picture: rows of RGB8 without gaps. This type needs the feature `decode`.
#[derive(Clone)]
pub struct Decoded {
    width: usize,
    height: usize,
    data: Vec<u8>,
    is_whole: bool,
}

impl Decoded {
    /// The pixels, as [`prepare`](super::prepare) takes them.
    pub fn view(&self) -> Rgb8<'_> {
        Rgb8::new(self.width, self.height, 3 * self.width, &self.data).expect("the decoder filled every row")
    }

    /// Whether the file went on to its end. A JPEG file that lacks its last two bytes, the end marker, and nothing else has all
    /// of its pixels, and is decoded; but whoever copied it may have lost more than that.
    ///
    /// ```
    /// assert!(googlenet::image::open("weights/chelsea.png")?.is_whole());
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }
}

impl std::fmt::Debug for Decoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decoded({}x{})", self.width, self.height)
    }
}

/// Decodes a JPEG, PNG, WebP, GIF, BMP or TIFF file of at most 65535 pixels a side and 512 MiB of pixels, both as the file
/// stores them and as RGB8; of a progressive JPEG, whose coefficients are all in memory at once, these may take another 512 MiB.
///
/// The picture is turned upright as its EXIF orientation says (of a TIFF, its tag): a camera that was held sideways stores a
/// picture that lies on its side, and says so. [`decode_as_stored`] leaves it lying, as the programs did whose accuracies
/// presets repeat.
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
/// assert!(matches!(image::decode(b"%PDF-1.7"), Err(Error::Picture(PictureError::NotAPicture))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn decode(bytes: &[u8]) -> Result<Decoded> {
    decode_turned(bytes, true)
}

/// Decodes a file as [`decode`] does, but takes the pixels as they are stored: the EXIF orientation is ignored.
///
/// Pillow and TensorFlow 1 ignore it, and so do accuracies that were measured with them; so did OpenCV before 3.1.
///
/// This function needs the feature `decode`.
///
/// # Errors
///
/// As of [`decode`].
///
/// ```
/// use googlenet::image;
///
/// let bytes = std::fs::read("weights/chelsea.png")?; // has no orientation
/// let [stored, turned] = [image::decode_as_stored(&bytes)?, image::decode(&bytes)?];
/// assert_eq!(stored.view().width(), turned.view().width());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn decode_as_stored(bytes: &[u8]) -> Result<Decoded> {
    decode_turned(bytes, false)
}

fn decode_turned(bytes: &[u8], is_turned: bool) -> Result<Decoded> {
    let format = match bytes {
        [0xff, 0xd8, 0xff, ..] => ImageFormat::Jpeg,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => ImageFormat::Png,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => ImageFormat::WebP,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => ImageFormat::Gif,
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => ImageFormat::Tiff,
        // Two letters are little to go by; the four bytes after the file's length are zero.
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => ImageFormat::Bmp,
        _ => return Err(PictureError::NotAPicture.into()),
    };
    let decoded = |bytes: &[u8]| contained(|| pixels(bytes, format));
    // The JPEG decoder fills the missing rest of a picture with grey and reports no error.
    let is_whole = format != ImageFormat::Jpeg || jpeg::has_end(bytes);
    let (picture, orientation) = match is_whole {
        true => decoded(bytes)?,
        false => without_end(bytes, decoded)?,
    };
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    if width == 0 || height == 0 {
        return Err(PictureError::Empty { width, height }.into());
    }
    let data = to_rgb8(picture);
    if !is_turned || orientation == Orientation::NoTransforms {
        return Ok(Decoded { width, height, data, is_whole });
    }
    let stored = RgbImage::from_raw(width as u32, height as u32, data).expect("three bytes a pixel");
    let mut turned = DynamicImage::ImageRgb8(stored);
    turned.apply_orientation(orientation);
    let (width, height) = (turned.width() as usize, turned.height() as usize);
    Ok(Decoded { width, height, data: turned.into_bytes(), is_whole })
}

/// What `decoded` makes of `bytes`, a JPEG without its end marker, if nothing else is missing.
///
/// If any of the picture's last scan were missing, what follows the bytes that are there would show: the decoder would read on
/// in it. So the picture is complete if it is the same whatever follows.
fn without_end<T>(bytes: &[u8], decoded: impl Fn(&[u8]) -> Result<(DynamicImage, T)>) -> Result<(DynamicImage, T)> {
    let truncated = || PictureError::Truncated { length: bytes.len() };
    // The first byte of the marker may be there.
    let scans = bytes.strip_suffix(&[0xff]).unwrap_or(bytes);
    if !jpeg::has_all_scans(scans) {
        return Err(truncated().into());
    }
    let followed_by = |rest: [u8; 64]| decoded(&[scans, &rest[..], &[0xff, 0xd9]].concat());
    let hash = |picture: &DynamicImage| xxh3_128(picture.as_bytes());
    let (picture, other) = decoded(&[scans, &[0xff, 0xd9]].concat())?;
    for rest in [[0x00; 64], [0x55; 64], [0xaa; 64], [0xfe; 64]] {
        match followed_by(rest) {
            Ok((same, _)) if hash(&same) == hash(&picture) => {}
            _ => return Err(truncated().into()),
        }
    }
    Ok((picture, other))
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

/// Decodes `bytes`, a picture of that format, unless it would take more memory than a picture may. Returns how it is to be
/// turned, too.
fn pixels(bytes: &[u8], format: ImageFormat) -> Result<(DynamicImage, Orientation)> {
    let limits = |bytes: u64| {
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_SIDE);
        limits.max_image_height = Some(MAX_SIDE);
        limits.max_alloc = Some(bytes);
        limits
    };
    let failed = |error| match error {
        DecoderError::Limits(_) => PictureError::TooLarge { source: error.into() },
        DecoderError::IoError(ref io) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
            PictureError::Truncated { length: bytes.len() }
        }
        error => PictureError::Damaged { source: error.into() },
    };
    let too_large = |what: &str, width: u64, height: u64| {
        let source = format!("{what}{width}x{height} pixels take more than {MAX_BYTES} bytes");
        PictureError::TooLarge { source: source.into() }
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits(MAX_BYTES));
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (u64::from(width), u64::from(height));
    // As the file stores them, and as RGB8: a grey picture takes three times as many bytes then.
    let stored = decoder.total_bytes();
    if stored.max(3 * width * height) > MAX_BYTES {
        return Err(too_large("", width, height).into());
    }
    decoder.set_limits(limits(MAX_BYTES - stored)).map_err(failed)?;
    // Coefficients count in no limit of the decoder's, which has all of them at once if each scan of the file refines them.
    if format == ImageFormat::Jpeg
        && let Some(components) = jpeg::progressive_components(bytes)
    {
        // 16 bits each, and sides padded to whole units, which are at most 4 blocks of 8 pixels long.
        let [width, height] = [width, height].map(|side| side.next_multiple_of(32));
        if 2 * width * height * components > MAX_BYTES {
            return Err(too_large("coefficients of ", width, height).into());
        }
    }
    // A damaged tag turns nothing.
    let orientation = match format {
        ImageFormat::Tiff => decoder.orientation().ok(),
        _ => decoder.exif_metadata().ok().flatten().and_then(|exif| {
            // Some programs write the name that JPEG has before it into WebP files, too.
            Orientation::from_exif_chunk(exif.strip_prefix(b"Exif\0\0").unwrap_or(&exif))
        }),
    };
    let picture = DynamicImage::from_decoder(decoder).map_err(failed)?;
    Ok((picture, orientation.unwrap_or(Orientation::NoTransforms)))
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

/// Reads and decodes a file as [`decode_as_stored`] does. This function needs the feature `decode`.
///
/// # Errors
///
/// As of [`open`].
///
/// ```
/// let photograph = googlenet::image::open_as_stored("weights/chelsea.png")?;
/// assert_eq!(photograph.view().height(), 300);
/// # Ok::<(), googlenet::Error>(())
/// ```
pub fn open_as_stored(path: impl AsRef<Path>) -> Result<Decoded> {
    decode_as_stored(&file::read(path, MAX_BYTES)?)
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
        other => other.into_rgb8().into_raw(), // only pictures of floats are left, which TIFF can hold: of 0 to 1
    }
}

/// The most pixels on a side.
const MAX_SIDE: u32 = 65535;
/// The most bytes of a file, and the most bytes of its decoded pixels.
pub(crate) const MAX_BYTES: u64 = 512 << 20;

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
        let components = [0xc0, 0xc2].map(|frame| jpeg::progressive_components(&headers(frame, 9)));
        assert_eq!(components, [None, Some(3)]);
    }
}
