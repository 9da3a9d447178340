//! Tests `googlenet learn` as a user meets it, on the demonstration weights and pictures that are drawn here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use googlenet::weights::{Dtype, NewTensor, Weights, write};
use googlenet::{Model, Options, Precision};
use image::{Rgb, RgbImage};
use serde_json::Value;
use tempfile::{TempDir, tempdir};
use xxhash_rust::xxh3::xxh3_128;

const DEMONSTRATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors");

fn googlenet(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_googlenet"));
    command.args(arguments).env_remove("GOOGLENET_ISA").stdin(Stdio::null());
    command
}

/// Runs the command, which must succeed, but for pictures that it says could not be used, and returns what it printed to stdout
/// and stderr.
fn succeed(arguments: &[&str]) -> [String; 2] {
    let output = googlenet(arguments).output().expect("the command starts");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8"));
    let partial = stderr.ends_with(" could not be used\n");
    assert_eq!(output.status.code(), Some(if partial { 4 } else { 0 }), "{arguments:?}: {stderr}");
    [stdout, stderr]
}

/// Runs `learn` with `--json`, and returns the object.
fn learn(arguments: &[&str]) -> Value {
    let [stdout, _] = succeed(&[&["learn", "--json", "--weights", DEMONSTRATION], arguments].concat());
    serde_json::from_str(&stdout).expect("JSON")
}

/// Runs `learn`, which must end with the exit status `code` and an error that contains `word` as its last line on stderr.
fn fail(arguments: &[&str], code: i32, word: &str) {
    let output: Output = googlenet(&[&["learn"], arguments].concat()).output().expect("the command starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    let last = stderr.lines().last().expect("an error");
    assert!(last.starts_with("error: ") && last.contains(word), "{word}: {stderr}");
    assert!(output.stdout.is_empty(), "results were printed");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(end)) as u32
    }
}

/// A folder `pictures` of `count` pictures a class, 48x40 pixels each: discs, stripes along and across, in any colours, with
/// some noise.
fn pictures(count: u32) -> TempDir {
    let folder = tempdir().expect("a folder");
    let mut random = Random(5);
    for (class, name) in ["a disc", "lying", "standing"].into_iter().enumerate() {
        let inside = folder.path().join("pictures").join(name);
        fs::create_dir_all(&inside).expect("made");
        for number in 0..count {
            let colours = [0, 1].map(|_| [0, 1, 2].map(|_| random.below(200)));
            let (at, width) = ([14 + random.below(20), 12 + random.below(16)], 3 + random.below(4));
            let picture = RgbImage::from_fn(48, 40, |x, y| {
                let is_inside = match class {
                    0 => (x.abs_diff(at[0]).pow(2) + y.abs_diff(at[1]).pow(2)) < 3 * width * width + 20,
                    1 => (y + at[1]) / width % 2 == 0,
                    _ => (x + at[0]) / width % 2 == 0,
                };
                Rgb(colours[usize::from(is_inside)].map(|value| (value + random.below(50)) as u8))
            });
            picture.save(inside.join(format!("{number:03}.png"))).expect("saved");
        }
    }
    folder
}

/// The pictures of a class that are to be held back, those that hold `except` left out: of different ones a fifth, those with
/// the lowest hashes.
fn held_back(folder: &Path, class: &str, except: &[u8]) -> Vec<PathBuf> {
    let mut all: BTreeMap<u128, PathBuf> = BTreeMap::new();
    for entry in fs::read_dir(folder.join("pictures").join(class)).expect("listed") {
        let path = entry.expect("listed").path();
        let bytes = fs::read(&path).expect("read");
        if bytes != except && image::load_from_memory(&bytes).is_ok() {
            all.insert(xxh3_128(&bytes), path);
        }
    }
    let count = (all.len() as f64 * 0.2).round() as usize;
    all.into_values().take(count).collect()
}

