//! Every operation of the vector trait, on every set this machine has, against plain arithmetic.

use super::{INTERLEAVED, MOST_BYTES, MOST_LANES, Simd};
use crate::op::{Op, select};
use crate::reference::f16_ref;
use crate::{isa, winograd};

struct EveryOperation;

impl Op for EveryOperation {
    type Args<'a> = &'a str;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, name: &str) {
        let n = S::LANES;
        let x: Vec<f32> = (0..40).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        let lanes = |v: S::V| {
            let mut out = vec![f32::NAN; n];
            // SAFETY: `out` has LANES elements.
            unsafe { s.store(out.as_mut_ptr(), v) };
            out
        };
        // SAFETY: every pointer and range below lies in `x`, which has 40 elements, or in a buffer made beside it.
        unsafe {
            let (a, b) = (s.load(x.as_ptr()), s.load(x.as_ptr().add(1)));
            for i in 0..n {
                let (p, q) = (x[i], x[i + 1]);
                assert_eq!(lanes(s.add(a, b))[i], p + q, "{name} add");
                assert_eq!(lanes(s.sub(a, b))[i], p - q, "{name} sub");
                assert_eq!(lanes(s.mul(a, b))[i], p * q, "{name} mul");
                assert_eq!(lanes(s.div(a, b))[i], p / q, "{name} div");
                assert_eq!(lanes(s.max(a, b))[i], p.max(q), "{name} max");
                assert_eq!(lanes(s.sqrt(s.mul(a, a)))[i], (p * p).sqrt(), "{name} sqrt");
                let fused = f64::from(lanes(s.mul_add(a, b, a))[i]) - (f64::from(p) * f64::from(q) + f64::from(p));
                assert!(fused.abs() < 12.0 * f64::from(f32::EPSILON), "{name} mul_add {fused:e}");
            }
            let whole = s.splat(3.0);
            assert_eq!(s.sum(whole), 3.0 * n as f32, "{name} sum");
            assert_eq!(lanes(s.max(s.splat(f32::NAN), whole)), vec![3.0; n], "{name} max(NaN, b)");
            for (from, to) in (0..=n).flat_map(|to| (0..=to).map(move |from| (from, to))) {
                let expected: Vec<f32> = (0..n).map(|i| if (from..to).contains(&i) { x[i] } else { 0.0 }).collect();
                assert_eq!(lanes(s.load_window(x.as_ptr(), from, to)), expected, "{name} window {from}..{to}");
                for stride in [1, 2, 3, 4, 5] {
                    let x: Vec<f32> = (0..stride * n).map(|i| i as f32).collect();
                    let got = lanes(s.load_strided_window(x.as_ptr(), stride, from, to));
                    let expected = |i| if (from..to).contains(&i) { x[stride * i] } else { 0.0 };
                    assert_eq!(got, (0..n).map(expected).collect::<Vec<_>>(), "{name} every {stride} {from}..{to}");
                }
                if from < to {
                    let expected: Vec<f32> =
                        (0..n).map(|i| if (from..to).contains(&i) { x[2 * i] } else { 0.0 }).collect();
                    assert_eq!(lanes(s.load_even_window(x.as_ptr(), from, to)), expected, "{name} even {from}..{to}");
                }
            }
            for count in 0..=n {
                let mut out = vec![7777.0; n + 1];
                s.store_first(out.as_mut_ptr(), a, count);
                assert_eq!(out[..count], x[..count], "{name} store_first {count}");
                assert!(out[count..].iter().all(|&v| v == 7777.0), "{name} store_first {count} wrote outside");
            }
            words(s, name);
            bytes(s, name);
            stored_bytes(s, name);
            for (columns, rows) in (0..=n).flat_map(|c| (0..=n).map(move |r| (c, r))) {
                let tile: Vec<S::V> = (0..columns + (n - columns) / 2).map(|c| s.load(x.as_ptr().add(c))).collect();
                let stride = n + 1;
                let mut out = vec![7777.0; stride * n + 1];
                s.store_transposed(&tile, columns, out.as_mut_ptr(), stride, rows);
                for (i, &got) in out.iter().enumerate() {
                    let (row, column) = (i / stride, i % stride);
                    let expected = if row < rows && column < columns { x[column + row] } else { 7777.0 };
                    assert_eq!(got, expected, "{name} transpose {columns}x{rows} at {row},{column}");
                }
            }
        }
    }
}

