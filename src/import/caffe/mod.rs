//! Turns a `.caffemodel` into a [`Net`], whichever of Caffe's two message types its layers have, and leaves out what
//! only trains the network.
//!
//! A snapshot holds the training network: data layers, losses, accuracies and splits fall away, and so do labels, which
//! only those read. Layers may work in place, so a blob's name stands for what was last written to the blob. Where
//! windows of pools and averages reach past the input, they mean what Caffe's `pooling_layer.cpp` makes of them.
//!
//! Source: BVLC, Caffe, `src/caffe/proto/caffe.proto`; `upgrade_proto.cpp` for the older message type.

pub(super) mod proto;

use super::net::{Edges, Kind, Net, Odd, Window, odd};
use super::tensor::{Data, Tensor};
use super::wire::check_amounts;
use super::{Imported, walk};
use crate::Result;
use crate::error::ImportError;
use crate::model::Dialect;
use prost::Message;
use proto::{BlobProto, ConcatParameter, ConvolutionParameter, InnerProductParameter, LrnParameter};
use proto::{LAYOUT, NetParameter, PoolingParameter, ReluParameter, V1_TYPES};

/// Whether a message whose fields have `tags` is a network of Caffe, and not an ONNX model.
pub(super) fn looks_like(mut tags: impl Iterator<Item = u64>) -> bool {
    // Field 7 is the graph of an ONNX model; in a network it is a flag that no file sets.
    let mut layers = false;
    tags.all(|tag| {
        layers |= matches!(tag, 2 | 100);
        matches!(tag, 1..=6 | 8 | 100)
    }) && layers
}

/// Whether these may be the first tags of a network's file that goes on.
#[cfg(feature = "cli")]
pub(super) fn begins_like(mut tags: impl Iterator<Item = u64>) -> bool {
    tags.all(|tag| matches!(tag, 1..=6 | 8 | 100))
}

/// Reads a network and checks it against the model table of `dialect`, or, without one, of every dialect.
pub(super) fn read(bytes: &[u8], dialect: Option<Dialect>) -> Result<Imported> {
    check_amounts(bytes, &LAYOUT)?;
    let net =
        NetParameter::decode(bytes).map_err(|source| ImportError::NotAModel { source: Some(Box::new(source)) })?;
    walk::import(&network(&net)?, dialect)
}

/// A layer, of either message type.
struct Layer<'a> {
    name: &'a str,
    operator: String,
    bottom: &'a [String],
    top: &'a [String],
    blobs: &'a [BlobProto],
    concat: Option<&'a ConcatParameter>,
    convolution: Option<&'a ConvolutionParameter>,
    inner_product: Option<&'a InnerProductParameter>,
    lrn: Option<&'a LrnParameter>,
    pooling: Option<&'a PoolingParameter>,
    relu: Option<&'a ReluParameter>,
}

