//! An ONNX graph, read along the model table: every node is accounted for, or the file is refused.
//!
//! ```text
//! link      names to nodes; every value is made once, before it is read; dropouts fall away
//! for layer in table:
//!     node  = the one reader of the layer before
//!     check operator, attributes, number of inputs; take weights in the table's shape
//! inception: the module's value has one reader a branch; where its chain enters the Concat is the branch's place
//! at the end no node and no initializer is left over
//! ```
//!
//! Equal is what computes the same: a pool may ask for its last window by `ceil_mode` or by padding, the last pool be
//! global or as large as its map, the classifier a `Gemm` or a `MatMul` and an `Add`.
//!
//! Source: Open Neural Network Exchange, "Operator Schemas" (`Operators.md`) and "IR specification" (`IR.md`).

use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use super::proto::{attribute, check_amounts, element};
use super::{Imported, ImportedTensor, SIDE};
use crate::model::{self, Conv, Inception, Layer, Lrn, MaxPool};
use crate::{Error, Result};
use half::f16;
use prost::Message;
use std::collections::{HashMap, HashSet};

/// Reads a model and checks it against the table.
pub(super) fn read(bytes: &[u8]) -> Result<Imported> {
    check_amounts(bytes)?;
    let model = ModelProto::decode(bytes).map_err(|source| Error::NotAModel { source: Some(Box::new(source)) })?;
    read_model(&model)
}

pub(super) fn read_model(model: &ModelProto) -> Result<Imported> {
    let graph = model.graph.as_ref().ok_or(Error::NotAModel { source: None })?;
    // Versions differ in defaults and spellings, all of which are checked; none is a file cut short.
    if !model.opset_import.iter().any(|set| matches!(set.domain.as_str(), "" | "ai.onnx") && set.version > 0) {
        return Err(Error::Graph { name: "opset_import".into(), what: "no version of ONNX's own operators" });
    }
    read_graph(graph)
}

fn read_graph(graph: &GraphProto) -> Result<Imported> {
    let links = Links::new(graph)?;
    let table = model::googlenet(1);
    let shapes = table.parameters().into_iter().collect();
    let n_nodes = links.nodes.len();
    let mut walk = Walk { links: &links, shapes, met: vec![false; n_nodes], used: HashSet::new(), out: Vec::new() };
    let mut value = links.input;
    for layer in &table.layers {
        value = walk.layer(layer, value)?;
    }
    if !graph.output.iter().any(|output| links.resolve(&output.name) == Some(value)) {
        return Err(Error::Graph { name: value.to_owned(), what: "is not an output of the graph" });
    }
    if let Some(node) = (0..n_nodes).find(|&at| !walk.met[at]).map(|at| &links.nodes[at]) {
        return Err(Error::UnexpectedNode { node: node.label.to_owned(), operator: node.operator() });
    }
    let mut names = graph.initializer.iter().map(|tensor| tensor.name.as_str());
    if let Some(extra) = names.find(|name| !walk.used.contains(name) && !links.ignored.contains(name)) {
        return Err(Error::UnexpectedTensor { tensor: extra.to_owned() });
    }
    let classes = walk.out.last().map_or(0, |bias| bias.dims[0]);
    let tensors = walk.out.into_iter().map(Taken::copy).collect::<Result<_>>()?;
    Ok(Imported { classes, tensors })
}

/// A node, the names of its inputs resolved through dropouts.
struct Node<'a> {
    proto: &'a NodeProto,
    label: &'a str,
    inputs: Vec<&'a str>,
    output: &'a str,
}

impl Node<'_> {
    /// Its operator, with the domain if that is not ONNX's own.
    fn operator(&self) -> String {
        match self.proto.domain.as_str() {
            "" | "ai.onnx" => self.proto.op_type.clone(),
            domain => format!("{domain}.{}", self.proto.op_type),
        }
    }
}

/// Who makes and who reads each value.
struct Links<'a> {
    /// Without dropouts and constants, in the file's order: nothing is read before it is made, so no cycle exists.
    nodes: Vec<Node<'a>>,
    /// Nodes that read a value, in order, each once.
    readers: HashMap<&'a str, Vec<usize>>,
    /// Initializers and constants.
    tensors: HashMap<&'a str, &'a TensorProto>,
    /// Each computed value under its name, and the value it is before dropouts.
    values: HashMap<&'a str, &'a str>,
    /// Initializers that only dropouts read.
    ignored: HashSet<&'a str>,
    /// The image.
    input: &'a str,
    /// Its rows and columns, where the file fixes them.
    sides: [Option<usize>; 2],
}

