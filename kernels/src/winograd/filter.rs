//! `U = G g G'`, in f64.

use super::points::{MAX_N, Points, filter_matrix};
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
