//! Convolution by its definition on narrow elements: bytes by bytes in integers, or bf16 by bf16 in f32.
//!
//! It is [`crate::conv`]'s implicit matrix product, but a step of the sum is a *word* of 32 bits: four consecutive values of
//! a filter's row, bytes, or two, bf16. A filter's row are its `kw * ic` values in the order `(kx, c)`, filled up with zeros
//! to whole words. Where four divides the input's channels, as it mostly does, a word holds four channels of one tap.
//!
//! ```text
//! for tile of px pixels
//!   gather panel [word][px]
//!   for block of oc channels           weights packed [block][word][oc]
//!     acc[px][oc] = 0
//!     for word: acc += dot(panel[word], weights[word])
//!     store relu(acc * m + b) as f32, bf16 or bytes, to NCHW
//! ```
//!
//! As in f32 two layouts of a tile exist: *channel lanes* (`tile.rs`: output channels in the vector, pixels broadcast; the
//! store transposes) and, of bytes, *pixel lanes* (`pixel_lane.rs`: pixels in the vector, weights broadcast; the store is of
//! whole rows, and at the end of a map only vectors with pixels are computed).
//!
//! Integers: inputs are bytes without a sign, weights bytes with one, the sum is exact, and what is stored is
//! `sum * m[o] + b[o]` in f32, the product rounded before the addition, so that every set stores the same. bf16: weights are
//! rounded to bf16, and so are inputs, of any element, where the machine multiplies bf16; where it does not, a panel has
//! two rows of f32 for each word, and weights are widened. Sums are f32, from `b[o]` on.

mod gather;
mod interleave;
mod nest;
mod pack;
mod pixel_lane;
mod reference;
#[cfg(test)]
mod tests;
mod tile;

pub use nest::{Direct, Operands};
pub use pack::{is_pair_safe, quantise};
pub use reference::conv2d_int8_ref;

use crate::conv::ConvShape;
use crate::element::{Bf16, Element};
use crate::isa::Isa;
use crate::op::Set;
use crate::tiles;
use gather::{Gather, Panel, Widening};
use interleave::{Interleave, MOST_PX, is_interleaved};
use pixel_lane::BytePixels;
use tile::{Bf16Lanes, ByteLanes, Tile, WidenedLanes};

/// What is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// Bytes: inputs from 0 to 255, weights from -127 to 127; sums of 32 bits, which do not overflow.
    Int8,
    /// bf16, summed in f32.
    Bf16,
}

impl Arithmetic {
    /// Values of a word.
    pub const fn values(self) -> usize {
        match self {
            Arithmetic::Int8 => 4,
            Arithmetic::Bf16 => 2,
        }
    }

    /// Vectors behind a block's words: multipliers and biases, or biases.
    const fn tail(self) -> usize {
        match self {
            Arithmetic::Int8 => 2,
            Arithmetic::Bf16 => 1,
        }
    }
}

/// What lies in the lanes of a tile's vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Output channels.
    ChannelLanes,
    /// Output pixels.
    PixelLanes,
}

/// Words of the sum of `shape`: whole ones for each row of a filter.
pub(crate) fn words(shape: &ConvShape, arithmetic: Arithmetic) -> usize {
    shape.kh * words_of_row(shape, arithmetic.values())
}

/// Words of a filter's row.
fn words_of_row(shape: &ConvShape, values: usize) -> usize {
    (shape.kw * shape.ic).div_ceil(values)
}

/// Whether no sum of `shape` can overflow 32 bits, whatever bytes it sees: `255 * 127` for each of its steps.
pub fn fits(shape: &ConvShape) -> bool {
    shape.steps() as u64 * (255 * 127) <= i32::MAX as u64
}