impl<'a> Links<'a> {
    fn new(graph: &'a GraphProto) -> Result<Links<'a>> {
        let mut tensors = HashMap::new();
        for tensor in &graph.initializer {
            if tensors.insert(tensor.name.as_str(), tensor).is_some() {
                return Err(Error::Graph { name: tensor.name.clone(), what: "two initializers have this name" });
            }
        }
        // Before IR version 4 initializers were listed as inputs, too.
        let inputs: Vec<_> = graph.input.iter().filter(|input| !tensors.contains_key(input.name.as_str())).collect();
        let &[input] = inputs.as_slice() else {
            let name = inputs.get(1).map_or_else(String::new, |input| input.name.clone());
            return Err(Error::Graph { name, what: "expected a graph with one input, the image" });
        };
        let sides = input_sides(input)?;
        let input = input.name.as_str();
        let values = HashMap::from([(input, input)]);
        let (nodes, readers, ignored) = (Vec::new(), HashMap::new(), HashSet::new());
        let mut links = Links { nodes, readers, tensors, values, ignored, input, sides };
        for proto in &graph.node {
            links.add(proto)?;
        }
        Ok(links)
    }

    fn add(&mut self, proto: &'a NodeProto) -> Result<()> {
        let wrong = |name: &str, what| Err(Error::Graph { name: name.to_owned(), what });
        let Some(output) = proto.output.first().filter(|name| !name.is_empty()) else {
            return wrong(&proto.name, "a node without an output");
        };
        if self.values.contains_key(output.as_str()) || self.tensors.contains_key(output.as_str()) {
            return wrong(output, "two nodes make this value");
        }
        let mut inputs = Vec::new();
        for name in &proto.input {
            match self.resolve(name) {
                Some(value) => inputs.push(value),
                None => return wrong(name, "is read before it is made"),
            }
        }
        let label = if proto.name.is_empty() { output } else { &proto.name };
        let node = Node { proto, label, inputs, output };
        match node.operator().as_str() {
            "Constant" => {
                let value = proto.attribute.iter().find(|attribute| attribute.name == "value");
                let Some(tensor) = value.and_then(|value| value.t.as_ref()) else {
                    return wrong(label, "a constant without a tensor");
                };
                self.tensors.insert(output, tensor);
            }
            "Dropout" => {
                let Some((&value, rest)) = node.inputs.split_first() else {
                    return wrong(label, "a dropout without an input");
                };
                self.ignored.extend(rest);
                self.values.insert(output, value);
            }
            _ => {
                for (i, value) in node.inputs.iter().enumerate() {
                    if self.values.contains_key(value) && !node.inputs[..i].contains(value) {
                        self.readers.entry(value).or_default().push(self.nodes.len());
                    }
                }
                self.values.insert(output, output);
                self.nodes.push(node);
            }
        }
        Ok(())
    }

    /// The initializer or computed value that `name` stands for.
    fn resolve(&self, name: &str) -> Option<&'a str> {
        let tensor = || self.tensors.get_key_value(name).map(|(&name, _)| name);
        self.values.get(name).copied().or_else(tensor)
    }

    fn readers(&self, value: &str) -> &[usize] {
        self.readers.get(value).map_or(&[], Vec::as_slice)
    }

    /// The one node that reads `value`, expected to be `layer`'s.
    fn reader(&self, value: &str, layer: &str) -> Result<usize> {
        match self.readers(value) {
            &[at] => Ok(at),
            several => Err(mismatch(value, layer, "readers", "one", self.list(several))),
        }
    }

    fn list(&self, nodes: &[usize]) -> String {
        if nodes.is_empty() {
            return "none".to_owned();
        }
        let label = |&at: &usize| format!("`{}` ({})", self.nodes[at].label, self.nodes[at].operator());
        let labels: Vec<_> = nodes.iter().take(8).map(label).collect();
        format!("{}: {}", nodes.len(), labels.join(", "))
    }
}

