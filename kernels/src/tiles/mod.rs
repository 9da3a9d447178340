//! How large the tiles of each instruction set are: a table a set, made to fill its registers.
//!
//! Tiles are written P x R: P pixels or rows that are broadcast by R vectors, P * R accumulators in all.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

use crate::conv::ConvKernel;
use crate::isa::Isa;
use crate::narrow;
use crate::peak::Rounds;
use crate::winograd::Winograd;

/// What a set's kernels are made of. The entries it holds must not run where the set is missing, so a table is handed
/// out by [`of`] alone.
pub(crate) struct Tiles {
    /// The kernels of convolutions by their definition.
    pub conv: &'static [ConvKernel],
    /// The kernels of convolutions by their definition on narrow elements, also those that need more than the set.
    pub narrow: &'static [narrow::Kernel],
    /// Every Winograd algorithm, its products in tiles of one size.
    pub winograd: &'static [Winograd],
    /// The same with filters of bf16, in ways of which the best comes last.
    pub winograd_bf16: &'static [[Winograd; 5]],
    /// The Winograd algorithm in integers, in ways of which the best comes last.
    pub winograd_i16: &'static [Winograd],
    /// As many chains of multiply-adds as hide each other's latency.
    pub peak: Rounds,
}

/// The table of `isa`.
pub(crate) fn of(isa: Isa) -> &'static Tiles {
    match isa {
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        Isa::Portable => &portable::TILES,
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Isa::Simd128(_has) => &wasm::TILES,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon(_has) => &neon::TILES,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_has) => &avx2::TILES,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_has) => &avx512::TILES,
    }
}
