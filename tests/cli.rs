//! The command as a user meets it: its exit codes, what it prints to stdout and stderr, its JSON, and its files, which
//! are whole or absent.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn googlenet(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_googlenet"));
    command.args(arguments).env_remove("GOOGLENET_ISA").output().expect("the command starts")
}

/// Runs the command, which must succeed. Returns what it printed to stdout.
fn succeed(arguments: &[&str]) -> String {
    let output = googlenet(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).expect("stdout is UTF-8")
}

/// Runs the command, which must print nothing to stdout, print to stderr one line that contains `word` (notes aside),
/// and end with `code`.
fn fail(arguments: &[&str], code: i32, word: &str) {
    let output = googlenet(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?} printed results");
    let errors: Vec<_> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{arguments:?}: {stderr}");
    assert!(stderr.ends_with(&format!("{}\n", errors[0])), "{arguments:?}: {stderr}");
    assert!(errors[0].contains(word), "{arguments:?}: {stderr}");
}

fn json(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).expect("a line of JSON")
}

const DEMONSTRATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors");
const PHOTOGRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/chelsea.png");

/// A folder for a test's files, which is removed when this is dropped.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("UTF-8").into()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.path(name), bytes).expect("written");
        self.path(name)
    }

    fn entries(&self) -> Vec<PathBuf> {
        fs::read_dir(self.0.path()).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
    }
}

/// The bytes of a .npy file of version 1.0, by the format's definition.
fn npy(descr: &str, fortran: bool, shape: &str, values: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(values);
    file
}

/// The text of the header, without spaces, and the values of a .npy file.
fn read_npy(path: &str) -> (String, Vec<f32>) {
    let bytes = fs::read(path).expect("read");
    assert_eq!(&bytes[..6], b"\x93NUMPY");
    let at = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let (values, rest) = bytes[at..].as_chunks::<4>();
    assert!(rest.is_empty());
    let header = String::from_utf8_lossy(&bytes[10..at]).replace(' ', "");
    (header, values.iter().map(|&value| f32::from_le_bytes(value)).collect())
}

/// Writes the demonstration weights to `path`, with `changes` to their metadata and with `first` as their first value.
fn write_weights(path: &str, changes: &[(&str, &str)], first: f32) {
    use googlenet::weights::{Dtype, NewTensor, Weights, write};
    let weights = Weights::open(DEMONSTRATION).expect("the demonstration weights");
    let mut metadata = weights.metadata().clone();
    metadata.extend(changes.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())));
    let mut tensors: Vec<_> = weights
        .tensors()
        .map(|t| NewTensor { name: t.name(), shape: t.shape(), dtype: Dtype::F32, values: t.to_f32() })
        .collect();
    tensors[0].values.to_mut()[0] = first;
    write(path, &metadata, &tensors, false).expect("written");
}

#[test]
fn help_teaches_and_documents_the_exit_codes() {
    let help = succeed(&["--help"]);
    for word in ["classify", "convert", "Exit codes:", "  101  ", "  134  ", "  135  ", "  137  ", "GOOGLENET_ISA"] {
        assert!(help.contains(word), "{word}");
    }
    for command in [
        "classify",
        "eval",
        "preprocess",
        "run",
        "bench",
        "convert",
        "pack",
        "quantize",
        "inspect",
        "cost",
        "plan",
        "profile",
        "explain",
        "filters",
        "index",
        "similar",
        "doctor",
    ] {
        let help = succeed(&[command, "--help"]);
        for line in ["Usage: googlenet ", "Example", &format!("\n  googlenet {command} ")] {
            assert!(help.contains(line), "{command}: {line}");
        }
    }
}

#[test]
fn cost_prints_the_table_and_its_sum() {
    assert!(succeed(&["cost"]).ends_with("1582.7 M multiply-adds, 7.00 M parameters\n"));
    let table = json(&succeed(&["cost", "--json"]));
    assert_eq!(table["parameters"], 6_998_552);
    let layers = table["layers"].as_array().expect("layers");
    let sum: u64 = layers.iter().map(|layer| layer["multiply_adds"].as_u64().expect("a count")).sum();
    assert_eq!(table["multiply_adds"], sum);
    let table = json(&succeed(&["cost", "--json", "--side", "64", "--classes", "10"]));
    assert_eq!((&table["side"], &table["classes"]), (&64.into(), &10.into()));
}

#[test]
fn wrong_usage_is_one_line_and_code_2() {
    fail(&["dance"], 2, "dance");
    fail(&["cost", "--side", "31"], 2, "32");
    fail(&["cost", "--classes", "0"], 2, "'0'");
    fail(&["run"], 2, "--input");
    for option in ["--threads", "--batch", "--runs"] {
        fail(&["bench", option, "0"], 2, option);
    }
    fail(&["convert", "a", "b", "--mean", "1,2"], 2, "three");
    fail(&["convert", "a", "b", "--std", "0"], 2, "above 0");
}

