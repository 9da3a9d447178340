//! What becomes of files when the system fails, or the command is ended: the old file or the new one is there, whole, nothing
//! is left beside it, the exit code is a documented one, and one line says why.
//!
//! Of the places where the system may fail some are tried, and all with `GOOGLENET_LONG=1`, which also kills the command a
//! thousand times.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use googlenet::weights::Weights;

const DEMONSTRATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors");
const PHOTOGRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/chelsea.png");

fn googlenet(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_googlenet"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command
}

/// Whether everything is to be tried, not a part of it.
fn is_long() -> bool {
    std::env::var_os("GOOGLENET_LONG").is_some()
}

fn names(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<_> =
        fs::read_dir(folder).expect("listed").map(|entry| entry.expect("listed").file_name()).collect();
    names.sort();
    names
}

/// A subcommand that writes a file.
struct Scenario {
    arguments: Vec<&'static str>,
    /// What it writes, which is there before.
    output: &'static str,
    old: Vec<u8>,
    /// Whether the output is a weight file, or lines of text to which some are added.
    is_weights: bool,
    /// How many pictures of each class there are, no two of the same bytes.
    pictures: usize,
    classes: usize,
    /// Whether a run takes many seconds.
    is_slow: bool,
}

impl Scenario {
    /// A folder with all that the subcommand reads.
    fn folder(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let photograph = fs::read(PHOTOGRAPH).expect("read");
        for class in &["cat", "dog"][..self.classes] {
            let pictures = folder.path().join("pictures").join(class);
            fs::create_dir_all(&pictures).expect("made");
            for name in 0..self.pictures {
                // What follows the end of a PNG picture is not looked at.
                let bytes = [&photograph[..], class.as_bytes(), &[name as u8]].concat();
                fs::write(pictures.join(format!("{name}.png")), bytes).expect("written");
            }
        }
        fs::create_dir(folder.path().join("cache")).expect("made");
        if !self.old.is_empty() {
            fs::write(folder.path().join(self.output), &self.old).expect("written");
        }
        folder
    }

    /// Runs it with a fault at the point `at`; whether there was such a point, too.
    fn run(&self, at: usize, folder: &Path) -> (Output, u64) {
        let log = folder.with_extension("log");
        let mut command = googlenet(&self.arguments, folder);
        let output = command.env("GOOGLENET_FAULT", format!("{at}:{}", log.display())).output().expect("it starts");
        let points = fs::metadata(&log).map(|log| log.len().max(1)).unwrap_or(0);
        let _ = fs::remove_file(&log);
        (output, points)
    }

    fn holds_whatever_fails(&self) {
        let folder = self.folder();
        let before = names(folder.path());
        let (output, points) = self.run(0, folder.path());
        assert!(output.status.success(), "{:?}: {}", self.arguments, String::from_utf8_lossy(&output.stderr));
        let points = usize::try_from(points).expect("a few");
        assert!(points > 5, "{points} places where the system may fail");
        // Of a subcommand that takes long, the end alone: what is synced, renamed, and synced.
        let (first, last, some) = if self.is_slow { (0, 3, 0) } else { (5, 6, 2) };
        let is_tried = |at: usize| {
            is_long() || at <= first || at + last > points || (some > 0 && at.is_multiple_of(points / some + 1))
        };
        // Beyond the last point nothing fails, as in the first run, which one that takes long need not do again.
        let end = if self.is_slow { points } else { points + 1 };
        let mut refused = 0;
        for at in (1..=end).filter(|&at| is_tried(at)) {
            let folder = self.folder();
            let (output, fired) = self.run(at, folder.path());
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let what = format!("{:?}, point {at} of {points}: {text}", self.arguments);
            assert_eq!(fired > 0, at <= points, "{what}");
            let code = output.status.code().unwrap_or_else(|| panic!("no exit code: {what}"));
            assert!((0..=5).contains(&code), "code {code}: {what}");
            // A picture that cannot be read has a line of its own, and the sum of all such is the last.
            let is_line = |line: &&str| line.starts_with("error: ") && !line.ends_with(" could not be used");
            let lines = text.lines().filter(is_line).count();
            assert!(!text.contains("panicked") && (code == 0 || lines == 1), "one clear line: {what}");
            let expected = if before.iter().any(|name| name == self.output) || (code != 0 && self.is_weights) {
                before.clone()
            } else {
                names(folder.path()).into_iter().filter(|name| before.contains(name) || name == self.output).collect()
            };
            assert_eq!(names(folder.path()), expected, "left behind: {what}");
            let path = folder.path().join(self.output);
            if self.is_weights && code == 0 {
                Weights::open(&path).expect("whole");
            } else if self.is_weights {
                assert!(fs::read(&path).expect("there") == self.old, "the old file: {what}");
                refused += 1;
            } else {
                // A journal has whole lines, and a second run goes on with it.
                let text = fs::read_to_string(&path).unwrap_or_default();
                assert!(text.is_empty() || text.ends_with('\n'), "{what}");
                let again = googlenet(&self.arguments, folder.path()).output().expect("it starts");
                assert!(again.status.success(), "{what}: {}", String::from_utf8_lossy(&again.stderr));
                refused += usize::from(code != 0);
            }
        }
        assert!(refused >= last - 1, "only {refused} faults were any");
    }
}

