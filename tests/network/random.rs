//! Models that a test makes itself, of given tensors or of seeded random ones.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use googlenet::Model;
use googlenet::model::Network;
use googlenet::weights::{Dtype, NewTensor, Weights, write};

use crate::tensors::random_tensors;

/// A model of `network` with the given tensors and the BVLC preprocessing, read from a weight file that is written for
/// it.
pub fn model_of(network: &Network, tensors: &[NewTensor<'_>], side: usize, name: &str) -> Model {
    let keys = [
        ("dialect", network.dialect.name()),
        ("channels", "bgr"),
        ("mean", "104,117,123"),
        ("std", "1,1,1"),
        ("resize", "256"),
        ("input_side", &side.to_string()),
    ];
    let metadata: BTreeMap<String, String> = keys.map(|(key, value)| (key.into(), value.into())).into();
    static COUNT: AtomicUsize = AtomicUsize::new(0); // the tests of a process run at once
    let unique = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(format!("googlenet-{name}-{unique}.safetensors"));
    write(&path, &metadata, tensors, true).expect("written");
    let weights = Weights::open(&path).expect("own file");
    let model = Model::with_network(weights, network.clone()).expect("the network's own tensors");
    std::fs::remove_file(&path).expect("removed");
    model
}

/// A model of `network` with the weights of [`random_tensors`].
pub fn random_model(network: &Network, side: usize) -> Model {
    let tensors = random_tensors(network);
    let tensors: Vec<NewTensor<'_>> = tensors
        .iter()
        .map(|(name, shape, values)| NewTensor { name, shape, dtype: Dtype::F32, values: values.into() })
        .collect();
    model_of(network, &tensors, side, "random")
}
