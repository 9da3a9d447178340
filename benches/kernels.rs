//! The speed of every kernel of every set that this machine has, on every distinct layer shape of GoogLeNet at 224x224, of
//! Krizhevsky's network at 227x227 and the Zeiler-Fergus network at 224x224.
//!
//! The benches' names are `family/layer/set kernel`, and `family/dialect_layer/set kernel` of other networks than
//! GoogLeNet. Throughput counts the multiply-adds of a convolution, and the elements of any other layer. One thread runs on
//! warm weights, but for the large fully connected layer (`large`). The time of packing weights is left out, that of
//! gathering panels is not. Convolutions run in the nests that the plan runs; of a layer of groups one group runs.

use std::collections::HashSet;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use googlenet::model::{Dialect, Graph, Op, Place};
use googlenet_kernels::conv::{self, Direct, Operands};
use googlenet_kernels::dense::Matrix;
use googlenet_kernels::element::{Bf16, Element};
use googlenet_kernels::narrow::Arithmetic;
use googlenet_kernels::view::RowsMut;
use googlenet_kernels::winograd::Transformed;
use googlenet_kernels::{average, dense, isa, lrn, narrow, pool, winograd};

fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 0.61).sin()).collect()
}

/// Memory that begins with `values` as elements, of bytes those of values from 0 to 1.
fn stored(element: Element, values: &[f32]) -> Vec<f32> {
    let mut memory = values.to_vec();
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
    for (place, &v) in bytes.chunks_exact_mut(element.bytes()).zip(values) {
        match element {
            Element::F32 => {}
            Element::Bf16 => place.copy_from_slice(&Bf16::from_f32(v).0.to_ne_bytes()),
            Element::U8 => place[0] = (v * 255.0) as u8,
        }
    }
    memory
}

/// The first `n` elements of memory.
fn bytes(memory: &[f32], element: Element, n: usize) -> &[u8] {
    &bytemuck::cast_slice(memory)[..n * element.bytes()]
}

/// The first `n` elements of memory, to be changed.
fn bytes_mut(memory: &mut [f32], element: Element, n: usize) -> &mut [u8] {
    &mut bytemuck::cast_slice_mut(memory)[..n * element.bytes()]
}

/// The name of a set's kernel of an element; of f32 the set's own, as it is of families that have no other.
fn of(name: &str, element: Element) -> String {
    if element == Element::F32 { name.into() } else { format!("{name} {}", element.name()) }
}

/// The bytes that a convolution works on at a time, as in plans for AVX2: its panels, or transformed inputs and
/// products.
const GROUP_BYTES: usize = 256 * 1024;

fn operands<'a>(x: &'a [f32], packed: &'a [f32], scratch: &'a mut [f32]) -> Operands<'a> {
    let (packed, scratch) = (bytemuck::cast_slice(packed), bytemuck::cast_slice_mut(scratch));
    Operands { x, packed, relu: true, scratch }
}

/// Each network, and what the names of its layers begin with.
fn networks() -> [(String, Graph); 3] {
    [Dialect::Bvlc, Dialect::Krizhevsky, Dialect::ZeilerFergus].map(|dialect| {
        let prefix = if dialect == Dialect::Bvlc { String::new() } else { format!("{dialect}_") };
        let network = dialect.network(1000);
        (prefix, network.graph(network.side))
    })
}

