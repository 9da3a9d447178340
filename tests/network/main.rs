//! Tests of the whole network: its layers are compared with their definitions and the ways of loading weights with each
//! other, and sessions and ensembles are tried. Tests that need the real weights or a certain instruction set are in
//! `tests/promised`.
//!
//! Modules that need a feature of the library are there only with it.

mod bits;
mod class_maps;
mod counts;
mod ensembles;
mod heads;
mod layers;
#[cfg(all(feature = "decode", feature = "mmap"))]
mod loading;
mod mutation;
mod precision;
mod random;
mod small;
/// The table of the network that `small.rs` runs. It is a file of the model's own tests, and takes its types from its
/// parent module, which is why this one imports them all.
#[path = "../../src/model/small.rs"]
mod table;
mod tensors;

use googlenet::model::*;
