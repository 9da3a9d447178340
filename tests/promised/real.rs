//! The real weights and their reference outputs.

use std::path::PathBuf;

use googlenet::model::googlenet;
use googlenet::weights::{Dtype, NewTensor};
use googlenet::{Model, import};

use crate::random::model_of;

/// The folder of the real weights, which may be missing.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/googlenet")
}

/// A model of the real BVLC weights.
pub fn model() -> Model {
    let imported = import::import(folder().join("bvlc_googlenet.safetensors")).expect("imports");
    let tensors: Vec<NewTensor<'_>> = imported
        .tensors
        .iter()
        .map(|t| NewTensor { name: &t.name, shape: &t.shape, dtype: Dtype::F32, values: (&t.values).into() })
        .collect();
    model_of(&googlenet(1000), &tensors, 224, "real")
}

/// The reference inputs and outputs: 16 images, which the file holds as i16, and ONNX Runtime's logits and
/// probabilities for them.
pub struct Reference {
    pub inputs: Vec<Vec<f32>>,
    pub logits: Vec<Vec<f32>>,
    pub probabilities: Vec<Vec<f32>>,
}

/// Reads the reference inputs and outputs, with no code of the engine.
pub fn reference() -> Reference {
    let bytes = std::fs::read(folder().join("reference.safetensors")).expect("readable");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
    let data = |name: &str| {
        let offset = |i: usize| header[name]["data_offsets"][i].as_u64().expect("offset") as usize + 8 + length;
        &bytes[offset(0)..offset(1)]
    };
    let f32s = |name: &str, n: usize| -> Vec<Vec<f32>> {
        let values: Vec<f32> =
            data(name).chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4"))).collect();
        values.chunks_exact(n).map(<[f32]>::to_vec).collect()
    };
    let inputs: Vec<f32> = data("input").chunks_exact(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]]))).collect();
    Reference {
        inputs: inputs.chunks_exact(3 * 224 * 224).map(<[f32]>::to_vec).collect(),
        logits: f32s("logits", 1000),
        probabilities: f32s("prob", 1000),
    }
}
