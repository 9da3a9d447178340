//! Local response normalisation across channels.
//!
//! `y[c] = x[c] / (k + alpha / size * sum of x[j]^2)^beta`, the sum over the `size` channels around `c`. Source:
//! Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012,
//! section 3.3, with Caffe's division of alpha by size.
//!
//! ```text
//! in place or not; for two vectors of pixels: for c:  square[c+2] = x[c+2]^2, the four before it are still in registers
//!     sum = square[c-2] + ... + square[c+2];  y[c] = x[c] / (k + alpha / size * sum)^beta
//! ```
//!
//! The sum is made anew for every channel: a running sum would keep the rounding errors of channels long gone. The
//! usual beta, 3/4, is two square roots and a division; they bound the speed. Other sizes and powers take a plain loop.
//!
//! The input is f32 or bf16, and the output, whatever it is, is rounded once, when it is stored. Where that is bytes, a value
//! is multiplied by a scale before, and no multiply is fused with an addition: then every set gives the same bytes.

use crate::buffer::cast;
use crate::element::{Bf16, Element, Values};
use crate::isa::Isa;
use crate::op::{self, Op};
use crate::simd::Simd;
use crate::view::RowsMut;

/// The shape and constants of a normalisation of `[c, plane]`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are the formula's")]
pub struct LrnShape {
    pub c: usize,
    pub plane: usize,
    pub size: usize,
    pub alpha: f32,
    pub beta: f32,
    pub k: f32,
    /// What a value is multiplied by before it is stored as a byte; 1 where the output is no bytes.
    pub scale: f32,
}

/// One variant. Panics if `y` does not have `c` rows, `x` is not `[c, plane]` or lacks the pixels, either is not aligned as
/// its elements are, the window is even or of more than [`MAX_SIZE`] channels, an output that is no bytes has a scale, or `x`
/// is missing where the elements differ.
pub type LrnFn = fn(Lrn<'_>);

/// The operands of a normalisation, of the elements that the variant was selected for.
pub struct Lrn<'a> {
    /// Shape and constants.
    pub shape: &'a LrnShape,
    /// The input, `[c, plane]`, and which of its pixels is the first to be normalised; without it, `y` is normalised
    /// where it lies.
    pub x: Option<(&'a [u8], usize)>,
    /// The output: a row a channel, a column for each of some pixels.
    pub y: RowsMut<'a, u8>,
}

/// The widest window.
pub const MAX_SIZE: usize = 15;

/// The variant for `isa`, of these elements.
///
/// # Panics
/// If the input is bytes: what they round away, a normalisation raises.
#[inline(never)] // or the kernel would be compiled with the caller's optimisation, not this crate's
pub fn select(isa: Isa, input: Element, output: Element) -> LrnFn {
    match (input, output) {
        (Element::F32, Element::F32) => op::select::<Kernel<f32, f32>>(isa),
        #[cfg(not(googlenet_f32_only))]
        (Element::F32, Element::Bf16) => op::select::<Kernel<f32, Bf16>>(isa),
        #[cfg(not(googlenet_f32_only))]
        (Element::F32, Element::U8) => op::select::<Kernel<f32, u8>>(isa),
        #[cfg(not(googlenet_f32_only))]
        (Element::Bf16, Element::F32) => op::select::<Kernel<Bf16, f32>>(isa),
        #[cfg(not(googlenet_f32_only))]
        (Element::Bf16, Element::Bf16) => op::select::<Kernel<Bf16, Bf16>>(isa),
        #[cfg(not(googlenet_f32_only))]
        (Element::Bf16, Element::U8) => op::select::<Kernel<Bf16, u8>>(isa),
        (Element::U8, _) => panic!("a normalisation of bytes"),
        #[cfg(googlenet_f32_only)]
        _ => crate::element::left_out(),
    }
}

/// An element of an input or output.
trait Normalised: Values {
    const ELEMENT: Element;

    /// Whether the output has a scale, and is the same on every set.
    const IS_SCALED: bool = matches!(Self::ELEMENT, Element::U8);
}

impl Normalised for f32 {
    const ELEMENT: Element = Element::F32;
}

impl Normalised for Bf16 {
    const ELEMENT: Element = Element::Bf16;
}

impl Normalised for u8 {
    const ELEMENT: Element = Element::U8;
}

/// Normalisation of `X`, stored as `Y`.
struct Kernel<X, Y>(X, Y);

impl<X: Normalised, Y: Normalised> Op for Kernel<X, Y> {
    type Args<'a> = Lrn<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, Lrn { shape, x, y }: Lrn<'_>) {
        let mut y = y.cast::<Y>();
        assert_eq!(y.rows(), shape.c, "channels");
        assert!(shape.size % 2 == 1, "a window of {} channels has no middle", shape.size);
        assert!(shape.size <= MAX_SIZE, "a window of {} channels", shape.size);
        let (input, output) = (X::ELEMENT.name(), Y::ELEMENT.name());
        assert!(x.is_some() || X::ELEMENT == Y::ELEMENT, "{input} in the place of {output}");
        assert!(Y::IS_SCALED || shape.scale == 1.0, "a scale of {} for {output}", shape.scale);
        let pixels = y.row_len();
        let to = Rows { first: y.as_mut_ptr(), stride: y.stride() };
        // What lies in place is `X`, as is asserted above.
        let in_place = Rows { first: to.first.cast::<X>(), stride: to.stride };
        let from = x.map_or(in_place, |(x, first_px)| {
            let x = cast::<X>(x);
            assert_eq!(shape.c.checked_mul(shape.plane), Some(x.len()), "input length");
            let inside = pixels <= shape.plane && first_px <= shape.plane - pixels;
            assert!(inside, "pixels {first_px}+{pixels} of {}", shape.plane);
            // Only read from.
            Rows { first: x.as_ptr().wrapping_add(first_px).cast_mut(), stride: shape.plane }
        });
        let rows = (from, to);
        let mut px = 0;
        while px < pixels {
            let n = if pixels - px < S::LANES { pixels - px } else { S::LANES };
            // SAFETY: px + n (and px + 2 * LANES where that is tested) ends inside the rows, of which there are shape.c; `x` is
            // `y` itself or, as a shared borrow beside an exclusive one, disjoint from it. Casts checked the alignment of both.
            unsafe {
                if shape.size != 5 || shape.beta != 0.75 {
                    any(s, shape, rows, px, n);
                } else if pixels - px >= 2 * S::LANES {
                    five_channels::<X, Y, S, 2>(s, shape, rows, px, S::LANES);
                    px += S::LANES;
                } else {
                    five_channels::<X, Y, S, 1>(s, shape, rows, px, n);
                }
            }
            px += n;
        }
    }
}

