//! The small kernels from their definitions, in f64: what every variant is tested against. The convolution's
//! reference is [`crate::conv::conv2d_ref`].

use crate::average_pool::{AveragePoolShape, Windows};
use crate::lrn::LrnShape;
use crate::pool::PoolShape;

/// Max pooling of `[c, ih, iw]`; exact, so f32.
pub fn max_pool_ref(shape: &PoolShape, x: &[f32]) -> Vec<f32> {
    let s = shape;
    let mut out = Vec::new();
    for x in x.chunks_exact(s.ih * s.iw) {
        for (oy, ox) in (0..s.oh).flat_map(|oy| (0..s.ow).map(move |ox| (oy, ox))) {
            let mut best = f32::NEG_INFINITY;
            for (ky, kx) in (0..s.kernel).flat_map(|ky| (0..s.kernel).map(move |kx| (ky, kx))) {
                let (iy, ix) = (oy * s.stride + ky, ox * s.stride + kx);
                if iy >= s.pad_t && ix >= s.pad_l && iy - s.pad_t < s.ih && ix - s.pad_l < s.iw {
                    best = best.max(x[(iy - s.pad_t) * s.iw + ix - s.pad_l]);
                }
            }
            out.push(best);
        }
    }
    out
}

/// Local response normalisation of `[c, plane]`, times the scale of the output.
pub fn lrn_ref(shape: &LrnShape, x: &[f32]) -> Vec<f64> {
    let (c, plane, reach) = (shape.c, shape.plane, shape.size / 2);
    let at = |channel: usize, px: usize| f64::from(x[channel * plane + px]);
    (0..c * plane)
        .map(|i| {
            let (channel, px) = (i / plane, i % plane);
            let window = channel.saturating_sub(reach)..(channel + reach + 1).min(c);
            let sum: f64 = window.map(|j| at(j, px) * at(j, px)).sum();
            let mean = f64::from(shape.alpha) / shape.size as f64;
            let normalised = at(channel, px) / (f64::from(shape.k) + mean * sum).powf(f64::from(shape.beta));
            f64::from(shape.scale) * normalised
        })
        .collect()
}

/// The mean of each channel of `[c, plane]`.
pub fn global_average_ref(x: &[f32], plane: usize) -> Vec<f64> {
    x.chunks_exact(plane).map(|x| x.iter().map(|&v| f64::from(v)).sum::<f64>() / plane as f64).collect()
}

/// Average pooling of `[c, ih, iw]`, element by element of the padded input.
pub fn average_pool_ref(shape: &AveragePoolShape, x: &[f32]) -> Vec<f64> {
    let s = shape;
    let holds = |o: usize, outputs: usize, side: usize, i: usize| match s.windows {
        // Of the padded input, where `i` counts from the padding's first.
        Windows::Sliding { kernel, stride, .. } => i >= o * stride && i < o * stride + kernel,
        // Part `i` of `side` and part `o` of `outputs` overlap.
        Windows::Adaptive => i * outputs < (o + 1) * side && (i + 1) * outputs > o * side,
    };
    let pad = if let Windows::Sliding { pad, .. } = s.windows { pad } else { 0 };
    let mut out = Vec::new();
    for x in x.chunks_exact(s.ih * s.iw) {
        for (oy, ox) in (0..s.oh).flat_map(|oy| (0..s.ow).map(move |ox| (oy, ox))) {
            let (mut sum, mut count) = (0.0, 0.0);
            for (iy, ix) in (0..s.ih + 2 * pad).flat_map(|iy| (0..s.iw + 2 * pad).map(move |ix| (iy, ix))) {
                if holds(oy, s.oh, s.ih, iy) && holds(ox, s.ow, s.iw, ix) {
                    count += 1.0;
                    if (pad..pad + s.ih).contains(&iy) && (pad..pad + s.iw).contains(&ix) {
                        sum += f64::from(x[(iy - pad) * s.iw + ix - pad]);
                    }
                }
            }
            out.push(sum / count);
        }
    }
    out
}

/// `bias + w x` of `w` `[oc, ic]`, and the sum of the terms' absolute values, which error bounds are made of.
pub fn dense_ref(x: &[f32], w: &[f32], bias: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let terms = |o: usize| {
        let row = w[o * x.len()..].iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x));
        row.chain([f64::from(bias[o])])
    };
    let sums = (0..bias.len()).map(|o| terms(o).sum()).collect();
    let magnitudes = (0..bias.len()).map(|o| terms(o).map(f64::abs).sum()).collect();
    (sums, magnitudes)
}

/// The number whose f16 bits are `bits` (IEEE 754-2019, section 3.4); f64 holds all of them.
pub fn f16_ref(bits: u16) -> f64 {
    let (exponent, fraction) = (u64::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
    // By its bits, as `powi` promises no exact powers: 2^e is a fraction of 0 behind the exponent e + 1023.
    let power = |biased: u64| f64::from_bits((biased + 1023 - 15) << 52);
    let magnitude = match exponent {
        0 => fraction * power(1),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * power(exponent),
    };
    if bits >> 15 == 0 { magnitude } else { -magnitude }
}

/// Softmax.
pub fn softmax_ref(x: &[f32]) -> Vec<f64> {
    let max = x.iter().fold(f64::NEG_INFINITY, |max, &v| max.max(f64::from(v)));
    let exps: Vec<f64> = x.iter().map(|&v| (f64::from(v) - max).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.iter().map(|v| v / sum).collect()
}
