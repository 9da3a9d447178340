//! Turns an ONNX graph into a [`Net`]: resolves names, finds weights, and reads each node's operator and attributes; a
//! node that cannot be understood is odd, which [`Odd`] describes.
//!
//! Weights may be initializers, constants, or made of those by `Reshape`, `Identity`, `Cast` and `ConstantOfShape`.
//! ONNX's versions differ in defaults and spellings; all of them are read, so no version is refused.
//!
//! Source: Open Neural Network Exchange, "Operator Schemas" (`Operators.md`) and "IR specification" (`IR.md`).

mod attributes;
pub(super) mod proto;
pub(super) mod sidecar;

use super::net::{Kind, Net, Odd, Value, odd};
use super::tensor::{Data, Norm, Tensor};
use super::wire::check_amounts;
use super::{Imported, walk};
use crate::Result;
use crate::error::ImportError;
use crate::model::{self, Dialect};
use attributes::Attributes;
use prost::Message;
use proto::{GraphProto, LAYOUT, ModelProto, NodeProto, TensorProto, ValueInfoProto, element};
use sidecar::{NO_SIDECARS, Sidecars};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Reads a model and checks it against the model table of `dialect`, or, without one, of every dialect. Numbers that the model
/// keeps in other files are read from the folder `beside`, if one is given.
pub(super) fn read(bytes: &[u8], dialect: Option<Dialect>, beside: Option<&Path>) -> Result<Imported> {
    check_amounts(bytes, &LAYOUT)?;
    let model =
        ModelProto::decode(bytes).map_err(|source| ImportError::NotAModel { source: Some(Box::new(source)) })?;
    let sidecars = match (beside, &model.graph) {
        (Some(folder), Some(graph)) => Sidecars::read(graph, folder, bytes.len() as u64)?,
        _ => Sidecars::default(),
    };
    read_model(&model, &sidecars, dialect)
}

pub(super) fn read_model(model: &ModelProto, sidecars: &Sidecars, dialect: Option<Dialect>) -> Result<Imported> {
    let graph = model.graph.as_ref().ok_or(ImportError::NotAModel { source: None })?;
    // A model without the version of its operators is a file that was cut short.
    if !model.opset_import.iter().any(|set| matches!(set.domain.as_str(), "" | "ai.onnx") && set.version > 0) {
        return Err(
            ImportError::Graph { name: "opset_import".into(), what: "no version of ONNX's own operators" }.into()
        );
    }
    walk::import(&Reader::net(graph, sidecars)?, dialect)
}

/// A tensor that the file stores, or that is made of stored ones without regard to the image.
#[derive(Clone)]
struct Stored<'a> {
    tensor: Tensor<'a>,
    /// The tensor's elements, if they are integers: a shape, a list of axes or of indices.
    integers: Option<Vec<i64>>,
}

/// What one input of a node is: a value that depends on the image, a stored tensor, or nothing.
enum Input<'a> {
    Computed(Value),
    Stored(Stored<'a>),
    LeftOut,
}

struct Reader<'a> {
    net: Net<'a>,
    stored: HashMap<&'a str, Stored<'a>>,
    sidecars: &'a Sidecars,
    /// The names of the stored tensors that some node reads.
    read: HashSet<&'a str>,
}