/// Where the rows of channels lie.
#[derive(Clone, Copy)]
struct Rows<T> {
    first: *mut T,
    stride: usize,
}

impl<T> Rows<T> {
    /// Pixel `px` of channel `c`.
    #[inline(always)]
    fn at(&self, c: usize, px: usize) -> *mut T {
        self.first.wrapping_add(c * self.stride + px)
    }
}

/// Windows of 5 channels and beta = 3/4, for P vectors of `n` pixels each, from `px` on.
///
/// # Safety
/// `n` is `LANES` or P is 1; the `P * n` pixels lie in both `rows`, which have `shape.c` rows and are the same or disjoint;
/// aligned as their elements are.
#[inline(always)]
unsafe fn five_channels<X: Normalised, Y: Normalised, S: Simd, const P: usize>(
    s: S,
    shape: &LrnShape,
    (x, y): (Rows<X>, Rows<Y>),
    px: usize,
    n: usize,
) {
    let (scale, k) = (s.splat(shape.alpha / 5.0), s.splat(shape.k));
    // square[p][j] belongs to channel c - 2 + j, 0 outside: for two sets, 2 x 5 squares + 2 constants + 3 = 15 of 16.
    let mut square = [[s.splat(0.0); 5]; P];
    let load = {
        #[inline(always)]
        |c: usize, p: usize| {
            // SAFETY: the caller vouches for channel c < shape.c and the n pixels of vector p.
            unsafe {
                let at = x.at(c, px + p * S::LANES).cast_const();
                if n == S::LANES { X::load(s, at) } else { X::load_window(s, at, 1, 0, n) }
            }
        }
    };
    for c in 0..if shape.c < 2 { shape.c } else { 2 } {
        for (p, square) in square.iter_mut().enumerate() {
            let v = load(c, p);
            square[3 + c] = s.mul(v, v);
        }
    }
    for c in 0..shape.c {
        for (p, square) in square.iter_mut().enumerate() {
            let [_, a, b, d, e] = *square;
            let next = if c + 2 < shape.c {
                let v = load(c + 2, p);
                s.mul(v, v)
            } else {
                s.splat(0.0)
            };
            *square = [a, b, d, e, next];
            let sum = s.add(s.add(s.add(a, b), s.add(d, e)), next);
            let v = three_quarters(s, load(c, p), base::<Y, S>(s, scale, sum, k));
            let v = if Y::IS_SCALED { s.mul(v, s.splat(shape.scale)) } else { v };
            // SAFETY: the caller vouches for row c and the n columns of vector p.
            unsafe {
                let at = y.at(c, px + p * S::LANES);
                if n == S::LANES { Y::store_first(s, at, v, S::LANES) } else { Y::store_first(s, at, v, n) }
            }
        }
    }
}

