//! Tests of resampling against Pillow, of the whole path against the reference inputs, and of decoding odd files.

use super::*;
use crate::Error;
use crate::error::{PictureError, PrepareError};

/// A picture, `[height, width, 3]`, that a formula gives, so that a script around Pillow can make it too.
fn pattern(width: usize, height: usize) -> Vec<u8> {
    let at = |x: u64, y: u64, c: u64| x * 37 + y * 59 + c * 83 + x * y * 11 + x * x / 7 * (y + 3);
    let pixel = |i: usize| [0, 1, 2].map(|c| at((i % width) as u64, (i / width) as u64, c) as u8);
    (0..width * height).flat_map(pixel).collect()
}

/// The middle `side` x `side` of `image`, resized until its short side is `resize`.
fn centre_crop(image: Rgb8<'_>, resize: usize, side: usize) -> Vec<u8> {
    let (width, height) = Geometry::ShortSide.resized(image.size(), resize);
    let middle = |in_len, len: usize| Axis::part(in_len, len, (len - side) / 2..(len - side) / 2 + side);
    resize::resample(image, resize::Filter::Triangle, &middle(image.width, width), &middle(image.height, height))
}

fn crop_of_pattern([width, height, resize, side]: [usize; 4]) -> Vec<u8> {
    let data = pattern(width, height);
    centre_crop(Rgb8::new(width, height, 3 * width, &data).unwrap(), resize, side)
}

/// What Pillow 13.0 makes of `pattern` for width, height, short side and crop:
/// `Image.fromarray(pattern).resize((round(w * s), round(h * s)), BILINEAR).crop(middle)`.
/// Where this call would resize vertically first (`h > 2 * w`, shrinking), two calls were made, the horizontal one
/// first.
const PILLOW: [([usize; 4], &[u8]); 7] = [
    (
        [7, 5, 4, 3],
        &[
            67, 150, 169, 114, 169, 132, 126, 181, 72, 152, 129, 62, 167, 125, 124, 87, 105, 128, 192, 65, 148, 118,
            141, 159, 138, 137, 95,
        ],
    ),
    (
        [5, 7, 8, 3],
        &[
            201, 33, 116, 182, 73, 156, 143, 114, 168, 235, 78, 161, 119, 122, 205, 85, 168, 171, 127, 123, 196, 118,
            172, 143, 139, 171, 113,
        ],
    ),
    ([1, 1, 3, 2], &[0, 83, 166, 0, 83, 166, 0, 83, 166, 0, 83, 166]),
    ([1, 50000, 2, 2], &[140, 159, 50, 140, 159, 50, 169, 60, 79, 169, 60, 79]),
    ([50000, 1, 2, 2], &[91, 174, 65, 72, 155, 174, 91, 174, 65, 72, 155, 174]),
    (
        [41, 300, 3, 3],
        &[
            133, 129, 123, 128, 131, 126, 127, 127, 121, 125, 133, 124, 130, 132, 125, 133, 130, 118, 127, 128, 126,
            130, 128, 125, 133, 123, 126,
        ],
    ),
    (
        [4, 4, 4, 3],
        &[
            0, 83, 166, 37, 120, 203, 74, 157, 240, 59, 142, 225, 107, 190, 17, 155, 238, 65, 118, 201, 28, 177, 4, 87,
            236, 63, 146,
        ],
    ),
];

/// What Pillow makes of larger pictures, as for [`PILLOW`]: the 64-bit FNV-1a of the crop's bytes.
const PILLOW_HASH: [([usize; 4], u64); 10] = [
    ([640, 480, 256, 224], 0x4616_50a6_c684_3f19),
    ([100, 333, 256, 224], 0x9fe9_ec02_95d6_e55a),
    ([1999, 1501, 256, 224], 0xa75f_c175_b891_29a9),
    ([257, 256, 256, 224], 0x5447_4ff7_6395_8425),
    ([256, 256, 256, 224], 0x5447_4ff7_6395_8425),
    ([5000, 3, 16, 11], 0x4cbd_9b1a_457e_f104),
    ([300, 30100, 256, 224], 0x76e1_9656_e9be_2994),
    ([30100, 300, 256, 224], 0xa181_d9eb_e309_7a50),
    ([500, 375, 256, 256], 0x1e31_4039_5bdc_917e),
    ([5, 2, 1, 1], 0x4a5f_5419_ce7f_e6b3),
];

