//! Any convolution shape, on every kernel and form: small-integer inputs must give the reference's sums, exactly where
//! nothing is transformed; cut into parts or with a pool behind it, a form must give the same bits as whole.
#![no_main]

use googlenet_kernels::conv::{self, ConvShape, conv2d_ref};
use googlenet_kernels::pool::PoolShape;
use googlenet_kernels::reference::max_pool_ref;
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
    // Every other shape is one that some form computes: any filter of up to 8 taps a side at stride 2, 3 or 5 at 1.
    let (kh, kw, stride_h, stride_w) = match case.sizes[0] % 4 {
        0 => (at(1, 8), at(1, 8), 2, 2),
        1 => ([3, 5][at(1, 2) - 1], [3, 5][at(1, 2) - 1], 1, 1),
        _ => (at(1, 8), at(2, 8), at(3, 4), at(4, 4)),
    };
    let (pad_t, pad_l) = ((at(4, 6) - 1).min(kh - 1), (at(5, 6) - 1).min(kw - 1));
    let (ih, iw) = (at(6, 20).max(kh), at(7, 40).max(kw));
    // Below and to the right there is as much padding as the output asks for, up to the filter less one.
    let outputs = |len: usize, pad: usize, k: usize, stride: usize, more: usize| {
        (len + pad + more.min(k - 1)).saturating_sub(k) / stride + 1
    };
    let more = usize::from(case.rows / 16);
    let (oh, ow) = (outputs(ih, pad_t, kh, stride_h, more), outputs(iw, pad_l, kw, stride_w, more));
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
    let (expected, magnitudes) = conv2d_ref(&shape, &x, &w, &bias);
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
    // Transformed, the sums are not exact. What a form may lose the crate's tests derive; here it is enough to tell
    // rounding from a value that was read at a wrong place, which is off by a share of the magnitudes.
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
        let columns = ow.div_ceil(2);
        let windows = oh.div_ceil(2);
        let pool = PoolShape { ih: oh, iw: ow, oh: windows, ow: columns, kernel: 3, stride: 2, pad_t: 0, pad_l: 0 };
        let whole = max_pool_ref(&pool, &y);
        let cut = usize::from(case.rows) % (windows + 1);
        let mut pooled = vec![f32::NAN; whole.len()];
        let mut scratch = vec![f32::NAN; form.pooled_scratch_len(&shape, columns, rows)];
        for part in [0..cut, cut..windows] {
            let mut all = RowsMut::new(&mut pooled, shape.oc, windows * columns, windows * columns);
            let mut out = all.window(0..shape.oc, part.start * columns..part.end * columns);
            form.convolve_pooled(&shape, columns, &x, &packed, case.relu, part, rows, &mut out, &mut scratch);
        }
        assert_eq!(pooled, whole, "{} and a pool {shape:?}", form.name());
    }
});
