//! Tests on the published files; then on a graph that is built from the model table as the published ONNX file spells
//! it, and on what becomes of it when it is changed.

mod caffe;
mod oracle;

use super::onnx::proto::*;
use super::{Imported, import, onnx};
use crate::error::{ImportError, WeightsError};
use crate::model::{Dialect, Layer, Network, googlenet};
use crate::{Error, Result};
use half::f16;
use prost::Message;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Instant;

fn import_bytes(bytes: &[u8]) -> Result<Imported> {
    super::import_bytes(bytes, None)
}

#[test]
fn both_published_files_hold_the_same_weights() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/googlenet");
    let paths = ["onnx", "safetensors"].map(|ending| dir.join(format!("bvlc_googlenet.{ending}")));
    if !paths.iter().all(|path| path.exists()) {
        println!("skipped: no published weights in ../shared/googlenet");
        return;
    }
    let [onnx, safetensors] = paths.map(|path| {
        let start = Instant::now();
        let imported = import(&path).unwrap_or_else(|error| panic!("{error}"));
        println!("{}: {:?}", path.file_name().expect("a file").display(), start.elapsed());
        imported
    });
    assert_eq!(onnx.classes, 1000);
    assert_eq!(onnx.tensors.iter().map(|tensor| tensor.values.len()).sum::<usize>(), 6_998_552);
    let names: Vec<_> = onnx.tensors.iter().map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect();
    assert_eq!(names, googlenet(1000).parameters());
    assert!(onnx == Imported { metadata: onnx.metadata.clone(), ..safetensors });
}

#[test]
fn the_tables_own_graph_is_read() {
    let imported = import_bytes(&published().encode_to_vec()).expect("the table's own graph");
    assert_eq!(imported.classes, CLASSES);
    let shapes: Vec<_> = imported.tensors.iter().map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect();
    assert_eq!(shapes, googlenet(CLASSES).parameters());
    assert_eq!(imported.tensors[0].values[..3], [0.0, 1.0, 2.0]);
}

