//! Lower precisions: integers are exact through the whole plan, bits depend on nothing but the weights and the instruction
//! set, and logits stay near those in f32.

use googlenet::model::{self, Network, Op, Place};
use googlenet::quantise::{Calibration, Clipping, Distance};
use googlenet::{Model, Options, Precision, isa};
use googlenet_kernels::conv::conv2d_ref;
use googlenet_kernels::narrow::{conv2d_int8_ref, quantise};

/// The values of one of several pictures, each of which is unlike the others.
fn picture(index: usize, side: usize) -> Vec<f32> {
    (0..3 * side * side).map(|i| (i as f32 * (0.731 + 0.01 * index as f32)).sin() * 100.0).collect()
}

/// Seeded random weights of `network`, with scales that some pictures gave.
fn quantised(network: &Network, side: usize) -> Model {
    let mut calibration = Calibration::new(&crate::random::random_model(network, side), 1).expect("a calibration");
    for index in 0..4 {
        calibration.input_mut().copy_from_slice(&picture(index, side));
        calibration.observe().expect("finite values");
    }
    calibration.quantise(Clipping::Maximum, true).expect("scales").model().expect("a model")
}

#[test]
fn threads_slots_and_runs_give_the_same_bits() {
    let side = 64;
    let model = quantised(&model::googlenet(10), side);
    for (precision, isa) in
        [Precision::Bf16, Precision::Int8].into_iter().flat_map(|p| isa::detected().map(move |isa| (p, isa)))
    {
        let options = || Options::new().isa(isa).precision(precision);
        let mut one = model.session(options()).expect("a session");
        let mut alone = |index: usize| -> Vec<u32> {
            one.input_mut().copy_from_slice(&picture(index, side));
            one.run();
            one.logits().iter().map(|value| value.to_bits()).collect()
        };
        let expected: Vec<Vec<u32>> = (0..3).map(&mut alone).collect();
        assert!(expected.windows(2).all(|pair| pair[0] != pair[1]), "the pictures give different logits");
        for (threads, batch, kept) in [(1, 3, ""), (2, 1, ""), (3, 2, "conv1/7x7_s2"), (8, 1, "inception_4a")] {
            let options = options().threads(threads).batch(batch);
            let options = if kept.is_empty() { options } else { options.endpoint(kept) };
            let mut session = model.session(options).expect("a session");
            for (slot, input) in session.input_mut().chunks_exact_mut(3 * side * side).enumerate() {
                input.copy_from_slice(&picture(slot, side));
            }
            for run in 0..2 {
                session.run();
                for (slot, logits) in session.logits().chunks_exact(10).enumerate() {
                    let same = logits.iter().map(|value| value.to_bits()).eq(expected[slot].iter().copied());
                    assert!(same, "{isa} {precision}: {threads} threads, slot {slot} of {batch}, run {run}");
                }
            }
        }
    }
}