#[test]
fn bad_weights_are_one_line_and_code_3() {
    let folder = Folder::new();
    let whole = fs::read(DEMONSTRATION).expect("the demonstration weights");
    let mut flipped = whole.clone();
    *flipped.last_mut().expect("not empty") ^= 1;
    let mut lying = whole.clone();
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let files = [
        folder.path("missing"),
        folder.file("empty", b""),
        folder.file("truncated", &whole[..whole.len() - 1]),
        folder.file("foreign", &fs::read(PHOTOGRAPH).expect("the photograph")),
        folder.file("flipped", &flipped),
        folder.file("lying", &lying),
    ];
    for file in &files {
        let name = Path::new(file).file_name().and_then(|name| name.to_str()).expect("UTF-8");
        fail(&["classify", "--weights", file], 3, name);
        fail(&["inspect", file], 3, name);
    }
    for file in &files {
        let name = Path::new(file).file_name().and_then(|name| name.to_str()).expect("UTF-8");
        fail(&["convert", file, &folder.path("out")], 3, name);
        assert!(!Path::new(&folder.path("out")).exists());
    }
}

#[test]
fn the_photograph_is_a_cat() {
    let line = json(&succeed(&["classify", "--json", "--top", "3", "--threads", "2"]));
    let top = line["top"].as_array().expect("top");
    assert_eq!(top.len(), 3);
    assert_eq!((&top[0]["label"], &top[0]["index"]), (&"cat".into(), &3.into()));
    let probability = top[0]["probability"].as_f64().expect("a number");
    assert!((0.70..0.82).contains(&probability), "{probability}");
    assert!(line["ms"].as_f64().expect("a number") > 0.0);
    let from_file = json(&succeed(&["classify", "--json", "--top", "3", "--weights", DEMONSTRATION, PHOTOGRAPH]));
    assert_eq!(from_file["top"], line["top"]);
    assert_eq!(from_file["image"], PHOTOGRAPH);
}

