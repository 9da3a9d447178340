//! The battery of algorithms whose filters are of 16 bits, and of those of f32 between activations that are narrower: between
//! activations of every element that they take.

use proptest::prelude::*;

use super::tests::{How, WHOLE, magnitudes_by, magnitudes_of, numbers, pack, run_bytes, shape};
use super::*;
use crate::conv::conv2d_ref;
use crate::isa;
use crate::pool::PoolShape;
use crate::reference::max_pool_ref;

const ELEMENTS: [Element; 3] = [Element::F32, Element::Bf16, Element::U8];

/// Every algorithm in every way that this machine has, with each pair of elements that it takes, for `shape`.
fn cases(shape: &ConvShape) -> Vec<(&'static Winograd, [Element; 2])> {
    let of = |isa| algorithms(isa).iter().chain(bf16_variants(isa).flatten()).chain(integer_variants(isa));
    let algorithms = isa::detected().flat_map(of).filter(|algorithm| algorithm.fits(shape));
    let pairs = || ELEMENTS.into_iter().flat_map(|input| ELEMENTS.map(|output| [input, output]));
    algorithms
        .flat_map(|algorithm| pairs().map(move |ends| (algorithm, ends)))
        .filter(|(algorithm, [input, output])| algorithm.takes(*input, *output))
        .collect()
}

/// Numbers as `element` stores them, in bytes that begin at a multiple of 4, and what they are then.
fn stored(numbers: &[f32], element: Element) -> (Vec<u32>, Vec<f32>) {
    let (bytes, values): (Vec<Vec<u8>>, Vec<f32>) = numbers
        .iter()
        .map(|&x| match element {
            Element::F32 => (x.to_ne_bytes().to_vec(), x),
            Element::Bf16 => (Bf16::from_f32(x).0.to_ne_bytes().to_vec(), Bf16::from_f32(x).to_f32()),
            Element::U8 => {
                let byte = (x.abs() * 60.0) as u8;
                (vec![byte], f32::from(byte))
            }
        })
        .unzip();
    let mut bytes = bytes.concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    (bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect(), values)
}

/// The values of stored elements.
fn values(bytes: &[u8], element: Element) -> Vec<f32> {
    match element {
        Element::F32 => bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect(),
        Element::Bf16 => {
            bytes.chunks_exact(2).map(|bits| bytemuck::pod_read_unaligned::<Bf16>(bits).to_f32()).collect()
        }
        Element::U8 => bytes.iter().map(|&byte| f32::from(byte)).collect(),
    }
}

fn check(shape: ConvShape, relu: bool, how: How, seed: u64) {
    let inputs = shape.ic * shape.ih * shape.iw;
    let x = numbers(seed, inputs, false);
    let w = numbers(seed ^ 0xABCD, shape.oc * shape.steps(), false);
    let bias = numbers(seed ^ 0x1234, shape.oc, false);
    for (algorithm, [input, output]) in cases(&shape) {
        let (bytes, x) = stored(&x, input);
        let bytes = &bytemuck::cast_slice::<u32, u8>(&bytes)[..inputs * input.bytes()];
        let (sums, _) = conv2d_ref(&shape, &x, &w, &bias);
        let magnitudes = magnitudes_of(algorithm, &shape, &x, &w);
        let conv = Transformed::new(*algorithm, shape, [input, output], 0);
        let packed = pack(&conv, &w, &bias);
        let got = run_bytes(&conv, bytes, &packed, relu, how);
        // In integers a filter is rounded by at most half of its point's scale.
        let quantised = if algorithm.is_integer() {
            magnitudes_by::<F43Integer>(&shape, &x, |o, _| {
                let half = |point: usize| 0.5 * f64::from(scale(&conv, &packed, o, point));
                (0..6).map(|i| (0..6).map(|j| half(i * 6 + j)).collect()).collect()
            })
        } else {
            vec![0.0; sums.len()]
        };
        for (i, &got) in values(&got, output).iter().enumerate() {
            let expected = if relu { sums[i].max(0.0) } else { sums[i] };
            // Filters of bf16 and, in words of it, inputs are rounded by at most 2^-8 of what their absolute values make, and
            // by a 2^-16th both; the rest is as in f32, where a product may be rounded before it is added. Sums in integers
            // are rounded twice, when they become f32 and by their scales, which takes the place of two channels or more.
            let n = algorithm.m + algorithm.r - 1;
            let roundings = (2 * algorithm.channels(&shape) + 6 * n + 2) as f64 * f64::from(f32::EPSILON);
            let narrow = match algorithm.products {
                Products::F32 | Products::Integers => 0.0,
                Products::Widened => 1.0 / 256.0,
                Products::Words => 2.0 / 256.0 + 1.0 / 65536.0,
            };
            let bound = (narrow + roundings * 1.02) * magnitudes[i]
                + (1.0 + roundings) * quantised[i]
                + roundings * f64::from(bias[i / shape.pixels()]).abs();
            let (expected, bound) = match output {
                Element::F32 => (expected, bound),
                Element::Bf16 => (expected, bound + (expected.abs() + bound) / 256.0),
                Element::U8 => (expected.clamp(0.0, 255.0), bound + 0.5),
            };
            let err = (f64::from(got) - expected).abs();
            assert!(err <= bound, "{} {shape:?} {input:?} {output:?} at {i}: {got} for {expected}", algorithm.name);
        }
    }
}

