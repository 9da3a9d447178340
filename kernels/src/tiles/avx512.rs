//! The tiles of AVX-512: 32 zmm registers.

use super::Tiles;
use crate::conv::{channel_lanes, pixel_lanes};
use crate::isa::{Avx512, Avx512Bf16, Avx512Bw, Avx512Vnni};
use crate::narrow::{bf16, byte_pixels, bytes, widened};
use crate::peak::rounds;
use crate::winograd::{algorithms_of, widened_of, words_of};

pub(super) static TILES: Tiles = Tiles {
    conv: &[
        // 28 accumulators, 2 weights, 1 pixel: 31 of 32.
        channel_lanes::<Avx512, 14, 2>("channel-lane 14x2").in_place(),
        // 21 accumulators, 3 weights, 1 pixel: 25 of 32. 7x4 would fill the registers, but leaves none for the pixel:
        // it then reads the pixel once a vector, and loads take longer than multiply-adds.
        channel_lanes::<Avx512, 7, 3>("channel-lane 7x3").in_place(),
        // 24 accumulators, 3 pixels, 1 weight: 28 of 32.
        pixel_lanes::<Avx512, 8, 3>("pixel-lane 8x3").in_place(),
    ],
    // 28 accumulators, 2 weights, 1 pixel: 31 of 32; widened 24 accumulators, 4 weights, 2 pixels: 30. Pixel lanes 24
    // accumulators, 3 pixels, 1 weight: 28, and a vector of ones, a product: 30; without an instruction for bytes 16
    // accumulators, 2 pixels in halves, a weight, a vector of ones, products in halves: 24.
    narrow: &[
        bytes::<Avx512, 14, 2>("int8 14x2", 6.0),
        byte_pixels::<Avx512, 8, 2>("int8 pixel-lane 8x2", 6.0),
        bytes::<Avx512Bw, 14, 2>("int8 14x2", 2.0).by("vpmaddubsw").if_there(Avx512Bw::is_there),
        byte_pixels::<Avx512Bw, 8, 3>("int8 pixel-lane 8x3", 2.0).by("vpmaddubsw").if_there(Avx512Bw::is_there),
        bytes::<Avx512Vnni, 14, 2>("int8 14x2", 1.0).by("vpdpbusd").if_there(Avx512Vnni::is_there),
        byte_pixels::<Avx512Vnni, 8, 3>("int8 pixel-lane 8x3", 1.0).by("vpdpbusd").if_there(Avx512Vnni::is_there),
        widened::<Avx512, 12, 2>("bf16 12x2"),
        bf16::<Avx512Bf16, 14, 2>("bf16 14x2", 1.0).by("vdpbf16ps").if_there(Avx512Bf16::is_there),
    ],
    // 28 accumulators, 2 weights, 1 input: 31 of 32.
    winograd: &algorithms_of::<Avx512, 14, 2>(),
    // As those, and without an instruction for words what widens the weights.
    winograd_bf16: &[widened_of::<Avx512, 12, 2>(), words_of::<Avx512Bf16, 14, 2>("vdpbf16ps", Avx512Bf16::is_there)],
    // 12 chains, 2 constants: 14 of 32; with 24 chains the compiler kept them in memory.
    peak: rounds::<Avx512, 12>(),
};