/// The way along the table.
struct Walk<'a> {
    links: &'a Links<'a>,
    /// The table's tensors, for one class.
    shapes: HashMap<String, Vec<usize>>,
    /// Which nodes have been accounted for.
    met: Vec<bool>,
    /// Initializers that have been taken.
    used: HashSet<&'a str>,
    out: Vec<Taken<'a>>,
}

impl<'a> Walk<'a> {
    /// Checks `layer` over `value`; returns its output.
    fn layer(&mut self, layer: &Layer, value: &'a str) -> Result<&'a str> {
        match layer {
            Layer::Inception(module) => self.inception(module, value),
            layer => self.layer_at(layer, self.links.reader(value, layer_name(layer))?),
        }
    }

    /// Checks `layer`, which is no module and begins with node `at`; returns its output.
    fn layer_at(&mut self, layer: &Layer, at: usize) -> Result<&'a str> {
        match layer {
            Layer::Conv(conv) => self.conv(conv, at),
            Layer::MaxPool(pool) => self.max_pool(pool, at),
            Layer::Lrn(lrn) => self.lrn(lrn, at),
            Layer::GlobalAverage { name } => self.global_average(name, at),
            Layer::FullyConnected(layer) => self.fully_connected(&layer.name, at),
            Layer::Softmax { name } => {
                let node = self.meet(at, name, &["Softmax"], 1)?;
                let attributes = Attributes::new(node, name, &["axis"])?;
                // Of [n, classes] axis 1 is the last; whichever is the default of the file's version, it is meant.
                if attributes.int_or("axis", 1)? != -1 {
                    attributes.int("axis", 1, 1)?;
                }
                Ok(node.output)
            }
            Layer::Inception(_) | Layer::Head(_) | Layer::AveragePool(_) => unreachable!("not in a branch"),
        }
    }

