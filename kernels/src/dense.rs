//! Fully connected layer: `y[o] = bias[o] + sum_i w[o, i] * x[i]`.
//!
//! `x` is `[ic]`, `w` is `[oc, ic]`, row-major as files store it, of f32 or f16: the weights are read once, where they
//! lie, which bounds the speed. Eight rows at a time share the loads of `x` and hide the latency of each other's sums. They
//! lie an eighth of all rows apart, so that memory is read in eight streams that go on from each row to the next; up to seven
//! are left, and go one by one:
//!
//! ```text
//! for o in 0..oc/8: for i in steps of LANES: for 8 rows r = o, o + oc/8, ..: acc[r][lane] += w[r, i + lane] * x[i + lane]
//!     y[r] = (acc[r] across the lanes) + bias[r]
//! ```
//!
//! Sums are of f32, and a weight of f16 is the same number in f32. A row's sum has the same order wherever the row stands
//! and whatever its type, so the outputs may be split anywhere, and numbers stored as either type, without changing a bit.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Range;

use crate::buffer::{bytes_of, cast, cast_mut, elements};
use crate::isa::Isa;
use crate::op::{self, Op};
use crate::simd::Simd;

/// A fully connected layer on one instruction set.
#[derive(Clone, Debug)]
pub struct Dense {
    ic: usize,
    oc: usize,
    of_f32: fn(Rows<'_, f32>),
    of_f16: fn(Rows<'_, u16>),
}

/// The weights `[oc, ic]` as a file stores them, row-major.
#[derive(Clone, Copy)]
pub enum Matrix<'a> {
    /// Numbers as they are.
    F32(&'a [f32]),
    /// The bits of IEEE 754 binary16.
    F16(&'a [u16]),
}

impl Matrix<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(w) => w.len(),
            Self::F16(w) => w.len(),
        }
    }
}

impl fmt::Debug for Matrix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let element = if let Self::F32(_) = self { "f32" } else { "f16" };
        write!(f, "{} of {element}", self.len())
    }
}

/// What a layer computes with.
#[derive(Debug)]
pub struct Operands<'a> {
    /// The input, `[ic]`.
    pub x: &'a [f32],
    /// The weights, `[oc, ic]`.
    pub matrix: Matrix<'a>,
    /// The packed biases, aligned as f32.
    pub packed: &'a [u8],
    /// Whether negative sums become 0.
    pub relu: bool,
}

/// Some rows of the weights, and what they are multiplied with.
struct Rows<'a, W> {
    x: &'a [f32],
    /// `[rows][ic]`.
    w: &'a [W],
    bias: &'a [f32],
    relu: bool,
    y: &'a mut [f32],
}

impl Dense {
    /// The layer from `ic` inputs to `oc` outputs for `isa`.
    ///
    /// # Panics
    /// If its weights would be larger than memory.
    #[inline(never)] // or the kernel would be compiled with the caller's optimisation, not this crate's
    pub fn new(isa: Isa, ic: usize, oc: usize) -> Self {
        let _ = elements(&[oc, ic]);
        Self { ic, oc, of_f32: op::select::<Kernel<f32>>(isa), of_f16: op::select::<Kernel<u16>>(isa) }
    }

    /// Inputs.
    pub fn inputs(&self) -> usize {
        self.ic
    }

    /// Outputs, which [`Self::run`] can be split by.
    pub fn outputs(&self) -> usize {
        self.oc
    }

    /// Bytes of the packed biases; the weights are used as a file stores them.
    pub fn packed_bytes(&self) -> usize {
        bytes_of(self.oc)
    }

    /// Packs biases `[oc]`.
    ///
    /// # Panics
    /// If a length does not fit, or `packed` is not aligned as f32 are.
    pub fn pack(&self, bias: &[f32], packed: &mut [u8]) {
        assert_eq!(packed.len(), self.packed_bytes(), "bytes of packed biases");
        assert_eq!(bias.len(), self.oc, "biases");
        cast_mut(packed).copy_from_slice(bias);
    }

