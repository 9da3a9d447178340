//! Finds any bytes where a journal of `eval` is to go on. They are refused and left as they are, or what follows their whole
//! lines is cut off; then what is noted is found by the next run, and what was found before still is.

use serde_json::{Map, Value};

#[allow(dead_code, unused_imports, reason = "the command's own file, of which this target calls some")]
#[path = "../../src/bin/googlenet/eval/journal.rs"]
mod of_eval;

use of_eval::{Journal, KIND, Opinion, VERSION, Verdict};

/// Goes on with a journal of `bytes`.
pub fn run(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal");
    let about: Map<String, Value> =
        [(KIND.to_owned(), VERSION.into()), ("crops".to_owned(), 1.into())].into_iter().collect();
    // As they are, and behind the line that a journal has to begin with.
    for bytes in [bytes.to_vec(), [format!("{}\n", Value::Object(about.clone())).as_bytes(), bytes].concat()] {
        std::fs::write(&path, &bytes).expect("written");
        let read = || std::fs::read(&path).expect("read");
        let Ok((mut journal, found)) = Journal::open(Some(&path), &about, PICTURES, OPINIONS) else {
            assert!(read() == bytes, "refused, and changed");
            continue;
        };
        let kept = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        assert!(kept == 0 || read() == bytes[..kept], "whole lines are kept");
        let opinion = Opinion { top: vec![7, 2], confidence: 0.5 };
        let noted = Verdict::Classes(vec![opinion; OPINIONS]);
        journal.note(1, &noted).expect("noted");
        drop(journal);
        let (_, again) = Journal::open(Some(&path), &about, PICTURES, OPINIONS).expect("it was accepted");
        assert_eq!(again[1].as_ref(), Some(&noted));
        assert!(again.iter().zip(&found).enumerate().all(|(i, (again, found))| i == 1 || again == found));
    }
}

const PICTURES: usize = 3;
const OPINIONS: usize = 2;
