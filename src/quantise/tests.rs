//! Tests of calibration and of the files that come of it, on a small network with groups and pools that join activations.

use std::collections::BTreeMap;

use googlenet_kernels::narrow::quantise;

use super::*;
use crate::model::small::small;
use crate::weights::{Dtype, NewTensor, Weights, encode};
use crate::{Model, Options, Result, Session};

/// Numbers from -1 to 1, always the same (Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8, 2003).
fn noise(seed: u32) -> impl FnMut() -> f32 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    }
}

/// The small network, after `change` was done to its random weights.
fn model(change: impl FnOnce(&mut BTreeMap<String, Vec<f32>>)) -> Model {
    let mut noise = noise(7);
    let parameters = small().parameters();
    let mut values: BTreeMap<String, Vec<f32>> = parameters
        .iter()
        .map(|(name, shape)| {
            let fan_in: usize = shape[1..].iter().product();
            let size = if fan_in == 1 { 0.1 } else { 1.7 / (fan_in as f32).sqrt() };
            (name.clone(), (0..shape.iter().product()).map(|_| size * noise()).collect())
        })
        .collect();
    change(&mut values);
    let keys = [
        ("dialect", "bvlc"),
        ("input_side", "32"),
        ("channels", "bgr"),
        ("mean", "104,117,123"),
        ("std", "1,1,1"),
        ("resize", "32"),
    ];
    let metadata = keys.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let tensors: Vec<_> = parameters
        .iter()
        .map(|(name, shape)| NewTensor { name, shape, dtype: Dtype::F32, values: values[name].as_slice().into() })
        .collect();
    let weights = Weights::from_vec(encode(&metadata, &tensors).expect("a file")).expect("a file");
    Model::with_network(weights, small()).expect("the network's own tensors")
}

fn fill(input: &mut [f32], seed: u32) {
    let mut noise = noise(seed);
    input.iter_mut().for_each(|value| *value = 50.0 * noise());
}

/// What two images tell of `model`.
fn observed(model: &Model) -> Result<Calibration> {
    let mut calibration = Calibration::new(model, 1)?;
    for seed in [3, 5] {
        fill(calibration.input_mut(), seed);
        calibration.observe()?;
    }
    Ok(calibration)
}

/// A session of f32 that keeps every layer of `layers`.
fn session(model: &Model, layers: &[&str]) -> Session {
    model.session(layers.iter().fold(Options::new(), |options, layer| options.endpoint(*layer))).expect("a session")
}

#[test]
fn scales_are_of_what_was_seen_and_equal_where_activations_are_joined() {
    let model = model(|_| ());
    let calibration = observed(&model).expect("finite");
    assert_eq!(calibration.images(), 2);
    let quantised = calibration.quantise(Clipping::Maximum, false).expect("scales");
    // All but the first convolution, which reads the f32 of the input.
    let integer =
        ["conv2", "mixed1/1x1", "mixed1/3x3_reduce", "mixed1/3x3", "mixed1/proj", "mixed2/5x5_reduce", "mixed2/5x5"];
    assert_eq!(quantised.layers().collect::<Vec<_>>(), integer);

    let layers =
        ["conv1", "conv2", "mixed1/1x1", "mixed1/3x3_reduce", "mixed1/3x3", "mixed1/proj", "mixed2/5x5", "norm1"];
    let mut session = session(&model, &layers);
    let mut largest = [0.0_f32; 8];
    for seed in [3, 5] {
        fill(session.input_mut(), seed);
        session.run();
        for (largest, layer) in largest.iter_mut().zip(layers) {
            *largest = session.endpoint(layer).expect("kept").iter().copied().fold(*largest, f32::max);
        }
    }
    let own = quantised.model().expect("a file that is accepted");
    let scale = |layer: &str| own.weights().tensor(&format!("{layer}.output_scale")).expect("a scale").to_f32()[0];
    assert_eq!(scale("conv1"), largest[0] / 255.0);
    assert_eq!(scale("mixed1/3x3_reduce"), largest[3] / 255.0);
    assert_eq!(scale("norm1"), largest[7] / 255.0);
    let of_joined = [1, 2, 4, 5, 6].map(|i| largest[i]).into_iter().fold(0.0, f32::max) / 255.0;
    for layer in ["conv2", "mixed1/1x1", "mixed1/3x3", "mixed1/proj", "mixed2/5x5"] {
        assert_eq!(scale(layer), of_joined, "{layer}");
    }
    // Biases that are not corrected are the file's.
    let tensor = |name: &str| own.weights().tensor(name).expect("a tensor").to_f32();
    assert_eq!(tensor("conv2.int8_bias"), tensor("conv2.bias"));
    assert_eq!(own.weights().tensors().len(), model.weights().tensors().len() + 2 * integer.len() + 9);
}

#[test]
fn other_limits_are_not_above_the_largest_value() {
    let model = model(|_| ());
    let calibration = observed(&model).expect("finite");
    let scale = |clipping: Clipping| {
        let own = calibration.quantise(clipping, true).expect("scales").model().expect("a file that is accepted");
        own.weights().tensor("conv1.output_scale").expect("a scale").to_f32()[0]
    };
    let [maximum, percentile, squared] = Clipping::ALL.map(scale);
    // The layer has 2 * 16 * 16 * 16 values: one in ten thousand is not one of them.
    assert!(percentile == maximum && squared <= maximum && squared > 0.2 * maximum, "{maximum} {percentile} {squared}");
}

