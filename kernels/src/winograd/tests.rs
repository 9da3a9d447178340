//! One battery for every algorithm on every set.

use proptest::prelude::*;

use core::ops::Range;

use super::points::{MAX_N, filter_matrix, input, output};
use super::*;
use crate::conv::conv2d_ref;
use crate::isa;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use crate::isa::Simd128 as Plain;
use crate::pool::PoolShape;
use crate::reference::max_pool_ref;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
use crate::simd::Portable as Plain;
use crate::simd::Simd;
use crate::view::RowsMut;

const GUARD: f32 = 7777.0;

pub(super) type Matrix = Vec<Vec<f64>>;

/// B', G and A' as the head of `points.rs` defines them, from nothing but the points.
fn definition<F: Points>() -> [Matrix; 3] {
    let mut points: Vec<f64> = if F::ZERO { vec![0.0] } else { vec![] };
    points.extend(F::PAIRS.iter().flat_map(|&p| [p, -p]));
    let polynomial = |skip: Option<usize>| {
        let mut m = vec![1.0];
        for (_, &p) in points.iter().enumerate().filter(|&(j, _)| Some(j) != skip) {
            let mut product = vec![0.0; m.len() + 1];
            for (k, &c) in m.iter().enumerate() {
                product[k + 1] += c;
                product[k] -= p * c;
            }
            m = product;
        }
        m.resize(F::N, 0.0);
        m
    };
    let mut b: Matrix = (0..points.len()).map(|i| polynomial(Some(i))).collect();
    b.push(polynomial(None));
    let at = |m: &[f64], x: f64| m.iter().enumerate().map(|(k, c)| c * x.powi(k as i32)).sum::<f64>();
    let power = |p: f64, k: usize| p.powi(k as i32);
    let mut g: Matrix =
        points.iter().enumerate().map(|(i, &p)| (0..F::R).map(|j| power(p, j) / at(&b[i], p)).collect()).collect();
    g.push((0..F::R).map(|j| f64::from(u8::from(j == F::R - 1))).collect());
    let a = (0..F::M)
        .map(|k| {
            let infinity = f64::from(u8::from(k == F::M - 1));
            points.iter().map(|&p| power(p, k)).chain([infinity]).collect()
        })
        .collect();
    [b, g, a]
}

/// Vectors that need nothing of the machine that runs this build.
fn plain() -> Plain {
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    return Plain::built_in();
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    Plain
}

/// The columns of a transform, by applying it to unit vectors: `rows x N`.
fn applied(
    rows: usize,
    n: usize,
    transform: impl Fn(&[<Plain as Simd>::V; MAX_N]) -> [<Plain as Simd>::V; MAX_N],
) -> Matrix {
    let mut matrix = vec![vec![0.0; n]; rows];
    for k in 0..n {
        let mut unit = [plain().splat(0.0); MAX_N];
        unit[k] = plain().splat(1.0);
        for (row, v) in matrix.iter_mut().zip(transform(&unit)) {
            let mut lanes = [0.0; 8];
            // SAFETY: `lanes` has 8 elements, and a vector of the plain set, portable or of WebAssembly, has no more.
            unsafe { plain().store(lanes.as_mut_ptr(), v) };
            row[k] = f64::from(lanes[0]);
        }
    }
    matrix
}

fn matrices_are_those_of_the_definition<F: Points>() {
    let [b, g, a] = definition::<F>();
    let b_fast = applied(F::N, F::N, |d| input::<_, F>(plain(), d));
    let a_fast = applied(F::M, F::N, |m| output::<_, F>(plain(), m));
    let g_fast = filter_matrix::<F>();
    assert_eq!(a_fast, a, "A'");
    for i in 0..F::N {
        // Without 0 among the points the row of -p may be negative in both B' and G.
        let sign = if b_fast[i] == b[i] { 1.0 } else { -1.0 };
        assert_eq!(b_fast[i].iter().map(|v| v * sign).collect::<Vec<_>>(), b[i], "B' row {i}");
        for j in 0..F::R {
            assert!((g_fast[i][j] * sign - g[i][j]).abs() < 1e-15, "G {i},{j}: {} for {}", g_fast[i][j], g[i][j]);
        }
    }
    // The three make a correlation: y[k] = sum over j of g[j] d[k + j].
    for (k, j, l) in (0..F::M).flat_map(|k| (0..F::R).flat_map(move |j| (0..F::N).map(move |l| (k, j, l)))) {
        let sum: f64 = (0..F::N).map(|i| a[k][i] * g[i][j] * b[i][l]).sum();
        assert!((sum - f64::from(u8::from(l == k + j))).abs() < 1e-12, "y[{k}] has g[{j}] d[{l}] {sum} times");
    }
}

