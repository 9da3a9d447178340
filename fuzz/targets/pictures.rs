//! Decodes any bytes as a picture, as they are and, of a PNG, with the right checksums. What is decoded becomes an input by
//! every geometry, whole and in crops, and all its values are finite.

use googlenet::image::{Channels, Crops, Cuts, Geometry, Rule, decode, prepare};

/// Decodes `bytes`.
pub fn run(bytes: &[u8]) {
    look(bytes);
    let mut bytes = bytes.to_vec();
    if bytes.starts_with(PNG) {
        right_checksums(&mut bytes);
        look(&bytes);
    }
}

fn look(bytes: &[u8]) {
    // Large pictures are as much work as they should be, which is not what is looked for.
    if pixels(bytes) > 1 << 20 {
        return;
    }
    let Ok(picture) = decode(bytes) else { return };
    let view = picture.view();
    let choice = bytes.iter().fold(0_usize, |sum, &byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    let side = 32 + choice % 8;
    let mut input = vec![f32::NAN; 3 * side * side];
    for geometry in Geometry::ALL {
        let (mean, std) = ([104.0, 117.0, 123.0], [1.0, 58.4, 127.5]);
        let rule = Rule { geometry, channels: Channels::Bgr, mean, std, resize: side + choice / 8 % 9 };
        input.fill(f32::NAN);
        prepare(view, &rule, side, &mut input).expect("a picture that was decoded has pixels");
        assert!(input.iter().all(|value| value.is_finite() && value.abs() <= 256.0));
        let crops = [Crops::Centre, Crops::Ten, Crops::Paper][choice / 72 % 3];
        // The long side is resized in proportion: of a thin picture there would be thousands of pixels.
        if view.width().max(view.height()) <= 32 * view.width().min(view.height()) {
            let cuts = Cuts::new(view, &rule, side, crops).expect("a picture that was decoded has pixels");
            for index in 0..cuts.len() {
                input.fill(f32::NAN);
                cuts.write(index, &mut input);
                assert!(input.iter().all(|value| value.is_finite()));
            }
        }
    }
}

/// How many pixels a picture claims to have, at most.
fn pixels(bytes: &[u8]) -> u64 {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
    if bytes.starts_with(PNG) {
        return bytes.get(16..24).map_or(0, |sides| number(&sides[..4]) * number(&sides[4..]));
    }
    let little = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
    let sides = |at: usize, len: usize| {
        bytes.get(at..at + 2 * len).map_or(0, |sides| little(&sides[..len]) * little(&sides[len..]))
    };
    match bytes {
        [b'G', b'I', b'F', ..] => return sides(6, 2),
        // The height of a picture that begins at its top is negative, which looks huge.
        [b'B', b'M', ..] => return sides(18, 4),
        // A canvas of 24 bits a side, less one; or else 14 bits of a key frame or of a lossless picture, which are 2^28 pixels at most.
        [b'R', b'I', b'F', b'F', ..] if bytes.get(12..16) == Some(b"VP8X") => {
            return bytes.get(24..30).map_or(0, |sides| (little(&sides[..3]) + 1) * (little(&sides[3..]) + 1));
        }
        [b'R', b'I', b'F', b'F', ..] if bytes.get(12..16) == Some(b"VP8L") => {
            return bytes.get(21..25).map(little).map_or(0, |bits| ((bits & 0x3fff) + 1) * ((bits >> 14 & 0x3fff) + 1));
        }
        [b'R', b'I', b'F', b'F', ..] => {
            return bytes
                .get(26..30)
                .map_or(0, |sides| (little(&sides[..2]) & 0x3fff) * (little(&sides[2..]) & 0x3fff));
        }
        // Tags may stand anywhere: only short files are looked at, whose strips cannot be many.
        [b'I', b'I', ..] | [b'M', b'M', ..] => return if bytes.len() <= 1 << 12 { 0 } else { u64::MAX },
        _ => {}
    }
    // ff c0 to c2, length: 2 bytes, precision: 1, height: 2, width: 2
    let frames = bytes.windows(9).filter(|frame| frame[0] == 0xff && (0xc0..=0xcf).contains(&frame[1]));
    frames.map(|frame| number(&frame[5..7]) * number(&frame[7..])).max().unwrap_or(0)
}

/// Gives each chunk of a PNG file its checksum (W3C, "Portable Network Graphics", 5.3), which a fuzzer does not guess.
fn right_checksums(bytes: &mut [u8]) {
    let mut at = PNG.len();
    while let Some(length) = bytes.get(at..at + 4) {
        let length = length.iter().fold(0, |number, &byte| number << 8 | usize::from(byte));
        let Some(chunk) = bytes.get(at + 4..(at + 8).saturating_add(length)) else { return };
        let mut crc = flate2::Crc::new();
        crc.update(chunk);
        let end = at + 8 + length;
        if let Some(sum) = bytes.get_mut(end..end + 4) {
            sum.copy_from_slice(&crc.sum().to_be_bytes());
        }
        at = end + 4;
    }
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