/// The real value of 1 of output channel `o` at a point, from packed weights.
fn scale(conv: &Transformed, packed: &[f32], o: usize, point: usize) -> f32 {
    let (algorithm, shape) = (conv.algorithm(), conv.shape());
    let block = algorithm.blocks(shape).find(|block| o < block.first + block.live).expect("a block");
    let filters = block.width * algorithm.points() * algorithm.steps(shape);
    packed[block.offset + filters + point * block.width + o - block.first]
}

/// Bytes give the same bits in integers on every set, however it multiplies.
#[test]
fn integers_are_the_same_on_every_set() {
    for (ic, ih, iw, oc) in [(1, 5, 4, 1), (7, 9, 13, 9), (16, 14, 14, 33), (65, 28, 6, 17)] {
        let shape = shape(ic, ih, iw, oc, 3, 1, 1);
        let bytes = stored(&numbers(3, ic * ih * iw, false), Element::U8).0;
        let bytes = &bytemuck::cast_slice::<u32, u8>(&bytes)[..ic * ih * iw];
        let (w, bias) = (numbers(4, oc * shape.steps(), false), numbers(5, oc, false));
        for output in ELEMENTS {
            let mut all = isa::detected().flat_map(integer_variants).map(|algorithm| {
                let conv = Transformed::new(*algorithm, shape, [Element::U8, output], 0);
                (algorithm, run_bytes(&conv, bytes, &pack(&conv, &w, &bias), false, WHOLE))
            });
            let (_, expected) = all.next().expect("the portable set's");
            for (algorithm, got) in all {
                assert!(got == expected, "{:?} {shape:?} {output:?}", algorithm.instruction());
            }
        }
    }
}

/// The largest transformed inputs are found by inputs of 0 and 255 at each sign of the coefficients, and are 16 bits.
#[test]
fn transformed_bytes_reach_what_is_said() {
    let mut reach = vec![0.0; 36];
    filter::reach::<F43Integer>(&mut reach);
    let b = points::input_matrix::<F43Integer>();
    for (i, j) in (0..6).flat_map(|i| (0..6).map(move |j| (i, j))) {
        let products = || (0..36).map(|at| b[i][at / 6] * b[j][at % 6]);
        let sum = |sign: f64| products().map(|p| 255.0 * (sign * p).max(0.0)).sum::<f64>();
        assert_eq!(reach[i * 6 + j], sum(1.0).max(sum(-1.0)), "point {i}, {j}");
    }
    assert_eq!(reach.iter().copied().fold(0.0, f64::max), 17_340.0);
}

