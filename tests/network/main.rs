//! The whole network: each layer against its definition, the ways weights are loaded against each other, sessions and
//! ensembles. What needs the real weights, or a certain instruction set, is in `tests/promised`.
//!
//! Modules that need a feature of the library are there only with it.

mod bits;
mod class_maps;
mod ensembles;
mod heads;
mod layers;
#[cfg(all(feature = "decode", feature = "mmap"))]
mod loading;
mod random;
mod small;
/// The table that `small.rs` runs, which the model's own tests use, too; it takes its types from its parent.
#[path = "../../src/model/small.rs"]
mod table;

use googlenet::model::*;