#[test]
fn transforms_are_their_plain_matrices() {
    matrices_are_those_of_the_definition::<F23>();
    matrices_are_those_of_the_definition::<F43>();
    matrices_are_those_of_the_definition::<F25>();
    matrices_are_those_of_the_definition::<F45>();
    matrices_are_those_of_the_definition::<F44>();
    matrices_are_those_of_the_definition::<F44Narrow>();
}

/// How a convolution is run, which changes no bit of its result.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// Rows of tiles that are transformed at a time.
    pub rows: usize,
    /// Rows of a task.
    pub part: usize,
    /// Instead of those, blocks of input channels and of output channels of a task, if the transformed inputs are
    /// shared.
    pub shared: Option<[usize; 2]>,
}

const ALL: usize = 1 << 20;

/// f32 to f32.
const SINGLE: [Element; 2] = [Element::F32; 2];

pub(super) const WHOLE: How = How { rows: ALL, part: ALL, shared: None };

pub(super) fn pack(conv: &Transformed, w: &[f32], bias: &[f32]) -> Vec<f32> {
    let mut packed = vec![f32::NAN; conv.packed_bytes() / 4];
    conv.pack(w, bias, bytemuck::cast_slice_mut(&mut packed));
    packed
}

fn pieces(n: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(step).map(move |first| first..(first + step).min(n))
}

/// Runs `conv` from f32 to f32 in that way.
fn run(conv: &Transformed, x: &[f32], packed: &[f32], relu: bool, how: How) -> Vec<f32> {
    let bytes = run_bytes(conv, bytemuck::cast_slice(x), packed, relu, how);
    bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect()
}

/// Runs `conv` in that way. Transformed inputs and scratch are NaN before, the output is full of the guard's bytes; they lie
/// between guards and begin at addresses that suit no vector.
pub(super) fn run_bytes(conv: &Transformed, x: &[u8], packed: &[f32], relu: bool, how: How) -> Vec<u8> {
    let mut conv = conv.clone();
    conv.rows = how.rows.min(conv.tile_rows());
    let element = conv.output.bytes();
    let (oc, row_bytes) = (conv.shape().oc, conv.pixels(&(0..conv.parts())).end * element);
    let y_len = oc * row_bytes;
    let mut y = vec![GUARD; 1 + y_len.div_ceil(4) + 3];
    let mut out = RowsMut::new(&mut bytemuck::cast_slice_mut(&mut y)[4..], oc, row_bytes, row_bytes);
    let bytes = if how.shared.is_some() { conv.shared_scratch_bytes() } else { conv.scratch_bytes() };
    let mut buffer = vec![GUARD; 1 + bytes / 4 + 3];
    let mut v = vec![GUARD; 1 + conv.v_bytes() / 4 + 3];
    let (row, block) = (conv.v_row_bytes() / 4, conv.v_block_bytes() / 4);
    let points = conv.algorithm().points();
    let packed = bytemuck::cast_slice(packed);
    match how.shared {
        None => {
            for part in pieces(conv.parts(), how.part) {
                buffer[1..=bytes / 4].fill(f32::NAN);
                let scratch = bytemuck::cast_slice_mut(&mut buffer[1..=bytes / 4]);
                let pixels = conv.pixels(&part);
                let y = &mut out.window(0..oc, pixels.start * element..pixels.end * element);
                conv.run(Operands { x, packed, relu, scratch }, part, y);
            }
        }
        Some([inputs, outputs]) => {
            v[1..=points * row].fill(f32::NAN);
            let mut v_rows = RowsMut::new(&mut v[1..], points, row, row);
            for blocks in pieces(conv.channel_blocks(), inputs) {
                buffer[1..=bytes / 4].fill(f32::NAN);
                let window = v_rows.window(0..points, blocks.start * block..blocks.end * block);
                conv.transform(x, blocks, window, bytemuck::cast_slice_mut(&mut buffer[1..=bytes / 4]));
            }
            for blocks in pieces(conv.blocks(), outputs) {
                buffer[1..=bytes / 4].fill(f32::NAN);
                let scratch = bytemuck::cast_slice_mut(&mut buffer[1..=bytes / 4]);
                let y = &mut out.window(conv.channels(blocks.clone()), 0..row_bytes);
                let x = bytemuck::cast_slice(&v[1..=points * row]);
                conv.multiply(Operands { x, packed, relu, scratch }, blocks, y);
            }
        }
    }
    for (buffer, len) in [(&y, y_len), (&buffer, bytes), (&v, 4 * points * row)] {
        let (bytes, guard): (&[u8], _) = (bytemuck::cast_slice(buffer), GUARD.to_ne_bytes());
        let kept = |at: usize| bytes[at] == guard[at % 4];
        assert!((0..4).chain(4 + len..bytes.len()).all(kept), "{} {how:?} wrote outside", conv.algorithm().name);
    }
    bytemuck::cast_slice::<f32, u8>(&y)[4..][..y_len].to_vec()
}

