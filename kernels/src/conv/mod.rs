//! Convolution as an implicit matrix product, tile by tile.
//!
//! `y[o, p] = relu(bias[o] + sum_s w[o, s] * x[s, p])`: an output pixel `p = y * ow + x` is a column, and a step `s`
//! is one filter tap of one input channel, in the order `(ky, kx, c)`. One microkernel call makes a tile of `px`
//! pixels by up to `oc` channels and walks all steps in registers, so no partial sum ever goes through memory:
//!
//! ```text
//! for tile of px pixels
//!   gather panel [step][px]            (or read a 1x1 convolution's input where it lies)
//!   for block of oc channels           weights packed [block][step][oc]
//!     acc[px][oc] = bias
//!     for step: acc += panel[step] x weights[step]
//!     store relu(acc), transposed to NCHW
//! ```
//!
//! The panel takes care of kernel size, stride and padding, so the microkernels know none of them. Two kinds exist:
//! *channel lanes* (`channel_lane.rs`: output channels in the vector, pixels broadcast; no waste on small maps) and
//! *pixel lanes* (`pixel_lane.rs`: pixels in the vector, weights broadcast; no transpose, for large maps). The loops
//! around them are [`Direct`]'s (`nest.rs`).
//!
//! Source of the blocking: Goto, van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3),
//! 2008, doi:10.1145/1356052.1356053, without its loop over K: GoogLeNet's longest sum (1,728 steps) fits the cache.

mod channel_lane;
mod gather;
mod nest;
mod pack;
mod pixel_lane;
mod reference;
#[cfg(test)]
mod tests;

pub use nest::{Direct, Operands};
pub(crate) use pack::{Block, blocks_of, padded};
pub use reference::conv2d_ref;

use crate::buffer::{self, elements};
use crate::isa::Isa;
use crate::op::Set;
use crate::tiles;
use crate::view::RowsMut;
use channel_lane::ChannelLanes;
use gather::{Gather, Panel};
use pixel_lane::PixelLanes;

/// The shape of one convolution on one image: input `[ic, ih, iw]`, weights `[oc, ic, kh, kw]`, output
/// `[oc, oh, ow]`. Padding below and to the right is whatever `oh` and `ow` imply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the field's own, see the type's text")]
pub struct ConvShape {
    pub ic: usize,
    pub ih: usize,
    pub iw: usize,
    pub oc: usize,
    pub oh: usize,
    pub ow: usize,
    pub kh: usize,
    pub kw: usize,
    pub stride_h: usize,
    pub stride_w: usize,
    pub pad_t: usize,
    pub pad_l: usize,
}

impl ConvShape {
    /// Asserts that addresses can be computed: no size is above [`MAX_SIZE`], and input, output and weights are no
    /// larger than memory. Bounds checks rely on it.
    ///
    /// # Panics
    /// If one is, or a stride is 0.
    pub(crate) fn assert_sizes(&self) {
        let sizes = [self.ic, self.ih, self.iw, self.oc, self.oh, self.ow, self.kh, self.kw];
        let moves = [self.stride_h, self.stride_w, self.pad_t, self.pad_l];
        assert!(sizes.iter().chain(&moves).all(|&size| size <= MAX_SIZE), "a size above {MAX_SIZE}: {self:?}");
        assert!(self.stride_h > 0 && self.stride_w > 0, "a stride of 0: {self:?}");
        assert!(self.fits(buffer::MOST), "larger than memory: {self:?}");
    }

    /// Whether input, output and weights have at most `most` elements each.
    fn fits(&self, most: u64) -> bool {
        buffer::fits(most, &[self.ic, self.ih, self.iw])
            && buffer::fits(most, &[self.oc, self.oh, self.ow])
            && buffer::fits(most, &[self.oc, self.ic, self.kh, self.kw])
    }

    /// Steps of the sum: `kh * kw * ic`.
    pub fn steps(&self) -> usize {
        self.kh * self.kw * self.ic
    }

    /// Output pixels: `oh * ow`.
    pub fn pixels(&self) -> usize {
        self.oh * self.ow
    }

    /// Multiply-adds of the whole convolution, by its definition.
    pub fn multiply_adds(&self) -> u64 {
        self.steps() as u64 * self.pixels() as u64 * self.oc as u64
    }

    /// Whether an output pixel depends on just the input pixel at its position.
    pub fn is_pointwise(&self) -> bool {
        (self.kh, self.kw, self.stride_h, self.stride_w, self.pad_t, self.pad_l) == (1, 1, 1, 1, 0, 0)
            && (self.oh, self.ow) == (self.ih, self.iw)
    }
}

/// What a microkernel works on: one tile of pixels, one block of channels.
struct Tile<'a> {
    /// The tile's inputs: pixel `p` of step `s` is `x[s * x_step + p]`, for every pixel of a whole tile.
    x: &'a [f32],
    /// Distance between two steps in `x`, in elements: `px` in a panel, `ih * iw` in place.
    x_step: usize,
    /// The block's packed weights, `[step][width]`.
    w: &'a [f32],
    /// The block's biases, `[width]`.
    bias: &'a [f32],
    /// Whether negative sums become 0.
    relu: bool,
    /// The outputs: a row a channel (at most `width`), a column a pixel (at most `px`).
    y: RowsMut<'a>,
    /// Weights that will be read next, to be asked for meanwhile; may be empty.
    ahead: &'a [f32],
}

/// The largest size of a [`ConvShape`]: the product of any two, and of any four in 64 bits, is far from wrapping.
pub const MAX_SIZE: usize = 1 << 15;

