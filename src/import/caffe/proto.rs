//! The messages of a `.caffemodel`, as far as this crate reads them; other fields are skipped by the decoder.
//!
//! Names and tags are those of Caffe's `caffe.proto`. A network has its layers in field 100 or, if an older program
//! wrote it, in field 2, where the types of layers are numbers. The parameters of a kind of layer are the same message
//! in both.

use crate::import::wire::{FIELD_BYTES, Layout};

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct NetParameter {
    #[prost(message, repeated, tag = "2")]
    pub layers: Vec<V1LayerParameter>,
    #[prost(string, repeated, tag = "3")]
    pub input: Vec<String>,
    #[prost(message, repeated, tag = "100")]
    pub layer: Vec<LayerParameter>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct V1LayerParameter {
    #[prost(string, repeated, tag = "2")]
    pub bottom: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    pub top: Vec<String>,
    #[prost(string, tag = "4")]
    pub name: String,
    /// The layer's type: one of the numbers in [`V1_TYPES`].
    #[prost(int32, tag = "5")]
    pub r#type: i32,
    #[prost(message, repeated, tag = "6")]
    pub blobs: Vec<BlobProto>,
    #[prost(message, optional, tag = "9")]
    pub concat_param: Option<ConcatParameter>,
    #[prost(message, optional, tag = "10")]
    pub convolution_param: Option<ConvolutionParameter>,
    #[prost(message, optional, tag = "17")]
    pub inner_product_param: Option<InnerProductParameter>,
    #[prost(message, optional, tag = "18")]
    pub lrn_param: Option<LrnParameter>,
    #[prost(message, optional, tag = "19")]
    pub pooling_param: Option<PoolingParameter>,
    #[prost(message, optional, tag = "30")]
    pub relu_param: Option<ReluParameter>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct LayerParameter {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub r#type: String,
    #[prost(string, repeated, tag = "3")]
    pub bottom: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub top: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    pub blobs: Vec<BlobProto>,
    #[prost(message, optional, tag = "104")]
    pub concat_param: Option<ConcatParameter>,
    #[prost(message, optional, tag = "106")]
    pub convolution_param: Option<ConvolutionParameter>,
    #[prost(message, optional, tag = "117")]
    pub inner_product_param: Option<InnerProductParameter>,
    #[prost(message, optional, tag = "118")]
    pub lrn_param: Option<LrnParameter>,
    #[prost(message, optional, tag = "121")]
    pub pooling_param: Option<PoolingParameter>,
    #[prost(message, optional, tag = "123")]
    pub relu_param: Option<ReluParameter>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct BlobProto {
    /// The first of the four dimensions, this field and the next three, that older programs wrote in place of `shape`.
    #[prost(int64, optional, tag = "1")]
    pub num: Option<i64>,
    #[prost(int64, optional, tag = "2")]
    pub channels: Option<i64>,
    #[prost(int64, optional, tag = "3")]
    pub height: Option<i64>,
    #[prost(int64, optional, tag = "4")]
    pub width: Option<i64>,
    #[prost(float, repeated, tag = "5")]
    pub data: Vec<f32>,
    #[prost(message, optional, tag = "7")]
    pub shape: Option<BlobShape>,
    #[prost(double, repeated, tag = "8")]
    pub double_data: Vec<f64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct BlobShape {
    #[prost(int64, repeated, tag = "1")]
    pub dim: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct ConcatParameter {
    #[prost(uint32, optional, tag = "1")]
    pub concat_dim: Option<u32>,
    #[prost(int32, optional, tag = "2")]
    pub axis: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct ConvolutionParameter {
    #[prost(uint32, repeated, packed = "false", tag = "3")]
    pub pad: Vec<u32>,
    #[prost(uint32, repeated, packed = "false", tag = "4")]
    pub kernel_size: Vec<u32>,
    #[prost(uint32, optional, tag = "5")]
    pub group: Option<u32>,
    #[prost(uint32, repeated, packed = "false", tag = "6")]
    pub stride: Vec<u32>,
    #[prost(uint32, optional, tag = "9")]
    pub pad_h: Option<u32>,
    #[prost(uint32, optional, tag = "10")]
    pub pad_w: Option<u32>,
    #[prost(uint32, optional, tag = "11")]
    pub kernel_h: Option<u32>,
    #[prost(uint32, optional, tag = "12")]
    pub kernel_w: Option<u32>,
    #[prost(uint32, optional, tag = "13")]
    pub stride_h: Option<u32>,
    #[prost(uint32, optional, tag = "14")]
    pub stride_w: Option<u32>,
    #[prost(uint32, repeated, packed = "false", tag = "18")]
    pub dilation: Vec<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct InnerProductParameter {
    #[prost(bool, optional, tag = "6")]
    pub transpose: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct LrnParameter {
    #[prost(uint32, optional, tag = "1")]
    pub local_size: Option<u32>,
    #[prost(float, optional, tag = "2")]
    pub alpha: Option<f32>,
    #[prost(float, optional, tag = "3")]
    pub beta: Option<f32>,
    /// What the window runs over: 0 is across channels.
    #[prost(int32, optional, tag = "4")]
    pub norm_region: Option<i32>,
    #[prost(float, optional, tag = "5")]
    pub k: Option<f32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct PoolingParameter {
    /// What is pooled: 0 is the maximum, 1 the average.
    #[prost(int32, optional, tag = "1")]
    pub pool: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    pub kernel_size: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    pub stride: Option<u32>,
    #[prost(uint32, optional, tag = "4")]
    pub pad: Option<u32>,
    #[prost(uint32, optional, tag = "5")]
    pub kernel_h: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    pub kernel_w: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    pub stride_h: Option<u32>,
    #[prost(uint32, optional, tag = "8")]
    pub stride_w: Option<u32>,
    #[prost(uint32, optional, tag = "9")]
    pub pad_h: Option<u32>,
    #[prost(uint32, optional, tag = "10")]
    pub pad_w: Option<u32>,
    #[prost(bool, optional, tag = "12")]
    pub global_pooling: Option<bool>,
    /// What becomes of a last, incomplete window: 0 keeps it, 1 leaves it out.
    #[prost(int32, optional, tag = "13")]
    pub round_mode: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::import) struct ReluParameter {
    #[prost(float, optional, tag = "1")]
    pub negative_slope: Option<f32>,
}

/// The numbers of `V1LayerParameter.LayerType`, for the types of layers that the networks have, and the names that these
/// types have in `LayerParameter`.
pub(in crate::import) const V1_TYPES: [(i32, &str); 16] = [
    (1, "Accuracy"),
    (3, "Concat"),
    (4, "Convolution"),
    (5, "Data"),
    (6, "Dropout"),
    (9, "HDF5Data"),
    (12, "ImageData"),
    (14, "InnerProduct"),
    (15, "LRN"),
    (17, "Pooling"),
    (18, "ReLU"),
    (20, "Softmax"),
    (21, "SoftmaxWithLoss"),
    (22, "Split"),
    (29, "MemoryData"),
    (32, "DummyData"),
];

/// What is decoded of a network.
pub(in crate::import) const LAYOUT: Layout = Layout {
    messages: &[
        &[2],
        &[2, 6],
        &[2, 6, 7],
        &[2, 9],
        &[2, 10],
        &[2, 17],
        &[2, 18],
        &[2, 19],
        &[2, 30],
        &[100],
        &[100, 7],
        &[100, 7, 7],
        &[100, 104],
        &[100, 106],
        &[100, 117],
        &[100, 118],
        &[100, 121],
        &[100, 123],
    ],
    // The numbers of blobs, and those of their gradients, which are not decoded.
    numbers: &[&[2, 6, 5], &[2, 6, 6], &[2, 6, 8], &[2, 6, 9], &[100, 7, 5], &[100, 7, 6], &[100, 7, 8], &[100, 7, 9]],
    integers: &[],
};

// A layer holds the messages of its parameters, and is no smaller than they are.
const _: () = assert!(3 * size_of::<V1LayerParameter>() <= FIELD_BYTES);
const _: () = assert!(3 * size_of::<LayerParameter>() <= FIELD_BYTES && 3 * size_of::<BlobProto>() <= FIELD_BYTES);
