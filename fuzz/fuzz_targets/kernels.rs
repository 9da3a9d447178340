//! Any convolution shape, on every kernel and form: small-integer inputs must give the reference's sums, exactly where
//! nothing is transformed.
#![no_main]

use googlenet_kernels::conv::{self, ConvShape, conv2d_ref};
use googlenet_kernels::view::RowsMut;
use googlenet_kernels::{isa, winograd};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Case {
    sizes: [u8; 10],
    relu: bool,
    in_place: bool,
    rows: u8,
    seed: u64,
}

fuzz_target!(|case: Case| {
    let at = |i: usize, most: u8| usize::from(case.sizes[i] % most) + 1;
    let (kh, kw) = (at(0, 6), at(1, 6));
    let (stride_h, stride_w) = (at(2, 4), at(3, 4));
    let (pad_t, pad_l) = ((at(4, 6) - 1).min(kh - 1), (at(5, 6) - 1).min(kw - 1));
    let (ih, iw) = (at(6, 20).max(kh), at(7, 40).max(kw));
    let (oh, ow) = ((ih + 2 * pad_t - kh) / stride_h + 1, (iw + 2 * pad_l - kw) / stride_w + 1);
    let shape =
        ConvShape { ic: at(8, 6), ih, iw, oc: at(9, 70), oh, ow, kh, kw, stride_h, stride_w, pad_t, pad_l };
    let mut state = case.seed | 1;
    let mut integers = |n: usize| -> Vec<f32> {
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % 9) as f32 - 4.0
        };
        (0..n).map(|_| next()).collect()
    };
    let (x, w) = (integers(shape.ic * ih * iw), integers(shape.oc * shape.steps()));
    let bias = integers(shape.oc);
    let (expected, _) = conv2d_ref(&shape, &x, &w, &bias);
    for kernel in isa::detected().flat_map(conv::kernels) {
        let mut packed = vec![f32::NAN; conv::packed_len(kernel, shape.oc, shape.steps())];
        kernel.pack_weights(&shape, &w, &bias, &mut packed);
        let mut panel = vec![f32::NAN; kernel.panel_len(&shape)];
        let mut y = vec![f32::NAN; expected.len()];
        let in_place = shape.is_pointwise() && case.in_place;
        kernel.convolve(&shape, &x, &packed, case.relu, in_place, &mut panel, &mut y);
        for (&got, &expected) in y.iter().zip(&expected) {
            let expected = if case.relu { expected.max(0.0) } else { expected };
            assert_eq!(f64::from(got), expected, "{} {shape:?}", kernel.name());
        }
    }
    // Transformed, the sums are not exact: each within what its form may lose of the largest magnitude around.
    let (_, magnitudes) = conv2d_ref(&shape, &x, &w, &bias);
    let largest = magnitudes.iter().fold(1.0_f64, |most, &m| most.max(m));
    for form in isa::detected().flat_map(winograd::algorithms).filter(|form| form.fits(&shape)) {
        let mut packed = vec![f32::NAN; form.packed_len(&shape)];
        form.pack_weights(&shape, &w, &bias, &mut packed);
        let tile_rows = form.grid(&shape).rows;
        let rows = usize::from(case.rows) % tile_rows + 1;
        let mut scratch = vec![f32::NAN; form.scratch_len(&shape, rows)];
        let (pixels, mut y) = (shape.pixels(), vec![f32::NAN; expected.len()]);
        let mut out = RowsMut::new(&mut y, shape.oc, pixels, pixels);
        form.convolve(&shape, &x, &packed, case.relu, 0..tile_rows, rows, &mut out, &mut scratch);
        for (&got, &expected) in y.iter().zip(&expected) {
            let expected = if case.relu { expected.max(0.0) } else { expected };
            let err = (f64::from(got) - expected).abs();
            assert!(err <= 1e-3 * largest, "{} {shape:?}: {got} for {expected}", form.name());
        }
    }
});
