//! A convolution in the transformed domain, as one step or as two, and perhaps with the pool that follows it.
//!
//! As one step, split by rows of tiles, a thread transforms the inputs of a few rows of tiles into its own scratch, and
//! multiplies and transforms them back block by block of output channels. As two, all threads first share the input
//! transform, split by input channels, and then the rest, split by output channels: for maps with too few rows of tiles
//! to go round.

use googlenet_kernels::conv::{self, ConvShape};
use googlenet_kernels::winograd::{self, Transformed, Winograd};

use super::{Offer, Part, Step, ranges, split_evenly};
use crate::model::{MaxPool, Op};
use crate::plan::build::{Machine, Site};
use crate::plan::memory::{Element, Operands, Rows, Touch};

/// The whole convolution.
#[derive(Debug)]
struct Whole {
    conv: Transformed,
    /// Whether a pool is behind it.
    pooled: bool,
    input: Rows,
    output: Rows,
}

/// The input transform alone: a row a point, which holds `[channel block][tile][lane]`.
#[derive(Debug)]
struct Inputs {
    conv: Transformed,
    input: Rows,
    transformed: Rows,
}

/// The rest, from what that makes.
#[derive(Debug)]
struct Products {
    conv: Transformed,
    transformed: Rows,
    output: Rows,
}

/// One offer for each algorithm that computes the convolution.
pub(super) fn offers(site: &Site<'_>) -> Vec<Offer> {
    let Op::Conv(shape) = *site.op() else { return Vec::new() };
    let fitting = winograd::algorithms(site.machine.isa).iter().filter(|algorithm| algorithm.fits(&shape));
    fitting.map(|algorithm| offer(site, algorithm, shape)).collect()
}

fn offer(site: &Site<'_>, algorithm: &Winograd, shape: ConvShape) -> Offer {
    let conv = Transformed::new(*algorithm, shape, site.machine.groups.transformed);
    let cycles = cycles(&conv, site.machine);
    let (input, output) = (site.input(), site.output());
    if is_shared(&conv, site.threads) {
        let (points, len) = (algorithm.points(), conv.v_row_bytes() / size_of::<f32>());
        let transformed = Rows { buffer: site.next_buffer, first: 0, rows: points, len };
        let inputs = Inputs { conv: conv.clone(), input, transformed };
        let products = Products { conv, transformed, output };
        return Offer {
            cycles,
            nodes: vec![site.index],
            buffers: vec![(Element::F32, points * len)],
            steps: vec![Box::new(inputs), Box::new(products)],
        };
    }
    let (nodes, step) = match fused_pool(site) {
        None => (vec![site.index], Whole { conv, pooled: false, input, output }),
        Some(pool) => {
            let output = site.graph.nodes[pool].output;
            let windows = &site.graph.activations[output.activation];
            let conv = conv.with_pool([windows.h, windows.w]);
            let output = site.rows(output);
            (vec![site.index, pool], Whole { conv, pooled: true, input, output })
        }
    };
    Offer { cycles, nodes, buffers: Vec::new(), steps: vec![Box::new(step)] }
}

/// Whether threads share the transformed inputs: where there are too few rows of tiles to go round, and blocks of output
/// channels instead.
fn is_shared(conv: &Transformed, threads: usize) -> bool {
    threads > 1 && conv.tile_rows() < 4 * threads && conv.blocks() > 1
}

/// The 3x3 max pool of stride 2 without leading padding that alone reads what the site's convolution makes.
fn fused_pool(site: &Site<'_>) -> Option<usize> {
    let output = site.node().output;
    let &[reader] = &site.readers(output.activation)[..] else { return None };
    let map = site.output_activation();
    let unpadded = |pool: &MaxPool| (pool.leading(map.h), pool.leading(map.w)) == (0, 0);
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
    let multiply = tiles * algorithm.channels(shape) as f64 * padded / 2.0;
    let weights = conv.packed_bytes() as f64 * groups / costs.memory_bytes;
    let input = conv.channel_blocks() as f64 * costs.transform_input;
    multiply.max(weights) + tiles * (input + padded * costs.transform_output)
}

impl Step for Whole {
    fn kernel(&self) -> String {
        self.conv.algorithm().name().into()
    }

    fn input(&self) -> Rows {
        self.input
    }

    fn outputs(&self) -> Vec<Rows> {
        vec![self.output]
    }

    fn multiply_adds(&self) -> u64 {
        self.conv.multiply_adds()
    }

    fn scratch_bytes(&self) -> usize {
        self.conv.scratch_bytes()
    }

