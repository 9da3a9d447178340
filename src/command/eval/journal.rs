//! Journals, by which a run that was killed goes on: a journal is a file of one JSON object a line, of which the first
//! says what the journal is about, and each other one what came of a picture.
//!
//! Lines are written as pictures are judged. If a run is killed, at most the last line is incomplete; the next run
//! removes such a line.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::locked::Locked;
use crate::file::fault_point;

/// The likeliest classes, the likeliest first, and the probability of that one.
#[derive(Clone, Debug, PartialEq)]
pub struct Opinion {
    /// Classes by their numbers.
    pub top: Vec<usize>,
    /// The probability of the first, 0 to 1.
    pub confidence: f64,
}

/// What came of a picture when it was judged.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The opinion of the network's trunk, and beside it those of auxiliary heads, if the weights have any.
    Classes(Vec<Opinion>),
    /// Why the picture could not be read.
    Unreadable(String),
}

/// A journal that is being written; one without a file takes verdicts and writes nothing.
pub struct Journal {
    file: Option<(PathBuf, Locked)>,
}

impl Journal {
    /// Begins a journal at `path`, or goes on with the one that is there if its first line says `about`, too. Returns
    /// the journal, and for each of `pictures` pictures the verdict that it holds, if it holds one; of a picture that
    /// could be read, a verdict has `opinions` opinions.
    pub fn open(
        path: Option<&Path>,
        about: &Map<String, Value>,
        pictures: usize,
        opinions: usize,
    ) -> Outcome<(Self, Vec<Option<Verdict>>)> {
        let mut verdicts = vec![None; pictures];
        let Some(path) = path else { return Ok((Self { file: None }, verdicts)) };
        // To open a pipe would wait for its reader, without end.
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(not_a_journal(path));
        }
        // Locked before it is read: what another run adds until it ends must not be cut off as incomplete.
        let mut file =
            Locked::open(path, "another run writes to this journal").or_fail(Code::System, path.display())?;
        let mut bytes = Vec::new();
        let read = fault_point().and_then(|()| (&file.0).take(MAX_BYTES + 1).read_to_end(&mut bytes));
        read.or_fail(Code::System, path.display())?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(not_a_journal(path));
        }
        let text = String::from_utf8(bytes).map_err(|_| not_a_journal(path))?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let begun = json!(about).to_string();
        if whole == 0 && !begun.starts_with(&text) {
            return Err(not_a_journal(path));
        }
        let mut lines = text[..whole].lines().enumerate();
        if let Some((_, first)) = lines.next() {
            same(path, first, about)?;
        }
        for (number, line) in lines {
            let entry = entry(line, pictures, opinions);
            let (picture, verdict) = entry.ok_or_else(|| {
                Failure::new(Code::Usage, format!("{}:{}: a damaged journal", path.display(), number + 1))
            })?;
            verdicts[picture] = Some(verdict);
        }
        fault_point().and_then(|()| file.0.set_len(whole as u64)).or_fail(Code::System, path.display())?;
        if whole == 0 {
            let written = fault_point().and_then(|()| file.0.write_all(format!("{begun}\n").as_bytes()));
            written.or_fail(Code::System, path.display())?;
        }
        Ok((Self { file: Some((path.to_owned(), file)) }, verdicts))
    }

    /// Notes what came of a picture, in a single write: if the run is killed, the line is whole or truncated.
    pub fn note(&mut self, picture: usize, verdict: &Verdict) -> Outcome {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        let line = match verdict {
            Verdict::Classes(opinions) => {
                let opinion = |opinion: &Opinion| json!({ "top": opinion.top, "confidence": opinion.confidence });
                json!({ "picture": picture, "opinions": opinions.iter().map(opinion).collect::<Vec<_>>() })
            }
            Verdict::Unreadable(error) => json!({ "picture": picture, "error": error }),
        };
        let written = fault_point().and_then(|()| file.0.write_all(format!("{line}\n").as_bytes()));
        written.or_fail(Code::System, path.display())
    }
}

fn not_a_journal(path: &Path) -> Failure {
    Failure::new(Code::Usage, format!("{}: not a journal of googlenet eval", path.display()))
}

/// Fails unless `first`, a journal's first line, says all of `about`.
fn same(path: &Path, first: &str, about: &Map<String, Value>) -> Outcome {
    let Ok(Value::Object(found)) = serde_json::from_str(first) else { return Err(not_a_journal(path)) };
    if found.get(KIND) != about.get(KIND) {
        return Err(not_a_journal(path));
    }
    match about.iter().find(|&(key, value)| found.get(key) != Some(value)) {
        None => Ok(()),
        Some((key, value)) => {
            let other = found.get(key).cloned().unwrap_or_default();
            let text = format!("{}: a journal with other {key}: {other}, not {value}", path.display());
            Err(Failure::new(Code::Usage, text))
        }
    }
}

/// The picture that a journal's line is about, and its verdict; `None` if the line is damaged or is not about one of
/// `pictures` pictures, or does not have `opinions` opinions.
fn entry(line: &str, pictures: usize, opinions: usize) -> Option<(usize, Verdict)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let number = |value: &Value| value.as_u64().and_then(|value| usize::try_from(value).ok());
    let picture = number(&line["picture"]).filter(|&picture| picture < pictures)?;
    if let Some(error) = line["error"].as_str() {
        return Some((picture, Verdict::Unreadable(error.to_owned())));
    }
    let opinion = |value: &Value| {
        let top = value["top"].as_array()?.iter().map(number).collect::<Option<Vec<usize>>>()?;
        let confidence = value["confidence"].as_f64().filter(|confidence| (0.0..=1.0 + 1e-5).contains(confidence))?;
        (!top.is_empty()).then_some(Opinion { top, confidence })
    };
    let found = line["opinions"].as_array()?.iter().map(opinion).collect::<Option<Vec<_>>>()?;
    (found.len() == opinions).then_some((picture, Verdict::Classes(found)))
}

