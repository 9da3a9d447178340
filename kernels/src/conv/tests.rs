//! One battery for every convolution kernel of every set.

use proptest::prelude::*;

use super::*;
use crate::isa;

const GUARD: f32 = 7777.0;

/// How a convolution is run, which changes no bit of its result.
#[derive(Clone, Copy, Debug)]
struct How {
    in_place: bool,
    /// Tiles of a group.
    group: usize,
    /// Outputs that the channels are dealt to.
    outputs: usize,
    /// Tiles and blocks of a task.
    tiles: usize,
    blocks: usize,
}

const ALL: usize = 1 << 20;

const WHOLE: How = How { in_place: false, group: ALL, outputs: 1, tiles: ALL, blocks: ALL };

const WAYS: [How; 4] = [
    WHOLE,
    How { group: 1, ..WHOLE },
    How { group: 2, outputs: 3, tiles: 3, blocks: 1, ..WHOLE },
    How { group: ALL, outputs: 2, tiles: 2, blocks: 2, ..WHOLE },
];

/// Runs `shape` through `kernel` in that way, every output apart, and returns all channels. Outputs and scratch are NaN
/// before, lie between guards and begin at addresses that suit no vector.
fn convolve(
    kernel: &ConvKernel,
    shape: &ConvShape,
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    relu: bool,
    how: How,
) -> Vec<f32> {
    let (pixels, steps) = (shape.pixels(), shape.steps());
    let widths: Vec<usize> =
        (0..how.outputs).map(|i| (i + 1) * shape.oc / how.outputs - i * shape.oc / how.outputs).collect();
    let conv = Direct::new(*kernel, *shape, &widths, how.in_place, (4 * kernel.px * steps).saturating_mul(how.group));
    let mut packed = vec![f32::NAN; conv.packed_bytes() / 4];
    let mut first = 0;
    for (part, &oc) in widths.iter().enumerate() {
        let w = &w[first * steps..(first + oc) * steps];
        conv.pack(part, w, &bias[first..first + oc], bytemuck::cast_slice_mut(&mut packed));
        first += oc;
    }
    assert!(packed.iter().all(|v| !v.is_nan()) || w.iter().chain(bias).any(|v| v.is_nan()), "holes in the weights");
    let len = conv.scratch_bytes() / 4;
    let mut scratch = vec![GUARD; 1 + len + 3];
    let mut buffers: Vec<Vec<f32>> = widths.iter().map(|oc| vec![GUARD; 1 + oc * pixels + 3]).collect();
    for (buffer, oc) in buffers.iter_mut().zip(&widths) {
        buffer[1..][..oc * pixels].fill(f32::NAN);
    }
    for tile in (0..conv.tiles()).step_by(how.tiles) {
        for block in (0..conv.blocks()).step_by(how.blocks) {
            let tiles = tile..(tile + how.tiles).min(conv.tiles());
            let blocks = block..(block + how.blocks).min(conv.blocks());
            let outputs = buffers.iter_mut().zip(&widths);
            let mut outputs: Vec<_> =
                outputs.map(|(buffer, &oc)| RowsMut::new(&mut buffer[1..], oc, pixels, pixels)).collect();
            let mut y: Vec<_> = outputs
                .iter_mut()
                .enumerate()
                .map(|(part, y)| {
                    let channels = conv.channels(part, blocks.clone());
                    (!channels.is_empty()).then(|| y.window(channels, conv.pixels(tiles.clone())))
                })
                .collect();
            scratch[1..=len].fill(f32::NAN);
            let (packed, scratch) = (bytemuck::cast_slice(&packed), bytemuck::cast_slice_mut(&mut scratch[1..=len]));
            conv.run(Operands { x, packed, relu, scratch }, tiles, blocks, &mut y);
        }
    }
    let guards =
        buffers.iter().zip(&widths).flat_map(|(buffer, oc)| buffer[..1].iter().chain(&buffer[1 + oc * pixels..]));
    let mut guards = guards.chain(&scratch[..1]).chain(&scratch[1 + len..]);
    assert!(guards.all(|&v| v == GUARD), "{} {how:?} wrote outside", kernel.name);
    buffers.iter().zip(&widths).flat_map(|(buffer, oc)| buffer[1..][..oc * pixels].to_vec()).collect()
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
            let ways = WAYS.iter().flat_map(|&how| [how, How { in_place: true, ..how }]);
            for how in ways.filter(|how| shape.is_pointwise() || !how.in_place) {
                let got = convolve(kernel, &shape, x, &w, &bias, relu, how);
                for (i, &got) in got.iter().enumerate() {
                    let expected = if relu { sums[i].max(0.0) } else { sums[i] };
                    // A sequential sum of n products: n - 1 additions and, where the set does not fuse, n products,
                    // each at most half an ulp: below n * EPSILON * sum |w x| in all (Higham 2002, section 3.1).
                    let bound = (shape.steps() + 1) as f64 * f64::from(f32::EPSILON) * magnitudes[i];
                    let bound = if exact { 0.0 } else { bound };
                    let err = (f64::from(got) - expected).abs();
                    assert!(err <= bound, "{isa} {} {shape:?} {how:?} at {i}: {got} for {expected}", kernel.name);
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

/// The first layers of Krizhevsky's network, and the second of Zeiler and Fergus's, for fewer outputs. Their sums of at
/// most 2,400 products of small integers are exact.
#[test]
fn large_filters_of_large_strides_are_exact() {
    check(shape(3, 227, 227, 17, 11, 4, 0), true, true, 15);
    check(shape(96, 55, 55, 7, 5, 2, 0), true, true, 16);
    check(shape(48, 27, 27, 19, 5, 1, 2), true, true, 17);
}

/// A grouped convolution as plans compute it: each group reads some of the input's channels and writes some of the
/// output's. It is a convolution whose weights are 0 between groups, and small integers make every sum exact.
#[test]
fn groups_are_windows_of_channels() {
    let (groups, pixels) = (3, 8 * 9);
    let group = shape(4, 8, 9, 11, 3, 1, 1);
    let whole = ConvShape { ic: groups * group.ic, oc: groups * group.oc, ..group };
    let integers = |n: usize, seed: usize| (0..n).map(|i| ((i * 37 + seed) * 11 % 9) as f32 - 4.0).collect::<Vec<_>>();
    let (x, bias) = (integers(whole.ic * pixels, 1), integers(whole.oc, 2));
    let w = integers(whole.oc * group.steps(), 3);
    let mut sparse = vec![0.0; whole.oc * whole.steps()];
    for (o, row) in sparse.chunks_exact_mut(whole.steps()).enumerate() {
        let first = o / group.oc * group.steps();
        row[first..first + group.steps()].copy_from_slice(&w[o * group.steps()..][..group.steps()]);
    }
    let (expected, _) = conv2d_ref(&whole, &x, &sparse, &bias);
    for kernel in isa::detected().flat_map(kernels) {
        let conv = Direct::new(*kernel, group, &[group.oc], false, 0);
        let mut packed = vec![f32::NAN; conv.packed_bytes() / 4];
        let mut scratch = vec![f32::NAN; conv.scratch_bytes() / 4];
        let mut y = vec![GUARD; whole.oc * pixels];
        for g in [1, 0, 2] {
            let (inputs, outputs) = (g * group.ic..(g + 1) * group.ic, g * group.oc..(g + 1) * group.oc);
            let before = y.clone();
            let own = &w[outputs.start * group.steps()..outputs.end * group.steps()];
            conv.pack(0, own, &bias[outputs.clone()], bytemuck::cast_slice_mut(&mut packed));
            let mut rows = RowsMut::new(&mut y, whole.oc, pixels, pixels);
            let operands = Operands {
                x: &x[inputs.start * pixels..inputs.end * pixels],
                packed: bytemuck::cast_slice(&packed),
                relu: false,
                scratch: bytemuck::cast_slice_mut(&mut scratch),
            };
            conv.run(operands, 0..conv.tiles(), 0..conv.blocks(), &mut [Some(rows.window(outputs.clone(), 0..pixels))]);
            let others = |y: &[f32]| [&y[..outputs.start * pixels], &y[outputs.end * pixels..]].concat();
            assert!(others(&y) == others(&before), "{}: group {g} wrote another's channels", kernel.name);
        }
        assert!(y.iter().zip(&expected).all(|(&y, &expected)| f64::from(y) == expected), "{}", kernel.name);
    }
}

#[test]
fn no_way_changes_a_bit() {
    let shape = shape(7, 9, 11, 70, 3, 1, 1);
    let pointwise = ConvShape { kh: 1, kw: 1, pad_t: 0, pad_l: 0, ..shape };
    for (shape, in_place) in [(shape, false), (pointwise, false), (pointwise, true)] {
        let value = |i: usize| (i as f32 * 0.37).sin();
        let x: Vec<f32> = (0..shape.ic * shape.ih * shape.iw).map(value).collect();
        let w: Vec<f32> = (0..shape.oc * shape.steps()).map(|i| value(3 * i + 1)).collect();
        let bias: Vec<f32> = (0..shape.oc).map(value).collect();
        for kernel in isa::detected().flat_map(kernels) {
            let whole = convolve(kernel, &shape, &x, &w, &bias, true, How { in_place, ..WHOLE });
            for (group, tiles, blocks) in [(1, 1, 1), (2, 3, 1), (2, ALL, 2), (3, 4, ALL), (ALL, 2, 3), (ALL, 5, 1)] {
                for outputs in [1, 2, 3, 5] {
                    let how = How { in_place, group, outputs, tiles, blocks };
                    let got = convolve(kernel, &shape, &x, &w, &bias, true, how);
                    assert!(got == whole, "{} {shape:?} {how:?}", kernel.name);
                }
            }
        }
    }
}

#[test]
fn names_say_the_tile() {
    for kernel in isa::detected().flat_map(kernels) {
        let lanes = kernel.granule;
        let name = if kernel.transposes {
            format!("channel-lane {}x{}", kernel.px, kernel.oc / lanes)
        } else {
            format!("pixel-lane {}x{}", kernel.oc, kernel.name.rsplit('x').next().unwrap_or_default())
        };
        assert_eq!(kernel.name, name);
    }
}

/// What wraps around in 32 bits must be refused there, which is shown here with what memory has there.
#[test]
#[cfg_attr(panic = "abort", ignore = "a panic ends the program here")]
fn shapes_whose_sizes_wrap_in_32_bits_are_refused_there() {
    let most = i32::MAX as u64 / 4;
    let largest = 1 << 15;
    let one = shape(1, 1, 1, 1, 1, 1, 0);
    for (larger, what) in [
        (ConvShape { ic: largest, ih: largest, iw: 4, ..one }, "inputs"), // 2^32: 0
        (ConvShape { ic: 0, ih: largest, iw: largest, ..one }, "a plane of no channels"),
        (ConvShape { oc: 4, oh: largest, ow: largest, ..one }, "outputs"),
        (ConvShape { oc: largest, ic: 512, kh: 16, kw: 16, ..one }, "weights"),
    ] {
        assert!(!larger.fits(most), "{what}");
        let refused = std::panic::catch_unwind(|| larger.assert_sizes()).is_err();
        assert_eq!(refused, cfg!(target_pointer_width = "32"), "{what}");
    }
    assert!(shape(64, 224, 224, 64, 3, 1, 1).fits(most));
}

#[test]
#[should_panic(expected = "a size above")]
fn sizes_whose_product_wraps_are_refused() {
    let shape = ConvShape { ic: 1 << 16, ..shape(1, 1, 1, 1, 1, 1, 0) };
    Direct::new(kernels(isa::plainest())[0], shape, &[1], false, 0);
}

#[test]
#[should_panic(expected = "larger than memory")]
fn panels_larger_than_memory_are_refused() {
    let side = 1 << 15;
    let shape = ConvShape { ic: side, kh: side, kw: side / 2, oh: 1 << 10, ow: 1 << 10, ..shape(1, 1, 1, 1, 1, 1, 0) };
    Direct::new(kernels(isa::plainest())[0], shape, &[1], false, usize::MAX);
}

#[test]
#[should_panic(expected = "input of")]
fn a_step_that_wraps_is_refused() {
    let kernel = &kernels(isa::plainest())[0];
    let (w, bias) = (vec![0.0; 3 * kernel.granule], vec![0.0; kernel.granule]);
    let y = RowsMut::new(&mut [], 0, 0, 0);
    kernel.run(Tile { x: &[0.0; 16], x_step: usize::MAX / 2 + 1, w: &w, bias: &bias, relu: false, y, ahead: &[] });
}

#[test]
#[should_panic(expected = "of convolution 1, for 3 channels")]
fn a_window_that_is_missing_is_refused() {
    let shape = shape(1, 1, 1, 5, 1, 1, 0);
    let conv = Direct::new(kernels(isa::plainest())[0], shape, &[2, 3], true, 0);
    let packed = vec![0.0_f32; conv.packed_bytes() / 4];
    let mut scratch = vec![0.0_f32; conv.scratch_bytes() / 4];
    let (packed, scratch) = (bytemuck::cast_slice(&packed), bytemuck::cast_slice_mut(&mut scratch));
    let operands = Operands { x: &[1.0], packed, relu: true, scratch };
    conv.run(operands, 0..1, 0..2, &mut [Some(RowsMut::new(&mut [0.0; 2], 2, 1, 1)), None]);
}

#[test]
fn nan_reaches_the_output() {
    for isa in isa::detected() {
        for kernel in kernels(isa) {
            let s = shape(1, 1, 1, 1, 1, 1, 0);
            let y = convolve(kernel, &s, &[f32::NAN], &[1.0], &[0.0], true, WHOLE);
            assert!(y[0].is_nan(), "{isa} {} hid a NaN behind the ReLU", kernel.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_is_within_the_bound(
        ic in 1_usize..9, ih in 1_usize..20, iw in 1_usize..30, oc in 1_usize..70,
        (kh, kw) in (1_usize..12, 1_usize..12), (stride_h, stride_w) in (1_usize..5, 1_usize..5),
        (pad_t, pad_l) in (0_usize..6, 0_usize..6), relu: bool, exact: bool, seed: u64,
    ) {
        // Large filters have fewer channels, so that no case takes much longer than others.
        let ic = ic.min((256 / (kh * kw)).max(1));
        let (pad_t, pad_l, ih, iw) = (pad_t.min(kh - 1), pad_l.min(kw - 1), ih.max(kh), iw.max(kw));
        let (oh, ow) = ((ih + 2 * pad_t - kh) / stride_h + 1, (iw + 2 * pad_l - kw) / stride_w + 1);
        let shape = ConvShape { ic, ih, iw, oc, oh, ow, kh, kw, stride_h, stride_w, pad_t, pad_l };
        check(shape, relu, exact, seed);
    }
}