impl<'a> Reader<'a> {
    fn net(graph: &'a GraphProto, sidecars: &'a Sidecars) -> Result<Net<'a>> {
        let mut stored = HashMap::new();
        for tensor in &graph.initializer {
            if stored.insert(tensor.name.as_str(), store(tensor, &tensor.name, sidecars)?).is_some() {
                return Err(
                    ImportError::Graph { name: tensor.name.clone(), what: "two initializers have this name" }.into()
                );
            }
        }
        // Before IR version 4 initializers were listed as inputs, too.
        let inputs: Vec<_> = graph.input.iter().filter(|input| !stored.contains_key(input.name.as_str())).collect();
        let &[input] = inputs.as_slice() else {
            let name = inputs.get(1).map_or_else(String::new, |input| input.name.clone());
            return Err(ImportError::Graph { name, what: "expected a graph with one input, the image" }.into());
        };
        let net = Net::new(&input.name, input_sides(input)?);
        let mut reader = Reader { net, stored, sidecars, read: HashSet::new() };
        for node in &graph.node {
            reader.add(node)?;
        }
        let Reader { mut net, read, .. } = reader;
        net.outputs = graph.output.iter().filter_map(|output| net.value(&output.name)).collect();
        // A single number is no weight; Caffe2's exporter leaves the [1, 1] tensor of a data queue among the initializers.
        let is_weight = |tensor: &&TensorProto| tensor.dims.iter().any(|&dim| dim != 1);
        let unread = graph.initializer.iter().filter(is_weight).find(|tensor| !read.contains(tensor.name.as_str()));
        net.unread = unread.map(|tensor| tensor.name.clone());
        Ok(net)
    }

    fn add(&mut self, node: &'a NodeProto) -> Result<()> {
        let wrong = |name: &str, what| Err(ImportError::Graph { name: name.to_owned(), what }.into());
        let Some(output) = node.output.first().filter(|name| !name.is_empty()) else {
            return wrong(&node.name, "a node without an output");
        };
        if self.net.value(output).is_some() || self.stored.contains_key(output.as_str()) {
            return wrong(output, "two nodes make this value");
        }
        let mut inputs = Vec::new();
        for name in &node.input {
            let input = match (self.net.value(name), self.stored.get_key_value(name.as_str())) {
                (Some(value), _) => Input::Computed(value),
                (None, Some((&name, stored))) => {
                    self.read.insert(name);
                    Input::Stored(stored.clone())
                }
                (None, None) if name.is_empty() => Input::LeftOut,
                (None, None) => return wrong(name, "is read before it is made"),
            };
            inputs.push(input);
        }
        let label = if node.name.is_empty() { output } else { &node.name };
        let operator = match node.domain.as_str() {
            "" | "ai.onnx" => node.op_type.clone(),
            domain => format!("{domain}.{}", node.op_type),
        };
        match (operator.as_str(), inputs.first()) {
            ("Constant" | "ConstantOfShape", _) | ("Identity" | "Cast" | "Reshape", Some(Input::Stored(_))) => {
                let Some(made) = constant(node, &operator, &inputs, output, self.sidecars)? else {
                    return wrong(label, "a constant without a tensor");
                };
                self.stored.insert(output, made);
            }
            ("Dropout" | "Identity", Some(&Input::Computed(value))) => self.net.alias(output, value),
            ("Cast", Some(&Input::Computed(value))) if keeps_values(node) => self.net.alias(output, value),
            _ => {
                let values = inputs.iter().filter_map(|input| match input {
                    Input::Computed(value) => Some(*value),
                    _ => None,
                });
                let values = values.collect();
                let kind = kind(node, &operator, inputs);
                self.net.push(label, operator, values, output, kind);
            }
        }
        Ok(())
    }
}

/// Whether a `Cast` is to a floating-point type; any other would lose the fractions of weights and activations.
fn keeps_values(cast: &NodeProto) -> bool {
    let to = cast.attribute.iter().find(|attribute| attribute.name == "to").map(|attribute| attribute.i);
    let floats = [element::FLOAT, element::FLOAT16, element::BFLOAT16, element::DOUBLE];
    to.is_some_and(|to| floats.iter().any(|&float| i64::from(float) == to))
}

