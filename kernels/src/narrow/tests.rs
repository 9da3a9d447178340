//! One battery for every kernel on narrow elements of every set.

use proptest::prelude::*;

use super::*;
use crate::conv::conv2d_ref;
use crate::isa;
use crate::view::RowsMut;

const GUARD: u8 = 0x5A;

/// How a convolution is run, which changes no bit of its result.
#[derive(Clone, Copy, Debug)]
struct How {
    /// Tiles of a group.
    group: usize,
    /// Outputs that the channels are dealt to.
    outputs: usize,
    /// Tiles and blocks of a task.
    tiles: usize,
    blocks: usize,
}

const ALL: usize = 1 << 20;

const WAYS: [How; 3] = [
    How { group: ALL, outputs: 1, tiles: ALL, blocks: ALL },
    How { group: 1, outputs: 1, tiles: ALL, blocks: ALL },
    How { group: 2, outputs: 3, tiles: 3, blocks: 1 },
];

/// The weights of a convolution.
#[derive(Clone, Copy)]
enum Weights<'a> {
    Int8 { w: &'a [i8], m: &'a [f32], b: &'a [f32] },
    Bf16 { w: &'a [f32], b: &'a [f32] },
}

/// A buffer of `len` bytes at an address that suits 4 but no vector, between guards.
struct Guarded {
    words: Vec<u32>,
    len: usize,
}

