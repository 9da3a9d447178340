//! The whole network: each layer against its definition, the ways weights are loaded against each other, the real
//! weights against their reference and photographs.
//!
//! Modules that need a feature of the library are there only with it.

mod bits;
mod class_maps;
mod ensembles;
mod hashes;
mod heads;
mod layers;
#[cfg(all(feature = "decode", feature = "mmap"))]
mod loading;
#[cfg(all(feature = "decode", feature = "import"))]
mod photographs;
mod random;
#[cfg(feature = "import")]
mod real;
#[cfg(feature = "import")]
mod reference;
