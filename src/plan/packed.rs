//! Packed weights: every step's as its kernel wants them, made here or used where they lie in a weight file.
//!
//! A packed file holds, besides the network's own tensors, one tensor `packed/<layer>` for each step that has
//! weights, `<layer>` being the step's first, and in its metadata the *packing*: the instruction set and a hash of
//! every step's name, kernel and length. A plan whose own packing is the same uses those tensors in place; any other
//! packs the network's tensors itself. The packing knows neither threads nor endpoints, which change no layout.

use std::ops::Deref;
use std::sync::Arc;

use googlenet_kernels::isa::Isa;

use super::aligned::Aligned;
use super::build::Layout;
use super::cache::Cache;
use super::describe;
use super::lent::Lent;
use super::parallel;
use super::step::{Kind, Step};
use crate::Result;
use crate::error::TensorError;
use crate::model::Graph;
use crate::weights::{PACKED, PACKING, Weights};

/// Goes into every packing: raise it when a kernel's layout changes and its name does not.
/// `packed_values_change_only_with_the_version` holds it to that.
const VERSION: u32 = 1;

/// One step's packed weights.
pub(super) enum Packed {
    /// Of a step without weights.
    Nothing,
    /// Perhaps shared with other sessions of the model.
    Made(Arc<Aligned>),
    /// The tensor of that index, of f32 where it lies.
    InFile(Arc<Weights>, usize),
}

impl Deref for Packed {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Packed::Nothing => &[],
            Packed::Made(values) => values,
            Packed::InFile(weights, index) => weights.nth(*index).as_f32().expect("asked when it was found"),
        }
    }
}

/// The packing of a plan.
pub(super) fn packing(graph: &Graph, layout: &Layout, isa: Isa) -> String {
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    for step in layout.steps.iter().filter(|step| len(graph, step) > 0) {
        hasher.update(key(graph, step, isa).as_bytes());
    }
    format!("{isa}-{VERSION}-{:016x}", hasher.digest())
}

/// What the values of a step's packed weights depend on, besides the model.
fn key(graph: &Graph, step: &Step, isa: Isa) -> String {
    // All layers of a stack; of a convolution and its pool, the convolution.
    let nodes = if let Kind::Direct(_) = step.kind { &step.nodes[..] } else { &step.nodes[..1] };
    let layers: Vec<&str> = nodes.iter().map(|&node| graph.nodes[node].name.as_str()).collect();
    let widths: Vec<usize> = match &step.kind {
        Kind::Direct(conv) => conv.block_widths(),
        Kind::Winograd(conv) | Kind::WinogradOutput(conv) => conv.block_widths(),
        _ => Vec::new(),
    };
    format!("{isa} {} {widths:?} {}: {}\n", describe::kernel(step).0, len(graph, step), layers.join(" + "))
}

/// Where packed weights come from.
pub(super) struct Source<'a> {
    pub weights: &'a Arc<Weights>,
    pub cache: &'a Cache,
    /// Threads to pack on, perhaps those that the caller lends.
    pub threads: usize,
    pub lent: Option<&'a Lent>,
}

/// Every step's packed weights: the file's, if it has this packing; else those that another session has, or new ones.
pub(super) fn weights(
    graph: &Graph,
    layout: &Layout,
    isa: Isa,
    packing: &str,
    source: &Source<'_>,
) -> Result<Vec<Packed>> {
    if let Some(found) = in_file(graph, layout, packing, source.weights) {
        source.weights.populate_packed();
        return Ok(found);
    }
    parallel::map(layout.steps.len(), source.threads, source.lent, |index| {
        let step = &layout.steps[index];
        if len(graph, step) == 0 {
            return Ok(Packed::Nothing);
        }
        let pack = || pack(graph, step, source.weights);
        source.cache.get(key(graph, step, isa), pack).map(Packed::Made)
    })
}

