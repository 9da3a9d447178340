//! Average pooling: `y[c, oy, ox]` is the mean of a window of channel `c`, times a scale.
//!
//! Planes are NCHW, of any [`Element`]; the means are f32. There is one variant, without vectors: the auxiliary heads alone
//! have such a layer, 16 outputs a channel.
//!
//! ```text
//! for c: for oy: for ox: sum = 0;  for iy, ix of the window: sum += x[c, iy, ix];  y[c, oy, ox] = sum / count * scale
//! ```
//!
//! Bytes are summed as integers, exactly, and the sum multiplied by `scale / count`.
//!
//! Sources: Caffe's `pooling_layer.cpp`, where `count` is the window's elements in the padded input, but not beyond it;
//! PyTorch's `AdaptiveAveragePooling.cpp`.

use core::ops::{AddAssign, Range};

use bytemuck::Pod;

use crate::buffer::{cast, elements};
use crate::element::{Bf16, Element};

/// The shape of one average pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the field's own, see the file's text")]
pub struct AveragePoolShape {
    pub ih: usize,
    pub iw: usize,
    pub oh: usize,
    pub ow: usize,
    pub windows: Windows,
}

/// Where the windows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Windows {
    /// `kernel` elements every `stride`, the first `pad` before the input.
    Sliding {
        /// Side of a window.
        kernel: usize,
        /// From one to the next.
        stride: usize,
        /// Zeros on every side, which count as elements.
        pad: usize,
    },
    /// As many as there are outputs, over all of the input, each as large as another or by one larger.
    Adaptive,
}

impl Windows {
    /// The elements of window `o` of `outputs` over `side` elements, and how many count.
    #[inline]
    fn window(self, o: usize, outputs: usize, side: usize) -> (Range<usize>, usize) {
        match self {
            Windows::Sliding { kernel, stride, pad } => {
                let first = o.saturating_mul(stride);
                let end = first.saturating_add(kernel).min(side.saturating_add(pad).saturating_add(pad));
                (first.saturating_sub(pad)..end.saturating_sub(pad).min(side), end.saturating_sub(first))
            }
            Windows::Adaptive => {
                let range = o * side / outputs..((o + 1) * side).div_ceil(outputs);
                (range.clone(), range.len())
            }
        }
    }
}

/// Averages `x`, `[c, ih, iw]` of `element`, into `y`, `[c, oh, ow]`; each mean is multiplied by `scale`.
///
/// # Panics
/// If a side or a stride is 0, planes are larger than memory, the lengths disagree about `c`, `x` is not aligned as its
/// elements are, or a window lies wholly behind the padded input.
pub fn average_pool(element: Element, shape: &AveragePoolShape, x: &[u8], scale: f32, y: &mut [f32]) {
    let of_floats = |sum: f32, count: usize| sum / count as f32 * scale;
    match element {
        Element::F32 => average(shape, cast::<f32>(x), |row| row.iter().sum::<f32>(), of_floats, y),
        #[cfg(not(googlenet_f32_only))]
        Element::Bf16 => average(shape, cast::<Bf16>(x), |row| row.iter().map(|x| x.to_f32()).sum(), of_floats, y),
        #[cfg(googlenet_f32_only)]
        _ => crate::element::left_out(),
        #[cfg(not(googlenet_f32_only))]
        Element::U8 => {
            let sum = |row: &[u8]| row.iter().map(|&x| u64::from(x)).sum::<u64>();
            average(shape, x, sum, |sum, count| sum as f32 * (scale / count as f32), y);
        }
    }
}

