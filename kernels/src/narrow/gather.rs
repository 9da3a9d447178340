//! Gathering: the inputs of a tile of pixels as a panel `[word][px]`.
//!
//! ```text
//! for row of the filter, for each word of it:
//!     its values' taps (kx, c): where each run of pixels lies in the input, and which of its lanes lie in the padding
//!     for run: panel[word][run] = value 0 | value 1 << 8 | value 2 << 16 | value 3 << 24       (of bf16 two, 16 bits apart)
//! ```

use core::marker::PhantomData;

use super::interleave::MOST_PX;
use super::words_of_row;
use crate::buffer::cast;
use crate::conv::ConvShape;
use crate::element::{Bf16, Values, to_bf16};
use crate::op::Op;
use crate::simd::{MOST_LANES, Simd};

/// The operands of `Kernel::gather`, which asserts them.
pub(super) struct Panel<'a> {
    pub shape: &'a ConvShape,
    pub x: &'a [u8],
    pub first_px: usize,
    pub live: usize,
    pub px: usize,
    pub panel: &'a mut [u32],
}

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
}

/// What one tap reads for a run: the offset of lane 0 in a channel's plane, and the lanes outside the padding.
#[derive(Clone, Copy)]
struct Window {
    offset: isize,
    from: usize,
    to: usize,
}

/// The most runs of a tile: one a pixel.
const MAX_RUNS: usize = MOST_PX;

/// The most values of a word.
const MAX_VALUES: usize = 4;

/// Gathers one panel of words of `VALUES` values from `E`; the contract is `Kernel::gather`'s.
///
/// Each run is stored as a whole vector, and what it writes past its pixels is written again by what follows it: the
/// tile's runs, then the next words, in ascending order.
pub(super) struct Gather<E, const VALUES: usize>(PhantomData<E>);

/// Gathers one panel of f32, a row for each of the two values of a word: for weights of bf16 that are widened.
pub(super) struct Widening<E>(PhantomData<E>);

/// An element that values of words are made of.
pub(super) trait Source: Values {
    /// A whole vector in the lower bits of words: bytes as they are for words of four, else bf16.
    ///
    /// # Safety
    /// `x` is valid for reads of `LANES` elements; aligned as they are.
    unsafe fn load_words<S: Simd, const VALUES: usize>(s: S, x: *const Self) -> S::W;
}

impl Source for f32 {
    #[inline(always)]
    unsafe fn load_words<S: Simd, const VALUES: usize>(s: S, x: *const f32) -> S::W {
        const { assert!(VALUES == 2, "f32 are no bytes") };
        // SAFETY: the caller vouches for LANES elements.
        to_bf16(s, unsafe { s.load(x) })
    }
}

impl Source for Bf16 {
    #[inline(always)]
    unsafe fn load_words<S: Simd, const VALUES: usize>(s: S, x: *const Bf16) -> S::W {
        const { assert!(VALUES == 2, "bf16 are no bytes") };
        // SAFETY: the caller vouches for LANES elements, each a u16.
        unsafe { s.load_u16(x.cast()) }
    }
}

impl Source for u8 {
    #[inline(always)]
    unsafe fn load_words<S: Simd, const VALUES: usize>(s: S, x: *const u8) -> S::W {
        // SAFETY: the caller vouches for LANES bytes.
        let bytes = unsafe { s.load_u8(x) };
        // A byte has no more bits than a bf16's fraction: nothing is rounded.
        if VALUES == 4 { bytes } else { to_bf16(s, s.to_f32(bytes)) }
    }
}

impl<E: Source, const VALUES: usize> Op for Gather<E, VALUES> {
    type Args<'a> = Panel<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, panel: Panel<'_>) {
        gather::<S, E, VALUES, false>(s, panel);
    }
}

impl<E: Source> Op for Widening<E> {
    type Args<'a> = Panel<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, panel: Panel<'_>) {
        gather::<S, E, 2, true>(s, panel);
    }
}

