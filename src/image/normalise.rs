//! `out[c][i] = (pixels[i][channel(c)] - mean[c]) / std[c]`: RGB `[h, w, 3]`, bytes or f32, to f32 `[3, h, w]`.
//!
//! The planes are filled one after the other, so that each is written front to back.

use super::rule::Pixels;
use super::{Channels, Rule};

/// Fills the three planes of `out`, which must have as many values as `pixels`.
pub fn pixels_to_planes(pixels: &Pixels, rule: &Rule, out: &mut [f32]) {
    match pixels {
        Pixels::Bytes(pixels) => to_planes(pixels, rule, out),
        Pixels::Floats(pixels) => to_planes(pixels, rule, out),
    }
}

fn to_planes<T: Copy + Into<f32>>(pixels: &[T], rule: &Rule, out: &mut [f32]) {
    assert_eq!(pixels.len(), out.len());
    let order = match rule.channels {
        Channels::Rgb => [0, 1, 2],
        Channels::Bgr => [2, 1, 0],
    };
    let (pixels, _) = pixels.as_chunks::<3>();
    let planes = out.chunks_exact_mut(pixels.len().max(1));
    for (c, plane) in planes.enumerate() {
        let (channel, mean, std) = (order[c], rule.mean[c], rule.std[c]);
        for (out, pixel) in plane.iter_mut().zip(pixels) {
            *out = (pixel[channel].into() - mean) / std;
        }
    }
}