fn convolutions(c: &mut Criterion) {
    let mut seen = HashSet::new();
    let networks = networks();
    for (prefix, node) in networks.iter().flat_map(|(prefix, graph)| graph.nodes.iter().map(move |node| (prefix, node)))
    {
        let Op::Conv(shape) = node.op else { continue };
        if !seen.insert(shape) {
            continue;
        }
        let mut group = c.benchmark_group(format!("conv/{prefix}{}", node.name.replace('/', "_")));
        group.throughput(Throughput::Elements(shape.multiply_adds()));
        let (x, w) = (values(shape.ic * shape.ih * shape.iw), values(shape.oc * shape.steps()));
        let (bias, mut y) = (values(shape.oc), vec![0.0; shape.oc * shape.pixels()]);
        for isa in isa::detected() {
            for kernel in conv::kernels(isa) {
                let in_place = shape.is_pointwise() && kernel.reads_in_place();
                let conv = Direct::new(*kernel, shape, &[shape.oc], in_place, GROUP_BYTES);
                let mut packed = vec![0.0; conv.packed_bytes() / 4];
                conv.pack(0, &w, &bias, bytemuck::cast_slice_mut(&mut packed));
                let mut scratch = vec![0.0; conv.scratch_bytes() / 4];
                group.bench_function(format!("{isa} {}", kernel.name()), |b| {
                    b.iter(|| {
                        let y = RowsMut::new(&mut y, shape.oc, shape.pixels(), shape.pixels());
                        let operands = operands(black_box(&x), &packed, &mut scratch);
                        conv.run(operands, 0..conv.tiles(), 0..conv.blocks(), &mut [Some(y)]);
                    });
                });
            }
            let algorithms = winograd::algorithms(isa).iter().chain(winograd::bf16_algorithms(isa));
            for algorithm in algorithms.filter(|algorithm| algorithm.fits(&shape)) {
                let conv = Transformed::new(*algorithm, shape, [Element::F32; 2], GROUP_BYTES);
                let mut packed = vec![0_u32; conv.packed_bytes() / 4];
                conv.pack(&w, &bias, bytemuck::cast_slice_mut(&mut packed));
                let mut scratch = vec![0_u32; conv.scratch_bytes() / 4];
                group.bench_function(format!("{isa} {}", algorithm.name()), |b| {
                    b.iter(|| {
                        let row = 4 * shape.pixels();
                        let mut y = RowsMut::new(bytemuck::cast_slice_mut(&mut y), shape.oc, row, row);
                        let (packed, scratch) = (bytemuck::cast_slice(&packed), bytemuck::cast_slice_mut(&mut scratch));
                        let x = bytemuck::cast_slice(black_box(&x));
                        let operands = winograd::Operands { x, packed, relu: true, scratch };
                        conv.run(operands, 0..conv.tile_rows(), &mut y);
                    });
                });
            }
        }
    }
}

/// Convolutions by their definition on narrow elements, from bytes to bytes.
fn narrow(c: &mut Criterion) {
    let mut seen = HashSet::new();
    let networks = networks();
    for (prefix, node) in networks.iter().flat_map(|(prefix, graph)| graph.nodes.iter().map(move |node| (prefix, node)))
    {
        let Op::Conv(shape) = node.op else { continue };
        if !seen.insert(shape) {
            continue;
        }
        let mut group = c.benchmark_group(format!("narrow/{prefix}{}", node.name.replace('/', "_")));
        group.throughput(Throughput::Elements(shape.multiply_adds()));
        let x: Vec<u8> = (0..shape.ic * shape.ih * shape.iw).map(|i| (i * 37 % 251) as u8).collect();
        let w = values(shape.oc * shape.steps());
        let bytes: Vec<i8> = w.iter().map(|w| (w * 60.0) as i8).collect();
        let (bias, mut y) = (values(shape.oc), vec![0; shape.oc * shape.pixels()]);
        for (isa, kernel) in isa::detected().flat_map(|isa| narrow::kernels(isa).map(move |kernel| (isa, kernel))) {
            let conv = narrow::Direct::new(kernel, shape, &[shape.oc], Element::U8, Element::U8, GROUP_BYTES);
            let mut packed = vec![0_u32; conv.packed_bytes() / 4];
            let into = bytemuck::cast_slice_mut(&mut packed);
            match kernel.arithmetic() {
                Arithmetic::Int8 => conv.pack_int8(0, &bytes, &vec![1e-3; shape.oc], &bias, into),
                Arithmetic::Bf16 => conv.pack_bf16(0, &w, &bias, into),
            }
            let mut scratch = vec![0_u32; conv.scratch_bytes() / 4];
            let instruction = kernel.instruction().unwrap_or("no instruction");
            group.bench_function(format!("{isa} {} {instruction}", kernel.name()), |b| {
                b.iter(|| {
                    let y = RowsMut::new(&mut y, shape.oc, shape.pixels(), shape.pixels());
                    let (packed, scratch) = (bytemuck::cast_slice(&packed), bytemuck::cast_slice_mut(&mut scratch));
                    let operands = narrow::Operands { x: black_box(&x), packed, relu: true, scratch };
                    conv.run(operands, 0..conv.tiles(), 0..conv.blocks(), &mut [Some(y)]);
                });
            });
        }
    }
}

