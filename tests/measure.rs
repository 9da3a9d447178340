//! What is measured of runs: traces, layers' times, and the commands `bench` and `profile` that show and compare them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use googlenet::{Activity, Model, Options, Session, Trace};
use serde_json::Value;

fn googlenet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_googlenet")).args(arguments).output().expect("the command runs")
}

fn succeed(arguments: &[&str]) -> String {
    let output = googlenet(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn fail(arguments: &[&str], code: i32, word: &str) {
    let output = googlenet(arguments);
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {words}");
    assert!(words.contains(word), "{arguments:?}: {words}");
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().expect("UTF-8").to_owned()
}

fn model() -> Model {
    Model::open("weights/demo.safetensors").expect("the demonstration weights")
}

/// The sessions that traces are looked at of: alone, sharing images, whole images each, and on threads that are lent one
/// after the other, so that the session's own does all, or that do not come at all.
fn sessions() -> Vec<(&'static str, Session)> {
    let model = model();
    let session = |options: Options| model.session(options.profile(true)).expect("a session");
    let own = |threads, batch| session(Options::new().threads(threads).batch(batch));
    let in_turns = |count: usize, body: &(dyn Fn(usize) + Sync)| (0..count).for_each(body);
    vec![
        ("alone", own(1, 1)),
        ("two threads", own(2, 1)),
        ("three threads on two images", own(3, 2)),
        ("two threads, five images", own(2, 5)),
        ("lent in turns", session(Options::new().parallel_for(2, in_turns))),
        ("lent and whole images", session(Options::new().parallel_for(2, in_turns).batch(3))),
        ("not lent", session(Options::new().parallel_for(2, |_, _| ()))),
    ]
}

/// Nanoseconds that each thread spent in each run.
fn sums(trace: &Trace) -> BTreeMap<(usize, usize), u64> {
    let mut sums = BTreeMap::new();
    for slice in &trace.slices {
        *sums.entry((slice.thread, slice.run)).or_default() += slice.nanoseconds.end - slice.nanoseconds.start;
    }
    sums
}

#[test]
fn a_trace_has_every_task_once_and_no_moment_twice() {
    const RUNS: usize = 5;
    for (name, mut session) in sessions() {
        session.run();
        // Whatever takes the core away between two runs is no part of them: then it is tried again.
        let mut tries = 0;
        let (trace, profile) = loop {
            session.record(RUNS).expect("memory");
            session.reset_profile();
            let begin = Instant::now();
            (0..RUNS).for_each(|_| session.run());
            let wall = begin.elapsed().as_nanos() as u64;
            let (trace, profile) = (session.trace(), session.profile());
            let sums = sums(&trace);
            let all = |thread: usize| (0..RUNS).map(|run| sums[&(thread, run)]).sum::<u64>();
            let off = |thread| all(thread).abs_diff(wall) as f64 / wall as f64;
            if (0..session.threads()).all(|thread| off(thread) < 0.03) {
                break (trace, profile);
            }
            tries += 1;
            assert!(tries < 10, "{name}: thread 0 has {} of {wall} nanoseconds", all(0));
        };
        session.run();
        assert_eq!(session.trace().runs, trace.runs, "{name}: a run more than was asked for");

        let (threads, batch) = (session.threads(), session.batch());
        assert_eq!((trace.threads, trace.runs.len()), (threads, RUNS), "{name}");
        let steps = session.describe();
        let mut done: BTreeMap<(usize, usize, usize), usize> = BTreeMap::new();
        let mut by_step = vec![0; steps.len()];
        for slice in &trace.slices {
            assert!(slice.nanoseconds.start < slice.nanoseconds.end && slice.thread < threads, "{name}: {slice:?}");
            let run = &trace.runs[slice.run];
            assert!(run.start <= slice.nanoseconds.start, "{name}: {slice:?} of {run:?}");
            if let Activity::Task { step, image, .. } = slice.activity {
                *done.entry((slice.run, image, step)).or_default() += 1;
                by_step[step] += slice.nanoseconds.end - slice.nanoseconds.start;
            }
        }
        for (run, image, step) in done.keys() {
            assert!(*run < RUNS && *image < batch && *step < steps.len(), "{name}: {run} {image} {step}");
        }
        for (step, described) in steps.iter().enumerate() {
            assert_eq!(trace.steps[step].layers, described.layers, "{name}");
            for (run, image) in (0..RUNS).flat_map(|run| (0..batch).map(move |image| (run, image))) {
                assert_eq!(done.get(&(run, image, step)), Some(&described.tasks), "{name}: {}", described.layers);
            }
        }
        // What was recorded of a step is what was summed up of it, to the nanosecond, but for tasks that took none.
        let mut profiled: Vec<u64> = profile.iter().map(|layer| layer.nanoseconds).collect();
        let (mut recorded, slack) = (by_step, (RUNS * batch * 12) as u64);
        profiled.sort_unstable();
        recorded.sort_unstable();
        for (profiled, recorded) in profiled.iter().zip(&recorded) {
            assert!(recorded.abs_diff(*profiled) <= slack, "{name}: {profiled} and {recorded} nanoseconds");
        }
        // Slices of a thread follow each other, and in each run they add up to the run.
        for pair in trace.slices.windows(2).filter(|pair| pair[0].thread == pair[1].thread) {
            assert!(pair[0].nanoseconds.end <= pair[1].nanoseconds.start, "{name}: {pair:?}");
        }
        let sums = sums(&trace);
        for thread in 0..threads {
            for (run, time) in trace.runs.iter().enumerate() {
                let (sum, own) = (sums[&(thread, run)], time.end - time.start);
                assert!(sum.abs_diff(own) as f64 <= 0.03 * own as f64, "{name}: {sum} of {own} in run {run}");
            }
        }
        session.record(0).expect("nothing to have");
        assert!(session.trace().slices.is_empty() && session.trace().runs.is_empty());
    }
}

/// The times of layers are those of runs: what lies between them is little.
#[test]
fn layers_add_up_to_the_wall_clock() {
    let mut session = model().session(Options::new().profile(true)).expect("a session");
    (0..3).for_each(|_| session.run());
    // What takes the core away between two layers is no part of them: then it is tried again.
    let mut ratios = Vec::new();
    while ratios.len() < 10 && !ratios.last().is_some_and(|ratio: &f64| (ratio - 1.0).abs() < 0.03) {
        session.reset_profile();
        let begin = Instant::now();
        (0..50).for_each(|_| session.run());
        let wall = begin.elapsed().as_nanos() as f64;
        ratios.push(session.profile().iter().map(|layer| layer.nanoseconds).sum::<u64>() as f64 / wall);
    }
    assert!(ratios.last().is_some_and(|ratio| (ratio - 1.0).abs() < 0.03), "{ratios:?} of the wall clock");
}

/// Runs with and without a recording in turns. Where the machine does other things meanwhile a try may fail; all do only
/// where recording takes time.
#[test]
fn recording_takes_less_than_a_hundredth() {
    for threads in [1, 2] {
        let model = model();
        let session = || model.session(Options::new().threads(threads).side(224)).expect("a session");
        let (mut plain, mut recorded) = (session(), session());
        let mut ratios = Vec::new();
        for _ in 0..6 {
            let mut seconds = [Vec::new(), Vec::new()];
            recorded.record(40).expect("memory");
            for turn in 0..40 {
                for which in [turn % 2, 1 - turn % 2] {
                    let session = if which == 0 { &mut plain } else { &mut recorded };
                    let begin = Instant::now();
                    session.run();
                    seconds[which].push(begin.elapsed().as_secs_f64());
                }
            }
            assert_eq!(recorded.trace().runs.len(), 40);
            // The fastest half of each: what disturbs makes runs slower.
            let [plain, recorded] = seconds.map(|mut seconds| {
                seconds.sort_by(f64::total_cmp);
                seconds[..20].iter().sum::<f64>()
            });
            ratios.push(recorded / plain);
            if recorded / plain < 1.01 {
                break;
            }
        }
        println!("{threads} threads: recorded runs take {ratios:.4?} times as long");
        assert!(ratios.iter().any(|&ratio| ratio < 1.01), "{threads} threads: {ratios:?}");
    }
}

/// A time of the Trace Event format in nanoseconds.
fn nanoseconds(value: &Value) -> i64 {
    let microseconds = value.as_f64().expect("a number");
    assert!(microseconds.is_finite() && microseconds >= 0.0, "{microseconds}");
    (microseconds * 1e3).round() as i64
}

/// Holds a file of the Trace Event format to what viewers rest on; returns nanoseconds by thread and category.
fn check_events(file: &Value, threads: usize) -> BTreeMap<(u64, String), i64> {
    let events = file["traceEvents"].as_array().expect("events");
    let mut tracks: BTreeMap<u64, Vec<(i64, i64, &Value)>> = BTreeMap::new();
    let mut names = BTreeMap::new();
    for event in events {
        assert_eq!(event["pid"], 1, "{event}");
        assert!(event["name"].as_str().is_some_and(|name| !name.is_empty()), "{event}");
        match event["ph"].as_str() {
            Some("M") if event["name"] == "thread_name" => {
                names.insert(event["tid"].as_u64().expect("a thread"), event["args"]["name"].clone());
            }
            Some("M") => assert!(event["args"].is_object(), "{event}"),
            Some("X") => {
                let (begin, length) = (nanoseconds(&event["ts"]), nanoseconds(&event["dur"]));
                assert!(length > 0, "{event}");
                tracks.entry(event["tid"].as_u64().expect("a thread")).or_default().push((begin, length, event));
            }
            _ => panic!("an event of no known phase: {event}"),
        }
    }
    let ids: Vec<u64> = (1..=threads as u64).collect();
    assert_eq!(names.keys().copied().collect::<Vec<_>>(), ids, "a name for each thread");
    assert_eq!(tracks.keys().copied().collect::<Vec<_>>(), ids, "a track for each thread");
    let mut sums = BTreeMap::new();
    for (tid, mut slices) in tracks {
        slices.sort_by_key(|&(begin, length, _)| (begin, -length));
        let mut open: Vec<i64> = Vec::new();
        for (begin, length, event) in slices {
            let end = begin + length;
            open.retain(|&other| other > begin);
            assert!(open.iter().all(|&other| end <= other), "{event} neither nests nor follows");
            open.push(end);
            let (category, args) = (event["cat"].as_str().expect("a category"), &event["args"]);
            match category {
                "task" => {
                    assert!(args["step"] == event["name"] && args["kernel"].is_string(), "{event}");
                    for key in ["range", "blocks"] {
                        let [from, to] = [0, 1].map(|i| args[key][i].as_u64().expect("a number"));
                        assert!(from <= to && (key == "blocks" || from < to), "{event}");
                    }
                    assert!(args["image"].is_u64() && args["phase"].is_u64(), "{event}");
                }
                "wait" => assert!(args["phase"].is_u64() || args["phase"].is_null(), "{event}"),
                "keep" | "run" => {}
                _ => panic!("an unknown category: {event}"),
            }
            assert!(args["run"].is_u64(), "{event}");
            *sums.entry((tid, category.to_owned())).or_default() += length;
        }
    }
    sums
}

#[test]
fn profile_writes_a_trace_that_viewers_open() {
    let folder = tempfile::tempdir().expect("a folder");
    for (threads, batch) in [(1, 1), (2, 1), (2, 3)] {
        let trace = path(folder.path(), &format!("{threads}-{batch}.json"));
        let (count, images) = (threads.to_string(), batch.to_string());
        let arguments =
            ["profile", "--json", "--runs", "4", "--threads", &count, "--batch", &images, "--trace", &trace];
        let line = json(&succeed(&arguments));
        let file = json(&std::fs::read_to_string(&trace).expect("written"));
        let sums = check_events(&file, threads);
        let of = |tid: usize, category: &str| sums.get(&(tid as u64, category.to_owned())).copied().unwrap_or(0);
        let all = of(1, "run");
        let ms = line["ms"].as_f64().expect("ms");
        assert!((all as f64 / 1e6 - ms).abs() < 1e-3, "{all} nanoseconds, {ms} ms");
        for tid in 1..=threads {
            let sum: i64 = ["task", "wait", "keep"].map(|category| of(tid, category)).iter().sum();
            assert!((sum - all).abs() as f64 <= 0.03 * all as f64, "thread {tid}: {sum} of {all} nanoseconds");
            let shares = &line["threads"][tid - 1];
            let total: f64 = ["tasks", "keeps", "waits"].map(|key| shares[key].as_f64().expect("a share")).iter().sum();
            assert!((total - 1.0).abs() < 0.03, "{shares}");
            assert!(of(tid, "task") > 0 || threads > 1, "thread {tid} did nothing");
        }
    }
    fail(&["profile", "--trace", &path(folder.path(), "1-1.json")], 5, "exists");
    fail(&["profile", "--runs", "0"], 2, "--runs");
    let text = succeed(&["profile", "--runs", "2", "--threads", "2"]);
    assert!(text.contains("thread 1 tasks ") && text.contains(" for phase "), "{text}");
}

#[test]
fn bench_shows_layers_as_an_aligned_table() {
    let text = succeed(&["bench", "--layers", "--runs", "3"]);
    let lines: Vec<&str> = text.lines().collect();
    let head = lines.iter().position(|line| line.trim_start().starts_with("ms ")).expect("a head");
    let column = |name: &str| lines[head].find(name).expect(name) + name.len();
    for word in ["ms", "%", "sum %", "peak %", "computed", "GB/s", "kernel", "layers"] {
        assert!(lines[head].contains(word), "{word}: {}", lines[head]);
    }
    let rows: Vec<&str> = lines[head + 1..].iter().copied().take_while(|line| !line.contains("in all")).collect();
    assert!(rows.len() > 40, "{text}");
    let names = lines[head].find("layers").expect("a column");
    let mut sum = 0.0;
    for row in &rows {
        // Names of layers begin in one column, as numbers end in one.
        assert!(row.is_char_boundary(names) && row[..names].ends_with("  ") && !row[names..].starts_with(' '), "{row}");
        for end in ["ms", "sum %", "peak %", "computed", "GB/s"].map(column) {
            assert!(row.as_bytes()[end - 1] != b' ' && row.as_bytes()[end] == b' ', "{row}");
        }
        let cells: Vec<f64> = row.split_whitespace().take(3).map(|cell| cell.parse().expect("a number")).collect();
        sum += cells[1];
        assert!((cells[2] - sum).abs() < 0.06 * rows.len() as f64, "{row}");
    }
    assert!(rows.last().expect("rows").contains(" 100.0 "), "{rows:?}");
    let help = succeed(&["bench", "--help"]);
    for word in ["above 100 %", "Winograd", "median_ms", "cumulated_share", "Exit codes: 6"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[test]
fn bench_prints_rounded_values_under_documented_names() {
    let line = json(&succeed(&["bench", "--layers", "--runs", "3", "--json"]));
    let help = succeed(&["bench", "--help"]);
    let documented = |key: &String| help.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == key);
    let (layers, ms) = (line["layers"].as_array().expect("layers"), line["median_ms"].as_f64().expect("ms"));
    for key in line.as_object().expect("an object").keys().chain(layers[0].as_object().expect("an object").keys()) {
        assert!(documented(key), "{key} is not documented");
    }
    let is_rounded = |value: f64, digits: i32| ((value * 10_f64.powi(digits)).round() / 10_f64.powi(digits)) == value;
    assert!(is_rounded(ms, 4) && is_rounded(line["gmacs"].as_f64().expect("a speed"), 1), "{line}");
    let share: f64 = layers.iter().map(|layer| layer["share"].as_f64().expect("a share")).sum();
    assert!((share - 1.0).abs() < 1e-4 * layers.len() as f64);
    assert_eq!(layers.last().expect("layers")["cumulated_share"], 1.0);
    for layer in layers {
        assert!(["ms", "share", "share_of_peak"].iter().all(|&key| is_rounded(layer[key].as_f64().expect(key), 4)));
        assert!(layer["activation_bytes"].as_u64() > Some(0) && layer["gb_per_s"].as_f64() > Some(0.0), "{layer}");
    }
}

#[test]
fn a_measurement_is_saved_and_compared_with_and_its_exit_code_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let saved = path(folder.path(), "saved.json");
    let own = json(&succeed(&["bench", "--runs", "5", "--json", "--save", &saved]));
    let file = json(&std::fs::read_to_string(&saved).expect("written"));
    assert_eq!(file, own);
    fail(&["bench", "--runs", "1", "--save", &saved], 5, "exists");
    // Whatever the machine does meanwhile: a thousandth of the time, and a thousand times as much.
    let edited = |name: &str, key: &str, value: Value| {
        let (mut file, path) = (file.clone(), path(folder.path(), name));
        file[key] = value;
        std::fs::write(&path, file.to_string()).expect("written");
        path
    };
    let ms = own["median_ms"].as_f64().expect("ms");
    let slow = edited("slow.json", "median_ms", (ms * 1e3).into());
    let fast = edited("fast.json", "median_ms", (ms / 1e3).into());
    let text = succeed(&["bench", "--runs", "3", "--against", &slow, "--assert", "1.02"]);
    assert!(text.contains("against  ") && text.contains("slow.json"), "{text}");
    fail(&["bench", "--runs", "3", "--against", &fast, "--assert", "1.02"], 6, "--assert allows 1.02");
    let line = json(&succeed(&["bench", "--runs", "3", "--json", "--against", &fast]));
    assert!(line["against"]["ratio"].as_f64() > Some(10.0) && line["against"]["holds"].is_null(), "{line}");
    // What does not compare, or is no measurement.
    let other = edited("other.json", "threads", 2.into());
    fail(&["bench", "--runs", "1", "--against", &other], 2, "threads 2, not 1");
    let cpu = edited("cpu.json", "host", serde_json::json!({ "cpu": "another" }));
    succeed(&["bench", "--runs", "1", "--against", &cpu]);
    fail(&["bench", "--runs", "1", "--against", &cpu, "--assert", "9"], 2, "another");
    let none = edited("none.json", "median_ms", Value::Null);
    fail(&["bench", "--runs", "1", "--against", &none], 4, "median_ms");
    fail(&["bench", "--runs", "1", "--against", &path(folder.path(), "absent.json")], 4, "absent.json");
    fail(&["bench", "--assert", "1.02"], 2, "--against");
    fail(&["bench", "--against", &saved, "--assert", "0"], 2, "above 0");
}

#[test]
fn two_binaries_measure_in_turns() {
    let own = env!("CARGO_BIN_EXE_googlenet");
    let line = json(&succeed(&["bench", "--runs", "7", "--json", "--against-binary", own, "--assert", "50"]));
    let against = &line["against"];
    let [ratio, least, most] =
        [&against["ratio"], &against["spread"][0], &against["spread"][1]].map(|value| value.as_f64().expect("a ratio"));
    assert!(0.02 < least && least <= ratio && ratio <= most && most < 50.0, "{against}");
    assert_eq!(against["holds"], true);
    fail(&["bench", "--runs", "1", "--against-binary", "/nowhere"], 2, "/nowhere");
    #[cfg(unix)]
    fail(&["bench", "--runs", "1", "--against-binary", "/bin/false"], 2, "/bin/false measured nothing");
}

#[test]
fn the_roofline_has_every_layer_that_multiplies() {
    let folder = tempfile::tempdir().expect("a folder");
    let svg = path(folder.path(), "roofline.svg");
    let line = json(&succeed(&["profile", "--json", "--runs", "3", "--roofline", &svg]));
    let roofs = line["roofs"].as_array().expect("roofs");
    assert_eq!(roofs.last().expect("memory")["name"], "memory");
    assert!(roofs.iter().all(|roof| roof["gb_per_s"].as_f64() > Some(0.1)), "{roofs:?}");
    let text = std::fs::read_to_string(&svg).expect("drawn");
    let drawing = roxmltree::Document::parse(&text).expect("XML");
    let dots = drawing.descendants().filter(|node| node.attribute("class") == Some("dot")).count();
    let numbers: Vec<&str> = drawing
        .descendants()
        .filter(|node| node.attribute("class") == Some("number"))
        .filter_map(|node| node.text())
        .collect();
    assert_eq!(numbers, (1..=dots).map(|i| i.to_string()).collect::<Vec<_>>());
    let session = model().session(Options::new().profile(true)).expect("a session");
    let expected = session.profile().iter().filter(|layer| layer.computed > 0).count();
    assert_eq!(dots, expected);
    for words in ["conv1/7x7_s2", "memory", "peak", "prefers-color-scheme"] {
        assert!(text.contains(words), "{words}");
    }
}

/// The drawing of a plan: each network, each precision, shared images and whole ones.
#[test]
fn plans_of_all_networks_are_drawn_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let dialects = ["bvlc", "torchvision", "krizhevsky", "bvlc-alexnet", "zeiler-fergus", "naive"];
    let cases = dialects.iter().map(|&dialect| (dialect, "f32", "2", "1"));
    let others = [("bvlc", "int8", "8", "1"), ("bvlc", "bf16", "1", "1"), ("naive", "f32", "2", "3")];
    for (dialect, precision, threads, batch) in cases.chain(others) {
        let svg = path(folder.path(), &format!("{dialect}-{precision}-{threads}-{batch}.svg"));
        let arguments = ["plan", "--dialect", dialect, "--precision", precision, "--threads", threads];
        let text = succeed(&[&arguments[..], &["--batch", batch, "--svg", &svg]].concat());
        let drawn = std::fs::read_to_string(&svg).expect("drawn");
        let drawing = roxmltree::Document::parse(&drawn).unwrap_or_else(|error| panic!("{svg}: {error}"));
        let of = |class: &str| {
            let own = move |node: &roxmltree::Node<'_, '_>| {
                node.attribute("class").is_some_and(|classes| classes.split(' ').any(|own| own == class))
            };
            drawing.descendants().filter(own).collect::<Vec<_>>()
        };
        // Every layer of the table has a box, with its kernel; every module a frame.
        let cost = json(&succeed(&["cost", "--dialect", dialect, "--json"]));
        let layers: std::collections::BTreeSet<&str> = cost["layers"]
            .as_array()
            .expect("layers")
            .iter()
            .map(|layer| layer["name"].as_str().expect("a name").split("/group").next().expect("a name"))
            .collect();
        let legend = of("layer").iter().filter(|node| node.attribute("width") == Some("16")).count();
        assert_eq!(of("layer").len() - legend, layers.len(), "{svg}");
        let modules = layers.iter().filter_map(|name| name.strip_prefix("inception_")?.split('/').next());
        let modules: std::collections::BTreeSet<&str> = modules.collect();
        assert_eq!(of("module").len(), modules.len(), "{svg}");
        let words: Vec<&str> = drawing.descendants().filter_map(|node| node.text()).collect();
        for word in ["The network", "The arena over time", "Tasks over threads"] {
            assert!(words.contains(&word), "{svg}: {word}");
        }
        for line in text.lines().filter_map(|line| line.split_once(", at byte ")) {
            let kernel = line.1.trim_start_matches(|c: char| c.is_ascii_digit() || c == ',' || c == ' ');
            let kernel = kernel.split(": ").next().and_then(|kernel| kernel.split(" (").next()).expect("a kernel");
            // Of two steps the drawing shows the second.
            let shown = kernel.ends_with(" input") || words.iter().any(|word| word.contains(kernel));
            assert!(shown, "{svg}: {kernel:?} of {line:?}");
        }
        // What is drawn lies in the drawing.
        let view: Vec<f64> = drawing
            .root_element()
            .attribute("viewBox")
            .expect("a size")
            .split(' ')
            .map(|n| n.parse().expect("a number"))
            .collect();
        for node in drawing.descendants().filter(|node| node.has_tag_name("rect")) {
            let number = |key: &str| node.attribute(key).map_or(0.0, |value| value.parse::<f64>().expect("a number"));
            assert!(number("x") >= 0.0 && number("x") + number("width") <= view[2] + 0.1, "{svg}: {node:?}");
            assert!(number("width") >= 0.0 && number("height") > 0.0, "{svg}: {node:?}");
        }
        let tasks: usize = text
            .lines()
            .filter_map(|line| line.split(", ").find_map(|part| part.strip_suffix(" tasks")?.parse::<usize>().ok()))
            .sum();
        assert!(of("task").len() >= tasks, "{svg}: {} of {tasks} tasks", of("task").len());
        assert!(!of("span").is_empty() && of("peak").len() == 1, "{svg}");
    }
    let svg = path(folder.path(), "demo.svg");
    assert!(succeed(&["plan", "--svg", &svg]).contains("\nweights packed in memory"));
    fail(&["plan", "--svg", &svg], 5, "exists");
    fail(&["plan", "--dialect", "bvlc", "--weights", "x"], 2, "--weights");
    fail(&["plan", "--dialect", "krizhevsky", "--side", "64"], 2, "64");
}
