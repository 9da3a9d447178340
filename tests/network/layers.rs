//! Every layer of the network is compared with an f64 evaluation of its definition, on seeded random weights.

use std::collections::HashMap;

use googlenet::model::{self, AverageWindows, Dialect, Graph, Network, Op, Place};
use googlenet::{Options, isa};
use googlenet_kernels::average_pool::{AveragePoolShape, Windows};
use googlenet_kernels::conv::conv2d_ref;
use googlenet_kernels::lrn::LrnShape;
use googlenet_kernels::pool::PoolShape;
use googlenet_kernels::reference::{
    average_pool_ref, dense_ref, global_average_ref, lrn_ref, max_pool_ref, softmax_ref,
};

/// What one node is by its definition.
struct Definition {
    values: Vec<f64>,
    /// How far each value may be from the engine's, if that computes sums as they are defined, without a transform.
    bounds: Vec<f64>,
}

impl Definition {
    /// Values, each with the bound that `bound` makes of it and its index.
    fn new(values: Vec<f64>, bound: impl Fn(usize, f64) -> f64) -> Self {
        let bounds = values.iter().enumerate().map(|(i, &value)| bound(i, value)).collect();
        Self { values, bounds }
    }

    /// Sums of so many products and a bias, with the sums of their terms' absolute values, above `floor`. Each of the
    /// n + 1 products and additions of which a term is part rounds by EPSILON / 2 at most; taken twice for the products of
    /// these errors that is (n + 1) * EPSILON * sum |w x| (Higham, "Accuracy and Stability of Numerical Algorithms",
    /// 2002, section 3.1). What lies below the floor comes no further from it by being moved there.
    fn of_sums((sums, magnitudes): (Vec<f64>, Vec<f64>), n: usize, floor: f64) -> Self {
        let values = sums.into_iter().map(|sum| sum.max(floor)).collect();
        Self::new(values, |i, _| (n + 1) as f64 * f64::from(f32::EPSILON) * magnitudes[i])
    }
}

/// Runs one node in f64 on the planes `x` of its input. The kernels' own tests derive the bounds of what is not a sum of
/// products, at the place that each says here.
fn layer(graph: &Graph, node: &model::Node, x: &[f32], weights: &HashMap<String, Vec<f32>>) -> Definition {
    let epsilon = f64::from(f32::EPSILON);
    let largest = || x.iter().fold(0.0_f64, |most, &x| most.max(f64::from(x).abs()));
    let [c, h, w] = graph.shape(node.input);
    let [_, oh, ow] = graph.shape(node.output);
    // These are the node's rows of a tensor of its layer, which are not all rows if the layer has groups.
    let rows = |part: &str| {
        let own = node.weights.as_ref().expect("a layer with weights");
        let (all, outputs) = (&weights[&format!("{}.{part}", own.layer)], weights[&own.bias()].len());
        let row = all.len() / outputs;
        &all[own.rows.start * row..own.rows.end * row]
    };
    match &node.op {
        Op::Conv(shape) => Definition::of_sums(conv2d_ref(shape, x, rows("weight"), rows("bias")), shape.steps(), 0.0),
        Op::MaxPool(pool) => {
            let shape = PoolShape {
                ih: h,
                iw: w,
                oh,
                ow,
                kernel: pool.kernel,
                stride: pool.stride,
                pad_t: pool.leading(h),
                pad_l: pool.leading(w),
            };
            Definition::new(max_pool_ref(&shape, x).into_iter().map(f64::from).collect(), |_, _| 0.0)
        }
        Op::Lrn(lrn) => {
            let (size, plane) = (lrn.size, h * w);
            let shape = LrnShape { c, plane, size, alpha: lrn.alpha, beta: lrn.beta, k: lrn.k, scale: 1.0 };
            // `lrn.rs` of the kernels; a scale of 1 does not round.
            Definition::new(lrn_ref(&shape, x), |_, value| (size + 8) as f64 / 2.0 * epsilon * value.abs())
        }
        Op::GlobalAverage => {
            // `average.rs` of the kernels: h * w - 1 additions and a quotient.
            let magnitudes = global_average_ref(&x.iter().map(|x| x.abs()).collect::<Vec<_>>(), h * w);
            Definition::new(global_average_ref(x, h * w), |i, _| (h * w) as f64 * epsilon * magnitudes[i])
        }
        Op::AveragePool(pool) => {
            let windows = match pool.windows {
                AverageWindows::Sliding { kernel, stride } => Windows::Sliding { kernel, stride, pad: 0 },
                AverageWindows::Adaptive(_) => Windows::Adaptive,
            };
            // `average_pool.rs` of the kernels: at most h * w additions and a quotient.
            let bound = (h * w + 1) as f64 * epsilon * largest();
            Definition::new(average_pool_ref(&AveragePoolShape { ih: h, iw: w, oh, ow, windows }, x), |_, _| bound)
        }
        Op::FullyConnected { relu } => {
            let floor = if *relu { 0.0 } else { f64::NEG_INFINITY };
            Definition::of_sums(dense_ref(x, rows("weight"), rows("bias")), x.len(), floor)
        }
        Op::Softmax => {
            // `softmax.rs` of the kernels.
            let fixed = 6.0 + f64::from(x.len().ilog2());
            Definition::new(softmax_ref(x), |_, value| {
                let depth = if value > 0.0 { value.ln().abs() } else { 0.0 };
                epsilon * (fixed + depth) * value + f64::from(f32::MIN_POSITIVE)
            })
        }
    }
}

