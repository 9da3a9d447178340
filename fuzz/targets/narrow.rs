//! Any convolution shape on narrow elements, on every kernel and algorithm of every set, in the nests that plans run. A case
//! is one of three:
//!
//! - bytes by their definition: every kernel gives the bits that the exact sum gives, under weights up to the largest that
//!   may stand side by side;
//! - bf16 by its definition: small integers give the exact sum, fractions what the roundings allow, and tasks the bits of the
//!   whole;
//! - in the transformed domain, between elements of every type: split, shared or with a pool behind it an algorithm gives the
//!   bits of the whole, which is near the definition, and in integers every set gives the same.
//!
//! By definition, the convolution is a stack of two, whose outputs lie between others, which must not change.

use std::ops::Range;

use super::convolution::{Buffer, How, Layer, assert_near, pieces, random, shape, transformed, values};
use arbitrary::{Arbitrary, Unstructured};
use googlenet_kernels::conv::{ConvShape, conv2d_ref};
use googlenet_kernels::element::{Bf16, Element};
use googlenet_kernels::isa;
use googlenet_kernels::narrow::{self, Arithmetic, Direct, Kernel, Operands, conv2d_int8_ref, is_pair_safe, quantise};
use googlenet_kernels::view::RowsMut;
use googlenet_kernels::winograd::{self, Winograd};

#[derive(Arbitrary, Debug)]
struct Case {
    kind: Kind,
    sizes: [u8; 10],
    relu: bool,
    how: How,
    input: u8,
    output: u8,
    /// Elements that stand before and behind the output.
    others: u8,
    /// Whether numbers of bf16 are small integers.
    exact: bool,
    seed: u64,
}

#[derive(Arbitrary, Debug)]
enum Kind {
    Int8,
    Bf16,
    Transformed,
}

impl Case {
    fn ends(&self) -> [Element; 2] {
        [self.input, self.output].map(|byte| [Element::F32, Element::Bf16, Element::U8][usize::from(byte % 3)])
    }
}

/// Runs the case that `bytes` make.
pub fn run(bytes: &[u8]) {
    let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    let shape = shape(&case.sizes, case.how, [14, 28, 40, 40]);
    match case.kind {
        Kind::Int8 => int8(&case, &shape),
        Kind::Bf16 => bf16(&case, &shape),
        Kind::Transformed => in_the_transformed_domain(&case, shape),
    }
}

const GUARD: u8 = 0x5A;

/// Everything as a whole: no cuts, all of it at once.
const WHOLE: How = How { rows: 0, blocks: 0, widths: 0, group: u16::MAX };

/// The output of `conv`, a stack of two that `pack` packs: given it, a convolution, its channels and where.
fn direct(
    case: &Case,
    (kernel, shape, ends): (Kernel, &ConvShape, [Element; 2]),
    x: &[u8],
    how: How,
    pack: impl Fn(&Direct, usize, Range<usize>, &mut [u8]),
) -> Vec<u8> {
    let stack = pieces(shape.oc, how.widths);
    let widths = stack.each_ref().map(|channels| channels.len());
    let conv = Direct::new(kernel, *shape, &widths, ends[0], ends[1], how.group_bytes());
    let mut packed = Buffer::nan(conv.packed_bytes());
    for (part, channels) in stack.into_iter().enumerate() {
        pack(&conv, part, channels, packed.bytes_mut());
    }
    let (bytes, row) = (ends[1].bytes(), shape.pixels() * ends[1].bytes());
    // In half of the cases none, so that the output is all of its allocation.
    let others = usize::from(case.others.saturating_sub(128)) * bytes;
    let own = others..others + shape.oc * row;
    let mut layer = Buffer::filled(own.end + own.start, GUARD);
    let y = &mut layer.bytes_mut()[own.clone()];
    y.fill(0xFF);
    for tiles in pieces(conv.tiles(), how.rows) {
        for blocks in pieces(conv.blocks(), how.blocks) {
            let (low, high) = y.split_at_mut(widths[0] * row);
            let mut outputs = [(low, widths[0]), (high, widths[1])].map(|(y, oc)| RowsMut::new(y, oc, row, row));
            let pixels = conv.pixels(tiles.clone());
            let mut windows: Vec<_> = outputs
                .iter_mut()
                .enumerate()
                .map(|(part, y)| {
                    let channels = conv.channels(part, blocks.clone());
                    (!channels.is_empty()).then(|| y.window(channels, pixels.start * bytes..pixels.end * bytes))
                })
                .collect();
            let mut scratch = Buffer::nan(conv.scratch_bytes());
            let operands = Operands { x, packed: packed.bytes(), relu: case.relu, scratch: scratch.bytes_mut() };
            conv.run(operands, tiles.clone(), blocks, &mut windows);
        }
    }
    let (before, behind) = (&layer.bytes()[..own.start], &layer.bytes()[own.end..]);
    let untouched = before.iter().chain(behind).all(|&byte| byte == GUARD);
    assert!(untouched, "{} {shape:?} {ends:?} wrote outputs of others", kernel.name());
    layer.bytes()[own].to_vec()
}

