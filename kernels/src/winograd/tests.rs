//! One battery for every algorithm on every set.

use proptest::prelude::*;

use super::points::{MAX_N, filter_matrix, input, output};
use super::*;
use crate::conv::conv2d_ref;
use crate::isa;
use crate::pool::PoolShape;
use crate::reference::max_pool_ref;
use crate::simd::{Portable, Simd};

const GUARD: f32 = 7777.0;

type Matrix = Vec<Vec<f64>>;

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

/// The columns of a transform, by applying it to unit vectors: `rows x N`.
fn applied(
    rows: usize,
    n: usize,
    transform: impl Fn(&[<Portable as Simd>::V; MAX_N]) -> [<Portable as Simd>::V; MAX_N],
) -> Matrix {
    let mut matrix = vec![vec![0.0; n]; rows];
    for k in 0..n {
        let mut unit = [Portable.splat(0.0); MAX_N];
        unit[k] = Portable.splat(1.0);
        for (row, v) in matrix.iter_mut().zip(transform(&unit)) {
            let mut lanes = [0.0; 8];
            // SAFETY: a vector of the portable set has 8 lanes.
            unsafe { Portable.store(lanes.as_mut_ptr(), v) };
            row[k] = f64::from(lanes[0]);
        }
    }
    matrix
}

fn matrices_are_those_of_the_definition<F: Points>() {
    let [b, g, a] = definition::<F>();
    let b_fast = applied(F::N, F::N, |d| input::<_, F>(Portable, d));
    let a_fast = applied(F::M, F::N, |m| output::<_, F>(Portable, m));
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
}

/// The whole convolution, in parts of `rows` rows of tiles and `channel_blocks` channel blocks.
fn convolve(
    form: &Winograd,
    shape: &ConvShape,
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    relu: bool,
    (rows, channel_blocks): (usize, usize),
) -> Vec<f32> {
    let (grid, pixels) = (form.grid(shape), shape.pixels());
    let mut packed = vec![f32::NAN; form.packed_len(shape)];
    form.pack_weights(shape, w, bias, &mut packed);
    let mut scratch = vec![f32::NAN; form.block_scratch_len(shape, rows.min(grid.rows))];
    let mut y = vec![GUARD; 1 + shape.oc * pixels + 3];
    y[1..1 + shape.oc * pixels].fill(f32::NAN);
    let mut out = RowsMut::new(&mut y[1..], shape.oc, pixels, pixels);
    for first in (0..grid.rows).step_by(rows) {
        let tile_rows = first..(first + rows).min(grid.rows);
        let tiles = tile_rows.len() * grid.columns;
        let mut v = vec![f32::NAN; form.v_len(shape, tile_rows.len())];
        let row = v.len() / form.points();
        let mut v_rows = RowsMut::new(&mut v, form.points(), row, row);
        for block in (0..form.channel_blocks(shape)).step_by(channel_blocks) {
            let blocks = block..(block + channel_blocks).min(form.channel_blocks(shape));
            let part = blocks.start * tiles * form.lanes..blocks.end * tiles * form.lanes;
            let window = v_rows.window(0..form.points(), part);
            form.transform_input(shape, x, tile_rows.clone(), blocks, window, &mut scratch);
        }
        for block in form.blocks(shape) {
            let output_rows = form.output_rows(shape, &tile_rows);
            let pixels = output_rows.start * shape.ow..output_rows.end * shape.ow;
            let window = out.window(block.first..block.first + block.live, pixels);
            form.multiply_block(shape, &block, &v, &packed, relu, tile_rows.clone(), window, &mut scratch);
        }
    }
    assert!(y[..1].iter().chain(&y[1 + shape.oc * pixels..]).all(|&v| v == GUARD), "{} wrote outside", form.name);
    y[1..1 + shape.oc * pixels].to_vec()
}

