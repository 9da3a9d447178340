//! The microkernels of NEON: 32 q registers.

use super::{ConvKernel, ConvShape, Tile, channel_lane, pack, pixel_lane};
use crate::isa::Neon;

pub(super) static KERNELS: [ConvKernel; 2] = [
    ConvKernel {
        name: "channel-lane 14x2",
        px: 14,
        oc: 8,
        granule: 4,
        reads_in_place: true,
        transposes: true,
        // SAFETY: this table is reached only through `kernels(Isa::Neon)`, whose token proves the set.
        panel: |shape, x, first_px, live, px, panel| unsafe { panel_neon(shape, x, first_px, live, px, panel) },
        // SAFETY: this table is reached only through `kernels(Isa::Neon)`, whose token proves the set.
        tile: |tile| unsafe { channel_lane_14x2_neon(tile) },
    },
    ConvKernel {
        name: "pixel-lane 8x3",
        px: 12,
        oc: 8,
        granule: 8,
        reads_in_place: true,
        transposes: false,
        // SAFETY: this table is reached only through `kernels(Isa::Neon)`, whose token proves the set.
        panel: |shape, x, first_px, live, px, panel| unsafe { panel_neon(shape, x, first_px, live, px, panel) },
        // SAFETY: this table is reached only through `kernels(Isa::Neon)`, whose token proves the set.
        tile: |tile| unsafe { pixel_lane_8x3_neon(tile) },
    },
];

/// 14x2: 28 accumulators, 2 weights, 1 pixel.
#[target_feature(enable = "neon")]
fn channel_lane_14x2_neon(tile: Tile<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Neon::assume() };
    match tile.bias.len() / 4 {
        1 => channel_lane::tile::<_, 14, 1>(set, tile),
        _ => channel_lane::tile::<_, 14, 2>(set, tile),
    }
}

/// 8x3: 24 accumulators, 3 pixels, 1 weight.
#[target_feature(enable = "neon")]
fn pixel_lane_8x3_neon(tile: Tile<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Neon::assume() };
    pixel_lane::tile::<_, 8, 3>(set, tile);
}

#[target_feature(enable = "neon")]
fn panel_neon(shape: &ConvShape, x: &[f32], first_px: usize, live: usize, px: usize, panel: &mut [f32]) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Neon::assume() };
    pack::panel(set, shape, x, first_px, live, px, panel);
}
