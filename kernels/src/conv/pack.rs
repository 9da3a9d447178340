//! Packing: weights into blocks `[step][width]`, once.

use super::{ConvKernel, ConvShape};

/// A block of output channels that one microkernel call computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The first channel.
    pub first: usize,
    /// Channels that exist.
    pub live: usize,
    /// Channels it computes, `live` rounded up to the kernel's granule; the excess has zero weights.
    pub width: usize,
    /// Where its `[step][width]` weights begin in the packed weights, and after them its `[width]` biases.
    pub offset: usize,
}

/// `oc` output channels of `steps` steps in blocks of `full` channels, rounded up to `granule`.
pub(crate) fn blocks_of(full: usize, granule: usize, oc: usize, steps: usize) -> impl Iterator<Item = Block> {
    (0..oc.div_ceil(full)).map(move |i| {
        let live = full.min(oc - i * full);
        Block { first: i * full, live, width: live.next_multiple_of(granule), offset: i * full * (steps + 1) }
    })
}

/// Channels of all those blocks.
pub(crate) fn padded(full: usize, granule: usize, oc: usize) -> usize {
    oc / full * full + (oc % full).next_multiple_of(granule)
}

impl ConvKernel {
    /// The blocks of `oc` output channels of `steps` steps.
    pub(super) fn blocks(&self, oc: usize, steps: usize) -> impl Iterator<Item = Block> {
        blocks_of(self.oc, self.granule, oc, steps)
    }

    /// Packs weights `[oc, ic, kh, kw]` and biases `[oc]` for this kernel: for each block `[step][width]` weights,
    /// then `[width]` biases; steps in the order `(ky, kx, c)`.
    ///
    /// # Panics
    /// If a length does not fit `shape`.
    pub(super) fn pack_weights(&self, shape: &ConvShape, w: &[f32], bias: &[f32], packed: &mut [f32]) {
        let (steps, taps) = (shape.steps(), shape.kh * shape.kw);
        assert_eq!(w.len(), shape.oc * steps, "weights length");
        assert_eq!(bias.len(), shape.oc, "bias length");
        packed.fill(0.0);
        for block in self.blocks(shape.oc, steps) {
            let (rows, packed_bias) =
                packed[block.offset..][..block.width * (steps + 1)].split_at_mut(block.width * steps);
            for lane in 0..block.live {
                let o = block.first + lane;
                for c in 0..shape.ic {
                    for tap in 0..taps {
                        rows[(tap * shape.ic + c) * block.width + lane] = w[(o * shape.ic + c) * taps + tap];
                    }
                }
                packed_bias[lane] = bias[o];
            }
        }
    }
}