/// Every operation on words.
#[inline(always)]
fn words<S: Simd>(s: S, name: &str) {
    let n = S::LANES;
    let x: Vec<u32> = (0..20_u32).map(|i| i.wrapping_mul(0x9E37_79B9) ^ 0x8000_0001).collect();
    let lanes = |w: S::W| {
        let mut out = vec![0; n];
        // SAFETY: `out` has LANES elements.
        unsafe { s.store_words(out.as_mut_ptr(), w) };
        out
    };
    let of = |f: &dyn Fn(usize) -> u32| (0..n).map(f).collect::<Vec<u32>>();
    // SAFETY: 20 words are more than a vector and one.
    let (a, b) = unsafe { (s.load_words(x.as_ptr()), s.load_words(x.as_ptr().add(1))) };
    assert_eq!(lanes(a), x[..n], "{name} words");
    assert_eq!(lanes(s.splat_word(x[3])), vec![x[3]; n], "{name} splat_word");
    assert_eq!(lanes(s.add_words(a, b)), of(&|i| x[i].wrapping_add(x[i + 1])), "{name} add_words");
    assert_eq!(lanes(s.and_words(a, b)), of(&|i| x[i] & x[i + 1]), "{name} and_words");
    assert_eq!(lanes(s.or_words(a, b)), of(&|i| x[i] | x[i + 1]), "{name} or_words");
    for by in [0, 1, 8, 16, 24, 31] {
        assert_eq!(lanes(s.shift_left(a, by)), of(&|i| x[i] << by), "{name} shift_left {by}");
        assert_eq!(lanes(s.shift_right(a, by)), of(&|i| x[i] >> by), "{name} shift_right {by}");
    }
    assert_eq!(lanes(s.bits(s.of_bits(a))), x[..n], "{name} bits");
    assert_eq!(lanes(s.bits(s.to_f32(a))), of(&|i| (x[i].cast_signed() as f32).to_bits()), "{name} to_f32");
    for value in [-2.5_f32, -1.5, -0.5, 0.0, 0.49, 0.5, 1.5, 2.5, 254.5, 4_194_303.5, -4_194_303.0] {
        let expected = (value.round_ties_even() as i32).cast_unsigned();
        assert_eq!(lanes(s.round(s.splat(value))), vec![expected; n], "{name} round {value}");
    }
    let (nan, one) = (s.splat(f32::NAN), s.splat(1.0));
    assert_eq!((lanes(s.is_nan(nan)), lanes(s.is_nan(one))), (vec![u32::MAX; n], vec![0; n]), "{name} is_nan");
    assert_eq!(lanes(s.bits(s.min(nan, one))), vec![1.0_f32.to_bits(); n], "{name} min(NaN, b)");
    assert_eq!(lanes(s.bits(s.min(one, s.splat(-2.0)))), vec![(-2.0_f32).to_bits(); n], "{name} min");
    for (from, to) in (0..=n).flat_map(|to| (0..=to).map(move |from| (from, to))) {
        let expected = of(&|i| if (from..to).contains(&i) { u32::MAX } else { 0 });
        assert_eq!(lanes(s.lane_mask(from, to)), expected, "{name} lanes {from}..{to}");
    }
}

/// Every operation on bytes.
#[inline(always)]
fn bytes<S: Simd>(s: S, name: &str) {
    let n = S::BYTES;
    assert!(n.is_multiple_of(2) && n <= MOST_BYTES, "{name} has vectors of {n} bytes");
    let x: Vec<u8> = (0..=MOST_BYTES as u8).map(|i| i.wrapping_mul(0x9D) ^ 0x85).collect();
    let lanes = |b: S::B| {
        let mut out = vec![0x5A; n];
        // SAFETY: `out` has BYTES elements.
        unsafe { s.store_bytes(out.as_mut_ptr(), b) };
        out
    };
    let of = |f: &dyn Fn(usize) -> u8| (0..n).map(f).collect::<Vec<u8>>();
    // SAFETY: these are more bytes than a vector has.
    let (a, b) = unsafe { (s.load_bytes(x.as_ptr()), s.load_bytes(x.as_ptr().add(1))) };
    assert_eq!((lanes(a), lanes(b)), (x[..n].to_vec(), x[1..=n].to_vec()), "{name} bytes");
    assert_eq!(lanes(s.splat_byte(0xA7)), vec![0xA7; n], "{name} splat_byte");
    assert_eq!(lanes(s.max_bytes(a, b)), of(&|i| x[i].max(x[i + 1])), "{name} max_bytes");
    assert_eq!(lanes(s.and_bytes(a, b)), of(&|i| x[i] & x[i + 1]), "{name} and_bytes");
    let (first, second) = (s.first_of_pairs(a), s.second_of_pairs(a));
    assert_eq!(lanes(first), of(&|i| if i % 2 == 0 { x[i] } else { 0 }), "{name} first_of_pairs");
    assert_eq!(lanes(second), of(&|i| if i % 2 == 0 { x[i + 1] } else { 0 }), "{name} second_of_pairs");
    let expected = of(&|i| if i < n / 2 { x[2 * i] } else { x[2 * i - n + 1] });
    assert_eq!(lanes(s.firsts(first, second)), expected, "{name} firsts");
    let (planes, stride): (Vec<u8>, _) = ((0..=255).collect(), 21);
    for (mask, at) in [([0xFF; INTERLEAVED], 0), (core::array::from_fn(|i| if i % 3 == 0 { 0xFF } else { 0 }), 3)] {
        let mut words = [0x5A5A_5A5A; INTERLEAVED + 1];
        // SAFETY: the last of the four planes ends before the 256 bytes do; there are as many words.
        unsafe { s.interleave(planes.as_ptr().add(at), stride, &mask, words.as_mut_ptr()) };
        for (i, &word) in words[..INTERLEAVED].iter().enumerate() {
            let expected = [0, 1, 2, 3].map(|plane| planes[at + plane * stride + i] & mask[i]);
            assert_eq!(word.to_le_bytes(), expected, "{name} interleave, word {i}");
        }
        assert_eq!(words[INTERLEAVED], 0x5A5A_5A5A, "{name} interleave wrote outside");
    }
}

