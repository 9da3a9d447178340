//! `M = U V` at each point: tiles of P tiles by R vectors of output channels.
//!
//! ```text
//! for point, group of P tiles
//!   acc[P][R] = 0
//!   for block of LANES channels, channel:  acc[p][r] += splat(v[block][p][channel]) * u[channel][r]
//!   m[point][group] = acc
//! ```
//!
//! Filters of bf16 come in words of two channels, and so do inputs where the set multiplies bf16; else filters are widened.
//! Filters and inputs of 16 bits come in words, too, and sums are i32 then.
//!
//! A block's P * LANES inputs are contiguous, so every broadcast has a constant offset. Tiles are dealt evenly: 16 by
//! at most 14 are 8 and 8, not 14 and 2.

use core::marker::PhantomData;

use super::input::v_lanes;
use crate::element::of_bf16;
use crate::op::Op;
use crate::simd::Simd;

/// The operands of the products; `Transformed::block` asserts their lengths.
pub(super) struct Operands<'a> {
    pub points: usize,
    pub channels: usize,
    pub tiles: usize,
    pub v: &'a [f32],
    pub u: &'a [f32],
    pub width: usize,
    pub m: &'a mut [f32],
}

/// One group at one point. A step is a channel, or a word of two.
#[derive(Clone, Copy)]
struct Group {
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

/// The products of f32 in groups of at most P tiles by at most R vectors.
pub(super) struct Product<const P: usize, const R: usize>;

/// The products of f32 by filters of bf16, in words of two channels.
pub(super) struct Widened<const P: usize, const R: usize>;

/// The products of words of two values, summed as `A` says.
pub(super) struct Words<A, const P: usize, const R: usize>(PhantomData<A>);

/// How words are multiplied and summed.
pub(super) trait Arithmetic {
    /// A vector of sums.
    type Sum<S: Simd>: Copy;

    /// Sums of nothing.
    fn zero<S: Simd>(s: S) -> Self::Sum<S>;

    /// `sum` plus the products of the words' two values.
    fn dot<S: Simd>(s: S, sum: Self::Sum<S>, v: S::W, u: S::W) -> Self::Sum<S>;

    /// Stores sums, 32 bits each.
    ///
    /// # Safety
    /// `m` is valid for writes of `LANES` values of 32 bits, and aligned as f32 are.
    unsafe fn store<S: Simd>(s: S, m: *mut f32, sum: Self::Sum<S>);
}

/// bf16, summed in f32.
pub(super) struct OfBf16;

/// i16, summed in i32.
pub(super) struct OfI16;

impl Arithmetic for OfBf16 {
    type Sum<S: Simd> = S::V;

    #[inline(always)]
    fn zero<S: Simd>(s: S) -> S::V {
        s.splat(0.0)
    }

    #[inline(always)]
    fn dot<S: Simd>(s: S, sum: S::V, v: S::W, u: S::W) -> S::V {
        s.dot_bf16(sum, v, u)
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, m: *mut f32, sum: S::V) {
        // SAFETY: the caller vouches for LANES f32.
        unsafe { s.store(m, sum) }
    }
}

impl Arithmetic for OfI16 {
    type Sum<S: Simd> = S::W;

    #[inline(always)]
    fn zero<S: Simd>(s: S) -> S::W {
        s.splat_word(0)
    }

    #[inline(always)]
    fn dot<S: Simd>(s: S, sum: S::W, v: S::W, u: S::W) -> S::W {
        s.dot_i16(sum, v, u)
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, m: *mut f32, sum: S::W) {
        // SAFETY: the caller vouches for LANES words.
        unsafe { s.store_words(m.cast(), sum) }
    }
}

/// How a group is computed.
trait Multiply {
    /// Channels of a step.
    const VALUES: usize;
    /// Whether inputs are words, of which a vector of channels has half as many.
    const WORDS: bool;

    /// Computes a group of P tiles and R vectors.
    ///
    /// # Safety
    /// `v` has P tiles of every block of channels, `u` the R vectors of every step, `m` room for P * R vectors, and all are
    /// aligned as f32 are.
    unsafe fn tile<S: Simd, const P: usize, const R: usize>(s: S, group: Group);
}

impl<const P: usize, const R: usize> Op for Product<P, R> {
    type Args<'a> = Operands<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, operands: Operands<'_>) {
        walk::<S, Singles, P, R>(s, operands);
    }
}

