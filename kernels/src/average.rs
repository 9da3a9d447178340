//! Global average: `y[c]` is the mean of channel `c` times a scale.
//!
//! The planes of `[c, plane]`, of any [`Element`], lie one after the other; the means are f32.
//!
//! ```text
//! for c: for i in steps of LANES: sum[lane] += x[c, i + lane];  y[c] = (sum across the lanes) / plane * scale
//! ```
//!
//! The order of the sum depends on `plane` and the set alone. Bytes are summed as integers, exactly, and the sum multiplied
//! by `scale / plane`: every set gives the same bits. Source: Lin, Chen, Yan, "Network In Network", 2013,
//! arXiv:1312.4400, section 3.2.

use crate::buffer::cast;
use crate::element::{Bf16, Element, Values};
use crate::isa::Isa;
use crate::op::{self, Op};
use crate::simd::{MOST_LANES, Simd};

/// One variant: `x` is `[c, plane]`, `y` is `[c]`. Panics if the lengths disagree, `plane` is 0, or `x` is not aligned as its
/// elements are.
pub type AverageFn = fn(GlobalAverage<'_>);

/// The operands of a global average.
#[derive(Debug)]
pub struct GlobalAverage<'a> {
    /// The input, `[c, plane]`, of the element that the variant was selected for.
    pub x: &'a [u8],
    /// Elements of a channel.
    pub plane: usize,
    /// What each mean is multiplied by.
    pub scale: f32,
    /// The output, `[c]`.
    pub y: &'a mut [f32],
}

/// The variant for `isa` and `element`.
#[inline(never)] // or the kernel would be compiled with the caller's optimisation, not this crate's
pub fn select(isa: Isa, element: Element) -> AverageFn {
    match element {
        Element::F32 => op::select::<Kernel<f32>>(isa),
        #[cfg(not(googlenet_f32_only))]
        Element::Bf16 => op::select::<Kernel<Bf16>>(isa),
        #[cfg(not(googlenet_f32_only))]
        Element::U8 => op::select::<Kernel<u8>>(isa),
        #[cfg(googlenet_f32_only)]
        _ => crate::element::left_out(),
    }
}

/// An element of which there are means.
trait Averaged: Values {
    /// The mean of `x`, which is not empty, times `scale`.
    fn mean<S: Simd>(s: S, x: &[Self], scale: f32) -> f32;
}

impl Averaged for f32 {
    #[inline(always)]
    fn mean<S: Simd>(s: S, x: &[f32], scale: f32) -> f32 {
        mean_of_floats(s, x, scale)
    }
}

impl Averaged for Bf16 {
    #[inline(always)]
    fn mean<S: Simd>(s: S, x: &[Bf16], scale: f32) -> f32 {
        mean_of_floats(s, x, scale)
    }
}

impl Averaged for u8 {
    #[inline(always)]
    fn mean<S: Simd>(s: S, x: &[u8], scale: f32) -> f32 {
        let mut total = 0_u64;
        for x in x.chunks(MOST_SUMMED) {
            let mut sum = s.splat_word(0);
            let mut i = 0;
            while i + S::LANES <= x.len() {
                // SAFETY: i + LANES <= x.len().
                sum = s.add_words(sum, unsafe { s.load_u8(x.as_ptr().add(i)) });
                i += S::LANES;
            }
            let mut lanes = [0_u32; MOST_LANES];
            // SAFETY: `lanes` has MOST_LANES words, which hold a vector of any set.
            unsafe { s.store_words(lanes.as_mut_ptr(), sum) };
            total += lanes.into_iter().map(u64::from).sum::<u64>();
            total += x[i..].iter().map(|&x| u64::from(x)).sum::<u64>();
        }
        total as f32 * (scale / x.len() as f32)
    }
}

/// Bytes that are summed in words, of which none comes near 2^32, before those are added up.
const MOST_SUMMED: usize = 1 << 16;

/// The mean of f32, or of what is loaded as such.
#[inline(always)]
fn mean_of_floats<E: Values, S: Simd>(s: S, x: &[E], scale: f32) -> f32 {
    let mut sum = s.splat(0.0);
    let mut i = 0;
    while i < x.len() {
        let n = if x.len() - i < S::LANES { x.len() - i } else { S::LANES };
        // SAFETY: i + n <= x.len() and n <= LANES.
        sum = s.add(sum, unsafe { E::load_window(s, x.as_ptr().add(i), 1, 0, n) });
        i += n;
    }
    s.sum(sum) / x.len() as f32 * scale
}

/// Averages of `E`.
struct Kernel<E>(E);