/// Any window and beta, for the `n` pixels from `px` on.
///
/// # Safety
/// The `n <= LANES` pixels lie in both `rows`, which have `shape.c` rows and are the same or disjoint; aligned as their
/// elements are.
#[inline(always)]
unsafe fn any<X: Normalised, Y: Normalised, S: Simd>(
    s: S,
    shape: &LrnShape,
    (x, y): (Rows<X>, Rows<Y>),
    px: usize,
    n: usize,
) {
    let reach = shape.size / 2;
    let (scale, k) = (s.splat(shape.alpha / shape.size as f32), s.splat(shape.k));
    // Squares by channel: those of channels already normalised are nowhere else.
    let mut square = [s.splat(0.0); MAX_SIZE + 1];
    let mut squared = 0;
    for c in 0..shape.c {
        let to = if reach < shape.c - c { c + reach + 1 } else { shape.c };
        while squared < to {
            // SAFETY: the caller vouches for these pixels of channel squared < shape.c.
            let v = unsafe { X::load_window(s, x.at(squared, px), 1, 0, n) };
            square[squared % (MAX_SIZE + 1)] = s.mul(v, v);
            squared += 1;
        }
        let mut sum = s.splat(0.0);
        for j in c.saturating_sub(reach)..to {
            sum = s.add(sum, square[j % (MAX_SIZE + 1)]);
        }
        let base = base::<Y, S>(s, scale, sum, k);
        // SAFETY: the caller vouches for row c and its n columns from px on.
        unsafe {
            let v = X::load_window(s, x.at(c, px), 1, 0, n);
            let v = if shape.beta == 0.75 { three_quarters(s, v, base) } else { power(s, v, base, shape.beta) };
            let v = if Y::IS_SCALED { s.mul(v, s.splat(shape.scale)) } else { v };
            Y::store_first(s, y.at(c, px), v, n);
        }
    }
}

/// `k + scale * sum`, rounded once where the set can and the output need not be the same on others.
#[inline(always)]
fn base<Y: Normalised, S: Simd>(s: S, scale: S::V, sum: S::V, k: S::V) -> S::V {
    if Y::IS_SCALED { s.add(s.mul(scale, sum), k) } else { s.mul_add(scale, sum, k) }
}

/// `v / base^(3/4)`.
#[inline(always)]
fn three_quarters<S: Simd>(s: S, v: S::V, base: S::V) -> S::V {
    let root = s.sqrt(base);
    s.div(v, s.mul(root, s.sqrt(root)))
}