#[test]
fn other_spellings_of_the_same_network_are_read() {
    let same = onnx::read_model(&published(), &Default::default(), None).expect("the table's own graph");
    let reads = |what: &str, change: fn(&mut GraphProto)| {
        let changed = changed(change).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(changed == same, "{what}");
    };
    reads("padding instead of ceil_mode", |graph| {
        let pool = node(graph, "pool1/3x3_s2");
        pool.attribute.retain(|attribute| attribute.name != "ceil_mode");
        ints(pool, "pads").copy_from_slice(&[0, 0, 1, 1]);
    });
    reads("a global average, and no shape of the input", |graph| {
        graph.input[0].r#type = None;
        let average = node(graph, "pool5/7x7_s1");
        (average.op_type, average.attribute) = ("GlobalAveragePool".into(), vec![]);
    });
    reads("dropout, and Reshape by a constant", |graph| {
        let at = graph.node.iter().position(|node| node.op_type == "Flatten").expect("in the graph");
        graph.node[at] = new_node("Reshape", &["dropped", "shape"], "flat", vec![]);
        graph.node.insert(at, new_node("Dropout", &["pool5/7x7_s1", "ratio"], "dropped", vec![]));
        graph.initializer.extend([new_tensor("ratio", &[]), new_tensor("shape", &[2])]);
    });
    reads("MatMul and Add", |graph| {
        let at = graph.node.iter().position(|node| node.op_type == "Gemm").expect("in the graph");
        let weight = tensor(graph, "loss3/classifier_w");
        weight.dims.reverse();
        let at_old = |i: usize| (i % CLASSES) * 1024 + i / CLASSES;
        let raw: Vec<u8> =
            (0..1024 * CLASSES).flat_map(|i| [0, 1].map(|b| weight.raw_data[2 * at_old(i) + b])).collect();
        weight.raw_data = raw;
        graph.node[at] = new_node("Add", &["loss3/classifier_b", "product"], "loss3/classifier", vec![]);
        graph.node.insert(at, new_node("MatMul", &["flat", "loss3/classifier_w"], "product", vec![]));
    });
    reads("the attributes of early versions", |graph| {
        let gemm = graph.node.iter_mut().find(|node| node.op_type == "Gemm").expect("in the graph");
        gemm.attribute.push(int("broadcast", 1));
        let at = graph.node.iter().position(|node| node.op_type == "Flatten").expect("in the graph");
        let shape = AttributeProto { ints: vec![1, 1024], ..new_attribute("shape", attribute::INTS) };
        graph.node[at] = new_node("Reshape", &["dropped"], "flat", vec![shape]);
        let test = vec![float("ratio", 0.4), int("is_test", 1)];
        graph.node.insert(at, new_node("Dropout", &["pool5/7x7_s1"], "dropped", test));
        node(graph, "conv2/3x3")
            .attribute
            .push(AttributeProto { ints: vec![0], ..new_attribute("consumed_inputs", 7) });
    });
    reads("f16 as integers, f64, and what passes weights on", |graph| {
        let bias = tensor(graph, "conv1/7x7_s2_b");
        (bias.int32_data, bias.raw_data) = ((0..64).map(|i| element_of(i).to_bits().into()).collect(), vec![]);
        let bias = tensor(graph, "conv2/3x3_b");
        (bias.data_type, bias.raw_data) = (element::DOUBLE, vec![]);
        bias.double_data = (0..192).map(|i| f64::from(element_of(i).to_f32())).collect();
        let bias = tensor(graph, "conv2/3x3_reduce_b");
        let raw = (0..64).flat_map(|i| f64::from(element_of(i).to_f32()).to_le_bytes()).collect();
        (bias.data_type, bias.raw_data) = (element::DOUBLE, raw);
        node(graph, "inception_3a/1x1_pre").input[2] = "cast".into();
        graph.node.insert(0, new_node("Cast", &["inception_3a/1x1_b"], "same", vec![int("to", 1)]));
        graph.node.insert(1, new_node("Identity", &["same"], "cast", vec![]));
        tensor(graph, "loss3/classifier_w").dims = vec![1024, CLASSES as i64, 1];
        let gemm = graph.node.iter_mut().find(|node| node.op_type == "Gemm").expect("in the graph");
        gemm.input[1] = "matrix".into();
        graph.node.insert(2, new_node("Reshape", &["loss3/classifier_w", "matrix_shape"], "matrix", vec![]));
        let shape = TensorProto { dims: vec![2], data_type: element::INT64, ..new_tensor("matrix_shape", &[0]) };
        graph.initializer.push(TensorProto { int64_data: vec![-1, 1024], raw_data: vec![], ..shape });
    });
    reads("bf16, as bytes and as integers", |graph| {
        let bits = |i: usize| half::bf16::from_f32(element_of(i).to_f32()).to_bits();
        let bias = tensor(graph, "conv1/7x7_s2_b");
        (bias.data_type, bias.raw_data) = (element::BFLOAT16, (0..64).flat_map(|i| bits(i).to_le_bytes()).collect());
        let bias = tensor(graph, "conv2/3x3_b");
        (bias.data_type, bias.raw_data) = (element::BFLOAT16, vec![]);
        bias.int32_data = (0..192).map(|i| bits(i).into()).collect();
    });
    reads("a number that nothing reads", |graph| graph.initializer.push(new_tensor("queue", &[1, 1])));
    reads("float_data, and initializers among the inputs", |graph| {
        let bias = tensor(graph, "conv1/7x7_s2_b");
        (bias.data_type, bias.raw_data) = (element::FLOAT, vec![]);
        bias.float_data = (0..64_u16).map(|i| element_of(i.into()).to_f32()).collect();
        let names: Vec<_> = graph.initializer.iter().map(|tensor| tensor.name.clone()).collect();
        graph.input.extend(names.into_iter().map(|name| ValueInfoProto { name, r#type: None }));
    });
}

#[test]
fn weights_may_be_one_number() {
    let imported = changed(|graph| {
        graph.initializer.retain(|tensor| tensor.name != "conv1/7x7_s2_b");
        let integers = TensorProto { dims: vec![1], data_type: element::INT64, ..TensorProto::default() };
        graph.initializer.push(TensorProto { name: "shape".into(), int64_data: vec![64], ..integers });
        let value = TensorProto { dims: vec![1], data_type: element::FLOAT, ..TensorProto::default() };
        let value = Some(TensorProto { float_data: vec![2.5], ..value });
        let value = AttributeProto { t: value, ..new_attribute("value", 4) };
        graph.node.insert(0, new_node("ConstantOfShape", &["shape"], "conv1/7x7_s2_b", vec![value]));
        // A convolution without a bias gets one of zeros.
        node(graph, "conv2/3x3_pre").input.pop();
        graph.initializer.retain(|tensor| tensor.name != "conv2/3x3_b");
    });
    let imported = imported.expect("weights that are made in the graph");
    let of = |name: &str| &imported.tensors.iter().find(|tensor| tensor.name == name).expect("in the table").values;
    assert!(of("conv1/7x7_s2.bias").iter().all(|&x| x == 2.5) && of("conv2/3x3.bias").iter().all(|&x| x == 0.0));
}

#[test]
fn a_message_that_ends_within_a_field_is_refused_before_it_is_decoded() {
    // The graph states one byte less than it has.
    let mut bytes = published().encode_to_vec();
    let at = bytes.iter().position(|&byte| byte == 0x3a).expect("a graph");
    assert_eq!(at, 0, "the graph comes first");
    bytes[1] -= 1;
    let error = import_bytes(&bytes).expect_err("damaged");
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert!(source.is_some_and(|text| text.contains("ends within a field")), "{error:?}");
}

#[test]
fn other_networks_are_refused_at_the_first_difference() {
    refuses(&["node \"pool1/3x3_s2\"", "conv1/7x7_s2", "expected Relu, found MaxPool"], |graph| {
        graph.node.retain(|node| node.output[0] != "conv1/7x7_s2");
        node(graph, "pool1/3x3_s2").input[0] = "conv1/7x7_s2_pre".into();
    });
    refuses(&["inception_3a/1x1", "[64, 192, 1, 1]", "[96, 192, 1, 1]"], |graph| {
        node(graph, "inception_3a/output").input.swap(0, 1);
    });
    refuses(&["inception_4c/5x5.weight", "[64, 24, 5, 5]", "[63, 24, 5, 5]"], |graph| {
        tensor(graph, "inception_4c/5x5_w").dims[0] = 63;
    });
    refuses(&["conv2/3x3_w", "another file"], |graph| tensor(graph, "conv2/3x3_w").data_location = 1);
    refuses(&["conv2/3x3_w", "another file"], |graph| {
        tensor(graph, "conv2/3x3_w").external_data = vec![StringStringEntryProto::default()];
    });
    refuses(&["pool1/3x3_s2", "windows", "56 over 112 pixels", "55 over 112 pixels"], |graph| {
        node(graph, "pool1/3x3_s2").attribute.retain(|attribute| attribute.name != "ceil_mode");
    });
    refuses(&["inception_3a/pool", "pads"], |graph| ints(node(graph, "inception_3a/pool"), "pads")[0] = 0);
    refuses(&["conv1/7x7_s2", "strides", "[2, 2]", "[1, 2]"], |graph| {
        ints(node(graph, "conv1/7x7_s2_pre"), "strides")[0] = 1;
    });
    // A cast to integers changes values, so the reader must not take it for a node that only passes them on.
    refuses(&["Cast"], |graph| {
        node(graph, "pool1/3x3_s2").input[0] = "cut".into();
        graph.node.insert(0, new_node("Cast", &["conv1/7x7_s2"], "cut", vec![int("to", 6)]));
        let cast = graph.node.remove(0);
        let at = graph.node.iter().position(|node| node.output[0] == "pool1/3x3_s2").expect("there");
        graph.node.insert(at, cast);
    });
    refuses(&["cut", "constant without a tensor"], |graph| {
        node(graph, "inception_3a/1x1_pre").input[2] = "cut".into();
        graph.node.insert(0, new_node("Cast", &["inception_3a/1x1_b"], "cut", vec![int("to", 6)]));
    });
    refuses(&["conv2/norm2", "alpha"], |graph| node(graph, "conv2/norm2").attribute[0].f = 1e-3);
    refuses(&["conv2/3x3", "Relu", "Sigmoid"], |graph| node(graph, "conv2/3x3").op_type = "Sigmoid".into());
    refuses(&["conv2/3x3", "Relu", "com.example.Relu"], |graph| {
        node(graph, "conv2/3x3").domain = "com.example".into();
    });
    refuses(&["inception_3b/output", "axis"], |graph| node(graph, "inception_3b/output").attribute[0].i = 2);
    refuses(&["pool2/3x3_s2", "readers", "5"], |graph| {
        graph.node.push(new_node("Relu", &["pool2/3x3_s2"], "more", vec![]));
    });
    refuses(&["\"more\" (Relu) is not part"], |graph| {
        graph.node.push(new_node("Relu", &["prob"], "more", vec![]));
    });
    refuses(&["\"more\" is not part"], |graph| graph.initializer.push(new_tensor("more", &[2])));
    refuses(&["conv1/7x7_s2_w", "read before it is made"], |graph| {
        graph.initializer.remove(0);
    });
    refuses(&["conv1/7x7_s2", "read before it is made"], |graph| graph.node.swap(1, 2));
    refuses(&["conv1/7x7_s2_b", "64 elements", "2 bytes"], |graph| {
        tensor(graph, "conv1/7x7_s2_b").raw_data.truncate(2);
    });
    refuses(&["loss3/classifier", "expected [classes, 1024]"], |graph| {
        tensor(graph, "loss3/classifier_w").dims[1] = 1023;
    });
    refuses(&["9223372036854775807", "classes"], |graph| {
        tensor(graph, "loss3/classifier_w").dims[0] = i64::MAX;
        tensor(graph, "loss3/classifier_b").dims[0] = i64::MAX;
    });
    refuses(&["loss3/classifier", "alpha"], |graph| {
        node(graph, "loss3/classifier").attribute.push(float("alpha", 2.0));
    });
    refuses(&["prob", "not an output"], |graph| graph.output.clear());
    refuses(&["pool5/7x7_s1", "one of 10 pixels", "7 after 0, 4 times"], |graph| graph.input[0] = image(320));
}

#[test]
fn a_file_cut_short_is_an_error() {
    let bytes = published().encode_to_vec();
    let n = bytes.len();
    let ends = (0..200).chain((0..60).map(|i| n / 60 * i + i)).chain(n - 200..n);
    for end in ends {
        assert!(import_bytes(&bytes[..end]).is_err(), "the first {end} of {n} bytes");
    }
}

#[test]
fn damaged_bytes_never_panic() {
    // The graph is compared before the weights' data are read, so without data all of it is still reached.
    let mut model = published();
    let graph = model.graph.as_mut().expect("built with one");
    graph.initializer.iter_mut().for_each(|tensor| tensor.raw_data.clear());
    assert!(matches!(
        onnx::read_model(&model, &Default::default(), Some(Dialect::Bvlc)),
        Err(Error::Import(ImportError::DataLength { .. }))
    ));
    let bytes = model.encode_to_vec();
    for (at, flip) in (0..bytes.len()).step_by(4).zip([0x01, 0x80, 0xff].into_iter().cycle()) {
        let mut damaged = bytes.clone();
        damaged[at] ^= flip;
        assert!(import_bytes(&damaged).is_err());
    }
}

#[test]
fn a_flood_of_small_messages_is_refused_before_it_is_decoded() {
    for (field, what) in [(0x0a, "bytes beside the tensors"), (0x2a, "tensors")] {
        let graph: Vec<u8> = [field, 0].repeat(2 << 20);
        let mut bytes = vec![0x3a];
        prost::encode_length_delimiter(graph.len(), &mut bytes).expect("a vector grows");
        bytes.extend(graph);
        let error = import_bytes(&bytes).expect_err("a flood");
        assert!(matches!(error, Error::Weights(WeightsError::TooMany { what: found, .. }) if found == what), "{error}");
    }
}

#[test]
fn what_a_damaged_header_says_is_shown_escaped_and_short() {
    let json = format!(r#"{{"t":{{"\u001b[2J{}":1}}}}"#, "é".repeat(10_000));
    let bytes = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    let error = import_bytes(&bytes).expect_err("an unknown field");
    let Error::Import(ImportError::Safetensors { source }) = error else { panic!("{error}") };
    let text = std::error::Error::source(&source).expect("the parser's reason").to_string();
    assert!(text.len() < 2000 && !text.contains('\u{1b}') && text.contains("[2J"), "{text}");
}

#[test]
fn a_file_of_our_own_is_held_to_its_hash() {
    let bytes = include_bytes!("../../weights/demo.safetensors");
    assert_eq!(import_bytes(bytes).expect("whole").classes, 10);
    let mut flipped = bytes.to_vec();
    *flipped.last_mut().expect("not empty") ^= 1;
    let error = import_bytes(&flipped).expect_err("damaged");
    let Error::Import(ImportError::Safetensors { source }) = error else { panic!("{error}") };
    assert!(matches!(*source, Error::Weights(WeightsError::HashMismatch { .. })), "{source}");
}

#[test]
fn safetensors_need_every_tensor_and_nothing_else() {
    let refused = |extra: Option<&str>, skip: usize, wanted: &str| {
        let (mut header, mut offset) = (String::from("{"), 0);
        let tensors = googlenet(CLASSES).parameters().into_iter().skip(skip);
        for (name, shape) in tensors.chain(extra.map(|name| (name.to_owned(), vec![1]))) {
            let end = offset + 2 * shape.iter().product::<usize>();
            header += &format!(r#""{name}":{{"dtype":"F16","shape":{shape:?},"data_offsets":[{offset},{end}]}},"#);
            offset = end;
        }
        header.pop();
        header.push('}');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.into_bytes());
        bytes.resize(bytes.len() + offset, 0);
        match import_bytes(&bytes) {
            Ok(imported) => assert_eq!((imported.classes, wanted), (CLASSES, "")),
            Err(error) => assert!(!wanted.is_empty() && error.to_string().contains(wanted), "{error}"),
        }
    };
    refused(None, 0, "");
    refused(Some("more"), 0, "\"more\" is not part");
    refused(None, 1, "\"conv1/7x7_s2.weight\" is missing");
}

/// Applies `change` to the graph of [`published`] and reads the result.
fn changed(change: impl FnOnce(&mut GraphProto)) -> Result<Imported> {
    let mut model = published();
    change(model.graph.as_mut().expect("built with one"));
    onnx::read_model(&model, &Default::default(), Some(Dialect::Bvlc))
}

#[track_caller]
fn refuses(words: &[&str], change: impl FnOnce(&mut GraphProto)) {
    let error = changed(change).expect_err("another network").to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

/// The model table as an ONNX file, spelt as the published one, with f16 elements that count up.
fn published() -> ModelProto {
    let Network { layers, .. } = googlenet(CLASSES);
    let mut graph = GraphProto { input: vec![image(224)], ..GraphProto::default() };
    let mut value = "data".to_owned();
    for layer in &layers {
        value = add(&mut graph, layer, &value);
    }
    graph.output.push(ValueInfoProto { name: value, r#type: None });
    for (name, shape) in googlenet(CLASSES).parameters() {
        let name = name.replace(".weight", "_w").replace(".bias", "_b");
        graph.initializer.push(new_tensor(&name, &shape));
    }
    let opset = OperatorSetIdProto { domain: String::new(), version: 13 };
    ModelProto { graph: Some(graph), opset_import: vec![opset] }
}

fn add(graph: &mut GraphProto, layer: &Layer, x: &str) -> String {
    let window = |kernel: usize, stride: usize, pad: usize| {
        let [kernel, stride, pad] = [kernel, stride, pad].map(|n| n as i64);
        [("kernel_shape", vec![kernel; 2]), ("strides", vec![stride; 2]), ("pads", vec![pad; 4])]
            .map(|(name, ints)| AttributeProto { ints, ..new_attribute(name, attribute::INTS) })
            .to_vec()
    };
    let node = match layer {
        Layer::Conv(conv) => {
            let [pre, w, b] = ["pre", "w", "b"].map(|end| format!("{}_{end}", conv.name));
            graph.node.push(new_node("Conv", &[x, &w, &b], &pre, window(conv.kernel, conv.stride, conv.leading(1))));
            new_node("Relu", &[&pre], &conv.name, vec![])
        }
        Layer::MaxPool(pool) => {
            let mut attributes = window(pool.kernel, pool.stride, pool.leading(1));
            attributes.push(int("ceil_mode", 1));
            new_node("MaxPool", &[x], &pool.name, attributes)
        }
        Layer::Lrn(lrn) => {
            let floats = [float("alpha", lrn.alpha), float("beta", lrn.beta), float("bias", lrn.k)];
            let attributes = floats.into_iter().chain([int("size", lrn.size as i64)]).collect();
            new_node("LRN", &[x], lrn.name, attributes)
        }
        Layer::Inception(module) => {
            let ends: Vec<String> = module
                .branches
                .iter()
                .map(|branch| branch.iter().fold(x.to_owned(), |x, layer| add(graph, layer, &x)))
                .collect();
            let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
            new_node("Concat", &ends, &format!("{}/output", module.name), vec![int("axis", 1)])
        }
        Layer::GlobalAverage { name } => new_node("AveragePool", &[x], name, window(7, 1, 0)),
        Layer::AveragePool(_) => unreachable!("not without heads"),
        Layer::FullyConnected(layer) => {
            let name = &layer.name;
            graph.node.push(new_node("Flatten", &[x], "flat", vec![int("axis", 1)]));
            let [w, b] = ["w", "b"].map(|end| format!("{name}_{end}"));
            new_node("Gemm", &["flat", &w, &b], name, vec![int("transB", 1)])
        }
        Layer::Softmax { name } => new_node("Softmax", &[x], name, vec![int("axis", 1)]),
    };
    graph.node.push(node);
    graph.node.last().expect("just added").output[0].clone()
}

fn image(side: i64) -> ValueInfoProto {
    let dim = [None, Some(3), Some(side), Some(side)].map(|dim_value| DimensionProto { dim_value }).to_vec();
    let tensor_type = Some(TensorTypeProto { shape: Some(TensorShapeProto { dim }) });
    ValueInfoProto { name: "data".into(), r#type: Some(TypeProto { tensor_type }) }
}

fn new_node(operator: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    let input = inputs.iter().map(|&input| input.into()).collect();
    NodeProto { op_type: operator.into(), input, output: vec![output.into()], attribute, ..NodeProto::default() }
}

fn new_attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: kind, ..AttributeProto::default() }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i, ..new_attribute(name, attribute::INT) }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { f, ..new_attribute(name, attribute::FLOAT) }
}

fn new_tensor(name: &str, shape: &[usize]) -> TensorProto {
    let n: usize = shape.iter().product();
    let mut raw_data = PERIOD_BYTES.repeat(n / PERIOD + 1);
    raw_data.truncate(2 * n);
    let dims = shape.iter().map(|&dim| dim as i64).collect();
    TensorProto { name: name.into(), dims, data_type: element::FLOAT16, raw_data, ..TensorProto::default() }
}

/// Element `i` of every tensor: a small integer, which f16 holds exactly.
fn element_of(i: usize) -> f16 {
    f16::from_f32((i % PERIOD) as f32)
}

fn node<'a>(graph: &'a mut GraphProto, output: &str) -> &'a mut NodeProto {
    graph.node.iter_mut().find(|node| node.output[0] == output).expect("in the graph")
}

fn tensor<'a>(graph: &'a mut GraphProto, name: &str) -> &'a mut TensorProto {
    graph.initializer.iter_mut().find(|tensor| tensor.name == name).expect("in the graph")
}

fn ints<'a>(node: &'a mut NodeProto, name: &str) -> &'a mut [i64] {
    &mut node.attribute.iter_mut().find(|attribute| attribute.name == name).expect("in the node").ints
}