fn convolve(
    algorithm: &Winograd,
    shape: &ConvShape,
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    relu: bool,
    how: How,
) -> Vec<f32> {
    let conv = Transformed::new(*algorithm, *shape, SINGLE, 0);
    run(&conv, x, &pack(&conv, w, bias), relu, how)
}

fn absolute(m: &Matrix) -> Matrix {
    m.iter().map(|row| row.iter().map(|v| v.abs()).collect()).collect()
}

/// `left * square * left'`.
fn both(left: &Matrix, square: &Matrix) -> Matrix {
    let half: Matrix = left
        .iter()
        .map(|row| (0..square[0].len()).map(|j| row.iter().zip(square).map(|(l, s)| l * s[j]).sum()).collect())
        .collect();
    half.iter().map(|half| left.iter().map(|row| row.iter().zip(half).map(|(l, h)| l * h).sum()).collect()).collect()
}

/// A channel of the polyphase form: of the input, and its phase.
pub(super) type Phase = (usize, usize, usize);

/// What the roundings of a tile may amount to, by output: `|A'| (|U| . |V|) |A|` with every sum over absolute values.
fn magnitudes<F: Points>(shape: &ConvShape, x: &[f32], w: &[f32]) -> Vec<f64> {
    let (g, stride, k) = (absolute(&definition::<F>()[1]), shape.stride_h, shape.kh);
    let u = |o: usize, &(c, py, px): &Phase| {
        let tap = |qy: usize, qx: usize| {
            let (ky, kx) = (qy * stride + py, qx * stride + px);
            if ky < k && kx < k { f64::from(w[((o * shape.ic + c) * k + ky) * k + kx]).abs() } else { 0.0 }
        };
        let square: Matrix = (0..F::R).map(|qy| (0..F::R).map(|qx| tap(qy, qx)).collect()).collect();
        both(&g, &square)
    };
    magnitudes_by::<F>(shape, x, u)
}

/// The same where `u` says by output channel and channel how large transformed filters are.
pub(super) fn magnitudes_by<F: Points>(shape: &ConvShape, x: &[f32], u: impl Fn(usize, &Phase) -> Matrix) -> Vec<f64> {
    let [b, _, a] = definition::<F>();
    let (b, a, stride) = (absolute(&b), absolute(&a), shape.stride_h);
    let phases: Vec<Phase> =
        (0..shape.ic).flat_map(|c| (0..stride).flat_map(move |py| (0..stride).map(move |px| (c, py, px)))).collect();
    let mut sums = vec![0.0; shape.oc * shape.pixels()];
    for (ty, tx) in (0..shape.oh.div_ceil(F::M)).flat_map(|ty| (0..shape.ow.div_ceil(F::M)).map(move |tx| (ty, tx))) {
        let v: Vec<Matrix> = phases
            .iter()
            .map(|&(c, py, px)| {
                let at = |i: usize, j: usize| {
                    let iy = ((ty * F::M + i) * stride + py).wrapping_sub(shape.pad_t);
                    let ix = ((tx * F::M + j) * stride + px).wrapping_sub(shape.pad_l);
                    let inside = iy < shape.ih && ix < shape.iw;
                    if inside { f64::from(x[(c * shape.ih + iy) * shape.iw + ix]).abs() } else { 0.0 }
                };
                let square: Matrix = (0..F::N).map(|i| (0..F::N).map(|j| at(i, j)).collect()).collect();
                both(&b, &square)
            })
            .collect();
        for o in 0..shape.oc {
            let mut m = vec![vec![0.0; F::N]; F::N];
            for (phase, v) in phases.iter().zip(&v) {
                let u = u(o, phase);
                for (i, j) in (0..F::N).flat_map(|i| (0..F::N).map(move |j| (i, j))) {
                    m[i][j] += u[i][j] * v[i][j];
                }
            }
            let y = both(&a, &m);
            for (k, row) in y.iter().enumerate() {
                for (l, &sum) in row.iter().enumerate() {
                    let (oy, ox) = (ty * F::M + k, tx * F::M + l);
                    if oy < shape.oh && ox < shape.ow {
                        sums[(o * shape.oh + oy) * shape.ow + ox] = sum;
                    }
                }
            }
        }
    }
    sums
}

