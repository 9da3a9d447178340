//! The tiles of AVX2: 16 ymm registers.

use super::Tiles;
use crate::conv::{channel_lanes, pixel_lanes};
use crate::isa::{Avx2, Avx2Vnni};
use crate::narrow::{byte_pixels, widened};
use crate::peak::rounds;
use crate::winograd::{algorithms_of, widened_of};

pub(super) static TILES: Tiles = Tiles {
    conv: &[
        // 12 accumulators, 2 weights, 1 pixel: 15 of 16.
        channel_lanes::<Avx2, 6, 2>("channel-lane 6x2"),
        // 12 accumulators, 2 pixels, 1 weight: 15 of 16.
        pixel_lanes::<Avx2, 6, 2>("pixel-lane 6x2"),
    ],
    // 8 accumulators, 2 pixels, 1 weight, a vector of ones, a product: 13 of 16; 6 channels would need 17. A word of bytes
    // takes three instructions, of which two are as slow as a multiply-add, and in tiles 1.05 of that. Widened 8 accumulators,
    // 4 weights, 2 pixels: 14.
    narrow: &[
        byte_pixels::<Avx2, 4, 2>("int8 pixel-lane 4x2", 2.1).by("vpmaddubsw"),
        byte_pixels::<Avx2Vnni, 4, 2>("int8 pixel-lane 4x2", 1.0).by("vpdpbusd").if_there(Avx2Vnni::is_there),
        widened::<Avx2, 4, 2>("bf16 4x2"),
    ],
    // 12 accumulators, 2 weights, 1 input: 15 of 16.
    winograd: &algorithms_of::<Avx2, 6, 2>(),
    // 8 accumulators, 4 weights, 2 inputs: 14 of 16.
    winograd_bf16: &[widened_of::<Avx2, 4, 2>()],
    // 12 chains, 2 constants: 14 of 16.
    peak: rounds::<Avx2, 12>(),
};