#[test]
fn a_learnt_file_is_one_like_any_other_and_as_good_as_it_says() {
    let folder = pictures(15);
    let at = |name: &str| folder.path().join(name);
    fs::write(at("pictures/lying/broken.jpg"), b"no picture").expect("written");
    fs::copy(at("pictures/lying/003.png"), at("pictures/lying/again.png")).expect("copied");
    fs::copy(at("pictures/lying/004.png"), at("pictures/standing/of both.png")).expect("copied");
    fs::copy(at("pictures/lying/005.png"), at("pictures/outside.png")).expect("copied");
    fs::write(at("pictures/lying/note.txt"), b"no picture, and not called one").expect("written");
    let own = at("own.safetensors");
    let page = at("own.html");
    let report = learn(&[text(&at("pictures")), text(&own), "--page", text(&page)]);

    // 15 of each class, of which one stands in two.
    assert_eq!((&report["learnt"], &report["held_back"]), (&35.into(), &9.into()));
    assert_eq!((&report["rows"], &report["outside"]), (&350.into(), &1.into()));
    assert_eq!(report["doubled"].as_array().map(Vec::len), Some(1));
    let names = |key: &str| report[key].as_array().expect("a list").clone();
    assert_eq!(names("contradictory"), ["lying/004.png", "standing/of both.png"].map(Value::from));
    assert_eq!(names("unreadable")[0]["image"], "lying/broken.jpg");
    let labels: Vec<_> = names("classes").iter().map(|class| class["label"].clone()).collect();
    assert_eq!(labels, ["a disc", "lying", "standing"].map(Value::from));
    assert_eq!(report["converged"], true);
    let number = |value: &Value| value.as_f64().expect("a number");
    let [low, high] = [0, 1].map(|end| number(&report["interval"][end]));
    assert!(low < number(&report["top1"]) && number(&report["top1"]) <= high);
    assert!(number(&report["top1"]) > 0.6, "simple pictures are learnt: {report}");
    let confusion: f64 = names("confusion").iter().flat_map(|row| row.as_array().expect("a row")).map(number).sum();
    assert_eq!(confusion, 9.0);

    // The network's, with another classifier.
    let model = Model::open(&own).expect("a weight file");
    assert_eq!(model.labels(), ["a disc", "lying", "standing"]);
    let base = Weights::open(DEMONSTRATION).expect("weights");
    for tensor in model.weights().tensors().filter(|tensor| !tensor.name().starts_with("loss3")) {
        assert_eq!(tensor.hash(), base.tensor(tensor.name()).expect("the base's").hash(), "{}", tensor.name());
    }
    model.session(Options::new().precision(Precision::Int8)).expect("it keeps the scales");

    // `eval` counts as many right among those that were held back, of which nothing was learnt.
    let judged = at("judged");
    let of_both = fs::read(at("pictures/lying/004.png")).expect("read");
    let mut wrong: Vec<String> = Vec::new();
    for class in model.labels() {
        fs::create_dir_all(judged.join(class)).expect("made");
        for path in &held_back(folder.path(), class, &of_both) {
            fs::copy(path, judged.join(class).join(path.file_name().expect("a name"))).expect("copied");
            let [stdout, _] = succeed(&["classify", "--json", "--weights", text(&own), text(path)]);
            let line: Value = serde_json::from_str(&stdout).expect("JSON");
            if line["top"][0]["label"] != **class {
                let name = path.file_name().expect("a name").to_str().expect("UTF-8");
                wrong.push(format!("{class}/{name} {:.3}", number(&line["top"][0]["probability"])));
            }
        }
    }
    let [stdout, _] = succeed(&["eval", text(&judged), "--weights", text(&own), "--json"]);
    let eval: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((&eval["pictures"], &eval["top1"]), (&9.into(), &report["top1"]));
    let calibrated = number(&report["calibrated"]["expected_error"]);
    assert!((number(&eval["calibration_error"]) - calibrated).abs() < 1e-4, "{eval}");
    let mut said: Vec<String> = names("wrong")
        .iter()
        .map(|own| format!("{} {:.3}", own["image"].as_str().expect("a name"), number(&own["confidence"])))
        .collect();
    said.sort();
    wrong.sort();
    assert_eq!(said, wrong);

    let html = fs::read_to_string(&page).expect("read");
    for words in ["What own.safetensors has learnt", "standing/of both.png", "broken.jpg", "no class\u{2019}s folder"] {
        assert!(html.contains(words), "{words}");
    }
    assert_eq!(html.matches("<img ").count(), said.len());
    assert_eq!(html.matches("src=").count(), html.matches("src=\"data:").count(), "nothing from elsewhere");

    // What is there stays, unless it may be replaced.
    fail(&[text(&at("pictures")), text(&own)], 5, "exists, --force replaces it");
    fail(&[text(&at("pictures")), text(&at("new")), "--page", text(&page)], 5, "own.html exists");
    assert!(!at("new").exists() && !at("new.features").exists());
    let before = fs::read(&own).expect("read");
    let [stdout, stderr] =
        succeed(&["learn", text(&at("pictures")), text(&own), "--weights", DEMONSTRATION, "--force"]);
    assert!(stderr.contains("views of pictures are there already"), "{stderr}");
    assert!(stderr.contains("broken.jpg: no picture"), "{stderr}");
    for words in
        ["class     learnt  held back  right  taken for", "95 % confidence", "temperature", "1  cannot be read"]
    {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }
    assert!(fs::read(&own).expect("read") == before, "the same file again");
}