fn weights(arguments: &[&'static str]) -> Scenario {
    let is_slow = arguments[0] == "quantize";
    let arguments = arguments.iter().copied().chain(["out", "--force"]).collect();
    Scenario {
        arguments,
        output: "out",
        old: b"the old file".to_vec(),
        is_weights: true,
        pictures: 12,
        classes: 1,
        is_slow,
    }
}

#[test]
#[cfg(debug_assertions)]
fn convert_holds() {
    weights(&["convert", DEMONSTRATION]).holds_whatever_fails();
}

#[test]
#[cfg(debug_assertions)]
fn pack_holds() {
    weights(&["pack", DEMONSTRATION]).holds_whatever_fails();
}

#[test]
#[cfg(debug_assertions)]
fn quantize_holds() {
    // The demonstration weights are quantised already; converted they are no more.
    let folder = tempfile::tempdir().expect("a folder");
    let converted = googlenet(&["convert", DEMONSTRATION, "plain", "--f16"], folder.path()).status();
    assert!(converted.expect("it starts").success());
    let plain: &'static str = folder.path().join("plain").to_string_lossy().into_owned().leak();
    weights(&["quantize", "--images", "pictures", plain]).holds_whatever_fails();
}

#[test]
#[cfg(debug_assertions)]
fn learn_holds() {
    let arguments = ["learn", "pictures", "--weights", DEMONSTRATION, "--cache", "cache", "--views", "1"];
    // One that cannot be read is left out, and five of a class are enough.
    Scenario { pictures: 6, classes: 2, ..weights(&arguments) }.holds_whatever_fails();
}

#[test]
#[cfg(debug_assertions)]
fn eval_holds() {
    let arguments = vec!["eval", "pictures", "--journal", "journal", "--no-heads"];
    Scenario {
        arguments,
        output: "journal",
        old: Vec::new(),
        is_weights: false,
        pictures: 2,
        classes: 1,
        is_slow: false,
    }
    .holds_whatever_fails();
}

/// A command that is killed leaves the old file or the new one, and at most a temporary file beside it, until the next run.
#[test]
fn kills_tear_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let arguments = ["convert", DEMONSTRATION, "out", "--force"];
    let begin = Instant::now();
    assert!(googlenet(&arguments, folder.path()).output().expect("it starts").status.success());
    let whole = begin.elapsed();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut killed = 0;
    for _ in 0..if is_long() { 1000 } else { 15 } {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let mut child = googlenet(&arguments, folder.path()).stderr(Stdio::null()).spawn().expect("it starts");
        std::thread::sleep(whole.mul_f64((state >> 40) as f64 / (1 << 24) as f64));
        killed += usize::from(child.try_wait().expect("asked").is_none());
        // It may have ended by itself.
        let _ = child.kill();
        child.wait().expect("ended");
        Weights::open(&out).expect("old or new, whole");
        // A run removes what those before it have left, so that there is never more than one.
        let left: Vec<_> = names(folder.path()).into_iter().filter(|name| name != "out").collect();
        let is_temporary = |name: &OsString| {
            let name = name.to_string_lossy();
            name.starts_with(".out.") && name.ends_with(".tmp")
        };
        assert!(left.len() <= 1 && left.iter().all(is_temporary), "{left:?}");
    }
    assert!(killed > 3, "{killed} runs were killed");
}

/// Waits until the command has begun to write.
fn wait_for_temporary(folder: &Path) {
    let begin = Instant::now();
    while !names(folder).iter().any(|name| name.to_string_lossy().ends_with(".tmp")) {
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing is written");
        std::thread::yield_now();
    }
}

#[test]
#[cfg(unix)]
fn signals_remove_what_was_begun() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("out"), "the old file").expect("written");
        let mut command = googlenet(&["pack", DEMONSTRATION, "out", "--force"], folder.path());
        let child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        wait_for_temporary(folder.path());
        let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
        let output = child.wait_with_output().expect("ended");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.lines().count() == 1 && text.starts_with("error: "), "{text}");
        assert_eq!(names(folder.path()), ["out"]);
        assert_eq!(fs::read(folder.path().join("out")).expect("there"), b"the old file");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [&["cost"][..], &["inspect", DEMONSTRATION], &["plan"]] {
        let mut command = googlenet(arguments, folder.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("ended");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !text.contains("error"), "{arguments:?}: {} {text}", output.status);
    }
}

/// A file system of four megabytes, where the system lets this process make one.
#[cfg(target_os = "linux")]
struct Small(PathBuf);

#[cfg(target_os = "linux")]
impl Small {
    fn new(folder: &Path) -> Option<Self> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder).output();
        mount.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }
}

#[cfg(target_os = "linux")]
impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(small) = Small::new(folder.path()) else {
        println!("no file system can be made here");
        return;
    };
    fs::write(small.0.join("out"), "the old file").expect("written");
    for arguments in [["convert", DEMONSTRATION, "out", "--force"], ["pack", DEMONSTRATION, "out", "--force"]] {
        let output = googlenet(&arguments, &small.0).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.lines().count() == 1 && text.contains("No space left"), "{text}");
        assert_eq!(names(&small.0), ["out"]);
        assert_eq!(fs::read(small.0.join("out")).expect("there"), b"the old file");
    }
}
