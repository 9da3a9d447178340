//! Tests on `.caffemodel`s in both of Caffe's message types, written field by field from the definitions in
//! `caffe.proto`: a training network, as a snapshot holds it, with data layers, losses, splits and both heads.

use super::super::{Imported, import_bytes};
use super::oracle::{self, CLASSES, values};
use crate::Result;
use crate::error::WeightsError;
use crate::model::{AverageWindows, Dialect, Layer, Padding};
use crate::weights::{Dtype, NewTensor, Weights, write};

/// Which of Caffe's two message types the layers of a file have.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Syntax {
    /// The field `layers`: types are numbers, shapes are `num`, `channels`, `height` and `width`.
    Old,
    /// The field `layer`: types are names, shapes are lists.
    New,
}

/// A type of layer: its name, its number, and the tag of its parameters in the new message type and in the old one.
struct Kind(&'static str, u64, u64, u64);

const DATA: Kind = Kind("Data", 5, 107, 11);
const CONVOLUTION: Kind = Kind("Convolution", 4, 106, 10);
const RELU: Kind = Kind("ReLU", 18, 123, 30);
const POOLING: Kind = Kind("Pooling", 17, 121, 19);
const LRN: Kind = Kind("LRN", 15, 118, 18);
const CONCAT: Kind = Kind("Concat", 3, 104, 9);
const INNER_PRODUCT: Kind = Kind("InnerProduct", 14, 117, 17);
const DROPOUT: Kind = Kind("Dropout", 6, 108, 12);
const SPLIT: Kind = Kind("Split", 22, 0, 0);
const LOSS: Kind = Kind("SoftmaxWithLoss", 21, 0, 0);
const ACCURACY: Kind = Kind("Accuracy", 1, 102, 27);

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// The bytes of a field that holds a number.
fn number(tag: u64, value: usize) -> Vec<u8> {
    [varint(tag << 3), varint(value as u64)].concat()
}

/// The bytes of a field that holds an f32.
fn float(tag: u64, value: f32) -> Vec<u8> {
    [varint(tag << 3 | 5), value.to_le_bytes().to_vec()].concat()
}

/// The bytes of a field that holds a message or a text.
fn bytes(tag: u64, content: &[u8]) -> Vec<u8> {
    [varint(tag << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

/// A layer before it is written, when a test may still change it.
struct Spec {
    kind: Kind,
    name: String,
    bottom: Vec<String>,
    top: Vec<String>,
    parameters: Vec<u8>,
    /// The name, which decides the values, and the shape of each blob.
    blobs: Vec<(String, Vec<usize>)>,
}

impl Spec {
    fn new(kind: Kind, name: &str, bottom: &[&str], top: &[&str]) -> Spec {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let (bottom, top) = (texts(bottom), texts(top));
        Spec { kind, name: name.into(), bottom, top, parameters: Vec::new(), blobs: Vec::new() }
    }

    fn write(&self, syntax: Syntax) -> Vec<u8> {
        let Kind(kind, kind_number, new_tag, old_tag) = self.kind;
        let (name_tag, bottom_tag, top_tag, blob_tag, parameter_tag) =
            if syntax == Syntax::Old { (4, 2, 3, 6, old_tag) } else { (1, 3, 4, 7, new_tag) };
        let mut layer = bytes(name_tag, self.name.as_bytes());
        layer.extend(if syntax == Syntax::Old { number(5, kind_number as usize) } else { bytes(2, kind.as_bytes()) });
        layer.extend(self.bottom.iter().flat_map(|name| bytes(bottom_tag, name.as_bytes())));
        layer.extend(self.top.iter().flat_map(|name| bytes(top_tag, name.as_bytes())));
        layer.extend(self.blobs.iter().flat_map(|(name, shape)| bytes(blob_tag, &blob(syntax, name, shape))));
        if !self.parameters.is_empty() {
            layer.extend(bytes(parameter_tag, &self.parameters));
        }
        bytes(if syntax == Syntax::Old { 2 } else { 100 }, &layer)
    }
}

fn blob(syntax: Syntax, name: &str, shape: &[usize]) -> Vec<u8> {
    let floats: Vec<u8> = values(name, shape).into_iter().flat_map(f32::to_le_bytes).collect();
    let shape = match syntax {
        // The old message type has four dimensions, the last the fastest, so shorter shapes begin with ones.
        Syntax::Old => {
            let four = [vec![1; 4 - shape.len()], shape.to_vec()].concat();
            four.into_iter().zip(1..).flat_map(|(dim, tag)| number(tag, dim)).collect()
        }
        Syntax::New => bytes(7, &bytes(1, &shape.iter().flat_map(|&dim| varint(dim as u64)).collect::<Vec<_>>())),
    };
    // Some programs write gradients beside the values into a snapshot.
    let gradients = if shape.len() < 16 { bytes(6, &[0; 8]) } else { Vec::new() };
    [bytes(5, &floats), gradients, shape].concat()
}

/// The layers of `dialect`'s training network, made from the model table.
fn layers(dialect: Dialect) -> Vec<Spec> {
    let mut out = vec![Spec::new(DATA, "data", &[], &["data", "label"])];
    out.push(Spec::new(SPLIT, "label_data_1_split", &["label"], &["label_0", "label_1"]));
    let network = dialect.network_with_heads(CLASSES);
    let shapes = network.parameters().into_iter().collect();
    let mut value = "data".to_owned();
    for layer in &network.layers {
        match layer {
            Layer::Softmax { .. } => {
                out.push(Spec::new(LOSS, "loss3/loss3", &[&value, "label_1"], &["loss3/loss3"]));
                out.push(Spec::new(ACCURACY, "loss3/top-1", &[&value, "label_1"], &["loss3/top-1"]));
            }
            layer => value = add(&mut out, layer, &value, &shapes),
        }
        for head in network.heads.iter().filter(|head| head.after == layer.name()) {
            let end = head.layers.iter().fold(value.clone(), |value, layer| add(&mut out, layer, &value, &shapes));
            out.push(Spec::new(LOSS, &format!("{}/loss", head.name), &[&end, "label_0"], &[head.name]));
        }
    }
    out
}

type Shapes = std::collections::HashMap<String, Vec<usize>>;

/// Adds the layers that compute the model table's `layer` over the blob `x`; returns the name of the resulting blob.
fn add(out: &mut Vec<Spec>, layer: &Layer, x: &str, shapes: &Shapes) -> String {
    let blobs =
        |name: &str| ["weight", "bias"].map(|part| format!("{name}.{part}")).map(|n| (n.clone(), shapes[&n].clone()));
    let relu = |name: &str| Spec::new(RELU, &format!("{name}/relu"), &[name], &[name]);
    match layer {
        Layer::Conv(conv) => {
            let Padding::Around(pad) = conv.padding else { unreachable!("Caffe's") };
            let mut parameters =
                [number(1, conv.oc), number(3, pad), number(4, conv.kernel), number(6, conv.stride)].concat();
            if conv.groups > 1 {
                parameters.extend(number(5, conv.groups));
            }
            let spec = Spec::new(CONVOLUTION, &conv.name, &[x], &[&conv.name]);
            out.push(Spec { parameters, blobs: blobs(&conv.name).to_vec(), ..spec });
            out.push(relu(&conv.name));
            conv.name.clone()
        }
        Layer::MaxPool(pool) => {
            let Padding::Around(pad) = pool.padding else { unreachable!("Caffe's") };
            let parameters = [number(1, 0), number(2, pool.kernel), number(3, pool.stride), number(4, pad)].concat();
            out.push(Spec { parameters, ..Spec::new(POOLING, &pool.name, &[x], &[&pool.name]) });
            pool.name.clone()
        }
        Layer::AveragePool(pool) => {
            let AverageWindows::Sliding { kernel, stride } = pool.windows else { unreachable!("Caffe's") };
            let parameters = [number(1, 1), number(2, kernel), number(3, stride)].concat();
            out.push(Spec { parameters, ..Spec::new(POOLING, &pool.name, &[x], &[&pool.name]) });
            pool.name.clone()
        }
        Layer::GlobalAverage { name } => {
            let parameters = [number(1, 1), number(2, 7), number(3, 1)].concat();
            out.push(Spec { parameters, ..Spec::new(POOLING, name, &[x], &[name]) });
            let parameters = float(1, 0.4);
            out.push(Spec { parameters, ..Spec::new(DROPOUT, "pool5/drop_7x7_s1", &[name], &[name]) });
            (*name).to_owned()
        }
        Layer::Lrn(lrn) => {
            let mut parameters = [number(1, lrn.size), float(2, lrn.alpha), float(3, lrn.beta)].concat();
            if lrn.k != 1.0 {
                parameters.extend(float(5, lrn.k));
            }
            out.push(Spec { parameters, ..Spec::new(LRN, lrn.name, &[x], &[lrn.name]) });
            lrn.name.to_owned()
        }
        Layer::FullyConnected(layer) => {
            let blobs = blobs(&layer.name).to_vec();
            let parameters = number(1, blobs[1].1[0]);
            out.push(Spec { parameters, blobs, ..Spec::new(INNER_PRODUCT, &layer.name, &[x], &[&layer.name]) });
            if layer.hidden.is_some() {
                out.push(relu(&layer.name));
                let name = format!("{}/drop", layer.name);
                out.push(Spec {
                    parameters: float(1, 0.5),
                    ..Spec::new(DROPOUT, &name, &[&layer.name], &[&layer.name])
                });
            }
            layer.name.clone()
        }
        Layer::Inception(module) => {
            // Caffe inserts a split where several layers read a blob.
            let copies: Vec<String> = (0..4).map(|i| format!("{x}_split_{i}")).collect();
            let tops: Vec<&str> = copies.iter().map(String::as_str).collect();
            out.push(Spec::new(SPLIT, &format!("{x}_split"), &[x], &tops));
            let ends: Vec<String> = (module.branches.iter().zip(&copies))
                .map(|(branch, x)| branch.iter().fold(x.clone(), |x, layer| add(out, layer, &x, shapes)))
                .collect();
            let bottoms: Vec<&str> = ends.iter().map(String::as_str).collect();
            let name = format!("{}/output", module.name);
            out.push(Spec::new(CONCAT, &name, &bottoms, &[&name]));
            name
        }
        Layer::Softmax { .. } => unreachable!("added by the caller"),
    }
}

fn file(syntax: Syntax, change: impl FnOnce(&mut Vec<Spec>)) -> Vec<u8> {
    let mut layers = layers(Dialect::Bvlc);
    change(&mut layers);
    write_layers(syntax, &layers)
}

fn write_layers(syntax: Syntax, layers: &[Spec]) -> Vec<u8> {
    let mut file = bytes(1, b"a network");
    layers.iter().for_each(|layer| file.extend(layer.write(syntax)));
    file
}

fn read(syntax: Syntax, change: impl FnOnce(&mut Vec<Spec>)) -> Result<Imported> {
    import_bytes(&file(syntax, change), None)
}

/// The hashes of all tensors, for which they are written to a weight file.
fn hashes(imported: &Imported) -> Vec<u128> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weights");
    let tensors = imported.tensors.iter().map(|tensor| NewTensor {
        name: &tensor.name,
        shape: &tensor.shape,
        dtype: Dtype::F32,
        values: (&tensor.values).into(),
    });
    write(&path, &Default::default(), &tensors.collect::<Vec<_>>(), false).expect("written");
    Weights::open(&path).expect("own file").tensors().map(|tensor| tensor.hash()).collect()
}

#[test]
fn both_syntaxes_hold_the_same_weights_heads_included() {
    let [old, new] = [Syntax::Old, Syntax::New].map(|syntax| read(syntax, |_| ()).expect("the table's own network"));
    assert_eq!((new.dialect, &new.heads[..], new.tensors.len()), (Dialect::Bvlc, &["loss1", "loss2"][..], 128));
    assert_eq!(hashes(&old), hashes(&new));
    oracle::agrees("bvlc", &new, |_, x| x);
}

#[test]
fn other_networks_are_read() {
    let krizhevskys = [Dialect::Krizhevsky, Dialect::BvlcAlexnet, Dialect::Caffenet];
    let networks = krizhevskys.into_iter().chain([Dialect::ZeilerFergus, Dialect::Naive]);
    for (dialect, syntax) in networks.zip([Syntax::Old, Syntax::New].into_iter().cycle()) {
        let imported = import_bytes(&write_layers(syntax, &layers(dialect)), None).expect("the table's own network");
        assert_eq!(imported.dialect, dialect);
        oracle::agrees(dialect.name(), &imported, |_, x| x);
    }
}

#[test]
fn networks_for_use_are_read() {
    for syntax in [Syntax::Old, Syntax::New] {
        let imported = read(syntax, |layers| {
            let is_of_head = |layer: &Spec| layer.name.starts_with("loss1") || layer.name.starts_with("loss2");
            layers
                .retain(|layer| !is_of_head(layer) && !["Data", "SoftmaxWithLoss", "Accuracy"].contains(&layer.kind.0));
            // In a network for use an `Input` layer stands in place of the data layers, and a softmax in that of the
            // losses.
            layers.insert(0, Spec::new(Kind("Input", 32, 143, 26), "data", &[], &["data"]));
            layers.push(Spec::new(Kind("Softmax", 20, 125, 39), "prob", &["loss3/classifier"], &["prob"]));
        });
        let imported = imported.expect("a network for use");
        assert_eq!((imported.heads.len(), imported.tensors.len()), (0, 116));
    }
}

#[test]
fn other_networks_are_refused_at_the_first_difference() {
    let refused = |words: &[&str], change: &dyn Fn(&mut Vec<Spec>)| {
        for syntax in [Syntax::Old, Syntax::New] {
            let error = read(syntax, change).expect_err("another network").to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{syntax:?}: {error}");
        }
    };
    fn layer<'a>(layers: &'a mut [Spec], name: &str) -> &'a mut Spec {
        layers.iter_mut().find(|layer| layer.name == name).expect("in the network")
    }
    refused(&["conv2/3x3", "expected Relu, found LRN"], &|layers| {
        layers.retain(|layer| layer.name != "conv2/3x3/relu");
    });
    refused(&["inception_4b/1x1", "[160, 512, 1, 1]", "[112, 512, 1, 1]"], &|layers| {
        layer(layers, "inception_4b/output").bottom.swap(0, 1);
    });
    refused(&["inception_5b/5x5", "[128, 48, 5, 5]", "127, 48, 5, 5"], &|layers| {
        layer(layers, "inception_5b/5x5").blobs[0].1[0] = 127;
    });
    refused(&["loss1/ave_pool", "strides", "[3, 3]", "[2, 2]"], &|layers| {
        layer(layers, "loss1/ave_pool").parameters = [number(1, 1), number(2, 5), number(3, 2)].concat();
    });
    refused(&["pool3/3x3_s2", "windows", "rounding"], &|layers| {
        layer(layers, "pool3/3x3_s2").parameters.extend(number(13, 1));
    });
    refused(&["pool4/3x3_s2", "expected MaxPool, found Pooling (average)"], &|layers| {
        layer(layers, "pool4/3x3_s2").parameters[1] = 1;
    });
    refused(&["conv2/3x3", "group", "expected 1, found 2"], &|layers| {
        layer(layers, "conv2/3x3").parameters.extend(number(5, 2));
    });
    refused(&["conv2/norm2", "alpha"], &|layers| layer(layers, "conv2/norm2").parameters = number(1, 5));
    refused(&["conv1/7x7_s2", "negative_slope", "0.1"], &|layers| {
        layer(layers, "conv1/7x7_s2/relu").parameters = float(1, 0.1);
    });
    refused(&["loss2/classifier", "[12, 1024]", "13, 1024]"], &|layers| {
        layer(layers, "loss2/classifier").blobs[0].1[0] = 13;
        layer(layers, "loss2/classifier").blobs[1].1[0] = 13;
    });
    refused(&["conv2/3x3", "blobs", "expected 1 or 2, found 0"], &|layers| layer(layers, "conv2/3x3").blobs.clear());
    refused(&["is read before it is made"], &|layers| {
        layers.remove(2);
    });
}

#[test]
fn damaged_files_are_errors() {
    // The blobs are left out, so that every byte is structure.
    for syntax in [Syntax::Old, Syntax::New] {
        let file_bytes = file(syntax, |layers| layers.iter_mut().for_each(|layer| layer.blobs.clear()));
        for end in 0..file_bytes.len() {
            assert!(import_bytes(&file_bytes[..end], None).is_err(), "{syntax:?}: the first {end} bytes");
        }
        for at in 0..file_bytes.len() {
            let mut damaged = file_bytes.clone();
            damaged[at] ^= [1, 0x80, 0xff][at % 3];
            assert!(import_bytes(&damaged, None).is_err(), "{syntax:?}: byte {at}");
        }
        let flood = [bytes(2, &[]).repeat(1 << 20), file(syntax, |_| ())].concat();
        assert!(matches!(import_bytes(&flood, None), Err(crate::Error::Weights(WeightsError::TooMany { .. }))));
    }
}

#[test]
fn what_is_not_finite_is_counted() {
    let mut bytes = file(Syntax::New, |_| ());
    let first = values("conv1/7x7_s2.bias", &[64])[0].to_le_bytes();
    let at = bytes.windows(4).position(|window| window == first).expect("a bias");
    bytes[at..at + 8].copy_from_slice(&[f32::NAN.to_le_bytes(), f32::INFINITY.to_le_bytes()].concat());
    assert_eq!(import_bytes(&bytes, None).expect("imported").non_finite, 2);
}