/// What the roundings of a tile may amount to, by output: `|A'| (|U| . |V|) |A|` with every sum over absolute values.
fn magnitudes<F: Points>(shape: &ConvShape, x: &[f32], w: &[f32]) -> Vec<f64> {
    let [b, g, a] = definition::<F>();
    let absolute = |m: &Matrix| -> Matrix { m.iter().map(|row| row.iter().map(|v| v.abs()).collect()).collect() };
    let (b, g, a) = (absolute(&b), absolute(&g), absolute(&a));
    // left * square * left'
    let both = |left: &Matrix, square: &Matrix| -> Matrix {
        let half: Matrix = left
            .iter()
            .map(|row| (0..square[0].len()).map(|j| row.iter().zip(square).map(|(l, s)| l * s[j]).sum()).collect())
            .collect();
        half.iter()
            .map(|half| left.iter().map(|row| row.iter().zip(half).map(|(l, h)| l * h).sum()).collect())
            .collect()
    };
    let (stride, k) = (shape.stride_h, shape.kh);
    let phases: Vec<(usize, usize, usize)> =
        (0..shape.ic).flat_map(|c| (0..stride).flat_map(move |py| (0..stride).map(move |px| (c, py, px)))).collect();
    let u = |o: usize, &(c, py, px): &(usize, usize, usize)| {
        let tap = |qy: usize, qx: usize| {
            let (ky, kx) = (qy * stride + py, qx * stride + px);
            if ky < k && kx < k { f64::from(w[((o * shape.ic + c) * k + ky) * k + kx]).abs() } else { 0.0 }
        };
        let square: Matrix = (0..F::R).map(|qy| (0..F::R).map(|qx| tap(qy, qx)).collect()).collect();
        both(&g, &square)
    };
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

fn magnitudes_of(form: &Winograd, shape: &ConvShape, x: &[f32], w: &[f32]) -> Vec<f64> {
    match (form.m, form.r) {
        (2, 3) => magnitudes::<F23>(shape, x, w),
        (4, 3) => magnitudes::<F43>(shape, x, w),
        (2, 5) => magnitudes::<F25>(shape, x, w),
        (4, 5) => magnitudes::<F45>(shape, x, w),
        (4, 4) => magnitudes::<F44>(shape, x, w),
        other => unreachable!("no form {other:?}"),
    }
}

fn numbers(seed: u64, n: usize, integers: bool) -> Vec<f32> {
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if integers { (state % 9) as f32 - 4.0 } else { (state % 20011) as f32 / 10005.5 - 1.0 }
    };
    (0..n).map(|_| next()).collect()
}

fn check(shape: ConvShape, relu: bool, rows: usize, channel_blocks: usize, seed: u64) {
    let x = numbers(seed, shape.ic * shape.ih * shape.iw, false);
    let w = numbers(seed ^ 0xABCD, shape.oc * shape.steps(), false);
    let bias = numbers(seed ^ 0x1234, shape.oc, false);
    let (sums, _) = conv2d_ref(&shape, &x, &w, &bias);
    for isa in isa::detected() {
        for form in algorithms(isa).iter().filter(|form| form.fits(&shape)) {
            let got = convolve(form, &shape, &x, &w, &bias, relu, (rows, channel_blocks));
            let magnitudes = magnitudes_of(form, &shape, &x, &w);
            for (i, &got) in got.iter().enumerate() {
                let expected = if relu { sums[i].max(0.0) } else { sums[i] };
                // Each value passes at most 2 n additions and n products in each of the two transforms, one rounding
                // of U, the sum over the channels and the bias, each half an ulp of what the absolute values make
                // (Barabasz et al., arXiv:1803.10986, section 4).
                let n = form.m + form.r - 1;
                let roundings = (form.channels(&shape) + 6 * n + 2) as f64;
                let bound =
                    roundings * f64::from(f32::EPSILON) * (magnitudes[i] + f64::from(bias[i / shape.pixels()]).abs());
                let err = (f64::from(got) - expected).abs();
                assert!(err <= bound, "{isa} {} {shape:?} at {i}: {got} for {expected}", form.name);
            }
        }
    }
}