impl<const P: usize, const R: usize> Op for Widened<P, R> {
    type Args<'a> = Operands<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, operands: Operands<'_>) {
        walk::<S, WidenedPairs, P, R>(s, operands);
    }
}

impl<A: Arithmetic, const P: usize, const R: usize> Op for Words<A, P, R> {
    type Args<'a> = Operands<'a>;
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(s: S, operands: Operands<'_>) {
        walk::<S, Pairs<A>, P, R>(s, operands);
    }
}

/// Walks all points and groups.
#[inline(always)]
fn walk<S: Simd, T: Multiply, const P: usize, const R: usize>(
    s: S,
    Operands { points, channels, tiles, v, u, width, m }: Operands<'_>,
) {
    if tiles == 0 {
        return;
    }
    let lanes = v_lanes::<S>(T::WORDS);
    let steps = channels.div_ceil(T::VALUES);
    let v_step = tiles * lanes;
    let groups = tiles.div_ceil(P);
    let (least, larger) = (tiles / groups, tiles % groups);
    let ahead_step = width.div_ceil(groups);
    let (mut v, mut u, mut m) = (v.as_ptr(), u.as_ptr(), m.as_mut_ptr());
    for _ in 0..points {
        // While a point is computed the next one's weights are fetched, a share by each group.
        let (mut v_group, mut ahead) = (v, u.wrapping_add(steps * width));
        for g in 0..groups {
            let p = least + usize::from(g < larger);
            let group = Group { v: v_group, v_step, channels, u, m, ahead, ahead_step };
            // SAFETY: `Transformed::block` made the operands of these lengths: this group's p <= P tiles are among them, and a
            // block's width is one to R whole vectors (`blocks_of`).
            unsafe { by_width::<S, T, P, R>(s, p, width / S::LANES, group) };
            ahead = ahead.wrapping_add(steps * ahead_step);
            (v_group, m) = (v_group.wrapping_add(p * lanes), m.wrapping_add(p * width));
        }
        (v, u) = (v.wrapping_add(channels.div_ceil(S::LANES) * v_step), u.wrapping_add(steps * width));
    }
}

/// Computes a group of `p <= P` tiles and `r <= R` vectors.
///
/// # Safety
/// As that of [`Multiply::tile`].
#[inline(always)]
unsafe fn by_width<S: Simd, T: Multiply, const P: usize, const R: usize>(s: S, p: usize, r: usize, group: Group) {
    const { assert!(R <= 3, "wider groups are not listed below") };
    // SAFETY: the caller vouches for the group.
    unsafe {
        match r {
            2 if R >= 2 => by_tiles::<S, T, P, 2>(s, p, group),
            3 if R >= 3 => by_tiles::<S, T, P, 3>(s, p, group),
            _ => by_tiles::<S, T, P, 1>(s, p, group),
        }
    }
}

/// Computes a group of `p <= P` tiles and R vectors.
///
/// # Safety
/// As that of [`Multiply::tile`].
#[inline(always)]
unsafe fn by_tiles<S: Simd, T: Multiply, const P: usize, const R: usize>(s: S, p: usize, group: Group) {
    const { assert!(P <= 14, "larger groups are not listed below") };
    macro_rules! up_to_most {
        ($($n:literal)+) => {
            match p {
                // SAFETY: the caller vouches for the group.
                $($n if $n <= P => unsafe { T::tile::<S, $n, R>(s, group) },)+
                p => unreachable!("a group of {p} tiles"),
            }
        };
    }
    up_to_most!(1 2 3 4 5 6 7 8 9 10 11 12 13 14)
}

/// Steps of single channels of f32.
struct Singles;

impl Multiply for Singles {
    const VALUES: usize = 1;
    const WORDS: bool = false;

    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize, const R: usize>(s: S, group: Group) {
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
        // SAFETY: the caller vouches for P * R vectors.
        unsafe { store(s, &acc, group.m) };
    }
}

/// Steps of two channels: inputs of f32, filters of bf16.
struct WidenedPairs;

