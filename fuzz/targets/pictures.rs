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
