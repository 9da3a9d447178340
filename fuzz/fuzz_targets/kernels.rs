//! Any convolution shape, on every kernel and algorithm, in the nests that plans run: small-integer inputs must give
//! the reference's sums, exactly where nothing is transformed; split into tasks, shared or with a pool behind it, an
//! algorithm must give the same bits as whole.
#![no_main]

use std::ops::Range;

use googlenet_kernels::conv::{self, ConvShape, Direct, Operands, conv2d_ref};
use googlenet_kernels::pool::PoolShape;
use googlenet_kernels::reference::max_pool_ref;
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
}

fuzz_target!(|case: Case| {
    let at = |i: usize, most: u8| usize::from(case.sizes[i] % most) + 1;
    // Every other shape is one that some algorithm computes: any filter of up to 8 taps a side at stride 2, of 3 or
    // 5 taps at stride 1.
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
        let (pixels, mut y) = (shape.pixels(), vec![f32::NAN; expected.len()]);
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
    }
    // Transformed, the sums are not exact. What an algorithm may lose the crate's tests derive; here it is enough to
    // tell rounding from a value that was read at a wrong place, which is off by a share of the magnitudes.
    let largest = magnitudes.iter().fold(1.0_f64, |most, &m| most.max(m));
    for algorithm in isa::detected().flat_map(winograd::algorithms).filter(|algorithm| algorithm.fits(&shape)) {
        let name = algorithm.name();
        let conv = Transformed::new(*algorithm, shape, group_bytes);
        let mut packed = vec![f32::NAN; conv.packed_bytes() / 4];
        conv.pack(&w, &bias, bytemuck::cast_slice_mut(&mut packed));
        let run = |conv: &Transformed, parts: [Range<usize>; 2]| {
            let pixels = conv.pixels(&(0..conv.parts())).end;
            let mut y = vec![f32::NAN; shape.oc * pixels];
            let mut out = RowsMut::new(&mut y, shape.oc, pixels, pixels);
            for part in parts {
                let mut scratch = vec![f32::NAN; conv.scratch_bytes() / 4];
                let y = &mut out.window(0..shape.oc, conv.pixels(&part));
                conv.run(operands(&x, &packed, case.relu, &mut scratch), part, y);
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
            conv.transform(&x, blocks, window, bytemuck::cast_slice_mut(&mut scratch));
        }
        for blocks in pieces(conv.blocks(), case.blocks) {
            let mut out = RowsMut::new(&mut shared, shape.oc, shape.pixels(), shape.pixels());
            let y = &mut out.window(conv.channels(blocks.clone()), 0..shape.pixels());
            conv.multiply(operands(&v, &packed, case.relu, &mut scratch), blocks, y);
        }
        assert_eq!(shared, whole, "{name} shared {shape:?}");

        let (windows, columns) = (oh.div_ceil(2), ow.div_ceil(2));
        let pool = PoolShape { ih: oh, iw: ow, oh: windows, ow: columns, kernel: 3, stride: 2, pad_t: 0, pad_l: 0 };
        let pooled = run(&conv.with_pool([windows, columns]), pieces(windows, case.rows));
        assert_eq!(pooled, max_pool_ref(&pool, &whole), "{name} and a pool {shape:?}");
    }
});

fn operands<'a>(x: &'a [f32], packed: &'a [f32], relu: bool, scratch: &'a mut [f32]) -> Operands<'a> {
    let (packed, scratch) = (bytemuck::cast_slice(packed), bytemuck::cast_slice_mut(scratch));
    Operands { x, packed, relu, scratch }
}
