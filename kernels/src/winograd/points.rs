//! Interpolation points, and the one-dimensional transforms that they define.
//!
//! F(m, r) makes m outputs of an r-tap filter from n = m + r - 1 products (Toom and Cook; Winograd, "Arithmetic
//! Complexity of Computations", SIAM 1980; for convolutions Lavin, Gray, arXiv:1509.09308). For distinct finite points
//! p_i and the point at infinity:
//!
//! ```text
//! (B'd)_i = sum_k M_i[k] d[k]        M_i(x) = product of (x - p_j) over all finite j != i; at infinity over all j
//! (Gg)_i  = sum_j p_i^j g[j] / N_i   N_i = M_i(p_i); at infinity g[r - 1]
//! (A'm)_k = sum_i p_i^k m[i]         at infinity only for k = m - 1
//! ```
//!
//! Points come as 0 and pairs +-p. The two M of a pair share their even part and differ by the sign of their odd
//! part, so a pair of rows costs one even and one odd sum. Point order: 0 (if used), +p, -p for each pair, infinity.

use crate::simd::Simd;

/// The most points of an algorithm.
pub(super) const MAX_N: usize = 8;
/// The most pairs.
const MAX_PAIRS: usize = 3;

/// F(m, r) over certain points.
pub(super) trait Points {
    /// Outputs of a tile side.
    const M: usize;
    /// Taps of a filter side.
    const R: usize;
    /// Whether 0 is a point.
    const ZERO: bool;
    /// One number of each pair of points.
    const PAIRS: &'static [f64];

    /// Points: the side of a tile of inputs.
    const N: usize = {
        let n = Self::ZERO as usize + 2 * Self::PAIRS.len() + 1;
        assert!(n == Self::M + Self::R - 1 && n <= MAX_N, "F(m, r) needs m + r - 1 points");
        n
    };
    /// The coefficients, in f64: all of them are exact in f32 for the points in use.
    const TABLE: Table = table(Self::ZERO, Self::PAIRS);
}

/// The coefficients of the transforms over certain points.
pub(super) struct Table {
    /// M at 0.
    zero: [f64; MAX_N],
    /// The even and the odd part of M at +p.
    even: [[f64; MAX_N]; MAX_PAIRS],
    odd: [[f64; MAX_N]; MAX_PAIRS],
    /// M at infinity.
    infinity: [f64; MAX_N],
}

/// `p * (x^2 - root^2)`.
const fn times(p: [f64; MAX_N], root: f64) -> [f64; MAX_N] {
    let mut product = [0.0; MAX_N];
    let mut k = 0;
    while k < MAX_N {
        product[k] = -root * root * p[k] + if k >= 2 { p[k - 2] } else { 0.0 };
        k += 1;
    }
    product
}

/// `p * scale * x^power`.
const fn shifted(p: [f64; MAX_N], scale: f64, power: usize) -> [f64; MAX_N] {
    let mut product = [0.0; MAX_N];
    let mut k = power;
    while k < MAX_N {
        product[k] = scale * p[k - power];
        k += 1;
    }
    product
}

const fn table(zero: bool, pairs: &[f64]) -> Table {
    let mut one = [0.0; MAX_N];
    one[0] = 1.0;
    let mut all = one;
    let (mut even, mut odd) = ([[0.0; MAX_N]; MAX_PAIRS], [[0.0; MAX_N]; MAX_PAIRS]);
    let mut i = 0;
    while i < pairs.len() {
        all = times(all, pairs[i]);
        let mut others = one;
        let mut j = 0;
        while j < pairs.len() {
            if j != i {
                others = times(others, pairs[j]);
            }
            j += 1;
        }
        // (x + p) * others, and x times that if 0 is a point.
        even[i] = if zero { shifted(others, 1.0, 2) } else { shifted(others, pairs[i], 0) };
        odd[i] = shifted(others, if zero { pairs[i] } else { 1.0 }, 1);
        i += 1;
    }
    Table { zero: all, even, odd, infinity: shifted(all, 1.0, if zero { 1 } else { 0 }) }
}

/// The filter transform's matrix, rows in point order; only the first N rows and R columns mean anything.
pub(super) fn filter_matrix<F: Points>() -> [[f64; MAX_N]; MAX_N] {
    let mut g = [[0.0; MAX_N]; MAX_N];
    let mut row = 0;
    if F::ZERO {
        g[0][0] = 1.0 / F::TABLE.zero[0];
        row = 1;
    }
    for (i, &p) in F::PAIRS.iter().enumerate() {
        // At -p the even part is the same, and the odd part's sign is in the transform of the inputs.
        let scale: f64 = (0..F::N).map(|k| (F::TABLE.even[i][k] + F::TABLE.odd[i][k]) * p.powi(k as i32)).sum();
        let powers = |p: f64| core::array::from_fn(|j| if j < F::R { p.powi(j as i32) / scale } else { 0.0 });
        (g[row], g[row + 1]) = (powers(p), powers(-p));
        row += 2;
    }
    g[row][F::R - 1] = 1.0;
    g
}

