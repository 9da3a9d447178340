//! Models of other makers, checked against the network's table, to this project's weight files.
//!
//! `safetensors.rs` takes tensors by Caffe's names.

mod safetensors;

use std::path::Path;

use crate::model::{Network, Op, googlenet};
use crate::{Error, Result};

/// Weights that fit the network's table exactly.
pub struct Imported {
    /// How many classes the classifier tells apart.
    pub classes: usize,
    /// The tensors, in the order of the table, weights before biases.
    pub tensors: Vec<ImportedTensor>,
}

/// One tensor.
pub struct ImportedTensor {
    /// Its name in a weight file.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Vec<f32>,
}

/// Imports the model at `path`: safetensors with Caffe's names.
///
/// # Errors
/// If the file cannot be read, is damaged, or is another network: the first difference is named.
pub fn import(path: impl AsRef<Path>) -> Result<Imported> {
    let path = path.as_ref();
    import_bytes(&std::fs::read(path).map_err(|source| Error::Io { path: path.into(), source })?)
}

/// The same for bytes.
///
/// # Errors
/// As [`import`].
pub fn import_bytes(bytes: &[u8]) -> Result<Imported> {
    safetensors::read(bytes)
}

/// The tensors that the table asks for, for `classes` classes: node's name, weight's shape, outputs.
fn expected(network: &Network) -> Vec<(String, Vec<usize>, usize)> {
    let graph = network.graph(224);
    let tensors = graph.nodes.iter().filter_map(|node| {
        let shape = match &node.op {
            Op::Conv(s) => vec![s.oc, s.ic, s.kh, s.kw],
            Op::FullyConnected => vec![node.output.channels, graph.tensors[node.input].c],
            _ => return None,
        };
        Some((node.name.clone(), shape, node.output.channels))
    });
    tensors.collect()
}

/// Puts tensors in the table's order; `take(name)` gives a tensor's shape and values.
fn collect(classes: usize, mut take: impl FnMut(&str) -> Result<(Vec<usize>, Vec<f32>)>) -> Result<Imported> {
    let mut tensors = Vec::new();
    for (node, shape, outputs) in expected(&googlenet(classes)) {
        for (name, expected) in [(format!("{node}.weight"), shape), (format!("{node}.bias"), vec![outputs])] {
            let (found, values) = take(&name)?;
            // Caffe's classifier may come as 1x1 convolution: the same values in the same order.
            let squeezed: Vec<usize> = if expected.len() == 2 && found.len() == 4 && found[2..] == [1, 1] {
                found[..2].to_vec()
            } else {
                found.clone()
            };
            if squeezed != expected || values.len() != expected.iter().product::<usize>() {
                return Err(Error::TensorShape { name, expected, found });
            }
            tensors.push(ImportedTensor { name, shape: expected, values });
        }
    }
    Ok(Imported { classes, tensors })
}
