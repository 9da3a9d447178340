//! The messages of an ONNX file, as far as this crate reads them; other fields are skipped by the decoder.
//!
//! Names and tags are those of `onnx.proto` (Open Neural Network Exchange, IR specification), where every field
//! named here keeps its number in all versions. Types are chosen for hostile input: a repeated field whose elements
//! are not looked at (`external_data`) is one optional message, into which the decoder merges every element.

use crate::{Error, Result};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ModelProto {
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    pub domain: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AttributeProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(float, tag = "2")]
    pub f: f32,
    #[prost(int64, tag = "3")]
    pub i: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub s: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    pub t: Option<TensorProto>,
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    /// One of [`attribute`]'s numbers.
    #[prost(int32, tag = "20")]
    pub r#type: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// One of [`element`]'s numbers.
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
    #[prost(message, optional, tag = "13")]
    pub external_data: Option<StringStringEntryProto>,
    /// 0: in the file; 1: in another one.
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorTypeProto {
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DimensionProto {
    /// Absent where the dimension is a name.
    #[prost(int64, optional, tag = "1")]
    pub dim_value: Option<i64>,
}

/// `AttributeProto.AttributeType`; 0 where an old writer left it out.
pub(super) mod attribute {
    pub const FLOAT: i32 = 1;
    pub const INT: i32 = 2;
    pub const STRING: i32 = 3;
    pub const INTS: i32 = 7;
}

/// `TensorProto.DataType`.
pub(super) mod element {
    pub const FLOAT: i32 = 1;
    pub const FLOAT16: i32 = 10;
}

/// Bounds what decoding may allocate: small messages grow about a hundredfold in memory, so all that is not an
/// initializer has a limit in bytes, and initializers, which hold the weights, one in number.
pub(super) fn check_amounts(model: &[u8]) -> Result<()> {
    let (mut structure_bytes, mut initializers) = (0, 0);
    for field in Fields(model) {
        if field.tag != MODEL_GRAPH {
            structure_bytes += field.whole_len;
            continue;
        }
        for field in Fields(field.content) {
            if field.tag == GRAPH_INITIALIZER {
                initializers += 1;
            } else {
                structure_bytes += field.whole_len;
            }
        }
    }
    for (what, limit, found) in
        [("bytes beside the tensors", MAX_STRUCTURE_BYTES, structure_bytes), ("tensors", MAX_TENSORS, initializers)]
    {
        if found > limit {
            return Err(Error::TooMany { what, limit, found });
        }
    }
    Ok(())
}

/// The fields of a protobuf message.
///
/// Ends early where the message is damaged; the decoder says so later.
struct Fields<'a>(&'a [u8]);

struct Field<'a> {
    tag: u64,
    /// What a delimited field delimits; empty for a number.
    content: &'a [u8],
    /// Bytes it takes in the message, its key included.
    whole_len: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let n = self.0.len();
        let key = self.varint()?;
        let len = match key & 7 {
            0 => self.varint().map(|_| 0)?,
            1 => 8,
            2 => usize::try_from(self.varint()?).ok()?,
            5 => 4,
            3 | 4 => 0, // the decoder skips groups; what they hold is counted as if it stood here
            _ => return None,
        };
        let (content, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(Field { tag: key >> 3, content: if key & 7 == 2 { content } else { &[] }, whole_len: n - rest.len() })
    }
}

impl Fields<'_> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 127).checked_shl(shift).unwrap_or(0);
            if byte < 128 {
                return Some(value);
            }
        }
        None
    }
}

/// `ModelProto.graph`.
const MODEL_GRAPH: u64 = 7;
/// `GraphProto.initializer`.
const GRAPH_INITIALIZER: u64 = 5;
/// The published graph takes some 20 KiB; exporters add a stack trace to every node.
const MAX_STRUCTURE_BYTES: usize = 1 << 20;
/// GoogLeNet has 116 tensors.
const MAX_TENSORS: usize = 4096;