pub(super) fn magnitudes_of(algorithm: &Winograd, shape: &ConvShape, x: &[f32], w: &[f32]) -> Vec<f64> {
    match (algorithm.m, algorithm.r) {
        (2, 3) => magnitudes::<F23>(shape, x, w),
        (4, 3) if algorithm.is_integer() => magnitudes::<F43Integer>(shape, x, w),
        (4, 3) => magnitudes::<F43>(shape, x, w),
        (2, 5) => magnitudes::<F25>(shape, x, w),
        (4, 5) => magnitudes::<F45>(shape, x, w),
        (4, 4) if algorithm.products == Products::Words => magnitudes::<F44Narrow>(shape, x, w),
        (4, 4) => magnitudes::<F44>(shape, x, w),
        other => unreachable!("no algorithm {other:?}"),
    }
}

pub(super) fn numbers(seed: u64, n: usize, integers: bool) -> Vec<f32> {
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if integers { (state % 9) as f32 - 4.0 } else { (state % 20011) as f32 / 10005.5 - 1.0 }
    };
    (0..n).map(|_| next()).collect()
}

fn check(shape: ConvShape, relu: bool, how: How, seed: u64) {
    let x = numbers(seed, shape.ic * shape.ih * shape.iw, false);
    let w = numbers(seed ^ 0xABCD, shape.oc * shape.steps(), false);
    let bias = numbers(seed ^ 0x1234, shape.oc, false);
    let (sums, _) = conv2d_ref(&shape, &x, &w, &bias);
    for isa in isa::detected() {
        for algorithm in algorithms(isa).iter().filter(|algorithm| algorithm.fits(&shape)) {
            let got = convolve(algorithm, &shape, &x, &w, &bias, relu, how);
            let magnitudes = magnitudes_of(algorithm, &shape, &x, &w);
            for (i, &got) in got.iter().enumerate() {
                let expected = if relu { sums[i].max(0.0) } else { sums[i] };
                // Each value passes at most 2 n additions and n products in each of the two transforms, one rounding
                // of U, the sum over the channels and the bias, each half an ulp of what the absolute values make
                // (Barabasz et al., arXiv:1803.10986, section 4).
                let n = algorithm.m + algorithm.r - 1;
                let roundings = (algorithm.channels(&shape) + 6 * n + 2) as f64;
                let bound =
                    roundings * f64::from(f32::EPSILON) * (magnitudes[i] + f64::from(bias[i / shape.pixels()]).abs());
                let err = (f64::from(got) - expected).abs();
                assert!(err <= bound, "{isa} {} {shape:?} at {i}: {got} for {expected}", algorithm.name);
            }
        }
    }
}

pub(super) fn shape(ic: usize, ih: usize, iw: usize, oc: usize, kernel: usize, stride: usize, pad: usize) -> ConvShape {
    let out = |size: usize| (size + 2 * pad - kernel) / stride + 1;
    let (oh, ow, pad_t, pad_l) = (out(ih), out(iw), pad, pad);
    ConvShape { ic, ih, iw, oc, oh, ow, kh: kernel, kw: kernel, stride_h: stride, stride_w: stride, pad_t, pad_l }
}