/// The largest error relative to the largest expected value, and the root mean square error relative to the root mean
/// square of the expected values.
fn errors(got: &[f32], expected: &[f64], name: &str) -> (f64, f64) {
    assert_eq!(got.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0.0_f64, |max, v| max.max(v.abs()));
    assert!(largest > 0.0, "{name} is all zero");
    let squares: f64 = expected.iter().map(|v| v * v).sum();
    let errors = || got.iter().zip(expected).map(|(&g, &e)| (f64::from(g) - e).abs());
    (errors().fold(0.0, f64::max) / largest, (errors().map(|e| e * e).sum::<f64>() / squares).sqrt())
}

/// The largest errors, as the function `errors` measures them, that one layer may have, by the algorithm that computes
/// it. Nothing proves these: they are measured errors with some room, so that a kernel that becomes less exact is noticed
/// long before it reaches the bounds of [`Definition`], which grow with the number of terms, as if every rounding went the
/// same way. What they follow is a random walk: a direct sum of GoogLeNet's longest kind, 1,728 terms of random sign, has
/// as many roundings of half an ulp at most, which come to 42 of them: 2.5e-6. So other networks' bounds grow with the
/// root of the number of their terms. What F(m, r) loses by its points is measured too, by the battery of these
/// algorithms, which also derives what they may lose at most; its sums are over channels, those of the polyphase form
/// where the stride is above 1, of which GoogLeNet has 192 at most.
fn layer_bounds(kernel: &str, op: &Op, inputs: usize) -> (f64, f64) {
    let [terms, channels] = match op {
        Op::Conv(shape) => [shape.steps(), shape.ic * shape.stride_h * shape.stride_w],
        Op::FullyConnected { .. } => [inputs, 0],
        _ => [0; 2],
    };
    let ((max, rms), longer) = match kernel {
        "F(4,3)" | "F(2,5)" => ((1e-5, 2e-6), channels as f64 / 192.0),
        "F(4,5)" | "F(4,4)" => ((3e-5, 6e-6), channels as f64 / 192.0),
        _ => ((3e-6, 1e-6), terms as f64 / 1728.0),
    };
    let longer = longer.sqrt().max(1.0);
    (max * longer, rms * longer)
}

/// The largest errors, as the function `errors` measures them, that any layer may have on top of all the layers before
/// it. These are measured, too; the test prints what it finds. Derived bounds would be multiplied by a layer's
/// sum |w| / |sum w x| from one layer to the next, and say nothing after some twenty layers.
const NETWORK_BOUNDS: (f64, f64) = (4e-5, 1e-5);

