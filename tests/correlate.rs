//! Tests `googlenet correlate` as a user meets it, on pictures made of the photograph.

use std::fs;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use googlenet::npy::Header;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

const PHOTOGRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/chelsea.png");
const DEMONSTRATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors");
/// Everything that the command writes.
const FILES: [&str; 5] = ["clusters.json", "correlation.png", "correlations.npy", "index.html", "shares.svg"];

fn googlenet(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_googlenet"));
    command.args(arguments).env_remove("GOOGLENET_ISA");
    command
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn correlate(pictures: &Path, out: &Path, endpoint: &str, more: &[&str]) -> Output {
    let arguments = ["correlate", text(pictures), "--out", text(out), "--endpoint", endpoint];
    googlenet(&[&arguments, more].concat()).output().expect("the command starts")
}

/// Runs the command, which must succeed, but for pictures that it says could not be used, and returns what it printed and `clusters.json`.
fn succeed(pictures: &Path, out: &Path, endpoint: &str, more: &[&str]) -> (String, Value) {
    let output = correlate(pictures, out, endpoint, more);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let partial = stderr.ends_with(" could not be used\n");
    assert_eq!(output.status.code(), Some(if partial { 4 } else { 0 }), "{stderr}");
    let mut names: Vec<_> =
        fs::read_dir(out).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, FILES, "nothing else is left behind");
    let json = serde_json::from_slice(&fs::read(out.join("clusters.json")).expect("read")).expect("JSON");
    (String::from_utf8(output.stdout).expect("UTF-8"), json)
}

/// Runs the command, which must end with the exit status `code` and an error that contains `word` as its last line on
/// stderr.
fn fail(pictures: &Path, out: &Path, endpoint: &str, more: &[&str], code: i32, word: &str) {
    let output = correlate(pictures, out, endpoint, more);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let last = stderr.lines().last().expect("an error");
    assert!(last.starts_with("error: ") && last.contains(word), "{word}: {stderr}");
    assert!(output.stdout.is_empty(), "results were printed");
}

/// A folder with five pictures, of which two lie in a folder inside.
fn folder() -> TempDir {
    let folder = tempdir().expect("a folder");
    let inside = folder.path().join("more/deep");
    fs::create_dir_all(&inside).expect("made");
    let photograph = image::open(PHOTOGRAPH).expect("the photograph").thumbnail(120, 120);
    let pictures = [
        photograph.clone(),
        photograph.fliph(),
        photograph.rotate180(),
        photograph.brighten(60),
        photograph.crop_imm(30, 10, 50, 50),
    ];
    for (index, picture) in pictures.iter().enumerate() {
        let path = if index < 3 { folder.path() } else { &inside }.join(format!("{index}.png"));
        picture.save(path).expect("saved");
    }
    folder
}

/// The shape and the values of a file of f32.
fn npy(path: &Path) -> (Vec<u64>, Vec<f32>) {
    let mut file = File::open(path).expect("opened");
    let header = Header::read(&mut file).expect("a header");
    let mut values = vec![0.0; header.shape.iter().product::<u64>() as usize];
    header.read_values(&mut file, &mut values).expect("values");
    (header.shape, values)
}

/// What `preprocess` and `run` say of a picture: the shape of an endpoint, and its values.
fn activations(picture: &Path, endpoint: &str) -> (Vec<u64>, Vec<f32>) {
    let work = tempdir().expect("a folder");
    let [x, y] = ["x.npy", "y.npy"].map(|name| work.path().join(name));
    let run = ["run", "--weights", DEMONSTRATION, "--input", text(&x), "--output", text(&y), "--endpoint", endpoint];
    for arguments in [&["preprocess", text(picture), text(&x)][..], &run] {
        assert!(googlenet(arguments).output().expect("the command starts").status.success());
    }
    npy(&y)
}

/// Pearson's correlation of pairs, in two passes.
fn pearson(pairs: &[(f64, f64)]) -> f64 {
    let n = pairs.len() as f64;
    let (a, b) = (pairs.iter().map(|pair| pair.0).sum::<f64>() / n, pairs.iter().map(|pair| pair.1).sum::<f64>() / n);
    let sum = |of: fn(f64, f64) -> f64| pairs.iter().map(|&(x, y)| of(x - a, y - b)).sum::<f64>();
    sum(|x, y| x * y) / (sum(|x, _| x * x) * sum(|_, y| y * y)).sqrt()
}

