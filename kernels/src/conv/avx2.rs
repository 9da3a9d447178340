//! The microkernels of AVX2: 16 ymm registers.

use super::{ConvKernel, ConvShape, Tile, channel_lane, pack, pixel_lane};
use crate::isa::Avx2;

pub(super) static KERNELS: [ConvKernel; 2] = [
    ConvKernel {
        name: "channel-lane 6x2",
        px: 6,
        oc: 16,
        granule: 8,
        reads_in_place: false,
        transposes: true,
        // SAFETY: this table is reached only through `kernels(Isa::Avx2)`, whose token proves the set.
        panel: |shape, x, first_px, live, px, panel| unsafe { panel_avx2(shape, x, first_px, live, px, panel) },
        // SAFETY: this table is reached only through `kernels(Isa::Avx2)`, whose token proves the set.
        tile: |tile| unsafe { channel_lane_6x2_avx2(tile) },
    },
    ConvKernel {
        name: "pixel-lane 6x2",
        px: 16,
        oc: 6,
        granule: 6,
        reads_in_place: false,
        transposes: false,
        // SAFETY: this table is reached only through `kernels(Isa::Avx2)`, whose token proves the set.
        panel: |shape, x, first_px, live, px, panel| unsafe { panel_avx2(shape, x, first_px, live, px, panel) },
        // SAFETY: this table is reached only through `kernels(Isa::Avx2)`, whose token proves the set.
        tile: |tile| unsafe { pixel_lane_6x2_avx2(tile) },
    },
];

/// 6x2: 12 accumulators, 2 weights, 1 pixel.
#[target_feature(enable = "avx2,fma")]
fn channel_lane_6x2_avx2(tile: Tile<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Avx2::assume() };
    match tile.bias.len() / 8 {
        1 => channel_lane::tile::<_, 6, 1>(set, tile),
        _ => channel_lane::tile::<_, 6, 2>(set, tile),
    }
}

/// 6x2: 12 accumulators, 2 pixels, 1 weight.
#[target_feature(enable = "avx2,fma")]
fn pixel_lane_6x2_avx2(tile: Tile<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Avx2::assume() };
    pixel_lane::tile::<_, 6, 2>(set, tile);
}

#[target_feature(enable = "avx2,fma")]
fn panel_avx2(shape: &ConvShape, x: &[f32], first_px: usize, live: usize, px: usize, panel: &mut [f32]) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Avx2::assume() };
    pack::panel(set, shape, x, first_px, live, px, panel);
}