fn layers(net: &NetParameter) -> Vec<Layer<'_>> {
    let old = net.layers.iter().map(|layer| Layer {
        name: &layer.name,
        operator: V1_TYPES
            .iter()
            .find(|(number, _)| *number == layer.r#type)
            .map_or_else(|| format!("type {}", layer.r#type), |(_, name)| (*name).to_owned()),
        bottom: &layer.bottom,
        top: &layer.top,
        blobs: &layer.blobs,
        concat: layer.concat_param.as_ref(),
        convolution: layer.convolution_param.as_ref(),
        inner_product: layer.inner_product_param.as_ref(),
        lrn: layer.lrn_param.as_ref(),
        pooling: layer.pooling_param.as_ref(),
        relu: layer.relu_param.as_ref(),
    });
    let new = net.layer.iter().map(|layer| Layer {
        name: &layer.name,
        operator: layer.r#type.clone(),
        bottom: &layer.bottom,
        top: &layer.top,
        blobs: &layer.blobs,
        concat: layer.concat_param.as_ref(),
        convolution: layer.convolution_param.as_ref(),
        inner_product: layer.inner_product_param.as_ref(),
        lrn: layer.lrn_param.as_ref(),
        pooling: layer.pooling_param.as_ref(),
        relu: layer.relu_param.as_ref(),
    });
    old.chain(new).collect()
}

fn network(proto: &NetParameter) -> Result<Net<'_>> {
    let layers = layers(proto);
    let is_data = |layer: &Layer<'_>| layer.operator == "Input" || layer.operator.ends_with("Data");
    let made = || layers.iter().filter(|layer| is_data(layer)).filter_map(|layer| layer.top.first());
    let Some(input) = proto.input.first().or_else(|| made().next()) else {
        return Err(ImportError::Graph { name: String::new(), what: "a network without an input" }.into());
    };
    let mut net = Net::new(input, [None; 2]);
    for layer in layers.iter().filter(|layer| !is_data(layer)) {
        add(&mut net, layer)?;
    }
    // The outputs of a network are the values that no layer reads.
    net.outputs = net.nodes.iter().map(|node| node.output).filter(|&value| net.readers(value).is_empty()).collect();
    Ok(net)
}

fn add<'a>(net: &mut Net<'a>, layer: &Layer<'a>) -> Result<()> {
    let wrong = |name: &str, what| Err(ImportError::Graph { name: name.to_owned(), what }.into());
    // These layers also read the label, which only a data layer makes, so it is no value of the `Net`.
    if matches!(layer.operator.as_str(), "Accuracy" | "Silence") {
        return Ok(());
    }
    let bottom =
        if layer.operator == "SoftmaxWithLoss" { &layer.bottom[..layer.bottom.len().min(1)] } else { layer.bottom };
    let mut inputs = Vec::new();
    for name in bottom {
        match net.value(name) {
            Some(value) => inputs.push(value),
            None if layer.operator == "Split" => return Ok(()), // this split copies the label
            None => return wrong(name, "is read before it is made"),
        }
    }
    match (layer.operator.as_str(), inputs.first()) {
        ("SoftmaxWithLoss", Some(_)) => Ok(()),
        ("Split" | "Dropout", Some(&value)) => {
            layer.top.iter().for_each(|top| net.alias(top, value));
            Ok(())
        }
        (_, Some(_)) => {
            let [top] = layer.top else { return wrong(layer.name, "expected one output") };
            let averages = layer.pooling.is_some_and(|of| of.pool == Some(1));
            let operator = if averages { "Pooling (average)".to_owned() } else { layer.operator.clone() };
            net.push(layer.name, operator, inputs, top, kind(layer));
            Ok(())
        }
        (_, None) => wrong(layer.name, "a layer without an input"),
    }
}