/// The input transform's matrix, rows in point order; only the first N rows and columns mean anything.
pub(super) fn input_matrix<F: Points>() -> [[f64; MAX_N]; MAX_N] {
    let mut b = [[0.0; MAX_N]; MAX_N];
    let first = F::ZERO as usize;
    if F::ZERO {
        b[0] = F::TABLE.zero;
    }
    let parts = || F::TABLE.even.into_iter().zip(F::TABLE.odd).take(F::PAIRS.len());
    for (rows, (even, odd)) in b[first..].chunks_exact_mut(2).zip(parts()) {
        rows[0] = core::array::from_fn(|k| even[k] + odd[k]);
        rows[1] = core::array::from_fn(|k| even[k] - odd[k]);
    }
    b[F::N - 1] = F::TABLE.infinity;
    b
}

/// `sum of coefficients[k] * d[k]`, highest power first. Written out, because a loop over coefficients would still be
/// one in the machine's code; inlined with constants, a zero costs nothing and a one no multiplication.
#[inline(always)]
fn dot<S: Simd>(s: S, coefficients: &[f64; MAX_N], d: &[S::V; MAX_N]) -> S::V {
    let term = {
        #[inline(always)]
        |k: usize, sum: Option<S::V>| {
            let c = coefficients[k];
            match sum {
                _ if c == 0.0 => sum,
                None if c == 1.0 => Some(d[k]),
                None => Some(s.mul(s.splat(c as f32), d[k])),
                Some(sum) if c == 1.0 => Some(s.add(sum, d[k])),
                Some(sum) => Some(s.mul_add(s.splat(c as f32), d[k], sum)),
            }
        }
    };
    let high = term(4, term(5, term(6, term(7, None))));
    let sum = term(0, term(1, term(2, term(3, high))));
    sum.unwrap_or(s.splat(0.0))
}

/// B'd for N inputs.
#[inline(always)]
pub(super) fn input<S: Simd, F: Points>(s: S, d: &[S::V; MAX_N]) -> [S::V; MAX_N] {
    let mut v = [s.splat(0.0); MAX_N];
    let first = F::ZERO as usize;
    if F::ZERO {
        v[0] = dot(s, const { &F::TABLE.zero }, d);
    }
    if !F::PAIRS.is_empty() {
        (v[first], v[first + 1]) = pair(s, const { &F::TABLE.even[0] }, const { &F::TABLE.odd[0] }, d);
    }
    if F::PAIRS.len() > 1 {
        (v[first + 2], v[first + 3]) = pair(s, const { &F::TABLE.even[1] }, const { &F::TABLE.odd[1] }, d);
    }
    if F::PAIRS.len() > 2 {
        (v[first + 4], v[first + 5]) = pair(s, const { &F::TABLE.even[2] }, const { &F::TABLE.odd[2] }, d);
    }
    v[F::N - 1] = dot(s, const { &F::TABLE.infinity }, d);
    v
}

/// The rows of +p and -p.
#[inline(always)]
fn pair<S: Simd>(s: S, even: &[f64; MAX_N], odd: &[f64; MAX_N], d: &[S::V; MAX_N]) -> (S::V, S::V) {
    let (even, odd) = (dot(s, even, d), dot(s, odd, d));
    (s.add(even, odd), s.sub(even, odd))
}

/// A'm for N products; the first M are outputs.
#[inline(always)]
pub(super) fn output<S: Simd, F: Points>(s: S, m: &[S::V; MAX_N]) -> [S::V; MAX_N] {
    const { assert!(F::M == 2 || F::M == 4, "outputs are written out below") };
    let first = F::ZERO as usize;
    let zero = s.splat(0.0);
    // Sum and difference of each pair.
    let (mut sum, mut difference) = ([zero; MAX_PAIRS], [zero; MAX_PAIRS]);
    if !F::PAIRS.is_empty() {
        (sum[0], difference[0]) = (s.add(m[first], m[first + 1]), s.sub(m[first], m[first + 1]));
    }
    if F::PAIRS.len() > 1 {
        (sum[1], difference[1]) = (s.add(m[first + 2], m[first + 3]), s.sub(m[first + 2], m[first + 3]));
    }
    if F::PAIRS.len() > 2 {
        (sum[2], difference[2]) = (s.add(m[first + 4], m[first + 5]), s.sub(m[first + 4], m[first + 5]));
    }
    let mut y = [zero; MAX_N];
    y[0] = powers::<S, F, 0>(s, if F::ZERO { Some(m[0]) } else { None }, &sum);
    let infinity = m[F::N - 1];
    if F::M == 2 {
        y[1] = powers::<S, F, 1>(s, Some(infinity), &difference);
    } else {
        y[1] = powers::<S, F, 1>(s, None, &difference);
        y[2] = powers::<S, F, 2>(s, None, &sum);
        y[3] = powers::<S, F, 3>(s, Some(infinity), &difference);
    }
    y
}

/// `start + sum of p_i^K * pairs[i]`.
#[inline(always)]
fn powers<S: Simd, F: Points, const K: usize>(s: S, start: Option<S::V>, pairs: &[S::V; MAX_PAIRS]) -> S::V {
    let term = {
        #[inline(always)]
        |i: usize, sum: Option<S::V>| {
            if i >= F::PAIRS.len() {
                return sum;
            }
            let p = F::PAIRS[i];
            let power = [1.0, p, p * p, p * p * p][K] as f32;
            Some(match sum {
                None if power == 1.0 => pairs[i],
                None => s.mul(s.splat(power), pairs[i]),
                Some(sum) if power == 1.0 => s.add(sum, pairs[i]),
                Some(sum) => s.mul_add(s.splat(power), pairs[i], sum),
            })
        }
    };
    term(2, term(1, term(0, start))).unwrap_or(s.splat(0.0))
}
