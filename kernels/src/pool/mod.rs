//! Max pooling over the planes of an NCHW buffer, of any [`Element`].
//!
//! `y[c, y, x]` is the largest of the `kernel * kernel` inputs from `(y * stride - pad_t, x * stride - pad_l)` on;
//! what lies outside the input never wins, and a window wholly outside gives the least value that there is: -inf, or 0 of
//! bytes, which are never less. The windows that networks use (3x3 at stride 1 and 2, 2x2 at stride 2) are computed with
//! vectors: f32 and bf16, as f32, in `lanes.rs`, and bytes, of which a vector holds more, in `bytes.rs`. Any other window is
//! computed element by element. The result is exact; NaN is not promised to reach it.
//!
//! Source: Caffe's `PoolingLayer` (Jia et al., "Caffe: Convolutional Architecture for Fast Feature Embedding", 2014,
//! arXiv:1408.5093), whose rounding up is the caller's choice of `oh` and `ow`.

mod bytes;
mod lanes;
#[cfg(test)]
mod tests;

use bytemuck::Pod;

use crate::buffer::{cast, cast_mut};
use crate::element::{Bf16, Element};
use crate::isa::Isa;
use crate::op::{self, Op};
use crate::simd::Simd;

/// The shape of one channel's pooling; bottom and right padding is what `oh` and `ow` imply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the field's own, see the file's text")]
pub struct PoolShape {
    pub ih: usize,
    pub iw: usize,
    pub oh: usize,
    pub ow: usize,
    pub kernel: usize,
    pub stride: usize,
    pub pad_t: usize,
    pub pad_l: usize,
}

/// One variant. Panics if the lengths of `x` and `y` disagree about the number of channels, or either is not aligned as its
/// elements are.
pub type MaxPoolFn = fn(MaxPool<'_>);

/// The operands of a pooling, whose input and output are of the element that the variant was selected for.
#[derive(Debug)]
pub struct MaxPool<'a> {
    /// The shape of each channel.
    pub shape: &'a PoolShape,
    /// The input, `[c, ih, iw]`.
    pub x: &'a [u8],
    /// The output, `[c, oh, ow]`.
    pub y: &'a mut [u8],
}

/// The variant for `isa` and `element`.
#[inline(never)] // or the kernel would be compiled with the caller's optimisation, not this crate's
pub fn select(isa: Isa, element: Element) -> MaxPoolFn {
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

/// An element that can be pooled.
trait Pooled: Pod {
    /// What a window holds outside of the input.
    const OUTSIDE: Self;

    /// The larger of a value and the largest so far, which a NaN does not replace.
    fn larger(self, best: Self) -> Self;

    /// Pools the channels of `x` with vectors, where they serve windows of `shape`; else `one_by_one`. The shape has neither
    /// sizes of 0 nor a plane that wraps around, and both slices are whole planes of equally many channels.
    fn pool<S: Simd>(s: S, shape: &PoolShape, x: &[Self], y: &mut [Self]);
}

/// Pooling of `E`.
struct Kernel<E>(E);

impl<E: Pooled> Op for Kernel<E> {
    type Args<'a> = MaxPool<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, MaxPool { shape, x, y }: MaxPool<'_>) {
        let shape = &{ *shape }; // a copy, which the stores to `y` are known not to change
        let (x, y) = (cast::<E>(x), cast_mut::<E>(y));
        let plane = |h: usize, w: usize| h.checked_mul(w).filter(|&plane| plane > 0);
        let (Some(in_plane), Some(out_plane)) = (plane(shape.ih, shape.iw), plane(shape.oh, shape.ow)) else {
            panic!("no planes of {shape:?}");
        };
        assert!(shape.kernel > 0 && shape.stride > 0, "empty {shape:?}");
        assert!(x.len().is_multiple_of(in_plane) && y.len().is_multiple_of(out_plane), "lengths for {shape:?}");
        assert_eq!(x.len() / in_plane, y.len() / out_plane, "channels of input and output");
        E::pool(s, shape, x, y);
    }
}

/// Whether a 3x3 window around each input makes an output.
fn is_same(shape: &PoolShape) -> bool {
    (shape.pad_t, shape.pad_l, shape.oh, shape.ow) == (1, 1, shape.ih, shape.iw)
}

/// Elements of the largest plane that is taken as one row: 28x28, with its neighbours in the nearest cache.
const FLAT: usize = 28 * 28;

/// Any window, without vectors.
#[inline(always)]
fn one_by_one<E: Pooled>(shape: &PoolShape, x: &[E], y: &mut [E]) {
    let (in_plane, out_plane) = (shape.ih * shape.iw, shape.oh * shape.ow);
    for (x, y) in x.chunks_exact(in_plane).zip(y.chunks_exact_mut(out_plane)) {
        for (oy, y) in y.chunks_exact_mut(shape.ow).enumerate() {
            for (ox, y) in y.iter_mut().enumerate() {
                *y = window(shape, x, oy, ox);
            }
        }
    }
}

/// One window, clipped to the input.
#[inline(always)]
fn window<E: Pooled>(shape: &PoolShape, x: &[E], oy: usize, ox: usize) -> E {
    let clip = |o: usize, pad: usize, len: usize| {
        let first = o.saturating_mul(shape.stride);
        first.saturating_sub(pad)..first.saturating_add(shape.kernel).saturating_sub(pad).min(len)
    };
    let mut best = E::OUTSIDE;
    for iy in clip(oy, shape.pad_t, shape.ih) {
        for ix in clip(ox, shape.pad_l, shape.iw) {
            best = x[iy * shape.iw + ix].larger(best);
        }
    }
    best
}