    fn conv(&mut self, conv: &Conv, at: usize) -> Result<&'a str> {
        let [kernel, stride, pad] = [conv.kernel, conv.stride, conv.leading(1)].map(|n| n as i64);
        let node = self.meet(at, &conv.name, &["Conv"], 3)?;
        let known = ["kernel_shape", "strides", "pads", "dilations", "group", "auto_pad"];
        let attributes = Attributes::new(node, &conv.name, &known)?;
        // Left out, it is the weights', whose shape is checked below.
        attributes.ints("kernel_shape", &[kernel; 2], &[kernel; 2])?;
        attributes.ints("strides", &[1; 2], &[stride; 2])?;
        attributes.ints("pads", &[0; 4], &[pad; 4])?;
        attributes.ints("dilations", &[1; 2], &[1; 2])?;
        attributes.int("group", 1, 1)?;
        attributes.no_auto_pad()?;
        for (input, what) in [(1, "weight"), (2, "bias")] {
            let name = format!("{}.{what}", conv.name);
            let shape = self.shapes[&name].iter().map(|&dim| Some(dim)).collect::<Vec<_>>();
            let tensor = self.tensor(node, input, name, &shape)?;
            self.out.push(tensor);
        }
        let relu = self.links.reader(node.output, &conv.name)?;
        let relu = self.meet(relu, &conv.name, &["Relu"], 1)?;
        Attributes::new(relu, &conv.name, &[])?;
        Ok(relu.output)
    }

    fn max_pool(&mut self, pool: &MaxPool, at: usize) -> Result<&'a str> {
        let node = self.meet(at, &pool.name, &["MaxPool"], 1)?;
        let known = ["kernel_shape", "strides", "pads", "dilations", "auto_pad", "ceil_mode", "storage_order"];
        let attributes = Attributes::new(node, &pool.name, &known)?;
        attributes.ints("kernel_shape", &[], &[pool.kernel as i64; 2])?;
        attributes.ints("strides", &[1; 2], &[pool.stride as i64; 2])?;
        attributes.ints("dilations", &[1; 2], &[1; 2])?;
        attributes.no_auto_pad()?;
        let ceil = attributes.int_or("ceil_mode", 0)? != 0;
        let found = attributes.ints_or("pads", &[0; 4])?;
        let pad = pool.leading(1) as i64;
        let leads = |pads: &&[i64; 4]| pads[..2] == [pad; 2] && pads.iter().all(|&n| n <= pool.kernel as i64);
        let pads: Option<&[i64; 4]> = found.try_into().ok();
        let Some(&[_, _, bottom, right]) = pads.filter(leads).filter(|pads| pads.iter().all(|&n| n >= 0)) else {
            return Err(attributes.differs("pads", &[pad; 4][..], found));
        };
        // Padding never wins: where leading pads agree, as many windows are the same windows. That repeats with the
        // stride, so a few sides stand for all.
        for end in [bottom, right].map(|end| end as usize) {
            for side in pool.kernel..pool.kernel + 4 * pool.stride {
                let [expected, found] = [pool.output_side(side), windows(pool, side, end, ceil)];
                if expected != found {
                    let text = |n| format!("{n} over {side} pixels");
                    let what = "windows by `pads` and `ceil_mode`";
                    return Err(mismatch(node.label, &pool.name, what, text(expected), text(found)));
                }
            }
        }
        Ok(node.output)
    }

    fn lrn(&mut self, lrn: &Lrn, at: usize) -> Result<&'a str> {
        let node = self.meet(at, lrn.name, &["LRN"], 1)?;
        let attributes = Attributes::new(node, lrn.name, &["alpha", "beta", "bias", "size"])?;
        attributes.int("size", 0, lrn.size as i64)?;
        attributes.float("alpha", 1e-4, lrn.alpha)?;
        attributes.float("beta", 0.75, lrn.beta)?;
        attributes.float("bias", 1.0, lrn.k)?;
        Ok(node.output)
    }

    fn inception(&mut self, module: &Inception, value: &'a str) -> Result<&'a str> {
        let links = self.links;
        let name = format!("{}/output", module.name);
        let n_branches = module.branches.len();
        let readers = links.readers(value);
        if readers.len() != n_branches {
            return Err(mismatch(value, &module.name, "readers", format!("{n_branches}"), links.list(readers)));
        }
        let mut starts = readers.iter().map(|&at| self.chain_end(at, &name)).collect::<Result<Vec<_>>>()?;
        starts.sort_unstable_by_key(|&(_, input, _)| input);
        let at = starts[0].0;
        let concat = &links.nodes[at];
        if let Some(&(other, ..)) = starts.iter().find(|start| start.0 != at) {
            let [expected, found] = [at, other].map(|at| format!("`{}`", links.nodes[at].label));
            return Err(mismatch(links.nodes[other].label, &name, "concatenation", expected, found));
        }
        for (i, (branch, &(.., start))) in module.branches.iter().zip(&starts).enumerate() {
            let mut value = value;
            for (step, layer) in branch.iter().enumerate() {
                value = if step == 0 { self.layer_at(layer, start)? } else { self.layer(layer, value)? };
            }
            if concat.inputs.get(i) != Some(&value) {
                let found = concat.inputs.get(i).map_or_else(|| "none".to_owned(), |input| format!("`{input}`"));
                return Err(mismatch(concat.label, &name, "order of inputs", format!("`{value}`"), found));
            }
        }
        self.meet(at, &name, &["Concat"], n_branches)?;
        Attributes::new(concat, &name, &["axis"])?.int("axis", 1, 1)?;
        Ok(concat.output)
    }

    /// Follows the only readers from node `start` to a concatenation: that, which of its inputs, and `start`.
    fn chain_end(&self, start: usize, layer: &str) -> Result<(usize, usize, usize)> {
        let mut value = self.links.nodes[start].output;
        loop {
            let at = self.links.reader(value, layer)?;
            let node = &self.links.nodes[at];
            if node.operator() == "Concat" {
                let input = node.inputs.iter().position(|&input| input == value);
                return Ok((at, input.expect("a reader has the value among its inputs"), start));
            }
            value = node.output;
        }
    }

    fn global_average(&mut self, name: &str, at: usize) -> Result<&'a str> {
        let node = self.meet(at, name, &["GlobalAveragePool", "AveragePool"], 1)?;
        if node.operator() == "GlobalAveragePool" {
            Attributes::new(node, name, &[])?;
            return Ok(node.output);
        }
        let known = ["kernel_shape", "strides", "pads", "dilations", "auto_pad", "ceil_mode", "count_include_pad"];
        let attributes = Attributes::new(node, name, &known)?;
        // A window as large as the map is the only one, whatever the stride and the rounding.
        let map_side = |side: Option<usize>| {
            let graph = model::googlenet(1).graph(side.unwrap_or(SIDE));
            let average = graph.nodes.iter().find(|node| node.name == name).expect("the table's own layer");
            graph.tensors[average.input].h as i64
        };
        attributes.ints("kernel_shape", &[], &self.links.sides.map(map_side))?;
        attributes.ints("pads", &[0; 4], &[0; 4])?;
        attributes.ints("dilations", &[1; 2], &[1; 2])?;
        attributes.no_auto_pad()?;
        Ok(node.output)
    }

    /// `Flatten` or `Reshape`, then `Gemm`, or `MatMul` and `Add`.
    fn fully_connected(&mut self, layer: &str, at: usize) -> Result<&'a str> {
        let links = self.links;
        let flat = if links.nodes[at].operator() == "Reshape" {
            // Its target need not be read: only rows of one image's features fit the matrix that follows.
            let node = self.meet(at, layer, &["Reshape"], links.nodes[at].inputs.len().clamp(1, 2))?;
            Attributes::new(node, layer, &["allowzero", "shape"])?;
            self.used.extend(&node.inputs[1..]);
            node
        } else {
            let node = self.meet(at, layer, &["Flatten", "Reshape"], 1)?;
            Attributes::new(node, layer, &["axis"])?.int("axis", 1, 1)?;
            node
        };
        let at = links.reader(flat.output, layer)?;
        let matmul = links.nodes[at].operator() == "MatMul";
        let node = self.meet(at, layer, &["Gemm", "MatMul"], if matmul { 2 } else { 3 })?;
        let transposed = if matmul {
            Attributes::new(node, layer, &[])?;
            false
        } else {
            let attributes = Attributes::new(node, layer, &["alpha", "beta", "transA", "transB", "broadcast"])?;
            attributes.float("alpha", 1.0, 1.0)?;
            attributes.float("beta", 1.0, 1.0)?;
            attributes.int("transA", 0, 0)?;
            attributes.int_or("transB", 0)? != 0
        };
        let name = format!("{layer}.weight");
        let features = self.shapes[&name][1];
        let shape = if transposed { [None, Some(features)] } else { [Some(features), None] };
        let mut weight = self.tensor(node, 1, name, &shape)?;
        weight.transpose = !transposed;
        let classes = weight.dims[usize::from(!transposed)];
        self.out.push(weight);
        let (node, input) = if matmul {
            let add = self.meet(links.reader(node.output, layer)?, layer, &["Add"], 2)?;
            Attributes::new(add, layer, &["broadcast"])?;
            (add, usize::from(add.inputs[0] == node.output))
        } else {
            (node, 2)
        };
        let name = format!("{layer}.bias");
        let row = links.tensors.get(node.inputs[input]).is_some_and(|tensor| tensor.dims.len() == 2);
        let shape: &[_] = if row { &[Some(1), Some(classes)] } else { &[Some(classes)] };
        let bias = self.tensor(node, input, name, shape)?;
        self.out.push(Taken { dims: vec![classes], ..bias });
        Ok(node.output)
    }

    /// Node `at`, if it is one of `operators` with `n_inputs` inputs.
    fn meet(&mut self, at: usize, layer: &str, operators: &[&str], n_inputs: usize) -> Result<&'a Node<'a>> {
        let node = &self.links.nodes[at];
        let operator = node.operator();
        if !operators.contains(&operator.as_str()) {
            return Err(mismatch(node.label, layer, "operator", operators.join(" or "), operator));
        }
        if node.inputs.len() != n_inputs {
            return Err(mismatch(node.label, layer, "inputs", n_inputs.to_string(), node.inputs.len().to_string()));
        }
        self.met[at] = true;
        Ok(node)
    }

    /// Input `input` of `node`, an initializer of the given shape (`None`: any length above 0).
    fn tensor(
        &mut self,
        node: &'a Node<'a>,
        input: usize,
        tensor: String,
        shape: &[Option<usize>],
    ) -> Result<Taken<'a>> {
        let source_name = node.inputs[input];
        let Some(&proto) = self.links.tensors.get(source_name) else {
            let (layer, _) = tensor.rsplit_once('.').expect("a tensor's name has its layer's");
            let found = format!("the computed `{source_name}`");
            return Err(mismatch(node.label, layer, "weights", "an initializer", found));
        };
        self.used.insert(source_name);
        let fits = |(&found, expected): (&i64, &Option<usize>)| {
            usize::try_from(found).ok().filter(|&found| expected.map_or(found > 0, |expected| found == expected))
        };
        let dims: Option<Vec<usize>> = proto.dims.iter().zip(shape).map(fits).collect();
        let Some(dims) = dims.filter(|_| proto.dims.len() == shape.len()) else {
            let found = proto.dims.iter().copied().take(8).collect();
            return Err(Error::WrongShape {
                tensor,
                source_name: source_name.to_owned(),
                expected: shape.to_vec(),
                found,
            });
        };
        Ok(Taken { tensor, source_name, proto, dims, transpose: false })
    }
}

