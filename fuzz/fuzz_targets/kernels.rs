//! Any convolution shape, on every kernel and algorithm, in the nests that plans run: small-integer inputs must give
//! the reference's sums, exactly where nothing is transformed; split into tasks, shared or with a pool behind it, an
//! algorithm must give the same bits as whole. The convolution is one group of several, whose outputs lie among those of
//! the others, which must not change. Besides, a fully connected layer, whose f16 must give the bits of the same numbers
//! in f32, a normalisation, whose bytes must be the same on every set, and a max pool of every element.
#![no_main]

use std::ops::Range;

use googlenet_kernels::conv::{self, ConvShape, Direct, Operands, conv2d_ref};
use googlenet_kernels::dense::{self, Dense, Matrix};
use googlenet_kernels::element::{Bf16, Element};
use googlenet_kernels::lrn::{self, Lrn, LrnShape};
use googlenet_kernels::pool::{self, MaxPool, PoolShape};
use googlenet_kernels::reference::{dense_ref, f16_ref, lrn_ref, max_pool_ref};
use googlenet_kernels::view::RowsMut;
use googlenet_kernels::winograd::Transformed;
use googlenet_kernels::{isa, winograd};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Case {
    sizes: [u8; 10],
    relu: bool,
    in_place: bool,
    rows: u8,
    blocks: u8,
    widths: u8,
    group: u16,
    seed: u64,
    /// The weights of the fully connected layer, which decide its number of inputs.
    halves: Vec<u16>,
    /// What the normalisation is made of.
    normalised: [u8; 6],
}