#[test]
fn f23_is_exact_on_small_integers() {
    // G has halves, twice: filters of multiples of 4 keep every number an integer, and small.
    for (ic, ih, iw, oc, pad) in
        [(1, 3, 3, 1, 0), (3, 7, 7, 17, 1), (9, 5, 14, 33, 1), (17, 8, 29, 5, 2), (33, 6, 6, 64, 1)]
    {
        let shape = shape(ic, ih, iw, oc, 3, 1, pad);
        let x = numbers(5, ic * ih * iw, true);
        let w: Vec<f32> = numbers(6, oc * shape.steps(), true).iter().map(|w| 4.0 * w).collect();
        let bias = numbers(7, oc, true);
        let (expected, _) = conv2d_ref(&shape, &x, &w, &bias);
        for isa in isa::detected() {
            for algorithm in algorithms(isa).iter().filter(|algorithm| (algorithm.m, algorithm.r) == (2, 3)) {
                let got = convolve(algorithm, &shape, &x, &w, &bias, false, How { rows: 2, ..WHOLE });
                assert!(got.iter().zip(&expected).all(|(&g, &e)| f64::from(g) == e), "{isa} {shape:?}");
            }
        }
    }
}

#[test]
fn every_tile_edge_is_within_the_bound() {
    for side in 1..=17 {
        for (kernel, stride, pad) in [
            (3, 1, 1),
            (5, 1, 2),
            (7, 2, 3),
            (8, 2, 0),
            (3, 1, 0),
            (4, 1, 1),
            (5, 2, 2),
            (6, 2, 1),
            (9, 2, 4),
            (10, 2, 0),
            (8, 3, 2),
            (9, 3, 0),
            (11, 4, 0),
            (11, 4, 5),
            (12, 4, 3),
            (7, 3, 3),
        ] {
            if side + 2 * pad >= kernel {
                let shape = shape(3, side, side + 2, 9, kernel, stride, pad);
                check(shape, true, How { rows: 1, part: 3, shared: None }, side as u64);
            }
        }
    }
    for oc in [1, 8, 15, 16, 17, 31, 32, 33, 63, 65] {
        check(shape(2, 6, 5, oc, 3, 1, 1), false, WHOLE, 77);
    }
    for ic in [1, 4, 5, 7, 8, 9, 15, 16, 17, 24, 33] {
        check(shape(ic, 9, 4, 5, 5, 1, 2), false, How { shared: Some([2, 1]), ..WHOLE }, 78);
    }
}

/// The strided layers of Krizhevsky's and Zeiler and Fergus's networks, smaller and with fewer channels.
#[test]
fn several_tiles_of_the_polyphase_form_are_within_the_bound() {
    check(shape(3, 67, 67, 9, 11, 4, 0), true, How { rows: 2, ..WHOLE }, 80);
    check(shape(7, 29, 29, 9, 5, 2, 0), true, How { shared: Some([2, 1]), ..WHOLE }, 81);
    check(shape(3, 32, 32, 9, 7, 2, 1), true, How { rows: 1, part: 2, shared: None }, 82);
}

/// A group of a grouped convolution reads some of the input's channels and writes some of the output's: the same bits as
/// alone, and nothing else.
#[test]
fn groups_are_windows_of_channels() {
    for (kernel, stride, pad) in [(3, 1, 1), (5, 1, 2), (7, 2, 3)] {
        let (groups, group) = (2, shape(5, 13, 14, 19, kernel, stride, pad));
        let (plane, pixels) = (group.ih * group.iw, group.pixels());
        let x = numbers(1, groups * group.ic * plane, false);
        let (w, bias) = (numbers(2, group.oc * group.steps(), false), numbers(3, group.oc, false));
        for algorithm in isa::detected().flat_map(algorithms).filter(|algorithm| algorithm.fits(&group)) {
            let conv = Transformed::new(*algorithm, group, SINGLE, 0);
            let packed = pack(&conv, &w, &bias);
            for g in 0..groups {
                let x = &x[g * group.ic * plane..(g + 1) * group.ic * plane];
                let expected = run(&conv, x, &packed, true, WHOLE);
                let mut y = vec![GUARD; groups * group.oc * pixels];
                let mut scratch = vec![f32::NAN; conv.scratch_bytes() / 4];
                let (packed, scratch) = (bytemuck::cast_slice(&packed), bytemuck::cast_slice_mut(&mut scratch));
                let y_bytes = bytemuck::cast_slice_mut(&mut y);
                let mut rows = RowsMut::new(y_bytes, groups * group.oc, 4 * pixels, 4 * pixels);
                let y_group = &mut rows.window(g * group.oc..(g + 1) * group.oc, 0..4 * pixels);
                let x = bytemuck::cast_slice(x);
                conv.run(Operands { x, packed, relu: true, scratch }, 0..conv.parts(), y_group);
                for (other, y) in y.chunks_exact(group.oc * pixels).enumerate() {
                    let is_right = if other == g { y == expected } else { y.iter().all(|&y| y == GUARD) };
                    assert!(is_right, "{} {group:?}, group {g}, channels of group {other}", algorithm.name);
                }
            }
        }
    }
}

