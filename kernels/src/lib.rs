//! The arithmetic of `googlenet`: kernels on slices of f32.
//!
//! No threads, no files, no globals, and no allocation but where filters are transformed, once. Every family has a
//! reference from its definition (in [`mod@reference`] and [`conv::conv2d_ref`], which do allocate: only tests call
//! them) and one contract, and turns an instruction set into function pointers: by a `select`, or by a table of kernels
//! among which the caller chooses.
#![cfg_attr(googlenet_f32_only, allow(dead_code, unused_imports, reason = "what only narrow kernels are made of"))]

pub mod average;
pub mod average_pool;
pub mod bandwidth;
mod buffer;
pub mod conv;
pub mod dense;
pub mod element;
pub mod isa;
pub mod lrn;
pub mod narrow;
mod op;
pub mod peak;
pub mod pool;
pub mod reference;
mod simd;
pub mod softmax;
mod tiles;
pub mod view;
pub mod winograd;
