//! The microkernels of the portable set: two SSE2 registers a vector, or what the build's target has.

use super::{ConvKernel, ConvShape, Tile, channel_lane, pack, pixel_lane};
use crate::simd::Portable;

pub(super) static KERNELS: [ConvKernel; 2] = [
    ConvKernel {
        name: "channel-lane 4x1",
        px: 4,
        oc: 8,
        granule: 8,
        reads_in_place: true,
        transposes: true,
        panel: panel_portable,
        tile: channel_lane_4x1_portable,
    },
    ConvKernel {
        name: "pixel-lane 4x1",
        px: 8,
        oc: 4,
        granule: 4,
        reads_in_place: true,
        transposes: false,
        panel: panel_portable,
        tile: pixel_lane_4x1_portable,
    },
];

/// 4x1: 4 accumulators, 1 weights, 1 pixel.
fn channel_lane_4x1_portable(tile: Tile<'_>) {
    let set = Portable;
    channel_lane::tile::<_, 4, 1>(set, tile);
}

/// 4x1: 4 accumulators, 1 pixels, 1 weight.
fn pixel_lane_4x1_portable(tile: Tile<'_>) {
    let set = Portable;
    pixel_lane::tile::<_, 4, 1>(set, tile);
}

fn panel_portable(shape: &ConvShape, x: &[f32], first_px: usize, live: usize, px: usize, panel: &mut [f32]) {
    let set = Portable;
    pack::panel(set, shape, x, first_px, live, px, panel);
}
