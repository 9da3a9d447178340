//! Any convolution shape, on every kernel and algorithm, in the nests that plans run: small-integer inputs must give
//! the reference's sums, exactly where nothing is transformed; split into tasks, shared or with a pool behind it, an
//! algorithm must give the same bits as whole. The convolution is one group of several, whose outputs lie among those of
//! the others, which must not change. Besides, two fully connected layers, a small one of any f16 and a large one, whose f16
//! must give the bits of the same numbers in f32, a normalisation, whose bytes must be the same on every set, and a max
//! pool of every element.

use arbitrary::{Arbitrary, Unstructured};

use super::convolution::{Buffer, How, Layer, assert_near, pieces, random, shape, transformed};
use googlenet_kernels::average::{self, GlobalAverage};
use googlenet_kernels::average_pool::{AveragePoolShape, Windows, average_pool};
use googlenet_kernels::conv::{self, Direct, Operands, conv2d_ref};
use googlenet_kernels::dense::{self, Dense, Matrix};
use googlenet_kernels::element::{Bf16, Element};
use googlenet_kernels::lrn::{self, Lrn, LrnShape};
use googlenet_kernels::pool::{self, MaxPool, PoolShape};
use googlenet_kernels::reference::{
    average_pool_ref, dense_ref, f16_ref, global_average_ref, lrn_ref, max_pool_ref, softmax_ref,
};
use googlenet_kernels::softmax::softmax;
use googlenet_kernels::view::RowsMut;
use googlenet_kernels::{isa, winograd};

#[derive(Arbitrary, Debug)]
struct Case {
    sizes: [u8; 10],
    relu: bool,
    in_place: bool,
    how: How,
    seed: u64,
    /// How many inputs the large fully connected layer has, whose weights are made from the seed.
    inputs: u16,
    /// The weights of the small one, which decide its number of inputs.
    halves: Vec<u16>,
    /// What the normalisation is made of.
    normalised: [u8; 6],
}

