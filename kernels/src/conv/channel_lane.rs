//! Tiles with output channels in the lanes: P pixels x R vectors of channels.
//!
//! ```text
//! for step:  vw[0..R] = weights[step];  for p: acc[p][0..R] += splat(x[step][p]) * vw[0..R]
//! ```
//!
//! Every set's (P, R) leaves its registers room for R weights and one broadcast beside P * R accumulators. The
//! accumulators hold a pixel's channels; NCHW wants a channel's pixels, so the store transposes in registers.

use super::Tile;
use crate::op::Op;
use crate::simd::Simd;

/// Tiles of P pixels by up to R vectors of channels.
pub(super) struct ChannelLanes<const P: usize, const R: usize>;

impl<const P: usize, const R: usize> Op for ChannelLanes<P, R> {
    type Args<'a> = Tile<'a>;
    type Output = ();

    /// Computes a tile of as many vectors of channels as it has biases.
    #[inline(always)]
    fn run<S: Simd>(s: S, operands: Tile<'_>) {
        const { assert!(R <= 4, "wider tiles are not listed below") };
        match operands.bias.len() / S::LANES {
            2 if R >= 2 => tile::<S, P, 2>(s, operands),
            3 if R >= 3 => tile::<S, P, 3>(s, operands),
            4 if R >= 4 => tile::<S, P, 4>(s, operands),
            _ => tile::<S, P, 1>(s, operands),
        }
    }
}

/// Computes one tile; `tile.bias.len() == R * LANES`. The lengths are asserted by `ConvKernel::run`.
#[inline(always)]
fn tile<S: Simd, const P: usize, const R: usize>(s: S, mut tile: Tile<'_>) {
    let width = R * S::LANES;
    debug_assert_eq!(tile.bias.len(), width);
    let steps = tile.w.len() / width;
    let mut acc = [[s.splat(0.0); R]; P];
    for r in 0..R {
        // SAFETY: `bias` has R * LANES elements: `run` took R from its length, whole vectors (asserted by `ConvKernel::run`).
        let bias = unsafe { s.load(tile.bias.as_ptr().add(r * S::LANES)) };
        for pixel in &mut acc {
            pixel[r] = bias;
        }
    }
    let (mut x, mut w, mut ahead) = (tile.x.as_ptr(), tile.w.as_ptr(), tile.ahead.as_ptr());
    let ahead_step = tile.ahead.len().div_ceil(steps);
    for _ in 0..steps {
        s.prefetch(ahead);
        ahead = ahead.wrapping_add(ahead_step);
        let mut vw = [s.splat(0.0); R];
        for (r, vw) in vw.iter_mut().enumerate() {
            // SAFETY: this step's R vectors of the `steps * width` weights.
            *vw = unsafe { s.load(w.add(r * S::LANES)) };
        }
        for (p, pixel) in acc.iter_mut().enumerate() {
            // SAFETY: `(steps - 1) * x_step + P <= x.len()` was asserted by `ConvKernel::run`.
            let vx = s.splat(unsafe { *x.add(p) });
            for r in 0..R {
                pixel[r] = s.mul_add(vx, vw[r], pixel[r]);
            }
        }
        // Past the last step these point outside and are not read.
        (x, w) = (x.wrapping_add(tile.x_step), w.wrapping_add(width));
    }
    // From here on indices vary at run time; `acc`, which must live in registers, is done with.
    let zero = s.splat(0.0);
    let mut channels = [[zero; P]; R];
    for p in 0..P {
        for r in 0..R {
            channels[r][p] = if tile.relu { s.max(zero, acc[p][r]) } else { acc[p][r] };
        }
    }
    let (rows, live, stride) = (tile.y.rows(), tile.y.row_len(), tile.y.stride());
    let y = tile.y.as_mut_ptr();
    for (r, pixels) in channels.iter().enumerate() {
        let first = r * S::LANES;
        if first >= rows {
            break;
        }
        let live_rows = if rows - first < S::LANES { rows - first } else { S::LANES };
        let mut p = 0;
        while p < P {
            let whole = if P - p < S::LANES { P - p } else { S::LANES };
            let n = if p + whole <= live { whole } else { live.saturating_sub(p) };
            if n > 0 {
                // SAFETY: the rows first..first + live_rows and the columns p..p + n lie in `y`.
                unsafe { s.store_transposed(&pixels[p..p + whole], n, y.add(first * stride + p), stride, live_rows) };
            }
            p += whole;
        }
    }
}
