//! A convolution by its definition, or several pointwise ones that share their input: tile by tile.

use std::ops::{Deref, Range};

use googlenet_kernels::conv::{ConvKernel, ConvShape, Direct, Operands};

use super::arena;

/// A convolution by its definition, or several that share their input, with the choices made for it.
#[derive(Clone, Debug)]
pub(super) struct DirectStep {
    pub conv: Direct,
    pub reason: String,
}

impl Deref for DirectStep {
    type Target = Direct;

    fn deref(&self) -> &Direct {
        &self.conv
    }
}

/// Bytes of panels that are gathered at a time: a quarter of a 1 MiB L2 cache, beside a block's weights.
pub(super) const GROUP_BYTES: usize = 256 * 1024;

impl DirectStep {
    /// The stack of `shape` over outputs of `widths` channels.
    pub(super) fn new(shape: ConvShape, widths: &[usize], kernel: ConvKernel, in_place: bool, reason: String) -> Self {
        Self { conv: Direct::new(kernel, shape, widths, in_place, GROUP_BYTES), reason }
    }
}

/// The tiles `part` of the blocks `blocks`.
pub(super) fn convolve(
    conv: &DirectStep,
    weights: &[f32],
    (part, blocks): (Range<usize>, Range<usize>),
    x: &[f32],
    operands: &mut arena::Operands<'_>,
    scratch: &mut [f32],
) {
    let (packed, scratch) = (bytemuck::cast_slice(weights), bytemuck::cast_slice_mut(scratch));
    conv.run(Operands { x, packed, relu: true, scratch }, part, blocks, &mut operands.writes);
}
