//! Bilinear and bicubic resampling with antialiasing, of no more pixels than the crops need.
//!
//! The result is bit for bit what `Image.resize` of Pillow up to 12, followed by a crop, gives on RGB8. The passes run
//! in this order (shown for bilinear; bicubic has twice the support):
//!
//! ```text
//! scale   = in / out, support = max(1, scale)
//! centre  = (x + 0.5) * scale
//! tap i   = triangle((i - centre + 0.5) / support), the taps of one x divided by their sum (f64)
//! a       = round(tap * 2^22)                                                              (i32)
//! out[x]  = clamp((2^21 + sum(a * in)) >> 22, 0, 255)
//!
//! for y in the kept rows
//!     for iy under y, once each: ring[iy % taps] = the kept columns of source row iy
//!     out[y] = the sum of the rows under y, each times its weight
//! ```
//!
//! The horizontal pass comes first for every shape, and its results are rounded to u8. (Pillow 13 shrinks some pictures
//! that are taller than wide vertically first; there its results differ from these by one level in places.) The ring
//! holds the rows under one output row, so memory follows the scale and the crops' sides, never the picture's other
//! side.
//!
//! Source: Pillow, `src/libImaging/Resample.c` (`precompute_coeffs`, `ImagingResampleHorizontal_8bpc`,
//! `ImagingResampleVertical_8bpc`).

use std::ops::Range;

use super::Rgb8;
use super::axis::Axis;

/// Which neighbours count, by their distance from the centre in units of the larger grid.
#[derive(Clone, Copy)]
pub enum Filter {
    /// Pillow's `BILINEAR`: weights fall linearly to 0 at a distance of 1.
    Triangle,
    /// Pillow's `BICUBIC`: Keys' cubic with a = -0.5, which ends at a distance of 2.
    Cubic,
}

/// The kept rows and columns of the resized picture, `[rows, columns, 3]`.
pub fn resample(image: Rgb8<'_>, filter: Filter, columns: &Axis, rows: &Axis) -> Vec<u8> {
    let (columns, rows) = (Taps::new(filter, columns), Taps::new(filter, rows));
    let row_len = 3 * columns.spans.len();
    let mut ring = vec![0; rows.longest() * row_len];
    let mut acc = vec![0; row_len];
    let mut out = vec![0; rows.spans.len() * row_len];
    let n_slots = rows.longest();
    let mut next = 0; // source rows before this one have been through the ring
    for (y, out) in out.chunks_exact_mut(row_len.max(1)).enumerate() {
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
    out
}

/// Resizes one source row: writes its kept columns into `out`.
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

/// Which source positions each kept position sees along one axis, and how much of each.
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
    /// The taps of the kept positions of `axis`.
    fn new(filter: Filter, axis: &Axis) -> Self {
        let scale = axis.in_len as f64 / axis.out_len as f64;
        let stretch = scale.max(1.0);
        let support = stretch * filter.support();
        let mut spans = Vec::with_capacity(axis.len());
        let mut weights = Vec::new();
        let mut taps = Vec::new();
        for x in axis.positions() {
            let centre = (x as f64 + 0.5) * scale;
            // The start of a span may lie left of the picture; `as` rounds towards 0 and makes negative numbers 0.
            let start = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(axis.in_len);
            taps.clear();
            taps.extend((start..end).map(|i| filter.weight((i as f64 - centre + 0.5) * (1.0 / stretch))));
            // The sum is above 0, as the nearest pixel is at most 0.5 from the centre.
            let sum: f64 = taps.iter().sum();
            spans.push(Span { start, end, at: weights.len() });
            weights.extend(taps.iter().map(|tap| fixed(tap / sum)));
        }
        Self { spans, weights }
    }

    /// The source positions that the kept position of index `x` sees, and their weights.
    fn under(&self, x: usize) -> (Range<usize>, &[i32]) {
        let Span { start, end, at } = self.spans[x];
        (start..end, &self.weights[at..at + (end - start)])
    }

    /// The most source positions that any kept position sees.
    fn longest(&self) -> usize {
        self.spans.iter().map(|span| span.end - span.start).max().unwrap_or(0)
    }
}

impl Filter {
    /// The distance from the centre at which the weights end.
    fn support(self) -> f64 {
        match self {
            Filter::Triangle => 1.0,
            Filter::Cubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Filter::Triangle => (1.0 - x).max(0.0),
            Filter::Cubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Filter::Cubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Filter::Cubic => 0.0,
        }
    }
}

/// Keys' parameter a, the slope of the cubic at a distance of 1.
const A: f64 = -0.5;

/// A weight in fixed point with `PRECISION_BITS` fraction bits, halves rounded away from zero.
fn fixed(weight: f64) -> i32 {
    (0.5_f64.copysign(weight) + weight * f64::from(1 << PRECISION_BITS)) as i32
}

/// The byte that an accumulated sum of weighted bytes stands for.
///
/// The weights of a position sum to 2^22, give or take half a unit a tap, and the cubic's negative ones to less than a
/// fifth of that, so `acc` stays below 2^31 for 2^22 taps and more.
fn clip8(acc: i32) -> u8 {
    (acc >> PRECISION_BITS).clamp(0, 255) as u8
}

/// The fraction bits of a weight: 32, less 8 for the byte and 2 for sign and overflow.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// One half in fixed point; every sum starts there, so that the shift at its end rounds.
const HALF: i32 = 1 << (PRECISION_BITS - 1);