/// An initializer that has its place in the table; its data is looked at once the whole graph is known to fit.
struct Taken<'a> {
    /// Its name in the table.
    tensor: String,
    source_name: &'a str,
    proto: &'a TensorProto,
    dims: Vec<usize>,
    /// The table has `[columns, rows]` of these `[rows, columns]`.
    transpose: bool,
}

impl Taken<'_> {
    fn copy(self) -> Result<ImportedTensor> {
        let values = self.values()?;
        let Taken { tensor: name, dims: shape, .. } = self;
        if !self.transpose {
            return Ok(ImportedTensor { name, shape, values });
        }
        let (rows, columns) = (shape[0], shape[1]);
        let transposed = (0..columns).flat_map(|x| values[x..].iter().step_by(columns).copied()).collect();
        Ok(ImportedTensor { name, shape: vec![columns, rows], values: transposed })
    }

    /// The elements; that there are as many as the shape asks for is seen before any is copied.
    fn values(&self) -> Result<Vec<f32>> {
        let (proto, names) = (self.proto, || (self.tensor.clone(), self.source_name.to_owned()));
        if proto.data_location != 0 || proto.external_data.is_some() {
            let (tensor, source_name) = names();
            return Err(Error::ExternalData { tensor, source_name });
        }
        let size = match proto.data_type {
            element::FLOAT => 4,
            element::FLOAT16 => 2,
            found => {
                let (tensor, source_name) = names();
                return Err(Error::ElementType { tensor, source_name, found });
            }
        };
        let n = self.dims.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim));
        let (raw, floats) = (proto.raw_data.as_slice(), proto.float_data.as_slice());
        if n == Some(floats.len()) && raw.is_empty() && size == 4 {
            return Ok(floats.to_vec());
        }
        if n.and_then(|n| n.checked_mul(size)) != Some(raw.len()) || !floats.is_empty() {
            let ((tensor, source_name), found_bytes) = (names(), raw.len() + 4 * floats.len());
            return Err(Error::DataLength { tensor, source_name, expected: n.unwrap_or(usize::MAX), found_bytes });
        }
        Ok(if size == 4 {
            raw.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
        } else {
            raw.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect()
        })
    }
}

