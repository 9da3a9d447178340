//! The battery of every element's pooling.

use proptest::prelude::*;

use super::*;
use crate::isa;
use crate::reference::max_pool_ref;

const ELEMENTS: [Element; 3] = [Element::F32, Element::Bf16, Element::U8];

/// What lies around an output.
const GUARD: u8 = 0x5A;

/// The bytes of `values`, which the element holds exactly, but for what is less than any byte.
fn stored(element: Element, values: &[f32]) -> Vec<u8> {
    match element {
        Element::F32 => bytemuck::cast_slice(values).to_vec(),
        Element::Bf16 => values.iter().flat_map(|&v| Bf16::from_f32(v).0.to_ne_bytes()).collect(),
        Element::U8 => values.iter().map(|&v| v as u8).collect(),
    }
}

/// Pools what is stored in `x` on every set, at several places, and compares it with the bytes that are expected.
fn compare(element: Element, shape: &PoolShape, x: &[u8], expected: &[u8]) {
    for at in [0, 1, 3].map(|at| at * element.bytes()) {
        let mut memory = vec![0_u32; (at + x.len()).div_ceil(4)];
        let memory: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
        memory[at..at + x.len()].copy_from_slice(x);
        let x = &memory[at..at + x.len()];
        for isa in isa::detected() {
            // A vector in front and behind, so that what is written there is seen.
            let (first, end) = (64 + at, 64 + at + expected.len());
            let mut memory = vec![0_u32; (end + 64).div_ceil(4)];
            let memory: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
            memory.fill(GUARD);
            memory[first..end].fill(0xFF); // of f32 and bf16 a NaN
            select(isa, element)(MaxPool { shape, x, y: &mut memory[first..end] });
            if let Some(i) = (0..expected.len()).find(|&i| memory[first + i] != expected[i]) {
                panic!("{isa} {element:?} {shape:?} at {at}: output {}", i / element.bytes());
            }
            let outside = memory[..first].iter().chain(&memory[end..]).all(|&v| v == GUARD);
            assert!(outside, "{isa} {element:?} {shape:?} at {at} wrote outside");
        }
    }
}

fn check(shape: PoolShape, c: usize, seed: u32) {
    for element in ELEMENTS {
        // But for bytes both signs, many of them negative throughout a window: a padding of 0 would win there.
        let value = |i: u32| {
            let bits = i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8;
            match element {
                Element::F32 => bits as f32 - 16e6,
                Element::Bf16 => Bf16::from_f32(bits as f32 - 16e6).to_f32(),
                Element::U8 => (bits >> 16) as f32,
            }
        };
        let x: Vec<f32> = (0..(c * shape.ih * shape.iw) as u32).map(value).collect();
        // -inf is stored as a byte of 0.
        compare(element, &shape, &stored(element, &x), &stored(element, &max_pool_ref(&shape, &x)));
    }
}

/// A square window with the same padding on top and left.
fn square(side: (usize, usize), out: (usize, usize), kernel: usize, stride: usize, pad: usize) -> PoolShape {
    PoolShape { ih: side.0, iw: side.1, oh: out.0, ow: out.1, kernel, stride, pad_t: pad, pad_l: pad }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_variant_equals_the_definition(
        ih in 1_usize..40, iw in 1_usize..80, kernel in 1_usize..5, stride in 1_usize..4,
        pad_t in 0_usize..4, pad_l in 0_usize..4, extra in 0_usize..3, c in 1_usize..4, seed: u32,
    ) {
        let out = |side: usize, pad: usize| (side + 2 * pad).saturating_sub(kernel) / stride + 1 + extra;
        let (oh, ow) = (out(ih, pad_t), out(iw, pad_l));
        check(PoolShape { ih, iw, oh, ow, kernel, stride, pad_t, pad_l }, c, seed);
    }
}

#[test]
fn widths_around_the_lanes_are_exact() {
    for iw in (1..=6).chain([7, 8, 9, 14, 15, 16, 17, 18, 31, 32, 33, 34, 63, 64, 65, 127, 128, 129]) {
        check(square((5, iw), (5, iw), 3, 1, 1), 2, 1);
        check(square((5, iw), (2, iw.div_ceil(2)), 3, 2, 0), 2, 2);
        check(square((5, iw), (3, iw.div_ceil(2)), 2, 2, 0), 2, 3);
    }
}

#[test]
fn the_networks_pools_are_exact() {
    // All but the last: BVLC, rounding up; the last is torchvision's pool4.
    for (side, out, kernel, stride, pad) in [
        (112, 56, 3, 2, 0),
        (56, 28, 3, 2, 0),
        (28, 14, 3, 2, 0),
        (14, 7, 3, 2, 0),
        (28, 28, 3, 1, 1),
        (14, 14, 3, 1, 1),
        (7, 7, 3, 1, 1),
        (14, 7, 2, 2, 0),
    ] {
        check(square((side, side), (out, out), kernel, stride, pad), 3, 5);
    }
}

#[test]
fn rows_wider_than_a_strip_are_exact() {
    for ow in [2046, 2047, 2048, 2049, 4093, 4094, 4095, 4096] {
        check(PoolShape { pad_l: 2, ..square((3, ow), (3, ow), 3, 1, 1) }, 1, 7);
        check(square((5, 2 * ow), (2, ow), 3, 2, 1), 1, 8);
        check(square((4, 2 * ow), (2, ow), 2, 2, 0), 1, 9);
    }
}

#[test]
fn a_window_wholly_outside_gives_the_least_value() {
    for (kernel, stride) in [(3, 1), (3, 2), (2, 2), (3, 3), (5, 1)] {
        for (pad, side) in [(7, 9), (40, 30)] {
            let shape = square((2, 2), (side, side), kernel, stride, pad);
            for (element, least) in ELEMENTS.into_iter().zip([f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0]) {
                // The windows that reach the input, in either direction.
                let reaches = |o: usize| o * stride < pad + 2 && o * stride + kernel > pad;
                let outputs = (0..side * side).map(|i| reaches(i / side) && reaches(i % side));
                let expected: Vec<f32> = outputs.map(|inside| if inside { 1.0 } else { least }).collect();
                assert_eq!(expected[0], least);
                compare(element, &shape, &stored(element, &[1.0; 4]), &stored(element, &expected));
            }
        }
    }
}

#[test]
fn values_pass_unchanged() {
    // The edge vectors are added to what is loaded: a negative zero and the infinities must survive it.
    for value in [-0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MIN, -f32::MIN_POSITIVE / 4.0] {
        for (stride, out) in [(1, 7), (2, 4)] {
            for element in [Element::F32, Element::Bf16] {
                let shape = square((7, 7), (out, out), 3, stride, 1);
                compare(element, &shape, &stored(element, &[value; 49]), &stored(element, &vec![value; out * out]));
            }
        }
    }
}

#[test]
#[should_panic(expected = "no planes")]
fn planes_larger_than_memory_are_refused() {
    let shape = square((usize::MAX / 2 + 2, 2), (1, 1), 3, 1, 0);
    select(isa::best(), Element::U8)(MaxPool { shape: &shape, x: &[0; 2], y: &mut [0] });
}

#[test]
#[should_panic(expected = "channels of input and output")]
fn slices_of_different_channels_are_refused() {
    let shape = square((2, 2), (1, 1), 2, 2, 0);
    select(isa::best(), Element::U8)(MaxPool { shape: &shape, x: &[0; 8], y: &mut [0; 3] });
}
