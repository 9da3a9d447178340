//! What `cv::resize` with `INTER_LINEAR` makes of RGB8, bit for bit: two taps an axis whatever the scale, in fixed
//! point.
//!
//! ```text
//! f       = f32((x + 0.5) * (in / out) - 0.5), i = floor(f), f -= i
//! columns : a tap left of the picture, or right of its last pixel, has the share 0
//! rows    : a tap outside of the picture reads the nearest row and keeps its share
//! a0, a1  = round(2048 * (1 - f)), round(2048 * f)                                             (i16)
//! h[x]    = a0 * in[i] + a1 * in[i + 1]                                                        (i32)
//! out[y]  = ((b0 * (h0 >> 4) >> 16) + (b1 * (h1 >> 4) >> 16) + 2) >> 2
//! ```
//!
//! A picture that becomes exactly half as large both ways is averaged by fours instead. Where one
//! shrinks further, no tap reads some of its pixels; this is how Caffe's own tools made the pictures that its models
//! were trained and judged on.
//!
//! Source: OpenCV, `modules/imgproc/src/resize.cpp` (`resizeGeneric_`, `HResizeLinear`, `VResizeLinear`); equal in
//! versions 4.11 and 5.0.

use super::Rgb8;
use super::axis::Axis;

/// The kept rows and columns of the resized picture, `[rows, columns, 3]`.
pub fn bilinear(image: Rgb8<'_>, columns: &Axis, rows: &Axis) -> Vec<u8> {
    if columns.in_len == columns.out_len && rows.in_len == rows.out_len {
        return picked(image, columns, rows);
    }
    if columns.out_len.checked_mul(2) == Some(columns.in_len) && rows.out_len.checked_mul(2) == Some(rows.in_len) {
        return halved(image, columns, rows);
    }
    let across: Vec<Taps> = columns.positions().map(|x| Taps::new(columns, x).inside(columns.in_len)).collect();
    let row_len = 3 * columns.len();
    let mut out = vec![0; rows.len() * row_len];
    // The two source rows under an output row, resized in width; the next output row often needs one of them again.
    let mut lines = [vec![0; row_len], vec![0; row_len]];
    let mut held = [usize::MAX; 2];
    for (y, out) in rows.positions().zip(out.chunks_exact_mut(row_len.max(1))) {
        let taps = Taps::new(rows, y);
        let last = rows.in_len as isize - 1;
        let under = [taps.at, taps.at + 1].map(|iy| iy.clamp(0, last) as usize);
        if held[1] == under[0] {
            lines.swap(0, 1);
            held.swap(0, 1);
        }
        for ((line, held), iy) in lines.iter_mut().zip(&mut held).zip(under) {
            if *held != iy {
                horizontal(image.row(iy), &across, line);
                *held = iy;
            }
        }
        let [b0, b1] = taps.shares;
        for ((out, h0), h1) in out.iter_mut().zip(&lines[0]).zip(&lines[1]) {
            *out = ((((b0 * (h0 >> 4)) >> 16) + ((b1 * (h1 >> 4)) >> 16) + 2) >> 2) as u8;
        }
    }
    out
}

/// The two taps of an output position: source neighbours, with shares that sum to 2048.
struct Taps {
    /// The position of the first neighbour, which may lie one outside of the picture.
    at: isize,
    shares: [i32; 2],
}

impl Taps {
    fn new(axis: &Axis, x: usize) -> Self {
        let scale = 1.0 / (axis.out_len as f64 / axis.in_len as f64);
        let centre = ((x as f64 + 0.5) * scale - 0.5) as f32;
        let at = centre.floor();
        let fraction = centre - at;
        let share = |part: f32| (part * 2048.0).round_ties_even() as i32;
        Self { at: at as isize, shares: [share(1.0 - fraction), share(fraction)] }
    }

    /// Moves the taps into `0..len` and takes its share from the one that lay outside.
    fn inside(self, len: usize) -> Self {
        let last = len as isize - 1;
        if self.at < 0 || self.at >= last { Self { at: self.at.clamp(0, last), shares: [2048, 0] } } else { self }
    }
}

fn horizontal(row: &[u8], across: &[Taps], out: &mut [i32]) {
    let (pixels, _) = row.as_chunks::<3>();
    let (out, _) = out.as_chunks_mut::<3>();
    for (out, taps) in out.iter_mut().zip(across) {
        let left = taps.at as usize;
        let (left, right) = (pixels[left], pixels[(left + 1).min(pixels.len() - 1)]);
        for ((out, a), b) in out.iter_mut().zip(left).zip(right) {
            *out = taps.shares[0] * i32::from(a) + taps.shares[1] * i32::from(b);
        }
    }
}

fn picked(image: Rgb8<'_>, columns: &Axis, rows: &Axis) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 * columns.len() * rows.len());
    for y in rows.positions() {
        let (pixels, _) = image.row(y).as_chunks::<3>();
        columns.positions().for_each(|x| out.extend(pixels[x]));
    }
    out
}

fn halved(image: Rgb8<'_>, columns: &Axis, rows: &Axis) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 * columns.len() * rows.len());
    for y in rows.positions() {
        let (upper, lower) = (image.row(2 * y), image.row(2 * y + 1));
        for x in columns.positions() {
            for at in 6 * x..6 * x + 3 {
                let four = [upper[at], upper[at + 3], lower[at], lower[at + 3]].map(u16::from);
                out.push(((four.iter().sum::<u16>() + 2) >> 2) as u8);
            }
        }
    }
    out
}
