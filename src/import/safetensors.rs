//! Plain safetensors with Caffe's names.

use super::{Imported, collect};
use crate::weights::Weights;
use crate::{Error, Result};

pub(super) fn read(bytes: &[u8]) -> Result<Imported> {
    let weights = Weights::from_plain_bytes(bytes)?;
    let bias = weights.tensor("loss3/classifier.bias");
    let bias = bias.ok_or_else(|| Error::MissingTensor { name: "loss3/classifier.bias".into() })?;
    let imported = collect(bias.shape().iter().product(), |name| {
        let tensor = weights.tensor(name).ok_or_else(|| Error::MissingTensor { name: name.into() })?;
        Ok((tensor.shape().to_vec(), tensor.to_f32().into_owned()))
    })?;
    let known = |name: &str| imported.tensors.iter().any(|tensor| tensor.name == name);
    match weights.tensors().find(|tensor| !known(tensor.name())) {
        Some(tensor) => Err(Error::UnexpectedTensor { name: tensor.name().into() }),
        None => Ok(imported),
    }
}
