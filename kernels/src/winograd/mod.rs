//! Convolution in the transformed domain: an m x m tile of outputs from (m + r - 1)^2 products instead of (m r)^2.
//!
//! `U = G g G'` for each filter, once; `V = B'd B` for each tile of inputs; `M = sum over channels of U * V`, point by
//! point; `y = A'M A` (`points.rs` has the matrices and their source). With t tiles and n = m + r - 1:
//!
//! ```text
//! transform_input    x [ic, ih, iw]               -> v [n * n][channel block][t][LANES]
//! multiply           v, u [n * n][ic][width]      -> m [n * n][t][width]      one matrix product a point
//! transform_output   m                            -> y [width channels, oh, ow], bias and ReLU
//! ```
//!
//! Channels lie in the vector lanes throughout, and NCHW is transposed in registers on the way in and out. Edge tiles
//! read zeros and write only what exists.
//!
//! A stride s above 1 is the same with more channels: output y reads the padded rows s y + ky, ky = s q + p, so the rows
//! of phase p are an image of their own under a filter of every s-th tap. A k x k filter becomes s^2 filters of
//! ceil(k / s) taps over s^2 ic channels `(c, py, px)` of stride 1 (the polyphase form).

mod filter;
mod input;
#[cfg(test)]
mod narrow_tests;
mod nest;
mod output;
mod points;
mod product;
#[cfg(test)]
mod tests;

pub use crate::narrow::Operands;
pub use nest::Transformed;

use crate::buffer::{bytes_of, elements};
use crate::conv::{Block, ConvShape, blocks_of, padded};
use crate::element::{Bf16, Element};
use crate::isa::Isa;
use crate::op::Set;
use crate::tiles;
use input::{AsBf16, AsF32, AsI16};
use output::{InF32, InI32, Sums};
use points::Points;
use product::{OfBf16, OfI16};

/// F(4, 3) over 0, +-3/4, +-3/2: for 3x3 filters.
struct F43;

impl Points for F43 {
    const M: usize = 4;
    const R: usize = 3;
    const ZERO: bool = true;
    const PAIRS: &'static [f64] = &[0.75, 1.5];
}

/// F(4, 3) over 0, +-1, +-2: for 3x3 filters in integers. Transformed bytes are whole numbers of 16 bits, and what the output
/// transform multiplies by are powers of two, so that every set gives the same bits.
struct F43Integer;

impl Points for F43Integer {
    const M: usize = 4;
    const R: usize = 3;
    const ZERO: bool = true;
    const PAIRS: &'static [f64] = &[1.0, 2.0];
}

/// F(2, 3) over 0, +-1: for 3x3 filters on small maps.
struct F23;

impl Points for F23 {
    const M: usize = 2;
    const R: usize = 3;
    const ZERO: bool = true;
    const PAIRS: &'static [f64] = &[1.0];
}

/// F(4, 5) over 0, +-1, +-2, +-1/2: for 5x5 filters.
struct F45;

impl Points for F45 {
    const M: usize = 4;
    const R: usize = 5;
    const ZERO: bool = true;
    const PAIRS: &'static [f64] = &[1.0, 2.0, 0.5];
}

/// F(2, 5) over 0, +-3/4, +-3/2: for 5x5 filters on small maps.
struct F25;

impl Points for F25 {
    const M: usize = 2;
    const R: usize = 5;
    const ZERO: bool = true;
    const PAIRS: &'static [f64] = &[0.75, 1.5];
}

/// F(4, 4) over +-1, +-2, +-1/2: for the polyphase form of 7x7 filters of stride 2.
struct F44;

impl Points for F44 {
    const M: usize = 4;
    const R: usize = 4;
    const ZERO: bool = false;
    const PAIRS: &'static [f64] = &[1.0, 2.0, 0.5];
}

/// F(4, 4) over +-3/8, +-1, +-2, which bf16 bears better: for the polyphase form of 7x7 filters of stride 2.
struct F44Narrow;

impl Points for F44Narrow {
    const M: usize = 4;
    const R: usize = 4;
    const ZERO: bool = false;
    const PAIRS: &'static [f64] = &[1.0, 2.0, 0.375];
}

/// What an algorithm multiplies at each point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Products {
    /// f32.
    F32,
    /// Inputs of f32 by filters of bf16, which are widened: half the bytes of filters, and f32 arithmetic.
    Widened,
    /// bf16, in words of two channels.
    Words,
    /// Transformed bytes by filters of 16 bits, in words of two channels, summed in 32 bits. Filters have a scale for each
    /// point and output channel.
    Integers,
}

impl Products {
    /// Channels that a vector of filters holds of each output channel.
    const fn values(self) -> usize {
        match self {
            Products::F32 => 1,
            Products::Widened | Products::Words | Products::Integers => 2,
        }
    }

