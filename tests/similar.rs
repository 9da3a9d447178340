//! Tests `googlenet index` and `googlenet similar` as a user meets them, on pictures made of the photograph.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use googlenet::index::Index;
use googlenet::{Model, Options};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

const PHOTOGRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/chelsea.png");
const DEMONSTRATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors");

fn googlenet(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_googlenet"));
    command.args(arguments).env_remove("GOOGLENET_ISA").output().expect("the command starts")
}

/// Runs the command, which must succeed. Returns what it printed.
fn succeed(arguments: &[&str]) -> String {
    let output = googlenet(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs the command, which must end with the exit status `code` and an error that contains `word`.
fn fail(arguments: &[&str], code: i32, word: &str) {
    let output = googlenet(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(stderr.lines().last().is_some_and(|line| line.starts_with("error: ") && line.contains(word)), "{stderr}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

const NAMES: [&str; 8] = ["0.png", "1.png", "2.png", "3.jpg", "4.png", "<b>&.png", "deep/6.png", "deep/er/7.png"];

/// A folder with the folder `pictures`, in which are eight pictures; number 3 is the same as 0 to look at, and so is 7.
fn folder() -> TempDir {
    let folder = tempdir().expect("a folder");
    let pictures = folder.path().join("pictures");
    fs::create_dir_all(pictures.join("deep/er")).expect("made");
    let photograph = image::open(PHOTOGRAPH).expect("the photograph").thumbnail(200, 200);
    let turned = [
        photograph.clone(),
        photograph.rotate180(),
        photograph.brighten(90),
        photograph.clone(),
        photograph.crop_imm(30, 10, 60, 60),
        photograph.huerotate(120).blur(4.0),
        photograph.crop_imm(100, 60, 60, 60),
        photograph.brighten(2),
    ];
    for (name, picture) in NAMES.iter().zip(turned) {
        picture.to_rgb8().save(pictures.join(name)).expect("saved");
    }
    folder
}

fn make(folder: &Path) -> std::path::PathBuf {
    let index = folder.join("index");
    let printed = succeed(&["index", text(&folder.join("pictures")), text(&index)]);
    assert!(printed.ends_with("index: 8 pictures, 1024 features each\n"), "{printed}");
    index
}

fn json(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).expect("a line of JSON")
}

/// The names and similarities of a list of hits.
fn hits(list: &Value) -> Vec<(String, f64)> {
    let of = |hit: &Value| {
        (hit["image"].as_str().expect("a name").to_owned(), hit["similarity"].as_f64().expect("a number"))
    };
    list.as_array().expect("a list").iter().map(of).collect()
}

/// The file as its documentation has it, read by no code of the library: rows of the features that the network gives, of
/// length 1; and an answer that is all products in order.
#[test]
fn rows_are_the_features_and_answers_are_all_products_in_order() {
    let folder = folder();
    let path = make(folder.path());
    let bytes = fs::read(&path).expect("read");
    assert!(bytes.starts_with(b"googlenet index\n\0"));
    let mut session =
        Model::open(DEMONSTRATION).expect("weights").session(Options::new().endpoint("pool5")).expect("a session");
    let rows: Vec<Vec<f32>> = bytes[64..64 + 8 * 4096]
        .chunks_exact(4096)
        .map(|row| row.as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value)).collect())
        .collect();
    for (row, name) in rows.iter().zip(NAMES) {
        let picture = googlenet::image::open(folder.path().join("pictures").join(name)).expect("a picture");
        session.classify(picture.view(), 1).expect("classified");
        let features = session.endpoint("pool5").expect("kept");
        let length = features.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        for (&value, &feature) in row.iter().zip(features) {
            assert!((f64::from(value) - f64::from(feature) / length).abs() < 1e-6, "{name}");
        }
    }
    let query = folder.path().join("pictures").join(NAMES[4]);
    let found = json(&succeed(&["similar", text(&path), text(&query), "--json", "--top", "20"]));
    assert_eq!(found["image"], text(&query));
    let dot = |row: &[f32]| row.iter().zip(&rows[4]).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let mut expected: Vec<(usize, f64)> = rows.iter().map(|row| dot(row)).enumerate().collect();
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    let found = hits(&found["similar"]);
    assert_eq!((found.len(), found[0].0.as_str()), (8, NAMES[4]));
    for ((name, similarity), (row, product)) in found.iter().zip(expected) {
        assert_eq!(name, NAMES[row]);
        assert!((similarity - product).abs() < 1e-12);
    }
}

#[test]
fn answers_are_text_json_and_a_page() {
    let folder = folder();
    let index = make(folder.path());
    let [query, page] = ["pictures/0.png", "page.html"].map(|name| folder.path().join(name));
    let printed = succeed(&["similar", text(&index), text(&query), PHOTOGRAPH, "--top", "3", "--html", text(&page)]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 8, "{printed}");
    assert!(lines[0].contains("0.png  (8 searched in ") && lines[1] == "   1.0000  0.png", "{printed}");
    let page = fs::read_to_string(&page).expect("UTF-8");
    assert_eq!(page.matches("src=\"data:image/jpeg;base64,").count(), 8);
    assert!(page.contains("<b>1.0000</b> <span>0.png</span>") && !page.contains("http:"));
    // A page of before is not replaced unless that is asked for; a name that would be HTML is text.
    let path = folder.path().join("page.html");
    fail(&["similar", text(&index), text(&query), "--html", text(&path)], 5, "exists");
    succeed(&["similar", text(&index), text(&query), "--html", text(&path), "--force"]);
    let page = fs::read_to_string(&path).expect("UTF-8");
    assert!(page.contains("&lt;b&gt;&amp;.png") && !page.contains("<b>&"));
    // The pictures have moved.
    fs::rename(folder.path().join("pictures"), folder.path().join("moved")).expect("renamed");
    let arguments = ["similar", text(&index), PHOTOGRAPH, "--html", text(&path), "--force"];
    succeed(&arguments);
    let page = || fs::read_to_string(&path).expect("UTF-8");
    assert_eq!(page().matches("not to be read any more").count(), 8);
    succeed(&[&arguments[..], &["--pictures", text(&folder.path().join("moved"))]].concat());
    assert_eq!(page().matches("not to be read any more").count(), 0);
}

#[test]
fn near_duplicates_are_groups() {
    let folder = folder();
    let index = make(folder.path());
    let found = json(&succeed(&["similar", text(&index), "--near-duplicates", "--json"]));
    assert_eq!(found["similarity"], 0.95);
    let groups: Vec<Vec<(String, f64)>> = found["groups"].as_array().expect("a list").iter().map(hits).collect();
    let first: Vec<&str> = groups[0].iter().map(|hit| hit.0.as_str()).collect();
    assert!(["0.png", "3.jpg", "deep/er/7.png"].iter().all(|name| first.contains(name)), "{groups:?}");
    assert!(groups.iter().flatten().all(|hit| hit.1 >= 0.95));
    let page = folder.path().join("page.html");
    let printed = succeed(&["similar", text(&index), "--near-duplicates=1.0", "--html", text(&page)]);
    assert!(printed.starts_with("0 of 8 pictures in 0 groups, at least 1 alike"), "{printed}");
    assert!(fs::read_to_string(&page).expect("UTF-8").contains("are in 0 groups"));
    fail(&["similar", text(&index), "--near-duplicates=0.2"], 2, "0.5 to 1");
    fail(&["similar", text(&index)], 2, "IMAGE");
}

#[test]
fn indexes_that_cannot_be_used_are_refused() {
    let folder = folder();
    let index = make(folder.path());
    let bytes = fs::read(&index).expect("read");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("written");
        path
    };
    fail(&["similar", text(&file("cut", &bytes[..bytes.len() - 1])), PHOTOGRAPH], 3, "cut");
    fail(&["similar", text(&file("empty", b"")), PHOTOGRAPH], 3, "no index");
    fail(&["similar", DEMONSTRATION, PHOTOGRAPH], 3, "no index");
    fail(&["similar", "none", PHOTOGRAPH], 3, "none");
    fail(&["similar", text(&index), "none.png"], 4, "none.png");
    fail(&["index", text(&folder.path().join("pictures")), text(&index)], 5, "exists");
    fail(&["index", text(&folder.path().join("nowhere")), text(&folder.path().join("i"))], 4, "nowhere");

    // The same weights in another file are the same weights, and others are not.
    let weights = googlenet::weights::Weights::open(DEMONSTRATION).expect("weights");
    let mut tensors: Vec<_> = weights
        .tensors()
        .map(|t| googlenet::weights::NewTensor {
            name: t.name(),
            shape: t.shape(),
            dtype: googlenet::weights::Dtype::F32,
            values: t.to_f32(),
        })
        .collect();
    let (same, other) = (folder.path().join("same"), folder.path().join("other"));
    googlenet::weights::write(&same, weights.metadata(), &tensors, false).expect("written");
    tensors[0].values.to_mut()[0] += 1.0;
    googlenet::weights::write(&other, weights.metadata(), &tensors, false).expect("written");
    succeed(&["similar", text(&index), PHOTOGRAPH, "--weights", text(&same)]);
    fail(&["similar", text(&index), PHOTOGRAPH, "--weights", text(&other)], 3, "other weights (bvlc)");

    // A picture that cannot be read is named and left out, and the exit code says so.
    fs::write(folder.path().join("pictures/5.png"), b"none").expect("written");
    let output = googlenet(&["index", text(&folder.path().join("pictures")), text(&index), "--force"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(4) && stderr.contains("5.png") && stderr.contains("1 of 9"), "{stderr}");
    assert_eq!(Index::open(&index).expect("written all the same").len(), 8);
}

/// Names are kept as the system has them.
#[cfg(target_os = "linux")]
#[test]
fn names_that_are_no_text_survive() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let name = std::ffi::OsStr::from_bytes(b"\xff\n.png");
    fs::rename(folder.path().join("pictures/0.png"), folder.path().join("pictures").join(name)).expect("renamed");
    let path = make(folder.path());
    let index = Index::open(&path).expect("an index");
    assert!((0..8).any(|row| index.name(row) == b"\xff\n.png"));
    let page = folder.path().join("page.html");
    let printed = succeed(&["similar", text(&path), PHOTOGRAPH, "--html", text(&page)]);
    assert!(printed.contains("\u{fffd}\\n.png"), "{printed}");
    assert!(!fs::read_to_string(&page).expect("UTF-8").contains("not to be read"));
}

/// Made-up rows, and a search whose speed is compared with that of memory in the same run. The folder and the number of rows are the
/// environment's: `GOOGLENET_INDEX=FOLDER,1000000 cargo test --release --test similar -- --ignored --nocapture`. What it
/// leaves there, `tests/oracles/similar.py --check` compares with numpy.
#[test]
#[ignore = "needs minutes, 4 GB of disk and of memory, and a machine that does nothing else"]
#[allow(unsafe_code, reason = "no other process writes to the file")]
fn a_million_rows_are_searched_at_the_speed_of_memory() {
    use googlenet_kernels::bandwidth::read_bandwidth;
    use std::sync::Barrier;
    use std::time::Instant;

    let asked = std::env::var("GOOGLENET_INDEX").expect("GOOGLENET_INDEX=FOLDER,ROWS");
    let (folder, count) = asked.rsplit_once(',').expect("FOLDER,ROWS");
    let (folder, count) = (Path::new(folder), count.parse::<usize>().expect("a number of rows"));
    let (path, features, threads) = (folder.join("index"), 1024, 2);
    // A row is known by its number alone: values from -1 to 1 that look random.
    let row = |number: usize| -> Vec<f32> {
        let mut state = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..features).map(|_| next()).collect()
    };
    if !path.exists() {
        let mut writer = googlenet::index::Writer::create(&path, features).expect("begun");
        for number in 0..count {
            writer.push(number.to_string().as_bytes(), &row(number)).expect("pushed");
        }
        writer.finish(&std::collections::BTreeMap::new(), false).expect("written");
    }
    // SAFETY: nobody else writes to the file.
    let index = unsafe { Index::map(&path) }.expect("an index");
    assert_eq!(index.len(), count);
    // Near some row, and near none.
    let queries: Vec<Vec<f32>> = (0..6)
        .map(|number| {
            let (own, other) = (row(number * count / 6), row(count + number));
            own.iter().zip(other).map(|(a, b)| a * if number < 4 { 0.3 } else { 0.0 } + b).collect()
        })
        .collect();
    // The first search brings the file's pages in.
    let answer = |query: &Vec<f32>| index.search(query, 50, threads).expect("found");
    let answers: Vec<_> = queries
        .iter()
        .map(|query| (query, answer(query).iter().map(|hit| (hit.row, hit.similarity)).collect::<Vec<_>>()))
        .collect();
    let answers = serde_json::json!({ "rows": count, "features": features, "queries": answers });
    fs::write(folder.join("answers.json"), answers.to_string()).expect("written");

    let isa = googlenet::isa::detected().last().expect("one is always there");
    let numbers = [(); 2].map(|()| vec![1.0_f32; 100_000_000]);
    let (mut seconds, mut bandwidths) = (Vec::new(), Vec::new());
    for query in queries.iter().cycle().take(9) {
        let start = Barrier::new(threads);
        let measure = |numbers: &[f32]| {
            start.wait();
            read_bandwidth(isa, numbers, 300)
        };
        let together = std::thread::scope(|scope| {
            let both = [0, 1].map(|thread| {
                let (numbers, measure) = (&numbers[thread], &measure);
                scope.spawn(move || measure(numbers))
            });
            both.map(|thread| thread.join().expect("measured")).iter().sum::<f64>()
        });
        bandwidths.push(together);
        let begin = Instant::now();
        std::hint::black_box(answer(query));
        seconds.push(begin.elapsed().as_secs_f64());
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (bytes, bandwidth, median) = ((count * features * 4) as f64, median(&mut bandwidths), median(&mut seconds));
    let share = bytes / median / bandwidth;
    println!(
        "{count} rows in {:.1} ms: {:.2} GB/s of {:.2}, {:.1} %; the fastest {:.1} ms",
        1e3 * median,
        bytes / median / 1e9,
        bandwidth / 1e9,
        100.0 * share,
        1e3 * seconds[0]
    );
    assert!(share >= 0.8, "{share}");
}
