//! Gathering: the inputs of a tile of pixels as a panel `[step][px]`.
//!
//! ```text
//! for tap (ky, kx):  where each run of pixels lies in the input, and which of its lanes lie in the padding
//!     for channel c: for run: panel[step][run] = x[c, iy, ix ..], 0 in the padding
//! ```

use super::ConvShape;
use crate::op::Op;
use crate::simd::Simd;

/// Pixels of a tile that lie in one output row and one vector.
#[derive(Clone, Copy)]
struct Run {
    /// The first pixel's index in the tile.
    at: usize,
    /// The first pixel's output position.
    y: usize,
    x: usize,
    /// How many there are.
    len: usize,
    /// What the current tap reads: the offset of lane 0 in a channel's plane, and the lanes outside the padding.
    offset: isize,
    from: usize,
    to: usize,
}

/// The most runs of a tile: one a pixel.
const MAX_RUNS: usize = 48;

/// The operands of `ConvKernel::gather`, which asserts them.
pub(super) struct Panel<'a> {
    pub shape: &'a ConvShape,
    pub x: &'a [f32],
    pub first_px: usize,
    pub live: usize,
    pub px: usize,
    pub panel: &'a mut [f32],
}

/// Gathers one panel; the contract is `ConvKernel::gather`'s.
///
/// Each run is stored as a whole vector, and what it writes past its pixels is written again by what follows it:
/// the tile's runs, then the next steps, in ascending order.
pub(super) struct Gather;

impl Op for Gather {
    type Args<'a> = Panel<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, Panel { shape, x, first_px, live, px, panel }: Panel<'_>) {
        let shape = &{ *shape }; // a copy, which the stores to `panel` are known not to change
        if shape.is_pointwise() && live == px {
            return pixels(s, shape, x, first_px, px, panel);
        }
        let mut runs = [Run { at: 0, y: 0, x: 0, len: 0, offset: 0, from: 0, to: 0 }; MAX_RUNS];
        let mut n_runs = 0;
        let mut at = 0;
        while at < live {
            let (y, column) = ((first_px + at) / shape.ow, (first_px + at) % shape.ow);
            let len = (live - at).min(shape.ow - column).min(S::LANES);
            runs[n_runs] = Run { at, y, x: column, len, offset: 0, from: 0, to: 0 };
            n_runs += 1;
            at += len;
        }
        let runs = &mut runs[..n_runs];
        let plane = shape.ih * shape.iw;
        if live < px {
            panel[..shape.steps() * px].fill(0.0);
        }
        let mut row = panel.as_mut_ptr();
        for ky in 0..shape.kh {
            for kx in 0..shape.kw {
                for run in runs.iter_mut() {
                    let iy = (run.y * shape.stride_h + ky) as isize - shape.pad_t as isize;
                    let ix = (run.x * shape.stride_w + kx) as isize - shape.pad_l as isize;
                    let inside = 0 <= iy && iy < shape.ih as isize;
                    // Lanes whose input column ix + lane * stride_w lies in 0..iw.
                    let stride = shape.stride_w as isize;
                    let to = if ix >= shape.iw as isize { 0 } else { (shape.iw as isize - 1 - ix) / stride + 1 };
                    let from = if ix >= 0 { 0 } else { (-ix + stride - 1) / stride };
                    run.to = if inside { (to as usize).min(run.len) } else { 0 };
                    run.from = (from as usize).min(run.to);
                    // Outside it may be more than any offset, and is not used.
                    run.offset = iy.wrapping_mul(shape.iw as isize).wrapping_add(ix);
                }
                for c in 0..shape.ic {
                    let channel = x.as_ptr().wrapping_add(c * plane);
                    for run in runs.iter() {
                        let source = channel.wrapping_offset(run.offset);
                        // SAFETY: the lanes from..to read input columns inside 0..iw of an input row inside 0..ih of channel c
                        // < ic, and `x` is [ic, ih, iw] (asserted by `ConvKernel::gather`); from <= to <= len <= LANES, and
                        // strides are at most `MAX_SIZE` (`ConvShape::assert_sizes`).
                        let v = unsafe {
                            if run.from == run.to {
                                s.splat(0.0)
                            } else if shape.stride_w == 1 {
                                s.load_window(source, run.from, run.to)
                            } else if shape.stride_w == 2 {
                                s.load_even_window(source, run.from, run.to)
                            } else {
                                s.load_strided_window(source, shape.stride_w, run.from, run.to)
                            }
                        };
                        // SAFETY: at < px, and the panel has OVERHANG >= LANES - 1 elements after its last step.
                        unsafe { s.store(row.wrapping_add(run.at), v) };
                    }
                    row = row.wrapping_add(px);
                }
            }
        }
    }
}

/// Gathers a whole panel of a pointwise convolution: `px` contiguous pixels of every channel.
#[inline(always)]
fn pixels<S: Simd>(s: S, shape: &ConvShape, x: &[f32], first_px: usize, px: usize, panel: &mut [f32]) {
    let plane = shape.ih * shape.iw;
    for c in 0..shape.ic {
        let mut at = 0;
        while at < px {
            let (from, n) = (c * plane + first_px + at, if px - at < S::LANES { px - at } else { S::LANES });
            // What a whole vector reads beyond the n pixels is overwritten, or lies in the overhang.
            let whole = from + S::LANES <= x.len();
            // SAFETY: n <= px - at pixels of channel c, and `from + LANES` elements of `x` where that is tested; the
            // panel has OVERHANG >= LANES - 1 elements after its last step.
            unsafe {
                let source = x.as_ptr().add(from);
                let v = if whole { s.load(source) } else { s.load_window(source, 0, n) };
                s.store(panel.as_mut_ptr().add(c * px + at), v);
            }
            at += S::LANES;
        }
    }
}