/// The kernels of `arithmetic` on every set.
fn kernels(arithmetic: Arithmetic) -> impl Iterator<Item = Kernel> {
    isa::detected().flat_map(narrow::kernels).filter(move |kernel| kernel.arithmetic() == arithmetic)
}

fn int8(case: &Case, shape: &ConvShape) {
    let (mut next, steps, pixels) = (random(case.seed), shape.steps(), shape.pixels());
    let x = bytes(shape.ic * shape.ih * shape.iw, &mut next);
    let w = safe_weights(shape, &mut next);
    // Of either sign and any size, so that sums neither round nor saturate always.
    let mut factor = |least: i32| {
        let fraction = (next() >> 40) as f32 / 16_777_216.0 - 0.5;
        fraction * 2.0_f32.powi((next() >> 40) as i32 % 12 + least)
    };
    let (m, b): (Vec<f32>, Vec<f32>) = (0..shape.oc).map(|_| (factor(-17), factor(0))).unzip();
    let expected: Vec<f32> = conv2d_int8_ref(shape, &x, &w)
        .iter()
        .enumerate()
        .map(|(i, &sum)| {
            let sum = i32::try_from(sum).expect("such shapes fit 32 bits");
            let value = sum as f32 * m[i / pixels] + b[i / pixels];
            if case.relu { value.max(0.0) } else { value }
        })
        .collect();
    let ends = [Element::U8, case.ends()[1]];
    let expected = Buffer::of(&expected, ends[1]);
    for kernel in kernels(Arithmetic::Int8) {
        let got = direct(case, (kernel, shape, ends), &x, case.how, |conv, part, own, packed| {
            conv.pack_int8(part, &w[own.start * steps..own.end * steps], &m[own.clone()], &b[own], packed);
        });
        let different = got.iter().zip(expected.bytes()).position(|(got, expected)| got != expected);
        let (name, instruction) = (kernel.name(), kernel.instruction());
        assert_eq!(different, None, "{name} {instruction:?} {shape:?} to {:?}: a byte", ends[1]);
    }
}

fn bytes(n: usize, next: &mut impl FnMut() -> u64) -> Vec<u8> {
    let byte = |bits: u64| if bits.is_multiple_of(4) { 255 } else { (bits >> 2) as u8 };
    (0..n).map(|_| byte(next() >> 30)).collect()
}

/// Filters that are safe, of two kinds: fractions, as bytes at the first scale of a power of two that makes them safe; and any
/// bytes, half of them the largest of either sign, where the second of a pair goes as far as the first one allows.
fn safe_weights(shape: &ConvShape, next: &mut impl FnMut() -> u64) -> Vec<i8> {
    let mut w = vec![0; shape.oc * shape.steps()];
    for q in w.chunks_exact_mut(shape.steps()) {
        if (next() >> 30).is_multiple_of(4) {
            let fractions: Vec<f32> = (0..q.len()).map(|_| fraction(next())).collect();
            let mut scale = 1.0 / 256.0;
            quantise(&fractions, scale, q);
            while !is_pair_safe(shape, q) {
                scale *= 2.0;
                quantise(&fractions, scale, q);
            }
            continue;
        }
        let row = shape.kw * shape.ic;
        let mut first = 0;
        for (ky, i) in (0..shape.kh).flat_map(|ky| (0..row).map(move |i| (ky, i))) {
            let bits = next() >> 30;
            let any = [127, -127, (bits >> 2) as i8 as i16, (bits >> 2) as i8 as i16][bits as usize % 4];
            let (least, most) =
                if i % 2 == 0 { (-127, 127) } else { (i16::max(-127, -128 - first), i16::min(127, 128 - first)) };
            first = any.clamp(least, most);
            q[(i % shape.ic * shape.kh + ky) * shape.kw + i / shape.ic] = first as i8;
        }
        assert!(is_pair_safe(shape, q), "{shape:?}: {q:?}");
    }
    w
}

/// A number between -1 and 1.
fn fraction(bits: u64) -> f32 {
    (bits % 20_011) as f32 / 10_005.5 - 1.0
}

/// Small integers, or fractions.
fn numbers(n: usize, exact: bool, next: &mut impl FnMut() -> u64) -> Vec<f32> {
    (0..n).map(|_| if exact { (next() % 9) as f32 - 4.0 } else { fraction(next()) }).collect()
}

