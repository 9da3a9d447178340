//! A convolution in the transformed domain, as one step or as two, and perhaps with the pool that follows it.
//!
//! As one, a thread transforms the inputs of a few rows of tiles into its own scratch, and multiplies and transforms
//! them back block by block of output channels. As two, all threads first share the input transform, by channels,
//! and then the rest, by output channels: for maps with too few rows of tiles to go round.

use std::ops::{Deref, Range};

use googlenet_kernels::conv::{ConvShape, Operands};
use googlenet_kernels::view::RowsMut;
use googlenet_kernels::winograd::{Transformed, Winograd};

/// A convolution in the transformed domain.
#[derive(Clone, Debug)]
pub(super) struct WinogradStep {
    pub conv: Transformed,
    pub reason: String,
    /// Rows and columns of windows, where a 3x3 max pool of stride 2 follows before the store.
    pub pool: Option<[usize; 2]>,
}

impl Deref for WinogradStep {
    type Target = Transformed;

    fn deref(&self) -> &Transformed {
        &self.conv
    }
}

/// Bytes of transformed inputs, products and strips at a time, for vectors of `lanes`: half of a 512 KiB L2 cache;
/// CPUs of AVX-512 have 1 MiB and more, and take 0.94 of the time with all of it (`bench`, 1 MiB against 256 KiB).
pub(super) const fn group_bytes(lanes: usize) -> usize {
    if lanes < 16 { 256 * 1024 } else { 1024 * 1024 }
}

impl WinogradStep {
    pub(super) fn new(shape: ConvShape, algorithm: Winograd, reason: String) -> Self {
        Self { conv: Transformed::new(algorithm, shape, group_bytes(algorithm.lanes())), reason, pool: None }
    }

    /// Puts a pool behind it.
    pub(super) fn fuse(&mut self, windows: [usize; 2]) {
        self.conv = self.conv.clone().with_pool(windows);
        self.pool = Some(windows);
    }

    /// Whether `threads` threads share the transformed inputs: where there are too few rows of tiles to go round, and
    /// blocks of output channels instead.
    pub(super) fn is_shared_by(&self, threads: usize) -> bool {
        threads > 1 && self.tile_rows() < 4 * threads && self.blocks() > 1
    }

    /// Elements of one point's transformed inputs, for all tiles.
    pub(super) fn v_row_len(&self) -> usize {
        self.v_row_bytes() / size_of::<f32>()
    }

    /// Elements of one point's transformed inputs of one block of channels, for all tiles.
    pub(super) fn block_len(&self) -> usize {
        self.v_block_bytes() / size_of::<f32>()
    }

    /// The convolution of the rows `part` of tiles, or the rows `part` of windows of the pool after it; `y` has all
    /// channels, and their pixels.
    pub(super) fn convolve(
        &self,
        x: &[f32],
        weights: &[f32],
        part: Range<usize>,
        y: &mut RowsMut<'_>,
        scratch: &mut [f32],
    ) {
        self.run(operands(x, weights, scratch), part, y);
    }

    /// The input transform of all tiles of the channel blocks `blocks`.
    pub(super) fn transform(&self, x: &[f32], blocks: Range<usize>, v: RowsMut<'_>, scratch: &mut [f32]) {
        self.conv.transform(x, blocks, v, bytemuck::cast_slice_mut(scratch));
    }

    /// The rest, for the blocks `blocks` of output channels; `y` has the channels of those.
    pub(super) fn multiply(
        &self,
        v: &[f32],
        weights: &[f32],
        blocks: Range<usize>,
        y: &mut RowsMut<'_>,
        scratch: &mut [f32],
    ) {
        self.conv.multiply(operands(v, weights, scratch), blocks, y);
    }
}

fn operands<'a>(x: &'a [f32], weights: &'a [f32], scratch: &'a mut [f32]) -> Operands<'a> {
    let (packed, scratch) = (bytemuck::cast_slice(weights), bytemuck::cast_slice_mut(scratch));
    Operands { x, packed, relu: true, scratch }
}