fn shape(ic: usize, ih: usize, iw: usize, oc: usize, kernel: usize, stride: usize, pad: usize) -> ConvShape {
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
            for form in algorithms(isa).iter().filter(|form| (form.m, form.r) == (2, 3)) {
                let got = convolve(form, &shape, &x, &w, &bias, false, (2, 1));
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
        ] {
            if side + 2 * pad >= kernel {
                check(shape(3, side, side + 2, 9, kernel, stride, pad), true, 1, 1, side as u64);
            }
        }
    }
    for oc in [1, 8, 15, 16, 17, 31, 32, 33, 63, 65] {
        check(shape(2, 6, 5, oc, 3, 1, 1), false, 9, 9, 77);
    }
    for ic in [1, 4, 5, 7, 8, 9, 15, 16, 17, 24, 33] {
        check(shape(ic, 9, 4, 5, 5, 1, 2), false, 2, 2, 78);
    }
}

#[test]
fn parts_change_no_bit() {
    let shape = shape(19, 15, 13, 21, 3, 1, 1);
    let (x, w, bias) = (numbers(1, 19 * 15 * 13, false), numbers(2, 21 * 19 * 9, false), numbers(3, 21, false));
    for isa in isa::detected() {
        for form in algorithms(isa).iter().filter(|form| form.fits(&shape)) {
            let whole = convolve(form, &shape, &x, &w, &bias, true, (99, 99));
            let mut packed = vec![f32::NAN; form.packed_len(&shape)];
            form.pack_weights(&shape, &w, &bias, &mut packed);
            let mut y = vec![f32::NAN; whole.len()];
            let mut scratch = vec![f32::NAN; form.scratch_len(&shape, 2)];
            let mut out = RowsMut::new(&mut y, shape.oc, shape.pixels(), shape.pixels());
            form.convolve(&shape, &x, &packed, true, 0..form.grid(&shape).rows, 2, &mut out, &mut scratch);
            assert_eq!(y, whole, "{isa} {}", form.name);
            for (rows, blocks) in [(1, 1), (2, 1), (3, 2)] {
                assert_eq!(convolve(form, &shape, &x, &w, &bias, true, (rows, blocks)), whole, "{isa} {}", form.name);
            }
        }
    }
}

#[test]
fn a_fused_pool_changes_no_bit() {
    for (ic, side, oc, kernel, stride, pad) in
        [(3, 35, 70, 7, 2, 3), (3, 36, 16, 7, 2, 3), (5, 17, 9, 3, 1, 1), (2, 18, 33, 5, 1, 2), (1, 3, 1, 3, 1, 1)]
    {
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
                for form in algorithms(isa).iter().filter(|form| form.fits(&shape)) {
                    let whole = convolve(form, &shape, &x, &w, &bias, true, (2, 99));
                    let expected = max_pool_ref(&pool, &whole);
                    let mut packed = vec![f32::NAN; form.packed_len(&shape)];
                    form.pack_weights(&shape, &w, &bias, &mut packed);
                    for (step, rows) in [(99, 1), (1, 2), (3, 1)] {
                        let mut scratch = vec![f32::NAN; form.pooled_scratch_len(&shape, pw, rows)];
                        let mut y = vec![f32::NAN; oc * ph * pw];
                        for first in (0..ph).step_by(step) {
                            let window_rows = first..(first + step).min(ph);
                            let pixels = window_rows.start * pw..window_rows.end * pw;
                            let mut all = RowsMut::new(&mut y, oc, ph * pw, ph * pw);
                            let mut y = all.window(0..oc, pixels);
                            form.convolve_pooled(
                                &shape,
                                pw,
                                &x,
                                &packed,
                                true,
                                window_rows,
                                rows,
                                &mut y,
                                &mut scratch,
                            );
                        }
                        assert_eq!(y, expected, "{isa} {} {shape:?} in steps of {step}", form.name);
                    }
                }
            }
        }
    }
}