/// Filters that add up to as much as they may, all of one sign, under inputs at their limits leave the sum within 32 bits,
/// and each is rounded to the nearest.
#[test]
fn no_sum_of_integers_overflows() {
    for channels in [1, 2, 3, 64, 832, filter::MOST_CHANNELS] {
        let alike = vec![1.0; channels];
        let one_large: Vec<f64> = (0..channels).map(|c| if c == 0 { -1e6 } else { 1e-6 }).collect();
        let rising: Vec<f64> = (0..channels).map(|c| 0.3 + c as f64).collect();
        for (u, reach) in [alike, one_large, rising].into_iter().flat_map(|u| [255.0, 17_340.0].map(|r| (u.clone(), r)))
        {
            let mut q = vec![0; channels];
            let scale = f64::from(filter::quantise(&u, reach, &mut q));
            let sum: f64 = q.iter().map(|&q| f64::from(q).abs()).sum();
            assert!(sum * reach <= f64::from(i32::MAX), "{channels} channels sum up to {sum}");
            for (&u, &q) in u.iter().zip(&q) {
                assert!((f64::from(q) * scale - u).abs() <= 0.501 * scale, "{u} became {q} times {scale}");
            }
        }
    }
    assert_eq!(filter::quantise(&[0.0, 0.0], 17_340.0, &mut [1, 1]), 1.0);
}

#[test]
fn every_tile_edge_is_within_the_bound() {
    for side in [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 17] {
        for (kernel, stride, pad) in [(3, 1, 1), (5, 1, 2), (7, 2, 3), (3, 1, 0), (9, 3, 0), (11, 4, 5)] {
            if side + 2 * pad >= kernel {
                let shape = shape(3, side, side + 2, 9, kernel, stride, pad);
                check(shape, true, How { rows: 1, part: 3, shared: None }, side as u64);
            }
        }
    }
    for oc in [1, 8, 17, 33, 65] {
        check(shape(2, 6, 5, oc, 3, 1, 1), false, WHOLE, 77);
    }
    for ic in [1, 2, 7, 8, 9, 15, 16, 17, 33] {
        check(shape(ic, 9, 4, 5, 5, 1, 2), false, How { shared: Some([2, 1]), ..WHOLE }, 78);
    }
}

/// How a layer of 64 channels comes out: filters and inputs of bf16 leave a few thousandths of the output's RMS, and points
/// that spread far lose more. The bounds are a little above what either way of multiplying gives.
#[test]
fn a_layer_of_64_channels_is_as_accurate_as_bf16_allows() {
    for (kernel, stride, pad) in [(3, 1, 1), (5, 1, 2), (7, 2, 3)] {
        let shape = shape(if stride == 1 { 64 } else { 3 }, 20, 20, 32, kernel, stride, pad);
        let x: Vec<f32> = numbers(8, shape.ic * 400, false).iter().map(|x| x.max(0.0)).collect();
        let (w, bias) = (numbers(9, shape.oc * shape.steps(), false), vec![0.0; shape.oc]);
        let (expected, _) = conv2d_ref(&shape, &x, &w, &bias);
        let square: f64 = expected.iter().map(|v| v * v).sum();
        for (algorithm, ends) in cases(&shape).into_iter().filter(|(_, ends)| *ends == [Element::F32; 2]) {
            let conv = Transformed::new(*algorithm, shape, ends, 0);
            let got = run_bytes(&conv, bytemuck::cast_slice(&x), &pack(&conv, &w, &bias), false, WHOLE);
            let errors = values(&got, Element::F32);
            let errors: f64 = errors.iter().zip(&expected).map(|(&g, &e)| (f64::from(g) - e).powi(2)).sum();
            let rms = (errors / square).sqrt();
            println!("{} {kernel}x{kernel}/{stride}: rms {rms:.1e}", algorithm.name);
            let bound = match algorithm.products {
                Products::F32 => 1e-5,
                _ if algorithm.m + algorithm.r > 7 => 5e-2,
                _ => 1.5e-2,
            };
            assert!(rms <= bound, "{}: rms {rms:.1e}", algorithm.name);
        }
    }
}

