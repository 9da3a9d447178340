//! `M = U V` at each point: tiles of P tiles by R vectors of output channels.
//!
//! ```text
//! for point, group of P tiles
//!   acc[P][R] = 0
//!   for block of LANES channels, channel:  acc[p][r] += splat(v[block][p][channel]) * u[channel][r]
//!   m[point][group] = acc
//! ```
//!
//! A block's P * LANES inputs are contiguous, so every broadcast has a constant offset. Tiles are dealt evenly: 16 by
//! at most 14 are 8 and 8, not 14 and 2.

use crate::simd::Simd;

/// The operands of `Winograd::multiply`, which asserts their lengths.
pub(super) struct Product<'a> {
    pub points: usize,
    pub channels: usize,
    pub tiles: usize,
    pub v: &'a [f32],
    pub u: &'a [f32],
    pub width: usize,
    pub m: &'a mut [f32],
}

/// One group at one point.
#[derive(Clone, Copy)]
pub(super) struct Group {
    v: *const f32,
    /// From a block of channels to the next.
    v_step: usize,
    channels: usize,
    u: *const f32,
    m: *mut f32,
    /// Weights of the next point to ask for meanwhile: where they begin, and how many for each channel.
    ahead: *const f32,
    ahead_step: usize,
}

/// Walks all points and groups of at most `most` tiles; `group(p, g)` computes a group of `p` tiles.
#[inline(always)]
pub(super) fn product<S: Simd>(_: S, operands: Product<'_>, most: usize, group: impl Fn(usize, Group)) {
    let Product { points, channels, tiles, v, u, width, m } = operands;
    if tiles == 0 {
        return;
    }
    let v_step = tiles * S::LANES;
    let groups = tiles.div_ceil(most);
    let (least, larger) = (tiles / groups, tiles % groups);
    let ahead_step = width.div_ceil(groups);
    let (mut v, mut u, mut m) = (v.as_ptr(), u.as_ptr(), m.as_mut_ptr());
    for _ in 0..points {
        // While a point is computed the next one's weights are fetched, a share by each group.
        let (mut v_group, mut ahead) = (v, u.wrapping_add(channels * width));
        for g in 0..groups {
            let p = least + usize::from(g < larger);
            group(p, Group { v: v_group, v_step, channels, u, m, ahead, ahead_step });
            ahead = ahead.wrapping_add(channels * ahead_step);
            (v_group, m) = (v_group.wrapping_add(p * S::LANES), m.wrapping_add(p * width));
        }
        (v, u) = (v.wrapping_add(channels.div_ceil(S::LANES) * v_step), u.wrapping_add(channels * width));
    }
}

/// Computes one group.
///
/// # Safety
/// `v` has P tiles of every block of channels, `u` the R vectors of every channel, `m` room for P * R vectors.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, const P: usize, const R: usize>(s: S, group: Group) {
    let mut acc = [[s.splat(0.0); R]; P];
    let (mut v, mut u, mut ahead) = (group.v, group.u, group.ahead);
    let mut left = group.channels;
    while left > 0 {
        let steps = if left < S::LANES { left } else { S::LANES };
        let mut step = v;
        for _ in 0..steps {
            s.prefetch(ahead);
            ahead = ahead.wrapping_add(group.ahead_step);
            let mut vu = [s.splat(0.0); R];
            for (r, vu) in vu.iter_mut().enumerate() {
                // SAFETY: this channel's R vectors of the weights.
                *vu = unsafe { s.load(u.add(r * S::LANES)) };
            }
            for (p, acc) in acc.iter_mut().enumerate() {
                // SAFETY: this channel of tile p of the block.
                let vv = s.splat(unsafe { *step.add(p * S::LANES) });
                for r in 0..R {
                    acc[r] = s.mul_add(vv, vu[r], acc[r]);
                }
            }
            // Past the last step these point outside and are not read.
            (step, u) = (step.wrapping_add(1), u.wrapping_add(R * S::LANES));
        }
        v = v.wrapping_add(group.v_step);
        left -= steps;
    }
    for (p, acc) in acc.iter().enumerate() {
        for (r, &acc) in acc.iter().enumerate() {
            // SAFETY: the caller vouches for P * R vectors.
            unsafe { s.store(group.m.add((p * R + r) * S::LANES), acc) };
        }
    }
}

/// Calls [`tile`] for a group of `p` tiles, one of those listed, and R vectors.
macro_rules! by_tiles {
    ($set:expr, $p:expr, $group:expr, $r:literal: $($n:literal)+) => {
        match $p {
            // SAFETY: `Winograd::multiply` asserted the operands, `product` walks them.
            $($n => unsafe { crate::winograd::product::tile::<_, $n, $r>($set, $group) },)+
            p => unreachable!("a group of {p} tiles"),
        }
    };
}

pub(super) use by_tiles;