/// The key in a journal's first line that says what the file is; its value is the version of journals.
pub const KIND: &str = "googlenet eval journal";

/// The version of journals that is written and read.
pub const VERSION: u64 = 2;

/// The length in bytes of the longest journal that is read, which holds some ten million pictures.
const MAX_BYTES: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn about(crops: usize) -> Map<String, Value> {
        Map::from_iter([(KIND.to_owned(), json!(VERSION)), ("crops".to_owned(), json!(crops))])
    }

    fn opinion(top: &[usize], confidence: f64) -> Opinion {
        Opinion { top: top.to_vec(), confidence }
    }

    #[test]
    fn a_journal_goes_on_wherever_it_was_truncated() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("j");
        let verdicts = [
            Verdict::Classes(vec![opinion(&[3, 1, 4], f64::from(0.7_f32)), opinion(&[1], 0.5)]),
            Verdict::Unreadable("neither \"this\"\nnor that".into()),
            Verdict::Classes(vec![opinion(&[9], 1.0), opinion(&[2, 9], 0.0)]),
        ];
        let (mut journal, found) = Journal::open(Some(&path), &about(10), 3, 2).expect("begun");
        assert_eq!(found, [None, None, None]);
        for (picture, verdict) in verdicts.iter().enumerate() {
            journal.note(picture, verdict).expect("noted");
        }
        drop(journal);
        let whole = fs::read(&path).expect("read");
        for length in 0..=whole.len() {
            fs::write(&path, &whole[..length]).expect("truncated");
            let (mut journal, found) = Journal::open(Some(&path), &about(10), 3, 2).expect("goes on");
            let complete = whole[..length].iter().filter(|&&byte| byte == b'\n').count().saturating_sub(1);
            for (picture, (found, verdict)) in found.iter().zip(&verdicts).enumerate() {
                assert_eq!(found.as_ref(), (picture < complete).then_some(verdict), "{length} bytes");
                if found.is_none() {
                    journal.note(picture, verdict).expect("noted");
                }
            }
            drop(journal);
            assert_eq!(fs::read(&path).expect("read"), whole, "{length} bytes");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_journal_is_free_at_once_though_a_copy_of_its_file_is_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("j");
        let (journal, _) = Journal::open(Some(&path), &about(10), 1, 1).expect("begun");
        // What a child has of it between its start and its own program.
        let copy = journal.file.as_ref().expect("a file").1.0.try_clone().expect("a copy");
        assert!(Journal::open(Some(&path), &about(10), 1, 1).is_err(), "it is in use");
        drop(journal);
        Journal::open(Some(&path), &about(10), 1, 1).expect("nobody writes to it");
        drop(copy);
    }

    #[test]
    fn runs_that_follow_each_other_closely_lose_no_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("j");
        let noted = &|own: usize| {
            let verdict = Verdict::Classes(vec![opinion(&[own], 0.5)]);
            let mut noted = 0;
            while noted < 300 {
                // While the other thread has the journal, this one is refused, and tries again.
                if let Ok((mut journal, _)) = Journal::open(Some(&path), &about(10), 2, 1) {
                    journal.note(own, &verdict).expect("noted");
                    noted += 1;
                }
            }
        };
        std::thread::scope(|scope| (0..2).for_each(|own| drop(scope.spawn(move || noted(own)))));
        let lines = fs::read_to_string(&path).expect("read").lines().count();
        assert_eq!(lines, 1 + 2 * 300);
    }

    #[test]
    #[cfg(unix)]
    fn a_pipe_is_no_journal() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("j");
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo is there");
        assert!(made.success());
        let failure = Journal::open(Some(&path), &about(10), 1, 1).err().expect("a pipe");
        assert!(failure.to_string().contains("not a journal"), "{failure}");
    }

    #[test]
    fn other_journals_and_other_files_are_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("j");
        drop(Journal::open(Some(&path), &about(10), 1, 2).expect("begun"));
        let begun = fs::read_to_string(&path).expect("read");
        let one = |class: usize, confidence: f64| format!("{{\"top\":[{class}],\"confidence\":{confidence}}}");
        let line = |picture: usize, first: &str, second: &str| {
            format!("{begun}{{\"picture\":{picture},\"opinions\":[{first},{second}]}}\n")
        };
        let cases = [
            (begun.clone(), about(1), "other crops: 10, not 1"),
            ("my notes".into(), about(1), "not a journal"),
            ("{}\n".into(), about(1), "not a journal"),
            (begun.replace(":2,", ":1,"), about(10), "not a journal"),
            (line(1, &one(1, 0.5), &one(1, 0.5)), about(10), "j:2: a damaged"),
            (line(0, "{\"top\":[],\"confidence\":0.5}", &one(1, 0.5)), about(10), "j:2: a damaged"),
            (line(0, &one(1, 0.5), &one(1, 2.0)), about(10), "j:2: a damaged"),
            (line(0, &one(1, 0.5), &format!("{0},{0}", one(1, 0.5))), about(10), "j:2: a damaged"),
        ];
        for (text, about, why) in cases {
            fs::write(&path, &text).expect("written");
            let failure = Journal::open(Some(&path), &about, 1, 2).err().expect(why);
            assert!(failure.to_string().contains(why), "{failure}");
            assert_eq!(fs::read_to_string(&path).expect("read"), text);
        }
    }
}