/// Every convolution that computes in integers by its definition gives, on the bytes that it reads in a session, the very
/// bytes or f32 that its definition does; so the scales, the weights and the place of each branch are what they should be. One
/// that is transformed in integers gives what its weights in f32 do, but for a rounding of the transformed filters.
fn every_integer_layer_is_its_definition(network: &Network, side: usize, least: usize) {
    let model = quantised(network, side);
    let graph = network.graph(side);
    let tensor = |name: String| model.weights().tensor(&name).expect("a tensor").to_f32().into_owned();
    for isa in isa::detected() {
        let names = graph.activations[1..].iter().map(|own| own.name.clone());
        let options = names.fold(Options::new().isa(isa).precision(Precision::Int8), Options::endpoint);
        let mut session = model.session(options).expect("a session");
        session.input_mut().copy_from_slice(&picture(1, side));
        session.run();
        let values = |place: Place| {
            let activation = &graph.activations[place.activation];
            let all = session.endpoint(&activation.name).expect("it was asked for");
            &all[place.channel * activation.plane()..][..place.channels * activation.plane()]
        };
        let steps = session.describe();
        let mut checked = 0;
        for node in &graph.nodes {
            let own_step = |step: &&_| {
                let step: &googlenet::StepDescription = step;
                step.precision == Precision::Int8 && step.layers.split(" + ").any(|layer| layer == node.name)
            };
            let (Op::Conv(shape), Some(step)) = (&node.op, steps.iter().find(own_step)) else { continue };
            let own = node.weights.as_ref().expect("a convolution has weights");
            // The input's scale is that of any convolution, or of the normalisation, whose outputs it is.
            let scale_of = |place: Place| {
                let joined = graph.joined();
                let writers =
                    graph.nodes.iter().filter(|other| joined[other.output.activation] == joined[place.activation]);
                let mut scales = writers.filter_map(|writer| {
                    let tensor = model.weights().tensor(&format!("{}.output_scale", writer.layer()))?;
                    Some(tensor.to_f32()[0])
                });
                scales.next().expect("what is stored in bytes has a scale")
            };
            let input_scale = scale_of(node.input);
            let x: Vec<u8> = values(node.input).iter().map(|value| (value / input_scale).round() as u8).collect();
            let to_bytes = step.elements[1] == "u8";
            let output_scale = if to_bytes { scale_of(node.output) } else { 1.0 };
            if step.kernel.starts_with("i16") {
                let rows = own.rows.start * shape.steps()..own.rows.end * shape.steps();
                let (w, bias) = (&tensor(own.weight())[rows], &tensor(own.bias())[own.rows.clone()]);
                let x: Vec<f32> = x.iter().map(|&byte| f32::from(byte) * input_scale).collect();
                let (sums, magnitudes) = conv2d_ref(shape, &x, w, bias);
                let outputs = values(node.output).iter().zip(sums.iter().zip(&magnitudes));
                for (i, (&got, (&sum, &magnitude))) in outputs.enumerate() {
                    let largest = if to_bytes { 255.0 * f64::from(output_scale) } else { f64::INFINITY };
                    let expected = sum.clamp(0.0, largest);
                    // What is stored is rounded, to bytes or to bf16; the kernels' tests derive what the filters' rounding
                    // may amount to, of which a thousandth of the magnitudes is more than it does.
                    let stored = if to_bytes { 0.5 * f64::from(output_scale) } else { expected / 256.0 };
                    let bound = 1.001 * stored + 1e-3 * magnitude;
                    assert!((f64::from(got) - expected).abs() <= bound, "{isa} {} at {i}: {got} for {sum}", node.name);
                }
                checked += 1;
                continue;
            }
            let (w, scales) = (tensor(own.weight()), tensor(format!("{}.weight_scale", own.layer)));
            let biases = tensor(format!("{}.int8_bias", own.layer));
            let rows = &w[own.rows.start * shape.steps()..own.rows.end * shape.steps()];
            let mut q = vec![0; rows.len()];
            for ((w, q), scale) in
                rows.chunks_exact(shape.steps()).zip(q.chunks_exact_mut(shape.steps())).zip(&scales[own.rows.clone()])
            {
                quantise(w, *scale, q);
            }
            let sums = conv2d_int8_ref(shape, &x, &q);
            for (i, (&got, &sum)) in values(node.output).iter().zip(&sums).enumerate() {
                let o = own.rows.start + i / shape.pixels();
                let value = sum as f32 * (scales[o] * input_scale / output_scale) + biases[o] / output_scale;
                let expected =
                    if to_bytes { value.clamp(0.0, 255.0).round_ties_even() * output_scale } else { value.max(0.0) };
                let expected = if step.elements[1] == "bf16" {
                    googlenet_kernels::element::Bf16::from_f32(expected).to_f32()
                } else {
                    expected
                };
                assert_eq!(got, expected, "{isa} {} at {i}", node.name);
            }
            checked += 1;
        }
        assert!(checked >= least, "{isa}: {checked} layers in integers");
    }
}

#[test]
fn every_integer_layer_of_googlenet_is_its_definition() {
    every_integer_layer_is_its_definition(&model::googlenet(10), 64, 37);
}

#[test]
fn every_integer_layer_of_groups_and_joined_pools_is_its_definition() {
    let mut small = crate::table::small();
    small.side = 64;
    every_integer_layer_is_its_definition(&small, 64, 4);
}

/// How far logits of a lower precision are from those in f32, over some pictures, by the RMS of the latter. Random weights
/// bear lower precision about as trained ones do.
#[test]
fn logits_stay_near_those_in_f32() {
    let side = 96;
    let model = quantised(&model::googlenet(10), side);
    for isa in isa::detected() {
        for (precision, most) in [(Precision::Bf16, 0.02), (Precision::Int8, 0.05)] {
            let session = |precision| model.session(Options::new().isa(isa).precision(precision)).expect("a session");
            let (mut exact, mut lower) = (session(Precision::F32), session(precision));
            let mut distance = Distance::default();
            for index in 4..10 {
                for session in [&mut exact, &mut lower] {
                    session.input_mut().copy_from_slice(&picture(index, side));
                    session.run();
                }
                distance.add(exact.logits(), lower.logits());
            }
            println!("{isa} {precision}: {:.2} %", 100.0 * distance.rms_error());
            assert!(
                distance.rms_error() > 0.0 && distance.rms_error() <= most,
                "{isa} {precision}: {}",
                distance.rms_error()
            );
        }
    }
}

#[test]
fn int8_of_weights_that_were_not_quantised_is_refused() {
    let model = crate::random::random_model(&model::googlenet(10), 64);
    let error = model.session(Options::new().precision(Precision::Int8)).err().expect("refused");
    assert!(error.to_string().contains("not quantised"), "{error}");
    assert!(model.is_packed_for(&Options::new().precision(Precision::Int8)).is_err());
}