/// Two vectors of values stored as bytes.
#[inline(always)]
fn stored_bytes<S: Simd>(s: S, name: &str) {
    let special =
        [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e9, -3e9, 1e38, -1e38, 255.5, 254.5, -0.0, -0.6];
    let x: Vec<f32> = special.into_iter().chain((0..4 * MOST_LANES as u16).map(|i| f32::from(i) * 2.5 - 7.0)).collect();
    for x in x.windows(2 * S::LANES) {
        let mut y = vec![0x5A; 2 * S::LANES + 1];
        // SAFETY: both have two vectors.
        unsafe { s.store_two_u8(y.as_mut_ptr(), s.load(x.as_ptr()), s.load(x.as_ptr().add(S::LANES))) };
        let expected: Vec<u8> = x.iter().map(|x| x.clamp(0.0, 255.0).round_ties_even() as u8).chain([0x5A]).collect();
        assert_eq!(y, expected, "{name} store_two_u8 of {x:?}");
    }
}

/// Widens vectors of f16, each by `load_first_f16` of `n` lanes.
struct Widen;

impl Op for Widen {
    type Args<'a> = (&'a [u16], usize);
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(s: S, (halves, n): (&[u16], usize)) -> Vec<f32> {
        let mut wide = vec![7777.0; halves.len()];
        for (halves, wide) in halves.chunks_exact(S::LANES).zip(wide.chunks_exact_mut(S::LANES)) {
            // SAFETY: both have LANES elements, and no more than them are asked for.
            unsafe {
                let v = if n < S::LANES { s.load_first_f16(halves.as_ptr(), n) } else { s.load_f16(halves.as_ptr()) };
                s.store(wide.as_mut_ptr(), v);
            }
        }
        wide
    }
}

#[test]
fn every_set_widens_every_f16() {
    // Miri takes a second for a few thousand of them, of which there are then whole vectors.
    let mut all: Vec<u16> = (0..=u16::MAX).step_by(if cfg!(miri) { 61 } else { 1 }).collect();
    all.truncate(all.len() / 16 * 16);
    for isa in isa::detected() {
        for (&half, wide) in all.iter().zip(select::<Widen>(isa)((&all, 16))) {
            let expected = f16_ref(half);
            if expected.is_nan() {
                assert!(wide.is_nan(), "{isa} {half:#06x}: {wide}");
            } else {
                assert_eq!(f64::from(wide).to_bits(), expected.to_bits(), "{isa} {half:#06x}");
            }
        }
        for n in 0..16 {
            // 1, 2, .. 16, of which the first n of each vector are asked for.
            let halves: Vec<u16> = (0..16).map(|i| [0x3C00, 0x4000, 0x4200, 0x4400][i % 4] + i as u16 / 4).collect();
            let whole = select::<Widen>(isa)((&halves, 16));
            let first = select::<Widen>(isa)((&halves, n));
            let lanes = winograd::algorithms(isa)[0].lanes();
            for i in 0..16 {
                let expected = if i % lanes < n { whole[i] } else { 0.0 };
                assert_eq!(first[i], expected, "{isa}, lane {i} of {n}");
            }
        }
    }
}

#[test]
fn every_set_keeps_the_contract() {
    for isa in isa::detected() {
        select::<EveryOperation>(isa)(isa.name());
    }
}