/// The file's packed tensors, if it has this packing, and all are there, of f32 and of the right length.
pub(super) fn in_file(graph: &Graph, layout: &Layout, packing: &str, source: &Arc<Weights>) -> Option<Vec<Packed>> {
    source.metadata().get(PACKING).filter(|own| *own == packing)?;
    let step = |step: &Step| match len(graph, step) {
        0 => Some(Packed::Nothing),
        len => {
            let index = source.index_of(&tensor_name(graph, step))?;
            let values = source.nth(index).as_f32()?;
            (values.len() == len).then(|| Packed::InFile(source.clone(), index))
        }
    };
    layout.steps.iter().map(step).collect()
}

/// Packs every step's weights, for a file.
pub(super) fn make(graph: &Graph, layout: &Layout, source: &Weights, threads: usize) -> Result<Vec<Aligned>> {
    parallel::map(layout.steps.len(), threads, None, |index| pack(graph, &layout.steps[index], source))
}

/// The name of a step's tensor in a packed file.
pub(super) fn tensor_name(graph: &Graph, step: &Step) -> String {
    format!("{PACKED}{}", layer(graph, step))
}

/// The layer a step's weights are called after.
fn layer<'a>(graph: &'a Graph, step: &Step) -> &'a str {
    &graph.nodes[step.nodes[0]].name
}

/// Elements of a step's packed weights; 0 if it has none.
pub(super) fn len(graph: &Graph, step: &Step) -> usize {
    match &step.kind {
        Kind::Direct(conv) => conv.packed_bytes() / size_of::<f32>(),
        Kind::Winograd(conv) | Kind::WinogradOutput(conv) => conv.packed_bytes() / size_of::<f32>(),
        Kind::FullyConnected { .. } => {
            let oc = graph.nodes[step.nodes[0]].output.channels;
            oc * (graph.activations[step.input].len() + 1)
        }
        Kind::WinogradInput { .. } | Kind::MaxPool(_) | Kind::AveragePool(_) | Kind::Lrn { .. } => 0,
        Kind::GlobalAverage { .. } | Kind::Softmax => 0,
    }
}

fn pack(graph: &Graph, step: &Step, source: &Weights) -> Result<Aligned> {
    let mut packed = Aligned::zeroed(len(graph, step));
    if packed.is_empty() {
        return Ok(packed);
    }
    let tensors = |node: usize| -> Result<_> {
        let name = &graph.nodes[node].name;
        let tensor = |tensor: String| source.tensor(&tensor).ok_or(TensorError::Missing { tensor });
        Ok((tensor(format!("{name}.weight"))?.to_f32(), tensor(format!("{name}.bias"))?.to_f32()))
    };
    match &step.kind {
        Kind::Direct(conv) => {
            for (part, &node) in step.nodes.iter().enumerate() {
                let (w, bias) = tensors(node)?;
                conv.pack(part, &w, &bias, bytemuck::cast_slice_mut(&mut packed));
            }
        }
        Kind::Winograd(conv) | Kind::WinogradOutput(conv) => {
            let (w, bias) = tensors(step.nodes[0])?;
            conv.pack(&w, &bias, bytemuck::cast_slice_mut(&mut packed));
        }
        _ => {
            let (w, bias) = tensors(step.nodes[0])?;
            packed[..w.len()].copy_from_slice(&w);
            packed[w.len()..].copy_from_slice(&bias);
        }
    }
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::googlenet;
    use crate::plan::build;
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
        let bytes: &[u8] = include_bytes!("../../weights/demo.safetensors");
        let source = Weights::from_vec(bytes.to_vec()).expect("valid");
        let graph = googlenet(10).graph(64);
        for isa in isa::detected() {
            let layout = build::layout(&graph, isa, 1, &[]);
            let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
            for values in make(&graph, &layout, &source, 1).expect("packed") {
                values.iter().for_each(|value| hasher.update(&value.to_le_bytes()));
            }
            let found = format!("{} of {:016x}", packing(&graph, &layout, isa), hasher.digest());
            assert!(KNOWN.contains(&&found[..]), "{found} with version {VERSION} is new");
        }
    }
}
