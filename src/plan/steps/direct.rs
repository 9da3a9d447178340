//! A convolution by its definition, or several pointwise ones over one input, split by tiles of pixels and by blocks of
//! output channels.

use std::ops::Range;

use googlenet_kernels::conv::{self, ConvKernel, ConvShape, Direct};

use super::{Ends, NodeWeights, Offer, Part, Step, StepWeights, ranges};
use crate::Result;
use crate::model::Op;
use crate::plan::Precision;
use crate::plan::build::{Machine, Site};
use crate::plan::memory::{MAX_WRITES, Operands, Rows, Touch};

/// One offer for each kernel of the set.
pub(super) fn offers(site: &Site<'_>) -> Vec<Offer> {
    let Op::Conv(own) = *site.op() else { return Vec::new() };
    if site.formats.precision != Precision::F32 {
        return Vec::new();
    }
    let nodes = stack(site, &own);
    let outputs: Vec<Rows> = nodes.iter().map(|&node| site.rows(site.graph.nodes[node].output)).collect();
    let widths: Vec<usize> = outputs.iter().map(|output| output.rows).collect();
    let shape = ConvShape { oc: widths.iter().sum(), ..own };
    let offer = |kernel: &ConvKernel| {
        let in_place = shape.is_pointwise() && kernel.reads_in_place();
        let conv = Direct::new(*kernel, shape, &widths, in_place, site.machine.groups.panels);
        let ends = Ends { input: site.input(), outputs: outputs.clone() };
        Offer::new(cycles(&conv, in_place, site.machine), nodes.clone(), ends, conv)
    };
    conv::kernels(site.machine.isa).iter().map(offer).collect()
}

/// The nodes that run as one with the site's: pointwise convolutions of the same input, in one arithmetic and to one
/// element, at most as many as a task may write to.
pub(super) fn stack(site: &Site<'_>, shape: &ConvShape) -> Vec<usize> {
    if !shape.is_pointwise() {
        return vec![site.index];
    }
    let nodes = &site.graph.nodes;
    let joins = |&node: &usize| {
        let pointwise = matches!(&nodes[node].op, Op::Conv(shape) if shape.is_pointwise());
        let alike = site.is_alike(node);
        pointwise && alike && nodes[node].input == site.node().input && !site.is_taken(node)
    };
    (site.index..nodes.len()).filter(joins).take(MAX_WRITES).collect()
}

/// What the whole convolution costs:
///
/// ```text
/// max(multiply-adds, weight traffic) + stores + panels, if gathered
/// ```
///
/// Multiply-adds count what the tiles compute, waste included. Weights are read once for every group of tiles, from
/// memory: all layers' weights together are larger than any cache.
fn cycles(conv: &Direct, in_place: bool, machine: &Machine) -> f64 {
    let (kernel, shape, costs) = (conv.kernel(), conv.shape(), &machine.costs);
    let lanes = machine.lanes as f64;
    let padded: usize = conv.block_widths().iter().sum();
    let outputs = (conv.tiles() * kernel.px() * padded) as f64 / lanes;
    let multiply = outputs * shape.steps() as f64 / 2.0;
    let groups = conv.tiles().div_ceil(kernel.tiles_at_once(shape, machine.nominal.panels)) as f64;
    let weights = (padded * shape.steps() * size_of::<f32>()) as f64 * groups / costs.memory_bytes;
    let vectors = (conv.tiles() * shape.steps() * kernel.px().div_ceil(machine.lanes)) as f64;
    let panels = match (in_place, shape.is_pointwise()) {
        (true, _) => 0.0,
        (false, true) => vectors * costs.panel,
        (false, false) => vectors * costs.gathered_panel,
    };
    let store = if kernel.transposes() { costs.store + costs.transpose } else { costs.store };
    multiply.max(weights) + outputs * store + panels
}

/// Parts of a convolution of so many tiles of pixels and blocks of channels.
pub(super) fn split(shape: &ConvShape, tiles: usize, blocks: usize, machine: &Machine, threads: usize) -> Vec<Part> {
    let most = machine.heavy_tasks(shape.multiply_adds(), threads);
    // If pixels are split, each task reads all weights; if channels are, each task gathers or reads all inputs. More
    // than two pieces of the other kind would repeat more reads than they share work.
    let weights = shape.steps() * shape.oc;
    let inputs = shape.steps() * shape.pixels();
    let (by_tiles, by_blocks) = if most == 1 {
        (1, 1)
    } else if weights > 3 * inputs {
        (most.div_ceil(blocks).min(2), most.min(blocks))
    } else {
        let by_tiles = most.min(tiles);
        (by_tiles, most.div_ceil(by_tiles).min(2))
    };
    let parts =
        |range: Range<usize>| ranges(blocks, by_blocks).map(move |blocks| Part { range: range.clone(), blocks });
    ranges(tiles, by_tiles).flat_map(parts).collect()
}

impl Step for Direct {
    fn kernel(&self) -> String {
        self.kernel().name().into()
    }

    fn multiply_adds(&self) -> u64 {
        self.shape().multiply_adds()
    }

    fn scratch_bytes(&self) -> usize {
        self.scratch_bytes()
    }

    fn packed_bytes(&self) -> usize {
        self.packed_bytes()
    }

    fn block_widths(&self) -> Vec<usize> {
        self.block_widths()
    }

    fn pack(&self, index: usize, own: &NodeWeights<'_>, packed: &mut [u8]) -> Result<()> {
        self.pack(index, own.weights, own.biases, packed);
        Ok(())
    }

    fn split(&self, _: &Ends, machine: &Machine, threads: usize) -> Vec<Part> {
        split(self.shape(), self.tiles(), self.blocks(), machine, threads)
    }

    fn touch(&self, ends: &Ends, part: &Part) -> Touch {
        let pixels = self.pixels(part.range.clone());
        let write =
            |(index, output): (usize, &Rows)| output.window(self.channels(index, part.blocks.clone()), pixels.clone());
        Touch { read: Some(ends.input.all()), writes: ends.outputs.iter().enumerate().map(write).collect() }
    }

    fn run(&self, part: &Part, weights: StepWeights<'_>, operands: Operands<'_>, scratch: &mut [u8]) {
        let kernel_operands = conv::Operands { x: operands.read(), packed: weights.packed, relu: true, scratch };
        self.run(kernel_operands, part.range.clone(), part.blocks.clone(), &mut operands.writes());
    }
}