/// Gathers one panel: of words of `VALUES` values or, with `WIDE`, of f32, `VALUES` rows for each word.
#[inline(always)]
pub(super) fn gather<S: Simd, E: Source, const VALUES: usize, const WIDE: bool>(
    s: S,
    Panel { shape, x, first_px, live, px, panel }: Panel<'_>,
) {
    const { assert!(VALUES <= MAX_VALUES) };
    let shape = &{ rows_as_one(shape) }; // a copy, which the stores to `panel` are known not to change
    let x = cast::<E>(x);
    let mut runs = [Run { at: 0, y: 0, x: 0, len: 0 }; MAX_RUNS];
    let mut n_runs = 0;
    let mut at = 0;
    while at < live {
        let (y, column) = ((first_px + at) / shape.ow, (first_px + at) % shape.ow);
        let len = (live - at).min(shape.ow - column).min(S::LANES);
        runs[n_runs] = Run { at, y, x: column, len };
        n_runs += 1;
        at += len;
    }
    let runs = &runs[..n_runs];
    let (plane, row, words) = (shape.ih * shape.iw, shape.kw * shape.ic, words_of_row(shape, VALUES));
    if live < px {
        let rows = if WIDE { VALUES } else { 1 };
        panel[..shape.kh * words * rows * px].fill(0);
    }
    let mut out = panel.as_mut_ptr();
    let mut windows = [[Window { offset: 0, from: 0, to: 0 }; MAX_RUNS]; MAX_VALUES];
    for ky in 0..shape.kh {
        // The column of the filter that each value's windows are for, and the next value's.
        let mut columns = [usize::MAX; MAX_VALUES];
        let (mut kx, mut c) = (0, 0);
        for word in 0..words {
            let values = if row - word * VALUES < VALUES { row - word * VALUES } else { VALUES };
            let mut channels = [0; MAX_VALUES];
            for i in 0..values {
                if columns[i] != kx {
                    for (window, run) in windows[i].iter_mut().zip(runs) {
                        *window = Window::new(shape, run, ky, kx);
                    }
                    columns[i] = kx;
                }
                channels[i] = (c * plane) as isize;
                c += 1;
                if c == shape.ic {
                    (kx, c) = (kx + 1, 0);
                }
            }
            if WIDE {
                for i in 0..VALUES {
                    for (r, run) in runs.iter().enumerate() {
                        let mut v = s.splat(0.0);
                        if i < values {
                            let Window { offset, from, to } = windows[i][r];
                            let at = channels[i].wrapping_add(offset);
                            // SAFETY: the lanes from..to, at most LANES, read input columns inside 0..iw of an input row inside
                            // 0..ih of a channel below ic; `x` is [ic, ih, iw] (asserted by `Kernel::gather`), and strides are
                            // at most `MAX_SIZE`.
                            v = unsafe { single(s, x, at, shape.stride_w, from, to) };
                        }
                        // SAFETY: at < px, and the panel has OVERHANG >= LANES - 1 words after its last row.
                        unsafe { s.store(out.wrapping_add(run.at).cast(), v) };
                    }
                    out = out.wrapping_add(px);
                }
                continue;
            }
            for (r, run) in runs.iter().enumerate() {
                let mut sum = s.splat_word(0);
                for i in 0..VALUES {
                    if i < values {
                        let Window { offset, from, to } = windows[i][r];
                        // SAFETY: the lanes from..to, at most LANES, read input columns inside 0..iw of an input row inside
                        // 0..ih of a channel below ic; `x` is [ic, ih, iw] (asserted by `Kernel::gather`), and strides are at
                        // most `MAX_SIZE`.
                        let v = unsafe {
                            load::<S, E, VALUES>(s, x, channels[i].wrapping_add(offset), shape.stride_w, from, to)
                        };
                        sum = s.or_words(sum, s.shift_left(v, (32 / VALUES * i) as u32));
                    }
                }
                // SAFETY: at < px, and the panel has OVERHANG >= LANES - 1 words after its last word.
                unsafe { s.store_words(out.wrapping_add(run.at), sum) };
            }
            out = out.wrapping_add(px);
        }
    }
}