    /// Computes `outputs` into `y`.
    ///
    /// # Panics
    /// If there are no such outputs, a length does not fit, or `packed` is not aligned as f32 are.
    pub fn run(&self, Operands { x, matrix, packed, relu }: Operands<'_>, outputs: Range<usize>, y: &mut [f32]) {
        assert_eq!(x.len(), self.ic, "inputs");
        assert_eq!(matrix.len(), self.oc * self.ic, "weights");
        assert_eq!(packed.len(), self.packed_bytes(), "bytes of packed biases");
        let bias = &cast(packed)[outputs.clone()];
        assert_eq!(y.len(), bias.len(), "outputs {outputs:?}");
        let rows = outputs.start * self.ic..outputs.end * self.ic;
        match matrix {
            Matrix::F32(w) => (self.of_f32)(Rows { x, w: &w[rows], bias, relu, y }),
            Matrix::F16(w) => (self.of_f16)(Rows { x, w: &w[rows], bias, relu, y }),
        }
    }
}

/// The element of a matrix.
trait Weight: Copy + 'static {
    /// Lane `i` is the number `w[i]`.
    ///
    /// # Safety
    /// `w` is valid for reads of `LANES` elements; aligned as they are.
    unsafe fn load<S: Simd>(s: S, w: *const Self) -> S::V;

    /// Lane `i` is the number `w[i]` for `i < n`, 0 elsewhere.
    ///
    /// # Safety
    /// `n <= LANES`, and `w` is valid for reads of `n` elements; aligned as they are.
    unsafe fn load_first<S: Simd>(s: S, w: *const Self, n: usize) -> S::V;
}

impl Weight for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, w: *const f32) -> S::V {
        // SAFETY: the caller vouches for LANES elements.
        unsafe { s.load(w) }
    }

    #[inline(always)]
    unsafe fn load_first<S: Simd>(s: S, w: *const f32, n: usize) -> S::V {
        // SAFETY: the caller vouches for `n` elements, at most LANES.
        unsafe { s.load_window(w, 0, n) }
    }
}

/// The bits of an f16.
impl Weight for u16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, w: *const u16) -> S::V {
        // SAFETY: the caller vouches for LANES elements.
        unsafe { s.load_f16(w) }
    }

    #[inline(always)]
    unsafe fn load_first<S: Simd>(s: S, w: *const u16, n: usize) -> S::V {
        // SAFETY: the caller vouches for `n` elements, at most LANES.
        unsafe { s.load_first_f16(w, n) }
    }
}

/// Rows at a time: memory hands out more to many streams than to few, and 8 sums, a vector of `x` and one of the weights are
/// 10 of the 16 registers of AVX2. `cargo bench --bench kernels dense/9216` shows what a change of this or of what follows
/// does.
const ROWS: usize = 8;
/// Bytes of a cache line.
const LINE: usize = 64;
/// How many bytes ahead of a row's products its cache lines, or those of the next row, are asked for: a core that waits for one
/// has few others on their way.
const AHEAD: usize = 256;

struct Kernel<W>(PhantomData<W>);

impl<W: Weight> Op for Kernel<W> {
    type Args<'a> = Rows<'a, W>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, Rows { x, w, bias, relu, y }: Rows<'_, W>) {
        let (ic, oc) = (x.len(), y.len());
        let store = {
            #[inline(always)]
            |y: &mut f32, v: f32| *y = if relu { v.max(0.0) } else { v }
        };
        let each = oc / ROWS;
        for o in 0..each {
            let sums = rows::<S, W, ROWS>(s, x, &w[o * ic..], each * ic);
            for (r, sum) in sums.into_iter().enumerate() {
                let o = r * each + o;
                store(&mut y[o], sum + bias[o]);
            }
        }
        for o in ROWS * each..oc {
            let [sum] = rows::<S, W, 1>(s, x, &w[o * ic..], ic);
            store(&mut y[o], sum + bias[o]);
        }
    }
}

/// The products with `x` of R rows of `w`: the first, and each `stride` elements behind the one before.
#[inline(always)]
fn rows<S: Simd, W: Weight, const R: usize>(s: S, x: &[f32], w: &[W], stride: usize) -> [f32; R] {
    let ic = x.len();
    assert!(w.len() >= (R - 1) * stride + ic);
    let mut acc = [s.splat(0.0); R];
    let mut i = 0;
    let line = LINE / size_of::<W>();
    while i + line <= ic {
        for r in 0..R {
            s.prefetch(w.as_ptr().wrapping_add(r * stride + i + AHEAD / size_of::<W>()).cast());
        }
        for vector in 0..line / S::LANES {
            // SAFETY: a line is whole vectors, and i + line <= ic; the rows lie in `w`, as asserted.
            unsafe { add_products(s, x, w, stride, i + vector * S::LANES, &mut acc) };
        }
        i += line;
    }
    while i + S::LANES <= ic {
        // SAFETY: i + LANES <= ic; the rows lie in `w`, as asserted.
        unsafe { add_products(s, x, w, stride, i, &mut acc) };
        i += S::LANES;
    }
    if i < ic {
        // SAFETY: the windows end at ic, the length of `x` and of each of the R rows of `w`.
        unsafe {
            let vx = s.load_window(x.as_ptr().add(i), 0, ic - i);
            for (r, acc) in acc.iter_mut().enumerate() {
                *acc = s.mul_add(W::load_first(s, w.as_ptr().add(r * stride + i), ic - i), vx, *acc);
            }
        }
    }
    let mut sums = [0.0; R];
    for r in 0..R {
        sums[r] = s.sum(acc[r]);
    }
    sums
}