#[test]
fn a_bad_picture_is_named_and_the_others_are_classified() {
    let folder = Folder::new();
    let photograph = fs::read(PHOTOGRAPH).expect("the photograph");
    let truncated = folder.file("truncated.png", &photograph[..photograph.len() / 2]);
    let files = [truncated.clone(), folder.path("missing.jpg"), folder.file("text.jpg", b"no picture")];
    for file in &files {
        fail(&["classify", file], 4, file);
    }
    let output = googlenet(&["classify", "--json", &truncated, PHOTOGRAPH]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
}

#[test]
fn pictures_of_every_kind_are_classified() {
    use image::{DynamicImage, ImageFormat};
    let folder = Folder::new();
    let encoded = |picture: &DynamicImage, name: &str| {
        let path = folder.path(name);
        let format = if name.ends_with(".jpg") { ImageFormat::Jpeg } else { ImageFormat::Png };
        picture.save_with_format(&path, format).expect("saved");
        path
    };
    let photograph = image::open(PHOTOGRAPH).expect("the photograph");
    let files = [
        encoded(&photograph.to_luma8().into(), "grey.png"),
        encoded(&photograph.to_luma8().into(), "grey.jpg"),
        encoded(&photograph.to_luma_alpha8().into(), "grey_alpha.png"),
        encoded(&photograph.to_rgba8().into(), "alpha.png"),
        encoded(&photograph.to_rgb16().into(), "deep.png"),
        encoded(&photograph.to_rgba16().into(), "deep_alpha.png"),
        encoded(&DynamicImage::new_rgb8(50_000, 2), "wide.png"),
        encoded(&DynamicImage::new_rgb8(50_000, 2), "wide.jpg"),
        encoded(&DynamicImage::new_rgb8(1, 1), "one.png"),
    ];
    let mut arguments = vec!["classify", "--json", "--top", "1"];
    arguments.extend(files.iter().map(String::as_str));
    let lines = succeed(&arguments);
    let labels: Vec<_> = lines.lines().map(|line| json(line)["top"][0]["label"].clone()).collect();
    assert_eq!(labels.len(), files.len());
    assert_eq!(labels[3..6], ["cat", "cat", "cat"], "alpha and depth change nothing");
    let mut empty = fs::read(&files[1]).expect("saved");
    let sof = empty.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
    empty[sof + 7..sof + 9].fill(0);
    fail(&["classify", &folder.file("empty.jpg", &empty)], 4, "empty.jpg");
}

#[test]
fn an_instruction_set_that_is_not_there_is_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_googlenet"));
    let output = command.arg("classify").env("GOOGLENET_ISA", "abacus").output().expect("the command starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("abacus"));
}

#[test]
fn run_writes_logits_probabilities_and_layers() {
    let folder = Folder::new();
    let values: Vec<u8> = (0..3 * 3 * 64 * 64).flat_map(|i| ((i as f32 * 0.01).sin()).to_le_bytes()).collect();
    let input = folder.file("x.npy", &npy("<f4", false, "(3, 3, 64, 64)", &values));
    let run = |threads: &str, endpoint: &str| {
        let output = folder.path("y.npy");
        let common = ["run", "--weights", DEMONSTRATION, "--input", &input, "--output", &output, "--force"];
        succeed(&[&common[..], &["--threads", threads, "--endpoint", endpoint]].concat());
        read_npy(&output)
    };
    let (header, logits) = run("1", "logits");
    assert!(header.contains("'shape':(3,10") && header.contains("'<f4'"), "{header}");
    assert_eq!(logits.len(), 30);
    assert_eq!(run("2", "logits").1, logits, "the number of threads changes nothing");
    for (logits, probabilities) in logits.chunks(10).zip(run("1", "prob").1.chunks(10)) {
        let sum: f32 = logits.iter().map(|x| x.exp()).sum();
        for (x, p) in logits.iter().zip(probabilities) {
            assert!((x.exp() / sum - p).abs() < 1e-5, "softmax of {x} is {p}");
        }
    }
    let (header, features) = run("1", "pool5/7x7_s1");
    assert!(header.contains("'shape':(3,1024,1,1"), "{header}");
    assert_eq!(features.len(), 3 * 1024);
}

#[test]
fn run_refuses_what_it_cannot_read_or_may_not_replace() {
    let folder = Folder::new();
    let values = vec![0; 4 * 3 * 64 * 64];
    let output = folder.path("y.npy");
    let arguments =
        |input: &str| ["run", "--weights", DEMONSTRATION, "--input", input, "--output", &output].map(String::from);
    let refuse = |bytes: &[u8], word: &str| {
        let arguments = arguments(&folder.file("x.npy", bytes));
        fail(&arguments.each_ref().map(String::as_str), 4, word);
        assert_eq!(folder.entries().len(), 1, "{word}: something half-written was left");
    };
    refuse(b"", "x.npy");
    refuse(b"no such thing", "x.npy");
    refuse(&npy("<f8", false, "(1, 3, 64, 64)", &values.repeat(2)), "f8");
    refuse(&npy("<f4", true, "(1, 3, 64, 64)", &values), "Fortran");
    refuse(&npy("<f4", false, "(3, 64, 64)", &values), "[3, 64, 64]");
    refuse(&npy("<f4", false, "(1, 3, 64, 32)", &values), "[1, 3, 64, 32]");
    refuse(&npy("<f4", false, "(0, 3, 64, 64)", &[]), "[0, 3, 64, 64]");
    refuse(&npy("<f4", false, "(2, 3, 64, 64)", &values), "bytes of values");
    refuse(&npy("<f4", false, "(1000000000000, 3, 64, 64)", &values), "bytes of values");
    refuse(&npy("<f4", false, "(18446744073709551615, 3, 64, 64)", &values), "bytes of values");
    refuse(&npy("<f4", false, "(4294967296, 3, 4294967296, 4294967296)", &values), "4294967296");
    refuse(&npy("<f4", false, &format!("({})", "4294967296, ".repeat(3000)), &values), "expected [n, 3, 64, 64]");
    refuse(&npy("<f4", false, "(18446744073709551616, 3, 64, 64)", &values), "header");
    refuse(&npy("<f4", false, &"(".repeat(60_000), &values), "header");
    let good = folder.file("x.npy", &npy("<f4", false, "(1, 3, 64, 64)", &values));
    let arguments = arguments(&good);
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.extend(["--endpoint", "inception_9z/output"]);
    fail(&arguments, 2, "inception_9z/output");
    arguments.truncate(arguments.len() - 2);
    folder.file("y.npy", b"precious");
    fail(&arguments, 5, "y.npy");
    assert_eq!(fs::read(&output).expect("still there"), b"precious");
    arguments.push("--force");
    succeed(&arguments);
    assert_eq!(read_npy(&output).1.len(), 10);
}

#[test]
fn convert_keeps_the_numbers_and_what_the_file_says() {
    let folder = Folder::new();
    let output = folder.path("out.safetensors");
    succeed(&["convert", DEMONSTRATION, &output, "--mean", "1,2,3"]);
    fail(&["convert", DEMONSTRATION, &output], 5, "out.safetensors");
    let [before, after] = [DEMONSTRATION, &output].map(|file| json(&succeed(&["inspect", "--json", file])));
    assert_eq!(after["metadata"]["mean"], "1,2,3");
    for key in ["dialect", "input_side", "channels", "std", "resize", "labels"] {
        assert_eq!(after["metadata"][key], before["metadata"][key], "{key}");
    }
    // What is converted is not quantised, as the demonstration weights are.
    let is_own = |t: &&Value| [".weight", ".bias"].iter().any(|end| t["name"].as_str().expect("a name").ends_with(end));
    assert_eq!(after["tensors"].as_array().expect("tensors").len(), 116);
    let hashes = |file: &Value| {
        let tensors = file["tensors"].as_array().expect("tensors").iter().filter(is_own);
        let mut hashes: Vec<_> = tensors.map(|t| (t["name"].to_string(), t["hash"].to_string())).collect();
        hashes.sort();
        hashes
    };
    assert_eq!(hashes(&before), hashes(&after));
    assert_eq!(hashes(&before).len(), 116);
    let labels = folder.file("labels.txt", b"one\ntwo\n");
    fail(&["convert", DEMONSTRATION, &output, "--force", "--labels", &labels], 3, "2 labels for 10 classes");
}

#[test]
fn preprocess_writes_what_the_network_sees() {
    use googlenet::image::{self, Preset};
    let folder = Folder::new();
    let output = folder.path("x.npy");
    let photograph = image::open(PHOTOGRAPH).expect("the photograph");
    let mut expected = vec![0.0; 3 * 64 * 64];
    let model = googlenet::Model::open(DEMONSTRATION).expect("the demonstration weights");
    image::prepare(photograph.view(), model.rule(), 64, &mut expected).expect("prepared");
    for weights in [&[][..], &["--weights", DEMONSTRATION]] {
        succeed(&[&["preprocess", PHOTOGRAPH, &output, "--force"], weights].concat());
        let (header, values) = read_npy(&output);
        assert!(header.contains("'shape':(1,3,64,64"), "{header}");
        assert_eq!(values, expected);
    }
    // The file that `preprocess` wrote is what `run` takes.
    let result = folder.path("y.npy");
    let arguments = ["--input", &output, "--output", &result, "--endpoint", "prob"];
    succeed(&[&["run", "--weights", DEMONSTRATION], &arguments[..]].concat());
    let line = json(&succeed(&["classify", "--json", "--top", "1", PHOTOGRAPH]));
    let probability = line["top"][0]["probability"].as_f64().expect("a number");
    assert_eq!(f64::from(read_npy(&result).1[3]), probability);

    for preset in Preset::ALL {
        succeed(&["preprocess", PHOTOGRAPH, &output, "--force", "--preset", preset.name()]);
        let side = preset.side();
        let mut expected = vec![0.0; 3 * side * side];
        image::prepare(photograph.view(), &preset.rule(side), side, &mut expected).expect("prepared");
        assert_eq!(read_npy(&output).1, expected, "{}", preset.name());
    }
    succeed(&["preprocess", PHOTOGRAPH, &output, "--force", "--preset", "bvlc", "--side", "96"]);
    assert_eq!(read_npy(&output).1.len(), 3 * 96 * 96);

    fail(&["preprocess", PHOTOGRAPH, &output], 5, "x.npy");
    fail(&["preprocess", &folder.path("missing.png"), &folder.path("z.npy")], 4, "missing.png");
    fail(&["preprocess", PHOTOGRAPH, &output, "--preset", "caffe"], 2, "caffe");
    fail(&["preprocess", PHOTOGRAPH, &output, "--side", "96"], 2, "--preset");
    assert!(!Path::new(&folder.path("z.npy")).exists());
}

#[test]
fn many_crops_and_models_are_averaged() {
    let folder = Folder::new();
    let (x, y, other) = (folder.path("x.npy"), folder.path("y.npy"), folder.path("other"));
    write_weights(&other, &[("geometry", "warp")], 0.1);
    let mut all = vec![0.0; 10];
    for weights in [DEMONSTRATION, &other] {
        succeed(&["preprocess", PHOTOGRAPH, &x, "--weights", weights, "--crops", "10", "--force"]);
        let common = ["run", "--weights", weights, "--input", &x, "--output", &y, "--force"];
        succeed(&[&common[..], &["--endpoint", "prob"]].concat());
        let (header, values) = read_npy(&y);
        assert!(header.contains("'shape':(10,10"), "{header}");
        let mut mean = vec![0.0; 10];
        values.chunks(10).for_each(|crop| mean.iter_mut().zip(crop).for_each(|(sum, p)| *sum += p / 10.0));
        let classify = ["classify", "--json", "--weights", weights, PHOTOGRAPH, "--crops", "10", "--top", "10"];
        close(&json(&succeed(&classify)), &mean);
        all.iter_mut().zip(&mean).for_each(|(sum, p)| *sum += p / 2.0);
    }
    let weights = ["--weights", DEMONSTRATION, "--weights", &other];
    let both = [&["classify", "--json", PHOTOGRAPH, "--crops", "10", "--top", "10"], &weights[..]].concat();
    close(&json(&succeed(&both)), &all);
    let top = json(&succeed(&["classify", "--json", PHOTOGRAPH, "--crops", "144", "--top", "1"]));
    assert_eq!(top["top"][0]["label"], "cat");
    fail(&["classify", "--crops", "12", PHOTOGRAPH], 2, "144");
}

/// Asserts that a line of `classify` says the probabilities `expected`, but for the rounding of sums.
fn close(line: &Value, expected: &[f32]) {
    let top = line["top"].as_array().expect("top");
    assert_eq!(top.len(), expected.len());
    for prediction in top {
        let class = prediction["index"].as_u64().expect("a class") as usize;
        let probability = prediction["probability"].as_f64().expect("a number");
        assert!((probability - f64::from(expected[class])).abs() < 1e-6, "class {class}: {line}");
    }
}

#[test]
fn convert_stores_a_preset_and_classify_heeds_it() {
    use googlenet::image::{Geometry, Preset};
    let folder = Folder::new();
    let output = folder.path("out.safetensors");
    let rule = |arguments: &[&str]| {
        succeed(&[&["convert", DEMONSTRATION, &output, "--force"], arguments].concat());
        *googlenet::Model::open(&output).expect("converted").rule()
    };
    let own = *googlenet::Model::open(DEMONSTRATION).expect("the demonstration weights").rule();
    assert_eq!(rule(&[]), own, "a file that names no geometry keeps what it meant");
    for preset in Preset::ALL {
        assert_eq!(rule(&["--preset", preset.name()]), preset.rule(64));
    }
    let changed = rule(&["--preset", "bvlc", "--mean", "1", "--resize", "70"]);
    assert_eq!((changed.geometry, changed.mean, changed.resize), (Geometry::Warp, [1.0; 3], 70));
    assert_eq!(rule(&["--preset", "tf-slim"]).geometry, Geometry::TfSlim);
    // What the input's metadata say is kept where no option says anything else.
    let again = folder.path("again.safetensors");
    succeed(&["convert", &output, &again]);
    assert_eq!(*googlenet::Model::open(&again).expect("converted").rule(), Preset::TfSlim.rule(64));
    // `classify` prepares a picture as the metadata say, so that the same weights give other probabilities.
    write_weights(&folder.path("warp"), &[("geometry", "warp")], 0.0);
    write_weights(&folder.path("short"), &[], 0.0);
    let top = |weights: &str| json(&succeed(&["classify", "--json", "--weights", weights, PHOTOGRAPH]))["top"].clone();
    assert_ne!(top(&folder.path("warp")), top(&folder.path("short")));
    write_weights(&folder.path("wrong"), &[("geometry", "round")], 0.0);
    fail(&["classify", "--weights", &folder.path("wrong")], 3, "geometry");
}

#[test]
fn convert_writes_nothing_that_the_engine_refuses() {
    let folder = Folder::new();
    let output = folder.path("out.safetensors");
    fail(&["convert", DEMONSTRATION, &output, "--resize", "32"], 2, "resize");
    fail(&["convert", DEMONSTRATION, &output, "--side", "128", "--resize", "127"], 2, "resize");
    let wrong = [
        ("channels", "xyz"),
        ("mean", "foo"),
        ("std", "1,1,0"),
        ("resize", "63"),
        ("input_side", "31"),
        ("labels", "[1]"),
        ("labels", r#"["one","two"]"#),
    ];
    for (i, (key, value)) in wrong.into_iter().enumerate() {
        let name = format!("wrong{i}");
        write_weights(&folder.path(&name), &[(key, value)], 0.0);
        fail(&["convert", &folder.path(&name), &output], 3, &name);
        fail(&["classify", "--weights", &folder.path(&name)], 3, &name);
    }
    assert!(!Path::new(&output).exists());
    // The value of an option counts instead of the one in the file.
    succeed(&["convert", &folder.path("wrong0"), &output, "--channels", "rgb"]);
    succeed(&["classify", "--weights", &output]);
}

#[test]
fn labels_are_shown_without_what_would_move_the_cursor() {
    let folder = Folder::new();
    let path = folder.path("w");
    let labels: Vec<_> = (0..10).map(|i| format!("cat's \u{1b}[2J\n\u{202e}{i}")).collect();
    write_weights(&path, &[("labels", &serde_json::json!(labels).to_string()), ("\u{1b}[2J", "a\tb")], 0.0);
    let text = succeed(&["classify", "--weights", &path]);
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(text.contains("cat's \\u{1b}[2J\\n\\u{202e}"), "{text}");
    let text = succeed(&["inspect", &path]);
    assert!(text.contains("\\u{1b}[2J: a\\tb\n"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn sessions_too_large_are_refused() {
    fail(&["bench", "--batch", "4096", "--side", "4096"], 2, "4096x4096");
    fail(&["plan", "--batch", "5", "--side", "4096"], 2, "batch 5");
}

#[cfg(unix)]
#[test]
fn files_without_an_end_are_refused() {
    let folder = Folder::new();
    let output = folder.path("out");
    fail(&["classify", "/dev/zero"], 4, "/dev/zero");
    fail(&["classify", "--weights", "/dev/zero"], 3, "/dev/zero");
    fail(&["convert", "/dev/zero", &output], 3, "/dev/zero");
    fail(&["convert", DEMONSTRATION, &output, "--labels", "/dev/zero"], 3, "/dev/zero");
    assert!(folder.entries().is_empty());
}

#[test]
fn a_file_of_one_letter_is_named() {
    let folder = Folder::new();
    folder.file("w", b"");
    let mut command = Command::new(env!("CARGO_BIN_EXE_googlenet"));
    let output = command.args(["inspect", "w"]).current_dir(folder.0.path()).output().expect("the command starts");
    assert_eq!(output.status.code(), Some(3));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("error: w: weights are cut off"), "{stderr}");
}

/// The first megabyte of the input goes into a pipe that holds less. So by the time that the output appears, the
/// command has begun to read, and has seen that there was no output.
#[cfg(unix)]
#[test]
fn an_output_that_appears_while_the_input_is_read_is_kept() {
    let folder = Folder::new();
    let output = folder.path("out.safetensors");
    let weights = fs::read(DEMONSTRATION).expect("the demonstration weights");
    let mut command = Command::new(env!("CARGO_BIN_EXE_googlenet"));
    command.args(["convert", "/dev/stdin", &output]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(&weights[..1 << 20]).expect("it reads");
    folder.file("out.safetensors", b"precious");
    stdin.write_all(&weights[1 << 20..]).expect("it reads on");
    drop(stdin);
    let ended = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains("--force") && stderr.lines().count() == 1, "{stderr}");
    assert_eq!(fs::read(&output).expect("still there"), b"precious");
    assert_eq!(folder.entries().len(), 1);
}

#[test]
fn weights_that_f16_cannot_hold_are_not_converted() {
    let folder = Folder::new();
    let output = folder.path("out.safetensors");
    let large = folder.path("large.safetensors");
    write_weights(&large, &[], 1e9);
    fail(&["convert", "--f16", &large, &output], 3, "too large for f16");
    assert_eq!(folder.entries().len(), 1);
}

#[test]
fn convert_says_which_network_it_found_and_what_is_not_finite() {
    let folder = Folder::new();
    let (odd, output) = (folder.path("odd.safetensors"), folder.path("out.safetensors"));
    write_weights(&odd, &[], f32::NAN);
    let ended = googlenet(&["convert", &odd, &output]);
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && stderr.contains("warning: 1 values are NaN or infinite"), "{stderr}");
    assert!(stderr.contains(": bvlc, 116 tensors, "), "{stderr}");
    let arguments = ["convert", DEMONSTRATION, &output, "--force", "--dialect", "torchvision"];
    fail(&arguments, 3, "dialect \"bvlc\", expected torchvision");
    fail(&["convert", "a", "b", "--dialect", "caffe"], 2, "onnx-zoo");
    assert!(succeed(&["cost", "--dialect", "torchvision"]).contains("6.62 M parameters"));
}

/// Only a file is replaced by a file.
#[test]
#[cfg(unix)]
fn force_replaces_no_pipe_device_or_link() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    let (pipe, device, nowhere) = (folder.path("pipe"), folder.path("device"), folder.path("nowhere"));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is there").success());
    symlink("/dev/null", &device).expect("made");
    symlink("missing", &nowhere).expect("made");
    for output in [&pipe, &device, &nowhere] {
        fail(&["convert", DEMONSTRATION, output, "--force"], 2, "not replaced");
    }
    fail(&["run", "--weights", DEMONSTRATION, "--input", &pipe, "--output", &folder.path("out")], 4, "is a pipe");
    let (target, link) = (folder.file("target", b"old"), folder.path("link"));
    symlink("target", &link).expect("made");
    fail(&["convert", DEMONSTRATION, &link], 5, "exists");
    succeed(&["convert", DEMONSTRATION, &link, "--force"]);
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    succeed(&["inspect", &target]);
}

#[test]
fn what_is_no_probability_is_not_printed_as_one() {
    let folder = Folder::new();
    let weights = folder.path("nan");
    write_weights(&weights, &[], f32::NAN);
    fail(&["classify", "--weights", &weights, PHOTOGRAPH], 3, "no probabilities");
    fail(&["classify", "--json", "--weights", &weights, PHOTOGRAPH], 3, "no probabilities");
}

#[test]
fn inspect_counts_nan_in_any_valid_file() {
    use googlenet::weights::{Dtype, NewTensor, write};
    let folder = Folder::new();
    let path = folder.path("odd.safetensors");
    let new = |name, shape, dtype, values: &'static [f32]| NewTensor { name, shape, dtype, values: values.into() };
    let tensors = [
        new("some", &[2, 2][..], Dtype::F32, &[f32::NAN, -1.5, f32::NAN, 2.0]),
        new("all", &[1], Dtype::F16, &[f32::NAN]),
        new("scalar", &[], Dtype::F32, &[f32::INFINITY]),
    ];
    write(&path, &Default::default(), &tensors, false).expect("written");
    let text = succeed(&["inspect", &path]);
    assert!(text.contains("2 NaN") && text.ends_with("3 tensors, 3 NaN\n"), "{text}");
    let file = json(&succeed(&["inspect", "--json", &path]));
    let of = |key: &str| -> Vec<Value> {
        file["tensors"].as_array().expect("tensors").iter().map(|tensor| tensor[key].clone()).collect()
    };
    assert_eq!(of("nan"), [2, 1, 0]);
    assert_eq!(of("min"), [(-1.5).into(), Value::Null, Value::Null]);
    assert_eq!(of("max"), [2.0.into(), Value::Null, Value::Null]);
    write(&path, &Default::default(), &[], true).expect("written");
    assert!(succeed(&["inspect", &path]).ends_with("0 tensors, 0 NaN\n"));
}

#[test]
fn bench_measures_and_names_what_it_measured() {
    let line = json(&succeed(&["bench", "--json", "--runs", "3", "--batch", "2", "--threads", "2", "--layers"]));
    assert_eq!((&line["batch"], &line["threads"]), (&2.into(), &2.into()));
    for key in ["median_ms", "min_ms", "p90_ms", "fma_peak_gmacs", "share_of_peak"] {
        assert!(line[key].as_f64().is_some_and(|value| value > 0.0), "{key}");
    }
    assert!(line["isa"].is_string() && !line["layers"].as_array().expect("layers").is_empty());
    assert!(succeed(&["bench", "--runs", "1"]).contains("GMAC/s"));
}

#[test]
fn packed_weights_are_used_in_place_and_said_to_be() {
    let folder = Folder::new();
    let (packed, portable) = (folder.path("packed"), folder.path("portable"));
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors");
    succeed(&["pack", demo, &packed]);
    fail(&["pack", demo, &packed], 5, "exists");
    fail(&["pack", demo, &portable, "--isa", "sse9"], 2, "sse9");
    succeed(&["pack", demo, &portable, "--isa", "portable"]);
    let said = |file: &str| String::from_utf8(googlenet(&["classify", "--verbose", "--weights", file]).stderr).unwrap();
    assert!(said(&packed).contains("used where they lie"));
    assert!(said(demo).contains("packed in memory"));
    assert!(succeed(&["inspect", &packed]).contains("packed for this machine"));
    for file in [&packed, &portable] {
        assert!(succeed(&["inspect", "--repack", file]).ends_with("equal, bit for bit\n"));
        assert_eq!(json(&succeed(&["inspect", "--repack", "--json", file]))["repacked"], "equal");
    }
    fail(&["inspect", "--repack", demo], 3, "not packed");
    fail(&["inspect", "--repack", "--side", "224", &packed], 3, "cannot pack");
    assert_eq!(json(&succeed(&["inspect", "--json", demo]))["packing_fits"], Value::Null);
    // If the machine has the portable set alone, that is its best one.
    let best = json(&succeed(&["bench", "--json", "--runs", "1", "--weights", &portable]));
    assert_eq!(best["isa"] == "portable", said(&portable).contains("used where they lie"));
    assert!(best["open_ms"].as_f64() > Some(0.0));
}

/// The file says which network it is: no subcommand needs a switch for it.
#[test]
fn another_network_is_run_as_the_file_says() {
    use googlenet::model::Dialect;
    use googlenet::weights::{Dtype, NewTensor, write};
    let folder = Folder::new();
    let weights = folder.path("caffenet");
    let parameters = Dialect::Caffenet.network(3).parameters();
    // What a tensor's elements are made of repeats, but no two rows begin at the same place.
    let value = |i: usize, scale: f32| ((i % 65_521) as f32 * 0.618_034).fract().mul_add(2.0, -1.0) * scale;
    let tensors: Vec<_> = parameters
        .iter()
        .map(|(name, shape)| {
            let (n, row): (usize, usize) = (shape.iter().product(), shape[1..].iter().product());
            let scale = (6.0 / row as f32).sqrt();
            let values: Vec<f32> = (0..n).map(|i| value(i, scale)).collect();
            NewTensor { name, shape, dtype: Dtype::F16, values: values.into() }
        })
        .collect();
    let keys = [
        ("dialect", "caffenet"),
        ("input_side", "227"),
        ("channels", "bgr"),
        ("mean", "104,117,123"),
        ("std", "1,1,1"),
        ("resize", "256"),
        ("geometry", "warp"),
        ("labels", r#"["a","b","c"]"#),
    ];
    let metadata = keys.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    write(&weights, &metadata, &tensors, false).expect("written");
    drop(tensors);

    let lines = succeed(&["classify", "--weights", &weights, "--json", "--top", "3"]);
    let top = json(lines.lines().next().expect("a line"));
    let sum: f64 = top["top"].as_array().expect("classes").iter().map(|c| c["probability"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-4, "{top}");
    let (input, output) = (folder.path("x.npy"), folder.path("y.npy"));
    succeed(&["preprocess", PHOTOGRAPH, &input, "--weights", &weights]);
    assert!(read_npy(&input).0.contains("'shape':(1,3,227,227"));
    let run = ["run", "--weights", &weights, "--input", &input, "--output", &output, "--endpoint", "fc7"];
    succeed(&run);
    let (header, features) = read_npy(&output);
    assert!(header.contains("'shape':(1,4096,1,1") && features.iter().any(|&x| x > 0.0), "{header}");
    assert!(succeed(&["plan", "--weights", &weights]).starts_with("krizhevsky (caffenet), side 227"));
    assert_eq!(json(&succeed(&["inspect", "--json", &weights]))["metadata"]["dialect"], "caffenet");
    let bench = json(&succeed(&["bench", "--weights", &weights, "--runs", "1", "--json"]));
    assert_eq!((&bench["side"], &bench["multiply_adds"]), (&227.into(), &(724_406_816_u64 - 997 * 4096).into()));
    fail(&["bench", "--weights", &weights, "--side", "128"], 2, "made for the input side 227, not 128");
    let classes = folder.path("pictures");
    fs::create_dir_all(format!("{classes}/b")).expect("a folder");
    fs::copy(PHOTOGRAPH, format!("{classes}/b/cat.png")).expect("copied");
    let judged = json(&succeed(&["eval", &classes, "--weights", &weights, "--json"]));
    assert_eq!(judged["pictures"], 1, "{judged}");
    // What is converted again keeps its network, and no side is stored at which it cannot run.
    let again = folder.path("again");
    fail(&["convert", &weights, &again, "--side", "128"], 2, "are made for 227");
    succeed(&["convert", &weights, &again, "--f16"]);
    assert_eq!(json(&succeed(&["inspect", "--json", &again]))["metadata"]["resize"], "256");
}

#[test]
fn plan_names_every_layer() {
    let text = succeed(&["plan", "--threads", "2"]);
    let cost = succeed(&["cost", "--side", "64", "--classes", "10", "--json"]);
    let cost: Value = serde_json::from_str(&cost).expect("JSON");
    let mut planned: Vec<&str> = Vec::new();
    let mut phases = Vec::new();
    let mut lines = text.lines().skip(2);
    while let Some(line) = lines.next() {
        if let Some(phase) = line.strip_prefix("phase ") {
            phases.push(phase.parse::<usize>().expect("a number"));
            continue;
        }
        planned.extend(line.trim().split(" + "));
        let step = lines.next().expect("a step has a second line");
        assert!(step.contains(" -> ") && step.contains(" tasks, at byte "), "{step}");
    }
    assert!(phases.iter().copied().eq(0..phases.len()), "{phases:?}");
    let layers = cost["layers"].as_array().expect("layers");
    for layer in layers {
        let name = layer["name"].as_str().expect("a name");
        // A layer is planned as two steps if threads share its transformed inputs.
        let count = planned.iter().filter(|&&planned| planned == name).count();
        assert!((1..=2).contains(&count), "{name} is planned {count} times");
    }
    assert!(planned.len() < 2 * layers.len());
    // These are shapes of Caffe's model at this side.
    for shapes in [
        "3x64x64 f32 -> 64x16x16 f32",
        "64x16x16 f32 -> 192x16x16 f32",
        "480x4x4 f32 -> 304x4x4 f32",
        "1024x1x1 f32 -> 10x1x1 f32",
    ] {
        assert!(text.contains(shapes), "{shapes}");
    }
}
