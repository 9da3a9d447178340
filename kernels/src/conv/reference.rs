//! The convolution from its definition, in f64.

use super::ConvShape;

/// `y[o, y, x] = bias[o] + sum w[o, c, ky, kx] * x[c, y * stride + ky - pad, x * stride + kx - pad]`, and the sum of
/// the terms' absolute values (bias included), which error bounds are made of. Both `[oc, oh, ow]`; no ReLU.
pub fn conv2d_ref(shape: &ConvShape, x: &[f32], w: &[f32], bias: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let s = shape;
    let (mut sums, mut magnitudes) = (Vec::new(), Vec::new());
    for o in 0..s.oc {
        for (y, column) in (0..s.oh).flat_map(|y| (0..s.ow).map(move |column| (y, column))) {
            let mut sum = f64::from(bias[o]);
            let mut magnitude = sum.abs();
            for (ky, kx) in (0..s.kh).flat_map(|ky| (0..s.kw).map(move |kx| (ky, kx))) {
                let (iy, ix) = (y * s.stride_h + ky, column * s.stride_w + kx);
                if iy < s.pad_t || ix < s.pad_l || iy - s.pad_t >= s.ih || ix - s.pad_l >= s.iw {
                    continue;
                }
                let (iy, ix) = (iy - s.pad_t, ix - s.pad_l);
                for c in 0..s.ic {
                    let term = f64::from(w[((o * s.ic + c) * s.kh + ky) * s.kw + kx])
                        * f64::from(x[(c * s.ih + iy) * s.iw + ix]);
                    sum += term;
                    magnitude += term.abs();
                }
            }
            sums.push(sum);
            magnitudes.push(magnitude);
        }
    }
    (sums, magnitudes)
}
