//! Max pooling of bytes.
//!
//! The least byte is 0, so that what lies outside of the input may be 0: it never wins. Windows of networks are reduced
//! along y first, into rows that have zeros where windows reach beyond the input, and then along x, without a branch for
//! an edge:
//!
//! ```text
//! for channel: for strip of output rows:
//!     for output row y: v[y] = pad_l zeros, max over ky of the input's rows y * stride + ky - pad_t, zeros
//!     for output row y: for vector of outputs x: y = max over kx of v[y][x * stride + kx]
//! ```
//!
//! Whole vectors are loaded and stored even where a row ends inside of one: what they write too much is written over by
//! the next row or channel, and only the end of a buffer stops them. At stride 2 a vector of v is pairs: the maximum of
//! each pair's bytes, and of the first of the next pair, stays where the pair lies until two vectors are packed as one.
//!
//! Small planes under windows of 3x3 at stride 1 are one row each (`flat`), as rows of 14 fill no vector.

use super::{FLAT, PoolShape, Pooled, is_same, one_by_one};
use crate::simd::{MOST_BYTES, Simd};

impl Pooled for u8 {
    const OUTSIDE: u8 = 0;

    #[inline(always)]
    fn larger(self, best: u8) -> u8 {
        self.max(best)
    }

    #[inline(always)]
    fn pool<S: Simd>(s: S, shape: &PoolShape, x: &[u8], y: &mut [u8]) {
        // The columns of the padded input that windows reach.
        let columns = (shape.ow - 1).saturating_mul(shape.stride).saturating_add(shape.kernel);
        match (shape.kernel, shape.stride) {
            (3, 1) if is_same(shape) && shape.ih * shape.iw <= FLAT => flat(s, shape, x, y),
            (3, 1) if columns <= STRIP => strips::<S, 3, 1>(s, shape, columns, x, y),
            (3, 2) if columns <= STRIP => strips::<S, 3, 2>(s, shape, columns, x, y),
            (2, 2) if columns <= STRIP => strips::<S, 2, 2>(s, shape, columns, x, y),
            _ => one_by_one(shape, x, y),
        }
    }
}

/// Bytes of the rows of a strip, with which the rows of the input that they come from stay in the nearest cache.
const STRIP: usize = 4096;

/// The loop of the file's head, for `K = kernel` and `STRIDE = stride`, which is 1 or 2, and rows of `columns`, at most
/// `STRIP`.
#[inline(always)]
fn strips<S: Simd, const K: usize, const STRIDE: usize>(
    s: S,
    shape: &PoolShape,
    columns: usize,
    x: &[u8],
    y: &mut [u8],
) {
    assert!(columns <= STRIP, "rows of {columns} bytes");
    let (in_plane, out_plane) = (shape.ih * shape.iw, shape.oh * shape.ow);
    let pad_l = shape.pad_l.min(columns);
    // The bytes of a row that come from the input.
    let live = shape.iw.min(columns - pad_l);
    let rows = STRIP / columns;
    // Behind the strip there is what `across` loads too much, two vectors and a pair, and what stores write too much.
    let mut v = [0_u8; STRIP + 3 * MOST_BYTES];
    for c in 0..x.len() / in_plane {
        let mut first = 0;
        while first < shape.oh {
            let n = rows.min(shape.oh - first);
            for row in 0..n {
                let before = ((first + row) * STRIDE).saturating_sub(shape.pad_t);
                let end = ((first + row) * STRIDE + K).saturating_sub(shape.pad_t).min(shape.ih);
                let (at, end_of_row) = (row * columns + pad_l, (row + 1) * columns);
                let mut reached = 0;
                if before < end {
                    // A row outside of the input is replaced by one inside of the window: a maximum counts it once.
                    let mut lines = [0; K];
                    for (ky, line) in lines.iter_mut().enumerate() {
                        *line = c * in_plane + (before + ky).min(end - 1) * shape.iw;
                    }
                    // SAFETY: the lines are rows of channel c of `x`, of at least `live` bytes, the last one last; `v` has
                    // `live` bytes from `at` on in this row of the strip, and a vector behind the strip.
                    unsafe { down::<S, K>(s, x, lines, live, v.as_mut_ptr().add(at)) };
                    reached = live;
                }
                // Up to where the next row's input begins.
                let mut zero = at + reached;
                while zero < end_of_row + pad_l && zero < STRIP {
                    // SAFETY: zero < STRIP, behind which `v` has more than a vector.
                    unsafe { s.store_bytes(v.as_mut_ptr().add(zero), s.splat_byte(0)) };
                    zero += S::BYTES;
                }
            }
            for row in 0..n {
                let at = c * out_plane + (first + row) * shape.ow;
                let mut column = 0;
                while column < shape.ow {
                    // SAFETY: column * STRIDE < columns, since these reach to the end of the last window (`pool`); so row *
                    // columns + column * STRIDE < rows * columns <= STRIP, behind which `v` has what `across` loads.
                    let best = unsafe { across::<S, K, STRIDE>(s, v.as_ptr().add(row * columns + column * STRIDE)) };
                    store_within(s, y, at + column, shape.ow - column, best);
                    column += S::BYTES;
                }
            }
            first += n;
        }
    }
}

