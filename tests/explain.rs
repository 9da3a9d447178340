//! Tests `googlenet explain` and `googlenet filters` as a user meets them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use googlenet::Model;
use googlenet::model::Dialect;
use googlenet::weights::{Dtype, NewTensor, Weights, write};
use serde_json::Value;
use tempfile::tempdir;

#[path = "network/tensors.rs"]
mod tensors;

const PHOTOGRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/chelsea.png");
const DEMONSTRATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors");
/// The cat's head on the photograph of 451x300 pixels: its left, upper, right and lower edge.
const CAT: [f64; 4] = [20.0, 0.0, 375.0, 300.0];

fn googlenet(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_googlenet"));
    command.args(arguments).env_remove("GOOGLENET_ISA").output().expect("the command starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Runs `explain`, which must succeed. Returns what it printed, the JSON and the page.
fn explain(out: &Path, more: &[&str]) -> (String, Value, String) {
    let output = googlenet(&[&["explain", "--out", text(out)], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json = serde_json::from_slice(&fs::read(out.join("explain.json")).expect("read")).expect("JSON");
    let page = fs::read_to_string(out.join("index.html")).expect("UTF-8");
    assert_eq!(fs::read_dir(out).expect("a folder").count(), 2, "nothing else is left behind");
    (String::from_utf8(output.stdout).expect("UTF-8"), json, page)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|value| value.as_f64().expect("a number")).collect()
}

/// The tags of a page nest, and nothing in it is asked of elsewhere.
fn check_page(page: &str) {
    const EMPTY: [&str; 3] = ["meta", "img", "br"];
    let (mut open, mut rest) = (Vec::new(), page.strip_prefix("<!DOCTYPE html>").expect("HTML"));
    while let Some(at) = rest.find('<') {
        let end = at + rest[at..].find('>').expect("tags end");
        let tag = &rest[at + 1..end];
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "</{name}>"),
            None => {
                let name = tag.split_whitespace().next().expect("a name");
                if !EMPTY.contains(&name) {
                    open.push(name);
                }
                assert!(name != "img" || tag.starts_with("img src=\"data:image/"), "{}", &tag[..60.min(tag.len())]);
            }
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
    for word in ["http:", "https:", "<script", "<link", "url("] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn the_photograph_is_explained() {
    let out = tempdir().expect("a folder");
    let (printed, json, page) = explain(out.path(), &[]);
    assert!(printed.contains("76.18 %     3  cat") && printed.contains("index.html"), "{printed}");
    assert_eq!((&json["network"], &json["size"]), (&"googlenet".into(), &serde_json::json!([451, 300])));
    // The short side becomes 64 pixels, and the middle of the long one is seen.
    let window = numbers(&json["window"]);
    assert!((window[0] - 75.0).abs() < 3.0 && window[1] == 0.0 && (window[2] - 300.0).abs() < 3.0, "{window:?}");

    // A class map's mean and bias are the logit, and the logits' shares are the probabilities.
    for (class, map) in json["top"].as_array().expect("a list").iter().zip(json["class_maps"].as_array().expect("maps"))
    {
        let values = numbers(&map["values"]);
        let logit = values.iter().sum::<f64>() / values.len() as f64 + map["bias"].as_f64().expect("a number");
        assert!((logit - class["logit"].as_f64().expect("a number")).abs() < 1e-4, "{map}");
        assert_eq!(map["index"], class["index"]);
    }
    let [x, y] = numbers(&json["class_maps"][0]["centre_of_mass"])[..] else { panic!("a point") };
    assert!(x > CAT[0] && x < CAT[2] && y > CAT[1] && y < CAT[3], "{x}, {y}");

    // Hiding some part of the cat makes it less likely, and where nothing that matters is hidden it stays.
    let hidden = &json["occlusion"]["classes"][0];
    let rows = hidden["probabilities"].as_array().expect("rows");
    let probabilities: Vec<f64> = rows.iter().flat_map(numbers).collect();
    assert_eq!((rows.len(), probabilities.len(), &hidden["index"]), (14, 196, &3.into()));
    let (least, most) = probabilities.iter().fold((1.0_f64, 0.0_f64), |(a, b), &p| (a.min(p), b.max(p)));
    assert!(least < 0.3 && most > 0.7, "{least} {most}");

    let layers = json["layers"].as_array().expect("a list");
    assert_eq!((layers.len(), &layers[8]["name"]), (9, &"inception_5b".into()));
    for layer in layers {
        let share = layer["zero_share"].as_f64().expect("a number");
        assert!((0.2..1.0).contains(&share), "{layer}");
        let strongest = layer["strongest"].as_array().expect("a list");
        let largest: Vec<f64> = strongest.iter().map(|c| c["largest"].as_f64().expect("a number")).collect();
        assert!(largest.len() == 12 && largest.is_sorted_by(|a, b| a >= b));
        let name = layer["name"].as_str().expect("a name");
        assert!(strongest.iter().all(|c| c["layer"].as_str().is_some_and(|own| own.starts_with(name))), "{layer}");
    }
    assert_eq!(
        (&json["heads_absent"], json["heads"].as_array().map(Vec::len)),
        (&serde_json::json!(["loss1", "loss2"]), Some(1))
    );

    check_page(&page);
    for word in
        ["chelsea.png (built in)", "cat: 76.2\u{a0}%", "these weights lack them", "inception_3a", "loss3/classifier"]
    {
        assert!(page.contains(word), "{word}");
    }
    // The picture, two maps a class, the square; 12 channels of 9 modules; the filters.
    assert_eq!(page.matches("src=\"data:image/jpeg;base64,").count(), 8);
    assert_eq!(page.matches("src=\"data:image/png;base64,").count(), 109);
}

/// What `explain` says of a module is counted in what `run` gives for the same picture.
#[test]
fn shares_of_zeros_are_those_of_what_run_writes() {
    let out = tempdir().expect("a folder");
    let (_, json, _) = explain(out.path(), &["--top", "1"]);
    let [x, y] = ["x.npy", "y.npy"].map(|name| out.path().join(name));
    let run = [
        "run",
        "--weights",
        DEMONSTRATION,
        "--input",
        text(&x),
        "--output",
        text(&y),
        "--endpoint",
        "inception_4c/output",
    ];
    for arguments in [&["preprocess", PHOTOGRAPH, text(&x)][..], &run] {
        assert!(googlenet(arguments).status.success());
    }
    let mut file = fs::File::open(&y).expect("opened");
    let header = googlenet::npy::Header::read(&mut file).expect("a header");
    let mut values = vec![0.0; header.shape.iter().product::<u64>() as usize];
    header.read_values(&mut file, &mut values).expect("values");
    let zeros = values.iter().filter(|&&value| value == 0.0).count() as f64 / values.len() as f64;
    let layer = &json["layers"][4];
    assert_eq!((layer["name"].as_str(), layer["zero_share"].as_f64()), (Some("inception_4c"), Some(zeros)));
    let plane = (header.shape[2] * header.shape[3]) as usize;
    let strongest = &layer["strongest"][0];
    let channel = strongest["channel"].as_u64().expect("a number") as usize;
    let largest = values[channel * plane..][..plane].iter().copied().fold(0.0, f32::max);
    assert_eq!(strongest["largest"].as_f64(), Some(f64::from(largest)));
    assert_eq!(largest, values.iter().copied().fold(0.0, f32::max));
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let outs = [(); 2].map(|()| tempdir().expect("a folder"));
    let [(_, one, a), (_, three, b)] =
        [(&outs[0], "1"), (&outs[1], "3")].map(|(out, n)| explain(out.path(), &["--threads", n]));
    assert!(one == three && a == b);
}

/// Writes random weights of `network` for inputs of 64 pixels, without labels, prepared in that order of channels.
fn write_random(path: &Path, network: &googlenet::model::Network, channels: &str, std: &str) {
    let tensors = tensors::random_tensors(network);
    let tensors: Vec<_> = tensors
        .iter()
        .map(|(name, shape, values)| NewTensor { name, shape, dtype: Dtype::F32, values: values.into() })
        .collect();
    let keys = [
        ("dialect", network.dialect.name()),
        ("channels", channels),
        ("mean", "104,117,123"),
        ("std", std),
        ("resize", "64"),
        ("input_side", "64"),
    ];
    let metadata: BTreeMap<String, String> = keys.map(|(key, value)| (key.into(), value.into())).into();
    write(path, &metadata, &tensors, false).expect("written");
}

#[test]
fn heads_have_opinions_and_classes_without_labels_have_numbers() {
    let folder = tempdir().expect("a folder");
    let [weights, fixed] = ["w", "fixed"].map(|name| folder.path().join(name));
    write_random(&weights, &Dialect::Torchvision.network_with_heads(5), "rgb", "1,1,1");
    let (_, json, page) = explain(&folder.path().join("out"), &["--weights", text(&weights), PHOTOGRAPH, "--top", "2"]);
    let heads = json["heads"].as_array().expect("a list");
    let names: Vec<&str> = heads.iter().map(|head| head["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["loss1", "loss2", "loss3/classifier"]);
    assert_eq!((&heads[0]["after"], &heads[2]["after"]), (&"inception_4a".into(), &Value::Null));
    for head in heads {
        let top = head["top"].as_array().expect("a list");
        let sum: f64 = top.iter().map(|class| class["probability"].as_f64().expect("a number")).sum();
        assert!(top.len() == 3 && sum > 0.0 && sum < 1.0001, "{head}");
    }
    assert_eq!(heads[2]["top"][0]["index"], json["top"][0]["index"]);
    check_page(&page);
    assert!(
        page.contains("behind <code>inception_4a</code>") && page.contains(">class ") && !page.contains("lack them")
    );

    // Heads that are made for another side are said not to run.
    write_random(&fixed, &Dialect::Bvlc.network_with_heads(5).keep_heads(&["loss1"]), "bgr", "1,1,1");
    let (_, json, page) = explain(&folder.path().join("other"), &["--weights", text(&fixed), PHOTOGRAPH]);
    assert_eq!(
        (&json["heads_absent"], &json["heads_unfit"]),
        (&serde_json::json!(["loss2"]), &serde_json::json!(["loss1"]))
    );
    assert!(page.contains("do not run at 64"));
}

/// A name that would be HTML is shown as text.
#[cfg(unix)]
#[test]
fn a_hostile_name_is_only_a_name() {
    let folder = tempdir().expect("a folder");
    let hostile = folder.path().join("\"'><img src=x onerror=alert(1)>&amp;\u{202e}\n.png");
    fs::copy(PHOTOGRAPH, &hostile).expect("copied");
    let (printed, json, page) = explain(&folder.path().join("out"), &[text(&hostile), "--top", "1"]);
    assert_eq!(json["image"], text(&hostile));
    assert!(!printed.contains('\u{202e}') && !page.contains("<img src=x") && page.contains("&lt;img src=x"));
    check_page(&page);
}

#[test]
fn what_cannot_be_explained_is_an_error_and_leaves_nothing() {
    let folder = tempdir().expect("a folder");
    let out = folder.path().join("out");
    let fail = |more: &[&str], code: i32, word: &str| {
        let output = googlenet(&[&["explain", "--out", text(&out)], more].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(
            stderr.lines().last().is_some_and(|line| line.starts_with("error: ") && line.contains(word)),
            "{stderr}"
        );
        assert!(output.stdout.is_empty() && !out.exists());
    };
    fail(&["none.png"], 4, "none.png");
    fail(&["--top", "0"], 2, "from 1 to 20");
    fail(&["--weights", "none"], 3, "none");
    // A weight that is no number.
    let weights = Weights::open(DEMONSTRATION).expect("the demonstration weights");
    let mut tensors: Vec<_> = weights
        .tensors()
        .map(|t| NewTensor { name: t.name(), shape: t.shape(), dtype: Dtype::F32, values: t.to_f32() })
        .collect();
    tensors[0].values.to_mut()[0] = f32::NAN;
    let path = folder.path().join("nan");
    write(&path, weights.metadata(), &tensors, false).expect("written");
    fail(&["--weights", text(&path)], 3, "NaN or infinite");
    let filters = googlenet(&["filters", text(&folder.path().join("f.png")), "--weights", text(&path)]);
    assert_eq!(filters.status.code(), Some(3));

    explain(&out, &["--top", "1"]);
    let output = googlenet(&["explain", "--out", text(&out)]);
    assert_eq!(output.status.code(), Some(5));
    explain(&out, &["--top", "1", "--force"]);
}

/// Every filter's colours are its weights, in the order of colours that the file says, by the scale of its largest.
#[test]
fn filters_have_the_colours_of_their_weights() {
    let folder = tempdir().expect("a folder");
    let random = folder.path().join("w");
    write_random(&random, &Dialect::Bvlc.network(3), "bgr", "1,2,4");
    for (path, order) in [(Path::new(DEMONSTRATION), [0, 1, 2]), (random.as_path(), [2, 1, 0])] {
        let drawn = folder.path().join("f.png");
        let output = googlenet(&["filters", text(&drawn), "--weights", text(path), "--zoom", "2", "--force"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).ends_with("64 filters of 7x7, 8 a row\n"));
        let picture = image::open(&drawn).expect("a picture").to_rgba8();
        assert_eq!(picture.dimensions(), (8 * 15 + 1, 8 * 15 + 1));
        let model = Model::open(path).expect("weights");
        let weights = model.weights().tensor("conv1/7x7_s2.weight").expect("the first layer's").to_f32();
        for (index, filter) in weights.chunks_exact(3 * 49).enumerate() {
            let weight = |c: usize, at: usize| f64::from(filter[c * 49 + at] / model.rule().std[c]);
            let largest = (0..147).map(|i| weight(i / 49, i % 49).abs()).fold(0.0, f64::max);
            for (y, x) in (0..7).flat_map(|y| (0..7).map(move |x| (y, x))) {
                let (left, top) = (1 + index % 8 * 15 + 2 * x, 1 + index / 8 * 15 + 2 * y);
                for (dx, dy) in [(0, 0), (1, 1)] {
                    let pixel = picture.get_pixel((left + dx) as u32, (top + dy) as u32).0;
                    for (shown, c) in pixel.into_iter().zip(order) {
                        let expected = 127.5 + 127.5 * weight(c, y * 7 + x) / largest;
                        assert!(
                            (f64::from(shown) - expected).abs() < 0.51,
                            "filter {index} at {y}, {x}: {shown} {expected}"
                        );
                    }
                    assert_eq!(pixel[3], 255);
                }
            }
        }
        assert_eq!(picture.get_pixel(0, 0).0[3], 0, "what is between filters is transparent");
    }
}
