//! A convolution by its definition on narrow elements, or several pointwise ones over one input: bytes by signed bytes in
//! integers, or bf16. It is split as one in f32 is.

use googlenet_kernels::conv::ConvShape;
use googlenet_kernels::narrow::{self, Arithmetic, Direct, Kernel, Layout};

use super::direct::{split, stack};
use super::{Ends, NodeWeights, Offer, Part, Step, StepWeights};
use crate::Result;
use crate::error::SessionError;
use crate::model::Op;
use crate::plan::Precision;
use crate::plan::build::{Machine, Site};
use crate::plan::memory::{Operands, Rows, Touch};

/// One offer for each layout of tiles that the set has.
pub(super) fn offers(site: &Site<'_>) -> Vec<Offer> {
    let Op::Conv(own) = *site.op() else { return Vec::new() };
    if site.formats.precision == Precision::F32 {
        return Vec::new();
    }
    let nodes = stack(site, &own);
    let outputs: Vec<Rows> = nodes.iter().map(|&node| site.rows(site.graph.nodes[node].output)).collect();
    let widths: Vec<usize> = outputs.iter().map(|output| output.rows).collect();
    let shape = ConvShape { oc: widths.iter().sum(), ..own };
    let is_integer = site.formats.is_integer(site.index) && narrow::fits(&shape);
    let arithmetic = if is_integer { Arithmetic::Int8 } else { Arithmetic::Bf16 };
    let [input, output] = site.elements();
    let offer = |kernel: Kernel| {
        let conv = Direct::new(kernel, shape, &widths, input, output, site.machine.groups.panels);
        let ends = Ends { input: site.input(), outputs: outputs.clone() };
        Offer::new(cycles(&conv, site.machine), nodes.clone(), ends, conv)
    };
    narrow::layouts(site.machine.isa, arithmetic).map(offer).collect()
}

/// What the whole convolution costs:
///
/// ```text
/// max(products, weight traffic) + stores + panels
/// ```
///
/// Products count what the tiles compute, waste included. Weights are read once for every group of tiles, from memory.
fn cycles(conv: &Direct, machine: &Machine) -> f64 {
    let (kernel, costs) = (conv.kernel(), &machine.costs);
    let words = conv.words() as f64;
    let outputs = conv.vectors() as f64;
    let multiply = outputs * words * kernel.multiply_adds() / 2.0;
    let groups = conv.tiles().div_ceil(conv.tiles_at_once(machine.nominal.panels)) as f64;
    let weights = conv.packed_bytes() as f64 * groups / costs.memory_bytes;
    let panel = if conv.interleaves() { costs.interleaved_panel } else { costs.word_panel };
    let panels = (conv.tiles() * kernel.px().div_ceil(machine.lanes)) as f64 * words * panel;
    let store = match kernel.arithmetic() {
        Arithmetic::Int8 => costs.store_sums,
        Arithmetic::Bf16 => costs.store,
    };
    let transpose = match kernel.layout() {
        Layout::ChannelLanes => costs.transpose,
        Layout::PixelLanes => 0.0,
    };
    multiply.max(weights) + outputs * (store + transpose) + panels
}

impl Step for Direct {
    fn kernel(&self) -> String {
        self.kernel().name().into()
    }

    fn precision(&self) -> Precision {
        match self.kernel().arithmetic() {
            Arithmetic::Int8 => Precision::Int8,
            Arithmetic::Bf16 => Precision::Bf16,
        }
    }

    fn instruction(&self) -> Option<&'static str> {
        self.kernel().instruction()
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
        let [input, output] = own.scales;
        match (self.kernel().arithmetic(), &own.quantised) {
            (Arithmetic::Int8, Some(quantised)) => {
                let (mut weights, bytes) = (Vec::new(), own.weights.len());
                weights.try_reserve_exact(bytes).map_err(|_| SessionError::Memory { bytes })?;
                weights.resize(bytes, 0);
                let rows = own.weights.len() / quantised.scales.len();
                let filters = own.weights.chunks_exact(rows).zip(weights.chunks_exact_mut(rows));
                filters.zip(quantised.scales).for_each(|((w, q), &scale)| narrow::quantise(w, scale, q));
                let multipliers: Vec<f32> = quantised.scales.iter().map(|scale| scale * input / output).collect();
                let biases: Vec<f32> = quantised.biases.iter().map(|bias| bias / output).collect();
                self.pack_int8(index, &weights, &multipliers, &biases, packed);
            }
            (Arithmetic::Int8, None) => unreachable!("integers are chosen where the file has scales"),
            (Arithmetic::Bf16, _) => {
                let [weights, biases] = own.folded()?;
                self.pack_bf16(index, &weights, &biases, packed);
            }
        }
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
        let kernel_operands = narrow::Operands { x: operands.read(), packed: weights.packed, relu: true, scratch };
        self.run(kernel_operands, part.range.clone(), part.blocks.clone(), &mut operands.writes());
    }
}