fn kind<'a>(layer: &Layer<'a>) -> std::result::Result<Kind<'a>, Odd> {
    let weights = || {
        let [weight, bias @ ..] = layer.blobs else { return Err(odd("blobs", "1 or 2", "0")) };
        if bias.len() > 1 {
            return Err(odd("blobs", "1 or 2", layer.blobs.len().to_string()));
        }
        Ok((tensor(layer.name, weight), bias.first().map(|bias| tensor(layer.name, bias))))
    };
    match layer.operator.as_str() {
        "Convolution" => {
            let none = ConvolutionParameter::default();
            let of = layer.convolution.unwrap_or(&none);
            if let Some(dilation) = of.dilation.iter().find(|&&dilation| dilation != 1) {
                return Err(odd("dilation", "1", dilation.to_string()));
            }
            let groups = of.group.unwrap_or(1).into();
            let kernel = pair(&of.kernel_size, of.kernel_h, of.kernel_w, 0)?;
            let strides = pair(&of.stride, of.stride_h, of.stride_w, 1)?;
            let [h, w] = pair(&of.pad, of.pad_h, of.pad_w, 0)?;
            let edges = Edges::Explicit { pads: [h, w, h, w], ceil: false };
            let (weight, bias) = weights()?;
            Ok(Kind::Conv { window: Window { kernel: Some(kernel), strides, edges }, groups, weight, bias })
        }
        "Pooling" => {
            let none = PoolingParameter::default();
            let of = layer.pooling.unwrap_or(&none);
            let one = |value: Option<u32>| value.into_iter().collect::<Vec<_>>();
            let kernel = pair(&one(of.kernel_size), of.kernel_h, of.kernel_w, 0)?;
            let strides = pair(&one(of.stride), of.stride_h, of.stride_w, 1)?;
            let [h, w] = pair(&one(of.pad), of.pad_h, of.pad_w, 0)?;
            let edges = Edges::Explicit { pads: [h, w, h, w], ceil: of.round_mode.unwrap_or(0) == 0 };
            let window = Window { kernel: Some(kernel), strides, edges };
            match (of.pool.unwrap_or(0), of.global_pooling.unwrap_or(false)) {
                (0, false) => Ok(Kind::MaxPool(window)),
                (1, true) => Ok(Kind::GlobalAverage),
                (1, false) => Ok(Kind::AveragePool(window, true)),
                (method, _) => Err(odd("pool", "the maximum, or the average", format!("method {method}"))),
            }
        }
        "ReLU" => match layer.relu.and_then(|of| of.negative_slope).unwrap_or(0.0) {
            0.0 => Ok(Kind::Relu),
            slope => Err(odd("negative_slope", "0", slope.to_string())),
        },
        "LRN" => {
            let none = LrnParameter::default();
            let of = layer.lrn.unwrap_or(&none);
            match of.norm_region.unwrap_or(0) {
                0 => Ok(Kind::Lrn {
                    size: of.local_size.unwrap_or(5).into(),
                    alpha: of.alpha.unwrap_or(1.0),
                    beta: of.beta.unwrap_or(0.75),
                    k: of.k.unwrap_or(1.0),
                }),
                region => Err(odd("norm_region", "across channels", format!("region {region}"))),
            }
        }
        "Concat" => {
            let none = ConcatParameter::default();
            let of = layer.concat.unwrap_or(&none);
            match of.axis.or(of.concat_dim.map(|dim| dim as i32)).unwrap_or(1) {
                1 => Ok(Kind::Concat),
                axis => Err(odd("axis", "1", axis.to_string())),
            }
        }
        "InnerProduct" => {
            let (weight, bias) = weights()?;
            let transposed = !layer.inner_product.and_then(|of| of.transpose).unwrap_or(false);
            Ok(Kind::FullyConnected { weight, transposed, bias })
        }
        "Flatten" => Ok(Kind::Flatten),
        "Softmax" => Ok(Kind::Softmax),
        _ => Ok(Kind::Unknown),
    }
}

/// A setting for rows and for columns, which a file gives as one number for both or as one number for each.
fn pair(both: &[u32], h: Option<u32>, w: Option<u32>, default: u32) -> std::result::Result<[i64; 2], Odd> {
    match (both, h, w) {
        ([], None, None) => Ok([default.into(); 2]),
        ([], h, w) => Ok([h.unwrap_or(default).into(), w.unwrap_or(default).into()]),
        (&[n], None, None) => Ok([n.into(); 2]),
        (&[h, w], None, None) => Ok([h.into(), w.into()]),
        (both, ..) => {
            Err(odd("kernel, stride and pad", "one for each axis", format!("{:?}", &both[..both.len().min(8)])))
        }
    }
}

fn tensor<'a>(layer: &'a str, blob: &'a BlobProto) -> Tensor<'a> {
    let old = || [blob.num, blob.channels, blob.height, blob.width].map(|dim| dim.unwrap_or(0)).to_vec();
    let dims = blob.shape.as_ref().map_or_else(old, |shape| shape.dim.iter().copied().take(8).collect());
    let data = match (blob.data.as_slice(), blob.double_data.as_slice()) {
        (floats, []) => Data::Floats(floats),
        ([], doubles) => Data::Doubles(doubles),
        (floats, doubles) => Data::Twice(4 * floats.len() + 8 * doubles.len()),
    };
    Tensor { name: layer, dims, data }
}