/// One microkernel of one instruction set. Its entries must not run where the set is missing, so kernels are handed out by
/// [`kernels`] alone.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    name: &'static str,
    arithmetic: Arithmetic,
    layout: Layout,
    instruction: Option<&'static str>,
    is_there: fn() -> bool,
    multiply_adds: f64,
    px: usize,
    lanes: usize,
    oc: usize,
    /// What a block's channels are a multiple of.
    granule: usize,
    /// Whether weights are widened, and a panel holds f32.
    widens: bool,
    /// Gathers from f32, bf16 and bytes.
    gather: [unsafe fn(Panel<'_>); 3],
    /// Stores f32, bf16 and bytes.
    tile: [unsafe fn(Tile<'_>); 3],
}

/// Where an element stands in a kernel's lists.
const fn index(element: Element) -> usize {
    match element {
        Element::F32 => 0,
        Element::Bf16 => 1,
        Element::U8 => 2,
    }
}

/// The kernel of bytes of P pixels by R vectors of channels on `S`; the name says so, too. A word takes as long as
/// `multiply_adds` of f32.
pub(crate) const fn bytes<S: Set, const P: usize, const R: usize>(name: &'static str, multiply_adds: f64) -> Kernel {
    Kernel {
        name,
        arithmetic: Arithmetic::Int8,
        layout: Layout::ChannelLanes,
        instruction: None,
        is_there: || true,
        multiply_adds,
        px: P,
        lanes: S::LANES,
        oc: R * S::LANES,
        granule: S::LANES,
        widens: false,
        gather: [S::enter::<Interleave>; 3], // `Direct::new` refuses others than bytes
        tile: [S::enter::<ByteLanes<f32, P, R>>, S::enter::<ByteLanes<Bf16, P, R>>, S::enter::<ByteLanes<u8, P, R>>],
    }
}

/// The kernel of bytes of M channels by C vectors of pixels on `S`; the name says so, too. A word takes as long as
/// `multiply_adds` of f32.
pub(crate) const fn byte_pixels<S: Set, const M: usize, const C: usize>(
    name: &'static str,
    multiply_adds: f64,
) -> Kernel {
    assert!(C * S::LANES <= MOST_PX, "larger tiles are not gathered");
    Kernel {
        name,
        arithmetic: Arithmetic::Int8,
        layout: Layout::PixelLanes,
        instruction: None,
        is_there: || true,
        multiply_adds,
        px: C * S::LANES,
        lanes: S::LANES,
        oc: M,
        granule: pixel_lane::granule(M),
        widens: false,
        gather: [S::enter::<Interleave>; 3], // `Direct::new` refuses others than bytes
        tile: [S::enter::<BytePixels<f32, M, C>>, S::enter::<BytePixels<Bf16, M, C>>, S::enter::<BytePixels<u8, M, C>>],
    }
}

/// The kernel of weights of bf16 of P pixels by R vectors of channels on `S`, which has no instruction that multiplies them;
/// the name says so, too. A word takes two multiply-adds of f32.
pub(crate) const fn widened<S: Set, const P: usize, const R: usize>(name: &'static str) -> Kernel {
    Kernel {
        instruction: None,
        multiply_adds: 2.0,
        widens: true,
        gather: [S::enter::<Widening<f32>>, S::enter::<Widening<Bf16>>, S::enter::<Widening<u8>>],
        tile: [
            S::enter::<WidenedLanes<f32, P, R>>,
            S::enter::<WidenedLanes<Bf16, P, R>>,
            S::enter::<WidenedLanes<u8, P, R>>,
        ],
        ..bf16::<S, P, R>(name, 2.0)
    }
}

/// The kernel of bf16 of P pixels by R vectors of channels on `S`; the name says so, too. A word takes as long as
/// `multiply_adds` of f32.
pub(crate) const fn bf16<S: Set, const P: usize, const R: usize>(name: &'static str, multiply_adds: f64) -> Kernel {
    Kernel {
        name,
        arithmetic: Arithmetic::Bf16,
        layout: Layout::ChannelLanes,
        instruction: None,
        is_there: || true,
        multiply_adds,
        px: P,
        lanes: S::LANES,
        oc: R * S::LANES,
        granule: S::LANES,
        widens: false,
        gather: [S::enter::<Gather<f32, 2>>, S::enter::<Gather<Bf16, 2>>, S::enter::<Gather<u8, 2>>],
        tile: [S::enter::<Bf16Lanes<f32, P, R>>, S::enter::<Bf16Lanes<Bf16, P, R>>, S::enter::<Bf16Lanes<u8, P, R>>],
    }
}

impl Kernel {
    /// The same kernel, whose set multiplies with `instruction`.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))] // no other has such sets
    pub(crate) const fn by(self, instruction: &'static str) -> Self {
        Self { instruction: Some(instruction), ..self }
    }

    /// The same kernel of a set that not every machine has which has the one that it stands with.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))] // no other has such sets
    pub(crate) const fn if_there(self, is_there: fn() -> bool) -> Self {
        Self { is_there, ..self }
    }

    /// Its name in plans and benches: arithmetic and tile.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it multiplies.
    pub const fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// What lies in its lanes.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The instruction that it multiplies with, if the machine has one that is made for it.
    pub const fn instruction(&self) -> Option<&'static str> {
        self.instruction
    }

    /// How many multiply-adds of vectors of f32 take as long as one of vectors of words.
    pub const fn multiply_adds(&self) -> f64 {
        self.multiply_adds
    }

    /// Pixels of a tile.
    pub const fn px(&self) -> usize {
        self.px
    }

    /// Vectors of outputs that a tile of `live` pixels computes by a block of `width` channels.
    const fn vectors(&self, live: usize, width: usize) -> usize {
        match self.layout {
            Layout::ChannelLanes => self.px * width / self.lanes,
            Layout::PixelLanes => live.div_ceil(self.lanes) * width,
        }
    }

    /// Output channels computed for `oc`: whole granules of the last block.
    fn padded(&self, oc: usize) -> usize {
        crate::conv::padded(self.oc, self.granule, oc)
    }

    /// Rows of a panel: a word's, or of f32 as many as a word has values.
    fn panel_rows(&self, shape: &ConvShape) -> usize {
        words(shape, self.arithmetic) * if self.widens { self.arithmetic.values() } else { 1 }
    }

    /// Whether panels of `shape` are interleaved from whole vectors of bytes.
    fn interleaves(&self, shape: &ConvShape) -> bool {
        self.arithmetic == Arithmetic::Int8 && is_interleaved(shape)
    }

    /// Words of a panel buffer for one tile of `shape`: `[word][px]` and the last vector's overhang.
    fn panel_len(&self, shape: &ConvShape) -> usize {
        self.panel_rows(shape) * self.px + OVERHANG
    }

    /// Gathers the inputs of the `live` output pixels from `first_px` on into `panel`, `[word][px]` or, of f32,
    /// `[word][value][px]`; zeros stand for what
    /// lies in the padding, and for pixels past `live`.
    ///
    /// # Panics
    /// If `x` is not `[ic, ih, iw]` of `element`, the pixels do not exist, or `panel` is too short.
    fn gather(&self, shape: &ConvShape, element: Element, x: &[u8], first_px: usize, live: usize, panel: &mut [u32]) {
        assert_eq!(x.len(), shape.ic * shape.ih * shape.iw * element.bytes(), "bytes of the input");
        let pixels = shape.pixels();
        assert!(
            live <= self.px && live <= pixels && first_px <= pixels - live,
            "pixels {first_px}+{live} of {shape:?}"
        );
        assert!(panel.len() >= self.panel_len(shape), "panel of {}", panel.len());
        // SAFETY: kernels are handed out for a set, and an extension, that the CPU has; the lengths that they rely on are
        // asserted above.
        unsafe { (self.gather[index(element)])(Panel { shape, x, first_px, live, px: self.px, panel }) };
    }

    /// Computes one tile.
    ///
    /// # Panics
    /// If the operands' lengths do not fit each other or the tile, or the outputs are not aligned as `element` is.
    fn run(&self, element: Element, tile: Tile<'_>) {
        let (width, words) = (tile.width, tile.words);
        assert!(width > 0 && width <= self.oc && width.is_multiple_of(self.granule), "block width {width}");
        assert_eq!(tile.w.len(), (words + self.arithmetic.tail()) * width, "weights of a width of {width}");
        let rows = words * if self.widens { self.arithmetic.values() } else { 1 };
        assert!(tile.x.len() >= rows * self.px, "panel of {} words", tile.x.len());
        let px = tile.y.row_len() / element.bytes();
        assert!(tile.y.rows() <= width && px <= self.px, "output larger than the tile");
        // SAFETY: kernels are handed out for a set, and an extension, that the CPU has; the lengths that they rely on are
        // asserted above.
        unsafe { (self.tile[index(element)])(tile) };
    }
}

/// The most words that gathering writes past a panel's end.
const OVERHANG: usize = 16;

/// The kernels of `isa` on this machine, of either arithmetic; of one arithmetic and layout the best comes last. They compute
/// the same in integers, and those of one layout pack weights alike.
pub fn kernels(isa: Isa) -> impl Iterator<Item = Kernel> {
    tiles::of(isa).narrow.iter().copied().filter(|kernel| (kernel.is_there)())
}

/// The best of them for `arithmetic` of each layout that the set has: one suits a layer, which is the caller's choice.
pub fn layouts(isa: Isa, arithmetic: Arithmetic) -> impl Iterator<Item = Kernel> {
    [Layout::ChannelLanes, Layout::PixelLanes].into_iter().filter_map(move |layout| {
        kernels(isa).filter(|kernel| (kernel.arithmetic, kernel.layout) == (arithmetic, layout)).last()
    })
}

/// The last of them for `arithmetic`, which multiplies with the best instruction.
pub fn kernel(isa: Isa, arithmetic: Arithmetic) -> Kernel {
    kernels(isa).filter(|kernel| kernel.arithmetic == arithmetic).last().expect("every set has one of either")
}
