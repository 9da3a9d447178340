//! Compares with what other programs compute for each dialect, on weights that a formula gives;
//! `tests/oracles/generate.py` has recorded it.

use super::super::onnx::proto::*;
use super::super::{Imported, import_bytes};
use crate::model::Dialect;
use crate::weights::{Dtype, NewTensor, write};
use crate::{Model, Options};
use prost::Message;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub(super) const CLASSES: usize = 12;
/// `n` numbers of -1 to 1: SplitMix64's finaliser over a counter that begins at the FNV-1a hash of the name.
fn uniform(name: &str, n: usize) -> impl Iterator<Item = f64> {
    let seed = name
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    (1..=n as u64).map(move |i| {
        let mut x = seed.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^= x >> 31;
        (x >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    })
}

/// The elements of the tensor called `name`, by the formula that the script has too.
pub(super) fn values(name: &str, shape: &[usize]) -> Vec<f32> {
    let u = uniform(name, shape.iter().product());
    let positive = ["running_var", "moving_variance", "bn.weight", "gamma"].iter().any(|end| name.ends_with(end));
    match shape {
        [rest @ .., _] if !rest.is_empty() && name.ends_with("weights") => scaled(u, rest),
        [_, rest @ ..] if !rest.is_empty() => scaled(u, rest),
        _ if positive => u.map(|u| (1.0 + 0.5 * u) as f32).collect(),
        _ => u.map(|u| (0.1 * u) as f32).collect(),
    }
}

fn scaled(u: impl Iterator<Item = f64>, fan_in: &[usize]) -> Vec<f32> {
    let scale = (6.0 / fan_in.iter().product::<usize>() as f64).sqrt();
    u.map(|u| (u * scale) as f32).collect()
}

fn image(amplitude: f64, side: usize) -> Vec<f32> {
    uniform("image", 3 * side * side).map(|u| (u * amplitude) as f32).collect()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/oracles")
}

/// The recorded numbers of a case: its outputs, and the amplitude of its image.
fn expected(case: &str) -> BTreeMap<String, serde_json::Value> {
    let text = std::fs::read(folder().join("expected.json")).expect("stored");
    let mut cases: BTreeMap<String, BTreeMap<String, serde_json::Value>> = serde_json::from_slice(&text).expect("JSON");
    cases.remove(case).expect("a stored case")
}

/// A graph as an exporter wrote it; it is stored without weights, which are put back here.
pub(super) fn graph(name: &str) -> ModelProto {
    let bytes = std::fs::read(folder().join(format!("{name}.onnx"))).expect("stored");
    let mut model = ModelProto::decode(bytes.as_slice()).expect("an ONNX model");
    for tensor in &mut model.graph.as_mut().expect("a graph").initializer {
        let shape: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
        if tensor.data_type == element::FLOAT && shape.iter().product::<usize>() > 1 {
            assert!(tensor.raw_data.is_empty() && tensor.float_data.is_empty(), "stored without weights");
            tensor.raw_data = values(&tensor.name, &shape).into_iter().flat_map(f32::to_le_bytes).collect();
        }
    }
    model
}

/// Runs what was imported on the image of `case` and compares its outputs with the recorded ones. `transform`, given a
/// channel and a value, does to the image what the graph does to its input, as importing leaves that out.
#[track_caller]
pub(super) fn agrees(case: &str, imported: &Imported, transform: fn(usize, f32) -> f32) {
    let expected = expected(case);
    assert_eq!((imported.classes, imported.non_finite), (CLASSES, 0));
    let side = imported.dialect.network(CLASSES).side;
    let metadata = [
        ("dialect", imported.dialect.name()),
        ("input_side", &side.to_string()),
        ("channels", "rgb"),
        ("mean", "0,0,0"),
        ("std", "1,1,1"),
        ("resize", "256"),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let tensors = imported.tensors.iter().map(|tensor| NewTensor {
        name: &tensor.name,
        shape: &tensor.shape,
        dtype: Dtype::F32,
        values: (&tensor.values).into(),
    });
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weights");
    write(&path, &metadata, &tensors.collect::<Vec<_>>(), false).expect("written");
    let model = Model::open(&path).expect("own file");
    let options = imported.heads.iter().fold(Options::new(), |options, &head| options.endpoint(head));
    let mut session = model.session(options).expect("a session");
    let image = image(expected["amplitude"].as_f64().expect("a number"), side);
    for (i, (x, value)) in session.input_mut().iter_mut().zip(image).enumerate() {
        *x = transform(i / (side * side), value);
    }
    session.run();
    assert_eq!(expected.len(), 2 + imported.heads.len(), "{case}: logits, heads and amplitude");
    for (output, numbers) in expected.iter().filter(|(key, _)| *key != "amplitude") {
        let got = if output == "logits" { session.logits() } else { session.endpoint(output).expect("asked for") };
        let numbers = numbers.as_array().expect("numbers").iter().map(|number| number.as_f64().expect("a number"));
        let numbers: Vec<f64> = numbers.collect();
        let largest = numbers.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        let worst = got.iter().zip(&numbers).map(|(&x, y)| (f64::from(x) - y).abs()).fold(0.0, f64::max) / largest;
        println!("{case}, {output}: within {worst:.1e} of the largest");
        assert_eq!(got.len(), numbers.len());
        assert!(worst <= 2e-5, "{case}, {output}: {worst:e}");
    }
}

/// A safetensors file of f32 tensors, and of counters, which are I64 scalars.
fn safetensors(tensors: &[(String, Vec<usize>)], counters: &[String]) -> Vec<u8> {
    let (mut entries, mut data) = (Vec::new(), Vec::new());
    for (name, shape) in tensors {
        let start = data.len();
        data.extend(values(name, shape).into_iter().flat_map(f32::to_le_bytes));
        let end = data.len();
        entries.push(format!(r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{start},{end}]}}"#));
    }
    for name in counters {
        let start = data.len();
        data.extend(7_i64.to_le_bytes());
        let end = data.len();
        entries.push(format!(r#""{name}":{{"dtype":"I64","shape":[],"data_offsets":[{start},{end}]}}"#));
    }
    let header = format!("{{{}}}", entries.join(","));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

/// The names and shapes of torchvision's `state_dict`, and its counters, written down as torchvision builds the
/// network.
fn state_dict(prefix: &str) -> (Vec<(String, Vec<usize>)>, Vec<String>) {
    let (mut tensors, mut counters) = (Vec::new(), Vec::new());
    let mut conv = |name: String, oc: usize, ic: usize, kernel: usize| {
        let name = format!("{prefix}{name}");
        tensors.push((format!("{name}.conv.weight"), vec![oc, ic, kernel, kernel]));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            tensors.push((format!("{name}.bn.{part}"), vec![oc]));
        }
        counters.push(format!("{name}.bn.num_batches_tracked"));
    };
    conv("conv1".into(), 64, 3, 7);
    conv("conv2".into(), 64, 64, 1);
    conv("conv3".into(), 192, 64, 3);
    for (module, ic, [o1, r3, o3, r5, o5, proj]) in MODULES {
        let part = |part: &str| format!("inception{module}.{part}");
        conv(part("branch1"), o1, ic, 1);
        conv(part("branch2.0"), r3, ic, 1);
        conv(part("branch2.1"), o3, r3, 3);
        conv(part("branch3.0"), r5, ic, 1);
        conv(part("branch3.1"), o5, r5, 3);
        conv(part("branch4.1"), proj, ic, 1);
    }
    conv("aux1.conv".into(), 128, 512, 1);
    conv("aux2.conv".into(), 128, 528, 1);
    let dense = [
        ("aux1.fc1", 1024, 2048),
        ("aux1.fc2", CLASSES, 1024),
        ("aux2.fc1", 1024, 2048),
        ("aux2.fc2", CLASSES, 1024),
        ("fc", CLASSES, 1024),
    ];
    for (name, out, inputs) in dense {
        tensors.push((format!("{prefix}{name}.weight"), vec![out, inputs]));
        tensors.push((format!("{prefix}{name}.bias"), vec![out]));
    }
    (tensors, counters)
}

/// Each module's name, input channels, and the columns of the paper's table: output channels of its convolutions.
const MODULES: [(&str, usize, [usize; 6]); 9] = [
    ("3a", 192, [64, 96, 128, 16, 32, 32]),
    ("3b", 256, [128, 128, 192, 32, 96, 64]),
    ("4a", 480, [192, 96, 208, 16, 48, 64]),
    ("4b", 512, [160, 112, 224, 24, 64, 64]),
    ("4c", 512, [128, 128, 256, 24, 64, 64]),
    ("4d", 512, [112, 144, 288, 32, 64, 64]),
    ("4e", 528, [256, 160, 320, 32, 128, 128]),
    ("5a", 832, [256, 160, 320, 32, 128, 128]),
    ("5b", 832, [384, 192, 384, 48, 128, 128]),
];

#[test]
fn a_state_dict_of_torchvision_with_its_heads() {
    let (tensors, counters) = state_dict("");
    let imported = import_bytes(&safetensors(&tensors, &counters), None).expect("a state_dict");
    assert_eq!((imported.dialect, &imported.heads[..]), (Dialect::Torchvision, &["loss1", "loss2"][..]));
    agrees("torchvision", &imported, |_, x| x);
}

#[test]
fn state_dicts_are_held_to_their_names() {
    let (tensors, _) = state_dict("module.");
    let imported = import_bytes(&safetensors(&tensors, &[]), None).expect("a wrapper's prefix, no counters");
    assert_eq!(imported.tensors.len(), 128);
    let refused = |change: fn(&mut Vec<(String, Vec<usize>)>), words: &[&str]| {
        let (mut tensors, counters) = state_dict("");
        change(&mut tensors);
        let error = import_bytes(&safetensors(&tensors, &counters), None).expect_err("another network").to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    refused(|t| drop(t.remove(0)), &["\"conv1.conv.weight\" is missing"]);
    refused(|t| drop(t.remove(3)), &["\"conv1.bn.running_mean\" is missing"]);
    refused(|t| t.push(("extra".into(), vec![1])), &["\"extra\" is not part"]);
    refused(|t| t[0].1 = vec![64, 3, 5, 5], &["conv1.conv.weight", "[64, 3, 5, 5]", "[64, 3, 7, 7]"]);
    refused(|t| t.last_mut().expect("a bias").1 = vec![3], &["fc.bias", "[3]", "[12]"]);
    refused(|t| t.retain(|(name, _)| name != "aux1.fc1.bias"), &["\"aux1.fc1.bias\" is missing"]);
    let (tensors, counters) = state_dict("");
    let error = import_bytes(&safetensors(&tensors, &counters), Some(Dialect::Bvlc)).expect_err("another dialect");
    assert!(error.to_string().contains("\"torchvision\", expected bvlc"), "{error}");
}

/// An archive, as `numpy.savez` writes it, of the variables of slim's Inception v1, written down as slim builds it.
fn slim_npz(deflate: bool) -> Vec<u8> {
    let mut members: Vec<(String, Vec<usize>)> = vec![("global_step".into(), vec![1])];
    let mut conv = |scope: String, oc: usize, ic: usize, kernel: usize| {
        let scope = format!("InceptionV1/{scope}");
        members.push((format!("{scope}/weights"), vec![kernel, kernel, ic, oc]));
        for part in ["beta", "moving_mean", "moving_variance"] {
            members.push((format!("{scope}/BatchNorm/{part}"), vec![oc]));
        }
    };
    conv("Conv2d_1a_7x7".into(), 64, 3, 7);
    conv("Conv2d_2b_1x1".into(), 64, 64, 1);
    conv("Conv2d_2c_3x3".into(), 192, 64, 3);
    let names = ["3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"];
    for ((_, ic, [o1, r3, o3, r5, o5, proj]), name) in MODULES.into_iter().zip(names) {
        let part = |part: &str| format!("Mixed_{name}/Branch_{part}");
        conv(part("0/Conv2d_0a_1x1"), o1, ic, 1);
        conv(part("1/Conv2d_0a_1x1"), r3, ic, 1);
        conv(part("1/Conv2d_0b_3x3"), o3, r3, 3);
        conv(part("2/Conv2d_0a_1x1"), r5, ic, 1);
        conv(part(if name == "5b" { "2/Conv2d_0a_3x3" } else { "2/Conv2d_0b_3x3" }), o5, r5, 3);
        conv(part("3/Conv2d_0b_1x1"), proj, ic, 1);
    }
    let logits = "InceptionV1/Logits/Conv2d_0c_1x1";
    members.push((format!("{logits}/weights"), vec![1, 1, 1024, CLASSES]));
    members.push((format!("{logits}/biases"), vec![CLASSES]));
    let arrays = members.iter().map(|(name, shape)| {
        let mut array = Vec::new();
        crate::npy::write_header(&mut array, shape).expect("a vector grows");
        array.extend(values(name, shape).into_iter().flat_map(f32::to_le_bytes));
        (format!("{name}.npy"), array)
    });
    zip(&arrays.collect::<Vec<_>>(), deflate, false)
}

/// A ZIP archive whose sizes stand in the directory only, as a program that streams writes it; if it `is_long`, in the records
/// that have 64 bits for each.
fn zip(members: &[(String, Vec<u8>)], deflate: bool, is_long: bool) -> Vec<u8> {
    use std::io::Write;
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in members {
        let stored = if deflate {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(data).and_then(|()| encoder.finish()).expect("a vector grows")
        } else {
            data.clone()
        };
        let mut crc = flate2::Crc::new();
        crc.update(data);
        let (offset, method) = (out.len() as u32, if deflate { 8_u16 } else { 0 });
        let short = |number: usize| if is_long { u32::MAX } else { number as u32 };
        let sizes = [crc.sum(), short(stored.len()), short(data.len())];
        let sizes: Vec<u8> = sizes.into_iter().flat_map(u32::to_le_bytes).collect();
        let lengths: Vec<u8> = [name.len() as u16, 0].into_iter().flat_map(u16::to_le_bytes).collect();
        let numbers = [data.len() as u64, stored.len() as u64, u64::from(offset)];
        // A record of another kind may stand before it.
        let mut extra = vec![9, 0, 2, 0, 7, 7, 1, 0, 24, 0];
        extra.extend(numbers.into_iter().flat_map(u64::to_le_bytes));
        extra.truncate(if is_long { extra.len() } else { 0 });
        let (extra_len, offset) = ((extra.len() as u16).to_le_bytes(), short(offset as usize));
        let local = [&b"PK\x03\x04\x14\0\0\0"[..], &method.to_le_bytes(), &[0; 4], &[0xff; 12], &lengths].concat();
        out.extend([&local[..], name.as_bytes(), &stored].concat());
        let entry =
            [b"PK\x01\x02\x14\0\x14\0\0\0", &method.to_le_bytes()[..], &[0; 4], &sizes, &lengths[..2], &extra_len];
        directory.extend([&entry.concat()[..], &[0; 10]].concat());
        directory.extend([&offset.to_le_bytes()[..], name.as_bytes(), &extra].concat());
    }
    if is_long {
        let at = (out.len() + directory.len()) as u64;
        let numbers = [44, 0, 0, members.len() as u64, members.len() as u64, directory.len() as u64, out.len() as u64];
        // Versions and numbers of disks are between the length of this record and the counts.
        let numbers: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
        let long = [b"PK\x06\x06", &numbers[..8], &[0; 12], &numbers[24..]].concat();
        let pointer = [b"PK\x06\x07\0\0\0\0", &at.to_le_bytes()[..], &[1, 0, 0, 0]].concat();
        let end = [&b"PK\x05\x06\0\0\0\0"[..], &[0xff; 12], &[0; 2]].concat();
        return [out, directory, long, pointer, end].concat();
    }
    let count = (members.len() as u16).to_le_bytes();
    let bounds: Vec<u8> = [directory.len() as u32, out.len() as u32].into_iter().flat_map(u32::to_le_bytes).collect();
    [&out[..], &directory, b"PK\x05\x06\0\0\0\0", &count, &count, &bounds, &[0; 2]].concat()
}

#[test]
fn variables_of_slim() {
    let imported = import_bytes(&slim_npz(false), None).expect("slim's variables");
    assert_eq!((imported.dialect, imported.heads.len()), (Dialect::TfSlim, 0));
    agrees("tf-slim", &imported, |_, x| x);
    assert!(import_bytes(&slim_npz(true), None).expect("deflated") == imported);
}

#[test]
fn archives_of_64_bits_are_read() {
    for deflate in [false, true] {
        let arrays = [("a.npy".to_owned(), array(&[5])), ("b.npy".to_owned(), array(&[2, 3]))];
        let [short, long] = [false, true].map(|is_long| zip(&arrays, deflate, is_long));
        let error = |bytes: &[u8]| import_bytes(bytes, None).expect_err("no network").to_string();
        assert!(error(&short).contains("is missing") && error(&long) == error(&short), "{}", error(&long));
        for end in 0..long.len() {
            assert!(error(&long[..end]) != error(&long), "{end} bytes of {}", long.len());
        }
        for at in 0..long.len() {
            for flip in [1, 0x80, 0xff] {
                let mut damaged = long.clone();
                damaged[at] ^= flip;
                error(&damaged);
            }
        }
    }
}

/// A .npy array of zeros.
fn array(shape: &[usize]) -> Vec<u8> {
    let mut array = Vec::new();
    crate::npy::write_header(&mut array, shape).expect("a vector grows");
    array.extend(vec![0; 4 * shape.iter().product::<usize>()]);
    array
}

#[test]
fn damaged_archives_are_errors() {
    for deflate in [false, true] {
        let bytes = zip(&[("a.npy".into(), array(&[5])), ("b.npy".into(), array(&[2, 3]))], deflate, false);
        let error = |bytes: &[u8]| import_bytes(bytes, None).expect_err("no network").to_string();
        assert!(error(&bytes).contains("\"conv1/7x7_s2.weight\" is missing"), "{}", error(&bytes));
        for end in 0..bytes.len() {
            error(&bytes[..end]);
        }
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                error(&damaged);
            }
        }
        let last = bytes.windows(4).rposition(|window| window == b"PK\x01\x02").expect("a directory");
        let mut huge = bytes.clone();
        huge[last + 24..last + 28].copy_from_slice(&[0xfe, 0xff, 0xff, 0xff]);
        // What is stored as it is takes no more than it has, whatever the directory says.
        let why = if deflate { "longer, unpacked" } else { "not as long as the directory says" };
        assert!(error(&huge).contains(why), "{}", error(&huge));
    }
    let doubled = zip(&[("a.npy".into(), array(&[5])), ("a.npy".into(), array(&[5]))], false, false);
    assert!(import_bytes(&doubled, None).expect_err("doubled").to_string().contains("\"a\" occurs twice"));
}

#[test]
fn graphs_of_other_exporters() {
    let same: fn(usize, f32) -> f32 = |_, x| x;
    let transform: fn(usize, f32) -> f32 = |c, x| {
        let (mean, std) = ([0.485_f32, 0.456, 0.406], [0.229_f32, 0.224, 0.225]);
        x * (std[c] / 0.5) + (mean[c] - 0.5) / 0.5
    };
    for (case, dialect, transform, mean) in [
        ("torchvision_traced", Dialect::Torchvision, transform, None),
        ("torchvision_exported", Dialect::Torchvision, same, Some(123.675)),
        ("inception_v1_floor", Dialect::OnnxZoo, same, None),
        ("inception_v1_same", Dialect::TfSlim, same, None),
        ("alexnet_floor", Dialect::OnnxZooAlexnet, same, None),
        ("zfnet512", Dialect::Zfnet512, same, None),
    ] {
        let bytes = graph(case).encode_to_vec();
        let imported = import_bytes(&bytes, None).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!((imported.dialect, imported.input.map(|input| input.mean[0])), (dialect, mean), "{case}");
        agrees(case, &imported, transform);
        let other = Dialect::ALL.into_iter().find(|&other| other != dialect).expect("there are several");
        assert!(import_bytes(&bytes, Some(other)).is_err(), "{case} as {other}");
    }
}