#[test]
fn correlations_are_those_of_what_run_writes() {
    let (folder, out) = (folder(), tempdir().expect("a folder"));
    let endpoint = "inception_3a/output";
    let (_, json) = succeed(folder.path(), out.path(), endpoint, &["--clusters", "9"]);
    let (shape, found) = npy(&out.path().join("correlations.npy"));
    assert_eq!(shape, [3, 256, 256]);
    let names = ["0.png", "1.png", "2.png", "more/deep/3.png", "more/deep/4.png"];
    let maps = names.map(|name| activations(&folder.path().join(name), endpoint));
    let [1, 256, h, w] = maps[0].0.as_slice() else { panic!("{:?}", maps[0].0) };
    assert_eq!(json["shape"], serde_json::json!([256, h, w]));
    let (h, w) = (*h as usize, *w as usize);
    let mut checked = 0;
    for (distance, i, j) in
        (0..3).flat_map(|d| (0..256).step_by(37).flat_map(move |i| (3..256).step_by(23).map(move |j| (d, i, j))))
    {
        let mut pairs = Vec::new();
        for (_, map) in &maps {
            for (p, q) in (0..h * w).flat_map(|p| (0..h * w).map(move |q| (p, q))) {
                if (p / w).abs_diff(q / w).max((p % w).abs_diff(q % w)) == distance {
                    pairs.push((f64::from(map[i * h * w + p]), f64::from(map[j * h * w + q])));
                }
            }
        }
        let (expected, got) = (pearson(&pairs), f64::from(found[(distance * 256 + i) * 256 + j]));
        // The rounding to f32 is the largest error, of at most 2^-25 of values up to 1.
        assert!(
            expected.is_nan() && got.is_nan() || (expected - got).abs() < 4e-8,
            "{distance} {i} {j}: {got} {expected}"
        );
        checked += usize::from(!got.is_nan());
    }
    assert!(checked > 150, "only {checked} correlations were numbers");

    // Clusters divide the units that are not dead, and name the pictures by value.
    let clusters = json["clusters"].as_array().expect("a list");
    assert_eq!(clusters.len(), 9);
    let mut units: Vec<u64> = Vec::new();
    for cluster in clusters {
        let own: Vec<usize> = serde_json::from_value(cluster["units"].clone()).expect("numbers");
        units.extend(own.iter().map(|&unit| unit as u64));
        let between = own.iter().flat_map(|&i| own.iter().filter(move |&&j| j < i).map(move |&j| (i, j)));
        let between: Vec<f64> = between.map(|(i, j)| f64::from(found[i * 256 + j])).collect();
        match cluster["mean_correlation"].as_f64() {
            Some(mean) => assert!((mean - between.iter().sum::<f64>() / between.len() as f64).abs() < 1e-7),
            None => assert_eq!(own.len(), 1),
        }
        let pictures = cluster["pictures"].as_array().expect("a list");
        let values: Vec<f64> = pictures.iter().map(|picture| picture["value"].as_f64().expect("a number")).collect();
        assert!(values.len() == 5 && values.is_sorted_by(|a, b| a >= b), "{values:?}");
        assert!(pictures.iter().all(|picture| names.contains(&picture["image"].as_str().expect("a name"))));
    }
    units.extend(json["dead"].as_array().expect("a list").iter().map(|unit| unit.as_u64().expect("a number")));
    units.sort_unstable();
    assert_eq!(units, (0..256).collect::<Vec<u64>>());
    let share = |key: &str| {
        json["distances"].as_array().expect("a list").iter().map(|d| d[key].as_f64().expect("a number")).sum::<f64>()
    };
    assert!((share("share_per_pair") - 1.0).abs() < 1e-12 && (share("share_together") - 1.0).abs() < 1e-12);
    let matrix = image::open(out.path().join("correlation.png")).expect("a picture");
    assert!(matrix.width() >= 256 && matrix.height() > matrix.width());
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let (folder, outs) = (folder(), [(); 3].map(|()| tempdir().expect("a folder")));
    for (out, threads) in outs.iter().zip(["1", "2", "5"]) {
        succeed(folder.path(), out.path(), "inception_4a/output", &["--threads", threads]);
    }
    for file in FILES {
        let [one, two, five] = [0, 1, 2].map(|index| fs::read(outs[index].path().join(file)).expect("read"));
        assert!(one == two && one == five, "{file}");
    }
}

