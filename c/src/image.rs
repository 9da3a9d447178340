//! Pictures that come in from C.

use std::borrow::Cow;

use googlenet::image::Rgb8;

use super::pointers;
use super::status::{Failure, Status};

/// What the bytes of a pixel are.
#[repr(C)]
#[allow(non_camel_case_types, dead_code, reason = "the names that C sees, where they come in as integers")]
pub enum Pixels {
    /// Three bytes: red, green, blue.
    GOOGLENET_PIXELS_RGB = 0,
    /// Three bytes: blue, green, red, as OpenCV has them.
    GOOGLENET_PIXELS_BGR = 1,
    /// Four bytes: red, green, blue, and a fourth that is left out.
    GOOGLENET_PIXELS_RGBA = 2,
    /// Four bytes: blue, green, red, and a fourth that is left out.
    GOOGLENET_PIXELS_BGRA = 3,
    /// One byte, which stands for all three colours.
    GOOGLENET_PIXELS_GREY = 4,
}

/// A picture of the caller's: rows of pixels, three bytes each, red, green, blue, where nothing else is said.
#[repr(C)]
pub struct Image {
    /// `sizeof(googlenet_image)`.
    pub struct_size: usize,
    /// The first pixel of the first row; not in a session's input.
    pub data: *const u8,
    /// Bytes at `data`, at least `(height - 1) * stride + 3 * width`; where pixels have one byte or four, that many for 3.
    pub length: usize,
    /// Pixels of a row, at least 1.
    pub width: usize,
    /// Rows, at least 1.
    pub height: usize,
    /// Bytes from the beginning of a row to that of the next, at least `3 * width`, or as above.
    pub stride: usize,
}

/// A picture as the engine takes it: the caller's pixels, or a copy of them in the order red, green, blue.
pub(super) struct Picture<'a> {
    width: usize,
    height: usize,
    stride: usize,
    data: Cow<'a, [u8]>,
}

impl Picture<'_> {
    pub(super) fn view(&self) -> Result<Rgb8<'_>, Failure> {
        Rgb8::new(self.width, self.height, self.stride, &self.data).map_err(Failure::of("image"))
    }
}

/// The picture that `image` describes, whose pixels are those of a `googlenet_pixels`, checked.
///
/// # Safety
/// `image` is null or valid for `'a`, and so is its `data`.
pub(super) unsafe fn picture<'a>(image: *const Image, pixels: u32) -> Result<Picture<'a>, Failure> {
    // SAFETY: the caller promises that `image` is null or valid; its first field is its size.
    let image = unsafe { pointers::sized(image, "image") }?;
    // SAFETY: the caller promises that `image->data` is valid for `image->length` bytes.
    let data = unsafe { pointers::slice(image.data, image.length, "image->data") }?;
    let &Image { width, height, stride, .. } = image;
    // How long a pixel is, and where in it red, green and blue are.
    let (len, [red, green, blue]) = match pixels {
        0 => {
            let picture = Picture { width, height, stride, data: Cow::Borrowed(data) };
            picture.view()?;
            return Ok(picture);
        }
        1 => (3, [2, 1, 0]),
        2 => (4, [0, 1, 2]),
        3 => (4, [2, 1, 0]),
        4 => (1, [0, 0, 0]),
        _ => {
            let text = format!("pixels is {pixels}, which stands for none");
            return Err(Failure::new(Status::GOOGLENET_ERR_ARGUMENT, text));
        }
    };
    let failure = |status, text: String| Failure::new(status, text);
    let row_len = width.checked_mul(len).filter(|&row_len| width > 0 && height > 0 && row_len <= stride);
    let row_len = row_len.ok_or_else(|| {
        let text = format!("image: {width}x{height} pixels of {len} bytes do not fit a stride of {stride}");
        failure(Status::GOOGLENET_ERR_ARGUMENT, text)
    })?;
    let needed = (height - 1).checked_mul(stride).and_then(|before| before.checked_add(row_len));
    if needed.is_none_or(|needed| needed > data.len()) {
        let text =
            format!("image: picture needs {} bytes of pixels, found {}", needed.unwrap_or(usize::MAX), data.len());
        return Err(failure(Status::GOOGLENET_ERR_LENGTH, text));
    }
    let mut copy = Vec::new();
    // The product may overflow where a pixel has one byte; then there is no such memory, either.
    let copied = width.checked_mul(3).and_then(|row| row.checked_mul(height));
    if copied.is_none_or(|copied| copy.try_reserve_exact(copied).is_err()) {
        let text = format!("image: no memory for {width}x{height} pixels in another order");
        return Err(failure(Status::GOOGLENET_ERR_MEMORY, text));
    }
    for row in data.chunks(stride).take(height) {
        copy.extend(row[..row_len].chunks_exact(len).flat_map(|pixel| [pixel[red], pixel[green], pixel[blue]]));
    }
    Ok(Picture { width, height, stride: 3 * width, data: Cow::Owned(copy) })
}