fuzz_target!(|case: Case| {
    let at = |i: usize, most: u8| usize::from(case.sizes[i] % most) + 1;
    // Most shapes are such that some algorithm computes them: any square filter of up to 8 taps a side at stride 2 and up
    // to 12 at strides of 3 and 4, of 3 or 5 taps at stride 1.
    let (kh, kw, stride_h, stride_w) = match case.sizes[0] % 5 {
        0 => (at(1, 8), at(1, 8), 2, 2),
        1 => ([3, 5][at(1, 2) - 1], [3, 5][at(1, 2) - 1], 1, 1),
        2 => (at(1, 12), at(1, 12), 2 + at(2, 2), 2 + at(2, 2)),
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
    let shape = ConvShape { ic: at(8, 6), ih, iw, oc: at(9, 70), oh, ow, kh, kw, stride_h, stride_w, pad_t, pad_l };
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
    // What changes no bit: how much is worked on at a time, how tasks are split, how many outputs a stack has.
    let group_bytes = usize::from(case.group) * 64;
    let pieces = |n: usize, byte: u8| {
        let middle = usize::from(byte) % (n + 1);
        [0..middle, middle..n]
    };
    for kernel in isa::detected().flat_map(conv::kernels) {
        let widths = pieces(shape.oc, case.widths).map(|width| width.len());
        let in_place = shape.is_pointwise() && case.in_place;
        let conv = Direct::new(*kernel, shape, &widths, in_place, group_bytes);
        let mut packed = vec![f32::NAN; conv.packed_bytes() / 4];
        let mut first = 0;
        for (part, oc) in widths.into_iter().enumerate() {
            let own = first..first + oc;
            let w = &w[own.start * shape.steps()..own.end * shape.steps()];
            conv.pack(part, w, &bias[own.clone()], bytemuck::cast_slice_mut(&mut packed));
            first = own.end;
        }
        // The channels of other groups, before and after.
        let others = usize::from(case.sizes[0] / 5 % 3) * shape.pixels();
        let (pixels, mut layer) = (shape.pixels(), vec![GUARD; others + expected.len() + others]);
        let y = &mut layer[others..others + expected.len()];
        for tiles in pieces(conv.tiles(), case.rows) {
            for blocks in pieces(conv.blocks(), case.blocks) {
                let (low, high) = y.split_at_mut(widths[0] * pixels);
                let mut outputs =
                    [RowsMut::new(low, widths[0], pixels, pixels), RowsMut::new(high, widths[1], pixels, pixels)];
                let mut part = 0;
                let mut y = outputs.each_mut().map(|y| {
                    part += 1;
                    Some(y.window(conv.channels(part - 1, blocks.clone()), conv.pixels(tiles.clone())))
                });
                let mut scratch = vec![f32::NAN; conv.scratch_bytes() / 4];
                conv.run(operands(&x, &packed, case.relu, &mut scratch), tiles.clone(), blocks, &mut y);
            }
        }
        for (&got, &expected) in y.iter().zip(&expected) {
            let expected = if case.relu { expected.max(0.0) } else { expected };
            assert_eq!(f64::from(got), expected, "{} {shape:?}", kernel.name());
        }
        let untouched = layer[..others].iter().chain(&layer[others + expected.len()..]).all(|&y| y == GUARD);
        assert!(untouched, "{} {shape:?} wrote channels of others", kernel.name());
    }
    // Transformed, the sums are not exact. What an algorithm may lose the crate's tests derive; here it is enough to
    // tell rounding from a value that was read at a wrong place, which is off by a share of the magnitudes.
    let largest = magnitudes.iter().fold(1.0_f64, |most, &m| most.max(m));
    for algorithm in isa::detected().flat_map(winograd::algorithms).filter(|algorithm| algorithm.fits(&shape)) {
        let name = algorithm.name();
        let conv = Transformed::new(*algorithm, shape, [Element::F32; 2], group_bytes);
        let mut packed = vec![f32::NAN; conv.packed_bytes() / 4];
        conv.pack(&w, &bias, bytemuck::cast_slice_mut(&mut packed));
        let run = |conv: &Transformed, parts: [Range<usize>; 2]| {
            let pixels = conv.pixels(&(0..conv.parts())).end;
            let mut y = vec![f32::NAN; shape.oc * pixels];
            let mut out = RowsMut::new(bytemuck::cast_slice_mut(&mut y), shape.oc, 4 * pixels, 4 * pixels);
            for part in parts {
                let mut scratch = vec![f32::NAN; conv.scratch_bytes() / 4];
                let pixels = conv.pixels(&part);
                let y = &mut out.window(0..shape.oc, 4 * pixels.start..4 * pixels.end);
                conv.run(transformed_operands(&x, &packed, case.relu, &mut scratch), part, y);
            }
            y
        };
        let whole = run(&conv, [0..conv.tile_rows(), 0..0]);
        for (&got, &expected) in whole.iter().zip(&expected) {
            let expected = if case.relu { expected.max(0.0) } else { expected };
            let err = (f64::from(got) - expected).abs();
            assert!(err <= 1e-3 * largest, "{name} {shape:?}: {got} for {expected}");
        }
        assert_eq!(run(&conv, pieces(conv.tile_rows(), case.rows)), whole, "{name} in parts {shape:?}");

        let (points, row) = (algorithm.points(), conv.v_row_bytes() / 4);
        let (mut v, mut shared) = (vec![f32::NAN; points * row], vec![f32::NAN; whole.len()]);
        let mut scratch = vec![f32::NAN; conv.shared_scratch_bytes() / 4];
        for blocks in pieces(conv.channel_blocks(), case.widths) {
            let block = conv.v_block_bytes() / 4;
            let mut rows = RowsMut::new(&mut v, points, row, row);
            let window = rows.window(0..points, blocks.start * block..blocks.end * block);
            conv.transform(bytemuck::cast_slice(&x), blocks, window, bytemuck::cast_slice_mut(&mut scratch));
        }
        for blocks in pieces(conv.blocks(), case.blocks) {
            let row = 4 * shape.pixels();
            let mut out = RowsMut::new(bytemuck::cast_slice_mut(&mut shared), shape.oc, row, row);
            let y = &mut out.window(conv.channels(blocks.clone()), 0..row);
            conv.multiply(transformed_operands(&v, &packed, case.relu, &mut scratch), blocks, y);
        }
        assert_eq!(shared, whole, "{name} shared {shape:?}");

        let (windows, columns) = (oh.div_ceil(2), ow.div_ceil(2));
        let pool = PoolShape { ih: oh, iw: ow, oh: windows, ow: columns, kernel: 3, stride: 2, pad_t: 0, pad_l: 0 };
        let pooled = run(&conv.with_pool([windows, columns]), pieces(windows, case.rows));
        assert_eq!(pooled, max_pool_ref(&pool, &whole), "{name} and a pool {shape:?}");
    }
    fully_connected(&case);
    normalisation(&case);
    max_pool(&case);
});

const GUARD: f32 = 7777.0;

/// A layer of the given f16, cut into rows, and of the same numbers in f32.
fn fully_connected(case: &Case) {
    let outputs = usize::from(case.rows) % 10 + 1;
    let (inputs, split) = (case.halves.len() / outputs, usize::from(case.blocks) % (outputs + 1));
    let halves = &case.halves[..inputs * outputs];
    let wide: Vec<f32> = halves.iter().map(|&half| f16_ref(half) as f32).collect();
    let x: Vec<f32> = (0..inputs).map(|i| ((i as u64 ^ case.seed) % 9) as f32 - 4.0).collect();
    let bias: Vec<f32> = (0..outputs).map(|o| o as f32 - 3.0).collect();
    let (expected, magnitudes) = dense_ref(&x, &wide, &bias);
    for isa in isa::detected() {
        let layer = Dense::new(isa, inputs, outputs);
        let mut packed = vec![f32::NAN; layer.packed_bytes() / 4];
        layer.pack(&bias, bytemuck::cast_slice_mut(&mut packed));
        let run = |matrix| {
            let mut y = vec![f32::NAN; outputs];
            let (low, high) = y.split_at_mut(split);
            for (part, y) in [(0..split, low), (split..outputs, high)] {
                let packed = bytemuck::cast_slice(&packed);
                layer.run(dense::Operands { x: &x, matrix, packed, relu: case.relu }, part, y);
            }
            y
        };
        let y = run(Matrix::F32(&wide));
        for (o, (&y, same)) in y.iter().zip(run(Matrix::F16(halves))).enumerate() {
            assert!(y.to_bits() == same.to_bits() || y.is_nan() && same.is_nan(), "{isa}: {same} for {y}");
            // The bound is that of finite numbers; sums of finite f16 are far from infinite.
            if magnitudes[o].is_finite() {
                let expected = if case.relu { expected[o].max(0.0) } else { expected[o] };
                let bound = (inputs + 1) as f64 * f64::from(f32::EPSILON) * magnitudes[o];
                assert!((f64::from(y) - expected).abs() <= bound, "{isa} {inputs}x{outputs}: {y} for {expected}");
            }
        }
    }
}

/// A normalisation of a few channels, by the constants of either network or others.
fn normalisation(case: &Case) {
    let [c, plane, reach, constants, scale, beta] = case.normalised;
    let (alpha, k) = [(1e-4, 1.0), (5e-4, 2.0), (0.5, 0.5), (1e-3, 3.0)][usize::from(constants % 4)];
    let shape = LrnShape {
        c: usize::from(c % 20) + 1,
        plane: usize::from(plane) + 1,
        size: 2 * usize::from(reach % 8) + 1,
        alpha,
        beta: [0.75, 0.5, 1.0][usize::from(beta % 3)],
        k,
        scale: 1.0,
    };
    let scale = f32::from(scale);
    let x: Vec<f32> = (0..shape.c * shape.plane).map(|i| (i as f32 + case.seed as f32).sin() * scale).collect();
    let expected = lrn_ref(&shape, &x);
    let mut bytes_of_all = None;
    for isa in isa::detected() {
        let mut y = x.clone();
        let row = 4 * shape.plane;
        let in_place = RowsMut::new(bytemuck::cast_slice_mut(&mut y), shape.c, row, row);
        lrn::select(isa, Element::F32, Element::F32)(Lrn { shape: &shape, x: None, y: in_place });
        let mut bytes = vec![0; x.len()];
        let shape_of_bytes = LrnShape { scale: 0.5, ..shape };
        lrn::select(isa, Element::F32, Element::U8)(Lrn {
            shape: &shape_of_bytes,
            x: Some((bytemuck::cast_slice(&x), 0)),
            y: RowsMut::new(&mut bytes, shape.c, shape.plane, shape.plane),
        });
        assert_eq!(*bytes_of_all.get_or_insert_with(|| bytes.clone()), bytes, "{isa} {shape:?}");
        for (&y, &expected) in y.iter().zip(&expected) {
            // The crate's tests derive this bound.
            let bound = (shape.size + 8) as f64 / 2.0 * f64::from(f32::EPSILON) * expected.abs();
            assert!((f64::from(y) - expected).abs() <= bound, "{isa} {shape:?}: {y} for {expected}");
        }
    }
}

fn transformed_operands<'a>(
    x: &'a [f32],
    packed: &'a [f32],
    relu: bool,
    scratch: &'a mut [f32],
) -> winograd::Operands<'a> {
    let (packed, scratch) = (bytemuck::cast_slice(packed), bytemuck::cast_slice_mut(scratch));
    winograd::Operands { x: bytemuck::cast_slice(x), packed, relu, scratch }
}