/// A name that would be HTML is shown as text, and is the same name in JSON.
#[cfg(unix)]
#[test]
fn hostile_names_are_only_names() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let (folder, out) = (folder(), tempdir().expect("a folder"));
    let hostile = "\"'><img src=x onerror=alert(1)>&amp;\u{202e}\n\u{1b}[2J.png";
    fs::rename(folder.path().join("0.png"), folder.path().join(hostile)).expect("renamed");
    fs::rename(folder.path().join("1.png"), folder.path().join(OsStr::from_bytes(b"\xff<b>.png"))).expect("renamed");
    fs::write(folder.path().join("<script>alert(2)</script>.jpg".replace('/', "\u{2215}")), b"none").expect("written");
    let output = correlate(folder.path(), out.path(), "inception_3a/output", &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(4) && stderr.contains("<script>") && !stderr.contains('\u{1b}'), "{stderr}");
    let json: Value = serde_json::from_slice(&fs::read(out.path().join("clusters.json")).expect("read")).expect("JSON");
    let named = json["clusters"]
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(|cluster| cluster["pictures"].as_array().expect("a list"));
    let named: Vec<&str> = named.map(|picture| picture["image"].as_str().expect("a name")).collect();
    assert!(named.contains(&hostile) && named.contains(&"\u{fffd}<b>.png"));
    let page = fs::read_to_string(out.path().join("index.html")).expect("read");
    for part in ["<img src=x", "<b>.png", "<script", "\u{202e}", "\u{1b}", "&amp;\\u"] {
        assert!(!page.contains(part), "{part:?}");
    }
    assert!(page.contains("&quot;&#39;&gt;&lt;img src=x onerror=alert(1)&gt;&amp;amp;\\u{202e}\\n\\u{1b}[2J.png"));
    // Nothing is fetched: every address is the data themselves.
    let sources = page.split("src=\"").skip(1).filter(|source| !source.starts_with("data:image/"));
    assert_eq!(sources.count(), 0);
    assert!(!page.contains("href=") && !page.contains("url("));
}

#[test]
fn unreadable_pictures_are_named_and_counted() {
    let (folder, out) = (folder(), tempdir().expect("a folder"));
    fs::write(folder.path().join("more/broken.JPEG"), b"no picture").expect("written");
    fs::write(folder.path().join("notes.txt"), b"no picture").expect("written");
    let (printed, json) = succeed(folder.path(), out.path(), "inception_3a/output", &[]);
    assert_eq!((&json["pictures"], &json["unreadable"][0]["image"]), (&5.into(), &"more/broken.JPEG".into()));
    assert_eq!(json["unreadable"].as_array().map(Vec::len), Some(1));
    assert!(printed.contains("pictures        5\nunreadable      1\n"), "{printed}");
    let page = fs::read_to_string(out.path().join("index.html")).expect("read");
    assert!(page.contains("<code>more/broken.JPEG</code>"));
    for path in [folder.path().join("0.png"), folder.path().join("more/deep/4.png")] {
        fs::write(path, b"no picture").expect("written");
    }
    let (_, json) = succeed(folder.path(), out.path(), "inception_3a/output", &["--force"]);
    assert_eq!((&json["pictures"], json["unreadable"].as_array().map(Vec::len)), (&3.into(), Some(3)));
}

#[test]
fn what_cannot_be_done_is_refused_and_leaves_nothing() {
    let (folder, work) = (folder(), tempdir().expect("a folder"));
    let out = work.path().join("out");
    let empty = work.path().join("empty");
    fs::create_dir(&empty).expect("made");
    let layer = "inception_3a/output";
    fail(&empty, &out, layer, &[], 4, "no pictures");
    fail(&work.path().join("missing"), &out, layer, &[], 4, "missing");
    fail(folder.path(), &out, "inception_9z", &[], 2, "inception_9z");
    fail(folder.path(), &out, layer, &["--clusters", "0"], 2, "1 to 256");
    fail(folder.path(), &out, layer, &["--weights", PHOTOGRAPH], 3, "chelsea.png");
    fail(folder.path(), folder.path(), layer, &[], 2, "in there");
    fail(folder.path(), &folder.path().join("0.png"), layer, &[], 2, "no folder");
    fs::write(empty.join("a.png"), b"no picture").expect("written");
    fail(&empty, &out, layer, &[], 4, "none of 1 pictures");
    fs::copy(PHOTOGRAPH, empty.join("a.png")).expect("copied");
    // Of a single picture a layer with one position has a single value for each unit.
    fail(&empty, &out, "logits", &[], 4, "nothing to correlate");
    assert!(!out.exists(), "a folder was left");

    succeed(folder.path(), &out, layer, &[]);
    fail(folder.path(), &out, layer, &[], 5, "--force");
    succeed(folder.path(), &out, layer, &["--force"]);
}

/// A folder of results inside the folder of pictures is not looked into, even when the command runs again.
#[test]
fn own_results_are_no_pictures() {
    let folder = folder();
    let out = folder.path().join("out");
    for more in [&[][..], &["--force"]] {
        let (_, json) = succeed(folder.path(), &out, "inception_3a/output", more);
        assert_eq!((&json["pictures"], json["unreadable"].as_array().map(Vec::len)), (&5.into(), Some(0)));
    }
}

