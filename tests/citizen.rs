//! The command as a good citizen: what it takes pictures from, what it says and to whom, what it tells a user who named the
//! wrong thing, and what shells and manuals are given.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use image::{DynamicImage, ImageFormat};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

const DEMONSTRATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors");
const PHOTOGRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/chelsea.png");

fn googlenet(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_googlenet"));
    command.args(arguments).env_remove("GOOGLENET_ISA").env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    googlenet(arguments).output().expect("the command starts")
}

/// Runs the command with `input` on its standard input.
fn feed(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = googlenet(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    // The command need not read all of it.
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("it ends");
    let _ = writer.join().expect("no panic");
    output
}

fn words(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// What a call printed, which must have ended with `code`.
fn printed(output: Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", words(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn lines(output: Output, code: i32) -> Vec<Value> {
    printed(output, code).lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn photograph() -> DynamicImage {
    image::open(PHOTOGRAPH).expect("the photograph")
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("encoded");
    bytes.into_inner()
}

/// A folder of three pictures in folders, and a file that is none.
fn pictures() -> TempDir {
    let folder = tempdir().expect("a folder");
    let inside = folder.path().join("b/deep");
    fs::create_dir_all(&inside).expect("made");
    for path in [folder.path().join("a.png"), folder.path().join("b/b.png"), inside.join("c.png")] {
        fs::copy(PHOTOGRAPH, path).expect("copied");
    }
    fs::write(folder.path().join("b/notes.txt"), "no picture").expect("written");
    folder
}

#[test]
fn pictures_come_from_folders_lists_and_standard_input() {
    let folder = pictures();
    let at = text(folder.path());
    let names = |lines: &[Value]| -> Vec<String> {
        let name = |line: &Value| line["image"].as_str().expect("a name").replace(&format!("{at}/"), "");
        lines.iter().map(name).collect()
    };
    let all = lines(run(&["classify", "--json", at]), 0);
    assert_eq!(names(&all), ["a.png", "b/b.png", "b/deep/c.png"]);
    let expected = &lines(run(&["classify", "--json", PHOTOGRAPH]), 0)[0]["top"];
    assert!(all.iter().all(|line| line["top"] == *expected));

    let bytes = fs::read(PHOTOGRAPH).expect("read");
    let piped = lines(feed(&["classify", "--json", "-"], &bytes), 0);
    assert_eq!((&piped[0]["image"], &piped[0]["top"]), (&json!("-"), expected));
    let cut = feed(&["classify", "-"], &bytes[..1000]);
    assert!(words(&cut).contains("standard input: picture is cut off"), "{}", words(&cut));
    assert_eq!(printed(cut, 4), "");

    let listed = |list: &str, input: &[u8]| lines(feed(&["classify", "--json", "--files-from", list], input), 0);
    let lines_of = format!("{at}/b/b.png\r\n\n{at}/a.png\n");
    assert_eq!(names(&listed("-", lines_of.as_bytes())), ["b/b.png", "a.png"]);
    let nul = folder.path().join("list");
    fs::write(&nul, format!("{at}/a.png\0{at}/b\0")).expect("written");
    assert_eq!(names(&listed(text(&nul), b"")), ["a.png", "b/b.png", "b/deep/c.png"]);
    for (arguments, code, word) in [
        (vec!["classify", "--files-from", "-", "-"], 2, "standard input is either"),
        (vec!["classify", "-", "-"], 2, "named twice"),
        (vec!["classify", "--files-from", "-"], 4, "names no pictures"),
    ] {
        let refused = run(&arguments);
        assert!(words(&refused).contains(word), "{}", words(&refused));
        printed(refused, code);
    }
}

#[test]
fn one_rule_for_pictures_that_cannot_be_read() {
    let folder = pictures();
    fs::write(folder.path().join("b/broken.jpg"), "no picture").expect("written");
    let output = run(&["classify", "--json", text(folder.path())]);
    let said = words(&output);
    assert!(
        said.contains("broken.jpg: no picture (JPEG,") && said.ends_with("error: 1 of 4 pictures could not be used\n")
    );
    assert_eq!(lines(output, 4).len(), 3);
}

#[test]
#[cfg(target_os = "linux")]
fn names_that_are_not_utf8_survive_in_json() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempdir().expect("a folder");
    let name = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff.png"));
    fs::copy(PHOTOGRAPH, &name).expect("copied");
    let line = &lines(run(&["classify", "--json", text(folder.path())]), 0)[0];
    let hex: String = name.as_os_str().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(line["image"].as_str().expect("a name").ends_with("/\u{fffd}.png"));
    assert_eq!(line["image_hex"], json!(hex));
    // Lists may name it, too.
    let list = [name.as_os_str().as_bytes(), b"\n"].concat();
    assert_eq!(lines(feed(&["classify", "--json", "--files-from", "-"], &list), 0)[0]["image_hex"], json!(hex));
}

/// A JPEG of the photograph as a telephone that is held upright stores it: turned, with a tag that says so.
fn telephone() -> Vec<u8> {
    let bytes = encoded(&photograph().rotate270(), ImageFormat::Jpeg);
    let exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    [&[0xff, 0xd8, 0xff, 0xe1, 0, exif.len() as u8 + 2], &exif[..], &bytes[2..]].concat()
}

#[test]
fn a_telephone_photograph_is_upright_unless_it_is_to_be_as_stored() {
    let folder = tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (turned, upright) = (at("turned.jpg"), at("upright.jpg"));
    fs::write(&turned, telephone()).expect("written");
    fs::write(&upright, encoded(&photograph(), ImageFormat::Jpeg)).expect("written");
    let cat = |output: Output| {
        let line = &lines(output, 0)[0];
        let cat = line["top"].as_array().expect("top").iter().find(|class| class["label"] == "cat");
        cat.and_then(|class| class["probability"].as_f64()).expect("cat is among them")
    };
    let all = ["classify", "--json", "--top", "10"];
    let classified = |path: &Path, more: &[&str]| cat(run(&[&all[..], more, &[text(path)]].concat()));
    assert!((classified(&turned, &[]) - classified(&upright, &[])).abs() < 0.02);
    assert!(classified(&turned, &["--as-stored"]) < 0.5);
    assert!((cat(feed(&[&all[..], &["-"]].concat(), &telephone())) - classified(&turned, &[])).abs() < 1e-9);

    let input = |more: &[&str]| {
        let output = run(&[&["preprocess", text(&turned), "-", "--quiet"], more].concat());
        assert!(output.status.success(), "{}", words(&output));
        output.stdout
    };
    assert_ne!(input(&[]), input(&["--as-stored"]));
    let class = at("of/cat");
    fs::create_dir_all(&class).expect("made");
    fs::copy(&turned, class.join("turned.jpg")).expect("copied");
    let judged = |more: &[&str]| {
        let of = at("of");
        let all = [&["eval", "--json", text(&of)], more].concat();
        lines(run(&all), 0)[0]["top1"].clone()
    };
    assert_eq!((judged(&[]), judged(&["--as-stored"])), (json!(1.0), json!(0.0)));
}

#[test]
fn other_formats_are_classified_as_the_same_picture_is() {
    let folder = tempdir().expect("a folder");
    let expected = &lines(run(&["classify", "--json", PHOTOGRAPH]), 0)[0]["top"];
    for (name, format) in [("p.webp", ImageFormat::WebP), ("p.bmp", ImageFormat::Bmp), ("p.tif", ImageFormat::Tiff)] {
        fs::write(folder.path().join(name), encoded(&photograph().to_rgb8().into(), format)).expect("written");
    }
    let all = lines(run(&["classify", "--json", text(folder.path())]), 0);
    assert!(all.len() == 3 && all.iter().all(|line| line["top"] == *expected));
    // A GIF has 256 colours.
    fs::write(folder.path().join("p.gif"), encoded(&photograph().to_rgba8().into(), ImageFormat::Gif))
        .expect("written");
    let gif = lines(run(&["classify", "--json", text(&folder.path().join("p.gif"))]), 0);
    assert_eq!(gif[0]["top"][0]["label"], "cat");
}

#[test]
fn what_is_doubtful_about_a_picture_is_said() {
    let folder = tempdir().expect("a folder");
    let put = |name: &str, bytes: &[u8]| {
        fs::write(folder.path().join(name), bytes).expect("written");
        text(&folder.path().join(name)).to_owned()
    };
    let whole = encoded(&photograph(), ImageFormat::Jpeg);
    let cases = [
        (put("one.png", &encoded(&DynamicImage::new_rgb8(1, 1), ImageFormat::Png)), "less than 32 a side"),
        (put("strip.png", &encoded(&DynamicImage::new_rgb8(1000, 40), ImageFormat::Png)), "of such a strip"),
        (put("end.jpg", &whole[..whole.len() - 2]), "lacks its last two bytes"),
    ];
    for (path, doubt) in &cases {
        let output = run(&["classify", "--json", path]);
        let said = words(&output);
        assert!(said.starts_with("warning: ") && said.contains(doubt) && said.lines().count() == 1, "{said}");
        assert_eq!(lines(output, 0).len(), 1);
        assert_eq!(words(&run(&["classify", "--quiet", path])), "");
    }
    let cut = run(&["classify", &put("cut.jpg", &whole[..whole.len() - 3])]);
    assert!(words(&cut).contains("cut off"));
    printed(cut, 4);
    let fine = put("fine.png", &encoded(&DynamicImage::new_rgb8(640, 32), ImageFormat::Png));
    assert!(!words(&run(&["classify", &fine])).contains("warning"));
}

#[test]
fn the_demonstration_weights_say_what_they_are_to_people_and_once() {
    let notes = |arguments: &[&str]| words(&run(arguments)).matches("note: these are the built-in").count();
    assert_eq!(notes(&["classify", PHOTOGRAPH, PHOTOGRAPH]), 1);
    for quiet in [&["classify", "--json"][..], &["classify", "--quiet"], &["--quiet", "classify"], &["-q", "plan"]] {
        assert_eq!(words(&run(quiet)), "", "{quiet:?}");
    }
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    assert!(!words(&run(&["classify", "none"])).contains('\u{1b}'));
    // `script` gives the command a terminal of its own.
    let Ok(found) = Command::new("script").arg("--version").output() else { return };
    if !cfg!(target_os = "linux") || !found.status.success() {
        return;
    }
    let on_terminal = |no_color: &str| {
        let line = format!("'{}' classify none", env!("CARGO_BIN_EXE_googlenet"));
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).stdin(Stdio::null());
        let output = script.env("NO_COLOR", no_color).env("TERM", "xterm").output().expect("it starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let coloured = on_terminal("");
    assert!(coloured.contains("\u{1b}[31merror:") && coloured.contains("none"), "{coloured:?}");
    assert!(!on_terminal("1").contains('\u{1b}'));
}

#[test]
fn the_version_names_the_instruction_set() {
    let version = printed(run(&["--version"]), 0);
    assert!(version.starts_with(&format!("googlenet {}", env!("CARGO_PKG_VERSION"))), "{version}");
    let best = googlenet::isa::best().name();
    assert!(version.contains(&format!("\ninstruction set: {best} (of portable")), "{version}");
    assert_eq!(printed(run(&["-V"]), 0).lines().count(), 1);
    let portable = googlenet(&["--version"]).env("GOOGLENET_ISA", "portable").output().expect("it starts");
    assert!(printed(portable, 0).contains("instruction set: portable (of"));
}

#[test]
fn an_empty_instruction_set_means_none_is_named() {
    let output = googlenet(&["classify", "--json"]).env("GOOGLENET_ISA", "").output().expect("it starts");
    assert_eq!(lines(output, 0)[0]["top"][0]["label"], "cat");
}

#[test]
fn shells_complete_and_manuals_are_written() {
    for (shell, word) in [
        ("bash", "complete -F _googlenet"),
        ("zsh", "#compdef googlenet"),
        ("fish", "complete -c googlenet"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = printed(run(&["completions", shell]), 0);
        assert!(script.contains(word) && script.contains("preprocess"), "{shell}");
    }
    let folder = tempdir().expect("a folder");
    if Command::new("bash").arg("--version").output().is_ok() {
        let script = folder.path().join("complete.bash");
        fs::write(&script, run(&["completions", "bash"]).stdout).expect("written");
        let asked = format!(
            "source '{}'; COMP_WORDS=(googlenet prep); COMP_CWORD=1; _googlenet googlenet prep googlenet; \
             echo \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let answered = Command::new("bash").args(["-c", &asked]).output().expect("it starts");
        assert_eq!(String::from_utf8_lossy(&answered.stdout).trim(), "preprocess", "{}", words(&answered));
    }

    let man = folder.path().join("man/man1");
    printed(run(&["man", text(&man)]), 0);
    let page = fs::read_to_string(man.join("googlenet-classify.1")).expect("written");
    assert!(page.starts_with(".ie") || page.contains(".TH"), "{page}");
    assert!(page.contains("EXIF orientation") && page.contains(r"\fB\-\-files\-from\fR"), "{page}");
    let main = fs::read_to_string(man.join("googlenet.1")).expect("written");
    assert!(main.contains("googlenet\\-classify(1)") && main.contains("Exit codes:"), "{main}");
    let refused = run(&["man", text(&man)]);
    assert!(words(&refused).contains("--force"));
    printed(refused, 5);
    printed(run(&["man", text(&man), "--force"]), 0);
}

#[test]
fn what_is_mistyped_is_answered_with_what_was_meant() {
    for (arguments, word) in [
        (&["clasify"][..], "'classify'"),
        (&["classify", "--topp", "3"], "'--top'"),
        (&["preprocess", "a", "b", "--preset", "torchvison"], "torchvision"),
    ] {
        let refused = run(arguments);
        assert!(words(&refused).contains(word) && words(&refused).lines().count() == 1, "{}", words(&refused));
        printed(refused, 2);
    }
    let folder = tempdir().expect("a folder");
    let input = folder.path().join("x.npy");
    printed(run(&["preprocess", PHOTOGRAPH, text(&input)]), 0);
    let output = text(&folder.path().join("y.npy")).to_owned();
    let refused = run(&["run", "-i", text(&input), "-o", &output, "-e", "inception_4f/output"]);
    let said = words(&refused);
    for part in ["\"inception_4f/output\"", "inception_4e/output is similar", "logits, ", "conv1/7x7_s2", "prob"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    printed(refused, 2);
}

/// A message of a protocol buffer: fields of bytes or of numbers.
fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    fields.iter().flat_map(|(tag, content)| [&[tag << 3 | 2, content.len() as u8], *content].concat()).collect()
}

#[test]
fn whatever_is_named_as_weights_is_told_apart() {
    let folder = tempdir().expect("a folder");
    let put = |name: &str, bytes: &[u8]| {
        fs::write(folder.path().join(name), bytes).expect("written");
        text(&folder.path().join(name)).to_owned()
    };
    let plain = |json: &str| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &[0; 4]].concat();
    let zip = |name: &str| {
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.resize(26, 0);
        bytes.extend([name.len() as u8, 0, 0, 0]);
        bytes.extend(name.as_bytes());
        bytes
    };
    let onnx = [&[8, 8][..], &message(&[(2, b"pytorch"), (7, b"")])].concat();
    let cases = [
        (put("a", &plain(r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#)), "is a safetensors file", true),
        (put("b", &onnx), "is an ONNX graph", true),
        (put("c", &message(&[(1, b"GoogleNet"), (2, b"")])), "is a .caffemodel", true),
        (put("d", &zip("conv1.npy")), "is an archive of NumPy arrays", true),
        (put("e", &zip("archive/data.pkl")), "is a checkpoint of PyTorch's (.pth)", false),
        (PHOTOGRAPH.to_owned(), "is a picture, not a weight file", false),
        (text(folder.path()).to_owned(), "is a folder, expected a weight file", false),
    ];
    for (path, said, is_convertible) in &cases {
        for arguments in [&["classify", "--weights", path][..], &["bench", "--weights", path], &["pack", path, "out"]] {
            let refused = run(arguments);
            let words = words(&refused);
            assert!(words.contains(said) && words.lines().count() == 1, "{words}");
            assert_eq!(
                words.contains("googlenet convert"),
                *is_convertible || said.contains(".pth") || said.contains("folder")
            );
            printed(refused, 3);
        }
    }
    let refused = run(&["convert", &cases[4].0, text(&folder.path().join("out"))]);
    assert!(words(&refused).contains("safetensors.torch.save_file"), "{}", words(&refused));
    printed(refused, 3);
    // What is this engine's own, and damaged, is said to be damaged.
    let mut damaged = fs::read(DEMONSTRATION).expect("read");
    *damaged.last_mut().expect("not empty") ^= 1;
    let refused = run(&["classify", "--weights", &put("f", &damaged)]);
    assert!(!words(&refused).contains("convert"), "{}", words(&refused));
    printed(refused, 3);
}

#[test]
fn weights_come_through_pipes_and_without_a_map() {
    let weights = fs::read(DEMONSTRATION).expect("read");
    let expected = &lines(run(&["classify", "--json", PHOTOGRAPH]), 0)[0]["top"];
    for path in if cfg!(unix) { &["-", "/dev/stdin"][..] } else { &["-"] } {
        let output = feed(&["classify", "--json", "--weights", path, PHOTOGRAPH], &weights);
        assert_eq!(&lines(output, 0)[0]["top"], expected);
    }
    let output = run(&["classify", "--json", "--no-mmap", "--weights", DEMONSTRATION, PHOTOGRAPH]);
    assert_eq!(&lines(output, 0)[0]["top"], expected);
    assert!(printed(feed(&["inspect", "-"], &weights), 0).contains("conv1/7x7_s2.weight"));
}

#[test]
fn tensors_go_through_pipes() {
    let folder = tempdir().expect("a folder");
    let at = |name: &str| text(&folder.path().join(name)).to_owned();
    printed(run(&["preprocess", PHOTOGRAPH, &at("x.npy"), "--crops", "10"]), 0);
    // Without weights these are the demonstration weights, as for the others.
    printed(run(&["run", "--input", &at("x.npy"), "--output", &at("y.npy")]), 0);
    let (input, expected) = (fs::read(at("x.npy")).expect("read"), fs::read(at("y.npy")).expect("read"));
    let piped = run(&["preprocess", PHOTOGRAPH, "-", "--crops", "10"]);
    assert!(piped.status.success() && piped.stdout == input);
    for path in if cfg!(unix) { &["-", "/dev/stdin"][..] } else { &["-"] } {
        let output = feed(&["run", "--input", path, "--output", "-"], &input);
        assert!(output.status.success() && output.stdout == expected, "{path}: {}", words(&output));
    }
    for wrong in [&input[..input.len() - 1], &[&input[..], b"x"].concat()] {
        let refused = feed(&["run", "--input", "-", "--output", &at("z.npy")], wrong);
        assert_eq!(refused.status.code(), Some(4), "{}", words(&refused));
        assert!(!Path::new(&at("z.npy")).exists());
    }
}

#[test]
fn convert_keeps_synset_ids_and_packs() {
    let folder = tempdir().expect("a folder");
    let at = |name: &str| text(&folder.path().join(name)).to_owned();
    let names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
    let list: String = names.iter().enumerate().map(|(i, name)| format!("n0000000{i} a {name}\n")).collect();
    fs::write(at("labels.txt"), list).expect("written");
    printed(run(&["convert", DEMONSTRATION, &at("w"), "--labels", &at("labels.txt"), "--pack"]), 0);
    let line = &lines(run(&["classify", "--json", "--weights", &at("w"), PHOTOGRAPH]), 0)[0];
    assert_eq!((&line["top"][0]["label"], &line["top"][0]["id"]), (&json!("a cat"), &json!("n00000003")));
    let verbose = run(&["classify", "--verbose", "--weights", &at("w")]);
    assert!(words(&verbose).contains("used where they lie"), "{}", words(&verbose));
    // `eval` finds the classes by their ids, without a list.
    fs::create_dir_all(folder.path().join("of/n00000003")).expect("made");
    fs::copy(PHOTOGRAPH, folder.path().join("of/n00000003/x.png")).expect("copied");
    let judged = &lines(run(&["eval", "--json", &at("of"), "--weights", &at("w")]), 0)[0];
    assert_eq!((&judged["top1"], &judged["classes"][0]["id"]), (&json!(1.0), &json!("n00000003")));
    // They are kept when a file is converted again, and may come through a pipe.
    let again = run(&["convert", &at("w"), "-", "--f16"]);
    assert!(again.status.success() && !words(&again).contains("warning"), "{}", words(&again));
    let again = feed(&["classify", "--json", "--weights", "-", PHOTOGRAPH], &again.stdout);
    assert_eq!(lines(again, 0)[0]["top"][0]["id"], "n00000003");
    // Labels of a list count before those of the weights.
    let listed = run(&["classify", "--json", "--labels", &at("labels.txt"), PHOTOGRAPH]);
    assert_eq!(lines(listed, 0)[0]["top"][0]["id"], "n00000003");
    fs::write(at("short.txt"), "one\n").expect("written");
    let refused = run(&["classify", "--labels", &at("short.txt"), PHOTOGRAPH]);
    assert!(words(&refused).contains("1 labels for 10 classes"));
    printed(refused, 3);
}

/// The demonstration weights with other metadata, and with `first` as their first value.
fn weights(
    folder: &Path,
    name: &str,
    change: impl FnOnce(&mut std::collections::BTreeMap<String, String>),
    first: f32,
) -> PathBuf {
    use googlenet::weights::{Dtype, NewTensor, Weights, write};
    let weights = Weights::open(DEMONSTRATION).expect("the demonstration weights");
    let mut metadata = weights.metadata().clone();
    change(&mut metadata);
    let mut tensors: Vec<_> = weights
        .tensors()
        .map(|t| NewTensor { name: t.name(), shape: t.shape(), dtype: Dtype::F32, values: t.to_f32() })
        .collect();
    tensors[0].values.to_mut()[0] = first;
    write(folder.join(name), &metadata, &tensors, false).expect("written");
    folder.join(name)
}

#[test]
fn weights_without_labels_are_said_to_have_none() {
    let folder = tempdir().expect("a folder");
    let bare = weights(folder.path(), "bare", |metadata| drop(metadata.remove("labels")), 0.5);
    let output = run(&["classify", "--weights", text(&bare), PHOTOGRAPH]);
    assert!(words(&output).contains("note: the weights have no labels"), "{}", words(&output));
    printed(output, 0);
}

#[test]
fn weights_that_are_not_finite_are_blamed_and_not_pictures() {
    let folder = pictures();
    let nan = weights(folder.path(), "nan", |_| (), f32::NAN);
    let class = folder.path().join("of/cat");
    fs::create_dir_all(&class).expect("made");
    fs::copy(PHOTOGRAPH, class.join("x.png")).expect("copied");
    let of = folder.path().join("of");
    let out = text(&folder.path().join("out")).to_owned();
    for (arguments, word) in [
        (&["classify", "--weights", text(&nan), PHOTOGRAPH][..], "give no probabilities"),
        (&["eval", "--weights", text(&nan), text(&of)], "give no probabilities"),
        (&["quantize", text(&nan), &out, "--images", text(folder.path())], "NaN"),
    ] {
        let refused = run(arguments);
        assert!(words(&refused).contains(word), "{}", words(&refused));
        assert_eq!(printed(refused, 3), "", "{arguments:?}");
    }
}

#[test]
fn the_doctor_finds_a_sound_engine() {
    let output = run(&["doctor", "--json", "--no-speed"]);
    let found = &lines(output, 0)[0];
    let findings = found["findings"].as_array().expect("findings");
    let said = |what: &str| -> Vec<&Value> { findings.iter().filter(|finding| finding["what"] == what).collect() };
    assert_eq!(said("self-test").len(), googlenet::isa::detected().count());
    for what in ["self-test", "mapping", "instruction sets", "threads"] {
        assert!(
            said(what).iter().all(|finding| finding["verdict"] != "wrong") && !said(what).is_empty(),
            "{what}: {found}"
        );
    }
    let text = printed(run(&["doctor", "--no-speed"]), 0);
    assert!(text.lines().all(|line| line.starts_with("  ") || line.starts_with("? ")), "{text}");
    if cfg!(target_os = "linux") {
        assert!(["pages", "memory"].iter().all(|what| !said(what).is_empty()), "{found}");
    }
}
