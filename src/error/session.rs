//! Errors of options and of calls on a session.

use std::fmt;

use super::Cause;
use super::text::Quoted;

/// An option or an argument that cannot be used, or threads that cannot be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionError {
    /// An option is out of its range.
    OutOfRange {
        /// The option.
        option: &'static str,
        /// The value that was given.
        value: usize,
        /// The smallest value allowed.
        least: usize,
        /// The largest value allowed.
        most: usize,
    },
    /// A run would take more input pixels than a session may hold.
    TooManyPixels {
        /// The number of images in a run.
        batch: usize,
        /// The side of each image, in pixels.
        side: usize,
        /// The most pixels that all images of a run may have together.
        limit: usize,
    },
    /// An instruction set was asked for that this machine does not have, or that this crate does not know.
    InstructionSet {
        /// The name that was asked for.
        name: String,
        /// Whether this crate knows a set of that name.
        known: bool,
        /// The names of the sets that this machine has.
        available: Vec<&'static str>,
    },
    /// Int8 was asked for, and the weights were not quantised.
    NotQuantised,
    /// The library was built for f32 alone, as the browser's module is.
    LeftOut {
        /// The precision that was asked for.
        precision: crate::Precision,
    },
    /// A class map was asked of a session that was made without class maps.
    NoClassMaps,
    /// The slice for a class map has not as many values as the map.
    MapLength {
        /// How many values the map has.
        expected: usize,
        /// How many values the slice has room for.
        found: usize,
    },
    /// A layer was asked for that the network does not have.
    UnknownLayer {
        /// The name that was asked for.
        layer: String,
    },
    /// The network's fully connected layers are made for another input side.
    NetworkSide {
        /// The network's name.
        network: &'static str,
        /// The input side that its published weights are for.
        own: usize,
        /// The input side that was asked for.
        side: usize,
    },
    /// An auxiliary head was asked for whose matrix is made for another input side.
    HeadSide {
        /// The head's name.
        head: &'static str,
        /// The session's input side.
        side: usize,
    },
    /// The memory for a session, or for what it packs, cannot be had.
    Memory {
        /// How many bytes were asked for.
        bytes: usize,
    },
    /// Threads could not be started.
    Threads {
        /// How many threads were asked for.
        threads: usize,
        /// The reason that starting a thread failed.
        source: Cause,
    },
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { option, value, least, most } => {
                write!(f, "{option} {value} is not in {least} to {most}")
            }
            Self::TooManyPixels { batch, side, limit } => {
                write!(f, "batch {batch} of {side}x{side} pixels is more than {limit} pixels in all")
            }
            Self::InstructionSet { name, known: true, available } => {
                write!(f, "this machine has no {name}, it has {}", available.join(", "))
            }
            Self::InstructionSet { name, known: false, available } => {
                write!(f, "unknown instruction set {}, this machine has {}", Quoted(name), available.join(", "))
            }
            Self::NotQuantised => {
                write!(f, "the weights were not quantised for int8, which `googlenet quantize` does")
            }
            Self::LeftOut { precision } => write!(f, "this build computes in f32 alone, not in {precision}"),
            Self::NoClassMaps => write!(f, "the session was made without class maps"),
            Self::MapLength { expected, found } => {
                write!(f, "class map has {expected} values, found room for {found}")
            }
            Self::UnknownLayer { layer } => write!(f, "the network has no layer {}", Quoted(layer)),
            Self::NetworkSide { network, own, side } => {
                write!(f, "the fully connected layers of {network} are made for the input side {own}, not {side}")
            }
            Self::HeadSide { head, side } => {
                write!(f, "the auxiliary head {head:?} is made for another input side than {side}, as for 224")
            }
            Self::Memory { bytes } => write!(f, "cannot have {bytes} bytes of memory"),
            Self::Threads { threads, source: _ } => write!(f, "cannot start {threads} threads"),
        }
    }
}

impl std::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Threads { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}
