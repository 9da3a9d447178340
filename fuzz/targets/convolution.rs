//! What the targets of convolutions share: any shape, numbers, buffers whose ends the sanitizer watches, and the runs of a
//! transformed convolution that must give the same bits.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use arbitrary::Arbitrary;
use googlenet_kernels::conv::ConvShape;
use googlenet_kernels::element::{Bf16, Element};
use googlenet_kernels::pool::PoolShape;
use googlenet_kernels::reference::max_pool_ref;
use googlenet_kernels::view::RowsMut;
use googlenet_kernels::winograd::{Operands, Transformed, Winograd};

/// How a convolution is run, which changes no bit of its result.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct How {
    /// Where tiles or rows of them are cut in two; the upper half of the bits is also how much padding a shape may have below
    /// and to the right.
    pub rows: u8,
    /// Where blocks of output channels are cut.
    pub blocks: u8,
    /// Where output channels become two of a stack, and where blocks of input channels are cut.
    pub widths: u8,
    /// Cache lines that are worked on at a time.
    pub group: u16,
}

impl How {
    pub fn group_bytes(self) -> usize {
        usize::from(self.group) * 64
    }
}

/// `0..n` in two pieces.
pub fn pieces(n: usize, byte: u8) -> [Range<usize>; 2] {
    let middle = usize::from(byte) % (n + 1);
    [0..middle, middle..n]
}

/// Random numbers.
pub fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// Any shape of at most so many rows, columns, input and output channels. Most are such that some algorithm computes them:
/// any square filter of up to 8 taps a side at stride 2 and up to 12 at strides of 3 and 4, of 3 or 5 taps at stride 1.
pub fn shape(sizes: &[u8; 10], how: How, [rows, columns, ic, oc]: [u8; 4]) -> ConvShape {
    let at = |i: usize, most: u8| usize::from(sizes[i] % most) + 1;
    let (kh, kw, stride_h, stride_w) = match sizes[0] % 5 {
        0 => (at(1, 8), at(1, 8), 2, 2),
        1 => ([3, 5][at(1, 2) - 1], [3, 5][at(1, 2) - 1], 1, 1),
        2 => (at(1, 12), at(1, 12), 2 + at(2, 2), 2 + at(2, 2)),
        _ => (at(1, 8), at(2, 8), at(3, 4), at(4, 4)),
    };
    let (pad_t, pad_l) = ((at(4, 6) - 1).min(kh - 1), (at(5, 6) - 1).min(kw - 1));
    let (ih, iw) = (at(6, rows).max(kh), at(7, columns).max(kw));
    // Below and to the right there is as much padding as the output asks for, up to the filter less one.
    let more = usize::from(how.rows / 16);
    let outputs =
        |len: usize, pad: usize, k: usize, stride: usize| (len + pad + more.min(k - 1)).saturating_sub(k) / stride + 1;
    let (oh, ow) = (outputs(ih, pad_t, kh, stride_h), outputs(iw, pad_l, kw, stride_w));
    ConvShape { ic: at(8, ic), ih, iw, oc: at(9, oc), oh, ow, kh, kw, stride_h, stride_w, pad_t, pad_l }
}

/// Whether buffers begin where their allocation does, and do not end there.
pub static AT_BEGINNING: AtomicBool = AtomicBool::new(false);

/// Bytes that end where their allocation does, so that the sanitizer, or a page behind it, sees what reaches past them. Whole
/// elements are aligned as they are, but bytes may begin anywhere.
pub struct Buffer {
    words: Vec<u32>,
    len: usize,
}

impl Buffer {
    /// `len` bytes, all of them `byte`.
    pub fn filled(len: usize, byte: u8) -> Self {
        Self { words: vec![u32::from_ne_bytes([byte; 4]); len.div_ceil(4)], len }
    }

    /// `len` bytes that are NaN as f32 and as bf16.
    pub fn nan(len: usize) -> Self {
        Self::filled(len, 0xFF)
    }

    /// What is stored of `numbers`.
    pub fn of(numbers: &[f32], element: Element) -> Self {
        let mut buffer = Self::filled(numbers.len() * element.bytes(), 0);
        for (y, &x) in buffer.bytes_mut().chunks_exact_mut(element.bytes()).zip(numbers) {
            match element {
                Element::F32 => y.copy_from_slice(&x.to_ne_bytes()),
                Element::Bf16 => y.copy_from_slice(&Bf16::from_f32(x).0.to_ne_bytes()),
                Element::U8 => y[0] = x.clamp(0.0, 255.0).round_ties_even() as u8,
            }
        }
        buffer
    }

    pub fn bytes(&self) -> &[u8] {
        let bytes = bytemuck::cast_slice(&self.words);
        &bytes[before(bytes.len() - self.len)..][..self.len]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let bytes = bytemuck::cast_slice_mut(&mut self.words);
        let before = before(bytes.len() - self.len);
        &mut bytes[before..][..self.len]
    }
}

/// How many of the bytes that fill up the last word stand before the others.
fn before(more: usize) -> usize {
    if AT_BEGINNING.load(Ordering::Relaxed) { 0 } else { more }
}