impl Guarded {
    fn new(len: usize) -> Self {
        Self { words: vec![u32::from_ne_bytes([GUARD; 4]); len.div_ceil(4) + 2], len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[4..][..self.len]
    }

    fn assert_guards(&self, name: &str) {
        let bytes: &[u8] = bytemuck::cast_slice(&self.words);
        let mut guards = bytes[..4].iter().chain(&bytes[4 + self.len..]);
        assert!(guards.all(|&byte| byte == GUARD), "{name} wrote outside");
    }
}

/// Runs `shape` through `kernel` in that way, every output apart, and returns the bytes of all channels.
fn convolve(
    kernel: Kernel,
    shape: &ConvShape,
    (input, outputs): (Element, Element),
    x: &[u8],
    weights: Weights<'_>,
    relu: bool,
    how: How,
) -> Vec<u8> {
    let steps = shape.steps();
    let bytes = shape.pixels() * outputs.bytes();
    let widths: Vec<usize> =
        (0..how.outputs).map(|i| (i + 1) * shape.oc / how.outputs - i * shape.oc / how.outputs).collect();
    let panel = 4 * kernel.px * kernel.panel_rows(shape);
    let conv = Direct::new(kernel, *shape, &widths, input, outputs, panel.saturating_mul(how.group));
    let mut packed = vec![u32::MAX; conv.packed_bytes() / 4];
    let mut first = 0;
    for (part, &oc) in widths.iter().enumerate() {
        let (of_channels, of_weights) = (first..first + oc, first * steps..(first + oc) * steps);
        let packed = bytemuck::cast_slice_mut(&mut packed);
        match weights {
            Weights::Int8 { w, m, b } => {
                conv.pack_int8(part, &w[of_weights], &m[of_channels.clone()], &b[of_channels], packed);
            }
            Weights::Bf16 { w, b } => conv.pack_bf16(part, &w[of_weights], &b[of_channels], packed),
        }
        first += oc;
    }
    let mut scratch = Guarded::new(conv.scratch_bytes());
    let mut buffers: Vec<Guarded> = widths.iter().map(|oc| Guarded::new(oc * bytes)).collect();
    for tile in (0..conv.tiles()).step_by(how.tiles) {
        for block in (0..conv.blocks()).step_by(how.blocks) {
            let tiles = tile..(tile + how.tiles).min(conv.tiles());
            let blocks = block..(block + how.blocks).min(conv.blocks());
            let outs = buffers.iter_mut().zip(&widths);
            let mut outs: Vec<_> = outs.map(|(buffer, &oc)| RowsMut::new(buffer.bytes(), oc, bytes, bytes)).collect();
            let pixels = conv.pixels(tiles.clone());
            let columns = pixels.start * outputs.bytes()..pixels.end * outputs.bytes();
            let mut y: Vec<_> = outs
                .iter_mut()
                .enumerate()
                .map(|(part, y)| {
                    let channels = conv.channels(part, blocks.clone());
                    (!channels.is_empty()).then(|| y.window(channels, columns.clone()))
                })
                .collect();
            let scratch = scratch.bytes();
            scratch.fill(0xFF);
            conv.run(Operands { x, packed: bytemuck::cast_slice(&packed), relu, scratch }, tiles, blocks, &mut y);
        }
    }
    buffers.iter().chain([&scratch]).for_each(|buffer| buffer.assert_guards(kernel.name));
    buffers.iter_mut().flat_map(|buffer| buffer.bytes().to_vec()).collect()
}

/// Random numbers.
fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// Safe filters: most of small bytes, some of the largest that may stand side by side.
fn safe_weights(shape: &ConvShape, next: &mut impl FnMut() -> u64) -> Vec<i8> {
    let mut w = vec![0; shape.oc * shape.steps()];
    for q in w.chunks_exact_mut(shape.steps()) {
        let extreme = next().is_multiple_of(3);
        for (ky, i) in (0..shape.kh).flat_map(|ky| (0..shape.kw * shape.ic).map(move |i| (ky, i))) {
            let at = (i % shape.ic * shape.kh + ky) * shape.kw + i / shape.ic;
            let sign = if (next() >> 20).is_multiple_of(2) { 1 } else { -1 };
            q[at] = match (extreme, i % 2) {
                (true, 0) => 127 * sign,
                // The sign of the first of its pair, so that both add up to 128 where their signs agree.
                (true, _) => sign,
                (false, _) => (((next() >> 12) % 129) as i16 - 64) as i8,
            };
        }
        assert!(is_pair_safe(shape, q));
    }
    w
}

/// What is stored of a value as `element`.
fn stored(value: f32, element: Element) -> Vec<u8> {
    match element {
        Element::F32 => value.to_ne_bytes().to_vec(),
        Element::Bf16 => Bf16::from_f32(value).0.to_ne_bytes().to_vec(),
        Element::U8 => vec![value.clamp(0.0, 255.0).round_ties_even() as u8],
    }
}

/// Every kernel of bytes gives the bits that the definition does.
fn check_int8(shape: ConvShape, relu: bool, seed: u64) {
    let mut next = random(seed);
    let x: Vec<u8> = (0..shape.ic * shape.ih * shape.iw)
        .map(|_| match next() >> 30 {
            bits if bits % 4 == 0 => 255,
            bits => (bits >> 2) as u8,
        })
        .collect();
    let w = safe_weights(&shape, &mut next);
    // Factors and biases that neither round nor saturate always.
    let m: Vec<f32> = (0..shape.oc).map(|o| 0.013 / (1.0 + o as f32) / (shape.steps() as f32).sqrt()).collect();
    let b: Vec<f32> = (0..shape.oc).map(|o| 60.3 - o as f32).collect();
    let sums = conv2d_int8_ref(&shape, &x, &w);
    for element in [Element::F32, Element::Bf16, Element::U8] {
        let expected: Vec<u8> = sums
            .iter()
            .enumerate()
            .flat_map(|(i, &sum)| {
                let o = i / shape.pixels();
                let sum = i32::try_from(sum).expect("it fits, as `fits` says");
                let value = sum as f32 * m[o] + b[o];
                stored(if relu { value.max(0.0) } else { value }, element)
            })
            .collect();
        for kernel in isa::detected().flat_map(kernels).filter(|kernel| kernel.arithmetic == Arithmetic::Int8) {
            for how in WAYS {
                let weights = Weights::Int8 { w: &w, m: &m, b: &b };
                let got = convolve(kernel, &shape, (Element::U8, element), &x, weights, relu, how);
                assert!(got == expected, "{} {:?} {shape:?} {how:?} to {element:?}", kernel.name, kernel.instruction);
            }
        }
    }
}

/// The values of stored elements.
fn values(bytes: &[u8], element: Element) -> Vec<f32> {
    match element {
        Element::F32 => bytes.chunks_exact(4).map(|b| f32::from_ne_bytes(b.try_into().expect("4"))).collect(),
        Element::Bf16 => {
            bytes.chunks_exact(2).map(|b| Bf16(u16::from_ne_bytes(b.try_into().expect("2"))).to_f32()).collect()
        }
        Element::U8 => bytes.iter().map(|&byte| f32::from(byte)).collect(),
    }
}

/// Every kernel of bf16 is near the definition on rounded weights and, unless it widens them, rounded inputs.
fn check_bf16(shape: ConvShape, relu: bool, exact: bool, seed: u64) {
    let mut next = random(seed);
    let mut value = || if exact { (next() % 9) as f32 - 4.0 } else { (next() % 20011) as f32 / 10005.5 - 1.0 };
    let x: Vec<f32> = (0..shape.ic * shape.ih * shape.iw).map(|_| value()).collect();
    let w: Vec<f32> = (0..shape.oc * shape.steps()).map(|_| value()).collect();
    let b: Vec<f32> = (0..shape.oc).map(|_| value()).collect();
    let rounded = |x: &[f32]| x.iter().map(|&x| Bf16::from_f32(x).to_f32()).collect::<Vec<f32>>();
    for input in [Element::F32, Element::Bf16, Element::U8] {
        let x_bytes: Vec<u32> = {
            let bytes: Vec<u8> = x.iter().flat_map(|&x| stored(x * 20.0, input)).collect();
            let mut words = vec![0; bytes.len().div_ceil(4)];
            bytemuck::cast_slice_mut::<u32, u8>(&mut words)[..bytes.len()].copy_from_slice(&bytes);
            words
        };
        let x_bytes = &bytemuck::cast_slice::<u32, u8>(&x_bytes)[..x.len() * input.bytes()];
        let x = values(x_bytes, input);
        let [of_words, of_f32] = [&rounded(&x), &x].map(|x| conv2d_ref(&shape, x, &rounded(&w), &b));
        for output in [Element::F32, Element::Bf16, Element::U8] {
            for kernel in isa::detected().flat_map(kernels).filter(|kernel| kernel.arithmetic == Arithmetic::Bf16) {
                let weights = Weights::Bf16 { w: &w, b: &b };
                let (sums, magnitudes) = if kernel.widens { &of_f32 } else { &of_words };
                let whole = convolve(kernel, &shape, (input, output), x_bytes, weights, relu, WAYS[0]);
                for how in WAYS {
                    let got = convolve(kernel, &shape, (input, output), x_bytes, weights, relu, how);
                    assert!(got == whole, "{} {shape:?} {how:?}: other bits", kernel.name);
                }
                for (i, &got) in values(&whole, output).iter().enumerate() {
                    let expected = if relu { sums[i].max(0.0) } else { sums[i] };
                    // As in f32: a sequential sum of n products, each rounded when it is added and, where a set does not
                    // fuse, before; what is stored is rounded once more, by at most 2^-8 of it as bf16, a half as bytes.
                    let n = 2 * words(&shape, Arithmetic::Bf16) + 1;
                    let bound = if exact { 0.0 } else { n as f64 * f64::from(f32::EPSILON) * magnitudes[i] };
                    let (expected, bound) = match output {
                        Element::F32 => (expected, bound),
                        Element::Bf16 => (expected, bound + (expected.abs() + bound) / 256.0),
                        Element::U8 => (expected.clamp(0.0, 255.0), bound + 0.5),
                    };
                    let err = (f64::from(got) - expected).abs();
                    assert!(
                        err <= bound,
                        "{} {shape:?} {input:?} {output:?} at {i}: {got} for {expected}",
                        kernel.name
                    );
                }
            }
        }
    }
}

fn check(shape: ConvShape, relu: bool, seed: u64) {
    check_int8(shape, relu, seed);
    check_bf16(shape, relu, true, seed);
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
    for oc in [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65] {
        check(shape(3, 1, 15, oc, 1, 1, 0), false, 11);
    }
    for iw in [1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14, 15, 16, 17, 28, 29] {
        check(shape(2, 1, iw, 9, 1, 1, 0), true, 12);
        check(shape(5, 3, iw, 9, 3, 1, 1), true, 13);
    }
}

#[test]
fn words_are_filled_up_with_zeros() {
    for ic in 1..=9 {
        check(shape(ic, 5, 6, 5, 1, 1, 0), true, 21);
        check(shape(ic, 5, 6, 5, 3, 1, 1), false, 22);
    }
}

#[test]
fn strides_kernels_and_paddings_are_exact() {
    for (kernel, stride, pad) in
        [(1, 2, 0), (2, 1, 0), (3, 1, 0), (3, 2, 1), (5, 1, 2), (7, 2, 3), (5, 3, 4), (11, 4, 2)]
    {
        for side in [11, 14, 18] {
            check(shape(3, side, side + 1, 17, kernel, stride, pad), false, 14);
        }
    }
}

/// Layers of the network at fewer outputs: the longest sum of bytes, maps of 14 and 7 pixels, the first convolution.
#[test]
fn layers_of_the_network_are_exact() {
    check_int8(shape(832, 7, 7, 33, 1, 1, 0), true, 15);
    check_int8(shape(192, 14, 14, 16, 3, 1, 1), true, 16);
    check_int8(shape(48, 14, 14, 17, 5, 1, 2), true, 17);
    check_int8(shape(3, 33, 33, 8, 7, 2, 3), true, 18);
}

#[test]
fn fractions_are_near_the_definition() {
    for (case, relu) in [(shape(13, 7, 9, 18, 3, 1, 1), false), (shape(64, 5, 6, 9, 1, 1, 0), true)] {
        check_bf16(case, relu, false, 19);
    }
}

/// A filter of the largest pairs on a map of the largest bytes: sums that would saturate if a pair were larger.
#[test]
fn the_largest_sums_do_not_saturate() {
    let shape = shape(832, 2, 3, 2, 1, 1, 0);
    let x = vec![255; 832 * 6];
    let w: Vec<i8> = (0..2 * 832).map(|i| [127, 1, -127, -1][i % 2 + i / 832 * 2]).collect();
    for kernel in isa::detected().flat_map(kernels).filter(|kernel| kernel.arithmetic == Arithmetic::Int8) {
        let weights = Weights::Int8 { w: &w, m: &[1.0, 1.0], b: &[0.0, 0.0] };
        let got = convolve(kernel, &shape, (Element::U8, Element::F32), &x, weights, false, WAYS[0]);
        let sum = 255.0 * 128.0 * 416.0;
        assert_eq!(values(&got, Element::F32), [[sum; 6], [-sum; 6]].concat(), "{}", kernel.name);
    }
}

#[test]
fn sums_that_do_not_fit_32_bits_do_not_fit() {
    assert!(fits(&shape(66_311, 1, 1, 1, 1, 1, 0)));
    assert!(!fits(&shape(66_312, 1, 1, 1, 1, 1, 0)));
}

#[test]
#[should_panic(expected = "do not fit 32 bits")]
fn a_convolution_whose_sums_may_overflow_is_refused() {
    let kernel = kernel(isa::plainest(), Arithmetic::Int8);
    Direct::new(kernel, shape(1 << 15, 2, 2, 1, 2, 1, 0), &[1], Element::U8, Element::U8, 0);
}

#[test]
#[should_panic(expected = "bytes are multiplied, not f32")]
fn bytes_of_f32_are_refused() {
    let kernel = kernel(isa::plainest(), Arithmetic::Int8);
    Direct::new(kernel, shape(1, 1, 1, 1, 1, 1, 0), &[1], Element::F32, Element::U8, 0);
}

#[test]
#[should_panic(expected = "pairs of more than 128")]
fn a_filter_whose_pairs_may_saturate_is_refused() {
    let conv = Direct::new(
        kernel(isa::plainest(), Arithmetic::Int8),
        shape(2, 1, 1, 1, 1, 1, 0),
        &[1],
        Element::U8,
        Element::U8,
        0,
    );
    let mut packed = vec![0_u32; conv.packed_bytes() / 4];
    conv.pack_int8(0, &[65, 64], &[1.0], &[0.0], bytemuck::cast_slice_mut(&mut packed));
}

#[test]
fn nan_reaches_the_output_of_bf16() {
    for kernel in isa::detected().flat_map(kernels).filter(|kernel| kernel.arithmetic == Arithmetic::Bf16) {
        let s = shape(1, 1, 1, 1, 1, 1, 0);
        let (x, weights) = ([f32::NAN], Weights::Bf16 { w: &[1.0], b: &[0.0] });
        let x = bytemuck::cast_slice(&x);
        let y = convolve(kernel, &s, (Element::F32, Element::F32), x, weights, true, WAYS[0]);
        assert!(values(&y, Element::F32)[0].is_nan(), "{} hid a NaN behind the ReLU", kernel.name);
    }
}

#[test]
fn all_kernels_of_a_set_pack_alike() {
    for (isa, arithmetic) in isa::detected().flat_map(|isa| [(isa, Arithmetic::Int8), (isa, Arithmetic::Bf16)]) {
        let of_arithmetic: Vec<_> = kernels(isa).filter(|kernel| kernel.arithmetic == arithmetic).collect();
        assert!(!of_arithmetic.is_empty(), "{isa} has none for {arithmetic:?}");
        for best in layouts(isa, arithmetic) {
            let packed = |kernel: &Kernel| (kernel.oc, kernel.granule);
            let alike = of_arithmetic.iter().filter(|kernel| kernel.layout == best.layout);
            assert!(
                alike.clone().all(|kernel| packed(kernel) == packed(&best)),
                "{isa} {:?}",
                alike.collect::<Vec<_>>()
            );
        }
    }
}

/// Every number of pixels of a last tile by every number of channels of a last block, at and between the edges of vectors,
/// on maps of several tiles; tiles of rows that are no whole number of vectors, too.
#[test]
fn every_tail_of_pixels_and_channels_is_exact() {
    let tallest = if cfg!(miri) { 3 } else { 9 };
    for oc in 1..=tallest {
        check_int8(shape(8, 1, MOST_PX + oc, oc, 1, 1, 0), oc % 2 == 0, 31);
    }
    for px in 1..=if cfg!(miri) { 5 } else { MOST_PX + 1 } {
        check_int8(shape(4, 1, px, 3, 1, 1, 0), true, 32);
        check_int8(shape(4, px, 7, 2, 3, 1, 1), false, 33);
    }
}

/// Panels of channels that four divides, in all the ways that rows and columns may be padded: rows as long in as out, and
/// rows that are not, whose panels are gathered otherwise.
#[test]
fn interleaved_panels_are_exact() {
    for (kernel, pad) in [(1, 0), (3, 1), (5, 2), (3, 0), (3, 2), (7, 3)] {
        for (ic, side) in [(4, 5), (8, 7), (12, 14), (4, 17)] {
            if side + 2 * pad >= kernel {
                check_int8(shape(ic, side, side, 5, kernel, 1, pad), true, 34);
            }
        }
    }
    // Not square, and padded above and to the left alone.
    let uneven = ConvShape { kh: 2, kw: 3, oh: 6, ow: 9, pad_t: 1, pad_l: 2, ..shape(8, 6, 9, 6, 1, 1, 0) };
    check_int8(uneven, true, 35);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_is_its_definition(
        (ic, ih, iw, oc) in (1_usize..20, 1_usize..12, 1_usize..30, 1_usize..40),
        (kernel, stride, pad) in (1_usize..5, 1_usize..4, 0_usize..3),
        relu: bool,
        seed: u64,
    ) {
        prop_assume!(ih + 2 * pad >= kernel && iw + 2 * pad >= kernel);
        check_int8(shape(ic, ih, iw, oc, kernel, stride, pad), relu, seed);
        check_bf16(shape(ic, ih, iw, oc, kernel, stride, pad), relu, false, seed);
    }
}