fn store<'a>(proto: &'a TensorProto, name: &'a str, sidecars: &'a Sidecars) -> Result<Stored<'a>> {
    let is_external = proto.data_location != 0 || !proto.external_data.is_empty();
    let raw = match is_external {
        true => sidecars.data(proto, name)?,
        false => Some(proto.raw_data.as_slice()),
    };
    let is_missing = raw.is_none();
    let raw = raw.unwrap_or_default();
    let typed = 4 * proto.float_data.len() + 2 * proto.int32_data.len() + 8 * proto.double_data.len();
    let data = match proto.data_type {
        _ if is_missing => Data::External,
        element::FLOAT | element::FLOAT16 | element::BFLOAT16 | element::DOUBLE if typed > 0 && !raw.is_empty() => {
            Data::Twice(raw.len() + typed)
        }
        element::FLOAT if raw.is_empty() => Data::Floats(&proto.float_data),
        element::FLOAT => Data::F32(raw),
        element::FLOAT16 if raw.is_empty() => Data::HalfBits(&proto.int32_data),
        element::FLOAT16 => Data::F16(raw),
        element::BFLOAT16 if raw.is_empty() => Data::Bf16Bits(&proto.int32_data),
        element::BFLOAT16 => Data::Bf16(raw),
        element::DOUBLE if raw.is_empty() => Data::Doubles(&proto.double_data),
        element::DOUBLE => Data::F64(raw),
        other => Data::Type(other),
    };
    let integers = (proto.data_type == element::INT64 && !matches!(data, Data::External)).then(|| {
        // Shapes and lists of axes are short, so a longer tensor is neither and its rest is not needed.
        let raw = raw.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes));
        proto.int64_data.iter().copied().chain(raw).take(MAX_INTEGERS).collect()
    });
    let dims = proto.dims.iter().copied().take(MAX_RANK).collect();
    Ok(Stored { tensor: Tensor { name, dims, data }, integers })
}

/// What a node that reads stored tensors only makes; `None` if that is no stored tensor.
fn constant<'a>(
    node: &'a NodeProto,
    operator: &str,
    inputs: &[Input<'a>],
    output: &'a str,
    sidecars: &'a Sidecars,
) -> Result<Option<Stored<'a>>> {
    // A constant's own tensor may be in another file; all else is made of what is known.
    if let Some(value) = node.attribute.iter().find(|attribute| attribute.name == "value" && operator == "Constant")
        && let Some(tensor) = &value.t
        && !node
            .attribute
            .iter()
            .any(|attribute| ["value_float", "value_int", "value_ints"].contains(&&*attribute.name))
    {
        return store(tensor, output, sidecars).map(Some);
    }
    Ok(made(node, operator, inputs, output))
}

/// What a node makes of stored tensors, or of its attributes other than a constant's tensor.
fn made<'a>(node: &'a NodeProto, operator: &str, inputs: &[Input<'a>], output: &'a str) -> Option<Stored<'a>> {
    let attribute = |name: &'static str| node.attribute.iter().find(|attribute| attribute.name == name);
    let scalar = |name: &'static str| attribute(name).map(|attribute| (attribute.f, attribute.i));
    let stored = |i: usize| match inputs.get(i) {
        Some(Input::Stored(stored)) => Some(stored),
        _ => None,
    };
    let fill = |dims, value| Tensor { name: output, dims, data: Data::Fill(value) };
    match operator {
        "Constant" => {
            if let Some((value, _)) = scalar("value_float") {
                return Some(Stored { tensor: fill(Vec::new(), value), integers: None });
            }
            if let Some((_, value)) = scalar("value_int") {
                return Some(Stored { tensor: fill(Vec::new(), value as f32), integers: Some(vec![value]) });
            }
            if let Some(list) = attribute("value_ints") {
                let integers: Vec<i64> = list.ints.iter().copied().take(MAX_INTEGERS).collect();
                let dims = vec![integers.len() as i64];
                let tensor = Tensor { name: output, dims, data: Data::Type(element::INT64) };
                return Some(Stored { tensor, integers: Some(integers) });
            }
            None
        }
        "ConstantOfShape" => {
            let dims = stored(0)?.integers.clone()?;
            let value = match attribute("value") {
                Some(value) => store(value.t.as_ref()?, output, &NO_SIDECARS).ok()?.tensor.scalar()?,
                None => 0.0,
            };
            Some(Stored { tensor: fill(dims, value), integers: None })
        }
        "Identity" => stored(0).cloned(),
        "Cast" => stored(0).filter(|_| keeps_values(node)).cloned(),
        "Reshape" => {
            let Stored { mut tensor, .. } = stored(0)?.clone();
            let target = match stored(1) {
                Some(target) => target.integers.clone()?,
                None => attribute("shape")?.ints.clone(),
            };
            tensor.dims = reshaped(&tensor.dims, &target)?;
            Some(Stored { tensor, integers: None })
        }
        _ => None,
    }
}

