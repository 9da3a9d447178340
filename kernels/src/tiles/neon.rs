//! The tiles of NEON: 32 q registers.

use super::Tiles;
use crate::conv::{channel_lanes, pixel_lanes};
use crate::isa::Neon;
use crate::narrow::{bytes, widened};
use crate::peak::rounds;
use crate::winograd::{algorithms_of, widened_of};

pub(super) static TILES: Tiles = Tiles {
    conv: &[
        // 28 accumulators, 2 weights, 1 pixel: 31 of 32.
        channel_lanes::<Neon, 14, 2>("channel-lane 14x2").in_place(),
        // 24 accumulators, 3 pixels, 1 weight: 28 of 32.
        pixel_lanes::<Neon, 8, 3>("pixel-lane 8x3").in_place(),
    ],
    // 16 accumulators, 2 weights, 1 pixel and what widens them.
    narrow: &[bytes::<Neon, 8, 2>("int8 8x2", 6.0), widened::<Neon, 8, 2>("bf16 8x2")],
    // 24 accumulators, 2 weights, 1 input: 27 of 32.
    winograd: &algorithms_of::<Neon, 12, 2>(),
    // 20 accumulators, 6 weights, 2 inputs: 28 of 32.
    winograd_bf16: &[widened_of::<Neon, 10, 2>()],
    // 16 chains, 2 constants: 18 of 32.
    peak: rounds::<Neon, 16>(),
};