    /// Whether transformed inputs come in words of two channels.
    const fn are_words(self) -> bool {
        matches!(self, Products::Words | Products::Integers)
    }
}

/// One algorithm, F(m, r) over certain points, on one instruction set. What it is made of is fixed here: the bounds
/// checks rely on it. Its entries must not run where the set, or the extension that `is_there` looks for, is missing: it is
/// handed out only by [`algorithms`], [`bf16_algorithms`] and [`integer_algorithm`], each of which asks for both.
#[derive(Clone, Copy, Debug)]
pub struct Winograd {
    name: &'static str,
    m: usize,
    r: usize,
    lanes: usize,
    oc: usize,
    products: Products,
    /// How many multiply-adds of vectors of f32 take as long as those of one channel.
    multiply_adds: f64,
    instruction: Option<&'static str>,
    is_there: fn() -> bool,
    filter: fn(shape: &ConvShape, w: &[f32], o: usize, u: &mut [f64]),
    /// The largest magnitude of each point's transformed bytes.
    reach: fn(reach: &mut [f64]),
    /// Reads f32, bf16 and bytes, as far as it does.
    input: [Option<unsafe fn(input::Operands<'_>)>; 3],
    product: unsafe fn(product::Operands<'_>),
    /// Stores f32, bf16 and bytes.
    output: [Option<unsafe fn(output::Operands<'_>)>; 3],
}

/// Every algorithm on `S`, with products in tiles of P tiles by R vectors of output channels.
pub(crate) const fn algorithms_of<S: Set, const P: usize, const R: usize>() -> [Winograd; 5] {
    [
        algorithm::<S, F43, P, R>("F(4,3)"),
        algorithm::<S, F23, P, R>("F(2,3)"),
        algorithm::<S, F45, P, R>("F(4,5)"),
        algorithm::<S, F25, P, R>("F(2,5)"),
        algorithm::<S, F44, P, R>("F(4,4)"),
    ]
}

const fn algorithm<S: Set, F: Points, const P: usize, const R: usize>(name: &'static str) -> Winograd {
    Winograd {
        name,
        m: F::M,
        r: F::R,
        lanes: S::LANES,
        oc: R * S::LANES,
        products: Products::F32,
        multiply_adds: 1.0,
        instruction: None,
        is_there: || true,
        filter: filter::filter::<F>,
        reach: filter::reach::<F>,
        input: [
            Some(S::enter::<input::Input<F, f32, AsF32>>),
            None,
            #[cfg(googlenet_f32_only)]
            None,
            #[cfg(not(googlenet_f32_only))]
            Some(S::enter::<input::Input<F, u8, AsF32>>),
        ],
        product: S::enter::<product::Product<P, R>>,
        output: outputs::<S, F, InF32>(),
    }
}

/// The output transforms to every element.
const fn outputs<S: Set, F: Points, T: Sums>() -> [Option<unsafe fn(output::Operands<'_>)>; 3] {
    [
        Some(S::enter::<output::Output<F, f32, T>>),
        #[cfg(not(googlenet_f32_only))]
        Some(S::enter::<output::Output<F, Bf16, T>>),
        #[cfg(not(googlenet_f32_only))]
        Some(S::enter::<output::Output<F, u8, T>>),
        #[cfg(googlenet_f32_only)]
        None,
        #[cfg(googlenet_f32_only)]
        None,
    ]
}

/// Every algorithm whose filters are bf16 on `S`, which has no instruction that multiplies them.
pub(crate) const fn widened_of<S: Set, const P: usize, const R: usize>() -> [Winograd; 5] {
    [
        widened::<S, F43, P, R>("bf16 F(4,3)"),
        widened::<S, F23, P, R>("bf16 F(2,3)"),
        widened::<S, F45, P, R>("bf16 F(4,5)"),
        widened::<S, F25, P, R>("bf16 F(2,5)"),
        widened::<S, F44, P, R>("bf16 F(4,4)"),
    ]
}

const fn widened<S: Set, F: Points, const P: usize, const R: usize>(name: &'static str) -> Winograd {
    Winograd {
        products: Products::Widened,
        // What widens the filters comes on top.
        multiply_adds: 1.25,
        product: S::enter::<product::Widened<P, R>>,
        ..algorithm::<S, F, P, R>(name)
    }
}

/// Every algorithm on bf16 of `S`, which multiplies them with `instruction`.
#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code, reason = "no set there does"))]
pub(crate) const fn words_of<S: Set, const P: usize, const R: usize>(
    instruction: &'static str,
    is_there: fn() -> bool,
) -> [Winograd; 5] {
    let by = [Some(instruction); 5];
    [
        words::<S, F43, P, R>("bf16 F(4,3)", by[0], is_there),
        words::<S, F23, P, R>("bf16 F(2,3)", by[1], is_there),
        words::<S, F45, P, R>("bf16 F(4,5)", by[2], is_there),
        words::<S, F25, P, R>("bf16 F(2,5)", by[3], is_there),
        words::<S, F44Narrow, P, R>("bf16 F(4,4)", by[4], is_there),
    ]
}

#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code, reason = "no set there does"))]
const fn words<S: Set, F: Points, const P: usize, const R: usize>(
    name: &'static str,
    instruction: Option<&'static str>,
    is_there: fn() -> bool,
) -> Winograd {
    Winograd {
        products: Products::Words,
        multiply_adds: 0.5,
        instruction,
        is_there,
        input: [
            Some(S::enter::<input::Input<F, f32, AsBf16>>),
            Some(S::enter::<input::Input<F, Bf16, AsBf16>>),
            Some(S::enter::<input::Input<F, u8, AsBf16>>),
        ],
        product: S::enter::<product::Words<OfBf16, P, R>>,
        ..algorithm::<S, F, P, R>(name)
    }
}

/// The algorithm in integers of `S`, which multiplies words of two i16 with `instruction`, as long as `multiply_adds` of f32
/// for each channel.
pub(crate) const fn integers_of<S: Set, const P: usize, const R: usize>(
    multiply_adds: f64,
    instruction: Option<&'static str>,
    is_there: fn() -> bool,
) -> Winograd {
    Winograd {
        products: Products::Integers,
        multiply_adds,
        instruction,
        is_there,
        input: [None, None, Some(S::enter::<input::Input<F43Integer, u8, AsI16>>)],
        product: S::enter::<product::Words<OfI16, P, R>>,
        output: outputs::<S, F43Integer, InI32>(),
        ..algorithm::<S, F43Integer, P, R>("i16 F(4,3)")
    }
}

/// Where an element stands in an algorithm's lists.
const fn index(element: Element) -> usize {
    match element {
        Element::F32 => 0,
        Element::Bf16 => 1,
        Element::U8 => 2,
    }
}

/// f32 in a cache line.
const LINE: usize = 16;

/// The largest stride that has a polyphase form here: the stride of the networks' largest filters, Krizhevsky's 11x11.
const MAX_STRIDE: usize = 4;

/// Tiles that make a weight, once loaded, worth its way from memory.
const ENOUGH_TILES: usize = 14;

/// The tiles of an output map: rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Rows of tiles.
    pub rows: usize,
    /// Tiles of a row.
    pub columns: usize,
}

impl Winograd {
    /// Its name in plans and benches: `F(4,3)`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether its filters are bf16.
    pub fn is_bf16(&self) -> bool {
        matches!(self.products, Products::Widened | Products::Words)
    }

    /// Whether it computes in integers.
    pub fn is_integer(&self) -> bool {
        self.products == Products::Integers
    }

    /// The instruction that it multiplies what is narrow with, if it does and the machine has one.
    pub const fn instruction(&self) -> Option<&'static str> {
        self.instruction
    }

    /// How many multiply-adds of vectors of f32 take as long as those of one channel.
    pub const fn multiply_adds(&self) -> f64 {
        self.multiply_adds
    }

    /// Whether it reads `input` and stores `output`.
    pub const fn takes(&self, input: Element, output: Element) -> bool {
        self.input[index(input)].is_some() && self.output[index(output)].is_some()
    }

    /// f32 lanes of a vector.
    pub const fn lanes(&self) -> usize {
        self.lanes
    }

    /// Points of a tile: `(m + r - 1)^2`.
    pub fn points(&self) -> usize {
        (self.m + self.r - 1).pow(2)
    }

    /// Whether it computes `shape`: a square filter of `r` taps a side, at stride 1 or, in the polyphase form, at
    /// strides up to 4. In integers no sum of such a shape leaves 32 bits, whatever bytes it sees.
    pub fn fits(&self, shape: &ConvShape) -> bool {
        let stride = shape.stride_h;
        let strided = stride == shape.stride_w && (1..=MAX_STRIDE).contains(&stride);
        let sums = self.products != Products::Integers || self.channels(shape) <= filter::MOST_CHANNELS;
        shape.kh == shape.kw && strided && shape.kh.div_ceil(stride) == self.r && sums
    }

    /// The tiles of `shape`'s output.
    pub fn grid(&self, shape: &ConvShape) -> Grid {
        Grid { rows: shape.oh.div_ceil(self.m), columns: shape.ow.div_ceil(self.m) }
    }

    /// Channels that a product sums over: those of the polyphase form.
    pub fn channels(&self, shape: &ConvShape) -> usize {
        shape.ic * shape.stride_h * shape.stride_w
    }

    /// Blocks of `lanes` of those channels.
    pub fn channel_blocks(&self, shape: &ConvShape) -> usize {
        self.channels(shape).div_ceil(self.lanes)
    }

    /// Output channels computed for `oc`: whole vectors.
    pub fn padded(&self, oc: usize) -> usize {
        padded(self.oc, self.lanes, oc)
    }

    /// Bytes of the packed weights and biases of `shape`.
    pub fn packed_bytes(&self, shape: &ConvShape) -> usize {
        bytes_of(elements(&[self.padded(shape.oc), self.column(shape) + 1]))
    }

    /// Rows of tiles to transform at a time: as many as keep inputs, products and strips in `group_bytes`, but enough
    /// tiles to make a weight worth its way from memory, and at most all.
    pub fn rows_at_once(&self, shape: &ConvShape, group_bytes: usize) -> usize {
        let grid = self.grid(shape);
        let fit = |&rows: &usize| bytes_of(self.scratch_len(shape, rows)) <= group_bytes;
        let enough = ENOUGH_TILES.div_ceil(grid.columns.max(1));
        (enough..=grid.rows).take_while(fit).last().unwrap_or(enough).clamp(1, grid.rows.max(1))
    }

    /// Steps of a product's sum: channels, or words of them.
    fn steps(&self, shape: &ConvShape) -> usize {
        self.channels(shape).div_ceil(self.products.values())
    }

    /// Words that a vector of channels takes when it is transformed.
    fn v_lanes(&self) -> usize {
        if self.products.are_words() { self.lanes / 2 } else { self.lanes }
    }

    /// Numbers that an output channel has in the packed weights before its bias: filters, and in integers their scales.
    fn column(&self, shape: &ConvShape) -> usize {
        let scales = usize::from(self.products == Products::Integers);
        self.points() * (self.steps(shape) + scales)
    }

    /// Blocks of output channels, each with its offset in the packed weights: `[point][step][width]`, in integers
    /// `[point][width]` scales, then biases.
    fn blocks(&self, shape: &ConvShape) -> impl Iterator<Item = Block> {
        blocks_of(self.oc, self.lanes, shape.oc, self.column(shape))
    }

    /// Elements of the transformed inputs of `tile_rows` rows of tiles.
    fn v_len(&self, shape: &ConvShape, tile_rows: usize) -> usize {
        let columns = self.grid(shape).columns;
        elements(&[self.points(), self.channel_blocks(shape), tile_rows, columns, self.v_lanes()])
    }

    /// Elements of the products of `tile_rows` rows of tiles and one block of output channels.
    fn m_len(&self, shape: &ConvShape, tile_rows: usize) -> usize {
        elements(&[self.points(), tile_rows, self.grid(shape).columns, self.oc])
    }

    /// Elements of the scratch that the transforms need.
    fn strip_len(&self, shape: &ConvShape) -> usize {
        // A row of tiles' inputs, n rows twice, or outputs, m rows of whole vectors.
        let n = self.m + self.r - 1;
        let width = (self.grid(shape).columns * self.m + self.r - 1).next_multiple_of(self.lanes);
        elements(&[2 * n, width, self.lanes])
    }

    /// Elements of scratch for the products of `rows` rows of tiles and one block of output channels.
    fn block_scratch_len(&self, shape: &ConvShape, rows: usize) -> usize {
        self.strip_len(shape).next_multiple_of(LINE) + self.m_len(shape, rows).next_multiple_of(LINE)
    }

    /// Elements of scratch for `rows` rows of tiles, from their inputs on.
    fn scratch_len(&self, shape: &ConvShape, rows: usize) -> usize {
        self.block_scratch_len(shape, rows) + self.v_len(shape, rows)
    }
}

/// Every algorithm on `isa` in f32.
pub fn algorithms(isa: Isa) -> &'static [Winograd] {
    tiles::of(isa).winograd
}

/// Every algorithm on `isa` whose filters are bf16, and whose inputs are, too, where this machine multiplies them.
pub fn bf16_algorithms(isa: Isa) -> &'static [Winograd] {
    bf16_variants(isa).last().expect("every set has those that widen")
}

/// The algorithm on `isa` that computes in integers, from bytes, in the best way that this machine has.
pub fn integer_algorithm(isa: Isa) -> &'static Winograd {
    integer_variants(isa).last().expect("every set has one that needs nothing more")
}

/// The algorithm of [`integer_algorithm`] in every way that this machine has; the best comes last.
fn integer_variants(isa: Isa) -> impl Iterator<Item = &'static Winograd> {
    tiles::of(isa).winograd_i16.iter().filter(|algorithm| (algorithm.is_there)())
}

/// The algorithms of [`bf16_algorithms`] in every way that this machine has; the best comes last.
fn bf16_variants(isa: Isa) -> impl Iterator<Item = &'static [Winograd; 5]> {
    tiles::of(isa).winograd_bf16.iter().filter(|algorithms| (algorithms[0].is_there)())
}