/// The number of windows ONNX gives `pool` over `side >= kernel` pixels with `end` pixels of trailing padding.
fn windows(pool: &MaxPool, side: usize, end: usize, ceil: bool) -> usize {
    let span = side + pool.leading(1) + end - pool.kernel;
    let n = if ceil { span.div_ceil(pool.stride) } else { span / pool.stride } + 1;
    // A window that would begin in the trailing padding is left out.
    if ceil && (n - 1) * pool.stride >= side + pool.leading(1) { n - 1 } else { n }
}

/// Rows and columns of the image, where they are fixed; `[n, 3, h, w]` is asked for where a shape is given.
fn input_sides(input: &ValueInfoProto) -> Result<[Option<usize>; 2]> {
    let shape = input.r#type.as_ref().and_then(|of| of.tensor_type.as_ref()).and_then(|of| of.shape.as_ref());
    let Some(shape) = shape else { return Ok([None; 2]) };
    let [_, c, h, w] = shape.dim.as_slice() else {
        return Err(Error::Graph { name: input.name.clone(), what: "expected an input of 4 dimensions" });
    };
    if c.dim_value.is_some_and(|c| c != model::googlenet(1).channels as i64) {
        return Err(Error::Graph { name: input.name.clone(), what: "expected an input of 3 channels" });
    }
    let mut sides = [None; 2];
    for (side, dim) in sides.iter_mut().zip([h, w]) {
        if let Some(value) = dim.dim_value {
            let in_range = |side: &usize| (model::MIN_SIDE..=model::MAX_SIDE).contains(side);
            *side = usize::try_from(value).ok().filter(in_range);
            if side.is_none() {
                return Err(Error::Graph { name: input.name.clone(), what: "the input's side is out of range" });
            }
        }
    }
    Ok(sides)
}

