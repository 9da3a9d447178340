//! `U = G g G'`, in f64, and its rounding to 16 bits.

use super::points::{MAX_N, Points, filter_matrix, input_matrix};
use crate::conv::ConvShape;

/// Transforms the filters of output channel `o` of `w`, `[oc, ic, k, k]`: `u` becomes `[point][channel]`, the channels
/// those of the polyphase form. The contract and the asserts are `Transformed::pack`'s.
pub(super) fn filter<F: Points>(shape: &ConvShape, w: &[f32], o: usize, u: &mut [f64]) {
    let (k, stride) = (shape.kh, shape.stride_h);
    let channels = shape.ic * stride * stride;
    let g = filter_matrix::<F>();
    for c in 0..shape.ic {
        let filter = &w[(o * shape.ic + c) * k * k..][..k * k];
        for (py, px) in (0..stride).flat_map(|py| (0..stride).map(move |px| (py, px))) {
            let channel = (c * stride + py) * stride + px;
            // The taps of this phase; a side of fewer taps ends in zeros.
            let tap = |qy: usize, qx: usize| {
                let (ky, kx) = (qy * stride + py, qx * stride + px);
                if ky < k && kx < k { f64::from(filter[ky * k + kx]) } else { 0.0 }
            };
            let mut half = [[0.0; MAX_N]; MAX_N]; // G g
            for (i, row) in half.iter_mut().enumerate().take(F::N) {
                for (qx, value) in row.iter_mut().enumerate().take(F::R) {
                    *value = (0..F::R).map(|qy| g[i][qy] * tap(qy, qx)).sum();
                }
            }
            for (i, j) in (0..F::N).flat_map(|i| (0..F::N).map(move |j| (i, j))) {
                u[(i * F::N + j) * channels + channel] = (0..F::R).map(|qx| half[i][qx] * g[j][qx]).sum();
            }
        }
    }
}

/// The largest magnitude of each point's transformed inputs, where inputs lie between 0 and 255: `reach` has N * N points.
pub(super) fn reach<F: Points>(reach: &mut [f64]) {
    let b = input_matrix::<F>();
    // What a row of coefficients makes of values between two bounds.
    let range = |row: &[f64; MAX_N], [low, high]: [f64; 2]| {
        row.iter().take(F::N).fold([0.0, 0.0], |[least, most], &c| {
            if c > 0.0 { [least + c * low, most + c * high] } else { [least + c * high, most + c * low] }
        })
    };
    for (i, j) in (0..F::N).flat_map(|i| (0..F::N).map(move |j| (i, j))) {
        let [least, most] = range(&b[j], range(&b[i], [0.0, 255.0]));
        reach[i * F::N + j] = f64::max(-least, most);
    }
}

/// Rounds a point's filters `u` of one output channel to integers of 16 bits, and returns the real value of 1: the smallest at
/// which no sum of products with transformed inputs of at most `reach` leaves 32 bits.
///
/// With a rounding of at most 1/2 a channel, `reach * (sum |u| / scale + channels / 2)` must stay below 2^31; the scale's own
/// rounding to f32 has a whole unit of the bracket.
pub(super) fn quantise(u: &[f64], reach: f64, q: &mut [i16]) -> f32 {
    let (sum, largest) = u.iter().fold((0.0, 0.0_f64), |(sum, largest), u| (sum + u.abs(), largest.max(u.abs())));
    let room = f64::from(i32::MAX) / reach - u.len() as f64 / 2.0 - 1.0;
    let scale = f64::max(sum / room, largest / f64::from(i16::MAX)) as f32;
    // What is always zero may have any scale.
    let scale = if scale > 0.0 { scale } else { 1.0 };
    for (q, &u) in q.iter_mut().zip(u) {
        *q = (u / f64::from(scale)).round_ties_even() as i16; // which saturates
    }
    scale
}

/// The most channels whose sums [`quantise`] keeps in 32 bits with filters that are worth the name: where inputs reach 17,340,
/// as those of F(4,3) over 0, +-1, +-2 do, half of the 123,847 units that a sum of filters may have are left for them.
pub(super) const MOST_CHANNELS: usize = 1 << 16;
