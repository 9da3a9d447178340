//! `out[c][i] = (crop[i][channel(c)] - mean[c]) / std[c]`: u8 `[side, side, 3]` RGB to f32 `[3, side, side]`.
//!
//! One plane after the other, so that each is written front to back.

use super::{Channels, Rule};

/// Fills the three planes of `out`, as long as `crop`.
pub fn to_planes(crop: &[u8], rule: &Rule, out: &mut [f32]) {
    assert_eq!(crop.len(), out.len());
    let order = match rule.channels {
        Channels::Rgb => [0, 1, 2],
        Channels::Bgr => [2, 1, 0],
    };
    let (pixels, _) = crop.as_chunks::<3>();
    let planes = out.chunks_exact_mut(pixels.len().max(1));
    for (c, plane) in planes.enumerate() {
        let (channel, mean, std) = (order[c], rule.mean[c], rule.std[c]);
        for (out, pixel) in plane.iter_mut().zip(pixels) {
            *out = (f32::from(pixel[channel]) - mean) / std;
        }
    }
}