/// Compares each layer of `network` with its definition in two ways: the layer alone, whose definition is evaluated on
/// the input that the engine computed for it; and the whole network up to the layer, whose definitions are evaluated on
/// the reference's own values, each rounded to f32 once.
pub fn every_layer_is_its_definition(network: &Network, side: usize) {
    let graph = network.graph_with(side, &network.head_names());
    let weights: HashMap<_, _> =
        crate::tensors::random_tensors(network).into_iter().map(|(name, _, v)| (name, v)).collect();
    let model = crate::random::random_model(network, side);
    let input: Vec<f32> = (0..3 * side * side).map(|i| (i as f32 * 0.731).sin() * 100.0).collect();

    let planes = |place: Place| {
        let plane = graph.activations[place.activation].plane();
        place.channel * plane..(place.channel + place.channels) * plane
    };
    let mut activations: Vec<Vec<f32>> = graph.activations.iter().map(|own| vec![0.0; own.len()]).collect();
    activations[0].copy_from_slice(&input);
    let mut network_outputs = Vec::new();
    for node in &graph.nodes {
        let x = &activations[node.input.activation][planes(node.input)];
        let expected = layer(&graph, node, x, &weights).values;
        let rounded = activations[node.output.activation][planes(node.output)].iter_mut();
        rounded.zip(&expected).for_each(|(rounded, &value)| *rounded = value as f32);
        network_outputs.push(expected);
    }

    for isa in isa::detected() {
        let names = graph.activations[1..].iter().map(|own| &own.name).chain(graph.nodes.iter().map(|n| &n.name));
        let options = names.fold(Options::new().isa(isa), |options, name| options.endpoint(name.clone()));
        let mut session = model.session(options).expect("a session");
        session.input_mut().copy_from_slice(&input);
        session.run();
        let steps = session.describe();
        let mut worst = (0.0_f64, 0.0_f64);
        for (node, network_output) in graph.nodes.iter().zip(&network_outputs) {
            let x = match node.input.activation {
                0 => &input[..],
                own => session.endpoint(&graph.activations[own].name).expect("asked for"),
            };
            let x = &x[planes(node.input)];
            let got = session.endpoint(&node.name).expect("asked for");
            let step = steps.iter().rev().find(|step| step.layers.split(" + ").any(|layer| layer == node.name));
            let kernel = &step.expect("every layer is planned").kernel;
            let (max_bound, rms_bound) = layer_bounds(kernel, &node.op, x.len());
            let definition = layer(&graph, node, x, &weights);
            let (max, rms) = errors(got, &definition.values, &node.name);
            assert!(max <= max_bound && rms <= rms_bound, "{isa}: {} alone: max {max:e}, rms {rms:e}", node.name);
            if !kernel.starts_with("F(") {
                let values = definition.values.iter().zip(&definition.bounds);
                for (i, (&got, (&expected, &bound))) in got.iter().zip(values).enumerate() {
                    let err = (f64::from(got) - expected).abs();
                    assert!(err <= bound, "{isa}: {} at {i}: {got} for {expected}, {err:e} off", node.name);
                }
            }
            let (max, rms) = errors(got, network_output, &node.name);
            let (max_bound, rms_bound) = NETWORK_BOUNDS;
            assert!(max <= max_bound && rms <= rms_bound, "{isa}: up to {}: max {max:e}, rms {rms:e}", node.name);
            worst = (worst.0.max(max), worst.1.max(rms));
        }
        println!(
            "{isa}, {} at side {side}: up to any layer within {:.1e} of the largest, rms {:.1e}",
            network.dialect, worst.0, worst.1
        );
    }
}

#[test]
fn every_layer_at_a_small_side_is_its_definition() {
    every_layer_is_its_definition(&model::googlenet(10), 64);
}

/// These heads average windows of a fixed size; at this side their map is 4x4.
#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "takes minutes where every instruction is emulated")]
fn every_layer_of_heads_with_fixed_windows_is_its_definition() {
    every_layer_is_its_definition(&Dialect::Bvlc.network_with_heads(7), 192);
}

/// These heads average parts of the map, so that their map is 4x4 at any side.
#[test]
fn every_layer_of_heads_with_adaptive_windows_is_its_definition() {
    every_layer_is_its_definition(&Dialect::Torchvision.network_with_heads(7), 96);
}

/// At the networks' own size the plan chooses other algorithms than at small ones.
#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "takes minutes where every instruction is emulated")]
fn every_layer_at_224_is_its_definition() {
    every_layer_is_its_definition(&model::googlenet(10), 224);
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "takes minutes where every instruction is emulated")]
fn every_layer_of_other_networks_is_its_definition() {
    for dialect in [Dialect::Caffenet, Dialect::ZeilerFergus] {
        let network = dialect.network(7);
        every_layer_is_its_definition(&network, network.side);
    }
    // At this side the last map has a pixel or few, which leaves the fully connected layers small.
    for dialect in [Dialect::Krizhevsky, Dialect::OnnxZooAlexnet, Dialect::Zfnet512] {
        every_layer_is_its_definition(&Network { side: 96, ..dialect.network(7) }, 96);
    }
    every_layer_is_its_definition(&Dialect::Naive.network(7), 64);
}

/// At these sides some layers' maps have odd sides, where dialects differ most.
#[test]
fn every_layer_of_other_dialects_is_its_definition() {
    for (dialect, side) in
        [(Dialect::Torchvision, 64), (Dialect::TfSlim, 71), (Dialect::TfSlim, 64), (Dialect::OnnxZoo, 95)]
    {
        every_layer_is_its_definition(&dialect.network(7), side);
    }
}
