//! The microkernels of AVX-512: 32 zmm registers.

use super::{ConvKernel, ConvShape, Tile, channel_lane, pack, pixel_lane};
use crate::isa::Avx512;

pub(super) static KERNELS: [ConvKernel; 3] = [
    ConvKernel {
        name: "channel-lane 14x2",
        px: 14,
        oc: 32,
        granule: 16,
        reads_in_place: true,
        transposes: true,
        // SAFETY: this table is reached only through `kernels(Isa::Avx512)`, whose token proves the set.
        panel: |shape, x, first_px, live, px, panel| unsafe { panel_avx512(shape, x, first_px, live, px, panel) },
        // SAFETY: this table is reached only through `kernels(Isa::Avx512)`, whose token proves the set.
        tile: |tile| unsafe { channel_lane_14x2_avx512(tile) },
    },
    ConvKernel {
        name: "channel-lane 7x3",
        px: 7,
        oc: 48,
        granule: 16,
        reads_in_place: true,
        transposes: true,
        // SAFETY: this table is reached only through `kernels(Isa::Avx512)`, whose token proves the set.
        panel: |shape, x, first_px, live, px, panel| unsafe { panel_avx512(shape, x, first_px, live, px, panel) },
        // SAFETY: this table is reached only through `kernels(Isa::Avx512)`, whose token proves the set.
        tile: |tile| unsafe { channel_lane_7x3_avx512(tile) },
    },
    ConvKernel {
        name: "pixel-lane 8x3",
        px: 48,
        oc: 8,
        granule: 8,
        reads_in_place: true,
        transposes: false,
        // SAFETY: this table is reached only through `kernels(Isa::Avx512)`, whose token proves the set.
        panel: |shape, x, first_px, live, px, panel| unsafe { panel_avx512(shape, x, first_px, live, px, panel) },
        // SAFETY: this table is reached only through `kernels(Isa::Avx512)`, whose token proves the set.
        tile: |tile| unsafe { pixel_lane_8x3_avx512(tile) },
    },
];

/// 14x2: 28 accumulators, 2 weights, 1 pixel.
#[target_feature(enable = "avx512f,avx2,fma")]
fn channel_lane_14x2_avx512(tile: Tile<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Avx512::assume() };
    match tile.bias.len() / 16 {
        1 => channel_lane::tile::<_, 14, 1>(set, tile),
        _ => channel_lane::tile::<_, 14, 2>(set, tile),
    }
}

/// 7x3: 21 accumulators, 3 weights, 1 pixel. 7x4 would fill the registers, but leaves none for the pixel: it then reads
/// the pixel once a vector, and loads take longer than multiply-adds.
#[target_feature(enable = "avx512f,avx2,fma")]
fn channel_lane_7x3_avx512(tile: Tile<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Avx512::assume() };
    match tile.bias.len() / 16 {
        1 => channel_lane::tile::<_, 7, 1>(set, tile),
        2 => channel_lane::tile::<_, 7, 2>(set, tile),
        _ => channel_lane::tile::<_, 7, 3>(set, tile),
    }
}

/// 8x3: 24 accumulators, 3 pixels, 1 weight.
#[target_feature(enable = "avx512f,avx2,fma")]
fn pixel_lane_8x3_avx512(tile: Tile<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Avx512::assume() };
    pixel_lane::tile::<_, 8, 3>(set, tile);
}

#[target_feature(enable = "avx512f,avx2,fma")]
fn panel_avx512(shape: &ConvShape, x: &[f32], first_px: usize, live: usize, px: usize, panel: &mut [f32]) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Avx512::assume() };
    pack::panel(set, shape, x, first_px, live, px, panel);
}
