//! Any convolution shape, on every kernel: small-integer inputs must give the reference's sums exactly.
#![no_main]

use googlenet_kernels::conv::{self, ConvShape, Tile, conv2d_ref};
use googlenet_kernels::isa;
use googlenet_kernels::view::RowsMut;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Case {
    sizes: [u8; 10],
    relu: bool,
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
    let (steps, pixels) = (shape.steps(), shape.pixels());
    for kernel in isa::detected().flat_map(conv::kernels) {
        let mut packed = vec![f32::NAN; conv::packed_len(kernel, shape.oc, steps)];
        kernel.pack_weights(&shape, &w, &bias, &mut packed);
        let mut panel = vec![f32::NAN; kernel.panel_len(&shape)];
        let mut y = vec![f32::NAN; shape.oc * pixels];
        let mut out = RowsMut::new(&mut y, shape.oc, pixels, pixels);
        for first_px in (0..pixels).step_by(kernel.px) {
            let live = kernel.px.min(pixels - first_px);
            kernel.pack_panel(&shape, &x, first_px, live, &mut panel);
            for block in conv::blocks(kernel, shape.oc, steps) {
                let (w, bias) = packed[block.offset..][..block.width * (steps + 1)].split_at(block.width * steps);
                let y = out.window(block.first..block.first + block.live, first_px..first_px + live);
                kernel.run(Tile { x: &panel, x_step: kernel.px, w, bias, relu: case.relu, y, ahead: &[] });
            }
        }
        for (&got, &expected) in y.iter().zip(&expected) {
            let expected = if case.relu { expected.max(0.0) } else { expected };
            assert_eq!(f64::from(got), expected, "{} {shape:?}", kernel.name);
        }
    }
});
