//! Bilinear resampling with antialiasing, of no more than the centre crop needs.
//!
//! Bit for bit what the `Image.resize(size, BILINEAR)` of Pillow up to 12, followed by a crop, gives on RGB8, passes
//! in this order:
//!
//! ```text
//! scale   = in / out, support = max(1, scale)
//! centre  = (x + 0.5) * scale
//! tap i   = triangle((i - centre + 0.5) / support), the taps of one x divided by their sum (f64)
//! a       = round(tap * 2^22)                                                              (i32)
//! out[x]  = clamp((2^21 + sum(a * in)) >> 22, 0, 255)
//!
//! for y in the crop's rows
//!     for iy under y, once each: ring[iy % taps] = the crop's columns of source row iy
//!     crop[y] = the rows under y, weighted
//! ```
//!
//! Horizontal first, rounded to u8 between the passes, for every shape. (Pillow 13 shrinks pictures more than twice
//! as tall as wide vertically first; there the two differ by one level in places.) The ring holds the rows under one
//! output row, so memory follows the scale and the crop's side, never the picture's other side.
//!
//! Source: Pillow, `src/libImaging/Resample.c` (`precompute_coeffs`, `ImagingResampleHorizontal_8bpc`,
//! `ImagingResampleVertical_8bpc`).

use std::ops::Range;

use super::Rgb8;

/// Resizes the short side to `resize` pixels and returns the middle `side` x `side`, `[side, side, 3]`.
///
/// Expects `1 <= side <= resize`.
pub fn centre_crop(image: Rgb8<'_>, resize: usize, side: usize) -> Vec<u8> {
    debug_assert!((1..=resize).contains(&side));
    let (ow, oh) = resized(image.width, image.height, resize);
    let columns = Taps::new(image.width, ow, side);
    let rows = Taps::new(image.height, oh, side);

    let row_len = 3 * side;
    let mut ring = vec![0; rows.longest() * row_len];
    let mut acc = vec![0; row_len];
    let mut crop = vec![0; side * row_len];
    let n_slots = rows.longest();
    let mut next = 0; // source rows before this one have been through the ring
    for (y, out) in crop.chunks_exact_mut(row_len).enumerate() {
        let (under, weights) = rows.under(y);
        for iy in next.max(under.start)..under.end {
            horizontal(image.row(iy), &columns, &mut ring[iy % n_slots * row_len..][..row_len]);
        }
        next = under.end;
        acc.fill(HALF);
        for (iy, &a) in under.zip(weights) {
            for (acc, &b) in acc.iter_mut().zip(&ring[iy % n_slots * row_len..][..row_len]) {
                *acc += a * i32::from(b);
            }
        }
        for (out, &acc) in out.iter_mut().zip(&acc) {
            *out = clip8(acc);
        }
    }
    crop
}

/// Width and height with the short side at `resize`; the long one rounded as Python's `round(w * scale)`.
fn resized(width: usize, height: usize, resize: usize) -> (usize, usize) {
    let scale = resize as f64 / width.min(height) as f64;
    let rounded = |len: usize| (len as f64 * scale).round_ties_even() as usize;
    if width <= height { (resize, rounded(height)) } else { (rounded(width), resize) }
}

/// The crop's columns of one source row.
fn horizontal(row: &[u8], columns: &Taps, out: &mut [u8]) {
    let (pixels, _) = row.as_chunks::<3>();
    let (out, _) = out.as_chunks_mut::<3>();
    for (x, out) in out.iter_mut().enumerate() {
        let (under, weights) = columns.under(x);
        let mut acc = [HALF; 3];
        for (pixel, &a) in pixels[under].iter().zip(weights) {
            for (acc, &b) in acc.iter_mut().zip(pixel) {
                *acc += a * i32::from(b);
            }
        }
        *out = acc.map(clip8);
    }
}

/// Which source positions each position of the crop sees along one axis, and how much of each.
struct Taps {
    spans: Vec<Span>,
    weights: Vec<i32>,
}

/// Source positions `start..end`; their weights begin at `at`.
struct Span {
    start: usize,
    end: usize,
    at: usize,
}

impl Taps {
    /// For the middle `side` of `out_len` positions made from `in_len`.
    fn new(in_len: usize, out_len: usize, side: usize) -> Self {
        let scale = in_len as f64 / out_len as f64;
        let support = scale.max(1.0);
        let first = (out_len - side) / 2;
        let mut spans = Vec::with_capacity(side);
        let mut weights = Vec::new();
        let mut taps = Vec::new();
        for x in first..first + side {
            let centre = (x as f64 + 0.5) * scale;
            // `as` floors and stops at 0: the start of a span may lie left of the picture.
            let start = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(in_len);
            taps.clear();
            taps.extend((start..end).map(|i| triangle((i as f64 - centre + 0.5) * (1.0 / support))));
            let sum: f64 = taps.iter().sum(); // > 0: the nearest pixel is at most 0.5 from the centre
            spans.push(Span { start, end, at: weights.len() });
            weights.extend(taps.iter().map(|tap| (0.5 + tap / sum * f64::from(1 << PRECISION_BITS)) as i32));
        }
        Self { spans, weights }
    }

    /// The source positions under `x` and their weights.
    fn under(&self, x: usize) -> (Range<usize>, &[i32]) {
        let Span { start, end, at } = self.spans[x];
        (start..end, &self.weights[at..at + (end - start)])
    }

    /// The most positions under any one.
    fn longest(&self) -> usize {
        self.spans.iter().map(|span| span.end - span.start).max().unwrap_or(0)
    }
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Weights sum to 2^22 give or take half a unit a tap, so `acc` stays below 2^31 for 2^23 taps and more.
fn clip8(acc: i32) -> u8 {
    (acc >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Fraction bits of a weight: 32, less 8 for the byte and 2 for sign and overflow.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// One half, where every sum starts so that the shift rounds.
const HALF: i32 = 1 << (PRECISION_BITS - 1);