/// The lanes `from..to` of elements `stride` apart from the `at`-th on, as f32; 0 elsewhere.
///
/// # Safety
/// `from <= to <= LANES`, `stride` is from 1 to 2^24, and the elements of those lanes lie in `x`.
#[inline(always)]
unsafe fn single<S: Simd, E: Source>(s: S, x: &[E], at: isize, stride: usize, from: usize, to: usize) -> S::V {
    // SAFETY: the caller vouches for the elements of from..to, for those bounds and for the stride.
    unsafe {
        match stride {
            _ if from == to => s.splat(0.0),
            1 => E::load_within(s, x, at, from, to),
            _ => E::load_window(s, x.as_ptr().wrapping_offset(at), stride, from, to),
        }
    }
}

/// The lanes `from..to` of elements `stride` apart from the `at`-th on, in the lower bits of words; 0 elsewhere.
///
/// # Safety
/// `from <= to <= LANES`, `stride` is from 1 to 2^24, and the elements of those lanes lie in `x`.
#[inline(always)]
unsafe fn load<S: Simd, E: Source, const VALUES: usize>(
    s: S,
    x: &[E],
    at: isize,
    stride: usize,
    from: usize,
    to: usize,
) -> S::W {
    if from == to {
        return s.splat_word(0);
    }
    if stride == 1 && 0 <= at && at.cast_unsigned().saturating_add(S::LANES) <= x.len() {
        // SAFETY: a whole vector lies in `x`, as tested.
        let v = unsafe { E::load_words::<S, VALUES>(s, x.as_ptr().wrapping_offset(at)) };
        return s.and_words(v, s.lane_mask(from, to));
    }
    let mut lanes = [E::zeroed(); MOST_LANES];
    for (i, lane) in lanes[..S::LANES].iter_mut().enumerate() {
        if from <= i && i < to {
            // SAFETY: the caller vouches for the elements of from..to.
            *lane = unsafe { *x.as_ptr().wrapping_offset(at).wrapping_add(stride * i) };
        }
    }
    // SAFETY: `lanes` has at least LANES elements.
    unsafe { E::load_words::<S, VALUES>(s, lanes.as_ptr()) }
}

/// A pointwise convolution, which knows no rows, as one of a single long row: its runs are as long as a vector.
#[inline(always)]
pub(super) fn rows_as_one(shape: &ConvShape) -> ConvShape {
    let (plane, pixels) = (shape.ih * shape.iw, shape.pixels());
    if shape.is_pointwise() { ConvShape { ih: 1, iw: plane, oh: 1, ow: pixels, ..*shape } } else { *shape }
}

impl Window {
    /// What the tap (`ky`, `kx`) reads for `run`.
    #[inline(always)]
    fn new(shape: &ConvShape, run: &Run, ky: usize, kx: usize) -> Self {
        let iy = (run.y * shape.stride_h + ky) as isize - shape.pad_t as isize;
        let ix = (run.x * shape.stride_w + kx) as isize - shape.pad_l as isize;
        let inside = 0 <= iy && iy < shape.ih as isize;
        // Lanes whose input column ix + lane * stride_w lies in 0..iw.
        let stride = shape.stride_w as isize;
        let to = if ix >= shape.iw as isize { 0 } else { (shape.iw as isize - 1 - ix) / stride + 1 };
        let from = if ix >= 0 { 0 } else { (-ix + stride - 1) / stride };
        let to = if inside { (to as usize).min(run.len) } else { 0 };
        // Outside it may be more than any offset, and is not used.
        Self { offset: iy.wrapping_mul(shape.iw as isize).wrapping_add(ix), from: (from as usize).min(to), to }
    }
}