/// One layer of 64 channels against f64: the largest and the RMS error relative to the output's, as the numerics of
/// the design allow each form. Bounds are a little above what the forms' points give on any set.
#[test]
fn a_layer_of_64_channels_is_as_accurate_as_its_points_allow() {
    // As it is, and with one channel 10,000 times the others: errors may grow with the largest output, not beyond.
    for (kernel, stride, pad, louder) in
        [(3, 1, 1, 1.0), (5, 1, 2, 1.0), (7, 2, 3, 1.0), (3, 1, 1, 1e4), (5, 1, 2, 1e4), (7, 2, 3, 1e4)]
    {
        let shape = shape(if stride == 2 { 3 } else { 64 }, 20, 20, 32, kernel, stride, pad);
        let mut x: Vec<f32> = numbers(8, shape.ic * 400, false).iter().map(|x| x.max(0.0)).collect();
        x[400..800].iter_mut().for_each(|x| *x *= louder);
        let w: Vec<f32> = numbers(9, shape.oc * shape.steps(), false);
        let bias = vec![0.0; shape.oc];
        let (expected, _) = conv2d_ref(&shape, &x, &w, &bias);
        let largest = expected.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        let square: f64 = expected.iter().map(|v| v * v).sum();
        for isa in isa::detected() {
            for form in algorithms(isa).iter().filter(|form| form.fits(&shape)) {
                let got = convolve(form, &shape, &x, &w, &bias, false, (9, 9));
                let errors = || got.iter().zip(&expected).map(|(&g, &e)| (f64::from(g) - e).abs());
                let (max, rms) =
                    (errors().fold(0.0, f64::max) / largest, (errors().map(|e| e * e).sum::<f64>() / square).sqrt());
                let (max_bound, rms_bound) = match (form.m, form.r) {
                    (2, 3) => (3e-6, 1e-6),
                    (4, 3) | (2, 5) => (1e-5, 2e-6),
                    _ => (3e-5, 6e-6),
                };
                println!("{isa} {} {kernel}x{kernel}/{stride}: max {max:.1e}, rms {rms:.1e}", form.name);
                assert!(max <= max_bound && rms <= rms_bound, "{isa} {}: max {max:.1e}, rms {rms:.1e}", form.name);
            }
        }
    }
}

#[test]
#[should_panic(expected = "does not compute")]
fn a_shape_of_another_filter_is_refused() {
    let form = &algorithms(Isa::Portable)[0];
    form.pack_weights(&shape(1, 9, 9, 1, 4, 1, 0), &[0.0; 16], &[0.0], &mut []);
}

#[test]
#[should_panic(expected = "transformed inputs")]
fn inputs_of_another_length_are_refused() {
    let form = &algorithms(Isa::Portable)[0];
    form.multiply(usize::MAX / 4, 8, &[0.0; 64], &[0.0; 64], form.lanes, &mut [0.0; 64]);
}

proptest! {
    // A shape on every form and set takes a while: a fifth of what PROPTEST_CASES or the default asks for.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.div_ceil(5),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_shape_is_within_the_bound(
        ic in 1_usize..20, ih in 1_usize..20, iw in 1_usize..30, oc in 1_usize..40, kernel in 0_usize..4,
        pad in 0_usize..4, relu: bool, rows in 1_usize..4, blocks in 1_usize..3, seed: u64,
    ) {
        let (kernel, stride) = [(3, 1), (5, 1), (7, 2), (8, 2)][kernel];
        let (pad, ih, iw) = (pad.min(kernel - 1), ih.max(kernel), iw.max(kernel));
        check(shape(ic, ih, iw, oc, kernel, stride, pad), relu, rows, blocks, seed);
    }
}
