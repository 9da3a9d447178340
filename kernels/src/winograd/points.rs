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

/// The most points of a form.
pub(super) const MAX_N: usize = 8;
/// The most pairs.
const MAX_PAIRS: usize = 3;

/// F(m, r) over certain points.
pub(super) trait Form: Copy {
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

/// The coefficients of a form.
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
pub(super) fn filter_matrix<F: Form>() -> [[f64; MAX_N]; MAX_N] {
    let mut g = [[0.0; MAX_N]; MAX_N];
    let mut row = 0;
    if F::ZERO {
        g[0][0] = 1.0 / F::TABLE.zero[0];
        row = 1;
    }
    for (i, &p) in F::PAIRS.iter().enumerate() {
        // At -p the even part is the same, and the odd part's sign is in the transform of the inputs.
        let scale: f64 = (0..F::N).map(|k| (F::TABLE.even[i][k] + F::TABLE.odd[i][k]) * p.powi(k as i32)).sum();
        for j in 0..F::R {
            g[row][j] = p.powi(j as i32) / scale;
            g[row + 1][j] = (-p).powi(j as i32) / scale;
        }
        row += 2;
    }
    g[row][F::R - 1] = 1.0;
    g
}

/// `sum of coefficients[k] * d[k]`; zeros and ones cost nothing once this is inlined with constants.
#[inline(always)]
fn dot<S: Simd>(s: S, coefficients: &[f64; MAX_N], d: &[S::V; MAX_N]) -> S::V {
    // A coefficient of 1, which every row has, begins the sum.
    let mut first = 0;
    while coefficients[first] != 1.0 && first + 1 < MAX_N {
        first += 1;
    }
    let mut sum = if coefficients[first] == 1.0 { d[first] } else { s.splat(0.0) };
    for k in 0..MAX_N {
        let c = coefficients[k];
        if c == 0.0 || (k == first && c == 1.0) {
            continue;
        }
        sum = if c == 1.0 { s.add(sum, d[k]) } else { s.mul_add(s.splat(c as f32), d[k], sum) };
    }
    sum
}

/// B'd for N inputs.
#[inline(always)]
pub(super) fn input<S: Simd, F: Form>(s: S, d: &[S::V; MAX_N]) -> [S::V; MAX_N] {
    let mut v = [s.splat(0.0); MAX_N];
    let mut row = 0;
    if F::ZERO {
        v[0] = dot(s, const { &F::TABLE.zero }, d);
        row = 1;
    }
    for i in 0..F::PAIRS.len() {
        let (even, odd) = (dot(s, &F::TABLE.even[i], d), dot(s, &F::TABLE.odd[i], d));
        v[row] = s.add(even, odd);
        v[row + 1] = s.sub(even, odd);
        row += 2;
    }
    v[row] = dot(s, const { &F::TABLE.infinity }, d);
    v
}

/// A'm for N products; the first M are outputs.
#[inline(always)]
pub(super) fn output<S: Simd, F: Form>(s: S, m: &[S::V; MAX_N]) -> [S::V; MAX_N] {
    let first = F::ZERO as usize;
    let mut y = [s.splat(0.0); MAX_N];
    for (k, y) in y.iter_mut().enumerate().take(F::M) {
        let mut sum = None;
        if k == 0 && F::ZERO {
            sum = Some(m[0]);
        }
        if k == F::M - 1 {
            sum = Some(m[F::N - 1]);
        }
        for i in 0..F::PAIRS.len() {
            let (plus, minus) = (m[first + 2 * i], m[first + 2 * i + 1]);
            let both = if k % 2 == 0 { s.add(plus, minus) } else { s.sub(plus, minus) };
            let power = const_power(F::PAIRS[i], k) as f32;
            sum = Some(match sum {
                None if power == 1.0 => both,
                None => s.mul(s.splat(power), both),
                Some(sum) if power == 1.0 => s.add(sum, both),
                Some(sum) => s.mul_add(s.splat(power), both, sum),
            });
        }
        *y = sum.expect("a form has pairs");
    }
    y
}

#[inline(always)]
fn const_power(p: f64, k: usize) -> f64 {
    let mut power = 1.0;
    for _ in 0..k {
        power *= p;
    }
    power
}
