//! Scales and biases by layer, and a weight file with them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::TensorError;
use crate::weights::{
    Dtype, INT8, INT8_BIAS, INT8_VERSION, NewTensor, OUTPUT_SCALE, PACKED, PACKING, SCALES, WEIGHT_SCALE, Weights,
    encode, write,
};
use crate::{Model, Result};

/// A model's scales for int8, of which some may be left out again: a convolution without scales computes in a higher
/// precision.
#[derive(Clone)]
pub struct Quantised {
    model: Model,
    layers: Vec<Layer>,
}

/// A convolution or a normalisation of the trunk.
#[derive(Clone)]
pub(super) struct Layer {
    pub name: String,
    /// The groups of activations, each of one scale, that it reads and writes.
    pub ends: [usize; 2],
    pub is_convolution: bool,
    pub output_scale: Option<f32>,
    /// The scales of weights and the biases, `[oc]` each; none for a layer that computes in a higher precision.
    pub weights: Option<(Vec<f32>, Vec<f32>)>,
}

impl Quantised {
    /// Checks that all values can be computed with.
    pub(super) fn new(model: Model, layers: Vec<Layer>) -> Result<Self> {
        let check = |layer: &Layer, suffix: &str, values: &[f32], [least, most]: [f32; 2]| match values
            .iter()
            .position(|value| !(least..=most).contains(value))
        {
            Some(index) => {
                let (tensor, value) = (format!("{}{suffix}", layer.name), values[index]);
                Err(TensorError::Value { tensor, index, value, least, most })
            }
            None => Ok(()),
        };
        for layer in &layers {
            check(layer, OUTPUT_SCALE, layer.output_scale.as_slice(), SCALES)?;
            if let Some((scales, biases)) = &layer.weights {
                check(layer, WEIGHT_SCALE, scales, SCALES)?;
                check(layer, INT8_BIAS, biases, [-SCALES[1], SCALES[1]])?;
            }
        }
        Ok(Self { model, layers })
    }

    /// The convolutions that compute in integers, in order.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().filter(|layer| layer.weights.is_some()).map(|layer| layer.name.as_str())
    }

    /// The same with the convolutions among `layers` kept in a higher precision. Their outputs are stored in bytes as before.
    #[must_use]
    pub fn without(&self, layers: &[&str]) -> Self {
        let mut rest = self.clone();
        rest.layers.iter_mut().filter(|layer| layers.contains(&&*layer.name)).for_each(|layer| layer.weights = None);
        rest
    }

    /// The same with no convolution but `layer` in integers, and with its input in bytes, and no other activation but what
    /// shares that one's scale, and outputs of normalisations, which are bytes in any file that was quantised. If no layer has
    /// that name, nothing else is quantised.
    #[must_use]
    pub fn alone(&self, layer: &str) -> Self {
        let mut alone = self.clone();
        let input = self.layers.iter().find(|own| own.name == layer).map(|own| own.ends[0]);
        for other in &mut alone.layers {
            if other.name != layer {
                other.weights = None;
            }
            if input != Some(other.ends[1]) && other.is_convolution {
                other.output_scale = None;
            }
        }
        alone
    }

    /// A model of the weights with the scales, in memory.
    ///
    /// # Errors
    /// Those of [`Model::with_network`].
    pub fn model(&self) -> Result<Model> {
        let bytes = self.tensors(encode)?;
        Model::with_network(Weights::from_vec(bytes)?, self.model.network().clone())
    }

    /// Writes a weight file with the scales to `path`: the weights as they are, but for packed ones, which are left out, as
    /// are scales that were there before. Whoever reads `path` sees the old file or the new one, never a part. Without
    /// `force` an existing file is an error.
    ///
    /// # Errors
    /// If the file exists or cannot be written.
    pub fn write(&self, path: impl AsRef<Path>, force: bool) -> Result<()> {
        self.tensors(|metadata, tensors| write(path, metadata, tensors, force))
    }

    /// Hands `done` the metadata and tensors of a file with the scales.
    fn tensors<T>(&self, done: impl FnOnce(&BTreeMap<String, String>, &[NewTensor<'_>]) -> Result<T>) -> Result<T> {
        let weights = self.model.weights();
        let mut metadata = weights.metadata().clone();
        metadata.remove(PACKING);
        metadata.insert(INT8.to_owned(), INT8_VERSION.to_owned());
        let is_added = |name: &str| {
            name.starts_with(PACKED) || [WEIGHT_SCALE, INT8_BIAS, OUTPUT_SCALE].iter().any(|end| name.ends_with(end))
        };
        let own = weights.tensors().filter(|tensor| !is_added(tensor.name())).map(|tensor| NewTensor {
            name: tensor.name(),
            shape: tensor.shape(),
            dtype: tensor.dtype(),
            values: tensor.to_f32(),
        });
        let mut added: Vec<(String, &[f32])> = Vec::new();
        for Layer { name, output_scale, weights, .. } in &self.layers {
            if let Some((scales, biases)) = weights {
                added.extend([(format!("{name}{WEIGHT_SCALE}"), &scales[..]), (format!("{name}{INT8_BIAS}"), biases)]);
            }
            added.extend(
                output_scale.iter().map(|scale| (format!("{name}{OUTPUT_SCALE}"), std::slice::from_ref(scale))),
            );
        }
        let shapes: Vec<[usize; 1]> = added.iter().map(|(_, values)| [values.len()]).collect();
        let added = added.iter().zip(&shapes).map(|((name, values), shape)| {
            let values = (*values).into();
            NewTensor { name, shape, dtype: Dtype::F32, values }
        });
        done(&metadata, &own.chain(added).collect::<Vec<_>>())
    }
}