/// With biases so large that no ReLU cuts anything off, weights rounded to multiples of their scales give, with the corrected
/// biases, the mean outputs that the weights themselves give; of groups, each by its own inputs.
#[test]
fn corrected_biases_keep_the_mean_outputs() {
    let large = |values: &mut BTreeMap<String, Vec<f32>>| {
        values.get_mut("conv2.bias").expect("a tensor").iter_mut().for_each(|bias| *bias = 200.0);
    };
    let original = model(large);
    let quantised = observed(&original).expect("finite").quantise(Clipping::Maximum, true).expect("scales");
    let own = quantised.model().expect("a file that is accepted");
    let tensor = |name: &str| own.weights().tensor(name).expect("a tensor").to_f32().into_owned();
    let (scales, biases) = (tensor("conv2.weight_scale"), tensor("conv2.int8_bias"));
    let mut weights = tensor("conv2.weight");
    let steps = weights.len() / scales.len();
    for (w, &scale) in weights.chunks_exact_mut(steps).zip(&scales) {
        let mut q = vec![0; steps];
        quantise(w, scale, &mut q);
        w.iter_mut().zip(&q).for_each(|(w, &q)| *w = f32::from(q) * scale);
    }
    let means = |model: &Model| -> Vec<f64> {
        let mut session = session(model, &["conv2"]);
        let mut sums = vec![0.0; 24];
        for seed in [3, 5] {
            fill(session.input_mut(), seed);
            session.run();
            let output = session.endpoint("conv2").expect("kept");
            let plane = output.len() / 24;
            for (sum, plane_of) in sums.iter_mut().zip(output.chunks_exact(plane)) {
                assert!(plane_of.iter().all(|&value| value > 0.0), "a ReLU has cut off");
                *sum += plane_of.iter().map(|&value| f64::from(value)).sum::<f64>() / (2 * plane) as f64;
            }
        }
        sums
    };
    let expected = means(&original);
    let rounded = |biases: Vec<f32>| {
        model(|values| {
            large(values);
            values.insert("conv2.weight".into(), weights.clone());
            values.insert("conv2.bias".into(), biases);
        })
    };
    let worst = |found: Vec<f64>| {
        found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max)
    };
    // Each output of about 200 is off by at most some 100 roundings of f32: 72 products, transforms, and the bias.
    let bound = 100.0 * 300.0 * f64::from(f32::EPSILON);
    let corrected = worst(means(&rounded(biases)));
    assert!(corrected < bound, "{corrected}");
    let uncorrected = worst(means(&rounded(vec![200.0; 24])));
    assert!(uncorrected > 2.0 * bound, "{uncorrected}: nothing was corrected");
}

#[test]
fn layers_are_kept_higher_or_quantised_alone() {
    let model = model(|_| ());
    let all = observed(&model).expect("finite").quantise(Clipping::Maximum, true).expect("scales");
    let names = |quantised: &Quantised| -> Vec<String> {
        let own = quantised.model().expect("a file that is accepted");
        let ends = [".weight_scale", ".int8_bias", ".output_scale"];
        let added = |name: &&str| ends.iter().any(|end| name.ends_with(end));
        own.weights().tensors().map(|tensor| tensor.name()).filter(added).map(str::to_owned).collect()
    };
    let without = all.without(&["conv2", "mixed1/3x3"]);
    let rest = ["mixed1/1x1", "mixed1/3x3_reduce", "mixed1/proj", "mixed2/5x5_reduce", "mixed2/5x5"];
    assert_eq!(without.layers().collect::<Vec<_>>(), rest);
    assert_eq!(names(&without).len(), names(&all).len() - 4);
    assert_eq!(
        names(&all.alone("mixed1/3x3")),
        ["norm1.output_scale", "mixed1/3x3_reduce.output_scale", "mixed1/3x3.weight_scale", "mixed1/3x3.int8_bias"]
    );
    assert_eq!(names(&all.alone("conv2")), ["norm1.output_scale", "conv2.weight_scale", "conv2.int8_bias"]);
    assert_eq!(names(&all.alone("no such layer")), ["norm1.output_scale"]);
}

#[test]
fn what_is_not_finite_is_refused_by_its_name() {
    let refused = |name: &str, value: f32, expected: &str| {
        let model = model(|values| values.get_mut(name).expect("a tensor")[5] = value);
        let error = observed(&model).err().expect(expected).to_string();
        assert!(error.contains(expected), "{error}");
    };
    refused("conv2.weight", f32::NAN, "\"conv2.weight\": element 5 is NaN");
    refused("conv2.bias", f32::INFINITY, "\"conv2.bias\": element 5 is inf");
    refused("classifier.weight", f32::NEG_INFINITY, "\"classifier.weight\": element 5 is -inf");
    // The largest finite weight overflows what it is multiplied into.
    refused("conv1.weight", f32::MAX, "tensor \"conv1\": element");
    // A bias of 1e16 gives finite outputs, which bytes cannot stand for.
    let model = model(|values| values.get_mut("conv2.bias").expect("a tensor")[5] = 1e16);
    let calibration = observed(&model).expect("finite");
    let error = calibration.quantise(Clipping::Maximum, false).err().expect("too large").to_string();
    assert!(error.contains("output_scale\": element 0 is"), "{error}");
}
