//! Fully connected layer: `y[o] = bias[o] + sum_i w[o, i] * x[i]`.
//!
//! `x` is `[ic]`, `w` is `[oc, ic]`, row-major as it is stored: the weights are read once, which bounds the speed. Four
//! rows at a time share the loads of `x` and hide the latency of each other's sums:
//!
//! ```text
//! for 4 rows o: for i in steps of LANES: acc[o][lane] += w[o, i + lane] * x[i + lane]
//!     y[o] = (acc[o] across the lanes) + bias[o]
//! ```
//!
//! A row's sum has the same order wherever the row stands, so the outputs may be split anywhere without changing a bit.

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
    run: fn(Operands<'_>),
}

/// What some rows of the weights are multiplied with.
struct Operands<'a> {
    x: &'a [f32],
    /// `[rows][ic]`.
    w: &'a [f32],
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
        assert!(ic < usize::MAX, "{ic} inputs");
        let _ = elements(&[oc, ic + 1]);
        Self { ic, oc, run: op::select::<Kernel>(isa) }
    }

    /// Inputs.
    pub fn inputs(&self) -> usize {
        self.ic
    }

    /// Outputs, which [`Self::run`] can be split by.
    pub fn outputs(&self) -> usize {
        self.oc
    }

    /// Bytes of the packed weights: the weights `[oc, ic]`, then the biases `[oc]`.
    pub fn packed_bytes(&self) -> usize {
        bytes_of(elements(&[self.oc, self.ic + 1]))
    }

    /// Packs weights `[oc, ic]` and biases `[oc]`.
    ///
    /// # Panics
    /// If a length does not fit, or `packed` is not aligned as f32 are.
    pub fn pack(&self, w: &[f32], bias: &[f32], packed: &mut [u8]) {
        assert_eq!(packed.len(), self.packed_bytes(), "bytes of packed weights");
        let (packed_w, packed_bias) = cast_mut(packed).split_at_mut(self.oc * self.ic);
        assert_eq!((w.len(), bias.len()), (packed_w.len(), packed_bias.len()), "weights and biases");
        packed_w.copy_from_slice(w);
        packed_bias.copy_from_slice(bias);
    }

    /// Computes `outputs` into `y` from `x`, `[ic]`, negative ones becoming 0 if `relu`.
    ///
    /// # Panics
    /// If there are no such outputs, a length does not fit, or `packed` is not aligned as f32 are.
    pub fn run(&self, x: &[f32], packed: &[u8], relu: bool, outputs: Range<usize>, y: &mut [f32]) {
        assert_eq!(x.len(), self.ic, "inputs");
        assert_eq!(packed.len(), self.packed_bytes(), "bytes of packed weights");
        let (w, bias) = cast(packed).split_at(self.oc * self.ic);
        let bias = &bias[outputs.clone()];
        assert_eq!(y.len(), bias.len(), "outputs {outputs:?}");
        let w = &w[outputs.start * self.ic..outputs.end * self.ic];
        (self.run)(Operands { x, w, bias, relu, y });
    }
}

struct Kernel;

impl Op for Kernel {
    type Args<'a> = Operands<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, Operands { x, w, bias, relu, y }: Operands<'_>) {
        let (ic, oc) = (x.len(), y.len());
        let store = {
            #[inline(always)]
            |y: &mut f32, v: f32| *y = if relu { v.max(0.0) } else { v }
        };
        let whole = oc / 4 * 4;
        let mut o = 0;
        while o < oc {
            if o < whole {
                let sums = rows::<S, 4>(s, x, &w[o * ic..(o + 4) * ic]);
                for r in 0..4 {
                    store(&mut y[o + r], sums[r] + bias[o + r]);
                }
                o += 4;
            } else {
                store(&mut y[o], rows::<S, 1>(s, x, &w[o * ic..(o + 1) * ic])[0] + bias[o]);
                o += 1;
            }
        }
    }
}