/// The dimensions of a tensor of `dims` after a `Reshape` to `target`, in which 0 keeps the dimension at that position
/// and -1, at most once, stands for what is left of the elements.
fn reshaped(dims: &[i64], target: &[i64]) -> Option<Vec<i64>> {
    let product = |dims: &[i64]| dims.iter().try_fold(1_i64, |n, &dim| n.checked_mul(dim));
    let n = product(dims)?;
    let same = |(i, &dim): (usize, &i64)| if dim == 0 { dims.get(i).copied() } else { Some(dim) };
    let mut target: Vec<i64> = target.iter().take(MAX_RANK).enumerate().map(same).collect::<Option<_>>()?;
    if let Some(at) = target.iter().position(|&dim| dim == -1) {
        target[at] = 1;
        let rest = product(&target).filter(|&rest| rest > 0)?;
        target[at] = n / rest;
    }
    (product(&target) == Some(n)).then_some(target)
}

/// What a node that reads a computed value does.
fn kind<'a>(node: &'a NodeProto, operator: &str, inputs: Vec<Input<'a>>) -> std::result::Result<Kind<'a>, Odd> {
    let attributes = |known: &[&str]| Attributes::new(node, known);
    let n_inputs = inputs.len();
    let mut inputs = inputs.into_iter();
    let counted = |least: usize, most: usize| {
        if (least..=most).contains(&n_inputs) {
            return Ok(());
        }
        let expected = if least == most { most.to_string() } else { format!("{least} to {most}") };
        Err(odd("inputs", expected, n_inputs.to_string()))
    };
    let computed = |input: Option<Input<'a>>| match input {
        Some(Input::Computed(value)) => Ok(value),
        _ => Err(odd("first input", "a computed value", "a stored one")),
    };
    let stored = |input: Option<Input<'a>>| match input {
        Some(Input::Stored(stored)) => Ok(stored),
        _ => Err(odd("weights", "an initializer", "a computed value")),
    };
    let optional = |input: Option<Input<'a>>| match input {
        Some(Input::Stored(stored)) => Ok(Some(stored)),
        None | Some(Input::LeftOut) => Ok(None),
        Some(Input::Computed(_)) => Err(odd("weights", "an initializer", "a computed value")),
    };
    match operator {
        "Conv" => {
            counted(2, 3)?;
            let known = ["kernel_shape", "strides", "pads", "dilations", "group", "auto_pad"];
            let attributes = attributes(&known)?;
            let groups = attributes.int_or("group", 1)?;
            let window = attributes.window()?;
            computed(inputs.next())?;
            let weight = stored(inputs.next())?.tensor;
            let bias = optional(inputs.next())?.map(|bias| bias.tensor);
            Ok(Kind::Conv { window, groups, weight, bias })
        }
        "BatchNormalization" => {
            counted(5, 5)?;
            let known = ["epsilon", "momentum", "spatial", "is_test", "training_mode"];
            let attributes = attributes(&known)?;
            attributes.int("spatial", 1, 1)?;
            attributes.int("training_mode", 0, 0)?;
            let epsilon = f64::from(attributes.float_or("epsilon", 1e-5)?);
            computed(inputs.next())?;
            let mut next = || stored(inputs.next()).map(|stored| stored.tensor);
            let (gamma, beta, mean, variance) = (next()?, next()?, next()?, next()?);
            Ok(Kind::Norm(Norm { gamma: Some(gamma), beta, mean, variance, epsilon: decimal(epsilon) }))
        }
        "Relu" => attributes(&[]).map(|_| Kind::Relu),
        "MaxPool" | "AveragePool" => {
            counted(1, 1)?;
            let known = ["kernel_shape", "strides", "pads", "dilations", "auto_pad", "ceil_mode"];
            let own = if operator == "MaxPool" { "storage_order" } else { "count_include_pad" };
            let attributes = attributes(&[&known[..], &[own]].concat())?;
            let window = attributes.window()?;
            if window.kernel.is_none() {
                return Err(odd("kernel_shape", "2 numbers", "none"));
            }
            Ok(match operator {
                "MaxPool" => Kind::MaxPool(window),
                _ => Kind::AveragePool(window, attributes.int_or("count_include_pad", 0)? != 0),
            })
        }
        "GlobalAveragePool" => attributes(&[]).map(|_| Kind::GlobalAverage),
        "ReduceMean" => {
            counted(1, 2)?;
            let attributes = attributes(&["axes", "keepdims", "noop_with_empty_axes"])?;
            computed(inputs.next())?;
            let axes = match optional(inputs.next())? {
                Some(axes) => axes.integers.unwrap_or_default(),
                None => attributes.ints("axes")?.unwrap_or_default().to_vec(),
            };
            match axes[..] {
                [2, 3] | [-2, -1] | [-1, -2] => Ok(Kind::GlobalAverage),
                _ => Err(odd("axes", "[2, 3]", format!("{:?}", &axes[..axes.len().min(8)]))),
            }
        }
        "LRN" => {
            let attributes = attributes(&["alpha", "beta", "bias", "size"])?;
            let (size, alpha) = (attributes.int_or("size", 0)?, attributes.float_or("alpha", 1e-4)?);
            let (beta, k) = (attributes.float_or("beta", 0.75)?, attributes.float_or("bias", 1.0)?);
            Ok(Kind::Lrn { size, alpha, beta, k })
        }
        "Concat" => {
            attributes(&["axis"])?.int("axis", 1, 1)?;
            inputs.try_for_each(|input| computed(Some(input)).map(|_| ())).map(|()| Kind::Concat)
        }
        // The target shape need not be read: the matrix that follows fits nothing but a row of features for each image.
        "Reshape" => attributes(&["allowzero", "shape"]).map(|_| Kind::Flatten),
        "Squeeze" => attributes(&["axes"]).map(|_| Kind::Flatten),
        "Flatten" => {
            attributes(&["axis"])?.int("axis", 1, 1)?;
            Ok(Kind::Flatten)
        }
        "Gemm" => {
            counted(2, 3)?;
            let attributes = attributes(&["alpha", "beta", "transA", "transB", "broadcast"])?;
            attributes.float("alpha", 1.0, 1.0)?;
            attributes.float("beta", 1.0, 1.0)?;
            attributes.int("transA", 0, 0)?;
            let transposed = attributes.int_or("transB", 0)? != 0;
            computed(inputs.next())?;
            let weight = stored(inputs.next())?.tensor;
            let bias = optional(inputs.next())?.map(|bias| bias.tensor);
            Ok(Kind::FullyConnected { weight, transposed, bias })
        }
        "MatMul" => {
            counted(2, 2)?;
            attributes(&[])?;
            computed(inputs.next())?;
            Ok(Kind::FullyConnected { weight: stored(inputs.next())?.tensor, transposed: false, bias: None })
        }
        "Add" | "Mul" => {
            counted(2, 2)?;
            attributes(&["broadcast", "axis"])?;
            let other = inputs.find(|input| matches!(input, Input::Stored(_)));
            let other = stored(other)?.tensor;
            Ok(if operator == "Add" { Kind::Add(other) } else { Kind::Mul(other) })
        }
        "Gather" => {
            counted(2, 2)?;
            attributes(&["axis"])?.int("axis", 0, 1)?;
            computed(inputs.next())?;
            match stored(inputs.next())?.integers.as_deref() {
                Some(&[channel]) => Ok(Kind::Channel(channel)),
                _ => Err(odd("indices", "one", "several, or none")),
            }
        }
        "Unsqueeze" => attributes(&["axes"]).map(|_| Kind::Unsqueeze),
        "Pad" => {
            counted(1, 4)?;
            let attributes = attributes(&["mode", "pads", "paddings", "value"])?;
            if let Some(mode) = attributes.string("mode")?.filter(|&mode| mode != b"constant") {
                let found = String::from_utf8_lossy(&mode[..mode.len().min(32)]).into_owned();
                return Err(odd("mode", "constant", found));
            }
            computed(inputs.next())?;
            let pads = match (optional(inputs.next())?, attributes.ints("pads")?, attributes.ints("paddings")?) {
                (Some(pads), None, None) => pads.integers.unwrap_or_default(),
                (None, Some(pads), None) | (None, None, Some(pads)) => pads.to_vec(),
                _ => Vec::new(),
            };
            let value = match optional(inputs.next())? {
                Some(value) => value.tensor.scalar().unwrap_or(f32::NAN),
                None => attributes.float_or("value", 0.0)?,
            };
            match pads[..] {
                [0, 0, top, left, 0, 0, bottom, right] => Ok(Kind::Pad([top, left, bottom, right], value)),
                _ => Err(odd("pads", "8 numbers, of rows and columns", format!("{:?}", &pads[..pads.len().min(8)]))),
            }
        }
        "Softmax" => {
            let axis = attributes(&["axis"])?.int_or("axis", 1)?;
            // Versions differ in their default axis, 1 or -1, but of [n, classes] both are the classes.
            if matches!(axis, 1 | -1) { Ok(Kind::Softmax) } else { Err(odd("axis", "1", axis.to_string())) }
        }
        _ => Ok(Kind::Unknown),
    }
}

