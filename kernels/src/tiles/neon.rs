//! The tiles of NEON: 32 q registers.

use super::Tiles;
use crate::conv::{channel_lanes, pixel_lanes};
use crate::isa::{Neon, NeonBf16, NeonDot, NeonI8mm};
use crate::narrow::{bf16, byte_pixels, bytes, widened};
use crate::peak::rounds;
use crate::winograd::{algorithms_of, widened_of, words_of};

pub(super) static TILES: Tiles = Tiles {
    conv: &[
        // 28 accumulators, 2 weights, 1 pixel: 31 of 32.
        channel_lanes::<Neon, 14, 2>("channel-lane 14x2").in_place(),
        // 24 accumulators, 3 pixels, 1 weight: 28 of 32.
        pixel_lanes::<Neon, 8, 3>("pixel-lane 8x3").in_place(),
    ],
    // Pixel lanes 16 accumulators, 2 pixels widened, 1 weight widened and 4 products: 26 of 32; of `usdot` 24 accumulators, 3
    // pixels, 1 weight: 28. Signed products also need a sum of each weight, which channel lanes make for 12 pixels at a time:
    // 24 accumulators, 2 weights and their sums, 1 pixel and its sign: 30. Else 28 accumulators, 2 weights, 1 pixel: 31.
    narrow: &[
        byte_pixels::<Neon, 8, 2>("int8 pixel-lane 8x2", 6.0),
        bytes::<NeonDot, 12, 2>("int8 12x2", 2.0).by("sdot").if_there(NeonDot::is_there),
        byte_pixels::<NeonI8mm, 8, 3>("int8 pixel-lane 8x3", 1.0).by("usdot").if_there(NeonI8mm::is_there),
        widened::<Neon, 8, 2>("bf16 8x2"),
        bf16::<NeonBf16, 14, 2>("bf16 14x2", 1.0).by("bfdot").if_there(NeonBf16::is_there),
    ],
    // 24 accumulators, 2 weights, 1 input: 27 of 32.
    winograd: &algorithms_of::<Neon, 12, 2>(),
    // 20 accumulators, 6 weights, 2 inputs: 28 of 32; of words 28 accumulators, 2 weights, 1 input: 31.
    winograd_bf16: &[widened_of::<Neon, 10, 2>(), words_of::<NeonBf16, 14, 2>("bfdot", NeonBf16::is_there)],
    // 16 chains, 2 constants: 18 of 32.
    peak: rounds::<Neon, 16>(),
};