/// The products of R rows of weights with `x`.
#[inline(always)]
fn rows<S: Simd, const R: usize>(s: S, x: &[f32], w: &[f32]) -> [f32; R] {
    let ic = x.len();
    assert_eq!(w.len(), R * ic);
    let mut acc = [s.splat(0.0); R];
    let mut i = 0;
    while i + S::LANES <= ic {
        // SAFETY: i + LANES <= ic, the length of `x` and of each of the R rows of `w`.
        unsafe {
            let vx = s.load(x.as_ptr().add(i));
            for (r, acc) in acc.iter_mut().enumerate() {
                *acc = s.mul_add(s.load(w.as_ptr().add(r * ic + i)), vx, *acc);
            }
        }
        i += S::LANES;
    }
    if i < ic {
        // SAFETY: the windows end at ic, the length of `x` and of each of the R rows of `w`.
        unsafe {
            let vx = s.load_window(x.as_ptr().add(i), 0, ic - i);
            for (r, acc) in acc.iter_mut().enumerate() {
                *acc = s.mul_add(s.load_window(w.as_ptr().add(r * ic + i), 0, ic - i), vx, *acc);
            }
        }
    }
    let mut sums = [0.0; R];
    for r in 0..R {
        sums[r] = s.sum(acc[r]);
    }
    sums
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::isa;
    use crate::reference::dense_ref;

    const GUARD: f32 = 7777.0;

    fn packed(dense: &Dense, w: &[f32], bias: &[f32]) -> Vec<f32> {
        let mut packed = vec![f32::NAN; dense.packed_bytes() / 4];
        dense.pack(w, bias, bytemuck::cast_slice_mut(&mut packed));
        packed
    }

    fn check(ic: usize, oc: usize, at: usize, value: impl Fn(usize) -> f32, exact: bool) {
        let x: Vec<f32> = (0..at + ic).map(|i| value(3 * i)).collect();
        let w: Vec<f32> = (0..ic * oc).map(|i| value(5 * i + 1)).collect();
        let bias: Vec<f32> = (0..oc).map(|i| i as f32 - 2.0).collect();
        let x = &x[at..];
        let (expected, magnitude) = dense_ref(x, &w, &bias);
        for (isa, relu) in isa::detected().flat_map(|isa| [(isa, false), (isa, true)]) {
            let dense = Dense::new(isa, ic, oc);
            // The weights begin anywhere but at an address that suits a vector.
            let mut weights = vec![GUARD; at];
            weights.extend(packed(&dense, &w, &bias));
            let mut y = vec![GUARD; oc + 2];
            y[1..=oc].fill(f32::NAN);
            dense.run(x, bytemuck::cast_slice(&weights[at..]), relu, 0..oc, &mut y[1..=oc]);
            assert_eq!((y[0], y[oc + 1]), (GUARD, GUARD), "{isa} wrote outside");
            for o in 0..oc {
                // ic products and as many additions, the bias's among them.
                let bound = (ic + 1) as f64 * f64::from(f32::EPSILON) * magnitude[o];
                let expected = if relu { expected[o].max(0.0) } else { expected[o] };
                let err = (f64::from(y[o + 1]) - expected).abs();
                let bound = if exact { 0.0 } else { bound };
                assert!(err <= bound, "{isa} {ic}x{oc} at {o}: {} for {expected}", y[o + 1]);
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

    #[test]
    fn a_split_changes_no_bit() {
        let (ic, oc) = (50, 11);
        let x: Vec<f32> = (0..ic).map(wave).collect();
        let w: Vec<f32> = (0..ic * oc).map(|i| wave(i * i % 1000)).collect();
        let bias = vec![0.1; oc];
        for (isa, end) in isa::detected().flat_map(|isa| (0..=oc).map(move |end| (isa, end))) {
            let dense = Dense::new(isa, ic, oc);
            let weights = packed(&dense, &w, &bias);
            let weights = bytemuck::cast_slice(&weights);
            let (mut whole, mut parts) = (vec![f32::NAN; oc], vec![f32::NAN; oc]);
            dense.run(&x, weights, true, 0..oc, &mut whole);
            dense.run(&x, weights, true, 0..end, &mut parts[..end]);
            dense.run(&x, weights, true, end..oc, &mut parts[end..]);
            assert_eq!(whole, parts, "{isa} split at {end}");
        }
    }

    #[test]
    #[should_panic(expected = "larger than memory")]
    fn more_weights_than_memory_are_refused() {
        Dense::new(Isa::Portable, usize::MAX / 2, 8);
    }
}
