//! What the whole-network tests share: the real weights and reference outputs, if they are there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use googlenet::model::{Network, Op};
use googlenet::weights::{Dtype, NewTensor, write};
use googlenet::{Model, import};

/// The folder of the real weights; none, with a printed line, where it is missing.
#[allow(dead_code, reason = "not every test crate needs it")]
pub fn real_folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/googlenet");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no ../shared/googlenet with the real weights");
    None
}

/// Tensors as a weight file of the BVLC preprocessing, in memory.
#[allow(dead_code, reason = "not every test crate needs it")]
pub fn model_of(tensors: &[NewTensor<'_>], side: usize, name: &str) -> Model {
    let keys = [
        ("dialect", "bvlc"),
        ("channels", "bgr"),
        ("mean", "104,117,123"),
        ("std", "1,1,1"),
        ("resize", "256"),
        ("input_side", &side.to_string()),
    ];
    let metadata: BTreeMap<String, String> = keys.map(|(key, value)| (key.into(), value.into())).into();
    static COUNT: AtomicUsize = AtomicUsize::new(0); // tests of one process run at once
    let unique = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(format!("googlenet-{name}-{unique}.safetensors"));
    write(&path, &metadata, tensors, true).expect("written");
    let model = Model::open(&path).expect("own file");
    std::fs::remove_file(&path).expect("removed");
    model
}

/// The real BVLC weights.
#[allow(dead_code, reason = "not every test crate needs it")]
pub fn real_model() -> Option<Model> {
    let imported = import::import(real_folder()?.join("bvlc_googlenet.safetensors")).expect("imports");
    let tensors: Vec<NewTensor<'_>> = imported
        .tensors
        .iter()
        .map(|t| NewTensor { name: &t.name, shape: &t.shape, dtype: Dtype::F32, values: (&t.values).into() })
        .collect();
    Some(model_of(&tensors, 224, "real"))
}

/// The reference inputs and outputs: 16 images as i16, logits and probabilities of ONNX Runtime.
#[allow(dead_code, reason = "not every test crate needs it")]
pub struct Reference {
    pub inputs: Vec<Vec<f32>>,
    pub logits: Vec<Vec<f32>>,
    pub probabilities: Vec<Vec<f32>>,
}

#[allow(dead_code, reason = "not every test crate needs it")]
pub fn reference() -> Option<Reference> {
    let bytes = std::fs::read(real_folder()?.join("reference.safetensors")).expect("readable");
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
    Some(Reference {
        inputs: inputs.chunks_exact(3 * 224 * 224).map(<[f32]>::to_vec).collect(),
        logits: f32s("logits", 1000),
        probabilities: f32s("prob", 1000),
    })
}

/// Seeded random weights for `network`, He-scaled so that values keep their size: name, shape, values.
#[allow(dead_code, reason = "not every test crate needs it")]
pub fn random_tensors(network: &Network) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let graph = network.graph(64);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut tensors = Vec::new();
    for node in &graph.nodes {
        let shape = match &node.op {
            Op::Conv(s) => vec![s.oc, s.ic, s.kh, s.kw],
            Op::FullyConnected => vec![node.output.channels, graph.tensors[node.input].c],
            _ => continue,
        };
        let fan_in: usize = shape[1..].iter().product();
        let scale = (6.0 / fan_in as f32).sqrt();
        let values = (0..shape[0] * fan_in).map(|_| next() * scale).collect();
        let bias = (0..shape[0]).map(|_| next() * 0.1).collect();
        tensors.push((format!("{}.bias", node.name), vec![shape[0]], bias));
        tensors.push((format!("{}.weight", node.name), shape, values));
    }
    tensors
}

/// A model of those weights.
#[allow(dead_code, reason = "not every test crate needs it")]
pub fn random_model(network: &Network, side: usize) -> Model {
    let tensors = random_tensors(network);
    let tensors: Vec<NewTensor<'_>> = tensors
        .iter()
        .map(|(name, shape, values)| NewTensor { name, shape, dtype: Dtype::F32, values: values.into() })
        .collect();
    model_of(&tensors, side, "random")
}