/// The number of elements after which a tensor's elements repeat; a prime, so that no two rows of a tensor are alike.
const PERIOD: usize = 1021;
static PERIOD_BYTES: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..PERIOD).flat_map(|i| element_of(i).to_le_bytes()).collect());
/// The number of classes in these tests; it is not the published 1000, so that a number fixed somewhere is noticed.
const CLASSES: usize = 3;

#[test]
fn safetensors_of_bf16_are_read() {
    let (mut header, mut data) = (String::from("{"), Vec::new());
    for (name, shape) in googlenet(CLASSES).parameters() {
        let begin = data.len();
        let n: usize = shape.iter().product();
        data.extend((0..n).flat_map(|i| half::bf16::from_f32(element_of(i).to_f32()).to_le_bytes()));
        header += &format!(r#""{name}":{{"dtype":"BF16","shape":{shape:?},"data_offsets":[{begin},{}]}},"#, data.len());
    }
    let header = format!("{}}}", header.trim_end_matches(','));
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    let imported = import_bytes(&file).expect("as the table has it");
    let expected = onnx::read_model(&published(), &Default::default(), None).expect("the table's own graph");
    let rounded = |&x: &f32| half::bf16::from_f32(x).to_f32();
    for (tensor, expected) in imported.tensors.iter().zip(&expected.tensors) {
        assert_eq!(tensor.name, expected.name);
        assert!(tensor.values.iter().copied().eq(expected.values.iter().map(rounded)), "{}", tensor.name);
    }
}

/// The graph with the numbers of one of its tensors in `location`, from the 7th byte on, and what these numbers are.
fn with_sidecar(location: &str) -> (ModelProto, Vec<u8>) {
    let mut model = published();
    let tensor = tensor(model.graph.as_mut().expect("built with one"), "conv2/3x3_w");
    let data = std::mem::take(&mut tensor.raw_data);
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
    let length = data.len().to_string();
    tensor.external_data = vec![entry("location", location), entry("offset", "7"), entry("length", &length)];
    tensor.data_location = 1;
    (model, [&[0; 7][..], &data, b"what another tensor has"].concat())
}

#[test]
#[cfg(not(miri))]
fn data_beside_a_graph_are_read_from_its_own_folder_alone() {
    use crate::error::FileError;
    use std::fs;
    let outside = tempfile::tempdir().expect("a folder");
    let folder = outside.path().join("of the graph");
    fs::create_dir_all(folder.join("inside")).expect("made");
    let graph = folder.join("graph.onnx");
    let expected = onnx::read_model(&published(), &Default::default(), None).expect("the table's own graph");
    let read = |location: &str, at: &Path| {
        let (model, data) = with_sidecar(location);
        fs::write(&graph, model.encode_to_vec()).expect("written");
        fs::write(at, data).expect("written");
        let read = import(&graph);
        fs::remove_file(at).expect("removed");
        read
    };
    for location in ["graph.onnx.data", "./w", "inside/w"] {
        assert!(read(location, &folder.join(location)).expect(location) == expected, "{location}");
    }
    let secret = outside.path().join("secret");
    let absolute = secret.to_str().expect("UTF-8").to_owned();
    for location in ["../secret", "inside/../../secret", &absolute, "", "..\\secret", "c:secret", "."] {
        let error = read(location, &secret).expect_err(location);
        let is_refused = matches!(&error, Error::Import(ImportError::Sidecar { location: named }) if named == location);
        assert!(is_refused || location == ".", "{location}: {error}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../secret", folder.join("link")).expect("made");
        let error = read("link", &secret).expect_err("it leads out");
        assert!(matches!(error, Error::Import(ImportError::Sidecar { .. })), "{error}");
        std::os::unix::fs::symlink("..", folder.join("up")).expect("made");
        let error = read("up/secret", &secret).expect_err("it leads out");
        assert!(matches!(error, Error::Import(ImportError::Sidecar { .. })), "{error}");
    }
    // Missing, too short, too long, and looked for by nobody.
    let error = read("missing", &secret).expect_err("it is not there");
    assert!(matches!(error, Error::File(FileError::Io { .. })), "{error}");
    let (model, data) = with_sidecar("short");
    fs::write(&graph, model.encode_to_vec()).expect("written");
    fs::write(folder.join("short"), &data[..data.len() - 24]).expect("written");
    let error = import(&graph).expect_err("a byte is missing");
    assert!(error.to_string().contains("beyond the end of their file"), "{error}");
    let file = fs::File::create(folder.join("short")).expect("made");
    file.set_len(super::MAX_BYTES).expect("a file with a hole");
    let error = import(&graph).expect_err("with the graph it is longer than a file may be");
    assert!(matches!(error, Error::File(FileError::TooLarge { .. })), "{error}");
    let error = import_bytes(&model.encode_to_vec()).expect_err("no file").to_string();
    assert!(error.contains("conv2/3x3_w") && error.contains("only beside a graph that is a file"), "{error}");
}