/// The shortest decimal that rounds to the f32 `value`, as f64: the 1e-3 that somebody wrote before it became an f32.
fn decimal(value: f64) -> f64 {
    (value as f32).to_string().parse().unwrap_or(value)
}

/// Rows and columns of the image, where the file fixes them. If the file gives the input a shape, it must be
/// `[n, 3, h, w]`.
fn input_sides(input: &ValueInfoProto) -> Result<[Option<usize>; 2]> {
    let shape = input.r#type.as_ref().and_then(|of| of.tensor_type.as_ref()).and_then(|of| of.shape.as_ref());
    let Some(shape) = shape else { return Ok([None; 2]) };
    let [_, c, h, w] = shape.dim.as_slice() else {
        return Err(ImportError::Graph { name: input.name.clone(), what: "expected an input of 4 dimensions" }.into());
    };
    if c.dim_value.is_some_and(|c| c != 3) {
        return Err(ImportError::Graph { name: input.name.clone(), what: "expected an input of 3 channels" }.into());
    }
    let mut sides = [None; 2];
    for (side, dim) in sides.iter_mut().zip([h, w]) {
        if let Some(value) = dim.dim_value {
            let in_range = |side: &usize| (model::MIN_SIDE..=model::MAX_SIDE).contains(side);
            *side = usize::try_from(value).ok().filter(in_range);
            if side.is_none() {
                return Err(
                    ImportError::Graph { name: input.name.clone(), what: "the input's side is out of range" }.into()
                );
            }
        }
    }
    Ok(sides)
}

/// The most elements that are read of a shape, or of a list of axes or paddings.
const MAX_INTEGERS: usize = 16;
/// The most dimensions that are read of a tensor.
const MAX_RANK: usize = 8;
