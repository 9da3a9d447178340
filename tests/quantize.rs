//! Tests `googlenet quantize` as a user meets it, on the demonstration weights and pictures that are drawn here.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use googlenet::weights::{Dtype, NewTensor, Weights, write};
use googlenet::{Model, Options, Precision};
use image::{Rgb, RgbImage};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

const DEMONSTRATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors");

fn googlenet(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_googlenet"));
    command.args(arguments).env_remove("GOOGLENET_ISA").output().expect("the command starts")
}

/// Runs the command, which must succeed, but for pictures that it says could not be used. Returns what it printed to stdout and stderr.
fn succeed(arguments: &[&str]) -> [String; 2] {
    let output = googlenet(arguments);
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8"));
    let partial = stderr.ends_with(" could not be used\n");
    assert_eq!(output.status.code(), Some(if partial { 4 } else { 0 }), "{arguments:?}: {stderr}");
    [stdout, stderr]
}

/// Runs the command, which must end with the exit status `code` and an error that contains `word` as its last line on
/// stderr, and write nothing to `out`.
fn fail(arguments: &[&str], out: &str, code: i32, word: &str) {
    let output = googlenet(&[&["quantize"], arguments].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let last = stderr.lines().last().expect("an error");
    assert!(last.starts_with("error: ") && last.contains(word), "{word}: {stderr}");
    assert!(output.stdout.is_empty() && !Path::new(out).exists(), "results were written");
}

/// The demonstration weights without what quantised them, in `folder`.
fn plain(folder: &TempDir) -> String {
    let path = text(&folder.path().join("plain")).to_owned();
    succeed(&["convert", DEMONSTRATION, &path, "--f16"]);
    path
}

/// A folder with `count` pictures of coloured stripes and discs, each with others.
fn pictures(count: u32) -> TempDir {
    let folder = tempdir().expect("a folder");
    for index in 0..count {
        let picture = RgbImage::from_fn(70, 64, |x, y| {
            let (dx, dy) = (x.abs_diff(20 + 3 * (index % 9)), y.abs_diff(15 + 5 * (index % 7)));
            match dx * dx + dy * dy < 30 * (index + 3) {
                true => Rgb([(255 - 13 * index % 200) as u8, (40 * index % 256) as u8, 90]),
                false => Rgb([(x * (index + 1) % 256) as u8, (y * 3 % 256) as u8, (60 + (x + y) * index % 190) as u8]),
            }
        });
        picture.save(folder.path().join(format!("{index:02}.png"))).expect("saved");
    }
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_quantised_file_runs_in_int8_and_as_before() {
    let pictures = pictures(11);
    fs::write(pictures.path().join("05b.jpg"), "no picture").expect("written");
    let folder = tempdir().expect("a folder");
    let out = folder.path().join("int8.safetensors");
    let (images, plain) = (text(pictures.path()), plain(&folder));
    let arguments = ["quantize", &plain, text(&out), "--images", images, "--json", "--threads", "2"];
    let [stdout, stderr] = succeed(&arguments);
    assert!(stderr.contains("05b.jpg: no picture (JPEG, PNG, WebP, GIF, BMP or TIFF)"), "{stderr}");
    assert!(stderr.ends_with("56 layers in int8\nerror: 1 of 12 pictures could not be used\n"), "{stderr}");

    let report: Value = serde_json::from_str(&stdout).expect("one JSON object");
    assert_eq!((&report["calibrated"], &report["held_back"]["pictures"]), (&9.into(), &2.into()), "{report}");
    assert_eq!(report["unreadable"][0]["image"], "05b.jpg");
    let candidates = report["candidates"].as_array().expect("candidates");
    assert_eq!(candidates.len(), 4);
    let layers = report["layers"].as_array().expect("layers");
    assert_eq!((layers.len(), &layers[0]["name"]), (56, &"conv2/3x3_reduce".into()));
    // One layer of 56 in int8 is nearer to f32 than all of them are.
    let error = |value: &Value| value.as_f64().expect("a finite error");
    let least = candidates.iter().map(|candidate| error(&candidate["rms_error"])).fold(f64::INFINITY, f64::min);
    let mean = layers.iter().map(|layer| error(&layer["alone"])).sum::<f64>() / 56.0;
    assert!(mean < least && error(&report["none"]) < least && least < 0.1, "{report}");
    assert!(layers.iter().all(|layer| layer["int8"] == true));

    let [original, model] = [Path::new(&plain), &out].map(|path| Model::open(path).expect("accepted"));
    assert_eq!([&model.weights().metadata()["version"], &model.weights().metadata()["int8"]], ["2", "1"]);
    for tensor in original.weights().tensors() {
        assert_eq!(model.weights().tensor(tensor.name()).expect("as before").bytes(), tensor.bytes());
    }
    let logits = |model: &Model, precision: Precision| {
        let mut session = model.session(Options::new().precision(precision)).expect("a session");
        session.input_mut().fill(20.0);
        session.run();
        session.logits().to_vec()
    };
    assert_eq!(logits(&original, Precision::F32), logits(&model, Precision::F32));
    assert!(logits(&model, Precision::Int8) != logits(&model, Precision::F32), "int8 computes in f32");
    let refused = original.session(Options::new().precision(Precision::Int8)).err().expect("no scales");
    assert!(refused.to_string().contains("googlenet quantize"), "{refused}");

    let [inspected, _] = succeed(&["inspect", text(&out)]);
    assert!(inspected.contains("quantised: 56 convolutions compute in int8; in a higher precision: conv1/7x7_s2\n"));
    // What is converted again, and perhaps to f16, is no longer what was quantised.
    let converted = folder.path().join("f16.safetensors");
    succeed(&["convert", text(&out), text(&converted), "--f16"]);
    let converted = Weights::open(&converted).expect("accepted");
    assert_eq!(
        (&*converted.metadata()["version"], converted.tensors().len()),
        ("1", original.weights().tensors().len())
    );
    fail(&arguments[1..5], "no such file", 5, "exists, --force replaces it");
}

/// In one pointwise layer each filter has one weight far above the others, for a channel that is always zero: in bytes the
/// others are next to nothing, and in a higher precision all is as before.
#[test]
fn a_layer_that_bytes_are_too_coarse_for_is_kept_higher_where_a_budget_asks_for_it() {
    let (pictures, folder) = (pictures(15), tempdir().expect("a folder"));
    let path = |name: &str| text(&folder.path().join(name)).to_owned();
    let weights = Weights::open(plain(&folder)).expect("the demonstration weights");
    let mut tensors: Vec<_> = weights
        .tensors()
        .map(|t| NewTensor { name: t.name(), shape: t.shape(), dtype: Dtype::F32, values: t.to_f32() })
        .collect();
    for tensor in &mut tensors {
        let filter: usize = tensor.shape[1..].iter().product();
        match tensor.name {
            "inception_3a/1x1.weight" => tensor.values.to_mut()[..filter].fill(0.0),
            "inception_3a/1x1.bias" => tensor.values.to_mut()[0] = 0.0,
            "inception_3b/1x1.weight" => {
                tensor.values.to_mut().chunks_exact_mut(filter).for_each(|filter| filter[0] = 100.0);
            }
            _ => {}
        }
    }
    write(path("coarse"), weights.metadata(), &tensors, false).expect("written");
    let (coarse, out, images) = (path("coarse"), path("out"), text(pictures.path()));
    let [stdout, _] = succeed(&["quantize", &coarse, &out, "--images", images, "--json"]);
    let report: Value = serde_json::from_str(&stdout).expect("one JSON object");
    let error = |report: &Value| report["held_back"]["rms_error"].as_f64().expect("a finite error");
    let without = error(&report);
    // The file that is replaced was quantised itself.
    let budget = (0.5 * without).to_string();
    let again = ["quantize", &out, &out, "--images", images, "--max-error", &budget, "--force"];
    let [stdout, _] = succeed(&again);
    let line = stdout.lines().find(|line| line.starts_with("inception_3b/1x1 ")).expect("the layer's line");
    assert!(line.contains("higher") && stdout.matches(" higher ").count() == 1, "{stdout}");
    let inspected: Value = serde_json::from_str(&succeed(&["inspect", "--json", &out])[0]).expect("JSON");
    assert_eq!(inspected["int8"]["higher"], serde_json::json!(["conv1/7x7_s2", "inception_3b/1x1"]));
    assert_eq!(inspected["int8"]["layers"].as_array().expect("layers").len(), 55);
    let unreachable = ["--max-error", "1e-9"];
    fail(
        &[&[&coarse, &path("none"), "--images", images], &unreachable[..]].concat(),
        &path("none"),
        2,
        "kept in a higher precision",
    );
}

#[test]
fn what_cannot_be_quantised_is_refused_and_nothing_is_written() {
    let pictures = pictures(10);
    let folder = tempdir().expect("a folder");
    let path = |name: &str| text(&folder.path().join(name)).to_owned();
    let (out, images, plain) = (path("out"), text(pictures.path()), plain(&folder));
    fail(&[&plain, &out, "--images", &path("none")], &out, 4, "none");
    let empty = tempdir().expect("a folder");
    fail(&[&plain, &out, "--images", text(empty.path())], &out, 4, "no pictures");
    fail(&[&path("none"), &out, "--images", images], &out, 3, "none");
    for share in ["0", "-1", "1.5", "NaN", "2%"] {
        let share = format!("--max-error={share}");
        fail(&[&plain, &out, "--images", images, &share], &out, 2, "expected a number above 0");
    }

    // NaN among the weights, and a weight so large that activations overflow.
    let weights = Weights::open(&plain).expect("the demonstration weights");
    for (value, word) in [(f32::NAN, "element 0 is NaN"), (3e38, "tensor \"conv1/7x7_s2\": element")] {
        let mut tensors: Vec<_> = weights
            .tensors()
            .map(|t| NewTensor { name: t.name(), shape: t.shape(), dtype: Dtype::F32, values: t.to_f32() })
            .collect();
        tensors[0].values.to_mut()[0] = value;
        write(path("broken"), weights.metadata(), &tensors, true).expect("written");
        fail(&[&path("broken"), &out, "--images", images], &out, 3, word);
    }

    fs::write(pictures.path().join("00.png"), "no picture").expect("written");
    fail(&[&plain, &out, "--images", images], &out, 4, "9 of 10 pictures could be read, at least 10 are needed");
}
