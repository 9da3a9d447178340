//! Every distinct layer shape of GoogLeNet at 224x224, on every kernel of every set this machine has.
//!
//! Names are `family/layer/set kernel`; throughput counts multiply-adds of a convolution, elements of the others. One
//! thread, warm weights; packing weights is not timed, packing panels is.

use std::collections::HashSet;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use googlenet::model::{self, Op, Place};
use googlenet_kernels::conv;
use googlenet_kernels::view::RowsMut;
use googlenet_kernels::{average, dense, isa, lrn, pool, winograd};

fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 0.61).sin()).collect()
}

fn convolutions(c: &mut Criterion) {
    let mut seen = HashSet::new();
    for node in model::googlenet(1000).graph(224).nodes {
        let Op::Conv(shape) = node.op else { continue };
        if !seen.insert(shape) {
            continue;
        }
        let mut group = c.benchmark_group(format!("conv/{}", node.name.replace('/', "_")));
        group.throughput(Throughput::Elements(shape.multiply_adds()));
        let (x, w) = (values(shape.ic * shape.ih * shape.iw), values(shape.oc * shape.steps()));
        let (bias, mut y) = (values(shape.oc), vec![0.0; shape.oc * shape.pixels()]);
        for isa in isa::detected() {
            for kernel in conv::kernels(isa) {
                let mut packed = vec![0.0; conv::packed_len(kernel, shape.oc, shape.steps())];
                kernel.pack_weights(&shape, &w, &bias, &mut packed);
                let mut panel = vec![0.0; kernel.panel_len(&shape)];
                let in_place = shape.is_pointwise() && kernel.reads_in_place();
                group.bench_function(format!("{isa} {}", kernel.name()), |b| {
                    b.iter(|| kernel.convolve(&shape, black_box(&x), &packed, true, in_place, &mut panel, &mut y));
                });
            }
            for form in winograd::algorithms(isa).iter().filter(|form| form.fits(&shape)) {
                let mut packed = vec![0.0; form.packed_len(&shape)];
                form.pack_weights(&shape, &w, &bias, &mut packed);
                let rows = form.grid(&shape).rows.min(2);
                let mut scratch = vec![0.0; form.scratch_len(&shape, rows)];
                group.bench_function(format!("{isa} {}", form.name()), |b| {
                    b.iter(|| {
                        let (tiles, plane) = (0..form.grid(&shape).rows, shape.pixels());
                        let mut y = RowsMut::new(&mut y, shape.oc, plane, plane);
                        form.convolve(&shape, black_box(&x), &packed, true, tiles, rows, &mut y, &mut scratch);
                    });
                });
            }
        }
    }
}

fn others(c: &mut Criterion) {
    let graph = model::googlenet(1000).graph(224);
    let mut seen = HashSet::new();
    for node in &graph.nodes {
        let activation = |place: Place| &graph.activations[place.activation];
        let (input, output) = (activation(node.input), activation(node.output));
        let (x, mut y) = (values(input.len()), vec![0.0; output.len()]);
        let family = match node.op {
            Op::MaxPool(_) => "pool",
            Op::Lrn(_) => "lrn",
            Op::GlobalAverage => "average",
            Op::FullyConnected { .. } => "dense",
            Op::Conv(_) | Op::AveragePool(_) | Op::Softmax => continue,
        };
        if !seen.insert((family, input.len(), output.len())) {
            continue;
        }
        let mut group = c.benchmark_group(format!("{family}/{}", node.name.replace('/', "_")));
        group.throughput(Throughput::Elements(input.len() as u64));
        for isa in isa::detected() {
            let name = isa.name();
            match &node.op {
                Op::MaxPool(p) => {
                    let (ih, iw, oh, ow) = (input.h, input.w, output.h, output.w);
                    let (kernel, stride) = (p.kernel, p.stride);
                    let shape =
                        pool::PoolShape { ih, iw, oh, ow, kernel, stride, pad_t: p.leading(ih), pad_l: p.leading(iw) };
                    group.bench_function(name, |b| {
                        b.iter(|| pool::select(isa)(pool::MaxPool { shape: &shape, x: black_box(&x), y: &mut y }))
                    });
                }
                Op::Lrn(l) => {
                    let (c, plane) = (input.c, input.plane());
                    y.copy_from_slice(&x);
                    let shape = lrn::LrnShape { c, plane, size: l.size, alpha: l.alpha, beta: l.beta, k: l.k };
                    group.bench_function(name, |b| {
                        b.iter(|| {
                            let y = RowsMut::new(black_box(&mut y), c, plane, plane);
                            lrn::select(isa)(lrn::Lrn { shape: &shape, y });
                        });
                    });
                }
                Op::GlobalAverage => {
                    let plane = input.plane();
                    group.bench_function(name, |b| {
                        b.iter(|| average::select(isa)(average::GlobalAverage { x: black_box(&x), plane, y: &mut y }))
                    });
                }
                _ => {
                    let (w, bias) = (values(input.len() * output.c), values(output.c));
                    group.bench_function(name, |b| {
                        b.iter(|| dense::select(isa)(dense::Dense { x: black_box(&x), w: &w, bias: &bias, y: &mut y }))
                    });
                }
            }
        }
    }
}

criterion_group!(benches, convolutions, others);
criterion_main!(benches);
