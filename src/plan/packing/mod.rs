//! Packed weights: every step's as its kernel wants them, made here or used where they lie in a weight file.
//!
//! A packed file holds, besides the network's own tensors, one tensor `packed/<node>` for each step that has weights,
//! `<node>` being the step's first, and in its metadata the *packing*: the instruction set and a hash of every step's
//! nodes, kernel and length. A plan whose own packing is the same uses those tensors in place; any other packs the
//! network's tensors itself. The packing knows neither threads nor endpoints, which change no layout.
//!
//! A step may want its matrix as files store it anyway, f32 or f16. It is then used where it lies in any file, packed or
//! not, and only its biases are packed. So no packing, and no plan, depends on the type of a file's tensors.

use std::borrow::Cow;
use std::ops::{Deref, Range};
use std::sync::Arc;

use googlenet_kernels::conv::ConvShape;
use googlenet_kernels::narrow;

use super::Cache;
use super::schedule::{PlannedStep, Schedule};
use super::steps::{NodeWeights, Quantised, StepWeights, Stored};
use super::threads::{self, Lent};
use crate::Result;
use crate::aligned::AlignedBytes;
use crate::error::{SessionError, TensorError};
use crate::model::{Graph, Node, Op, Place, WeightRows};
use crate::plan::Precision;
use crate::weights::{Dtype, INT8_BIAS, PACKED, PACKING, Tensor, WEIGHT_SCALE, Weights};

/// Goes into every packing: raise it when a kernel's layout changes and its name does not.
/// `packed_values_change_only_with_the_version` holds it to that.
const VERSION: u32 = 2;

/// One step's weights, and what keeps them alive.
pub(super) struct Held {
    packed: Bytes,
    /// The node's matrix, for a step that takes it as it is stored.
    stored: Option<(Dtype, Bytes)>,
}

impl Held {
    /// The weights as the step takes them.
    pub(super) fn view(&self) -> StepWeights<'_> {
        let stored = self.stored.as_ref().map(|(dtype, bytes)| Stored { dtype: *dtype, bytes });
        StepWeights { packed: &self.packed, stored }
    }

    /// How many bytes the step reads.
    pub(super) fn bytes(&self) -> usize {
        self.packed.len() + self.stored.as_ref().map_or(0, |(_, bytes)| bytes.len())
    }

    /// Whether any of it was packed or copied, and does not lie in the file.
    pub(super) fn is_in_memory(&self) -> bool {
        let made = |bytes: &Bytes| matches!(bytes, Bytes::Made(..));
        made(&self.packed) || self.stored.as_ref().is_some_and(|(_, bytes)| made(bytes))
    }
}