/// A max pool of a few channels of every element, by the windows that have kernels of their own and by others.
fn max_pool(case: &Case) {
    let at = |i: usize, most: u8| usize::from(case.sizes[i] % most) + 1;
    let (kernel, stride) = [(3, 1), (3, 2), (2, 2), (at(1, 5), at(2, 4))][at(0, 4) - 1];
    let (ih, iw, c) = (at(3, 40), at(4, 150), at(5, 4));
    let (pad_t, pad_l) = (at(6, 4) - 1, at(7, 4) - 1);
    let outputs = |len: usize, pad: usize, more: usize| (len + 2 * pad).saturating_sub(kernel) / stride + more;
    let (oh, ow) = (outputs(ih, pad_t, at(8, 3)), outputs(iw, pad_l, at(9, 3)));
    let shape = PoolShape { ih, iw, oh, ow, kernel, stride, pad_t, pad_l };
    // Whole numbers from 0 to 255, which every element holds.
    let x: Vec<f32> = (0..c * ih * iw).map(|i| ((i as u64).wrapping_mul(case.seed | 1) >> 13 & 255) as f32).collect();
    let expected = max_pool_ref(&shape, &x);
    for isa in isa::detected() {
        let (mut y, x) = (vec![GUARD; expected.len()], bytemuck::cast_slice(&x));
        pool::select(isa, Element::F32)(MaxPool { shape: &shape, x, y: bytemuck::cast_slice_mut(&mut y) });
        assert_eq!(y, expected, "{isa} {shape:?}");
    }
    let x_bf16: Vec<Bf16> = x.iter().map(|&x| Bf16::from_f32(x)).collect();
    let x_u8: Vec<u8> = x.iter().map(|&x| x as u8).collect();
    for isa in isa::detected() {
        let (mut y, x) = (vec![Bf16(0x7FC0); expected.len()], bytemuck::cast_slice(&x_bf16));
        pool::select(isa, Element::Bf16)(MaxPool { shape: &shape, x, y: bytemuck::cast_slice_mut(&mut y) });
        assert!(y.iter().zip(&expected).all(|(y, &expected)| y.to_f32() == expected), "{isa} bf16 {shape:?}");
        let mut y = vec![1; expected.len()];
        pool::select(isa, Element::U8)(MaxPool { shape: &shape, x: &x_u8, y: &mut y });
        // A window wholly outside is -inf, and 0 of bytes.
        assert!(y.iter().zip(&expected).all(|(&y, &expected)| y == expected as u8), "{isa} u8 {shape:?}");
    }
}

fn operands<'a>(x: &'a [f32], packed: &'a [f32], relu: bool, scratch: &'a mut [f32]) -> Operands<'a> {
    let (packed, scratch) = (bytemuck::cast_slice(packed), bytemuck::cast_slice_mut(scratch));
    Operands { x, packed, relu, scratch }
}
