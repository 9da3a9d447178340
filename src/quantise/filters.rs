//! Scales of weights, and what their rounding does to a convolution's mean outputs.

use googlenet_kernels::conv::ConvShape;
use googlenet_kernels::narrow::{is_pair_safe, quantise};

/// The scale of one output channel's weights, `[ic, kh, kw]` of `shape`: the largest weight becomes 127, unless that makes
/// two neighbours too large to be [multiplied in pairs](is_pair_safe); then the scale is as much larger as it takes. A
/// channel of zeros has the scale 1.
pub(super) fn scale(shape: &ConvShape, w: &[f32], least: f32) -> f32 {
    let largest = w.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
    if largest == 0.0 {
        return 1.0;
    }
    // Rounding takes at most a half of each neighbour: what exceeds 129 together stays above 128, and what is at most 127
    // does not exceed it. So the loop ends after at most 17 steps of a thousandth.
    let mut scale = (largest / 127.0).max(largest_pair(shape, w) / 129.0).max(least);
    let mut q = vec![0; w.len()];
    loop {
        quantise(w, scale, &mut q);
        if is_pair_safe(shape, &q) {
            return scale;
        }
        scale *= 1.0 + 1.0 / 1024.0;
    }
}

/// The largest magnitude of the sum of two neighbours of one sign, in the order in which they are multiplied: in each row
/// of the filter the values `(kx, c)`, the first with the second, the third with the fourth, and so on.
fn largest_pair(shape: &ConvShape, w: &[f32]) -> f32 {
    let at = |ky: usize, i: usize| w[(i % shape.ic * shape.kh + ky) * shape.kw + i / shape.ic];
    let pairs = (0..shape.kh).flat_map(|ky| (0..shape.kw * shape.ic / 2).map(move |pair| (ky, pair)));
    // Of two signs the sum is no larger than either.
    pairs.map(|(ky, pair)| (at(ky, 2 * pair) + at(ky, 2 * pair + 1)).abs()).fold(0.0, f32::max)
}

/// The mean of what each weight of a filter `[ic, kh, kw]` is multiplied with, over the outputs of `shape`, where `input`
/// is the mean of the inputs, `[ic, ih, iw]`. What lies in the padding is zero.
pub(super) fn mean_operands(shape: &ConvShape, input: &[f64]) -> Vec<f64> {
    let ConvShape { ic, ih, iw, oh, ow, kh, kw, .. } = *shape;
    assert_eq!(input.len(), ic * ih * iw, "mean inputs");
    // The inputs along one side that a tap sees.
    let seen = |outputs: usize, stride: usize, tap: usize, pad: usize, side: usize| {
        (0..outputs).filter_map(move |at| (at * stride + tap).checked_sub(pad).filter(|&at| at < side))
    };
    let mut means = Vec::with_capacity(shape.steps());
    for plane in input.chunks_exact(ih * iw) {
        for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
            let of_row = |iy: usize| -> f64 {
                seen(ow, shape.stride_w, kx, shape.pad_l, iw).map(|ix| plane[iy * iw + ix]).sum()
            };
            let sum: f64 = seen(oh, shape.stride_h, ky, shape.pad_t, ih).map(of_row).sum();
            means.push(sum / (oh * ow) as f64);
        }
    }
    means
}

