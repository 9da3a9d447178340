//! The messages of an ONNX file, as far as this crate reads them; other fields are skipped by the decoder.
//!
//! Names and tags are those of `onnx.proto` (Open Neural Network Exchange, IR specification), where every field
//! named here keeps its number in all versions.

use crate::import::wire::{FIELD_BYTES, Layout};

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct ModelProto {
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct GraphProto {
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
pub(in crate::import) struct NodeProto {
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
pub(in crate::import) struct AttributeProto {
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
    /// The attribute's type: one of the numbers in [`attribute`].
    #[prost(int32, tag = "20")]
    pub r#type: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// The elements' type: one of the numbers in [`element`].
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    /// In which file the data are, and where in that: keys `location`, `offset`, `length`.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    /// Where the data are: 0 for this file, 1 for another one.
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct TensorTypeProto {
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct DimensionProto {
    /// The dimension's length; absent where the file gives it a name instead.
    #[prost(int64, optional, tag = "1")]
    pub dim_value: Option<i64>,
}

/// The numbers of `AttributeProto.AttributeType`, as far as they are needed; old writers leave the type out, which
/// reads as 0.
pub(in crate::import) mod attribute {
    pub const FLOAT: i32 = 1;
    pub const INT: i32 = 2;
    pub const STRING: i32 = 3;
    pub const INTS: i32 = 7;
}

/// The numbers of `TensorProto.DataType`, as far as they are needed.
pub(in crate::import) mod element {
    pub const FLOAT: i32 = 1;
    pub const INT64: i32 = 7;
    pub const FLOAT16: i32 = 10;
    pub const DOUBLE: i32 = 11;
    pub const BFLOAT16: i32 = 16;
}

/// What is decoded of a model.
pub(in crate::import) const LAYOUT: Layout = Layout {
    messages: &[
        &[7],
        &[7, 1],
        &[7, 1, 5],
        &[7, 1, 5, 5],
        &[7, 1, 5, 5, 13],
        &[7, 5],
        &[7, 5, 13],
        &[7, 11],
        &[7, 11, 2],
        &[7, 11, 2, 1],
        &[7, 11, 2, 1, 2],
        &[7, 11, 2, 1, 2, 1],
        &[7, 12],
        &[7, 12, 2],
        &[7, 12, 2, 1],
        &[7, 12, 2, 1, 2],
        &[7, 12, 2, 1, 2, 1],
        &[8],
    ],
    // Raw bytes, f32 and f64, of initializers and of tensors in the attributes of nodes.
    numbers: &[&[7, 5, 9], &[7, 5, 4], &[7, 5, 10], &[7, 1, 5, 5, 9], &[7, 1, 5, 5, 4], &[7, 1, 5, 5, 10]],
    // Of these the bits of f16 and bf16 are read.
    integers: &[&[7, 5, 5], &[7, 1, 5, 5, 5]],
};

// A message that holds others is no smaller than they are.
const _: () = assert!(3 * size_of::<AttributeProto>() <= FIELD_BYTES && 3 * size_of::<NodeProto>() <= FIELD_BYTES);
const _: () = assert!(3 * size_of::<ValueInfoProto>() <= FIELD_BYTES);