/// The loop of the file's head over `E`, with the sum of a part of a row and the mean of a sum and a count.
fn average<E: Pod, T: AddAssign + Default>(
    shape: &AveragePoolShape,
    x: &[E],
    sum_of: impl Fn(&[E]) -> T,
    mean: impl Fn(T, usize) -> f32,
    y: &mut [f32],
) {
    let (in_plane, out_plane) = (elements(&[shape.ih, shape.iw]), elements(&[shape.oh, shape.ow]));
    // Products of adaptive windows are less than these.
    let _ = (elements(&[shape.oh, shape.ih]), elements(&[shape.ow, shape.iw]));
    assert!(in_plane > 0 && out_plane > 0, "empty {shape:?}");
    assert!(x.len().is_multiple_of(in_plane) && y.len().is_multiple_of(out_plane), "lengths for {shape:?}");
    assert_eq!(x.len() / in_plane, y.len() / out_plane, "channels of input and output");
    for (x, y) in x.chunks_exact(in_plane).zip(y.chunks_exact_mut(out_plane)) {
        for (oy, y) in y.chunks_exact_mut(shape.ow).enumerate() {
            let (rows, height) = shape.windows.window(oy, shape.oh, shape.ih);
            for (ox, y) in y.iter_mut().enumerate() {
                let (columns, width) = shape.windows.window(ox, shape.ow, shape.iw);
                assert!(height * width > 0, "window {oy}, {ox} of {shape:?} is empty");
                let mut sum = T::default();
                for iy in rows.clone() {
                    let row = &x[iy * shape.iw..][..shape.iw];
                    sum += sum_of(row.get(columns.clone()).unwrap_or_default());
                }
                *y = mean(sum, height * width);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reference::average_pool_ref;

    fn check(shape: AveragePoolShape, c: usize, value: impl Fn(usize) -> f32) {
        let values: Vec<f32> = (0..c * shape.ih * shape.iw).map(value).collect();
        let halves: Vec<Bf16> = values.iter().map(|&v| Bf16::from_f32(v)).collect();
        let bytes: Vec<u8> = values.iter().map(|&v| (v.abs() * 20.0) as u8).collect();
        check_element(Element::F32, &shape, bytemuck::cast_slice(&values), &values);
        let exact: Vec<f32> = halves.iter().map(|v| v.to_f32()).collect();
        check_element(Element::Bf16, &shape, bytemuck::cast_slice(&halves), &exact);
        let exact: Vec<f32> = bytes.iter().map(|&v| f32::from(v)).collect();
        check_element(Element::U8, &shape, &bytes, &exact);
    }

    /// Checks `x`, which as f32 is `exact`.
    fn check_element(element: Element, shape: &AveragePoolShape, x: &[u8], exact: &[f32]) {
        let magnitude = exact.iter().fold(0.0_f64, |most, v| most.max(f64::from(v.abs())));
        let expected = average_pool_ref(shape, exact);
        for scale in [1.0, 0.37] {
            let mut y = vec![f32::NAN; expected.len()];
            average_pool(element, shape, x, scale, &mut y);
            for (got, expected) in y.iter().zip(&expected) {
                // At most ih * iw additions, a quotient and a product, or of bytes the sum as f32, a quotient and a product:
                // of EPSILON / 2 each, taken twice for their products, over terms of at most the magnitude.
                let roundings = if element == Element::U8 { 3 } else { shape.ih * shape.iw + 2 };
                let bound = roundings as f64 * f64::from(f32::EPSILON) * magnitude * f64::from(scale);
                let expected = expected * f64::from(scale);
                assert!((f64::from(*got) - expected).abs() <= bound, "{element:?} {shape:?}: {got} for {expected}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_windows_are_their_definition(
            ih in 1_usize..20, iw in 1_usize..20, kernel in 1_usize..6, stride in 1_usize..4, pad in 0_usize..3,
            oh in 1_usize..8, ow in 1_usize..8, c in 0_usize..3, shift in -10.0_f32..10.0,
        ) {
            let value = |i: usize| (i as f32 * 0.7).sin() + shift;
            check(AveragePoolShape { ih, iw, oh, ow, windows: Windows::Adaptive }, c, value);
            // Rounding up; the last window begins before the trailing padding.
            let outputs = |side: usize| {
                let n = (side + 2 * pad).saturating_sub(kernel).div_ceil(stride) + 1;
                n.min((side + pad - 1) / stride + 1)
            };
            let (oh, ow) = (outputs(ih), outputs(iw));
            check(AveragePoolShape { ih, iw, oh, ow, windows: Windows::Sliding { kernel, stride, pad } }, c, value);
        }
    }

    #[test]
    fn the_heads_windows_are_by_hand() {
        // 14 columns in one row: 5 every 3, and in four parts that overlap.
        let x: Vec<f32> = (0..14).map(|i| (i * i) as f32).collect();
        for (windows, expected) in [
            (Windows::Sliding { kernel: 5, stride: 3, pad: 0 }, [6.0, 27.0, 66.0, 123.0]),
            (Windows::Adaptive, [3.5, 21.5, 73.5, 133.5]),
        ] {
            let mut y = [f32::NAN; 4];
            let shape = AveragePoolShape { ih: 1, iw: 14, oh: 1, ow: 4, windows };
            average_pool(Element::F32, &shape, bytemuck::cast_slice(&x), 1.0, &mut y);
            assert_eq!(y, expected, "{windows:?}");
        }
    }

    #[test]
    fn padding_counts_and_what_lies_behind_it_does_not() {
        let windows = Windows::Sliding { kernel: 2, stride: 2, pad: 1 };
        let mut y = [f32::NAN; 2];
        average_pool(Element::U8, &AveragePoolShape { ih: 1, iw: 3, oh: 1, ow: 2, windows }, &[6, 9, 12], 1.0, &mut y);
        // Rows: padding and the one row. Columns: padding and 6; 9 and 12.
        assert_eq!(y, [1.5, 5.25]);
        let mut y = [f32::NAN; 2];
        let windows = Windows::Sliding { kernel: 3, stride: 2, pad: 0 };
        average_pool(
            Element::U8,
            &AveragePoolShape { ih: 1, iw: 4, oh: 1, ow: 2, windows },
            &[3, 6, 9, 12],
            0.5,
            &mut y,
        );
        assert_eq!(y, [3.0, 5.25]);
    }
}