#[test]
fn parts_change_no_bit() {
    let shape = shape(19, 15, 13, 21, 3, 1, 1);
    let (x, w, bias) = (numbers(1, 19 * 15 * 13, false), numbers(2, 21 * 19 * 9, false), numbers(3, 21, false));
    for isa in isa::detected() {
        for algorithm in algorithms(isa).iter().filter(|algorithm| algorithm.fits(&shape)) {
            let whole = convolve(algorithm, &shape, &x, &w, &bias, true, WHOLE);
            for (rows, part) in [(1, 1), (1, 3), (2, 3), (2, ALL), (3, 4)] {
                let how = How { rows, part, shared: None };
                assert!(
                    convolve(algorithm, &shape, &x, &w, &bias, true, how) == whole,
                    "{isa} {} {how:?}",
                    algorithm.name
                );
            }
            for shared in [[1, 1], [1, ALL], [ALL, 1], [2, 2], [ALL, ALL]] {
                let how = How { shared: Some(shared), ..WHOLE };
                assert!(
                    convolve(algorithm, &shape, &x, &w, &bias, true, how) == whole,
                    "{isa} {} {how:?}",
                    algorithm.name
                );
            }
        }
    }
}

#[test]
fn a_fused_pool_changes_no_bit() {
    for (ic, side, oc, kernel, stride, pad) in [
        (3, 35, 70, 7, 2, 3),
        (3, 36, 16, 7, 2, 3),
        (3, 39, 18, 11, 4, 0),
        (5, 17, 9, 3, 1, 1),
        (2, 18, 33, 5, 1, 2),
        (1, 3, 1, 3, 1, 1),
    ] {
        let shape = shape(ic, side, side + 3, oc, kernel, stride, pad);
        let x = numbers(1, ic * side * (side + 3), false);
        let (w, bias) = (numbers(2, oc * shape.steps(), false), numbers(3, oc, false));
        // Rounding up keeps a last window of two rows, and one of one; rounding down leaves it out.
        for up in [true, false] {
            let windows = |outputs: usize| if up { outputs.div_ceil(2) } else { (outputs.max(3) - 3) / 2 + 1 };
            let (ph, pw) = (windows(shape.oh), windows(shape.ow));
            let pool =
                PoolShape { ih: shape.oh, iw: shape.ow, oh: ph, ow: pw, kernel: 3, stride: 2, pad_t: 0, pad_l: 0 };
            for isa in isa::detected() {
                for algorithm in algorithms(isa).iter().filter(|algorithm| algorithm.fits(&shape)) {
                    let conv = Transformed::new(*algorithm, shape, SINGLE, 0);
                    let packed = pack(&conv, &w, &bias);
                    let expected = max_pool_ref(&pool, &run(&conv, &x, &packed, true, WHOLE));
                    let pooled = conv.with_pool([ph, pw]);
                    for (part, rows) in [(ALL, 1), (1, 2), (3, 1)] {
                        let got = run(&pooled, &x, &packed, true, How { rows, part, shared: None });
                        assert_eq!(got, expected, "{isa} {} {shape:?} in steps of {part}", algorithm.name);
                    }
                }
            }
        }
    }
}