/// Transformed convolutions from bytes to bytes, of which the integer one reads nothing else.
fn transformed_bytes(c: &mut Criterion) {
    let mut seen = HashSet::new();
    let networks = networks();
    for (prefix, node) in networks.iter().flat_map(|(prefix, graph)| graph.nodes.iter().map(move |node| (prefix, node)))
    {
        let Op::Conv(shape) = node.op else { continue };
        if !seen.insert(shape) {
            continue;
        }
        let mut group = c.benchmark_group(format!("transformed/{prefix}{}", node.name.replace('/', "_")));
        group.throughput(Throughput::Elements(shape.multiply_adds()));
        let x: Vec<u8> = (0..shape.ic * shape.ih * shape.iw).map(|i| (i * 37 % 251) as u8).collect();
        let (w, bias) = (values(shape.oc * shape.steps()), values(shape.oc));
        let mut y = vec![0; shape.oc * shape.pixels()];
        for isa in isa::detected() {
            let integer = std::iter::once(winograd::integer_algorithm(isa));
            let algorithms = winograd::algorithms(isa).iter().chain(winograd::bf16_algorithms(isa)).chain(integer);
            for algorithm in algorithms.filter(|algorithm| algorithm.fits(&shape)) {
                let conv = Transformed::new(*algorithm, shape, [Element::U8; 2], GROUP_BYTES);
                let mut packed = vec![0_u32; conv.packed_bytes() / 4];
                conv.pack(&w, &bias, bytemuck::cast_slice_mut(&mut packed));
                let mut scratch = vec![0_u32; conv.scratch_bytes() / 4];
                group.bench_function(format!("{isa} {}", algorithm.name()), |b| {
                    b.iter(|| {
                        let mut y = RowsMut::new(&mut y, shape.oc, shape.pixels(), shape.pixels());
                        let (packed, scratch) = (bytemuck::cast_slice(&packed), bytemuck::cast_slice_mut(&mut scratch));
                        let operands = winograd::Operands { x: black_box(&x), packed, relu: true, scratch };
                        conv.run(operands, 0..conv.tile_rows(), &mut y);
                    });
                });
            }
        }
    }
}

fn others(c: &mut Criterion) {
    let mut seen = HashSet::new();
    let networks = networks();
    let nodes = networks.iter().flat_map(|named| named.1.nodes.iter().map(move |node| (named, node)));
    for ((prefix, graph), node) in nodes {
        let activation = |place: Place| &graph.activations[place.activation];
        let (input, output) = (activation(node.input), activation(node.output));
        let (x, mut y) = (values(input.len()), vec![0.0; output.len()]);
        let family = match node.op {
            Op::MaxPool(_) => "pool",
            Op::Lrn(_) => "lrn",
            Op::GlobalAverage => "average",
            // The weights of the others come from memory, see `large`.
            Op::FullyConnected { .. } if prefix.is_empty() => "dense",
            Op::FullyConnected { .. } | Op::Conv(_) | Op::AveragePool(_) | Op::Softmax => continue,
        };
        if !seen.insert((family, input.len(), output.len())) {
            continue;
        }
        let mut group = c.benchmark_group(format!("{family}/{prefix}{}", node.name.replace('/', "_")));
        group.throughput(Throughput::Elements(input.len() as u64));
        for isa in isa::detected() {
            let name = isa.name();
            match &node.op {
                Op::MaxPool(p) => {
                    let (ih, iw, oh, ow) = (input.h, input.w, output.h, output.w);
                    let (kernel, stride) = (p.kernel, p.stride);
                    let shape =
                        pool::PoolShape { ih, iw, oh, ow, kernel, stride, pad_t: p.leading(ih), pad_l: p.leading(iw) };
                    for element in [Element::F32, Element::Bf16, Element::U8] {
                        let (x, kernel) = (stored(element, &x), pool::select(isa, element));
                        group.bench_function(of(name, element), |b| {
                            b.iter(|| {
                                let x = black_box(bytes(&x, element, input.len()));
                                kernel(pool::MaxPool { shape: &shape, x, y: bytes_mut(&mut y, element, output.len()) });
                            });
                        });
                    }
                }
                Op::Lrn(l) => {
                    let (c, plane) = (input.c, input.plane());
                    y.copy_from_slice(&x);
                    let shape =
                        lrn::LrnShape { c, plane, size: l.size, alpha: l.alpha, beta: l.beta, k: l.k, scale: 1.0 };
                    group.bench_function(name, |b| {
                        let kernel = lrn::select(isa, Element::F32, Element::F32);
                        b.iter(|| {
                            let y = bytes_mut(black_box(&mut y), Element::F32, output.len());
                            kernel(lrn::Lrn { shape: &shape, x: None, y: RowsMut::new(y, c, plane * 4, plane * 4) });
                        });
                    });
                    for (from, to) in [(Element::F32, Element::U8), (Element::Bf16, Element::Bf16)] {
                        let shape = lrn::LrnShape { scale: if to == Element::U8 { 255.0 } else { 1.0 }, ..shape };
                        let (x, row) = (stored(from, &x), plane * to.bytes());
                        group.bench_function(format!("{name} {} to {}", from.name(), to.name()), |b| {
                            let kernel = lrn::select(isa, from, to);
                            b.iter(|| {
                                let x = black_box(bytes(&x, from, input.len()));
                                let y = RowsMut::new(bytes_mut(&mut y, to, output.len()), c, row, row);
                                kernel(lrn::Lrn { shape: &shape, x: Some((x, 0)), y });
                            });
                        });
                    }
                }
                Op::GlobalAverage => {
                    let plane = input.plane();
                    for element in [Element::F32, Element::Bf16, Element::U8] {
                        let (x, kernel) = (stored(element, &x), average::select(isa, element));
                        group.bench_function(of(name, element), |b| {
                            b.iter(|| {
                                let x = black_box(bytes(&x, element, input.len()));
                                kernel(average::GlobalAverage { x, plane, scale: 1.0, y: &mut y });
                            });
                        });
                    }
                }
                _ => {
                    let dense = dense::Dense::new(isa, input.len(), output.c);
                    let (w, bias) = (values(input.len() * output.c), values(output.c));
                    let (matrix, packed) = (Matrix::F32(&w), bytemuck::cast_slice(&bias));
                    group.bench_function(name, |b| {
                        b.iter(|| {
                            let operands = dense::Operands { x: black_box(&x), matrix, packed, relu: false };
                            dense.run(operands, 0..dense.outputs(), &mut y);
                        })
                    });
                }
            }
        }
    }
}

