//! Errors of single tensors: of how a file describes them, and of what the network needs of them.

use std::fmt;

use super::text::{Named, Quoted};

/// What was wrong with a tensor of a weight file or of a model to import. Offsets and lengths are in bytes.
#[derive(Debug)]
#[non_exhaustive]
pub enum TensorError {
    /// A tensor may not have this name.
    Name {
        /// The name.
        tensor: String,
    },
    /// A tensor has an element type that is not supported.
    Type {
        /// The tensor's name.
        tensor: String,
        /// The type's name, as the file spells it.
        dtype: String,
    },
    /// A tensor's shape has too many dimensions, or one that is zero, or asks for more bytes than can be counted.
    ImpossibleShape {
        /// The tensor's name.
        tensor: String,
        /// The tensor's shape.
        shape: Vec<u64>,
    },
    /// A tensor's data offsets do not lie in order within the data section.
    Offsets {
        /// The tensor's name.
        tensor: String,
        /// The offset in the data section of the tensor's first byte.
        begin: u64,
        /// The offset in the data section of the byte past the tensor's last.
        end: u64,
        /// The length of the data section.
        data_length: u64,
    },
    /// A tensor has another length than its shape and type ask for.
    Length {
        /// The tensor's name.
        tensor: String,
        /// How many bytes shape and type ask for.
        expected: u64,
        /// How many bytes there are.
        found: u64,
    },
    /// Two tensors share bytes.
    Overlap {
        /// The tensor that lies first.
        first: String,
        /// The tensor that begins within it.
        second: String,
        /// The offset in the data section at which the second tensor begins.
        offset: u64,
    },
    /// A finite value is too large for a finite f16.
    HalfRange {
        /// The tensor's name.
        tensor: String,
        /// The index of the value in the tensor.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A value of a quantised file cannot be computed with.
    Value {
        /// The tensor's name.
        tensor: String,
        /// The index of the value in the tensor.
        index: usize,
        /// The value.
        value: f32,
        /// The smallest value allowed.
        least: f32,
        /// The largest value allowed.
        most: f32,
    },
    /// Two layers whose outputs are stored with one scale have different ones.
    ScalesDiffer {
        /// The tensor with the one scale.
        first: String,
        /// That scale.
        first_scale: f32,
        /// The tensor with the other; it is not in the file if there is no other scale.
        second: String,
        /// The other scale, if there is one.
        second_scale: Option<f32>,
    },
    /// With the scale that the file states, two neighbouring weights of a filter become bytes whose products a sum of
    /// 16 bits cannot hold.
    UnsafePair {
        /// The tensor of the scales.
        tensor: String,
        /// The output channel, which is the scale's index.
        channel: usize,
        /// The scale.
        scale: f32,
    },
    /// A packed tensor is not what packing the network's own tensors gives.
    NotRepacked {
        /// The packed tensor's name.
        tensor: String,
        /// The index of the first word of 32 bits that differs; `None` where the lengths or the types do.
        index: Option<usize>,
    },
    /// A tensor that the network needs is not in the file.
    Missing {
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor that the network does not know is in the file.
    Unexpected {
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor has another shape than the network's.
    WrongShape {
        /// The tensor's name in the network.
        tensor: String,
        /// The tensor's name in the file.
        source_name: String,
        /// The shape that the network needs; a dimension is `None` where any number of classes would do.
        expected: Vec<Option<usize>>,
        /// The shape that the file states, which may be nonsense.
        found: Vec<i64>,
    },
}

impl TensorError {
    /// The error for a tensor that has the same name in the file and in the network, and another shape in each.
    pub(crate) fn wrong_shape(tensor: String, expected: &[Option<usize>], found: &[usize]) -> Self {
        Self::WrongShape {
            source_name: tensor.clone(),
            tensor,
            expected: expected.to_vec(),
            found: found.iter().map(|&dim| i64::try_from(dim).unwrap_or(i64::MAX)).collect(),
        }
    }
}

impl fmt::Display for TensorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { tensor } => write!(f, "{} cannot be a tensor's name", Quoted(tensor)),
            Self::Type { tensor, dtype } => {
                write!(f, "tensor {} has unsupported type {}", Quoted(tensor), Quoted(dtype))
            }
            Self::ImpossibleShape { tensor, shape } => {
                write!(f, "tensor {} has impossible shape {:?}", Quoted(tensor), &shape[..shape.len().min(9)])
            }
            Self::Offsets { tensor, begin, end, data_length } => {
                write!(f, "tensor {} at bytes {begin}..{end} of {data_length}", Quoted(tensor))
            }
            Self::Length { tensor, expected, found } => {
                write!(f, "tensor {} has {found} bytes, its shape asks for {expected}", Quoted(tensor))
            }
            Self::Overlap { first, second, offset } => {
                write!(f, "tensors {} and {} overlap at byte {offset}", Quoted(first), Quoted(second))
            }
            Self::HalfRange { tensor, index, value } => {
                write!(f, "tensor {}: element {index} is {value}, too large for f16", Quoted(tensor))
            }
            Self::Value { tensor, index, value, least, most } => {
                write!(f, "tensor {}: element {index} is {value:e}, not in {least:e} to {most:e}", Quoted(tensor))
            }
            Self::ScalesDiffer { first, first_scale, second, second_scale: Some(scale) } => {
                let [first, second] = [first, second].map(|tensor| Quoted(tensor));
                write!(f, "tensors {first} and {second} are {first_scale:e} and {scale:e}, and must be equal")
            }
            Self::ScalesDiffer { first, first_scale, second, second_scale: None } => {
                let [first, second] = [first, second].map(|tensor| Quoted(tensor));
                write!(f, "tensor {first} is {first_scale:e}, and {second}, which must be equal, is missing")
            }
            Self::UnsafePair { tensor, channel, scale } => {
                write!(f, "tensor {}: element {channel} is {scale:e}, too small", Quoted(tensor))?;
                write!(f, " for neighbouring weights to add up to at most 128 as bytes")
            }
            Self::NotRepacked { tensor, index } => {
                write!(f, "tensor {} is not what packing the weights gives", Quoted(tensor))?;
                index.map_or(Ok(()), |index| write!(f, ": element {index} differs"))
            }
            Self::Missing { tensor } => write!(f, "tensor {} is missing", Quoted(tensor)),
            Self::Unexpected { tensor } => {
                write!(f, "tensor {} is not part of the network", Quoted(tensor))
            }
            Self::WrongShape { tensor, source_name, expected, found } => {
                let dims = expected.iter().map(|dim| dim.map_or_else(|| "classes".into(), |dim| dim.to_string()));
                let expected = dims.collect::<Vec<_>>().join(", ");
                let found = &found[..found.len().min(9)];
                write!(f, "{} has shape {found:?}, expected [{expected}]", Named { tensor, source_name })
            }
        }
    }
}

impl std::error::Error for TensorError {}
