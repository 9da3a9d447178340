//! What a quantised weight file says of int8, checked against the network before anything uses it.
//!
//! Beside the network's own tensors such a file has, of f32 and by the name of a convolution or, the last, a normalisation:
//!
//! ```text
//! <layer>.weight_scale [oc]   the real value of 1 of the weights as bytes, by output channel
//! <layer>.int8_bias    [oc]   the biases that go with weights so rounded
//! <layer>.output_scale [1]    the real value of 1 of the outputs as bytes
//! ```
//!
//! The first two are both there or both missing; a convolution without them computes in a higher precision. The third is the
//! same for all layers that write one activation, or activations that max pools join. A normalisation may lack it: then the
//! scale follows from the largest value that it can give.
//!
//! Whether the weights that come of these scales are safe to multiply in pairs is checked by who packs them: the weights of
//! a file that is mapped and packed are not read when it is opened.

use std::collections::{BTreeMap, BTreeSet};

use crate::Result;
use crate::error::{TensorError, WeightsError};
use crate::model::{Network, Op};
use crate::weights::{Dtype, INT8, INT8_BIAS, INT8_VERSION, OUTPUT_SCALE, SCALES, Tensor, WEIGHT_SCALE, Weights};

/// Checks the tensors of a quantised file that are there for int8, and returns their names; there are none in other files.
pub(super) fn check(weights: &Weights, network: &Network) -> Result<BTreeSet<String>> {
    let mut known = BTreeSet::new();
    match weights.metadata().get(INT8).map(String::as_str) {
        None => return Ok(known),
        Some(INT8_VERSION) => {}
        Some(version) => {
            let (key, value) = (INT8, version.to_owned());
            return Err(WeightsError::MetadataValue { key, value, expected: KNOWN }.into());
        }
    }
    let graph = network.graph_with(network.side, &network.head_names());
    let joined = graph.joined();
    // By the first of activations that share a scale: the tensor that states it, and the scale if that is in the file.
    let mut shared: BTreeMap<usize, (String, Option<f32>)> = BTreeMap::new();
    for node in &graph.nodes {
        // A layer's first node stands for all of its groups.
        let is_first = node.weights.as_ref().is_none_or(|own| own.rows.start == 0);
        let layer = node.layer();
        match node.op {
            Op::Conv(_) if is_first => {
                let outputs = graph.find(layer).expect("the node's own layer").channels;
                known.extend(check_weights(weights, layer, outputs)?);
            }
            Op::Lrn(_) => {}
            _ => continue,
        }
        let name = format!("{layer}{OUTPUT_SCALE}");
        let tensor = weights.tensor(&name);
        if let Some(tensor) = &tensor {
            check_values(tensor, 1, SCALES)?;
            known.insert(name.clone());
        }
        let own = match tensor.map(|tensor| tensor.to_f32()[0]) {
            None if matches!(node.op, Op::Lrn(_)) => continue, // it has a bound instead
            own => own,
        };
        let (first, first_scale) = shared.entry(joined[node.output.activation]).or_insert((name.clone(), own));
        let (first, first_scale, second, second_scale) = match (*first_scale, own) {
            (Some(a), Some(b)) if a.to_bits() == b.to_bits() => continue,
            (None, None) => continue,
            (Some(scale), own) => (first.clone(), scale, name, own),
            (None, Some(scale)) => (name, scale, first.clone(), None),
        };
        return Err(TensorError::ScalesDiffer { first, first_scale, second, second_scale }.into());
    }
    Ok(known)
}

/// Checks the tensors of a convolution's weights, which has so many output channels, and returns their names.
fn check_weights(weights: &Weights, layer: &str, outputs: usize) -> Result<Vec<String>> {
    let [scale, bias] = [WEIGHT_SCALE, INT8_BIAS].map(|suffix| format!("{layer}{suffix}"));
    match (weights.tensor(&scale), weights.tensor(&bias)) {
        (Some(scales), Some(biases)) => {
            check_values(&scales, outputs, SCALES)?;
            check_values(&biases, outputs, [-SCALES[1], SCALES[1]])?;
            Ok(vec![scale, bias])
        }
        (Some(_), None) => Err(TensorError::Missing { tensor: bias }.into()),
        (None, Some(_)) => Err(TensorError::Missing { tensor: scale }.into()),
        (None, None) => Ok(Vec::new()),
    }
}

