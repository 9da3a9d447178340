//! A convolution in the transformed domain, as one step or as two, and perhaps with the pool that follows it.
//!
//! As one step, split by rows of tiles, a thread transforms the inputs of a few rows of tiles into its own scratch, and
//! multiplies and transforms them back block by block of output channels. As two, all threads first share the input
//! transform, split by input channels, and then the rest, split by output channels: for maps with too few rows of tiles
//! to go round.

use googlenet_kernels::conv::ConvShape;
use googlenet_kernels::element::Element;
use googlenet_kernels::winograd::{self, Transformed, Winograd};

use super::{Ends, NodeWeights, Offer, Part, Step, StepWeights, ranges, split_evenly};
use crate::Result;
use crate::model::{MaxPool, Op};
use crate::plan::Precision;
use crate::plan::build::{Machine, Site};
use crate::plan::memory::{Operands, Rows, Touch};

/// A convolution, or one half of it.
#[derive(Debug)]
struct WinogradStep {
    conv: Transformed,
    half: Half,
}

/// What of a convolution a step computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    /// All of it, perhaps with the pool behind it.
    Both { pooled: bool },
    /// The input transform: a row a point, which holds `[channel block][tile][lane]`.
    Inputs,
    /// The rest, from what that makes.
    Products,
}

/// One offer for each algorithm that computes the convolution.
pub(super) fn offers(site: &Site<'_>) -> Vec<Offer> {
    let Op::Conv(shape) = *site.op() else { return Vec::new() };
    let [input, output] = site.elements();
    let isa = site.machine.isa;
    let none = &[][..];
    let [singles, bf16, integers] = match site.formats.precision {
        Precision::F32 => [winograd::algorithms(isa), none, none],
        Precision::Bf16 => [none, winograd::bf16_algorithms(isa), none],
        Precision::Int8 => {
            let integer = std::slice::from_ref(winograd::integer_algorithm(isa));
            let integers = if site.formats.is_integer(site.index) { integer } else { none };
            [winograd::algorithms(isa), winograd::bf16_algorithms(isa), integers]
        }
    };
    let algorithms = singles.iter().chain(bf16).chain(integers);
    let fitting = algorithms.filter(|algorithm| algorithm.fits(&shape) && algorithm.takes(input, output));
    fitting.map(|algorithm| offer(site, algorithm, shape)).collect()
}

fn offer(site: &Site<'_>, algorithm: &Winograd, shape: ConvShape) -> Offer {
    let conv = Transformed::new(*algorithm, shape, site.elements(), site.machine.groups.transformed);
    let cycles = cycles(&conv, site.machine);
    let (input, output) = (site.input(), site.output());
    if is_shared(&conv, site.threads) {
        let (rows, len) = (algorithm.points(), conv.v_row_bytes() / size_of::<f32>());
        let transformed = Rows { buffer: site.next_buffer, first: 0, rows, len };
        let step = |half, input, output| -> (Ends, Box<dyn Step>) {
            (Ends { input, outputs: vec![output] }, Box::new(WinogradStep { conv: conv.clone(), half }))
        };
        return Offer {
            cycles,
            nodes: vec![site.index],
            buffers: vec![(Element::F32, rows * len)],
            steps: vec![step(Half::Inputs, input, transformed), step(Half::Products, transformed, output)],
        };
    }
    let Some(pool) = fused_pool(site) else {
        let ends = Ends { input, outputs: vec![output] };
        return Offer::new(cycles, vec![site.index], ends, WinogradStep { conv, half: Half::Both { pooled: false } });
    };
    let windows = site.graph.nodes[pool].output;
    let [_, rows, columns] = site.graph.shape(windows);
    let step = WinogradStep { conv: conv.with_pool([rows, columns]), half: Half::Both { pooled: true } };
    let ends = Ends { input, outputs: vec![site.rows(windows)] };
    Offer::new(cycles, vec![site.index, pool], ends, step)
}

/// Whether threads share the transformed inputs: where there are too few rows of tiles to go round, fewer than four for
/// each thread, and blocks of output channels instead.
fn is_shared(conv: &Transformed, threads: usize) -> bool {
    threads > 1 && conv.tile_rows() < 4 * threads && conv.blocks() > 1
}

/// The 3x3 max pool of stride 2 without leading padding that alone reads what the site's convolution makes.
fn fused_pool(site: &Site<'_>) -> Option<usize> {
    let output = site.node().output;
    let &[reader] = &site.readers(output.activation)[..] else { return None };
    let [_, h, w] = site.graph.shape(output);
    let unpadded = |pool: &MaxPool| (pool.leading(h), pool.leading(w)) == (0, 0);
    let whole = site.is_whole(output) && site.is_whole(site.graph.nodes[reader].input);
    match &site.graph.nodes[reader].op {
        Op::MaxPool(pool)
            if whole && !site.is_kept(output.activation) && (pool.kernel, pool.stride) == (3, 2) && unpadded(pool) =>
        {
            Some(reader)
        }
        _ => None,
    }
}

