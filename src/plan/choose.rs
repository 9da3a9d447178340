//! Which microkernel a convolution gets: a small cost model, in vector multiply-adds.
//!
//! A tile costs its multiply-adds, waste included, plus moving data around them:
//!
//! ```text
//! tiles * sum over blocks of px * width / LANES * (steps + STORE)      multiply, then store (and transpose)
//! tiles * steps * px / LANES * PACK                                    if a panel is packed
//! ```

use googlenet_kernels::conv::{self, ConvKernel, ConvShape};
use googlenet_kernels::isa::Isa;

/// The winner, and why.
pub(super) struct Choice {
    pub kernel: ConvKernel,
    pub in_place: bool,
    pub reason: String,
}

/// Cost of an output vector's bias, ReLU and store, in steps; benches/kernels.rs.
const STORE: usize = 8;
/// Cost of moving one vector into a panel, in multiply-adds; benches/kernels.rs.
const PACK: usize = 3;

/// The cheapest kernel for `shape`, whose channels belong to outputs of `widths` channels each.
pub(super) fn choose(isa: Isa, shape: &ConvShape, widths: &[usize]) -> Choice {
    let candidates = conv::kernels(isa).iter().map(|kernel| (cost(kernel, shape, widths), kernel));
    let (cost, kernel) = candidates.min_by_key(|&(cost, _)| cost).expect("every set has kernels");
    let needed = shape.multiply_adds() / LANES as u64;
    let in_place = shape.is_pointwise() && kernel.reads_in_place;
    let source = if in_place { "in place" } else { "panels" };
    let reason = format!("{source}, {:.0} % useful", 100.0 * needed as f64 / cost as f64);
    Choice { kernel: *kernel, in_place, reason }
}

/// The unit: a vector of the widest set. Only ratios matter.
const LANES: usize = 16;

fn cost(kernel: &ConvKernel, shape: &ConvShape, widths: &[usize]) -> u64 {
    let tiles = shape.pixels().div_ceil(kernel.px);
    let padded = widths.iter().flat_map(|&oc| conv::blocks(kernel, oc, shape.steps())).map(|b| b.width).sum::<usize>();
    let multiply = kernel.px * padded * (shape.steps() + STORE);
    let panel = !(shape.is_pointwise() && kernel.reads_in_place);
    let pack = if panel { shape.steps() * kernel.px.next_multiple_of(LANES) * PACK } else { 0 };
    (tiles * (multiply + pack) / LANES) as u64
}