#[test]
fn parts_change_no_bit() {
    let shape = shape(19, 15, 13, 21, 3, 1, 1);
    let (x, w, bias) = (numbers(1, 19 * 15 * 13, false), numbers(2, 21 * 19 * 9, false), numbers(3, 21, false));
    for (algorithm, [input, output]) in cases(&shape) {
        let bytes = stored(&x, input).0;
        let bytes = &bytemuck::cast_slice::<u32, u8>(&bytes)[..x.len() * input.bytes()];
        let conv = Transformed::new(*algorithm, shape, [input, output], 0);
        let packed = pack(&conv, &w, &bias);
        let whole = run_bytes(&conv, bytes, &packed, true, WHOLE);
        let ways = [(1, 1), (2, 3), (3, 4)].map(|(rows, part)| How { rows, part, shared: None });
        let shared = [[1, 1], [2, 2]].map(|shared| How { shared: Some(shared), ..WHOLE });
        for how in ways.into_iter().chain(shared) {
            let got = run_bytes(&conv, bytes, &packed, true, how);
            assert!(got == whole, "{} {input:?} {output:?} {how:?}", algorithm.name);
        }
    }
}

/// What is stored rises with what is rounded, so that a pool before the store is one behind it.
#[test]
fn a_fused_pool_changes_no_bit() {
    for (ic, side, oc, kernel, stride, pad) in [(3, 35, 33, 7, 2, 3), (5, 17, 9, 3, 1, 1)] {
        let shape = shape(ic, side, side + 3, oc, kernel, stride, pad);
        let x = numbers(1, ic * side * (side + 3), false);
        let (w, bias) = (numbers(2, oc * shape.steps(), false), numbers(3, oc, false));
        let (ph, pw) = (shape.oh.div_ceil(2), shape.ow.div_ceil(2));
        let pool = PoolShape { ih: shape.oh, iw: shape.ow, oh: ph, ow: pw, kernel: 3, stride: 2, pad_t: 0, pad_l: 0 };
        for (algorithm, [input, output]) in cases(&shape) {
            let bytes = stored(&x, input).0;
            let bytes = &bytemuck::cast_slice::<u32, u8>(&bytes)[..x.len() * input.bytes()];
            let conv = Transformed::new(*algorithm, shape, [input, output], 0);
            let packed = pack(&conv, &w, &bias);
            let whole = values(&run_bytes(&conv, bytes, &packed, true, WHOLE), output);
            let expected = max_pool_ref(&pool, &whole);
            for (part, rows) in [(1 << 20, 1), (1, 2), (3, 1)] {
                let pooled = conv.clone().with_pool([ph, pw]);
                let got = run_bytes(&pooled, bytes, &packed, true, How { rows, part, shared: None });
                assert_eq!(values(&got, output), expected, "{} {input:?} {output:?}", algorithm.name);
            }
        }
    }
}

#[test]
#[should_panic(expected = "does not go from bf16 to f32")]
fn elements_that_an_algorithm_does_not_take_are_refused() {
    let algorithm = algorithms(isa::plainest())[0];
    Transformed::new(algorithm, shape(1, 9, 9, 1, 3, 1, 0), [Element::Bf16, Element::F32], 0);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.div_ceil(10),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_shape_is_within_the_bound(
        ic in 1_usize..20, ih in 1_usize..20, iw in 1_usize..30, oc in 1_usize..40, kernel in 0_usize..4,
        pad in 0_usize..4, relu: bool, rows in 1_usize..4, part in 1_usize..5, shared: bool, seed: u64,
    ) {
        let (kernel, stride) = [(3, 1), (5, 1), (7, 2), (11, 4)][kernel];
        let (pad, ih, iw) = (pad.min(kernel - 1), ih.max(kernel), iw.max(kernel));
        let how = How { rows, part, shared: shared.then_some([rows, part]) };
        check(shape(ic, ih, iw, oc, kernel, stride, pad), relu, how, seed);
    }
}
