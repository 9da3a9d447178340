//! Pictures that come in from C.

use googlenet::image::Rgb8;

use super::pointers;
use super::status::Failure;

/// A picture of the caller's: rows of pixels, three bytes each, red, green, blue.
#[repr(C)]
pub struct Image {
    /// `sizeof(googlenet_image)`.
    pub struct_size: usize,
    /// The first pixel of the first row; not in a session's input.
    pub data: *const u8,
    /// Bytes at `data`, at least `(height - 1) * stride + 3 * width`.
    pub length: usize,
    /// Pixels of a row, at least 1.
    pub width: usize,
    /// Rows, at least 1.
    pub height: usize,
    /// Bytes from the beginning of a row to that of the next, at least `3 * width`.
    pub stride: usize,
}

/// The picture that `image` describes, checked.
///
/// # Safety
/// `image` is null or valid for `'a`, and so is its `data`.
pub(super) unsafe fn view<'a>(image: *const Image) -> Result<Rgb8<'a>, Failure> {
    // SAFETY: the caller promises that `image` is null or valid; its first field is its size.
    let image = unsafe { pointers::sized(image, "image") }?;
    // SAFETY: the caller promises that `image->data` is valid for `image->length` bytes.
    let data = unsafe { pointers::slice(image.data, image.length, "image->data") }?;
    Rgb8::new(image.width, image.height, image.stride, data).map_err(Failure::of("image"))
}
