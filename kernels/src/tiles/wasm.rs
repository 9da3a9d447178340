//! The tiles of WebAssembly's 128-bit SIMD: 16 xmm registers where it runs on x86, of which a browser keeps one for itself;
//! ARM has 32.

use super::Tiles;
use crate::conv::{channel_lanes, pixel_lanes};
use crate::isa::Simd128;
#[cfg(not(googlenet_f32_only))]
use crate::narrow::{byte_pixels, bytes, widened};
use crate::peak::rounds;
use crate::winograd::algorithms_of;
#[cfg(not(googlenet_f32_only))]
use crate::winograd::{integers_of, widened_of};

pub(super) static TILES: Tiles = Tiles {
    conv: &[
        // 12 accumulators, 2 weights, 1 pixel: 15 of 15. Both read panels: there is no prefetching of inputs in place, whose
        // channels lie far apart.
        channel_lanes::<Simd128, 6, 2>("channel-lane 6x2"),
        // 12 accumulators, 2 pixels, 1 weight: 15 of 15.
        pixel_lanes::<Simd128, 6, 2>("pixel-lane 6x2"),
    ],
    // 8 accumulators, 2 pixels or weights, 1 weight or pixel, and what widens the bytes: 15 of 15.
    #[cfg(googlenet_f32_only)]
    narrow: &[],
    #[cfg(googlenet_f32_only)]
    winograd_bf16: &[],
    #[cfg(googlenet_f32_only)]
    winograd_i16: &[],
    #[cfg(not(googlenet_f32_only))]
    narrow: &[
        bytes::<Simd128, 4, 2>("int8 4x2", 3.0),
        byte_pixels::<Simd128, 4, 2>("int8 pixel-lane 4x2", 3.0),
        widened::<Simd128, 4, 2>("bf16 4x2"),
    ],
    // 12 accumulators, 2 weights, 1 input: 15 of 15.
    winograd: &algorithms_of::<Simd128, 6, 2>(),
    // 8 accumulators, 4 weights, 2 inputs: 14 of 15.
    #[cfg(not(googlenet_f32_only))]
    winograd_bf16: &[widened_of::<Simd128, 4, 2>()],
    // 8 accumulators, 2 weights, 1 input, a product: 12 of 15.
    #[cfg(not(googlenet_f32_only))]
    winograd_i16: &[integers_of::<Simd128, 4, 2>(0.6, None, || true)],
    // 12 chains, 2 constants: 14 of 15.
    peak: rounds::<Simd128, 12>(),
};
