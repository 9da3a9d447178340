//! The tiles of the portable set: 16 xmm registers, two a vector, or what the build's target has.

use super::Tiles;
use crate::conv::{channel_lanes, pixel_lanes};
use crate::narrow::{byte_pixels, bytes, widened};
use crate::peak::rounds;
use crate::simd::Portable;
use crate::winograd::{algorithms_of, widened_of};

pub(super) static TILES: Tiles = Tiles {
    conv: &[
        // 4 accumulators, 1 weight, 1 pixel: 12 of 16.
        channel_lanes::<Portable, 4, 1>("channel-lane 4x1").in_place(),
        // 4 accumulators, 1 pixel, 1 weight: 12 of 16.
        pixel_lanes::<Portable, 4, 1>("pixel-lane 4x1").in_place(),
    ],
    // 4 accumulators and what widens the words.
    narrow: &[
        bytes::<Portable, 4, 1>("int8 4x1", 3.0),
        byte_pixels::<Portable, 4, 1>("int8 pixel-lane 4x1", 3.0),
        widened::<Portable, 4, 1>("bf16 4x1"),
    ],
    // 4 accumulators, 1 weight, 1 input: 12 of 16.
    winograd: &algorithms_of::<Portable, 4, 1>(),
    // 4 accumulators, 2 weights, 1 input: 14 of 16.
    winograd_bf16: &[widened_of::<Portable, 4, 1>()],
    // 5 chains, 2 constants: 14 of 16.
    peak: rounds::<Portable, 5>(),
};
