//! Max pooling over the planes of an NCHW buffer.
//!
//! `y[c, y, x]` is the largest of the `kernel * kernel` inputs from `(y * stride - pad_t, x * stride - pad_l)` on;
//! what lies outside the input is -inf and never wins. Windows that lie wholly inside their rows are computed a
//! vector of outputs at a time, the others one by one:
//!
//! ```text
//! for channel, for output row: for vectors of inner columns: max over (ky, kx) of load(row ky, column x * stride + kx)
//! ```

use crate::isa::Isa;
use crate::simd::{Portable, Simd};

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

/// One variant: `x` is `[c, ih, iw]`, `y` is `[c, oh, ow]`. Panics if their lengths disagree about `c`.
pub type MaxPoolFn = fn(shape: &PoolShape, x: &[f32], y: &mut [f32]);

/// The variant for `isa`.
pub fn select(isa: Isa) -> MaxPoolFn {
    match isa {
        Isa::Portable => |shape, x, y| max_pool(Portable, shape, x, y),
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a `Neon` exists only where neon was detected.
        Isa::Neon(_) => |shape, x, y| unsafe { max_pool_neon(shape, x, y) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Avx2` exists only where avx2 and fma were detected.
        Isa::Avx2(_) => |shape, x, y| unsafe { max_pool_avx2(shape, x, y) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Avx512` exists only where avx512f was detected.
        Isa::Avx512(_) => |shape, x, y| unsafe { max_pool_avx512(shape, x, y) },
    }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn max_pool_neon(shape: &PoolShape, x: &[f32], y: &mut [f32]) {
    // SAFETY: the features enabled on this function are those the token stands for.
    max_pool(unsafe { crate::isa::Neon::assume() }, shape, x, y);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn max_pool_avx2(shape: &PoolShape, x: &[f32], y: &mut [f32]) {
    // SAFETY: the features enabled on this function are those the token stands for.
    max_pool(unsafe { crate::isa::Avx2::assume() }, shape, x, y);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn max_pool_avx512(shape: &PoolShape, x: &[f32], y: &mut [f32]) {
    // SAFETY: the features enabled on this function are those the token stands for.
    max_pool(unsafe { crate::isa::Avx512::assume() }, shape, x, y);
}

#[inline(always)]
fn max_pool<S: Simd>(s: S, shape: &PoolShape, x: &[f32], y: &mut [f32]) {
    let (in_plane, out_plane) = (shape.ih * shape.iw, shape.oh * shape.ow);
    assert!(in_plane > 0 && out_plane > 0 && shape.kernel > 0 && shape.stride > 0, "empty {shape:?}");
    assert!(x.len().is_multiple_of(in_plane) && y.len().is_multiple_of(out_plane), "lengths for {shape:?}");
    assert_eq!(x.len() / in_plane, y.len() / out_plane, "channels of input and output");
    // Output columns whose windows lie inside a row: x * stride >= pad_l and x * stride - pad_l + kernel <= iw.
    let first = shape.pad_l.div_ceil(shape.stride).min(shape.ow);
    let end = (shape.iw + shape.pad_l).checked_sub(shape.kernel).map_or(0, |room| room / shape.stride + 1);
    let inner = first..end.clamp(first, shape.ow);
    let lanes = if shape.stride <= 2 { S::LANES } else { 1 };
    for (x, y) in x.chunks_exact(in_plane).zip(y.chunks_exact_mut(out_plane)) {
        for (oy, y) in y.chunks_exact_mut(shape.ow).enumerate() {
            let top = oy * shape.stride;
            let rows = top.saturating_sub(shape.pad_t)..(top + shape.kernel).saturating_sub(shape.pad_t).min(shape.ih);
            let mut column = 0;
            while column < shape.ow {
                if lanes == 1 || !inner.contains(&column) {
                    y[column] = window(shape, x, rows.clone(), column);
                    column += 1;
                    continue;
                }
                let n = lanes.min(inner.end - column);
                let mut best = s.splat(f32::NEG_INFINITY);
                for iy in rows.clone() {
                    let left = iy * shape.iw + column * shape.stride - shape.pad_l;
                    for kx in 0..shape.kernel {
                        debug_assert!(left + kx + (n - 1) * shape.stride < x.len());
                        // SAFETY: `inner` holds columns whose windows end inside the row, and iy < ih: the last
                        // element read, left + kx + (n - 1) * stride, lies in this row.
                        let v = unsafe {
                            let at = x.as_ptr().add(left + kx);
                            if shape.stride == 2 {
                                s.load_even_window(at, 0, n)
                            } else if n == S::LANES {
                                s.load(at)
                            } else {
                                s.load_window(at, 0, n)
                            }
                        };
                        best = s.max(best, v);
                    }
                }
                // SAFETY: column + n <= ow, the length of `y`.
                unsafe { s.store_first(y.as_mut_ptr().add(column), best, n) };
                column += n;
            }
        }
    }
}

/// One window, clipped to the input.
#[inline(always)]
fn window(shape: &PoolShape, x: &[f32], rows: core::ops::Range<usize>, column: usize) -> f32 {
    let left = column * shape.stride;
    let columns = left.saturating_sub(shape.pad_l)..(left + shape.kernel).saturating_sub(shape.pad_l).min(shape.iw);
    let mut best = f32::NEG_INFINITY;
    for iy in rows {
        for ix in columns.clone() {
            let v = x[iy * shape.iw + ix];
            // As the vectors compare: a NaN that comes later wins.
            best = if best > v { best } else { v };
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::isa;
    use crate::reference::max_pool_ref;

    fn check(shape: PoolShape, c: usize, seed: u32) {
        let n = c * shape.ih * shape.iw;
        let x: Vec<f32> =
            (0..n as u32).map(|i| (i.wrapping_mul(2654435761).wrapping_add(seed) >> 8) as f32 - 8e6).collect();
        let expected = max_pool_ref(&shape, &x);
        for isa in isa::detected() {
            let mut y = vec![7777.0; expected.len() + 2];
            select(isa)(&shape, &x, &mut y[1..=expected.len()]);
            assert_eq!(y[1..=expected.len()], expected, "{isa} {shape:?}");
            assert_eq!((y[0], y[expected.len() + 1]), (7777.0, 7777.0), "{isa} {shape:?} wrote outside");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_variant_equals_the_definition(
            ih in 1_usize..40, iw in 1_usize..80, kernel in 1_usize..5, stride in 1_usize..4, pad in 0_usize..3,
            extra in 0_usize..2, c in 1_usize..4, seed: u32,
        ) {
            let pad = pad.min(kernel - 1);
            let out = |side: usize| (side + 2 * pad).saturating_sub(kernel) / stride + 1 + extra;
            check(PoolShape { ih, iw, oh: out(ih), ow: out(iw), kernel, stride, pad_t: pad, pad_l: pad }, c, seed);
        }
    }

    #[test]
    fn the_networks_pools_are_exact() {
        for (side, out, stride, pad) in [(112, 56, 2, 0), (56, 28, 2, 0), (28, 28, 1, 1), (14, 7, 2, 0), (7, 7, 1, 1)] {
            check(PoolShape { ih: side, iw: side, oh: out, ow: out, kernel: 3, stride, pad_t: pad, pad_l: pad }, 3, 5);
        }
    }
}