/// Adds the products of a vector of `x` from `i` on with that of each row.
///
/// # Safety
/// `i + LANES` is at most the length of `x`, and `w` holds R rows of that length, each `stride` elements behind
/// the one before.
#[inline(always)]
unsafe fn add_products<S: Simd, W: Weight, const R: usize>(
    s: S,
    x: &[f32],
    w: &[W],
    stride: usize,
    i: usize,
    acc: &mut [S::V; R],
) {
    debug_assert!(i + S::LANES <= x.len() && (R - 1) * stride + x.len() <= w.len());
    // SAFETY: the caller vouches for the vectors.
    unsafe {
        let vx = s.load(x.as_ptr().add(i));
        for (r, acc) in acc.iter_mut().enumerate() {
            *acc = s.mul_add(W::load(s, w.as_ptr().add(r * stride + i)), vx, *acc);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::isa;
    use crate::reference::{dense_ref, f16_ref};

    const GUARD: f32 = 7777.0;

    fn packed(dense: &Dense, bias: &[f32]) -> Vec<f32> {
        let mut packed = vec![f32::NAN; dense.packed_bytes() / 4];
        dense.pack(bias, bytemuck::cast_slice_mut(&mut packed));
        packed
    }

    /// The largest f16 that is no larger than `value`, sign aside: of those that are 0 or normal.
    fn to_f16(value: f32) -> u16 {
        let bits = value.to_bits();
        let (sign, exponent) = ((bits >> 16 & 0x8000) as u16, (bits >> 23 & 255) as i32 - 127 + 15);
        assert!(exponent < 31, "{value} is more than an f16 holds");
        if exponent < 1 { sign } else { sign | (exponent as u16) << 10 | (bits >> 13 & 1023) as u16 }
    }

    /// What the f16 of `bits` is in f32, which holds all of them.
    fn widened(bits: &[u16]) -> Vec<f32> {
        bits.iter().map(|&bits| f16_ref(bits) as f32).collect()
    }

    /// Runs all outputs between guards.
    fn run(dense: &Dense, operands: Operands<'_>) -> Vec<f32> {
        let oc = dense.outputs();
        let mut y = vec![GUARD; oc + 2];
        y[1..=oc].fill(f32::NAN);
        dense.run(operands, 0..oc, &mut y[1..=oc]);
        assert_eq!((y[0], y[oc + 1]), (GUARD, GUARD), "it wrote outside");
        y[1..=oc].to_vec()
    }

    fn check(ic: usize, oc: usize, at: usize, value: impl Fn(usize) -> f32, exact: bool) {
        let x: Vec<f32> = (0..at + ic).map(|i| value(3 * i)).collect();
        // The weights begin anywhere but at an address that suits a vector.
        let w: Vec<f32> = (0..at + ic * oc).map(|i| value(5 * i + 1)).collect();
        let halves: Vec<u16> = w.iter().map(|&w| to_f16(w)).collect();
        let bias: Vec<f32> = (0..oc).map(|i| i as f32 - 2.0).collect();
        let (x, numbers) = (&x[at..], widened(&halves));
        let stored = [(Matrix::F32(&w[at..]), &w[at..]), (Matrix::F16(&halves[at..]), &numbers[at..])];
        for (matrix, numbers) in stored {
            let (expected, magnitude) = dense_ref(x, numbers, &bias);
            for (isa, relu) in isa::detected().flat_map(|isa| [(isa, false), (isa, true)]) {
                let dense = Dense::new(isa, ic, oc);
                let packed = packed(&dense, &bias);
                let y = run(&dense, Operands { x, matrix, packed: bytemuck::cast_slice(&packed), relu });
                for o in 0..oc {
                    // ic products and as many additions, the bias's among them.
                    let bound = (ic + 1) as f64 * f64::from(f32::EPSILON) * magnitude[o];
                    let expected = if relu { expected[o].max(0.0) } else { expected[o] };
                    let err = (f64::from(y[o]) - expected).abs();
                    let bound = if exact { 0.0 } else { bound };
                    assert!(err <= bound, "{isa} {ic}x{oc}, {matrix:?}, at {o}: {} for {expected}", y[o]);
                }
            }
        }
    }

    fn whole(i: usize) -> f32 {
        (i * 37 % 17) as f32 - 8.0
    }

    fn wave(i: usize) -> f32 {
        (i as f32 * 0.7).sin()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_variant_is_within_the_bound(ic in 0_usize..200, oc in 0_usize..20, at in 0_usize..8, scale in 0.1_f32..1e3) {
            check(ic, oc, at, |i| wave(i) * scale, false);
        }
    }

    #[test]
    fn whole_numbers_are_exact_at_every_length() {
        for (ic, oc) in (0..70).flat_map(|ic| [0, 1, 3, 4, 5, 8, 9].map(|oc| (ic, oc))) {
            check(ic, oc, ic % 4, whole, true);
        }
    }

    #[test]
    fn the_networks_classifier() {
        check(1024, 1000, 0, wave, false);
        check(1024, 1000, 1, whole, true);
    }

    /// Rows of a large layer's length, of which a few will do: 9,216 whole numbers of at most 8 give sums below 2^24.
    #[test]
    fn rows_of_a_large_layer() {
        check(9216, 9, 0, wave, false);
        check(9216, 9, 1, whole, true);
    }

    /// Every f16, infinities and subnormals among them, at every length of a row and place in a vector.
    #[test]
    fn numbers_give_the_same_bits_however_they_are_stored() {
        let all: Vec<u16> = (0..=u16::MAX).filter(|&bits| !f16_ref(bits).is_nan()).collect();
        let subnormal: Vec<u16> = (0..1024).flat_map(|fraction| [fraction, fraction | 0x8000]).collect();
        for (ic, at) in (0..70).map(|ic| (ic, ic % 5)).chain([(1000, 0), (1000, 3)]) {
            for (values, isa) in [&all, &subnormal].into_iter().flat_map(|v| isa::detected().map(move |isa| (v, isa))) {
                let oc = 9;
                // 7,919 has no factor in common with either count, so the values are taken in turn.
                let halves: Vec<u16> = (0..at + ic * oc).map(|i| values[(i + ic) * 7919 % values.len()]).collect();
                let (numbers, x) = (widened(&halves), (0..ic).map(|i| wave(i) * 1e-3).collect::<Vec<_>>());
                let dense = Dense::new(isa, ic, oc);
                let packed = packed(&dense, &vec![0.25; oc]);
                let bits = |matrix| {
                    let operands = Operands { x: &x, matrix, packed: bytemuck::cast_slice(&packed), relu: false };
                    run(&dense, operands).into_iter().map(f32::to_bits).collect::<Vec<_>>()
                };
                let (f16, f32) = (bits(Matrix::F16(&halves[at..])), bits(Matrix::F32(&numbers[at..])));
                assert_eq!(f16, f32, "{isa}, rows of {ic} at {at}");
            }
        }
    }

    #[test]
    fn a_split_changes_no_bit() {
        let (ic, oc) = (50, 11);
        let x: Vec<f32> = (0..ic).map(wave).collect();
        let w: Vec<f32> = (0..ic * oc).map(|i| wave(i * i % 1000)).collect();
        let halves: Vec<u16> = w.iter().map(|&w| to_f16(w)).collect();
        for (isa, end) in isa::detected().flat_map(|isa| (0..=oc).map(move |end| (isa, end))) {
            let dense = Dense::new(isa, ic, oc);
            let packed = packed(&dense, &vec![0.1; oc]);
            for matrix in [Matrix::F32(&w), Matrix::F16(&halves)] {
                let run = |outputs, y: &mut [f32]| {
                    let operands = Operands { x: &x, matrix, packed: bytemuck::cast_slice(&packed), relu: true };
                    dense.run(operands, outputs, y);
                };
                let (mut whole, mut parts) = (vec![f32::NAN; oc], vec![f32::NAN; oc]);
                run(0..oc, &mut whole);
                run(0..end, &mut parts[..end]);
                run(end..oc, &mut parts[end..]);
                assert_eq!(whole, parts, "{isa}, {matrix:?}, split at {end}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "larger than memory")]
    fn more_weights_than_memory_are_refused() {
        Dense::new(isa::plainest(), usize::MAX / 2, 8);
    }
}
