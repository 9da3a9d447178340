//! The whole network: each layer against its definition, the ways weights are loaded against each other, the real
//! weights against their reference and photographs.

mod bits;
mod layers;
mod loading;
mod photographs;
mod random;
mod real;
mod reference;