/// One layer of 64 channels against f64: the largest and the RMS error relative to the output's, as the numerics of
/// the design allow each algorithm. Bounds are a little above what the points give on any set.
#[test]
fn a_layer_of_64_channels_is_as_accurate_as_its_points_allow() {
    // As it is, and with one channel 10,000 times the others: errors may grow with the largest output, not beyond.
    let layers = [(3, 1, 1), (5, 1, 2), (7, 2, 3), (11, 4, 0), (5, 2, 0)];
    for ((kernel, stride, pad), louder) in layers.into_iter().flat_map(|layer| [1.0, 1e4].map(|louder| (layer, louder)))
    {
        let shape = shape(if stride == 1 { 64 } else { 3 }, 20, 20, 32, kernel, stride, pad);
        let mut x: Vec<f32> = numbers(8, shape.ic * 400, false).iter().map(|x| x.max(0.0)).collect();
        x[400..800].iter_mut().for_each(|x| *x *= louder);
        let w: Vec<f32> = numbers(9, shape.oc * shape.steps(), false);
        let bias = vec![0.0; shape.oc];
        let (expected, _) = conv2d_ref(&shape, &x, &w, &bias);
        let largest = expected.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        let square: f64 = expected.iter().map(|v| v * v).sum();
        for isa in isa::detected() {
            for algorithm in algorithms(isa).iter().filter(|algorithm| algorithm.fits(&shape)) {
                let got = convolve(algorithm, &shape, &x, &w, &bias, false, WHOLE);
                let errors = || got.iter().zip(&expected).map(|(&g, &e)| (f64::from(g) - e).abs());
                let (max, rms) =
                    (errors().fold(0.0, f64::max) / largest, (errors().map(|e| e * e).sum::<f64>() / square).sqrt());
                let (max_bound, rms_bound) = match (algorithm.m, algorithm.r) {
                    (2, 3) => (3e-6, 1e-6),
                    (4, 3) | (2, 5) => (1e-5, 2e-6),
                    _ => (3e-5, 6e-6),
                };
                println!("{isa} {} {kernel}x{kernel}/{stride}: max {max:.1e}, rms {rms:.1e}", algorithm.name);
                assert!(max <= max_bound && rms <= rms_bound, "{isa} {}: max {max:.1e}, rms {rms:.1e}", algorithm.name);
            }
        }
    }
}

#[test]
#[should_panic(expected = "does not compute")]
fn a_shape_of_another_filter_is_refused() {
    Transformed::new(algorithms(isa::plainest())[0], shape(1, 9, 9, 1, 4, 1, 0), SINGLE, 0);
}

#[test]
#[should_panic(expected = "transformed inputs")]
fn inputs_of_another_length_are_refused() {
    let conv = Transformed::new(algorithms(isa::plainest())[0], shape(1, 9, 9, 1, 3, 1, 0), SINGLE, 0);
    let packed = vec![0.0_f32; conv.packed_bytes() / 4];
    let mut scratch = vec![0.0_f32; conv.shared_scratch_bytes() / 4];
    let (packed, scratch) = (bytemuck::cast_slice(&packed), bytemuck::cast_slice_mut(&mut scratch));
    let mut y = [0.0_f32; 49];
    let y = &mut RowsMut::new(bytemuck::cast_slice_mut(&mut y), 1, 4 * 49, 4 * 49);
    conv.multiply(Operands { x: bytemuck::cast_slice(&[0.0_f32; 64]), packed, relu: true, scratch }, 0..1, y);
}

#[test]
#[cfg_attr(panic = "abort", ignore = "a panic ends the program here")]
fn transformed_inputs_larger_than_memory_are_refused() {
    // Input and output fit into 32 bits; 36 points of 2^24 tiles and channels, 4 bytes each, do not.
    let shape = shape(1 << 8, 1 << 10, 1 << 10, 1, 3, 1, 1);
    for algorithm in isa::detected().flat_map(algorithms).filter(|algorithm| algorithm.name == "F(4,3)") {
        let made = std::panic::catch_unwind(|| Transformed::new(*algorithm, shape, SINGLE, 0).v_bytes());
        let expected = if cfg!(target_pointer_width = "32") { None } else { Some(36 << 26) };
        assert_eq!(made.ok(), expected);
    }
}

proptest! {
    // A shape on every algorithm and set takes a while: a fifth of what PROPTEST_CASES or the default asks for.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.div_ceil(5),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_shape_is_within_the_bound(
        ic in 1_usize..20, ih in 1_usize..20, iw in 1_usize..30, oc in 1_usize..40, kernel in 0_usize..6,
        pad in 0_usize..4, relu: bool, rows in 1_usize..4, part in 1_usize..5, shared: bool, seed: u64,
    ) {
        let (kernel, stride) = [(3, 1), (5, 1), (7, 2), (8, 2), (5, 2), (11, 4)][kernel];
        let (pad, ih, iw) = (pad.min(kernel - 1), ih.max(kernel), iw.max(kernel));
        let how = How { rows, part, shared: shared.then_some([rows, part]) };
        check(shape(ic, ih, iw, oc, kernel, stride, pad), relu, how, seed);
    }
}