/// One microkernel of one instruction set. What it is made of is fixed here: the bounds checks rely on it. Its entries
/// must not run where the set is missing, so kernels are handed out by [`kernels`] alone.
#[derive(Clone, Copy, Debug)]
pub struct ConvKernel {
    name: &'static str,
    px: usize,
    oc: usize,
    granule: usize,
    reads_in_place: bool,
    transposes: bool,
    panel: unsafe fn(Panel<'_>),
    tile: unsafe fn(Tile<'_>),
}

/// The kernel of P pixels by R vectors of channels on `S`, which wants panels; the name says so, too.
pub(crate) const fn channel_lanes<S: Set, const P: usize, const R: usize>(name: &'static str) -> ConvKernel {
    ConvKernel {
        name,
        px: P,
        oc: R * S::LANES,
        granule: S::LANES,
        reads_in_place: false,
        transposes: true,
        panel: S::enter::<Gather>,
        tile: S::enter::<ChannelLanes<P, R>>,
    }
}

/// The kernel of M channels by C vectors of pixels on `S`, which wants panels; the name says so, too.
pub(crate) const fn pixel_lanes<S: Set, const M: usize, const C: usize>(name: &'static str) -> ConvKernel {
    ConvKernel {
        name,
        px: C * S::LANES,
        oc: M,
        granule: M,
        reads_in_place: false,
        transposes: false,
        panel: S::enter::<Gather>,
        tile: S::enter::<PixelLanes<M, C>>,
    }
}

impl ConvKernel {
    /// The same kernel where it reads pointwise convolutions' inputs in place at full speed.
    pub(crate) const fn in_place(self) -> Self {
        Self { reads_in_place: true, ..self }
    }

    /// Its name in plans and benches: kind and tile.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Pixels of a tile.
    pub const fn px(&self) -> usize {
        self.px
    }

    /// Whether it reads whole tiles of a pointwise convolution in place at full speed, or wants a panel.
    pub const fn reads_in_place(&self) -> bool {
        self.reads_in_place
    }

    /// Whether its store transposes: channel lanes do.
    pub const fn transposes(&self) -> bool {
        self.transposes
    }

    /// Output channels computed for `oc`: whole granules of the last block.
    pub fn padded(&self, oc: usize) -> usize {
        padded(self.oc, self.granule, oc)
    }

    /// How many tiles of `shape` have their inputs in `group_bytes`: at least one and at most all.
    pub fn tiles_at_once(&self, shape: &ConvShape, group_bytes: usize) -> usize {
        let panel = elements(&[size_of::<f32>(), self.px, shape.steps()]);
        (group_bytes / panel.max(1)).clamp(1, shape.pixels().div_ceil(self.px).max(1))
    }

    /// Elements of a panel buffer for one tile of `shape`: `[step][px]` and the last vector's overhang.
    fn panel_len(&self, shape: &ConvShape) -> usize {
        shape.steps() * self.px + OVERHANG
    }

    /// Gathers the inputs of the `live` (at most `px`) output pixels from `first_px` on into `panel`, `[step][px]`;
    /// what lies in the padding is 0, and so are pixels past `live`.
    ///
    /// # Panics
    /// If `x` is not `[ic, ih, iw]`, the pixels do not exist, or `panel` is shorter than [`Self::panel_len`]. That
    /// `shape` is [`ConvShape::assert_sizes`]'s, the caller has made sure of.
    fn gather(&self, shape: &ConvShape, x: &[f32], first_px: usize, live: usize, panel: &mut [f32]) {
        debug_assert!(shape.fits(buffer::MOST));
        assert_eq!(x.len(), shape.ic * shape.ih * shape.iw, "input length");
        let pixels = shape.pixels();
        assert!(
            live <= self.px && live <= pixels && first_px <= pixels - live,
            "pixels {first_px}+{live} of {shape:?}"
        );
        assert!(panel.len() >= self.panel_len(shape), "panel of {}", panel.len());
        // SAFETY: kernels are handed out for a set that the CPU has; the lengths that it relies on are asserted above.
        unsafe { (self.panel)(Panel { shape, x, first_px, live, px: self.px, panel }) };
    }

    /// Computes one tile.
    ///
    /// # Panics
    /// If the operands' lengths do not fit each other or the tile.
    fn run(&self, tile: Tile<'_>) {
        let width = tile.bias.len();
        assert!(width > 0 && width <= self.oc && width.is_multiple_of(self.granule), "block width {width}");
        assert_eq!(tile.w.len() % width, 0, "weights of {} for a width of {width}", tile.w.len());
        let steps = tile.w.len() / width;
        assert!(steps > 0, "no steps");
        let end = (steps - 1).checked_mul(tile.x_step).and_then(|last| last.checked_add(self.px));
        assert!(end.is_some_and(|end| end <= tile.x.len()), "input of {} elements", tile.x.len());
        assert!(tile.y.rows() <= width && tile.y.row_len() <= self.px, "output larger than the tile");
        // SAFETY: kernels are handed out for a set that the CPU has; the lengths that it relies on are asserted above.
        unsafe { (self.tile)(tile) };
    }
}

/// The most elements that gathering writes past a panel's end.
const OVERHANG: usize = 16;

/// The kernels of `isa`. Which one suits a layer is the caller's choice: every one computes every convolution.
pub fn kernels(isa: Isa) -> &'static [ConvKernel] {
    tiles::of(isa).conv
}
