//! Packed weights: every step's as its kernel wants them, made here or used where they lie in a weight file.
//!
//! A packed file holds, besides the network's own tensors, one tensor `packed/<node>` for each step that has weights,
//! `<node>` being the step's first, and in its metadata the *packing*: the instruction set and a hash of every step's
//! nodes, kernel and length. A plan whose own packing is the same uses those tensors in place; any other packs the
//! network's tensors itself. The packing knows neither threads nor endpoints, which change no layout.

use std::ops::Deref;
use std::sync::Arc;

use super::Cache;
use super::schedule::{PlannedStep, Schedule};
use super::threads::{self, Lent};
use crate::Result;
use crate::aligned::AlignedBytes;
use crate::error::TensorError;
use crate::model::{Graph, Node};
use crate::weights::{PACKED, PACKING, Weights};

/// Goes into every packing: raise it when a kernel's layout changes and its name does not.
/// `packed_values_change_only_with_the_version` holds it to that.
const VERSION: u32 = 1;

/// One step's packed weights.
pub(super) enum Packed {
    /// Those of a step without weights.
    Nothing,
    /// Bytes that other sessions of the model may share.
    Made(Arc<AlignedBytes>),
    /// The tensor of that index, used where it lies in the file.
    InFile(Arc<Weights>, usize),
}

impl Deref for Packed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Packed::Nothing => &[],
            Packed::Made(bytes) => bytes,
            Packed::InFile(weights, index) => weights.nth(*index).bytes(),
        }
    }
}

/// The packing of a schedule.
pub(super) fn packing(schedule: &Schedule) -> String {
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    for step in schedule.steps.iter().filter(|step| step.step.packed_bytes() > 0) {
        hasher.update(key(schedule, step).as_bytes());
    }
    format!("{}-{VERSION}-{:016x}", schedule.isa, hasher.digest())
}

/// What the values of a step's packed weights depend on, besides the model.
fn key(schedule: &Schedule, planned: &PlannedStep) -> String {
    let names: Vec<&str> = nodes(&schedule.graph, planned).map(|node| node.name.as_str()).collect();
    let (isa, step) = (schedule.isa, &planned.step);
    // In f32, as long as packings count in them.
    let len = step.packed_bytes() / size_of::<f32>();
    format!("{isa} {} {:?} {len}: {}\n", step.kernel(), step.block_widths(), names.join(" + "))
}

/// The step's nodes that have weights.
fn nodes<'a>(graph: &'a Graph, planned: &'a PlannedStep) -> impl Iterator<Item = &'a Node> {
    planned.nodes.iter().map(|&node| &graph.nodes[node]).filter(|node| node.weights.is_some())
}

/// Where packed weights come from.
pub(super) struct Origin<'a> {
    pub weights: &'a Arc<Weights>,
    pub cache: &'a Cache,
    /// Threads to pack on, perhaps those that the caller lends.
    pub threads: usize,
    pub lent: Option<&'a Lent>,
}

/// Every step's packed weights: the file's, if it has this packing; else those that another session has, or new ones.
pub(super) fn weights(schedule: &Schedule, packing: &str, origin: &Origin<'_>) -> Result<Vec<Packed>> {
    if let Some(found) = in_file(schedule, packing, origin.weights) {
        origin.weights.populate_packed();
        return Ok(found);
    }
    threads::map(schedule.steps.len(), origin.threads, origin.lent, |index| {
        let step = &schedule.steps[index];
        if step.step.packed_bytes() == 0 {
            return Ok(Packed::Nothing);
        }
        let pack = || pack(&schedule.graph, step, origin.weights);
        origin.cache.packed.get(key(schedule, step), pack).map(Packed::Made)
    })
}

/// The file's packed tensors, if it has this packing, and all are there, of f32 and of the right length.
pub(super) fn in_file(schedule: &Schedule, packing: &str, weights: &Arc<Weights>) -> Option<Vec<Packed>> {
    weights.metadata().get(PACKING).filter(|own| *own == packing)?;
    let step = |planned: &PlannedStep| match planned.step.packed_bytes() {
        0 => Some(Packed::Nothing),
        len => {
            let index = weights.index_of(&tensor_name(&schedule.graph, planned))?;
            let tensor = weights.nth(index);
            (tensor.as_f32().is_some() && tensor.bytes().len() == len).then(|| Packed::InFile(weights.clone(), index))
        }
    };
    schedule.steps.iter().map(step).collect()
}

/// Packs every step's weights, for a file.
pub(super) fn make(schedule: &Schedule, weights: &Weights, threads: usize) -> Result<Vec<AlignedBytes>> {
    threads::map(schedule.steps.len(), threads, None, |index| pack(&schedule.graph, &schedule.steps[index], weights))
}

/// The name of a step's tensor in a packed file.
pub(super) fn tensor_name(graph: &Graph, planned: &PlannedStep) -> String {
    format!("{PACKED}{}", graph.nodes[planned.nodes[0]].name)
}

fn pack(graph: &Graph, planned: &PlannedStep, weights: &Weights) -> Result<AlignedBytes> {
    let mut packed = AlignedBytes::zeroed(planned.step.packed_bytes());
    if packed.is_empty() {
        return Ok(packed);
    }
    for (index, node) in nodes(graph, planned).enumerate() {
        let own = node.weights.as_ref().expect("filtered above");
        let tensor = |part: &str| {
            let name = format!("{}.{part}", own.layer);
            weights.tensor(&name).ok_or(TensorError::Missing { tensor: name })
        };
        let (matrix, biases) = (tensor("weight")?.to_f32(), tensor("bias")?.to_f32());
        // The rows of the layer's tensors that are this node's: all of them, or a group's.
        let row = matrix.len() / biases.len();
        let matrix = &matrix[own.rows.start * row..own.rows.end * row];
        planned.step.pack(index, matrix, &biases[own.rows.clone()], &mut packed);
    }
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::googlenet;
    use crate::plan::build::{self, Machine};
    use googlenet_kernels::isa;

    /// Packings and the hashes of what they pack, of the demonstration weights on each set.
    const KNOWN: [&str; 4] = [
        "portable-1-003aa34f45379f00 of c453d594039ba7f0",
        "neon-1-2fe96a10d5a44a21 of 94909e4f379aa5ef",
        "avx2-1-e7cc65a67e5e61db of 74520469f8bfe6e5",
        "avx512-1-9d3ca3437a762f72 of a23ff7b9d549c139",
    ];

    /// A file is packed by one version of this crate and used by another: where values move, the version must too.
    #[test]
    fn packed_values_change_only_with_the_version() {
        let bytes: &[u8] = include_bytes!("../../../weights/demo.safetensors");
        let weights = Weights::from_vec(bytes.to_vec()).expect("valid");
        for isa in isa::detected() {
            let schedule = build::schedule(googlenet(10).graph(64), &Machine::here(isa), 1, &[]);
            let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
            for packed in make(&schedule, &weights, 1).expect("packed") {
                hasher.update(&packed);
            }
            let found = format!("{} of {:016x}", packing(&schedule), hasher.digest());
            assert!(KNOWN.contains(&&found[..]), "{found} with version {VERSION} is new");
        }
    }
}