#[test]
fn small_pictures_equal_pillow() {
    for (case, expected) in PILLOW {
        assert_eq!(crop_of_pattern(case), expected, "{case:?}");
    }
}

#[test]
fn large_pictures_equal_pillow() {
    for (case, expected) in PILLOW_HASH {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in crop_of_pattern(case) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        assert_eq!(hash, expected, "{case:?}");
    }
}

/// Resized as a whole, these pictures would have 12.8 million columns or rows of 256 pixels; only the crop's 224 are
/// computed.
#[test]
fn extreme_shapes_cost_no_more_than_the_crop() {
    for (width, height) in [(50_000, 1), (1, 50_000), (1, 1)] {
        assert_eq!(crop_of_pattern([width, height, 256, 224]).len(), 3 * 224 * 224);
    }
    let data = vec![77; 3 * 50_000];
    let crop = centre_crop(Rgb8::new(50_000, 1, 3 * 50_000, &data).unwrap(), 256, 224);
    assert!(crop.iter().all(|&v| v == 77));
}

#[test]
fn padding_between_rows_is_not_read() {
    let (width, height, stride) = (19, 11, 64);
    let tight = pattern(width, height);
    let mut wide = vec![255; stride * (height - 1) + 3 * width];
    for (y, row) in tight.chunks_exact(3 * width).enumerate() {
        wide[y * stride..][..row.len()].copy_from_slice(row);
    }
    let wide = centre_crop(Rgb8::new(width, height, stride, &wide).unwrap(), 8, 8);
    assert_eq!(wide, crop_of_pattern([width, height, 8, 8]));
}