/// Checks that a tensor is `[len]` of f32, and that its values lie in a range.
fn check_values(tensor: &Tensor<'_>, len: usize, [least, most]: [f32; 2]) -> Result<()> {
    let name = || tensor.name().to_owned();
    if tensor.dtype() != Dtype::F32 {
        return Err(TensorError::Type { tensor: name(), dtype: tensor.dtype().name().to_owned() }.into());
    }
    if tensor.shape() != [len] {
        return Err(TensorError::wrong_shape(name(), &[Some(len)], tensor.shape()).into());
    }
    let values = tensor.to_f32();
    // NaN lies in no range.
    match values.iter().position(|value| !(least..=most).contains(value)) {
        Some(index) => Err(TensorError::Value { tensor: name(), index, value: values[index], least, most }.into()),
        None => Ok(()),
    }
}

/// What is said to be known where a file's version of int8 is not.
const KNOWN: &str = concat!("1; a later version of googlenet than ", env!("CARGO_PKG_VERSION"), " is needed");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::small::small;
    use crate::weights::{NewTensor, encode};
    use crate::{Model, Options, Precision};

    /// Shapes and values, by name.
    type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

    /// The tensors of a quantised file of the small network, all of zeros but for the scales, which are 0.5.
    fn quantised() -> Tensors {
        let network = small();
        let mut tensors = BTreeMap::new();
        let mut insert = |name: String, shape: Vec<usize>, value: f32| {
            let values = vec![value; shape.iter().product()];
            tensors.insert(name, (shape, values));
        };
        for (name, shape) in network.parameters() {
            if let (Some(layer), 4) = (name.strip_suffix(".weight"), shape.len()) {
                insert(format!("{layer}{WEIGHT_SCALE}"), vec![shape[0]], 0.5);
                insert(format!("{layer}{INT8_BIAS}"), vec![shape[0]], 0.0);
                insert(format!("{layer}{OUTPUT_SCALE}"), vec![1], 0.5);
            }
            insert(name, shape, 0.0);
        }
        insert("norm1.output_scale".into(), vec![1], 0.25);
        tensors
    }

    fn file(int8: &str, dtype: Dtype, tensors: &Tensors) -> Weights {
        let keys = [
            ("dialect", "bvlc"),
            ("input_side", "32"),
            ("channels", "bgr"),
            ("mean", "104,117,123"),
            ("std", "1,1,1"),
            ("resize", "32"),
            ("int8", int8),
        ];
        let metadata = keys.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let own = |name: &String| if name.ends_with(OUTPUT_SCALE) { dtype } else { Dtype::F32 };
        let tensors: Vec<_> = tensors
            .iter()
            .map(|(name, (shape, values))| NewTensor {
                name,
                shape,
                dtype: own(name),
                values: values.as_slice().into(),
            })
            .collect();
        Weights::from_vec(encode(&metadata, &tensors).expect("a file")).expect("a file")
    }

    #[test]
    fn every_wrong_tensor_is_refused_by_its_name_and_value() {
        type Change = fn(&mut Tensors);
        let set = |name: &str, index: usize, value: f32| {
            let name = name.to_owned();
            move |tensors: &mut Tensors| {
                tensors.get_mut(&name).expect("a tensor").1[index] = value;
            }
        };
        let open = |change: &dyn Fn(&mut Tensors)| {
            let mut tensors = quantised();
            change(&mut tensors);
            Model::with_network(file("1", Dtype::F32, &tensors), small())
        };
        open(&|_| ()).expect("as it was made");
        let values: [(&str, usize, f32, &str); 10] = [
            ("conv2.weight_scale", 23, 0.0, "\"conv2.weight_scale\": element 23 is 0e0, not in 9.0"),
            ("conv2.weight_scale", 0, -0.5, "element 0 is -5e-1"),
            ("conv2.weight_scale", 1, f32::NAN, "element 1 is NaN"),
            ("conv2.weight_scale", 1, f32::INFINITY, "element 1 is inf"),
            ("conv2.weight_scale", 1, 1e-13, "element 1 is 1e-13"),
            ("mixed1/3x3_reduce.output_scale", 0, 2e12, "element 0 is 2e12"),
            ("conv1.int8_bias", 2, f32::NAN, "\"conv1.int8_bias\": element 2 is NaN, not in -1.0"),
            ("conv1.int8_bias", 2, f32::NEG_INFINITY, "element 2 is -inf"),
            // The pools of both modules join what they read and write, and convolutions write it, too.
            ("mixed2/5x5.output_scale", 0, 0.25, "are 5e-1 and 2.5e-1, and must be equal"),
            ("norm1.output_scale", 0, -1.0, "\"norm1.output_scale\": element 0 is -1e0"),
        ];
        for (tensor, index, value, expected) in values {
            let error = open(&set(tensor, index, value)).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
        let changes: [(Change, &str); 8] = [
            (|t| drop(t.remove("conv2.int8_bias")), "\"conv2.int8_bias\" is missing"),
            (|t| drop(t.remove("conv2.weight_scale")), "\"conv2.weight_scale\" is missing"),
            (
                |t| drop(t.remove("mixed1/1x1.output_scale")),
                "\"mixed1/1x1.output_scale\", which must be equal, is missing",
            ),
            (|t| drop(t.remove("conv2.output_scale")), "\"conv2.output_scale\", which must be equal, is missing"),
            (|t| drop(t.insert("conv2.weight_scale".into(), (vec![12], vec![0.5; 12]))), "expected [24]"),
            (|t| drop(t.insert("conv2.output_scale".into(), (vec![], vec![0.5]))), "has shape [], expected [1]"),
            (|t| drop(t.insert("pool1.output_scale".into(), (vec![1], vec![0.5]))), "is not part of the network"),
            (
                |t| drop(t.insert("classifier.weight_scale".into(), (vec![5], vec![0.5; 5]))),
                "is not part of the network",
            ),
        ];
        for (change, expected) in changes {
            let error = open(&change).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = Model::with_network(file("1", Dtype::F16, &quantised()), small()).expect_err("f16").to_string();
        assert!(error.contains("output_scale\" has unsupported type \"F16\""), "{error}");
        let error = Model::with_network(file("2", Dtype::F32, &quantised()), small()).expect_err("later").to_string();
        assert!(error.contains("\"int8\" is \"2\", expected 1; a later version"), "{error}");
    }

    #[test]
    fn a_layer_may_be_kept_higher_and_one_that_nothing_joins_unscaled() {
        let mut tensors = quantised();
        for name in ["conv2.weight_scale", "conv2.int8_bias", "mixed1/3x3_reduce.output_scale", "norm1.output_scale"] {
            tensors.remove(name).expect("a tensor");
        }
        Model::with_network(file("1", Dtype::F32, &tensors), small()).expect("weights without int8 for some layers");
    }

    #[test]
    fn weights_that_are_unsafe_in_pairs_are_refused_when_they_are_packed() {
        let mut tensors = quantised();
        // Of the filter's first tap the weights of the first two channels, which are neighbours: 32.5 / 0.5 is 65.
        for at in [0, 9] {
            tensors.get_mut("mixed1/3x3.weight").expect("a tensor").1[at] = 32.5;
        }
        let weights = file("1", Dtype::F32, &tensors);
        let model = Model::with_network(weights, small()).expect("weights are not read when a file is opened");
        model.session(Options::new()).expect("f32 does not care");
        let error = model.session(Options::new().precision(Precision::Int8)).err().expect("unsafe").to_string();
        assert!(error.contains("\"mixed1/3x3.weight_scale\": element 0 is 5e-1, too small"), "{error}");
    }
}
