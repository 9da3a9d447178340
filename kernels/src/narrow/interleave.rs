//! Gathering of bytes: where an output's column is its input's, four channels' bytes are interleaved in registers.
//!
//! With a stride of 1 and rows as long in as out, pixel `p` of a channel reads the tap `(ky, kx)` at
//! `p + (ky - pad_t) * iw + kx - pad_l` of its plane, whatever its row: a tile's pixels read bytes side by side, of which
//! those are masked out that lie in the padding, and hold the end of another row.
//!
//! ```text
//! for tap:
//!     masks: the tile's pixels for which it lies in the input
//!     for four channels, for 16 pixels: panel[word][16] = interleaved(16 bytes of each channel's plane) & masks
//! ```
//!
//! Other convolutions, and those whose channels four does not divide, are gathered as bf16 are (`gather.rs`).

use super::gather::{Panel, gather, rows_as_one};
use crate::conv::ConvShape;
use crate::op::Op;
use crate::simd::{INTERLEAVED, Simd};

/// The most pixels of a tile.
pub(super) const MOST_PX: usize = 48;

/// Whether panels of `shape` are made in this way.
#[inline(always)]
pub(super) fn is_interleaved(shape: &ConvShape) -> bool {
    (shape.stride_h, shape.stride_w) == (1, 1) && shape.ow == shape.iw && shape.ic.is_multiple_of(4)
}

/// Gathers one panel of words of bytes; the contract is `Kernel::gather`'s.
///
/// Bytes are stored 16 words at a time, and what that writes past the tile's pixels is written again by the next word.
pub(super) struct Interleave;

impl Op for Interleave {
    type Args<'a> = Panel<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, panel: Panel<'_>) {
        if is_interleaved(panel.shape) {
            interleave(s, panel);
        } else {
            gather::<S, u8, 4, false>(s, panel);
        }
    }
}

/// Where no input is, whatever the tap: no size is as large.
const NOWHERE: u32 = 1 << 31;

/// Gathers a panel of a convolution whose rows are as long in as out.
#[inline(always)]
fn interleave<S: Simd>(s: S, Panel { shape, x, first_px, live, px, panel }: Panel<'_>) {
    let shape = &rows_as_one(shape);
    let plane = shape.ih * shape.iw;
    let chunks = px.div_ceil(INTERLEAVED);
    // The tile's pixels, and behind the last what lies nowhere.
    let (mut rows, mut columns) = ([NOWHERE; MOST_PX], [0_u32; MOST_PX]);
    let (mut row, mut column) = ((first_px / shape.ow) as u32, (first_px % shape.ow) as u32);
    for (at_row, at_column) in rows.iter_mut().zip(&mut columns).take(live) {
        (*at_row, *at_column) = (row, column);
        column += 1;
        if column == shape.ow as u32 {
            (row, column) = (row + 1, 0);
        }
    }
    let mut masks = [[0_u8; INTERLEAVED]; MOST_PX / INTERLEAVED];
    let mut out = panel.as_mut_ptr();
    for (ky, kx) in (0..shape.kh).flat_map(|ky| (0..shape.kw).map(move |kx| (ky, kx))) {
        let (down, right) =
            ((ky as u32).wrapping_sub(shape.pad_t as u32), (kx as u32).wrapping_sub(shape.pad_l as u32));
        for (mask, (rows, columns)) in
            masks.iter_mut().zip(rows.as_chunks().0.iter().zip(columns.as_chunks().0)).take(chunks)
        {
            *mask = inside(rows, columns, (down, right), (shape.ih as u32, shape.iw as u32));
        }
        let tap = (first_px + ky * shape.iw + kx) as isize - (shape.pad_t * shape.iw + shape.pad_l) as isize;
        for c in (0..shape.ic).step_by(4) {
            for (i, mask) in masks[..chunks].iter().enumerate() {
                let at = (c * plane + INTERLEAVED * i) as isize + tap;
                // SAFETY: a pixel of the mask reads the input's byte that the tap is, of the four channels from `c` on, which
                // exist as four divides ic, in rows as long as the output's (`is_interleaved`); `x` is [ic, ih, iw], and the
                // panel has OVERHANG >= INTERLEAVED - 1 words after its last word (both asserted by `Kernel::gather`).
                unsafe { words(s, x, at, plane, mask, out.add(INTERLEAVED * i)) };
            }
            out = out.wrapping_add(px);
        }
    }
}

/// All bits of the pixels whose tap, `down` and `right` of them modulo 2^32, lies in a plane of `ih` by `iw`.
#[inline(always)]
fn inside(
    rows: &[u32; INTERLEAVED],
    columns: &[u32; INTERLEAVED],
    (down, right): (u32, u32),
    (ih, iw): (u32, u32),
) -> [u8; INTERLEAVED] {
    let mut mask = [0; INTERLEAVED];
    for (i, mask) in mask.iter_mut().enumerate() {
        let is_inside = (rows[i].wrapping_add(down) < ih) & (columns[i].wrapping_add(right) < iw);
        *mask = if is_inside { 0xFF } else { 0 };
    }
    mask
}

/// Interleaves the bytes from `at` on of four planes, `plane` apart, of which those of `mask` lie in `x`.
///
/// # Safety
/// They do, and `y` is valid for writes of `INTERLEAVED` words.
#[inline(always)]
unsafe fn words<S: Simd>(s: S, x: &[u8], at: isize, plane: usize, mask: &[u8; INTERLEAVED], y: *mut u32) {
    let end = at.cast_unsigned().saturating_add(3 * plane + INTERLEAVED);
    if at >= 0 && end <= x.len() {
        // SAFETY: all the bytes lie in `x`, as tested; the caller vouches for `y`.
        return unsafe { s.interleave(x.as_ptr().offset(at), plane, mask, y) };
    }
    let mut near = [[0; INTERLEAVED]; 4];
    for (c, near) in near.iter_mut().enumerate() {
        for (i, near) in near.iter_mut().enumerate() {
            if mask[i] != 0 {
                // SAFETY: the caller vouches for the bytes of the mask.
                *near = unsafe { *x.as_ptr().wrapping_offset(at).wrapping_add(c * plane + i) };
            }
        }
    }
    // SAFETY: `near` has four rows of bytes; the caller vouches for `y`.
    unsafe { s.interleave(near.as_ptr().cast(), INTERLEAVED, mask, y) };
}