/// A fully connected layer whose weights come from memory, beside a plain read of the same bytes: throughput is that of
/// bytes. Several threads share the outputs.
fn large(c: &mut Criterion) {
    const INPUTS: usize = 9216;
    const OUTPUTS: usize = 4096;
    let (x, bias) = (values(INPUTS), values(OUTPUTS));
    let w = values(INPUTS * OUTPUTS);
    // The bits of f16 from 1/8 to 1/4, of either sign.
    let halves: Vec<u16> = (0..w.len()).map(|i| (i * 7919) as u16 & 0x83FF | 0x3000).collect();
    for (name, matrix, bytes) in [
        ("f32", Matrix::F32(&w), bytemuck::cast_slice::<_, u8>(&w)),
        ("f16", Matrix::F16(&halves), bytemuck::cast_slice(&halves)),
    ] {
        for threads in [1, 2] {
            let mut group = c.benchmark_group(format!("dense/9216x4096_{name}_{threads}"));
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            group.bench_function("read", |b| {
                b.iter(|| {
                    let part = bytes.len() / threads;
                    std::thread::scope(|scope| {
                        let (own, others) = black_box(bytes).split_at(part);
                        others.chunks_exact(part).for_each(|part| drop(scope.spawn(|| black_box(read(part)))));
                        black_box(read(own));
                    });
                });
            });
            for isa in isa::detected() {
                let dense = dense::Dense::new(isa, INPUTS, OUTPUTS);
                let mut y = vec![0.0; OUTPUTS];
                group.bench_function(isa.name(), |b| {
                    b.iter(|| {
                        let packed = bytemuck::cast_slice(&bias);
                        let operands = || dense::Operands { x: black_box(&x), matrix, packed, relu: true };
                        let part = OUTPUTS / threads;
                        std::thread::scope(|scope| {
                            let (dense, (own, others)) = (&dense, y.split_at_mut(part));
                            for (i, y) in others.chunks_exact_mut(part).enumerate() {
                                scope.spawn(move || dense.run(operands(), (i + 1) * part..(i + 2) * part, y));
                            }
                            dense.run(operands(), 0..part, own);
                        });
                    });
                });
            }
        }
    }
}

/// Reads every byte, as fast as they come: at four places at once, as rows are, which is half as fast again as at one.
fn read(bytes: &[u8]) -> u64 {
    let lines = bytemuck::cast_slice::<u8, [u64; 8]>(bytes);
    let quarter = lines.len() / 4;
    let (low, high) = lines.split_at(2 * quarter);
    let ((a, b), (c, d)) = (low.split_at(quarter), high.split_at(quarter));
    let mut sums = [0; 8];
    for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
        for (word, sum) in sums.iter_mut().enumerate() {
            *sum ^= a[word] ^ b[word] ^ c[word] ^ d[word];
        }
    }
    sums.into_iter().fold(0, |sum, word| sum ^ word)
}

criterion_group!(benches, convolutions, narrow, transformed_bytes, others, large);
criterion_main!(benches);
