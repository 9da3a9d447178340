//! One battery for every convolution kernel of every set.

use proptest::prelude::*;

use super::*;
use crate::isa;

/// Runs `shape` through `kernel`, tile by tile, from panels and, where it can be, in place.
fn convolve(
    kernel: &ConvKernel,
    shape: &ConvShape,
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    relu: bool,
    in_place: bool,
) -> Vec<f32> {
    const GUARD: f32 = 7777.0;
    let (steps, pixels) = (shape.steps(), shape.pixels());
    let mut packed = vec![f32::NAN; packed_len(kernel, shape.oc, steps)];
    kernel.pack_weights(shape, w, bias, &mut packed);
    let mut panel = vec![f32::NAN; kernel.panel_len(shape)];
    let mut y = vec![GUARD; 1 + shape.oc * pixels + 3];
    kernel.convolve(shape, x, &packed, relu, in_place, &mut panel, &mut y[1..1 + shape.oc * pixels]);
    assert!(y[..1].iter().chain(&y[1 + shape.oc * pixels..]).all(|&v| v == GUARD), "{} wrote outside", kernel.name);
    y[1..1 + shape.oc * pixels].to_vec()
}

fn check(shape: ConvShape, relu: bool, exact: bool, seed: u64) {
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Small integers keep every sum exact in f32 (|sum| < 2^24); fractions test the rounding.
        if exact { (state % 9) as f32 - 4.0 } else { (state % 20011) as f32 / 10005.5 - 1.0 }
    };
    // Slices begin anywhere but at an address that suits a vector.
    let x: Vec<f32> = (0..shape.ic * shape.ih * shape.iw + 1).map(|_| next()).collect();
    let w: Vec<f32> = (0..shape.oc * shape.steps()).map(|_| next()).collect();
    let bias: Vec<f32> = (0..shape.oc).map(|_| next()).collect();
    let x = &x[1..];
    let (sums, magnitudes) = conv2d_ref(&shape, x, &w, &bias);
    for isa in isa::detected() {
        for kernel in kernels(isa) {
            for in_place in if shape.is_pointwise() { &[false, true][..] } else { &[false] } {
                let got = convolve(kernel, &shape, x, &w, &bias, relu, *in_place);
                for (i, &got) in got.iter().enumerate() {
                    let expected = if relu { sums[i].max(0.0) } else { sums[i] };
                    // A sequential sum of n products: n - 1 additions and, where the set does not fuse, n products,
                    // each at most half an ulp: below n * EPSILON * sum |w x| in all (Higham 2002, section 3.1).
                    let bound = (shape.steps() + 1) as f64 * f64::from(f32::EPSILON) * magnitudes[i];
                    let bound = if exact { 0.0 } else { bound };
                    let err = (f64::from(got) - expected).abs();
                    assert!(err <= bound, "{isa} {} {shape:?} at {i}: {got} for {expected}", kernel.name);
                }
            }
        }
    }
}

fn shape(ic: usize, ih: usize, iw: usize, oc: usize, kernel: usize, stride: usize, pad: usize) -> ConvShape {
    let out = |size: usize| (size + 2 * pad - kernel) / stride + 1;
    ConvShape {
        ic,
        ih,
        iw,
        oc,
        oh: out(ih),
        ow: out(iw),
        kh: kernel,
        kw: kernel,
        stride_h: stride,
        stride_w: stride,
        pad_t: pad,
        pad_l: pad,
    }
}

#[test]
fn every_tile_edge_in_channels_and_pixels_is_exact() {
    for oc in [1, 5, 6, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 129] {
        check(shape(3, 1, 15, oc, 1, 1, 0), false, true, 11);
    }
    for iw in [1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14, 15, 16, 17, 24, 27, 28, 29, 47, 48, 49, 97] {
        check(shape(2, 1, iw, 9, 1, 1, 0), true, true, 12);
        check(shape(2, 3, iw, 9, 3, 1, 1), true, true, 13);
    }
}

#[test]
fn strides_kernels_and_paddings_are_exact() {
    for (kernel, stride, pad) in
        [(1, 2, 0), (2, 1, 0), (3, 1, 0), (3, 2, 1), (5, 1, 2), (7, 2, 3), (5, 3, 4), (11, 4, 2)]
    {
        for side in [11, 14, 18] {
            check(shape(3, side, side + 1, 17, kernel, stride, pad), false, true, 14);
        }
    }
}

#[test]
#[should_panic(expected = "a size above")]
fn sizes_whose_product_wraps_are_refused() {
    let shape = ConvShape { ic: 1 << 32, ih: 1 << 32, ..shape(1, 1, 1, 1, 1, 1, 0) };
    kernels(Isa::Portable)[0].pack_panel(&shape, &[], 0, 0, &mut [0.0; 99]);
}

#[test]
#[should_panic(expected = "input of")]
fn a_step_that_wraps_is_refused() {
    let kernel = &kernels(Isa::Portable)[0];
    let (w, bias) = (vec![0.0; 3 * kernel.granule], vec![0.0; kernel.granule]);
    let y = RowsMut::new(&mut [], 0, 0, 0);
    kernel.run(Tile { x: &[0.0; 16], x_step: usize::MAX / 2 + 1, w: &w, bias: &bias, relu: false, y, ahead: &[] });
}

#[test]
fn nan_reaches_the_output() {
    for isa in isa::detected() {
        for kernel in kernels(isa) {
            let s = shape(1, 1, 1, 1, 1, 1, 0);
            let y = convolve(kernel, &s, &[f32::NAN], &[1.0], &[0.0], true, false);
            assert!(y[0].is_nan(), "{isa} {} hid a NaN behind the ReLU", kernel.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_is_within_the_bound(
        ic in 1_usize..9, ih in 1_usize..20, iw in 1_usize..30, oc in 1_usize..70,
        (kh, kw) in (1_usize..6, 1_usize..6), (stride_h, stride_w) in (1_usize..4, 1_usize..4),
        (pad_t, pad_l) in (0_usize..5, 0_usize..5), relu: bool, exact: bool, seed: u64,
    ) {
        let (pad_t, pad_l, ih, iw) = (pad_t.min(kh - 1), pad_l.min(kw - 1), ih.max(kh), iw.max(kw));
        let (oh, ow) = ((ih + 2 * pad_t - kh) / stride_h + 1, (iw + 2 * pad_l - kw) / stride_w + 1);
        let shape = ConvShape { ic, ih, iw, oc, oh, ow, kh, kw, stride_h, stride_w, pad_t, pad_l };
        check(shape, relu, exact, seed);
    }
}
