//! Tests `googlenet eval` as a user meets it, on pictures made of the photograph: mirrored, dimmed, brightened, with
//! less contrast.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use googlenet::image::{Crops, Cuts, Rgb8};
use googlenet::model::{Dialect, Network};
use googlenet::npy::write_header;
use googlenet::weights::{Dtype, NewTensor, write};
use serde_json::{Value, json};

#[path = "network/tensors.rs"]
mod tensors;

const DEMONSTRATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors");
const PHOTOGRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/chelsea.png");
/// The labels of the demonstration weights' classes, in the order of the network's output.
const LABELS: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

fn googlenet(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_googlenet"));
    command.args(arguments).env_remove("GOOGLENET_ISA");
    command
}

fn eval(arguments: &[&str]) -> Output {
    googlenet(&[&["eval", "--threads", "2"], arguments].concat()).output().expect("the command starts")
}

/// Runs `googlenet eval`, which must succeed, but for pictures that it says could not be used, and returns its stdout.
fn succeed(arguments: &[&str]) -> String {
    let output = eval(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let partial = stderr.ends_with(" could not be used\n");
    assert_eq!(output.status.code(), Some(if partial { 4 } else { 0 }), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(&[arguments, &["--json"]].concat())).expect("JSON")
}

/// Runs `googlenet eval`, which must end with the exit status `code` and an error that contains `word` as its last line
/// on stderr.
fn fail(arguments: &[&str], code: i32, word: &str) {
    let output = eval(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    let last = stderr.lines().last().expect("an error");
    assert!(last.starts_with("error: ") && last.contains(word), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?} printed results");
}

/// A folder of five pictures of the cat, in folders named after the classes in `truth` by turns, and of one file that
/// is no picture.
fn folder(truth: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let photograph = image::open(PHOTOGRAPH).expect("the photograph");
    let pictures = [
        photograph.clone(),
        photograph.fliph(),
        photograph.brighten(-20),
        photograph.brighten(20),
        photograph.adjust_contrast(-10.0),
    ];
    for (i, (picture, class)) in pictures.iter().zip(truth.iter().cycle()).enumerate() {
        let class = folder.path().join(class);
        fs::create_dir_all(&class).expect("made");
        picture.save(class.join(format!("{i}.png"))).expect("saved");
    }
    fs::write(folder.path().join(truth[0]).join("broken.jpg"), b"no picture").expect("written");
    folder
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().expect("UTF-8").into()
}

/// What `classify` says of the same pictures is what `eval` counts.
#[test]
fn counts_are_those_of_classify() {
    let folder = folder(&["cat", "dog", "cat", "cat", "cat"]);
    let at = folder.path().to_str().expect("UTF-8");
    for crops in ["1", "10"] {
        let report = json(&[at, "--crops", crops]);
        let (mut first, mut fifth, mut apart) = (0, 0, [(0.0, 0.0); 15]);
        for (i, class) in ["cat", "dog", "cat", "cat", "cat"].iter().enumerate() {
            let picture = path(folder.path(), &format!("{class}/{i}.png"));
            let output = googlenet(&["classify", "--json", "--crops", crops, &picture]).output().expect("started");
            let line: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let top = line["top"].as_array().expect("top");
            let is_first = top[0]["label"] == **class;
            first += usize::from(is_first);
            fifth += usize::from(top.iter().any(|prediction| prediction["label"] == **class));
            let confidence = top[0]["probability"].as_f64().expect("a number");
            let bin = &mut apart[((confidence * 15.0) as usize).min(14)];
            *bin = (bin.0 + confidence, bin.1 + f64::from(u8::from(is_first)));
        }
        let error: f64 = apart.iter().map(|(confidence, right)| (confidence - right).abs()).sum::<f64>() / 5.0;
        assert_eq!(report["pictures"], 5);
        assert_eq!(report["top1"], first as f64 / 5.0);
        assert_eq!(report["top5"], fifth as f64 / 5.0);
        assert!((report["calibration_error"].as_f64().expect("a number") - error).abs() < 1e-6);
        assert!(report["images_per_second"].as_f64().expect("a number") > 0.0);
        assert_eq!(report["crops"].to_string(), crops);
        // The picture of the cat that stands in the folder `dog` is taken for a cat, as the other four are.
        assert_eq!((&report["classes"][0]["class"], &report["classes"][0]["pictures"]), (&3.into(), &4.into()));
        let dog = &report["classes"][1];
        assert_eq!((&dog["label"], &dog["top1"]), (&"dog".into(), &0.into()));
        assert_eq!(dog["taken_for"][0]["label"], "cat");
        assert_eq!(report["worst"][0], 5);
        let unreadable = report["unreadable"].as_array().expect("a list");
        assert_eq!(unreadable.len(), 1);
        assert!(unreadable[0]["image"].as_str().expect("a name").ends_with("broken.jpg"));
    }
    let two = json(&[at, "--weights", DEMONSTRATION, "--weights", DEMONSTRATION]);
    let one = json(&[at]);
    assert_eq!((&two["models"], &two["calibration_error"]), (&2.into(), &one["calibration_error"]));
}

/// A pipe would be waited for without end, were it opened.
#[test]
#[cfg(unix)]
fn a_pipe_that_is_named_like_a_picture_is_named_and_passed_over() {
    let folder = folder(&["cat"]);
    let pipe = path(folder.path(), "cat/pipe.jpg");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is there").success());
    let at = folder.path().to_str().expect("UTF-8");
    let output = eval(&[at, "--json"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.lines().any(|line| line.ends_with("pipe.jpg is a pipe, expected a file")), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&report["pictures"], report["unreadable"].as_array().map(Vec::len)), (&5.into(), Some(2)));
    fail(&[at, "--weights", &pipe], 3, "is a pipe");
    fail(&[at, "--journal", &pipe], 2, "not a journal");
}

#[test]
fn text_and_csv_say_it_too_and_unreadable_pictures_are_named() {
    let folder = folder(&["cat"]);
    let at = folder.path().to_str().expect("UTF-8");
    let output = eval(&[at]);
    assert_eq!(output.status.code(), Some(4));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.ends_with("error: 1 of 6 pictures could not be used\n"), "{stderr}");
    assert!(stderr.lines().any(|line| line.starts_with("error: ") && line.contains("broken.jpg")), "{stderr}");
    let text = String::from_utf8_lossy(&output.stdout);
    for part in ["5 pictures, 1 crop, 1 model\n", "top-1        ", "unreadable        1\n", " images/s\n"] {
        assert!(text.contains(part), "{part:?}: {text}");
    }
    // What it amounts to comes first, and every class only if that is asked for.
    assert!(text.starts_with("5 pictures") && !text.contains("class  pictures"), "{text}");
    let text = succeed(&[at, "--per-class"]);
    assert!(
        text.starts_with("5 pictures") && text.contains("\nclass  pictures  top-1  top-5  label\n    3         5"),
        "{text}"
    );
    let csv = succeed(&[at, "--csv"]);
    assert_eq!(csv.lines().next(), Some("class,id,label,pictures,top1,top5,taken_for,times"));
    assert!(csv.lines().nth(1).expect("a row").starts_with("3,,\"cat\",5,"), "{csv}");
}

#[test]
fn classes_are_named_by_folders_synset_ids_and_lists() {
    let by_label = folder(&["cat"]);
    let expected = json(&[by_label.path().to_str().expect("UTF-8")]);
    let work = tempfile::tempdir().expect("a folder");
    let labels: String = (0..10).map(|i| format!("n0000000{i} {}\n", LABELS[i])).collect();
    let list = path(work.path(), "labels.txt");
    fs::write(&list, labels).expect("written");

    let by_id = folder(&["n00000003_a_cat"]);
    let by_number = folder(&["3"]);
    let flat = tempfile::tempdir().expect("a folder");
    let mut lines = String::new();
    for entry in fs::read_dir(by_label.path().join("cat")).expect("a folder") {
        let from = entry.expect("an entry").path();
        let name = from.file_name().expect("a name").to_str().expect("UTF-8");
        fs::copy(&from, flat.path().join(format!("n00000003_{name}"))).expect("copied");
        lines += &format!("n00000003_{name} n00000003\n");
    }
    fs::write(flat.path().join("list.txt"), lines).expect("written");
    let list_file = path(flat.path(), "list.txt");
    for folder in [by_id.path(), by_number.path(), flat.path(), Path::new(&list_file)] {
        let found = json(&[folder.to_str().expect("UTF-8"), "--labels", &list]);
        for key in ["pictures", "top1", "top5", "calibration"] {
            assert_eq!(found[key], expected[key], "{folder:?}: {key}");
        }
        assert_eq!(found["classes"][0]["id"], "n00000003");
    }
    // Without `--labels` the classes have no ids, so the names of the files mean nothing.
    fail(&[flat.path().to_str().expect("UTF-8")], 4, "n00000003");
}

#[test]
fn what_cannot_be_judged_is_an_error() {
    let folder = folder(&["cat"]);
    let at = folder.path().to_str().expect("UTF-8");
    let work = tempfile::tempdir().expect("a folder");
    let empty = path(work.path(), "empty");
    fs::create_dir_all(work.path().join("empty/cat")).expect("made");
    fail(&[&empty], 4, "no pictures");
    fail(&[&path(work.path(), "missing")], 4, "missing");
    fs::write(work.path().join("empty/cat/x.png"), b"").expect("written");
    fail(&[&empty], 4, "none of 1 pictures");
    fs::rename(work.path().join("empty/cat"), work.path().join("empty/unicorn")).expect("renamed");
    fail(&[&empty], 4, "\"unicorn\" is not the name of a class");
    let labels = path(work.path(), "labels.txt");
    for lines in [9, 11] {
        fs::write(&labels, "x\n".repeat(lines)).expect("written");
        fail(&[at, "--labels", &labels], 3, &format!("{lines} labels for 10 classes"));
    }
    fail(&[at, "--labels", &path(work.path(), "no labels")], 3, "no labels");
    fail(&[at, "--crops", "2"], 2, "144");
    fail(&[at, "--json", "--csv"], 2, "--csv");
    fail(&[at, "--weights", &path(work.path(), "no weights")], 3, "no weights");
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let folder = folder(&["cat", "dog"]);
    let at = folder.path().to_str().expect("UTF-8");
    let work = tempfile::tempdir().expect("a folder");
    let journal = path(work.path(), "j");
    let expected = json(&[at, "--crops", "144"]);

    // The run is killed as soon as it has noted a picture. Should it be done by then, the journal is shortened as a
    // kill would have left it.
    let arguments = ["eval", "--threads", "1", at, "--crops", "144", "--journal", &journal];
    let mut child =
        googlenet(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the command starts");
    let begin = Instant::now();
    let noted = || fs::read_to_string(&journal).unwrap_or_default().matches('\n').count().saturating_sub(1);
    while noted() < 1 {
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing was noted");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    if noted() == 6 {
        let text = fs::read_to_string(&journal).expect("read");
        let end = text.match_indices('\n').nth(2).expect("seven lines").0;
        fs::write(&journal, &text[..end + 5]).expect("cut off");
    }
    let before = noted();
    assert!((1..6).contains(&before), "{before} pictures were noted");
    let whole = fs::read_to_string(&journal).expect("read");
    let known = whole[..=whole.rfind('\n').expect("lines")].matches("\"top\"").count();

    let mut child = googlenet(&["eval", "--json", at, "--crops", "144", "--journal", &journal])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let (mut out, mut words) = (String::new(), String::new());
    child.stdout.take().expect("piped").read_to_string(&mut out).expect("UTF-8");
    child.stderr.take().expect("piped").read_to_string(&mut words).expect("UTF-8");
    assert_eq!(child.wait().expect("ended").code(), Some(4), "{words}");
    // A picture that could not be read does not count as judged: it is tried again.
    assert!(words.contains(&format!("{known} of 6 pictures were judged before")), "{words}");
    let resumed: Value = serde_json::from_str(&out).expect("JSON");
    for key in ["pictures", "top1", "top5", "calibration", "classes", "unreadable"] {
        assert_eq!(resumed[key], expected[key], "{key}");
    }
    // After two runs everything is known: the third looks only at the picture that could not be read, and notes it
    // again.
    let noted_before = noted();
    let third = json(&[at, "--crops", "144", "--journal", &journal]);
    let unreadable = expected["unreadable"].as_array().map_or(0, Vec::len);
    assert_eq!((noted() - noted_before, &third["top1"]), (unreadable, &expected["top1"]));

    fail(&[at, "--crops", "10", "--journal", &journal], 2, "other crops: 144, not 10");
    fs::remove_file(folder.path().join("dog/1.png")).expect("removed");
    fail(&[at, "--crops", "144", "--journal", &journal], 2, "number of pictures");
    fail(&[at, "--journal", PHOTOGRAPH], 2, "not a journal");
}

/// Writes a weight file of seeded random f16 tensors for `network`, for inputs of side 64; `reversed` turns the values of
/// each tensor around, which makes another file of the same kind.
fn write_random(path: &str, network: &Network, reversed: bool) {
    let labels = serde_json::to_string(&LABELS).expect("JSON");
    let metadata = [
        ("dialect", network.dialect.name()),
        ("input_side", "64"),
        ("channels", "rgb"),
        ("mean", "127.5,127.5,127.5"),
        ("std", "127.5,127.5,127.5"),
        ("resize", "72"),
        ("labels", &labels),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let mut tensors = tensors::random_tensors(network);
    if reversed {
        tensors.iter_mut().for_each(|(_, _, values)| values.reverse());
    }
    let tensors: Vec<NewTensor<'_>> = tensors
        .iter()
        .map(|(name, shape, values)| NewTensor { name, shape, dtype: Dtype::F16, values: values.into() })
        .collect();
    write(path, &metadata, &tensors, false).expect("written");
}

/// What `googlenet run` gives as `endpoint` for the crops of a picture, a row for each.
fn run_endpoint(work: &Path, weights: &str, endpoint: &str, picture: &str, crops: Crops) -> Vec<Vec<f64>> {
    let model = googlenet::Model::open(weights).expect("a model");
    let picture = image::open(picture).expect("a picture").to_rgb8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let view = Rgb8::new(width, height, 3 * width, picture.as_raw()).expect("a picture");
    let cuts = Cuts::new(view, model.rule(), 64, crops).expect("cut");
    let (input, output) = (path(work, "x.npy"), path(work, "y.npy"));
    let mut file = Vec::new();
    write_header(&mut file, &[cuts.len(), 3, 64, 64]).expect("written");
    for index in 0..cuts.len() {
        let mut values = vec![0.0; 3 * 64 * 64];
        cuts.write(index, &mut values);
        file.extend(values.iter().flat_map(|value: &f32| value.to_le_bytes()));
    }
    fs::write(&input, file).expect("written");
    let arguments = ["run", "--weights", weights, "--input", &input, "--output", &output, "--endpoint", endpoint];
    let ran = googlenet(&[&arguments[..], &["--force", "--threads", "1"]].concat()).output().expect("it starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let bytes = fs::read(&output).expect("read");
    let (values, _) = bytes[bytes.len() - 4 * LABELS.len() * cuts.len()..].as_chunks::<4>();
    let values: Vec<f64> = values.iter().map(|&value| f64::from(f32::from_le_bytes(value))).collect();
    values.chunks(LABELS.len()).map(<[f64]>::to_vec).collect()
}

/// The likeliest classes, the likeliest first.
fn ranked(probabilities: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    order
}

/// What `eval` says of heads is recomputed from what `run` gives for the same crops, model by model.
#[test]
fn heads_are_judged_beside_the_trunk_and_with_it() {
    let work = tempfile::tempdir().expect("a folder");
    let network = Dialect::Torchvision.network_with_heads(LABELS.len());
    let files = [path(work.path(), "one"), path(work.path(), "two")];
    for (file, reversed) in files.iter().zip([false, true]) {
        write_random(file, &network, reversed);
    }
    let truth = ["cat", "dog", "frog"];
    let folder = folder(&truth);
    let at = folder.path().to_str().expect("UTF-8");
    let names = ["main", "loss1", "loss2", "mean"];
    let mut ever_split = 0;
    for (crops, weights) in [(Crops::Centre, &files[..1]), (Crops::Ten, &files[..])] {
        // The probabilities of each picture by each opinion, [picture][opinion][class], and the pictures' classes.
        let mut expected: Vec<(String, usize, Vec<Vec<f64>>)> = Vec::new();
        for (i, class) in truth.iter().cycle().take(5).enumerate() {
            let picture = path(folder.path(), &format!("{class}/{i}.png"));
            let mut opinions: Vec<Vec<f64>> = Vec::new();
            for endpoint in ["logits", "loss1", "loss2"] {
                let mut mean = vec![0.0; LABELS.len()];
                for file in weights {
                    for logits in run_endpoint(work.path(), file, endpoint, &picture, crops) {
                        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
                        let count = (weights.len() * crops.count()) as f64;
                        mean.iter_mut().zip(&logits).for_each(|(mean, logit)| *mean += logit.exp() / sum / count);
                    }
                }
                opinions.push(mean);
            }
            opinions.push((0..LABELS.len()).map(|c| opinions.iter().map(|one| one[c]).sum::<f64>() / 3.0).collect());
            let class = LABELS.iter().position(|label| label == class).expect("a class");
            expected.push((picture, class, opinions));
        }

        let count = crops.count().to_string();
        let mut arguments = vec![at, "--crops", &count];
        weights.iter().for_each(|file| arguments.extend(["--weights", file]));
        let report = json(&arguments);
        let heads = &report["heads"];
        assert_eq!((&heads["averaged"], &heads["weights"]), (&json!(["main", "loss1", "loss2"]), &json!("equal")));
        let first = |opinion: usize| expected.iter().map(move |(_, _, all)| ranked(&all[opinion])[0]);
        for (k, name) in names.into_iter().enumerate() {
            let opinion = &heads["opinions"][k];
            assert_eq!(opinion["name"], name);
            let among = |many: usize| {
                let right = |(_, class, all): &&(String, usize, Vec<Vec<f64>>)| ranked(&all[k])[..many].contains(class);
                expected.iter().filter(right).count() as f64 / 5.0
            };
            assert_eq!((&opinion["top1"], &opinion["top5"]), (&json!(among(1)), &json!(among(5))), "{name}");
            // The engine's softmax and the means of probabilities are rounded to f32, the sums here are not.
            let confidence = expected.iter().map(|(_, _, all)| all[k][ranked(&all[k])[0]]).sum::<f64>() / 5.0;
            assert!((opinion["confidence"].as_f64().expect("a number") - confidence).abs() < 1e-6, "{name}");
            for other in 0..names.len() {
                let equal = first(k).zip(first(other)).filter(|(own, other)| own == other).count();
                assert_eq!(heads["agreement"][k][other], equal, "{name} and {}", names[other]);
            }
        }
        assert_eq!((&report["top1"], &report["top5"]), (&heads["opinions"][0]["top1"], &heads["opinions"][0]["top5"]));
        let alone = |own: usize, other: usize| {
            let right = |(_, class, all): &&(String, usize, Vec<Vec<f64>>)| {
                ranked(&all[own])[0] == *class && ranked(&all[other])[0] != *class
            };
            expected.iter().filter(right).count()
        };
        assert_eq!(heads["main_right_mean_wrong"], alone(0, 3));
        assert_eq!(heads["mean_right_main_wrong"], alone(3, 0));
        let split = heads["split"].as_array().expect("a list");
        for (picture, class, all) in &expected {
            let classes: Vec<usize> = all.iter().map(|one| ranked(one)[0]).collect();
            let found = split.iter().find(|split| split["image"] == **picture);
            assert_eq!(found.is_some(), classes[..3].iter().any(|&class| class != classes[0]), "{picture}");
            let Some(found) = found else { continue };
            assert_eq!((&found["class"], &found["label"]), (&json!(class), &json!(LABELS[*class])));
            for (k, opinion) in found["opinions"].as_array().expect("opinions").iter().enumerate() {
                assert_eq!((&opinion["name"], &opinion["class"]), (&json!(names[k]), &json!(classes[k])));
                assert_eq!(opinion["label"], LABELS[classes[k]]);
            }
        }
        ever_split += split.len();
        let csv = succeed(&[&arguments[..], &["--csv"]].concat());
        let header =
            "class,id,label,pictures,top1,top5,taken_for,times,loss1_top1,loss1_top5,loss2_top1,loss2_top5,mean_top1";
        assert!(csv.starts_with(&format!("{header},mean_top5\n")), "{csv}");
        assert!(csv.lines().all(|line| line.split(',').count() == 14), "{csv}");
        let text = succeed(&arguments);
        for part in ["of the 3, weighted equally\n", "\nloss2 ", "\nsplit ", "\nmean right, main wrong "] {
            assert!(text.contains(part), "{part:?}: {text}");
        }
    }
    assert!(ever_split > 0, "the heads never differ, so that nothing is shown of where they do");
}

#[test]
fn heads_that_cannot_be_judged_are_named_and_journals_know_of_heads() {
    let work = tempfile::tempdir().expect("a folder");
    let folder = folder(&["cat"]);
    let at = folder.path().to_str().expect("UTF-8");
    let (with, fixed) = (path(work.path(), "with"), path(work.path(), "fixed"));
    let journal = path(work.path(), "j");
    write_random(&with, &Dialect::Torchvision.network_with_heads(LABELS.len()).keep_heads(&["loss2"]), false);
    write_random(&fixed, &Dialect::Bvlc.network_with_heads(LABELS.len()).keep_heads(&["loss1"]), false);
    let one = json(&[at, "--weights", &with, "--journal", &journal]);
    assert_eq!(one["heads"]["averaged"], json!(["main", "loss2"]));
    let again = json(&[at, "--weights", &with, "--journal", &journal]);
    assert_eq!(again["heads"], one["heads"]);

    let said = |weights: &[&str], words: &str| {
        let output = eval(&[&[at, "--json"], weights].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(4) && stderr.contains(words), "{stderr}");
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(report["heads"], Value::Null);
    };
    let words = format!("note: the auxiliary head loss1 is left out: {fixed} is for the input side 64, and the head");
    said(&["--weights", &fixed], &words);
    let words = format!("note: the auxiliary head loss2 is left out: {DEMONSTRATION} does not have it");
    said(&["--weights", &with, "--weights", DEMONSTRATION], &words);

    let noted = fs::read_to_string(&journal).expect("read");
    fs::write(&journal, noted.replacen("\"googlenet eval journal\":2", "\"googlenet eval journal\":1", 1))
        .expect("written");
    fail(&[at, "--weights", &with, "--journal", &journal], 2, "not a journal");
    fs::write(&journal, noted.replacen("[\"loss2\"]", "[]", 1)).expect("written");
    fail(&[at, "--weights", &with, "--journal", &journal], 2, "other heads: [], not [\"loss2\"]");
}