/// `v / base^beta` for a beta that has no short cut. The powers are those of the platform, the same on all of its sets.
#[inline(always)]
fn power<S: Simd>(s: S, v: S::V, base: S::V, beta: f32) -> S::V {
    const { assert!(S::LANES <= 16) };
    let mut lanes = [0.0_f32; 16];
    // SAFETY: 16 elements hold a vector of any set, asserted above.
    unsafe {
        s.store(lanes.as_mut_ptr(), base);
        for lane in &mut lanes[..S::LANES] {
            *lane = lane.powf(-beta);
        }
        s.mul(v, s.load(lanes.as_ptr()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::isa;
    use crate::reference::lrn_ref;

    const KINDS: [(Element, Element); 6] = [
        (Element::F32, Element::F32),
        (Element::F32, Element::Bf16),
        (Element::F32, Element::U8),
        (Element::Bf16, Element::F32),
        (Element::Bf16, Element::Bf16),
        (Element::Bf16, Element::U8),
    ];

    /// What lies around an output.
    const GUARD: u8 = 0x5A;

    /// Writes `values` as elements.
    fn store(element: Element, values: &[f32], bytes: &mut [u8]) {
        for (place, &v) in bytes.chunks_exact_mut(element.bytes()).zip(values) {
            match element {
                Element::F32 => place.copy_from_slice(&v.to_ne_bytes()),
                Element::Bf16 => place.copy_from_slice(&Bf16::from_f32(v).0.to_ne_bytes()),
                Element::U8 => unreachable!("no input is bytes"),
            }
        }
    }

    /// The elements of a row.
    fn loaded(element: Element, bytes: &[u8]) -> Vec<f32> {
        let number = |place: &[u8]| match element {
            Element::F32 => f32::from_ne_bytes(place.try_into().expect("4 bytes")),
            Element::Bf16 => Bf16(u16::from_ne_bytes(place.try_into().expect("2 bytes"))).to_f32(),
            Element::U8 => f32::from(place[0]),
        };
        bytes.chunks_exact(element.bytes()).map(number).collect()
    }

    /// Normalises the pixels `first_px .. first_px + pixels` of `x` into rows of a buffer that start `gap` elements further
    /// apart, behind 3 elements, and gives all bytes of the buffer.
    fn normalised(
        isa: Isa,
        (input, output): (Element, Element),
        shape: &LrnShape,
        values: &[f32],
        [first_px, pixels, gap]: [usize; 3],
        in_place: bool,
    ) -> Vec<u8> {
        // One element before the input, and three before the output: neither is aligned as vectors are.
        let mut memory = vec![0.0_f32; 1 + values.len()];
        let memory =
            &mut bytemuck::cast_slice_mut::<_, u8>(&mut memory)[input.bytes()..][..values.len() * input.bytes()];
        store(input, values, memory);
        let x = &*memory;
        let (size, stride) = (output.bytes(), pixels + gap);
        let mut buffer = vec![0.0_f32; 3 + shape.c * stride];
        let buffer = &mut bytemuck::cast_slice_mut::<_, u8>(&mut buffer)[..(3 + shape.c * stride) * size];
        buffer.fill(GUARD);
        for c in 0..shape.c {
            let row = &mut buffer[(3 + c * stride) * size..][..pixels * size];
            row.fill(0xFF); // of f32 and bf16 a NaN
            if in_place {
                row.copy_from_slice(&x[(c * shape.plane + first_px) * size..][..pixels * size]);
            }
        }
        let y = RowsMut::new(&mut buffer[3 * size..], shape.c, pixels * size, stride * size);
        select(isa, input, output)(Lrn { shape, x: (!in_place).then_some((x, first_px)), y });
        buffer.to_vec()
    }

    /// Checks all kinds; values are up to `magnitude`. Of bytes, the largest becomes 200 if nothing is divided by more than 1.
    fn check(shape: LrnShape, first_px: usize, pixels: usize, gap: usize, magnitude: f32) {
        for (input, output) in KINDS {
            let scale = if output == Element::U8 { 200.0 / magnitude } else { 1.0 };
            let shape = LrnShape { scale, ..shape };
            let value = |i: usize| (i as f32 * 0.71).sin() * magnitude;
            let rounded = |v: f32| if input == Element::Bf16 { Bf16::from_f32(v).to_f32() } else { v };
            let x: Vec<f32> = (0..shape.c * shape.plane).map(|i| rounded(value(i))).collect();
            let expected = lrn_ref(&shape, &x);
            let (size, stride) = (output.bytes(), pixels + gap);
            let mut bytes_of_all: Option<Vec<u8>> = None;
            for (isa, in_place) in isa::detected().flat_map(|isa| [(isa, true), (isa, false)]) {
                if in_place && input != output {
                    continue;
                }
                let what = format!("{isa} {} to {} {shape:?}", input.name(), output.name());
                let buffer = normalised(isa, (input, output), &shape, &x, [first_px, pixels, gap], in_place);
                assert!(buffer[..3 * size].iter().all(|&v| v == GUARD), "{what} wrote before its rows");
                for (c, row) in buffer[3 * size..].chunks_exact((stride * size).max(1)).enumerate() {
                    let (row, gap) = row.split_at(pixels * size);
                    assert!(gap.iter().all(|&v| v == GUARD), "{what} wrote outside of row {c}");
                    let expected = &expected[c * shape.plane + first_px..][..pixels];
                    for (i, (&got, &expected)) in loaded(output, row).iter().zip(expected).enumerate() {
                        // Of EPSILON / 2 each: a square, size - 1 additions, the constant, its product and the sum make
                        // size + 3 roundings of the base (no term is negative), of which beta <= 1 reaches the result;
                        // two roots, product and quotient add 4, powf (within 2 ulp) and product 5, a scale 1 more.
                        let bound = (shape.size + 9) as f64 / 2.0 * f64::from(f32::EPSILON) * expected.abs();
                        let (expected, bound) = match output {
                            Element::F32 => (expected, bound),
                            // Half of what the last of 8 bits counts, 2^-7 of the first, in a value as large as the bound lets
                            // it be.
                            Element::Bf16 => (expected, bound + (expected.abs() + bound) / 256.0),
                            // Half of a byte; and what is clamped is no further apart than before.
                            Element::U8 => (expected.clamp(0.0, 255.0), bound + 0.5),
                        };
                        let err = (f64::from(got) - expected).abs();
                        assert!(err <= bound, "{what} channel {c} pixel {i}: {got} for {expected}");
                    }
                }
                if output == Element::U8 {
                    assert_eq!(*bytes_of_all.get_or_insert(buffer.clone()), buffer, "{what}: bytes of another set");
                }
            }
        }
    }

    fn five(c: usize, plane: usize) -> LrnShape {
        LrnShape { c, plane, size: 5, alpha: 1e-4, beta: 0.75, k: 1.0, scale: 1.0 }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_variant_is_within_the_bound(
            c in 1_usize..20, plane in 1_usize..90, from in 0_usize..90, len in 0_usize..90, gap in 0_usize..3,
            reach in 0_usize..8, beta in 0_usize..4, alpha in 1e-5_f32..1.0, k in 0.5_f32..3.0, scale in 0.1_f32..1e4,
        ) {
            let beta = [0.75, 0.75, 0.5, 1.0][beta];
            let shape = LrnShape { size: 2 * reach + 1, alpha, beta, k, ..five(c, plane) };
            let first_px = from.min(plane);
            check(shape, first_px, len.min(plane - first_px), gap, scale);
        }
    }

    #[test]
    fn pixels_around_the_lanes_are_within_the_bound() {
        for plane in (0..=9).chain([15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65]) {
            for c in [1, 2, 3, 4, 5, 6, 11] {
                check(five(c, plane), 0, plane, 2, 40.0);
            }
        }
    }

    #[test]
    fn the_networks_normalisations_are_within_the_bound() {
        check(five(64, 56 * 56), 0, 56 * 56, 0, 100.0);
        check(five(192, 56 * 56), 0, 56 * 56, 0, 100.0);
        // Krizhevsky's constants, with alpha for the sum of squares, not their mean.
        let krizhevsky = |c, side: usize| LrnShape { alpha: 5e-4, k: 2.0, ..five(c, side * side) };
        check(krizhevsky(96, 55), 0, 55 * 55, 0, 100.0);
        check(krizhevsky(256, 27), 5, 27 * 27 - 9, 1, 100.0);
    }

    #[test]
    fn a_split_changes_no_bit() {
        let (shape, end) = (five(7, 100), 37);
        let x: Vec<f32> = (0..700).map(|i| (i as f32 * 0.71).sin() * 90.0).collect();
        for (isa, kind) in isa::detected().flat_map(|isa| KINDS.map(|kind| (isa, kind))) {
            let [whole, low, high] = [[0, 100, 0], [0, end, 0], [end, 100 - end, 0]]
                .map(|part| normalised(isa, kind, &shape, &x, part, false));
            let size = kind.1.bytes();
            let (whole, low, high) = (&whole[3 * size..], &low[3 * size..], &high[3 * size..]);
            for c in 0..7 {
                let row = &whole[c * 100 * size..][..100 * size];
                assert_eq!(row[..end * size], low[c * end * size..][..end * size], "{isa} {kind:?}");
                assert_eq!(row[end * size..], high[c * (100 - end) * size..][..(100 - end) * size], "{isa} {kind:?}");
            }
        }
    }

    #[test]
    fn a_large_neighbour_is_forgotten() {
        // A running sum would keep the rounding error of 1e12 in all later channels.
        let shape = LrnShape { alpha: 5.0, ..five(12, 1) };
        let mut x = [0.5_f32; 12];
        x[1] = 1e6;
        let expected = lrn_ref(&shape, &x);
        for isa in isa::detected() {
            let mut y = x;
            let y_bytes = RowsMut::new(bytemuck::cast_slice_mut(&mut y), 12, 4, 4);
            select(isa, Element::F32, Element::F32)(Lrn { shape: &shape, x: None, y: y_bytes });
            for c in 4..12 {
                // Six roundings of a value below 0.5, as in `check`; what is looked for is a thousand times larger.
                assert!((f64::from(y[c]) - expected[c]).abs() < 1e-6, "{isa}: {} for {}", y[c], expected[c]);
            }
        }
    }

    #[test]
    fn bytes_saturate_and_have_no_nan() {
        let (shape, x) = (LrnShape { scale: 2.0, ..five(1, 4) }, [1e3, -1e3, f32::NAN, 0.25_f32]);
        for isa in isa::detected() {
            let mut y = [7; 4];
            let x = bytemuck::cast_slice(&x);
            select(isa, Element::F32, Element::U8)(Lrn {
                shape: &shape,
                x: Some((x, 0)),
                y: RowsMut::new(&mut y, 1, 4, 4),
            });
            // 1000 / 21^(3/4) is 101.9; of two equally near bytes the even one.
            assert_eq!(y, [204, 0, 0, 0], "{isa}");
        }
    }

    /// Runs a normalisation of one pixel of one channel on the best set.
    fn run(input: Element, output: Element, shape: LrnShape, x: Option<(&[u8], usize)>, pixels: usize) {
        let mut y = [0.0_f32; 3];
        let len = pixels * output.bytes();
        let y = RowsMut::new(bytemuck::cast_slice_mut(&mut y), 1, len, len);
        select(isa::best(), input, output)(Lrn { shape: &shape, x, y });
    }

    #[test]
    #[should_panic(expected = "a window of 17 channels")]
    fn windows_wider_than_the_buffer_of_squares_are_refused() {
        run(Element::F32, Element::F32, LrnShape { size: 17, ..five(1, 1) }, None, 1);
    }

    #[test]
    #[should_panic(expected = "pixels 2+3 of 4")]
    fn pixels_behind_the_input_are_refused() {
        run(Element::F32, Element::F32, five(1, 4), Some((bytemuck::cast_slice(&[0.0_f32; 4]), 2)), 3);
    }

    #[test]
    #[should_panic(expected = "channels")]
    fn rows_that_are_not_the_channels_are_refused() {
        run(Element::F32, Element::F32, five(2, 1), None, 1);
    }

    #[test]
    #[should_panic(expected = "f32 in the place of u8")]
    fn another_element_in_place_is_refused() {
        run(Element::F32, Element::U8, five(1, 1), None, 1);
    }

    #[test]
    #[should_panic(expected = "a scale of 2 for bf16")]
    fn a_scale_of_other_than_bytes_is_refused() {
        let shape = LrnShape { scale: 2.0, ..five(1, 1) };
        run(Element::F32, Element::Bf16, shape, Some((bytemuck::cast_slice(&[0.0_f32]), 0)), 1);
    }

    #[test]
    #[should_panic(expected = "a normalisation of bytes")]
    fn bytes_are_not_normalised() {
        select(isa::best(), Element::U8, Element::F32);
    }
}