impl Multiply for WidenedPairs {
    const VALUES: usize = 2;
    const WORDS: bool = false;

    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize, const R: usize>(s: S, group: Group) {
        let mut acc = [[s.splat(0.0); R]; P];
        let (mut v, mut u, mut ahead) = (group.v, group.u.cast::<u32>(), group.ahead);
        let mut left = group.channels;
        while left > 0 {
            let channels = if left < S::LANES { left } else { S::LANES };
            let mut step = v;
            for _ in 0..channels.div_ceil(2) {
                s.prefetch(ahead);
                ahead = ahead.wrapping_add(group.ahead_step);
                let (mut even, mut odd) = ([s.splat(0.0); R], [s.splat(0.0); R]);
                for r in 0..R {
                    // SAFETY: this word's R vectors of the weights.
                    let words = unsafe { s.load_words(u.add(r * S::LANES)) };
                    even[r] = of_bf16(s, words);
                    odd[r] = s.of_bits(s.and_words(words, s.splat_word(0xFFFF_0000)));
                }
                for (p, acc) in acc.iter_mut().enumerate() {
                    // SAFETY: two channels of tile p of the block; of an odd number the last one's neighbour is 0, as its
                    // weights are; the neighbour is there, as LANES is even.
                    let (first, second) = unsafe { (*step.add(p * S::LANES), *step.add(p * S::LANES + 1)) };
                    let (first, second) = (s.splat(first), s.splat(second));
                    for r in 0..R {
                        acc[r] = s.mul_add(second, odd[r], s.mul_add(first, even[r], acc[r]));
                    }
                }
                // Past the last step these point outside and are not read.
                (step, u) = (step.wrapping_add(2), u.wrapping_add(R * S::LANES));
            }
            v = v.wrapping_add(group.v_step);
            left -= channels;
        }
        // SAFETY: the caller vouches for P * R vectors.
        unsafe { store(s, &acc, group.m) };
    }
}

/// Steps of two channels, both of 16 bits.
struct Pairs<A>(PhantomData<A>);

impl<A: Arithmetic> Multiply for Pairs<A> {
    const VALUES: usize = 2;
    const WORDS: bool = true;

    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize, const R: usize>(s: S, group: Group) {
        let mut acc = [[A::zero(s); R]; P];
        let (mut v, mut u, mut ahead) = (group.v.cast::<u32>(), group.u.cast::<u32>(), group.ahead);
        let mut left = group.channels;
        while left > 0 {
            let channels = if left < S::LANES { left } else { S::LANES };
            let mut step = v;
            for _ in 0..channels.div_ceil(2) {
                s.prefetch(ahead);
                ahead = ahead.wrapping_add(group.ahead_step);
                let mut vu = [s.splat_word(0); R];
                for (r, vu) in vu.iter_mut().enumerate() {
                    // SAFETY: this word's R vectors of the weights.
                    *vu = unsafe { s.load_words(u.add(r * S::LANES)) };
                }
                for (p, acc) in acc.iter_mut().enumerate() {
                    // SAFETY: this word of tile p of the block.
                    let vv = s.splat_word(unsafe { *step.add(p * (S::LANES / 2)) });
                    for r in 0..R {
                        acc[r] = A::dot(s, acc[r], vv, vu[r]);
                    }
                }
                // Past the last step these point outside and are not read.
                (step, u) = (step.wrapping_add(1), u.wrapping_add(R * S::LANES));
            }
            v = v.wrapping_add(group.v_step);
            left -= channels;
        }
        // Two loops, as in `store`: of one the compiler keeps the sums in memory all along.
        for (p, acc) in acc.iter().enumerate() {
            for (r, &sum) in acc.iter().enumerate() {
                // SAFETY: the caller vouches for P * R vectors.
                unsafe { A::store(s, group.m.add((p * R + r) * S::LANES), sum) };
            }
        }
    }
}

/// Stores a group.
///
/// # Safety
/// `m` has room for P * R vectors, and is aligned as f32 are.
#[inline(always)]
unsafe fn store<S: Simd, const P: usize, const R: usize>(s: S, acc: &[[S::V; R]; P], m: *mut f32) {
    for (p, acc) in acc.iter().enumerate() {
        for (r, &acc) in acc.iter().enumerate() {
            // SAFETY: the caller vouches for P * R vectors.
            unsafe { s.store(m.add((p * R + r) * S::LANES), acc) };
        }
    }
}
