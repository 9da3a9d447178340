//! Tiles with pixels in the lanes: M channels x C vectors of pixels.
//!
//! ```text
//! for step:  vx[0..C] = x[step];  for o: acc[o][0..C] += splat(w[step][o]) * vx[0..C]
//! ```
//!
//! A row of accumulators is a row of NCHW output, stored as it is.

use super::Tile;
use crate::op::Op;
use crate::simd::Simd;

/// Tiles of M channels by C vectors of pixels.
pub(super) struct PixelLanes<const M: usize, const C: usize>;

impl<const M: usize, const C: usize> Op for PixelLanes<M, C> {
    type Args<'a> = Tile<'a>;
    type Output = ();

    /// Computes one tile; `tile.bias.len() == M`. The lengths are asserted by `ConvKernel::run`.
    #[inline(always)]
    fn run<S: Simd>(s: S, mut tile: Tile<'_>) {
        debug_assert_eq!(tile.bias.len(), M);
        let steps = tile.w.len() / M;
        let mut acc = [[s.splat(0.0); C]; M];
        for (channel, &bias) in acc.iter_mut().zip(tile.bias) {
            *channel = [s.splat(bias); C];
        }
        let (mut x, mut w, mut ahead) = (tile.x.as_ptr(), tile.w.as_ptr(), tile.ahead.as_ptr());
        let ahead_step = tile.ahead.len().div_ceil(steps);
        for _ in 0..steps {
            s.prefetch(ahead);
            ahead = ahead.wrapping_add(ahead_step);
            let mut vx = [s.splat(0.0); C];
            for (c, vx) in vx.iter_mut().enumerate() {
                // SAFETY: `(steps - 1) * x_step + C * LANES <= x.len()` was asserted by `ConvKernel::run`.
                *vx = unsafe { s.load(x.add(c * S::LANES)) };
            }
            for (o, channel) in acc.iter_mut().enumerate() {
                // SAFETY: this step's M of the `steps * M` weights.
                let vw = s.splat(unsafe { *w.add(o) });
                for c in 0..C {
                    channel[c] = s.mul_add(vw, vx[c], channel[c]);
                }
            }
            // Past the last step these point outside and are not read.
            (x, w) = (x.wrapping_add(tile.x_step), w.wrapping_add(M));
        }
        // From here on indices vary at run time; `acc`, which must live in registers, is done with.
        let zero = s.splat(0.0);
        let mut channels = [[zero; C]; M];
        for o in 0..M {
            for c in 0..C {
                channels[o][c] = if tile.relu { s.max(zero, acc[o][c]) } else { acc[o][c] };
            }
        }
        let (rows, live, stride) = (tile.y.rows(), tile.y.row_len(), tile.y.stride());
        let y = tile.y.as_mut_ptr();
        for (o, channel) in channels.iter().enumerate() {
            if o >= rows {
                break;
            }
            for (c, &v) in channel.iter().enumerate() {
                let column = c * S::LANES;
                if column + S::LANES <= live {
                    // SAFETY: row `o` and the columns column..column + LANES lie in `y`.
                    unsafe { s.store(y.add(o * stride + column), v) };
                } else if column < live {
                    // SAFETY: row `o` and the columns column..live lie in `y`.
                    unsafe { s.store_first(y.add(o * stride + column), v, live - column) };
                }
            }
        }
    }
}
