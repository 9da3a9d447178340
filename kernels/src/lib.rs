//! The arithmetic of `googlenet`: kernels on slices of f32.
//!
//! No threads, no files, no allocation, no globals. Every family has a reference from its definition in
//! [`reference`], one contract, and a `select` that turns an instruction set into a plain function pointer.

pub mod conv;
pub mod isa;
mod simd;
pub mod view;