#[test]
fn a_layer_of_one_position_has_distance_0_only_and_says_so() {
    let (folder, out) = (folder(), tempdir().expect("a folder"));
    let (printed, json) = succeed(folder.path(), out.path(), "pool5/7x7_s1", &[]);
    assert!(printed.contains("the layer has one position"), "{printed}");
    assert_eq!(json["distances"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["distances"][0]["share_per_pair"], 1.0);
    assert!(
        fs::read_to_string(out.path().join("index.html")).expect("read").contains("a single position in each picture")
    );
    assert_eq!(npy(&out.path().join("correlations.npy")).0, [1, 1024, 1024]);
}

/// The most memory, in bytes, that a command has had. It is read while the command runs, every millisecond: the kernel
/// forgets it when the command ends.
#[cfg(target_os = "linux")]
fn peak(mut command: Command) -> usize {
    let mut child =
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().expect("started");
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut kib = 0;
    let ended = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0).max(kib);
        if let Some(ended) = child.try_wait().expect("waited for") {
            break ended;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    assert!(ended.success() && kib > 0);
    kib << 10
}

/// A thousand pictures need at most 64 MiB more than a session that classifies one, for the layer of GoogLeNet with most
/// units.
#[cfg(target_os = "linux")]
#[test]
fn memory_is_bounded() {
    let (few, many, work) = (folder(), tempdir().expect("a folder"), tempdir().expect("a folder"));
    for index in 0..1000 {
        let from = ["0.png", "1.png", "2.png", "more/deep/3.png", "more/deep/4.png"][index % 5];
        fs::hard_link(few.path().join(from), many.path().join(format!("{index:04}.png")))
            .or_else(|_| fs::copy(few.path().join(from), many.path().join(format!("{index:04}.png"))).map(drop))
            .expect("linked");
    }
    let session = peak(googlenet(&["classify", "--threads", "2", text(&few.path().join("0.png"))]));
    let [few, many] = [few.path(), many.path()].map(|pictures| {
        let out = work.path().join(pictures.file_name().expect("a name"));
        let arguments =
            ["correlate", text(pictures), "--out", text(&out), "--endpoint", "inception_5b/output", "--threads", "2"];
        peak(googlenet(&arguments))
    });
    println!("session {session} bytes, 5 pictures {few}, 1000 pictures {many}");
    assert!(many <= session + (64 << 20), "{many} bytes, a session has {session}");
    assert!(many <= few + (8 << 20), "{many} bytes for 1000 pictures, {few} for 5");
}

/// A fully connected layer of 4,096 units stays within the same 64 MiB, and neither the picture nor the page grows with
/// the square of the units.
#[cfg(target_os = "linux")]
#[test]
fn many_units_stay_within_the_same_memory() {
    use googlenet::model::Dialect;
    use googlenet::weights::{Dtype, NewTensor, write};

    let (folder, work) = (folder(), tempdir().expect("a folder"));
    let weights = work.path().join("caffenet.safetensors");
    let parameters = Dialect::Caffenet.network(2).parameters();
    // What a tensor's elements are made of repeats, but no two rows begin at the same place.
    let value = |i: usize, scale: f32| ((i % 65_521) as f32 * 0.618_034).fract().mul_add(2.0, -1.0) * scale;
    let tensors: Vec<_> = parameters
        .iter()
        .map(|(name, shape)| {
            let (n, row): (usize, usize) = (shape.iter().product(), shape[1..].iter().product());
            let scale = (6.0 / row as f32).sqrt();
            // Every unit of the layer is far above 0 in every picture, so that all of them vary.
            let offset = if name == "fc6.bias" { 1000.0 } else { 0.0 };
            let values: Vec<f32> = (0..n).map(|i| offset + value(i, scale)).collect();
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
    ];
    let metadata = keys.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    write(&weights, &metadata, &tensors, false).expect("written");
    drop(tensors);

    let own = ["--weights", text(&weights), "--threads", "2"];
    let session = peak(googlenet(&[&["classify", text(&folder.path().join("0.png"))][..], &own].concat()));
    let out = work.path().join("out");
    let arguments = ["correlate", text(folder.path()), "--out", text(&out), "--endpoint", "fc6"];
    let all = peak(googlenet(&[&arguments[..], &own].concat()));
    println!("session {session} bytes, 4096 units {all}");
    assert!(all <= session + (64 << 20), "{all} bytes, a session has {session}");
    let json: Value = serde_json::from_slice(&fs::read(out.join("clusters.json")).expect("read")).expect("JSON");
    assert_eq!(json["shape"], serde_json::json!([4096, 1, 1]));
    assert!(json["dead"].as_array().is_some_and(|dead| dead.len() < 100), "{} units are dead", json["dead"]);
    let size = |name: &str| fs::metadata(out.join(name)).expect("a file").len();
    assert!(size("correlation.png") < 4 << 20 && size("index.html") < 6 << 20, "{}", size("index.html"));
    assert_eq!(npy(&out.join("correlations.npy")).0, [1, 4096, 4096]);
}