/// The numbers that stored elements are.
pub fn values(bytes: &[u8], element: Element) -> Vec<f32> {
    let value = |bytes: &[u8]| match element {
        Element::F32 => bytemuck::pod_read_unaligned(bytes),
        Element::Bf16 => bytemuck::pod_read_unaligned::<Bf16>(bytes).to_f32(),
        Element::U8 => f32::from(bytes[0]),
    };
    bytes.chunks_exact(element.bytes()).map(value).collect()
}

/// Asserts that stored elements are `sums`, of which each may be off by its bound before it is rounded.
pub fn assert_near(
    name: &str,
    (bytes, output): (&[u8], Element),
    relu: bool,
    sums: &[f64],
    bound: impl Fn(usize) -> f64,
) {
    let got = values(bytes, output);
    assert_eq!(got.len(), sums.len(), "{name}");
    for (i, (&got, &sum)) in got.iter().zip(sums).enumerate() {
        let (expected, bound) = (if relu { sum.max(0.0) } else { sum }, bound(i));
        let (expected, bound) = match output {
            Element::F32 => (expected, bound),
            Element::Bf16 => (expected, bound + (expected.abs() + bound) / 256.0),
            Element::U8 => (expected.clamp(0.0, 255.0), bound + 0.5),
        };
        let err = (f64::from(got) - expected).abs();
        assert!(err <= bound, "{name} to {output:?} at {i}: {got} for {expected}");
    }
}

/// A convolution with its numbers.
#[derive(Clone, Copy)]
pub struct Layer<'a> {
    pub shape: ConvShape,
    pub x: &'a [u8],
    pub w: &'a [f32],
    pub bias: &'a [f32],
    pub relu: bool,
}

/// The output of `layer` by `algorithm`, in stored elements; asserts that in parts, shared and with a pool behind it the
/// convolution gives the same bits.
pub fn transformed(algorithm: &Winograd, ends: [Element; 2], layer: Layer<'_>, how: How) -> Buffer {
    let Layer { shape, x, w, bias, relu } = layer;
    let (output, bytes) = (ends[1], ends[1].bytes());
    let name = format!("{} {:?} {shape:?} {ends:?}", algorithm.name(), algorithm.instruction());
    let conv = Transformed::new(*algorithm, shape, ends, how.group_bytes());
    let mut packed = Buffer::nan(conv.packed_bytes());
    conv.pack(w, bias, packed.bytes_mut());
    let packed = packed.bytes();
    let run = |conv: &Transformed, parts: [Range<usize>; 2]| {
        let row = bytes * conv.pixels(&(0..conv.parts())).end;
        let mut y = Buffer::nan(shape.oc * row);
        let mut rows = RowsMut::new(y.bytes_mut(), shape.oc, row, row);
        for part in parts {
            let mut scratch = Buffer::nan(conv.scratch_bytes());
            let pixels = conv.pixels(&part);
            let y = &mut rows.window(0..shape.oc, bytes * pixels.start..bytes * pixels.end);
            conv.run(Operands { x, packed, relu, scratch: scratch.bytes_mut() }, part, y);
        }
        y
    };
    let whole = run(&conv, [0..conv.tile_rows(), 0..0]);
    let same = |got: &Buffer| got.bytes() == whole.bytes();
    assert!(same(&run(&conv, pieces(conv.tile_rows(), how.rows))), "{name} in parts");

    let (points, row, block) = (algorithm.points(), conv.v_row_bytes(), conv.v_block_bytes());
    let (mut v, mut shared) = (Buffer::nan(points * row), Buffer::nan(whole.bytes().len()));
    let mut scratch = Buffer::nan(conv.shared_scratch_bytes());
    for blocks in pieces(conv.channel_blocks(), how.widths) {
        let mut rows = RowsMut::new(v.bytes_mut(), points, row, row);
        let window = rows.window(0..points, blocks.start * block..blocks.end * block);
        conv.transform(x, blocks, window.cast(), scratch.bytes_mut());
    }
    for blocks in pieces(conv.blocks(), how.blocks) {
        let row = bytes * shape.pixels();
        let mut rows = RowsMut::new(shared.bytes_mut(), shape.oc, row, row);
        let y = &mut rows.window(conv.channels(blocks.clone()), 0..row);
        conv.multiply(Operands { x: v.bytes(), packed, relu, scratch: scratch.bytes_mut() }, blocks, y);
    }
    assert!(same(&shared), "{name} shared");

    let (ih, iw, oh, ow) = (shape.oh, shape.ow, shape.oh.div_ceil(2), shape.ow.div_ceil(2));
    let pool = PoolShape { ih, iw, oh, ow, kernel: 3, stride: 2, pad_t: 0, pad_l: 0 };
    let pooled = run(&conv.with_pool([oh, ow]), pieces(oh, how.rows));
    let expected = max_pool_ref(&pool, &values(whole.bytes(), output));
    assert!(values(pooled.bytes(), output) == expected, "{name} and a pool");
    whole
}