/// The attributes of a node, all of them known.
struct Attributes<'a> {
    node: &'a Node<'a>,
    layer: &'a str,
}

impl<'a> Attributes<'a> {
    fn new(node: &'a Node<'a>, layer: &'a str, known: &[&str]) -> Result<Attributes<'a>> {
        let attributes = &node.proto.attribute;
        for (i, attribute) in attributes.iter().enumerate() {
            let doubled = attributes[..i].iter().any(|before| before.name == attribute.name);
            if doubled || !known.contains(&attribute.name.as_str()) {
                let found = format!("{}`{}`", if doubled { "a second " } else { "" }, attribute.name);
                return Err(mismatch(node.label, layer, "attributes", format!("{known:?}"), found));
            }
        }
        Ok(Attributes { node, layer })
    }

    fn get(&self, name: &'static str, kind: i32) -> Result<Option<&'a AttributeProto>> {
        let Some(attribute) = self.node.proto.attribute.iter().find(|attribute| attribute.name == name) else {
            return Ok(None);
        };
        if attribute.r#type != 0 && attribute.r#type != kind {
            let text = |kind: i32| format!("an attribute of type {kind}");
            return Err(mismatch(self.node.label, self.layer, name, text(kind), text(attribute.r#type)));
        }
        Ok(Some(attribute))
    }

    fn differs<T: std::fmt::Debug + ?Sized>(&self, name: &'static str, expected: &T, found: &T) -> Error {
        mismatch(self.node.label, self.layer, name, format!("{expected:?}"), format!("{found:?}"))
    }

    fn int_or(&self, name: &'static str, default: i64) -> Result<i64> {
        Ok(self.get(name, attribute::INT)?.map_or(default, |attribute| attribute.i))
    }

    fn ints_or(&self, name: &'static str, default: &'a [i64]) -> Result<&'a [i64]> {
        Ok(self.get(name, attribute::INTS)?.map_or(default, |attribute| &attribute.ints[..attribute.ints.len().min(8)]))
    }

    fn int(&self, name: &'static str, default: i64, expected: i64) -> Result<()> {
        let found = self.int_or(name, default)?;
        if found == expected { Ok(()) } else { Err(self.differs(name, &expected, &found)) }
    }

    fn ints(&self, name: &'static str, default: &[i64], expected: &[i64]) -> Result<()> {
        let found = self.get(name, attribute::INTS)?.map_or(default, |attribute| &attribute.ints);
        let found = &found[..found.len().min(8)];
        if found == expected { Ok(()) } else { Err(self.differs(name, expected, found)) }
    }

    fn float(&self, name: &'static str, default: f32, expected: f32) -> Result<()> {
        let found = self.get(name, attribute::FLOAT)?.map_or(default, |attribute| attribute.f);
        if found == expected { Ok(()) } else { Err(self.differs(name, &expected, &found)) }
    }

    fn no_auto_pad(&self) -> Result<()> {
        match self.get("auto_pad", attribute::STRING)?.map(|attribute| attribute.s.as_slice()) {
            None | Some(b"NOTSET") => Ok(()),
            Some(found) => {
                let found = String::from_utf8_lossy(&found[..found.len().min(32)]).into_owned();
                Err(self.differs("auto_pad", "NOTSET", found.as_str()))
            }
        }
    }
}

fn layer_name(layer: &Layer) -> &str {
    match layer {
        Layer::Conv(conv) => &conv.name,
        Layer::MaxPool(pool) => &pool.name,
        Layer::Inception(module) => &module.name,
        Layer::Lrn(lrn) => lrn.name,
        Layer::FullyConnected(layer) => &layer.name,
        Layer::AveragePool(pool) => &pool.name,
        Layer::Head(head) => head.name,
        Layer::GlobalAverage { name } | Layer::Softmax { name } => name,
    }
}

fn mismatch(
    node: &str,
    layer: &str,
    what: &'static str,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Error {
    Error::NodeMismatch { node: node.into(), layer: layer.into(), what, expected: expected.into(), found: found.into() }
}