/// The maximum over K rows of `x`, which begin at `lines`, of their first `n` bytes, and anything in the rest of a vector.
///
/// # Safety
/// No line begins behind the last one, whose first `n` bytes lie in `x`; `v` is valid for writes of `n` bytes and a vector.
#[inline(always)]
unsafe fn down<S: Simd, const K: usize>(s: S, x: &[u8], lines: [usize; K], n: usize, v: *mut u8) {
    let mut i = 0;
    while i < n {
        // SAFETY: the n bytes of every line lie in `x`, as those of the last one do; i < n, and so i + BYTES is less than n
        // and a vector. A vector is loaded whole where that of the last line ends in `x`.
        unsafe {
            let best = if lines[K - 1] + i + S::BYTES <= x.len() {
                let mut best = s.load_bytes(x.as_ptr().add(lines[0] + i));
                for &line in &lines[1..] {
                    best = s.max_bytes(best, s.load_bytes(x.as_ptr().add(line + i)));
                }
                best
            } else {
                let mut best = load_first(s, &x[lines[0] + i..lines[0] + n]);
                for &line in &lines[1..] {
                    best = s.max_bytes(best, load_first(s, &x[line + i..line + n]));
                }
                best
            };
            s.store_bytes(v.add(i), best);
        }
        i += S::BYTES;
    }
}

/// `BYTES` outputs of a row, whose windows begin at `v` and every `STRIDE` bytes.
///
/// # Safety
/// `v` is valid for reads of two vectors and a pair.
#[inline(always)]
unsafe fn across<S: Simd, const K: usize, const STRIDE: usize>(s: S, v: *const u8) -> S::B {
    // SAFETY: the caller vouches for K - 1 bytes more than a vector at stride 1, and at stride 2 for a pair more than two.
    unsafe {
        if STRIDE == 1 {
            let mut best = s.load_bytes(v);
            for kx in 1..K {
                best = s.max_bytes(best, s.load_bytes(v.add(kx)));
            }
            return best;
        }
        let pairs = {
            #[inline(always)]
            |v: *const u8| {
                let pair = s.load_bytes(v);
                let best = s.max_bytes(s.first_of_pairs(pair), s.second_of_pairs(pair));
                if K == 2 { best } else { s.max_bytes(best, s.first_of_pairs(s.load_bytes(v.add(2)))) }
            }
        };
        s.firsts(pairs(v), pairs(v.add(S::BYTES)))
    }
}

/// 3x3 windows at stride 1 around every element of planes of at most `FLAT` elements: each plane as one row.
///
/// ```text
/// rows = 0, plane, 0;  v[i] = max of rows[i - w], rows[i], rows[i + w];  y[i] = max of v[i - 1], v[i], v[i + 1]
/// ```
///
/// What the last maximum takes from a neighbouring row at the left and right edge is made 0.
#[inline(always)]
fn flat<S: Simd>(s: S, shape: &PoolShape, x: &[u8], y: &mut [u8]) {
    let (w, plane) = (shape.iw, shape.ih * shape.iw);
    assert!(plane <= FLAT, "a plane of {plane}");
    let mut rows = [0_u8; 3 * FLAT + MOST_BYTES];
    let mut v = [0_u8; FLAT + 3 * MOST_BYTES];
    let (mut left, mut right) = ([u8::MAX; FLAT + MOST_BYTES], [u8::MAX; FLAT + MOST_BYTES]);
    for row in 0..shape.ih {
        left[row * w] = 0;
        right[row * w + w - 1] = 0;
    }
    for (c, x) in x.chunks_exact(plane).enumerate() {
        rows[w..w + plane].copy_from_slice(x);
        let mut i = 0;
        while i < plane {
            // SAFETY: i + 2 w + BYTES <= 3 FLAT + MOST_BYTES, and MOST_BYTES + i + BYTES <= FLAT + 3 MOST_BYTES, as w and i are
            // at most the plane, which is at most FLAT.
            unsafe {
                let at = rows.as_ptr().add(i);
                let best = s.max_bytes(s.load_bytes(at), s.load_bytes(at.add(w)));
                s.store_bytes(v.as_mut_ptr().add(MOST_BYTES + i), s.max_bytes(best, s.load_bytes(at.add(2 * w))));
            }
            i += S::BYTES;
        }
        let mut i = 0;
        while i < plane {
            // SAFETY: i is as above, and `v` has room for one byte more on either side; `left` and `right` have FLAT +
            // MOST_BYTES elements.
            let best = unsafe {
                let at = v.as_ptr().add(MOST_BYTES + i);
                let before = s.and_bytes(s.load_bytes(at.sub(1)), s.load_bytes(left.as_ptr().add(i)));
                let after = s.and_bytes(s.load_bytes(at.add(1)), s.load_bytes(right.as_ptr().add(i)));
                s.max_bytes(s.load_bytes(at), s.max_bytes(before, after))
            };
            store_within(s, y, c * plane + i, plane - i, best);
            i += S::BYTES;
        }
    }
}

/// Stores the first `n` lanes at least, or all if they are fewer, as `y[at..]`: more where `y` has the room.
///
/// # Panics
/// If they end outside of `y`.
#[inline(always)]
fn store_within<S: Simd>(s: S, y: &mut [u8], at: usize, n: usize, b: S::B) {
    let y = &mut y[at..];
    if y.len() >= S::BYTES {
        // SAFETY: `y` has BYTES bytes, as tested.
        return unsafe { s.store_bytes(y.as_mut_ptr(), b) };
    }
    let mut lanes = [0; MOST_BYTES];
    // SAFETY: `lanes` has at least BYTES bytes.
    unsafe { s.store_bytes(lanes.as_mut_ptr(), b) };
    y[..n].copy_from_slice(&lanes[..n]);
}

/// The first lanes are `x`, of which as many as a vector has, and 0 the others.
#[inline(always)]
fn load_first<S: Simd>(s: S, x: &[u8]) -> S::B {
    let mut lanes = [0; MOST_BYTES];
    let n = x.len().min(S::BYTES);
    lanes[..n].copy_from_slice(&x[..n]);
    // SAFETY: `lanes` has at least BYTES bytes.
    unsafe { s.load_bytes(lanes.as_ptr()) }
}