/// Starts `learn` and waits until its cache has `bytes` bytes, or it has ended.
fn begun(arguments: &[&str], cache: &Path, bytes: u64) -> Child {
    let mut child = googlenet(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let begin = Instant::now();
    let length = || -> u64 {
        let files = fs::read_dir(cache).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
    };
    while length() < bytes && child.try_wait().expect("asked").is_none() {
        assert!(begin.elapsed() < Duration::from_secs(120), "nothing is kept");
        std::thread::yield_now();
    }
    child
}

#[test]
fn threads_kills_and_damage_change_no_bit() {
    let folder = pictures(8);
    let at = |name: &str| folder.path().join(name);
    let (pictures, whole, own, cache) = (at("pictures"), at("whole"), at("own"), at("cache"));
    let arguments = |out: &'static str, cache: &'static str, threads: &'static str| {
        let [out, cache] = [at(out), at(cache)].map(|path| text(&path).to_owned());
        ["learn", text(&pictures), &out, "--weights", DEMONSTRATION, "--cache", &cache, "--threads", threads]
            .map(String::from)
    };
    let run = |arguments: &[String]| succeed(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    run(&arguments("whole", "elsewhere", "1"));
    let whole = fs::read(whole).expect("written");
    let record = 24 + 4 * 1024 + 8;
    let kept: u64 = 32 + (24 + (24 - 6) * 9) * record;

    // Killed at several places: at once, among the middles, among the other views, when all are there.
    let resumed = arguments("own", "cache", "2");
    let resumed_str: Vec<&str> = resumed.iter().map(String::as_str).collect();
    let places = [1, 32 + 3 * record, 32 + 20 * record, 32 + 30 * record, 32 + 101 * record, kept, kept];
    let mut killed = 0;
    for (round, bytes) in places.into_iter().enumerate() {
        let mut child = begun(&resumed_str, &cache, bytes);
        if bytes == kept {
            // While penalties are tried.
            std::thread::sleep(Duration::from_millis(60 * (round as u64 - 4)));
        }
        killed += usize::from(child.try_wait().expect("asked").is_none());
        // It may have ended by itself.
        let _ = child.kill();
        child.wait().expect("ended");
        if own.exists() {
            assert!(fs::read(&own).expect("read") == whole, "whole or not there");
            fs::remove_file(&own).expect("removed");
        }
    }
    assert!(killed >= 5, "{killed} runs were killed");
    run(&resumed);
    assert!(fs::read(&own).expect("written") == whole, "the same file as without an interruption");
    let files: Vec<PathBuf> = fs::read_dir(&cache).expect("listed").map(|file| file.expect("listed").path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };

    // Cut off, and damaged.
    let good = fs::read(file).expect("read");
    assert_eq!(good.len() as u64, kept);
    let mut damaged = good.clone();
    (100..damaged.len()).step_by(7 * record as usize + 1000).for_each(|at| damaged[at] ^= 0x40);
    for bytes in [&damaged[..], &good[..good.len() / 2], &good[..31]] {
        fs::write(file, bytes).expect("written");
        fs::remove_file(&own).expect("removed");
        run(&resumed);
        assert!(fs::read(&own).expect("written") == whole, "the same file with what was left of the cache");
    }

    // What is no cache stays as it is.
    let other = b"something else that is longer than a header is";
    fs::write(file, other).expect("written");
    fs::remove_file(&own).expect("removed");
    fail(&resumed_str[1..], 2, "not a cache of googlenet learn");
    assert_eq!(fs::read(file).expect("read"), other);
    fs::write(file, &good).expect("written");
    run(&resumed);

    // More pictures: what is there is not computed again.
    fs::copy(pictures.join("lying/001.png"), pictures.join("lying/again.png")).expect("copied");
    let before = fs::metadata(file).expect("there").len();
    fs::remove_file(&own).expect("removed");
    run(&resumed);
    assert!(fs::read(&own).expect("written") == whole, "a file that holds the same changes nothing");
    assert_eq!(fs::metadata(file).expect("there").len(), before);
}

#[test]
#[cfg(unix)]
fn an_interruption_is_one_line_and_leaves_what_is_kept() {
    let folder = pictures(12);
    let (pictures, own, cache) =
        (folder.path().join("pictures"), folder.path().join("own"), folder.path().join("cache"));
    let arguments = ["learn", text(&pictures), text(&own), "--weights", DEMONSTRATION, "--cache", text(&cache)];
    let child = {
        let mut child = begun(&arguments, &cache, 32 + 40 * 4128);
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
        child.wait().expect("ended")
    };
    assert_eq!(child.code(), Some(130));
    let names: Vec<_> = fs::read_dir(folder.path()).expect("listed").map(|e| e.expect("listed").file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let [_, stderr] = succeed(&arguments);
    assert!(stderr.contains("views of pictures are there already"), "{stderr}");
}

#[test]
fn what_cannot_be_learnt_is_said() {
    let folder = pictures(5);
    let at = |name: &str| folder.path().join(name);
    let (pictures, out) = (at("pictures"), at("out"));
    let base = ["--weights", DEMONSTRATION];
    let with = |more: &[&'static str]| [&base, more].concat();
    let run = |folder: &Path, more: &[&str], code: i32, word: &str| {
        fail(&[&[text(folder), text(&out)], more].concat(), code, word);
        assert!(!out.exists(), "{word}: written");
    };
    run(&at("nowhere"), &base, 4, "nowhere");
    run(&pictures.join("lying"), &base, 4, "two classes or more are needed");
    run(&pictures, &["--weights", text(&at("none"))], 3, "none");
    run(&pictures, &with(&["--held-back", "1"]), 2, "0.01 to 0.9");
    run(&pictures, &with(&["--views", "3"]), 2, "'3'");
    run(&pictures, &with(&["--threads", "0"]), 2, "whole number");
    fail(&[text(&pictures), text(&pictures), DEMONSTRATION], 2, "unexpected");
    fail(&[text(&pictures), text(folder.path()), "--weights", DEMONSTRATION, "--force"], 2, "is a directory");

    // Five pictures a class are enough, four are not, and what cannot be read does not count.
    learn(&[text(&pictures), text(&at("least")), "--views", "1", "--threads", "1"]);
    fs::write(pictures.join("lying/000.png"), "no picture").expect("written");
    run(&pictures, &base, 4, "fewer: lying (4)");
    fs::remove_dir_all(at("out.features")).expect("kept");
    // A cache that another run has, or that is no folder.
    fs::write(at("out.features"), "").expect("written");
    run(&pictures, &base, 1, "out.features");

    // Weights that give no numbers.
    let weights = Weights::open(DEMONSTRATION).expect("weights");
    let tensors: Vec<_> = weights
        .tensors()
        .map(|t| {
            let values = match t.name() {
                "conv1/7x7_s2.bias" => vec![f32::NAN; 64].into(),
                _ => t.to_f32(),
            };
            NewTensor { name: t.name(), shape: t.shape(), dtype: Dtype::F32, values }
        })
        .collect();
    let nan = at("nan.safetensors");
    write(&nan, weights.metadata(), &tensors, false).expect("written");
    fs::remove_file(at("out.features")).expect("removed");
    run(&pictures, &["--weights", text(&nan)], 3, "the weights give no features");
}
