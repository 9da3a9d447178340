//! The whole network: each layer against its definition, the ways weights are loaded against each other, the real
//! weights against their reference and photographs.
//!
//! What decodes pictures or imports weights needs the feature `cli`.

mod bits;
mod class_maps;
mod ensembles;
mod hashes;
mod heads;
mod layers;
#[cfg(feature = "cli")]
mod loading;
#[cfg(feature = "cli")]
mod photographs;
mod random;
#[cfg(feature = "cli")]
mod real;
#[cfg(feature = "cli")]
mod reference;