#[test]
fn planes_follow_the_order_of_channels() {
    let data = [10, 20, 30];
    let image = Rgb8::new(1, 1, 3, &data).unwrap();
    let mut rule = Rule {
        geometry: Geometry::ShortSide,
        channels: Channels::Bgr,
        mean: [1.0, 2.0, 3.0],
        std: [2.0, 4.0, 0.5],
        resize: 2,
    };
    let mut out = [f32::NAN; 12];
    prepare(image, &rule, 2, &mut out).unwrap();
    assert_eq!(out, [14.5, 14.5, 14.5, 14.5, 4.5, 4.5, 4.5, 4.5, 14.0, 14.0, 14.0, 14.0]);
    rule.channels = Channels::Rgb;
    prepare(image, &rule, 2, &mut out).unwrap();
    assert_eq!(out, [4.5, 4.5, 4.5, 4.5, 4.5, 4.5, 4.5, 4.5, 54.0, 54.0, 54.0, 54.0]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let data = [0; 12];
    assert!(matches!(Rgb8::new(0, 2, 6, &data), Err(Error::Picture(PictureError::Empty { .. }))));
    assert!(matches!(Rgb8::new(2, 0, 6, &data), Err(Error::Picture(PictureError::Empty { .. }))));
    assert!(matches!(Rgb8::new(2, 2, 5, &data), Err(Error::Picture(PictureError::Stride { .. }))));
    assert!(matches!(Rgb8::new(usize::MAX, 1, usize::MAX, &data), Err(Error::Picture(PictureError::Stride { .. }))));
    assert!(matches!(Rgb8::new(2, 3, 6, &data), Err(Error::Picture(PictureError::TooShort { needed: 18, found: 12 }))));
    assert!(matches!(Rgb8::new(1, usize::MAX, 6, &data), Err(Error::Picture(PictureError::TooShort { .. }))));
    assert!(Rgb8::new(1, 2, 9, &data).is_ok(), "the last row needs no padding");

    let image = Rgb8::new(2, 2, 6, &data).unwrap();
    let rule =
        Rule { geometry: Geometry::ShortSide, channels: Channels::Rgb, mean: [0.0; 3], std: [1.0; 3], resize: 4 };
    let mut out = [0.0; 12];
    assert!(matches!(
        prepare(image, &rule, 3, &mut out),
        Err(Error::Prepare(PrepareError::InputLength { expected: 27, found: 12 }))
    ));
    assert!(matches!(prepare(image, &rule, 0, &mut []), Err(Error::Prepare(PrepareError::Crop { .. }))));
    assert!(matches!(
        prepare(image, &Rule { resize: 1, ..rule }, 2, &mut out),
        Err(Error::Prepare(PrepareError::Crop { .. }))
    ));
    for std in [0.0, f32::NAN, f32::INFINITY] {
        let rule = Rule { std: [1.0, 1.0, std], ..rule };
        assert!(matches!(prepare(image, &rule, 2, &mut out), Err(Error::Prepare(PrepareError::Normalisation { .. }))));
    }
    assert!(matches!(
        prepare(image, &rule, usize::MAX, &mut out),
        Err(Error::Prepare(PrepareError::InputLength { .. }))
    ));
    // A crop of the middle of the largest short side that can be asked for does not overflow.
    prepare(image, &Rule { resize: usize::MAX, ..rule }, 2, &mut out).unwrap();
}

#[cfg(feature = "decode")]
mod decoding {
    use std::io::Cursor;
    use std::path::Path;

    use ::image::{DynamicImage, ImageBuffer, ImageFormat};

    use super::*;
    use crate::error::FileError;

    fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn first_pixel(bytes: &[u8]) -> [u8; 3] {
        *decode(bytes).unwrap().view().row(0).first_chunk().unwrap()
    }

    #[test]
    fn every_kind_of_pixel_becomes_rgb8() {
        let png = |picture: DynamicImage| encoded(picture, ImageFormat::Png);
        let grey = ImageBuffer::from_pixel(3, 2, ::image::Luma([90_u8]));
        assert_eq!(first_pixel(&png(grey.clone().into())), [90; 3]);
        assert_eq!(first_pixel(&encoded(grey, ImageFormat::Jpeg)), [90; 3]);
        let clear = ImageBuffer::from_pixel(3, 2, ::image::LumaA([90_u8, 0]));
        assert_eq!(first_pixel(&png(clear.into())), [90; 3]);
        let clear = ImageBuffer::from_pixel(3, 2, ::image::Rgba([1_u8, 2, 3, 0]));
        assert_eq!(first_pixel(&png(clear.into())), [1, 2, 3]);
        let deep = ImageBuffer::from_pixel(3, 2, ::image::Luma([0x12ff_u16]));
        assert_eq!(first_pixel(&png(deep.into())), [0x12; 3]);
        let deep = ImageBuffer::from_pixel(3, 2, ::image::LumaA([0x12ff_u16, 7]));
        assert_eq!(first_pixel(&png(deep.into())), [0x12; 3]);
        let deep = ImageBuffer::from_pixel(3, 2, ::image::Rgb([0x01ff_u16, 0x0200, 0xff03]));
        assert_eq!(first_pixel(&png(deep.into())), [1, 2, 255]);
        let deep = ImageBuffer::from_pixel(3, 2, ::image::Rgba([0x01ff_u16, 0x0200, 0xff03, 5]));
        assert_eq!(first_pixel(&png(deep.into())), [1, 2, 255]);
    }

    /// A JPEG that Pillow made of 8x8 pixels of C, M, Y, K = 200, 100, 50, 30, and reads back as `CMYK_AS_RGB`.
    const CMYK: &str = "\
        ffd8ffee000e41646f626500640000000000ffdb004300020101010101020101010202020202040302020202050404030406\
        0506060605060606070908060709070606080b08090a0a0a0a0a06080b0c0b0a0c090a0a0affc00014080008000804431100\
        4d11005911004b1100ffc4001500010100000000000000000000000000000907ffc400141001000000000000000000000000\
        00000000ffda000e0443004d0059004b00003f0036d6c268611fffd9";
    const CMYK_AS_RGB: [u8; 3] = [49, 137, 181];

    #[test]
    fn cmyk_is_converted() {
        let digits = CMYK.as_bytes().as_chunks::<2>().0;
        let bytes: Vec<u8> =
            digits.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
        for (found, expected) in first_pixel(&bytes).into_iter().zip(CMYK_AS_RGB) {
            assert!(found.abs_diff(expected) <= 1, "{found} for {expected}"); // both round once
        }
    }

    #[test]
    fn cut_off_files_are_refused_at_every_length() {
        let picture = ImageBuffer::from_raw(16, 16, pattern(16, 16)).map(DynamicImage::ImageRgb8).unwrap();
        for format in [ImageFormat::Jpeg, ImageFormat::Png] {
            let bytes = encoded(picture.clone(), format);
            decode(&bytes).unwrap();
            // A PNG's last chunk, IEND, of 12 bytes comes after all pixels, so its absence is not noticed; that of a JPEG's
            // end marker is, but its pixels are all there.
            let whole = bytes.len() - if format == ImageFormat::Png { 12 } else { 2 };
            for length in 8..whole {
                match decode(&bytes[..length]) {
                    Err(Error::Picture(PictureError::Truncated { .. })) => {}
                    other => panic!("{format:?} of {length} bytes of {}: {other:?}", bytes.len()),
                }
            }
        }
    }

    #[test]
    fn a_jpeg_without_its_end_marker_is_read_and_said_to_be() {
        for (width, height) in [(16, 16), (33, 70)] {
            let picture = ImageBuffer::from_raw(width, height, pattern(width as usize, height as usize));
            let bytes = encoded(picture.map(DynamicImage::ImageRgb8).unwrap(), ImageFormat::Jpeg);
            let whole = decode(&bytes).unwrap();
            assert!(whole.is_whole());
            for missing in 1..=2 {
                let cut = decode(&bytes[..bytes.len() - missing]).unwrap();
                assert!(!cut.is_whole() && cut.view().data == whole.view().data, "{missing} bytes are missing");
            }
            // A picture for which the decoder has one of its scans of different coefficients only lacks the others.
            let mut progressive = bytes.clone();
            let scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
            progressive[scan + 4 + 7..scan + 4 + 9].copy_from_slice(&[0, 0]);
            let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
            progressive[frame + 1] = 0xc2;
            assert!(!jpeg::has_all_scans(&progressive) && jpeg::has_all_scans(&bytes));
        }
    }

    #[test]
    fn other_formats_are_read_and_cut_off_ones_refused() {
        let pixels = pattern(17, 9);
        let picture = ImageBuffer::from_raw(17, 9, pixels.clone()).map(DynamicImage::ImageRgb8).unwrap();
        for format in [ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff] {
            // A GIF has a palette of 256 colours, and so is of one colour here.
            let picture = match format {
                ImageFormat::Gif => ImageBuffer::from_pixel(17, 9, ::image::Rgb([7_u8, 80, 200])).into(),
                _ => picture.clone(),
            };
            let bytes = encoded(picture.clone(), format);
            let read = decode(&bytes).unwrap();
            assert!((read.view().width(), read.view().height()) == (17, 9) && read.is_whole());
            assert_eq!(read.view().data, picture.as_bytes(), "{format:?} loses nothing");
            for length in 0..bytes.len() / 2 {
                assert!(decode(&bytes[..length]).is_err(), "{format:?} of {length} bytes of {}", bytes.len());
            }
        }
        // Alpha is dropped, as it is of PNG files.
        let clear = ImageBuffer::from_pixel(3, 2, ::image::Rgba([9_u8, 8, 7, 1]));
        for format in [ImageFormat::WebP, ImageFormat::Tiff] {
            assert_eq!(first_pixel(&encoded(clear.clone(), format)), [9, 8, 7], "{format:?}");
        }
        // Pictures that would be too large say so in their first bytes, and nothing is allocated for them.
        let mut bmp = encoded(picture.clone(), ImageFormat::Bmp);
        bmp[18..26].copy_from_slice(&[0, 0xf0, 0, 0, 0, 0xf0, 0, 0]);
        let mut gif = encoded(DynamicImage::new_rgb8(8, 8), ImageFormat::Gif);
        gif[6..10].fill(0xff);
        for bytes in [bmp, gif] {
            let refused = decode(&bytes).unwrap_err();
            // Where addresses have 32 bits the decoder of BMP files refuses it before it is asked, and in its own words.
            let by_decoder = cfg!(target_pointer_width = "32") && format!("{refused:?}").contains("too large");
            assert!(by_decoder || matches!(refused, Error::Picture(PictureError::TooLarge { .. })), "{refused:?}");
        }
    }

    /// EXIF data with one tag, the orientation, in either order of bytes (CIPA DC-008, 4.6).
    fn exif(orientation: u8, is_big: bool) -> Vec<u8> {
        match is_big {
            true => {
                [&b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..], &[orientation, 0, 0, 0, 0, 0, 0]].concat()
            }
            false => {
                [&b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..], &[orientation, 0, 0, 0, 0, 0, 0, 0]].concat()
            }
        }
    }

    /// A JPEG with `exif` in the segment that is for it.
    fn jpeg_with(picture: &DynamicImage, exif: &[u8]) -> Vec<u8> {
        let bytes = encoded(picture.clone(), ImageFormat::Jpeg);
        let length = u16::try_from(exif.len() + 8).unwrap().to_be_bytes();
        [&[0xff, 0xd8, 0xff, 0xe1], &length[..], b"Exif\0\0", exif, &bytes[2..]].concat()
    }

    /// The picture, as a photographer would want it, has four different corners; a camera stored it turned.
    #[test]
    fn pictures_are_turned_upright_unless_they_are_to_be_as_stored() {
        let (width, height) = (48, 32);
        let corner = |x: usize, y: usize| match (x < 24, y < 16) {
            (true, true) => [250_u8, 10, 10],
            (false, true) => [10, 250, 10],
            (true, false) => [10, 10, 250],
            (false, false) => [10, 10, 10],
        };
        // Where the pixel at x, y of the upright picture is stored, by the definition of each orientation (CIPA DC-008, 4.6.4).
        let place = |orientation: u8, x: usize, y: usize| match orientation {
            1 => (x, y),
            2 => (width - 1 - x, y),
            3 => (width - 1 - x, height - 1 - y),
            4 => (x, height - 1 - y),
            5 => (y, x),
            6 => (y, width - 1 - x),
            7 => (height - 1 - y, width - 1 - x),
            8 => (height - 1 - y, x),
            _ => unreachable!("there are eight"),
        };
        for orientation in 1..=8 {
            let (stored_w, stored_h) = if orientation > 4 { (height, width) } else { (width, height) };
            let mut stored = ImageBuffer::new(stored_w as u32, stored_h as u32);
            for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
                let (at_x, at_y) = place(orientation, x, y);
                stored.put_pixel(at_x as u32, at_y as u32, ::image::Rgb(corner(x, y)));
            }
            let stored = DynamicImage::ImageRgb8(stored);
            let webp = {
                let mut bytes = Vec::new();
                let mut encoder = ::image::codecs::webp::WebPEncoder::new_lossless(&mut bytes);
                ::image::ImageEncoder::set_exif_metadata(&mut encoder, exif(orientation, true)).unwrap();
                stored.write_with_encoder(encoder).unwrap();
                bytes
            };
            let png = {
                let mut bytes = Vec::new();
                let mut encoder = ::image::codecs::png::PngEncoder::new(&mut bytes);
                ::image::ImageEncoder::set_exif_metadata(&mut encoder, exif(orientation, false)).unwrap();
                stored.write_with_encoder(encoder).unwrap();
                bytes
            };
            for bytes in
                [jpeg_with(&stored, &exif(orientation, true)), jpeg_with(&stored, &exif(orientation, false)), webp, png]
            {
                let upright = decode(&bytes).unwrap();
                assert_eq!((upright.view().width(), upright.view().height()), (width, height));
                for (x, y) in [(4, 4), (44, 4), (4, 28), (44, 28)] {
                    let found = &upright.view().row(y)[3 * x..][..3];
                    let far = found.iter().zip(corner(x, y)).map(|(a, b)| a.abs_diff(b)).max();
                    assert!(far < Some(12), "orientation {orientation}: {found:?} at {x}, {y}");
                }
                let as_stored = decode_as_stored(&bytes).unwrap();
                assert_eq!((as_stored.view().width(), as_stored.view().height()), (stored_w, stored_h));
                assert_eq!(as_stored.view().data == upright.view().data, orientation == 1);
            }
        }
        // What is no orientation turns nothing.
        let picture = DynamicImage::new_rgb8(9, 5);
        for exif in [exif(0, true), exif(9, false), b"MM".to_vec(), vec![0xff; 40]] {
            assert_eq!(decode(&jpeg_with(&picture, &exif)).unwrap().view().width(), 9);
        }
    }

    #[test]
    fn other_files_are_refused() {
        for bytes in [&b""[..], b"\xff\xd8", b"GIF90a", b"BM hello, world", b"RIFF0000WAVE"] {
            assert!(matches!(decode(bytes), Err(Error::Picture(PictureError::NotAPicture))));
        }
        assert!(matches!(open("no/such/picture.jpg"), Err(Error::File(FileError::Io { .. }))));
        // A header that promises 65535 x 65535 pixels is refused before they are allocated.
        let mut bytes = encoded(DynamicImage::new_rgb8(8, 8), ImageFormat::Jpeg);
        let sof = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[sof + 5..sof + 9].fill(0xff);
        assert!(matches!(decode(&bytes), Err(Error::Picture(PictureError::TooLarge { .. }))));
        // 20,000 x 20,000 grey pixels would fit the limit, but not once they are RGB.
        let mut bytes = encoded(DynamicImage::new_luma8(8, 8), ImageFormat::Jpeg);
        let sof = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[sof + 5..sof + 9].copy_from_slice(&[0x4e, 0x20, 0x4e, 0x20]);
        assert!(matches!(decode(&bytes), Err(Error::Picture(PictureError::TooLarge { .. }))));
    }

    #[test]
    fn a_row_may_be_50_000_pixels_wide_but_not_0() {
        let mut input = vec![f32::NAN; 3 * 224 * 224];
        let rule =
            Rule { geometry: Geometry::ShortSide, channels: Channels::Rgb, mean: [0.0; 3], std: [1.0; 3], resize: 256 };
        for format in [ImageFormat::Jpeg, ImageFormat::Png] {
            let wide = encoded(ImageBuffer::from_pixel(50_000, 2, ::image::Rgb([77_u8; 3])), format);
            let wide = decode(&wide).unwrap();
            assert_eq!((wide.view().width(), wide.view().height()), (50_000, 2));
            prepare(wide.view(), &rule, 224, &mut input).unwrap();
            assert!(input.iter().all(|x| (76.0..=78.0).contains(x)), "{format:?}");
        }
        let mut jpeg = encoded(DynamicImage::new_rgb8(8, 8), ImageFormat::Jpeg);
        let sof = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        jpeg[sof + 7..sof + 9].fill(0);
        let mut png = encoded(DynamicImage::new_rgb8(8, 8), ImageFormat::Png);
        png[16..20].fill(0);
        let crc = crc32(&png[12..29]);
        png[29..33].copy_from_slice(&crc.to_be_bytes());
        for bytes in [jpeg, png] {
            let error = decode(&bytes).unwrap_err();
            assert!(
                matches!(error, Error::Picture(PictureError::Empty { width: 0, .. } | PictureError::Damaged { .. })),
                "{error:?}"
            );
        }
    }

    /// The checksum of a PNG chunk's name and data (ISO/IEC 15948, annex D).
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }

    /// Compares with the 16 reference inputs, which Pillow made with libjpeg-turbo.
    ///
    /// The resampling is exact, as the tests above show, so the differences come from the JPEG decoder alone. Where a
    /// file's chroma is whole, 1 % of its decoded pixels differ from libjpeg-turbo's, by at most 3 levels, as the
    /// inverse DCT and the colour conversion round differently. Where chroma is halved and upsampled too, as in 6 of
    /// the 16 files, 9 to 23 % differ, by at most 6 levels. Shrinking averages the differences: 7.6 % of the values
    /// differ, by at most 4 levels, and all by 0.083 levels in the mean.
    #[test]
    fn reference_inputs() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/googlenet");
        let Ok(file) = std::fs::read(folder.join("reference.safetensors")) else {
            println!("skipped: no ../shared/googlenet/reference.safetensors");
            return;
        };
        let header_len = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
        let (header, data) = file[8..].split_at(header_len);
        let header: serde_json::Value = serde_json::from_slice(header).unwrap();
        let names: Vec<String> = serde_json::from_str(header["__metadata__"]["files"].as_str().unwrap()).unwrap();
        let begin = header["input"]["data_offsets"][0].as_u64().unwrap() as usize;
        let n_input = 3 * 224 * 224;
        assert_eq!(names.len(), 16);

        let rule = Rule {
            geometry: Geometry::ShortSide,
            channels: Channels::Bgr,
            mean: [104.0, 117.0, 123.0],
            std: [1.0; 3],
            resize: 256,
        };
        let mut input = vec![f32::NAN; n_input];
        let (mut largest, mut sum, mut n_different) = (0.0_f32, 0.0_f64, 0);
        for (name, expected) in names.iter().zip(data[begin..].chunks_exact(2 * n_input)) {
            let picture = open(folder.join("images").join(name)).unwrap();
            prepare(picture.view(), &rule, 224, &mut input).unwrap();
            let (expected, _) = expected.as_chunks::<2>();
            for (&found, &expected) in input.iter().zip(expected) {
                let difference = (found - f32::from(i16::from_le_bytes(expected))).abs();
                largest = largest.max(difference);
                sum += f64::from(difference);
                n_different += usize::from(difference != 0.0);
            }
        }
        let n = (names.len() * n_input) as f64;
        let (mean, fraction) = (sum / n, n_different as f64 / n);
        println!("reference inputs: max {largest}, mean {mean:.5}, {:.3} % differ", 100.0 * fraction);
        assert!(largest <= 4.0 && mean < 0.1, "max {largest}, mean {mean}, {fraction} differ");
    }
}