/// What the whole convolution costs:
///
/// ```text
/// max(multiply-adds, weight traffic) + input transform + products' stores and output transform
/// ```
///
/// Multiply-adds count what the tiles compute, waste included. Weights are read once for every group of rows of tiles,
/// from memory: all layers' weights together are larger than any cache.
fn cycles(conv: &Transformed, machine: &Machine) -> f64 {
    let (algorithm, shape, costs) = (conv.algorithm(), conv.shape(), &machine.costs);
    let grid = algorithm.grid(shape);
    let tiles = (algorithm.points() * grid.rows * grid.columns) as f64;
    let padded = shape.oc.next_multiple_of(machine.lanes) as f64 / machine.lanes as f64;
    let groups = grid.rows.div_ceil(algorithm.rows_at_once(shape, machine.nominal.transformed)) as f64;
    let multiply = tiles * algorithm.channels(shape) as f64 * padded * algorithm.multiply_adds() / 2.0;
    let weights = conv.packed_bytes() as f64 * groups / costs.memory_bytes;
    let input = conv.channel_blocks() as f64 * costs.transform_input;
    multiply.max(weights) + tiles * (input + padded * costs.transform_output)
}

impl Step for WinogradStep {
    fn kernel(&self) -> String {
        let name = self.conv.algorithm().name();
        if self.half == Half::Inputs { format!("{name} input") } else { name.into() }
    }

    fn precision(&self) -> Precision {
        match self.conv.algorithm() {
            algorithm if algorithm.is_integer() => Precision::Int8,
            algorithm if algorithm.is_bf16() => Precision::Bf16,
            _ => Precision::F32,
        }
    }

    fn instruction(&self) -> Option<&'static str> {
        self.conv.algorithm().instruction()
    }

    fn multiply_adds(&self) -> u64 {
        if self.half == Half::Inputs { 0 } else { self.conv.multiply_adds() }
    }

    fn scratch_bytes(&self) -> usize {
        match self.half {
            Half::Both { .. } => self.conv.scratch_bytes(),
            Half::Inputs | Half::Products => self.conv.shared_scratch_bytes(),
        }
    }

    fn packed_bytes(&self) -> usize {
        if self.half == Half::Inputs { 0 } else { self.conv.packed_bytes() }
    }

    fn block_widths(&self) -> Vec<usize> {
        self.conv.block_widths()
    }

    fn pack(&self, _: usize, own: &NodeWeights<'_>, packed: &mut [u8]) -> Result<()> {
        let [weights, biases] = own.folded()?;
        self.conv.pack(&weights, &biases, packed);
        Ok(())
    }

    fn split(&self, ends: &Ends, machine: &Machine, threads: usize) -> Vec<Part> {
        let heavy = machine.heavy_tasks(self.conv.multiply_adds(), threads);
        match self.half {
            // Windows take a row from the tiles after theirs, so that every task but one computes some tiles twice.
            Half::Both { pooled: true } => split_evenly(self.conv.parts(), threads),
            Half::Both { pooled: false } => {
                // No more than groups of rows or what the threads need: every task reads all weights.
                let groups = self.conv.tile_rows().div_ceil(self.conv.rows_at_once());
                split_evenly(self.conv.parts(), heavy.min(groups.max(2 * threads)))
            }
            Half::Inputs => {
                let most = machine.light_tasks(4 * ends.output().elements(), threads);
                split_evenly(self.conv.channel_blocks(), most)
            }
            Half::Products => {
                let part = |blocks| Part { range: 0..self.conv.tile_rows(), blocks };
                ranges(self.conv.blocks(), heavy).map(part).collect()
            }
        }
    }

    fn touch(&self, ends: &Ends, part: &Part) -> Touch {
        let output = ends.output();
        let write = match self.half {
            Half::Both { .. } => output.window(0..output.rows, self.conv.pixels(&part.range)),
            Half::Inputs => {
                let block = self.conv.v_block_bytes() / size_of::<f32>();
                output.window(0..output.rows, part.range.start * block..part.range.end * block)
            }
            Half::Products => output.window(self.conv.channels(part.blocks.clone()), 0..output.len),
        };
        Touch { read: Some(ends.input.all()), writes: vec![write] }
    }

    fn run(&self, part: &Part, weights: StepWeights<'_>, operands: Operands<'_>, scratch: &mut [u8]) {
        let packed = weights.packed;
        let x = operands.read();
        match self.half {
            Half::Both { .. } => {
                let own = winograd::Operands { x, packed, relu: true, scratch };
                self.conv.run(own, part.range.clone(), &mut operands.write());
            }
            Half::Inputs => self.conv.transform(x, part.range.clone(), operands.write(), scratch),
            Half::Products => {
                let own = winograd::Operands { x, packed, relu: true, scratch };
                self.conv.multiply(own, part.blocks.clone(), &mut operands.write());
            }
        }
    }
}
