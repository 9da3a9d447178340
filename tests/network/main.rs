//! The whole network: each layer against its definition, the real weights against their reference and photographs.

mod layers;
mod photographs;
mod random;
mod real;
mod reference;