/// Runs the case that `bytes` make.
pub fn run(bytes: &[u8]) {
    let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    let how = case.how;
    let shape = shape(&case.sizes, how, [20, 40, 6, 70]);
    let mut next = random(case.seed);
    let mut integers = |n: usize| -> Vec<f32> { (0..n).map(|_| (next() % 9) as f32 - 4.0).collect() };
    let (x, w) = (integers(shape.ic * shape.ih * shape.iw), integers(shape.oc * shape.steps()));
    let bias = integers(shape.oc);
    let (expected, magnitudes) = conv2d_ref(&shape, &x, &w, &bias);
    for kernel in isa::detected().flat_map(conv::kernels) {
        let widths = pieces(shape.oc, how.widths).map(|width| width.len());
        let in_place = shape.is_pointwise() && case.in_place;
        let conv = Direct::new(*kernel, shape, &widths, in_place, how.group_bytes());
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
        for tiles in pieces(conv.tiles(), how.rows) {
            for blocks in pieces(conv.blocks(), how.blocks) {
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
    let bytes = Buffer::of(&x, Element::F32);
    for algorithm in isa::detected().flat_map(winograd::algorithms).filter(|algorithm| algorithm.fits(&shape)) {
        let layer = Layer { shape, x: bytes.bytes(), w: &w, bias: &bias, relu: case.relu };
        let whole = transformed(algorithm, [Element::F32; 2], layer, how);
        let name = format!("{} {shape:?}", algorithm.name());
        assert_near(&name, (whole.bytes(), Element::F32), case.relu, &expected, |_| 1e-3 * largest);
    }
    fully_connected(&case);
    normalisation(&case);
    max_pool(&case);
    averages(&case);
}

const GUARD: f32 = 7777.0;

/// The f16 bits of the whole numbers from -4 to 4.
const WHOLE: [u16; 9] = [0xC400, 0xC200, 0xC000, 0xBC00, 0, 0x3C00, 0x4000, 0x4200, 0x4400];

/// A small layer of the f16 that the case holds, whatever they are, and one of whole numbers with up to 10,000 inputs, of
/// which the networks' largest layers have 9,216.
fn fully_connected(case: &Case) {
    let outputs = usize::from(case.how.rows) % 10 + 1;
    dense_layer(case, outputs, &case.halves[..case.halves.len() / outputs * outputs]);
    let mut next = random(case.seed);
    let large = usize::from(case.inputs) % 10_001 * outputs;
    let large: Vec<u16> = (0..large).map(|_| WHOLE[(next() % 9) as usize]).collect();
    dense_layer(case, outputs, &large);
}

/// A layer of the given f16, cut into rows, and of the same numbers in f32. Sums of small whole numbers must be exact.
fn dense_layer(case: &Case, outputs: usize, halves: &[u16]) {
    let (inputs, split) = (halves.len() / outputs, usize::from(case.how.blocks) % (outputs + 1));
    let is_exact = halves.iter().all(|half| WHOLE.contains(half));
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
                let bound = if is_exact { 0.0 } else { bound };
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

/// Averages of every element, of windows and of whole maps, and a softmax.
fn averages(case: &Case) {
    let at = |i: usize, most: u8| usize::from(case.sizes[i] % most) + 1;
    let (ih, iw, c) = (at(1, 20), at(2, 20), at(3, 20));
    let x: Vec<f32> = (0..c * ih * iw).map(|i| ((i as u64).wrapping_mul(case.seed | 1) >> 13 & 255) as f32).collect();
    let near = |what: &str, got: &[f32], expected: &[f64]| {
        assert_eq!(got.len(), expected.len());
        for (&got, &expected) in got.iter().zip(expected) {
            // Sums of up to 400 whole numbers are exact; what is left is a division, and a product with its scale.
            assert!((f64::from(got) - expected).abs() <= 1e-5 * expected.abs(), "{what}: {got} for {expected}");
        }
    };
    let windows = match case.sizes[4] % 2 {
        0 => Windows::Adaptive,
        _ => {
            let kernel = at(5, 4).min(ih).min(iw);
            Windows::Sliding { kernel, stride: at(6, 3), pad: (at(8, 3) - 1).min(kernel / 2) }
        }
    };
    let outputs = |len: usize| match windows {
        Windows::Adaptive => at(7, 5).min(len),
        Windows::Sliding { kernel, stride, pad } => (len + 2 * pad - kernel) / stride + 1,
    };
    let shape = AveragePoolShape { ih, iw, oh: outputs(ih), ow: outputs(iw), windows };
    let (whole, of_windows) = (global_average_ref(&x, ih * iw), average_pool_ref(&shape, &x));
    for element in [Element::F32, Element::Bf16, Element::U8] {
        let stored = Buffer::of(&x, element);
        let mut y = vec![f32::NAN; of_windows.len()];
        average_pool(element, &shape, stored.bytes(), 1.0, &mut y);
        near(&format!("{element:?} {shape:?}"), &y, &of_windows);
        for isa in isa::detected() {
            let mut y = vec![f32::NAN; c];
            average::select(isa, element)(GlobalAverage { x: stored.bytes(), plane: ih * iw, scale: 1.0, y: &mut y });
            near(&format!("{isa} {element:?} {c} of {ih}x{iw}"), &y, &whole);
        }
    }
    let x: Vec<f32> = x.iter().take(c).map(|x| x / 16.0).collect();
    let mut y = vec![f32::NAN; x.len()];
    softmax(&x, &mut y);
    let far = y.iter().zip(softmax_ref(&x)).any(|(&y, expected)| (f64::from(y) - expected).abs() > 1e-6);
    assert!(!far, "a softmax of {x:?}: {y:?}");
}

fn operands<'a>(x: &'a [f32], packed: &'a [f32], relu: bool, scratch: &'a mut [f32]) -> Operands<'a> {
    let (packed, scratch) = (bytemuck::cast_slice(packed), bytemuck::cast_slice_mut(scratch));
    Operands { x, packed, relu, scratch }
}