impl<E: Averaged> Op for Kernel<E> {
    type Args<'a> = GlobalAverage<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, GlobalAverage { x, plane, scale, y }: GlobalAverage<'_>) {
        let x = cast::<E>(x);
        let fits = plane.checked_mul(y.len()) == Some(x.len());
        assert!(plane > 0 && fits, "{} elements for {} channels of {plane}", x.len(), y.len());
        for (x, y) in x.chunks_exact(plane).zip(y) {
            *y = E::mean(s, x, scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::isa;
    use crate::reference::global_average_ref;

    const ELEMENTS: [Element; 3] = [Element::F32, Element::Bf16, Element::U8];

    const GUARD: f32 = 7777.0;

    /// Memory that begins with `values` as elements, of bytes as near as those are, and what the elements are then.
    fn stored(element: Element, values: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (mut memory, mut exact) = (values.to_vec(), values.to_vec());
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
        for (place, v) in bytes.chunks_exact_mut(element.bytes()).zip(&mut exact) {
            match element {
                Element::F32 => {}
                Element::Bf16 => {
                    let half = Bf16::from_f32(*v);
                    place.copy_from_slice(&half.0.to_ne_bytes());
                    *v = half.to_f32();
                }
                Element::U8 => {
                    place[0] = v.abs() as u8;
                    *v = f32::from(place[0]);
                }
            }
        }
        (memory, exact)
    }

    fn check(c: usize, plane: usize, at: usize, value: impl Fn(usize) -> f32) {
        let values: Vec<f32> = (0..at + c * plane).map(value).collect();
        for (element, scale) in ELEMENTS.into_iter().flat_map(|element| [(element, 1.0), (element, 0.37)]) {
            let (memory, exact) = stored(element, &values);
            let x = &bytemuck::cast_slice(&memory)[at * element.bytes()..(at + c * plane) * element.bytes()];
            let exact = &exact[at..];
            let expected = global_average_ref(exact, plane);
            let mut bits_of_all = None;
            for isa in isa::detected() {
                let mut y = vec![GUARD; c + 2];
                y[1..=c].fill(f32::NAN);
                select(isa, element)(GlobalAverage { x, plane, scale, y: &mut y[1..=c] });
                assert_eq!((y[0], y[c + 1]), (GUARD, GUARD), "{isa} {element:?} wrote outside");
                for (channel, (&got, &expected)) in y[1..].iter().zip(&expected).enumerate() {
                    let expected = expected * f64::from(scale);
                    let magnitude: f64 = exact[channel * plane..][..plane].iter().map(|v| f64::from(v.abs())).sum();
                    let roundings = match element {
                        // plane - 1 additions, a quotient and a product.
                        Element::F32 | Element::Bf16 => plane + 1,
                        // The sum as f32, a quotient and a product.
                        Element::U8 => 3,
                    };
                    // Each rounding is of EPSILON / 2, taken twice for their products.
                    let mean = magnitude / plane as f64 * f64::from(scale);
                    let bound = roundings as f64 * f64::from(f32::EPSILON) * mean;
                    let err = (f64::from(got) - expected).abs();
                    assert!(err <= bound, "{isa} {element:?} {plane}: {got} for {expected}");
                }
                if element == Element::U8 {
                    let bits: Vec<u32> = y.iter().map(|y| y.to_bits()).collect();
                    assert_eq!(*bits_of_all.get_or_insert(bits.clone()), bits, "{isa} {plane}: another set's bits");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_variant_is_within_the_bound(c in 0_usize..6, plane in 1_usize..300, at in 0_usize..8, shift: f32) {
            let shift = shift % 100.0;
            check(c, plane, at, |i| (i as f32 * 0.7).sin() * 40.0 + shift);
        }
    }

    #[test]
    fn every_variant_at_every_length_and_alignment() {
        for (plane, at) in (1..70).chain([196, 784]).flat_map(|plane| [0, 1, 3].map(|at| (plane, at))) {
            check(3, plane, at, |i| (i as f32 * 0.7).sin() * 90.0 + 0.3);
        }
    }

    #[test]
    fn the_networks_average_is_within_the_bound() {
        check(1024, 49, 0, |i| (i as f32 * 0.7).sin().max(0.0) * 255.0);
    }

    #[test]
    fn whole_numbers_are_summed_exactly() {
        for (plane, element) in (1..70).flat_map(|plane| ELEMENTS.map(|element| (plane, element))) {
            // Of bytes the absolute values.
            let values: Vec<f32> = (0..2 * plane).map(|i| (i * 37 % 101) as f32 - 50.0).collect();
            let (memory, x) = stored(element, &values);
            for isa in isa::detected() {
                let mut y = [f32::NAN; 2];
                let bytes = &bytemuck::cast_slice(&memory)[..2 * plane * element.bytes()];
                // A scale of the plane makes sums of means; as those of bytes are exact, they are the sums.
                select(isa, element)(GlobalAverage { x: bytes, plane, scale: plane as f32, y: &mut y });
                for (y, x) in y.iter().zip(x.chunks(plane)) {
                    let sum = x.iter().sum::<f32>();
                    let expected = if element == Element::U8 { sum } else { sum / plane as f32 * plane as f32 };
                    assert_eq!(*y, expected, "{isa} {element:?} {plane}");
                }
            }
        }
    }

    #[test]
    fn more_bytes_than_are_summed_at_once_are_summed_exactly() {
        let n = MOST_SUMMED + 17;
        let x: Vec<u8> = (0..n).map(|i| 255 - ((i % 7) * (i % 7) % 7) as u8).collect();
        let sum: u32 = x.iter().map(|&x| u32::from(x)).sum();
        assert!(sum < 1 << 24, "{sum} is exact in f32");
        for isa in isa::detected() {
            let mut y = [f32::NAN];
            select(isa, Element::U8)(GlobalAverage { x: &x, plane: n, scale: n as f32, y: &mut y });
            assert_eq!(y, [sum as f32], "{isa}");
        }
    }

    #[test]
    #[should_panic(expected = "5 elements for 2 channels of 3")]
    fn channels_that_end_inside_a_plane_are_refused() {
        select(isa::best(), Element::U8)(GlobalAverage { x: &[0; 5], plane: 3, scale: 1.0, y: &mut [0.0; 2] });
    }
}
