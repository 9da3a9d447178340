//! Which algorithm a convolution gets: a small cost model, in cycles of a core that starts two vector multiply-adds a
//! cycle.
//!
//! ```text
//! direct     max(multiply-adds, weight traffic) + stores + panels, if packed
//! Winograd   max(multiply-adds, weight traffic) + input transform + products' stores and output transform
//! ```
//!
//! Multiply-adds count what the tiles compute, waste included. Weights are read once for every group of tiles, from
//! memory: all layers' weights together are larger than any cache. The choice depends on the shape and the
//! instruction set alone, so that results have the same bits for any number of threads.

use googlenet_kernels::conv::{self, ConvKernel, ConvShape};
use googlenet_kernels::isa::Isa;
use googlenet_kernels::winograd::{self, Winograd};

/// How a convolution is computed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Algorithm {
    /// By its definition, reading the input in place or from panels.
    Direct { kernel: ConvKernel, in_place: bool },
    /// In the transformed domain.
    Winograd(Winograd),
}

impl Algorithm {
    /// Form and tile.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Algorithm::Direct { kernel, .. } => kernel.name(),
            Algorithm::Winograd(form) => form.name(),
        }
    }
}

/// The winner, and why.
pub(super) struct Choice {
    pub algorithm: Algorithm,
    pub reason: String,
}

/// Cycles to move one vector of contiguous pixels into a panel.
const PANEL: f64 = 1.5;
/// Cycles to gather one vector of a filter tap's pixels into a panel.
const GATHERED_PANEL: f64 = 6.0;
/// Cycles for bias, ReLU and store of one vector of outputs.
const STORE: f64 = 5.0;
/// Cycles to transpose it, too.
const TRANSPOSE: f64 = 6.0;
/// Cycles for one vector of transformed inputs.
const INPUT: f64 = 8.0;
/// Cycles for one vector of products: its store, and its part in the output transform.
const OUTPUT: f64 = 7.0;
/// Bytes a cycle that one core reads from memory.
const MEMORY: f64 = 8.0;

/// The cheapest algorithm for `shape`, whose channels belong to outputs of `widths` channels each.
pub(super) fn choose(isa: Isa, shape: &ConvShape, widths: &[usize]) -> Choice {
    let direct = conv::kernels(isa).iter().map(|kernel| {
        let in_place = shape.is_pointwise() && kernel.reads_in_place();
        (direct_cost(isa, kernel, in_place, shape, widths), Algorithm::Direct { kernel: *kernel, in_place })
    });
    let forms = winograd::algorithms(isa).iter().filter(|form| widths.len() == 1 && form.fits(shape));
    let transformed = forms.map(|form| (winograd_cost(form, shape), Algorithm::Winograd(*form)));
    let candidates: Vec<(f64, Algorithm)> = direct.chain(transformed).collect();
    let cheapest = |but: Option<usize>| {
        let others = (0..candidates.len()).filter(|&i| Some(i) != but);
        others.min_by(|&a, &b| candidates[a].0.total_cmp(&candidates[b].0))
    };
    let best = cheapest(None).expect("every set has kernels");
    let (cost, algorithm) = candidates[best];
    let next = cheapest(Some(best)).map(|next| candidates[next]);
    let next = next.map(|(cost, next)| format!(", {} {:.0}", next.name(), cost / 1e3));
    Choice { algorithm, reason: format!("{:.0} kcycles{}", cost / 1e3, next.unwrap_or_default()) }
}

fn direct_cost(isa: Isa, kernel: &ConvKernel, in_place: bool, shape: &ConvShape, widths: &[usize]) -> f64 {
    let lanes = lanes(isa) as f64;
    let tiles = shape.pixels().div_ceil(kernel.px());
    let padded: usize = widths.iter().map(|&oc| kernel.padded(oc)).sum();
    let outputs = (tiles * kernel.px() * padded) as f64 / lanes;
    let groups = tiles.div_ceil(kernel.tiles_at_once(shape, super::direct::GROUP_BYTES)) as f64;
    let multiply = outputs * shape.steps() as f64 / 2.0;
    let weights = (padded * shape.steps() * size_of::<f32>()) as f64 * groups / MEMORY;
    let vectors = (tiles * shape.steps() * kernel.px().div_ceil(lanes as usize)) as f64;
    let panels = match (in_place, shape.is_pointwise()) {
        (true, _) => 0.0,
        (false, true) => vectors * PANEL,
        (false, false) => vectors * GATHERED_PANEL,
    };
    let store = if kernel.transposes() { STORE + TRANSPOSE } else { STORE };
    multiply.max(weights) + outputs * store + panels
}

fn winograd_cost(form: &Winograd, shape: &ConvShape) -> f64 {
    let grid = form.grid(shape);
    let tiles = (form.points() * grid.rows * grid.columns) as f64;
    let padded = shape.oc.next_multiple_of(form.lanes()) as f64 / form.lanes() as f64;
    let group_bytes = super::winograd::group_bytes(form.lanes());
    let groups = grid.rows.div_ceil(form.rows_at_once(shape, group_bytes)) as f64;
    let channels = form.channels(shape) as f64;
    let multiply = tiles * channels * padded / 2.0;
    let weights = form.packed_bytes(shape) as f64 * groups / MEMORY;
    multiply.max(weights) + tiles * (form.channel_blocks(shape) as f64 * INPUT + padded * OUTPUT)
}

/// f32 lanes of a vector of `isa`.
fn lanes(isa: Isa) -> usize {
    winograd::algorithms(isa).first().map_or(1, |form| form.lanes())
}