/// How much larger the mean output of a channel becomes, before its bias and ReLU, when its weights `w` are rounded to
/// multiples of `scale`.
pub(super) fn mean_error(w: &[f32], scale: f32, means: &[f64]) -> f64 {
    let mut q = vec![0; w.len()];
    quantise(w, scale, &mut q);
    let error = |(w, q): (&f32, &i8)| f64::from(*q) * f64::from(scale) - f64::from(*w);
    w.iter().zip(&q).map(error).zip(means).map(|(error, mean)| error * mean).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape(ic: usize, kernel: usize, stride: usize, pad: usize) -> ConvShape {
        let (ih, iw) = (7, 6);
        let out = |side: usize| (side + 2 * pad - kernel) / stride + 1;
        let (stride_h, stride_w) = (stride, stride);
        ConvShape {
            ic,
            ih,
            iw,
            oc: 1,
            oh: out(ih),
            ow: out(iw),
            kh: kernel,
            kw: kernel,
            stride_h,
            stride_w,
            pad_t: pad,
            pad_l: pad,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Scales are safe, as small as the largest weight allows, and at most twice that.
        #[test]
        fn scales_are_safe_and_no_larger_than_they_must_be(
            (ic, kernel) in (1_usize..7, 1_usize..4),
            w in prop::collection::vec(-1.0_f32..1.0, 6 * 3 * 3),
            factor in prop_oneof![Just(1.0_f32), Just(1e-6), Just(1e6)],
            few in 0.0_f32..1.0,
        ) {
            let shape = shape(ic, kernel, 1, 1);
            // Few weights are as large as the largest where their cubes are taken.
            let w: Vec<f32> = w[..shape.steps()].iter().map(|&w| factor * if few < 0.5 { w * w * w } else { w }).collect();
            let scale = scale(&shape, &w, f32::MIN_POSITIVE);
            let mut q = vec![0; w.len()];
            quantise(&w, scale, &mut q);
            prop_assert!(is_pair_safe(&shape, &q));
            let largest = w.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
            prop_assume!(largest > 0.0);
            prop_assert!(scale >= largest / 127.0 && scale <= largest / 63.0, "{} for {}", scale, largest);
            if scale > largest / 127.0 {
                quantise(&w, scale * (1.0 - 2.0 / 1024.0), &mut q);
                prop_assert!(!is_pair_safe(&shape, &q) || scale * (1.0 - 2.0 / 1024.0) < largest / 127.0);
            }
        }

        /// The mean error is the difference of the mean outputs, computed by the definition from every output.
        #[test]
        fn mean_errors_are_differences_of_mean_outputs(
            (ic, kernel, stride, pad) in (1_usize..4, 1_usize..4, 1_usize..3, 0_usize..2),
            w in prop::collection::vec(-1.0_f32..1.0, 3 * 3 * 3),
            x in prop::collection::vec(0.0_f64..4.0, 3 * 7 * 6),
        ) {
            let shape = shape(ic, kernel, stride, pad);
            let (w, x) = (&w[..shape.steps()], &x[..ic * 7 * 6]);
            let scale = 0.05;
            let mut q = vec![0; w.len()];
            quantise(w, scale, &mut q);
            let mut expected = 0.0;
            for (oy, ox) in (0..shape.oh).flat_map(|oy| (0..shape.ow).map(move |ox| (oy, ox))) {
                for (i, (w, q)) in w.iter().zip(&q).enumerate() {
                    let (c, ky, kx) = (i / (kernel * kernel), i / kernel % kernel, i % kernel);
                    let (iy, ix) = ((oy * stride + ky).wrapping_sub(pad), (ox * stride + kx).wrapping_sub(pad));
                    if iy < 7 && ix < 6 {
                        expected += (f64::from(*q) * f64::from(scale) - f64::from(*w)) * x[(c * 7 + iy) * 6 + ix];
                    }
                }
            }
            expected /= (shape.oh * shape.ow) as f64;
            let found = mean_error(w, scale, &mean_operands(&shape, x));
            // Sums of at most 27 * 42 terms below 0.1 * 4, in f64.
            prop_assert!((found - expected).abs() < 1e-11, "{} for {}", found, expected);
        }
    }

    #[test]
    fn zeros_and_tiny_weights_have_scales() {
        let shape = shape(4, 1, 1, 0);
        assert_eq!(scale(&shape, &[0.0, -0.0, 0.0, 0.0], 0.125), 1.0);
        assert_eq!(scale(&shape, &[1e-30, 0.0, 0.0, 0.0], 0.125), 0.125);
        assert_eq!(scale(&shape, &[127.0, -127.0, 1.0, 127.0], 0.125), 1.0);
        // 127 and 2 of one sign are 129 together; 126.5 and 1.992 round to 126 or 127 and 2.
        assert!(scale(&shape, &[127.0, 2.0, 0.0, 0.0], 0.125) > 1.0);
    }
}
