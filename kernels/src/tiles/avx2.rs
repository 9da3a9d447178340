//! The tiles of AVX2: 16 ymm registers.

use super::Tiles;
use crate::conv::{channel_lanes, pixel_lanes};
use crate::isa::Avx2;
use crate::peak::rounds;
use crate::winograd::algorithms_of;

pub(super) static TILES: Tiles = Tiles {
    conv: &[
        // 12 accumulators, 2 weights, 1 pixel: 15 of 16.
        channel_lanes::<Avx2, 6, 2>("channel-lane 6x2"),
        // 12 accumulators, 2 pixels, 1 weight: 15 of 16.
        pixel_lanes::<Avx2, 6, 2>("pixel-lane 6x2"),
    ],
    // 12 accumulators, 2 weights, 1 input: 15 of 16.
    winograd: &algorithms_of::<Avx2, 6, 2>(),
    // 12 chains, 2 constants: 14 of 16.
    peak: rounds::<Avx2, 12>(),
};