    fn packed_bytes(&self) -> usize {
        self.conv.packed_bytes()
    }

    fn block_widths(&self) -> Vec<usize> {
        self.conv.block_widths()
    }

    fn pack(&self, _: usize, weights: &[f32], biases: &[f32], packed: &mut [u8]) {
        self.conv.pack(weights, biases, packed);
    }

    fn split(&self, machine: &Machine, threads: usize) -> Vec<Part> {
        let blocks = 0..self.conv.blocks();
        let most = if self.pooled {
            // Windows take a row from the tiles after theirs, so that every task but one computes some tiles twice.
            threads
        } else {
            // No more than groups of rows or what the threads need: every task reads all weights.
            let groups = self.conv.tile_rows().div_ceil(self.conv.rows_at_once()).max(2 * threads);
            machine.heavy_tasks(self.multiply_adds(), threads).min(groups)
        };
        split_evenly(self.conv.parts(), most, &blocks)
    }

    fn touch(&self, part: &Part) -> Touch {
        let pixels = self.conv.pixels(&part.range);
        let write = self.output.window(0..self.output.rows, pixels);
        Touch { read: Some(self.input.whole(0..self.input.rows)), writes: vec![write] }
    }

    fn run(&self, part: &Part, packed: &[u8], operands: Operands<'_>, scratch: &mut [u8]) {
        let kernel_operands = conv::Operands { x: operands.read(), packed, relu: true, scratch };
        self.conv.run(kernel_operands, part.range.clone(), &mut operands.write());
    }
}

impl Step for Inputs {
    fn kernel(&self) -> String {
        format!("{} input", self.conv.algorithm().name())
    }

    fn input(&self) -> Rows {
        self.input
    }

    fn outputs(&self) -> Vec<Rows> {
        vec![self.transformed]
    }

    fn scratch_bytes(&self) -> usize {
        self.conv.shared_scratch_bytes()
    }

    fn split(&self, machine: &Machine, threads: usize) -> Vec<Part> {
        let elements = 4 * self.transformed.rows * self.transformed.len;
        let blocks = 0..self.conv.blocks();
        split_evenly(self.conv.channel_blocks(), machine.light_tasks(elements, threads), &blocks)
    }

    fn touch(&self, part: &Part) -> Touch {
        let block = self.conv.v_block_bytes() / size_of::<f32>();
        let columns = part.range.start * block..part.range.end * block;
        let write = self.transformed.window(0..self.transformed.rows, columns);
        Touch { read: Some(self.input.whole(0..self.input.rows)), writes: vec![write] }
    }

    fn run(&self, part: &Part, _: &[u8], operands: Operands<'_>, scratch: &mut [u8]) {
        let x = operands.read();
        self.conv.transform(x, part.range.clone(), operands.write(), scratch);
    }
}

impl Step for Products {
    fn kernel(&self) -> String {
        self.conv.algorithm().name().into()
    }

    fn input(&self) -> Rows {
        self.transformed
    }

    fn outputs(&self) -> Vec<Rows> {
        vec![self.output]
    }

    fn multiply_adds(&self) -> u64 {
        self.conv.multiply_adds()
    }

    fn scratch_bytes(&self) -> usize {
        self.conv.shared_scratch_bytes()
    }

    fn packed_bytes(&self) -> usize {
        self.conv.packed_bytes()
    }

    fn block_widths(&self) -> Vec<usize> {
        self.conv.block_widths()
    }

    fn pack(&self, _: usize, weights: &[f32], biases: &[f32], packed: &mut [u8]) {
        self.conv.pack(weights, biases, packed);
    }

    fn split(&self, machine: &Machine, threads: usize) -> Vec<Part> {
        let range = 0..self.conv.tile_rows();
        let pieces = machine.heavy_tasks(self.multiply_adds(), threads);
        ranges(self.conv.blocks(), pieces).map(|blocks| Part { range: range.clone(), blocks }).collect()
    }

    fn touch(&self, part: &Part) -> Touch {
        let channels = self.conv.channels(part.blocks.clone());
        let write = self.output.window(channels, 0..self.output.len);
        Touch { read: Some(self.transformed.whole(0..self.transformed.rows)), writes: vec![write] }
    }

    fn run(&self, part: &Part, packed: &[u8], operands: Operands<'_>, scratch: &mut [u8]) {
        let kernel_operands = conv::Operands { x: operands.read(), packed, relu: true, scratch };
        self.conv.multiply(kernel_operands, part.blocks.clone(), &mut operands.write());
    }
}