/// An input of `shape` in stored elements, bytes of their whole range, and what it is then.
fn input(case: &Case, shape: &ConvShape, element: Element, next: &mut impl FnMut() -> u64) -> (Buffer, Vec<f32>) {
    let n = shape.ic * shape.ih * shape.iw;
    let numbers = match element {
        Element::U8 => bytes(n, next).into_iter().map(f32::from).collect(),
        _ => numbers(n, case.exact, next),
    };
    let buffer = Buffer::of(&numbers, element);
    let x = values(buffer.bytes(), element);
    (buffer, x)
}

fn bf16(case: &Case, shape: &ConvShape) {
    let (mut next, steps, ends) = (random(case.seed), shape.steps(), case.ends());
    let (bytes, x) = input(case, shape, ends[0], &mut next);
    let w = numbers(shape.oc * steps, case.exact, &mut next);
    let b = numbers(shape.oc, case.exact, &mut next);
    let rounded = |x: &[f32]| x.iter().map(|&x| Bf16::from_f32(x).to_f32()).collect::<Vec<f32>>();
    let [of_words, of_f32] = [&rounded(&x), &x].map(|x| conv2d_ref(shape, x, &rounded(&w), &b));
    for kernel in kernels(Arithmetic::Bf16) {
        let run = |how| {
            direct(case, (kernel, shape, ends), bytes.bytes(), how, |conv, part, own, packed| {
                conv.pack_bf16(part, &w[own.start * steps..own.end * steps], &b[own], packed);
            })
        };
        let name = format!("{} {:?} {shape:?} {ends:?}", kernel.name(), kernel.instruction());
        let whole = run(WHOLE);
        assert!(run(case.how) == whole, "{name} in tasks");
        // Where no instruction multiplies bf16, weights are widened, and inputs are not rounded.
        let (sums, magnitudes) = if kernel.instruction().is_some() { &of_words } else { &of_f32 };
        // As in the crate's tests: a sum of n products, with those that fill rows up to whole words, each rounded when it is
        // added and, where a set does not fuse, before. Integers here stay below 2^24.
        let n = 2 * shape.kh * (shape.kw * shape.ic).div_ceil(2) + 1;
        let roundings = if case.exact { 0.0 } else { n as f64 * f64::from(f32::EPSILON) };
        assert_near(&name, (&whole, ends[1]), case.relu, sums, |i| roundings * magnitudes[i]);
    }
}

fn in_the_transformed_domain(case: &Case, shape: ConvShape) {
    let (mut next, ends) = (random(case.seed), case.ends());
    let algorithms = |isa| winograd::algorithms(isa).iter().chain(winograd::bf16_algorithms(isa));
    let all = isa::detected().flat_map(|isa| algorithms(isa).chain([winograd::integer_algorithm(isa)]));
    let fitting: Vec<_> = all.filter(|a| a.fits(&shape) && a.takes(ends[0], ends[1])).collect();
    if fitting.is_empty() {
        return;
    }
    let (bytes, x) = input(case, &shape, ends[0], &mut next);
    let w = numbers(shape.oc * shape.steps(), case.exact, &mut next);
    let bias = numbers(shape.oc, case.exact, &mut next);
    let (sums, _) = conv2d_ref(&shape, &x, &w, &bias);
    let layer = Layer { shape, x: bytes.bytes(), w: &w, bias: &bias, relu: case.relu };
    // What roundings come to is a share of the largest input by the largest filter's norm, as they have any sign.
    let largest = x.iter().fold(0.0_f64, |most, &x| most.max(f64::from(x).abs()));
    let squares = |w: &[f32]| w.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>();
    let norm = w.chunks_exact(shape.steps()).map(squares).fold(0.0, f64::max).sqrt();
    let mut integers: Option<Buffer> = None;
    for algorithm in fitting {
        let whole = transformed(algorithm, ends, layer, case.how);
        let name = format!("{} {:?} {shape:?} {ends:?}", algorithm.name(), algorithm.instruction());
        let bound = share(algorithm) * (largest * norm + 1.0);
        assert_near(&name, (whole.bytes(), ends[1]), case.relu, &sums, |_| bound);
        if algorithm.is_integer() {
            let same = integers.as_ref().is_none_or(|other| other.bytes() == whole.bytes());
            assert!(same, "{name}: other bits than on another set");
            integers = Some(whole);
        }
    }
}

/// More than roundings come to by an algorithm, and less than values that are read at a wrong place, which are off by about
/// as much as the bound is a share of.
fn share(algorithm: &Winograd) -> f64 {
    match (algorithm.is_bf16(), algorithm.is_integer()) {
        (true, _) => 0.3,
        (_, true) => 0.05,
        _ => 1e-3,
    }
}