/// Bytes of weights.
enum Bytes {
    /// Those of a step without weights.
    Nothing,
    /// Bytes that other sessions of the model may share.
    Made(Arc<AlignedBytes>),
    /// A range of the tensor of that index, used where it lies in the file.
    InFile(Arc<Weights>, usize, Range<usize>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Nothing => &[],
            Bytes::Made(bytes) => bytes,
            Bytes::InFile(weights, index, range) => &weights.nth(*index).bytes()[range.clone()],
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
    // Weights are packed with the scales of what they stand between.
    let formats = match schedule.formats.precision {
        Precision::F32 => String::new(),
        precision => format!(" {precision} {}", elements(schedule, planned)),
    };
    format!("{isa} {}{formats} {:?} {len}: {}\n", step.kernel(), step.block_widths(), names.join(" + "))
}

/// What a step's nodes read and write, for the key.
fn elements(schedule: &Schedule, planned: &PlannedStep) -> String {
    let element = |place: Place| schedule.formats.element(place.activation).name();
    let ends = |&node: &usize| {
        let Node { input, output, .. } = schedule.graph.nodes[node];
        format!("{}>{}", element(input), element(output))
    };
    planned.nodes.iter().map(ends).collect::<Vec<_>>().join(" ")
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

/// Every step's weights. What is packed is the file's, if it has this packing; else what another session has, or new. What
/// a step takes as it is stored lies in any file.
pub(super) fn weights(schedule: &Schedule, packing: &str, origin: &Origin<'_>) -> Result<Vec<Held>> {
    let found = in_file(schedule, packing, origin.weights);
    match &found {
        Some(_) => origin.weights.populate_packed(),
        None => origin.weights.verify_once()?,
    }
    threads::map(schedule.steps.len(), origin.threads, origin.lent, |index| {
        let step = &schedule.steps[index];
        let packed = match &found {
            _ if step.step.packed_bytes() == 0 => Bytes::Nothing,
            Some(tensors) => Bytes::InFile(origin.weights.clone(), tensors[index], 0..step.step.packed_bytes()),
            None => {
                let pack = || pack(schedule, step, origin.weights);
                Bytes::Made(origin.cache.packed.get(key(schedule, step), pack)?)
            }
        };
        Ok(Held { packed, stored: stored(&schedule.graph, step, origin)? })
    })
}

/// By step, the index of the tensor that holds its packed weights, if the file has this packing, and all are there, of f32
/// and of the right length. A step without packed weights has any index.
pub(super) fn in_file(schedule: &Schedule, packing: &str, weights: &Weights) -> Option<Vec<usize>> {
    weights.metadata().get(PACKING).filter(|own| *own == packing)?;
    let step = |planned: &PlannedStep| match planned.step.packed_bytes() {
        0 => Some(0),
        len => {
            let index = weights.index_of(&tensor_name(&schedule.graph, planned))?;
            let tensor = weights.nth(index);
            (tensor.as_f32().is_some() && tensor.bytes().len() == len).then_some(index)
        }
    };
    schedule.steps.iter().map(step).collect()
}

/// Packs every step's weights, for a file.
pub(super) fn make(schedule: &Schedule, weights: &Weights, threads: usize) -> Result<Vec<AlignedBytes>> {
    threads::map(schedule.steps.len(), threads, None, |index| pack(schedule, &schedule.steps[index], weights))
}

/// The name of a step's tensor in a packed file.
pub(super) fn tensor_name(graph: &Graph, planned: &PlannedStep) -> String {
    format!("{PACKED}{}", graph.nodes[planned.nodes[0]].name)
}

/// The matrix of a step that takes it as it is stored: where it lies, or, where that is not as this machine wants it, a
/// copy in f32 that sessions share.
fn stored(graph: &Graph, planned: &PlannedStep, origin: &Origin<'_>) -> Result<Option<(Dtype, Bytes)>> {
    if !planned.step.takes_stored() {
        return Ok(None);
    }
    let mut own = nodes(graph, planned).filter_map(|node| node.weights.as_ref());
    let (Some(own), None) = (own.next(), own.next()) else { unreachable!("such a step has one node with weights") };
    let name = own.weight();
    let Some(index) = origin.weights.index_of(&name) else { return Err(TensorError::Missing { tensor: name }.into()) };
    let tensor = origin.weights.nth(index);
    if lies_ready(&tensor) {
        origin.weights.populate(index);
        let range = part(own, &tensor, tensor.bytes().len());
        return Ok(Some((tensor.dtype(), Bytes::InFile(origin.weights.clone(), index, range))));
    }
    let copy = || {
        let values = tensor.try_to_f32()?;
        let own: &[u8] = bytemuck::cast_slice(&values[part(own, &tensor, values.len())]);
        AlignedBytes::try_copy(own).map_err(|_| SessionError::Memory { bytes: own.len() }.into())
    };
    let copy = origin.cache.packed.get(format!("{name} {:?} in f32", own.rows), copy)?;
    Ok(Some((Dtype::F32, Bytes::Made(copy))))
}

/// Whether a tensor's bytes are elements of this machine: of its byte order, and aligned.
fn lies_ready(tensor: &Tensor<'_>) -> bool {
    // The types of files are no more aligned than they are long.
    cfg!(target_endian = "little") && tensor.bytes().as_ptr().addr().is_multiple_of(tensor.dtype().size())
}

/// The part of a tensor's `len` elements or bytes that is the rows of a node: all of them, or a group's.
fn part(own: &WeightRows, tensor: &Tensor<'_>, len: usize) -> Range<usize> {
    let row = len / tensor.shape()[0];
    own.rows.start * row..own.rows.end * row
}

fn pack(schedule: &Schedule, planned: &PlannedStep, weights: &Weights) -> Result<AlignedBytes> {
    let graph = &schedule.graph;
    let bytes = planned.step.packed_bytes();
    let mut packed = AlignedBytes::try_zeroed(bytes).map_err(|_| SessionError::Memory { bytes })?;
    if packed.is_empty() {
        return Ok(packed);
    }
    let weighty = planned.nodes.iter().copied().filter(|&node| graph.nodes[node].weights.is_some());
    for (index, node) in weighty.enumerate() {
        let own = graph.nodes[node].weights.as_ref().expect("filtered above");
        let tensor = |name: String| weights.tensor(&name).ok_or(TensorError::Missing { tensor: name });
        let biases = tensor(own.bias())?.to_f32();
        let matrix = tensor(own.weight())?;
        let values = if planned.step.takes_stored() { Cow::default() } else { matrix.try_to_f32()? };
        let quantised = |suffix: &str| -> Result<Option<Cow<'_, [f32]>>> {
            if !schedule.formats.is_integer(node) {
                return Ok(None);
            }
            Ok(Some(tensor(format!("{}{suffix}", own.layer))?.to_f32()))
        };
        let (scales, corrected) = (quantised(WEIGHT_SCALE)?, quantised(INT8_BIAS)?);
        let rows = own.rows.clone();
        if let (Op::Conv(shape), Some(scales)) = (&graph.nodes[node].op, &scales) {
            check_pairs(shape, own, &values[part(own, &matrix, values.len())], scales)?;
        }
        let node_weights = NodeWeights {
            weights: &values[part(own, &matrix, values.len())],
            biases: &biases[rows.clone()],
            scales: [graph.nodes[node].input, graph.nodes[node].output]
                .map(|place| schedule.formats.scale(place.activation)),
            quantised: scales
                .as_ref()
                .zip(corrected.as_ref())
                .map(|(scales, biases)| Quantised { scales: &scales[rows.clone()], biases: &biases[rows] }),
        };
        planned.step.pack(index, &node_weights, &mut packed)?;
    }
    Ok(packed)
}

/// Checks that the weights of a node, `[oc, ic, kh, kw]`, become bytes that kernels may multiply in pairs; `scales` are the
/// whole layer's. The file is to guarantee it, and its weights are read only here.
fn check_pairs(shape: &ConvShape, own: &WeightRows, weights: &[f32], scales: &[f32]) -> Result<()> {
    let mut q = vec![0; shape.steps()];
    for (channel, w) in own.rows.clone().zip(weights.chunks_exact(shape.steps())) {
        narrow::quantise(w, scales[channel], &mut q);
        if !narrow::is_pair_safe(shape, &q) {
            let tensor = format!("{}{WEIGHT_SCALE}", own.layer);
            return Err(TensorError::UnsafePair { tensor, channel, scale: scales[channel] }.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::googlenet;
    use crate::plan::build::{self, Formats, Machine, Nominal};
    use googlenet_kernels::isa;

    /// Packings and the hashes of what they pack, of the demonstration weights on each set.
    const KNOWN: [&str; 4] = [
        "portable-2-f7c05bf0236a0463 of 05d3dbbef2642d9b",
        "neon-2-1bcf3ba89d521f30 of de181d84c4cf381d",
        "avx2-2-40d99876b79e0e8b of d1a9ea0c4b646c32",
        "avx512-2-635f07c027024adc of de52aee6ecefa7bf",
    ];

    /// A file is packed by one version of this crate and used by another: where values move, the version must too.
    #[test]
    fn packed_values_change_only_with_the_version() {
        let bytes: &[u8] = include_bytes!("../../../weights/demo.safetensors");
        let weights = Weights::from_vec(bytes.to_vec()).expect("valid");
        for isa in isa::detected() {
            let graph = googlenet(10).graph(64);
            let formats = Formats::new(&graph, Precision::F32, &Machine::here(isa), &Nominal);
            let schedule = build::schedule(graph, &Machine::here(isa), formats, 1, &[]);
            let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
            for packed in make(&schedule, &weights, 1).expect("packed") {
                hasher.update(&packed);
            }
            let found = format!("{} of {:016x}", packing(&schedule), hasher.digest());
            assert!(KNOWN.contains(&&found[..]), "{found} with version {VERSION} is new");
        }
    }
}
