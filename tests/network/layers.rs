//! Every layer of the network against an f64 evaluation of its definition, on seeded random weights.

use std::collections::HashMap;

use googlenet::model::{self, Graph, Op};
use googlenet::{Options, isa};
use googlenet_kernels::conv::conv2d_ref;
use googlenet_kernels::lrn::LrnShape;
use googlenet_kernels::pool::PoolShape;
use googlenet_kernels::reference::{dense_ref, global_average_ref, lrn_ref, max_pool_ref, softmax_ref};

/// Runs one layer in f64 on the engine's own input of it, so that each layer is judged alone.
fn layer(graph: &Graph, node: &model::Node, x: &[f32], weights: &HashMap<String, Vec<f32>>) -> Vec<f64> {
    let tensor = &graph.tensors[node.input];
    let y = &graph.tensors[node.output.tensor];
    let w = |part: &str| &weights[&format!("{}.{part}", node.name)][..];
    match &node.op {
        Op::Conv(shape) => conv2d_ref(shape, x, w("weight"), w("bias")).0.into_iter().map(|v| v.max(0.0)).collect(),
        Op::MaxPool(pool) => {
            let shape = PoolShape {
                ih: tensor.h,
                iw: tensor.w,
                oh: y.h,
                ow: y.w,
                kernel: pool.kernel,
                stride: pool.stride,
                pad_t: pool.pad,
                pad_l: pool.pad,
            };
            max_pool_ref(&shape, x).into_iter().map(f64::from).collect()
        }
        Op::Lrn(lrn) => {
            let (c, plane) = (tensor.c, tensor.plane());
            lrn_ref(&LrnShape { c, plane, size: lrn.size, alpha: lrn.alpha, beta: lrn.beta, k: lrn.k }, x)
        }
        Op::GlobalAverage => global_average_ref(x, tensor.plane()),
        Op::FullyConnected => dense_ref(x, w("weight"), w("bias")).0,
        Op::Softmax => softmax_ref(x),
    }
}

#[test]
fn every_layer_is_its_definition() {
    let network = model::googlenet(10);
    let side = 64;
    let graph = network.graph(side);
    let weights: HashMap<_, _> =
        crate::random::random_tensors(&network).into_iter().map(|(name, _, v)| (name, v)).collect();
    let model = crate::random::random_model(&network, side);
    let input: Vec<f32> = (0..3 * side * side).map(|i| (i as f32 * 0.731).sin() * 100.0).collect();
    for isa in isa::detected() {
        let names = graph.tensors[1..].iter().map(|t| &t.name).chain(graph.nodes.iter().map(|n| &n.name));
        let options = names.fold(Options::new().isa(isa), |options, name| options.endpoint(name.clone()));
        let mut session = model.session(options).expect("a session");
        session.input_mut().copy_from_slice(&input);
        session.run();
        for node in &graph.nodes {
            let x = match node.input {
                0 => &input[..],
                tensor => session.endpoint(&graph.tensors[tensor].name).expect("asked for"),
            };
            let expected = layer(&graph, node, x, &weights);
            let got = session.endpoint(&node.name).expect("asked for");
            assert_eq!(got.len(), expected.len(), "{}", node.name);
            let largest = expected.iter().fold(0.0_f64, |max, v| max.max(v.abs()));
            let squares: f64 = expected.iter().map(|v| v * v).sum();
            let errors = || got.iter().zip(&expected).map(|(&g, &e)| (f64::from(g) - e).abs());
            let worst = errors().fold(0.0, f64::max) / largest;
            let rms = (errors().map(|e| e * e).sum::<f64>() / squares).sqrt();
            // One layer of direct convolution: 3e-6 of the largest value, 1e-6 in the root mean square. They hold
            // for random signs: the 1,152 terms of the longest sum here round like a random walk of 34 steps of half
            // an ulp, 2e-6 of the terms' size.
            assert!(largest > 0.0, "{isa}: {} is all zero", node.name);
            assert!(worst <= 3e-6 && rms <= 1e-6, "{isa}: {}: max {worst:e}, rms {rms:e}", node.name);
        }
    }
}
