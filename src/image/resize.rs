//! Bilinear resizing with antialiasing, as Pillow's 8-bit `resize` does it to the bit: a triangle as wide as the
//! scale (never narrower than two pixels), coefficients in fixed point, a horizontal pass rounded to 8 bits, then a
//! vertical one. Pillow's documentation describes the filter under "Concepts: Filters", BILINEAR.

use std::ops::Range;

use super::Rgb8;

/// Fraction bits of a coefficient: 8 bits of value and 2 of headroom are left in 32.
const PRECISION: u32 = 32 - 8 - 2;

/// The filter of one output position.
struct Tap {
    /// Input positions it reads.
    from: usize,
    /// Their coefficients, in fixed point.
    weights: Vec<i32>,
}

/// The filters of the outputs `window` of a line of `input` pixels that is resized to `output`.
fn taps(input: usize, output: usize, window: Range<usize>) -> Vec<Tap> {
    let scale = input as f64 / output as f64;
    let width = scale.max(1.0);
    window
        .map(|i| {
            let centre = (i as f64 + 0.5) * scale;
            let from = ((centre - width + 0.5).max(0.0)) as usize;
            let to = ((centre + width + 0.5) as usize).min(input);
            let triangle = |at: usize| (1.0 - ((at as f64 - centre + 0.5) / width).abs()).max(0.0);
            let weights: Vec<f64> = (from..to).map(triangle).collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |w: f64| (0.5 + w / sum * f64::from(1_u32 << PRECISION)) as i32;
            Tap { from, weights: weights.into_iter().map(fixed).collect() }
        })
        .collect()
}

/// The value of a fixed-point sum, rounded and clipped to 8 bits.
fn clip(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (PRECISION - 1);

/// Where the centre square lies: the side of the resized line, and the range of it that is kept.
fn centre(length: usize, short: usize, resize: usize, side: usize) -> (usize, Range<usize>) {
    // Rounded to even on ties, as Python's `round`.
    let output = (length as f64 * (resize as f64 / short as f64)).round_ties_even() as usize;
    let output = output.max(side);
    let from = (output - side) / 2;
    (output, from..from + side)
}

/// The centre square, `side * side * 3` bytes, of `picture` resized so that its short side has `resize` pixels.
pub(super) fn resized_centre(picture: &Rgb8<'_>, resize: usize, side: usize) -> Vec<u8> {
    let short = picture.width().min(picture.height());
    let (width, columns) = centre(picture.width(), short, resize, side);
    let (height, rows) = centre(picture.height(), short, resize, side);
    let (horizontal, vertical) = (taps(picture.width(), width, columns), taps(picture.height(), height, rows));
    let first = vertical.iter().map(|tap| tap.from).min().unwrap_or(0);
    let last = vertical.iter().map(|tap| tap.from + tap.weights.len()).max().unwrap_or(0);
    let row_len = 3 * side;
    let mut lines = Vec::with_capacity((last - first) * row_len);
    for y in first..last {
        let row = picture.row(y);
        for tap in &horizontal {
            let mut sums = [HALF; 3];
            for (pixel, &weight) in row[3 * tap.from..].chunks_exact(3).zip(&tap.weights) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(value) * weight;
                }
            }
            lines.extend(sums.map(clip));
        }
    }
    let mut square = Vec::with_capacity(side * row_len);
    let mut sums = vec![HALF; row_len];
    for tap in &vertical {
        sums.fill(HALF);
        for (line, &weight) in lines[(tap.from - first) * row_len..].chunks_exact(row_len).zip(&tap.weights) {
            for (sum, &value) in sums.iter_mut().zip(line) {
                *sum += i32::from(value) * weight;
            }
        }
        square.extend(sums.iter().map(|&sum| clip(sum)));
    }
    square
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_picture_stays_flat_at_every_shape() {
        for (width, height) in [(1, 1), (1, 50_000), (50_000, 1), (7, 300), (640, 480), (33, 32)] {
            let data = vec![201; 3 * width * height];
            let picture = Rgb8::new(width, height, 3 * width, &data).expect("fits");
            let square = resized_centre(&picture, 40, 32);
            assert_eq!(square.len(), 3 * 32 * 32);
            assert!(square.iter().all(|&v| v == 201), "{width}x{height}");
        }
    }

    #[test]
    fn an_unscaled_picture_is_its_own_centre() {
        let data: Vec<u8> = (0..3 * 40 * 36).map(|i| (i * 7 % 251) as u8).collect();
        let picture = Rgb8::new(40, 36, 120, &data).expect("fits");
        let square = resized_centre(&picture, 36, 32);
        for y in 0..32 {
            assert_eq!(square[y * 96..][..96], data[(y + 2) * 120 + 12..][..96], "row {y}");
        }
    }

    #[test]
    fn coefficients_sum_to_one() {
        for (input, output) in [(100, 7), (7, 100), (1000, 999), (50_000, 256)] {
            for tap in taps(input, output, 0..output) {
                let sum: i64 = tap.weights.iter().map(|&w| i64::from(w)).sum();
                let slack = tap.weights.len() as i64; // each is rounded by at most half a unit
                assert!((sum - (1 << PRECISION)).abs() <= slack, "{input} to {output}: {sum}");
                assert!(tap.from + tap.weights.len() <= input);
            }
        }
    }
}
