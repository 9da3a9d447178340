//! Lists of labels: text files with a line for each class, in the order of the network's output. A line may have a
//! synset id in front of the label.

use std::path::Path;

use crate::Model;

use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::stream;

/// The names of a class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Label {
    /// The class's synset id, such as `n01440764`, if the list has it.
    pub id: Option<String>,
    /// The class's label.
    pub text: String,
}

/// A label for each of the `classes` that `models` have in common, or no labels, and how many of these classes come before
/// the first that has one: 1 if class 0 is a background that the labels do not have, or 0. The labels are those of the list
/// `path`, or else `own`, the models', with the synset ids that the weights have.
pub fn of(path: Option<&Path>, models: &[Model], classes: usize, own: &[String]) -> Outcome<(Vec<Label>, usize)> {
    let Some(path) = path else {
        let labelled = models.iter().find(|model| !model.labels().is_empty());
        let ids = labelled.and_then(|model| {
            let ids = model.weights().metadata().get(SYNSETS)?;
            let ids: Vec<String> =
                serde_json::from_str(ids).ok().filter(|ids: &Vec<_>| ids.len() == model.labels().len())?;
            // A background that not all models have comes first, and is left out of the labels, too.
            Some(ids.get(ids.len().checked_sub(own.len())?..)?.to_vec())
        });
        let id = |class: usize| ids.as_ref().map(|ids| ids[class].clone()).filter(|id| synset(id) == Some(id));
        let label = |(class, text): (usize, &String)| Label { id: id(class), text: text.clone() };
        return Ok((own.iter().enumerate().map(label).collect(), 0));
    };
    let labels = read_any(path)?;
    // If class 0 is the background, lists of labels do not have it, and no picture shows it.
    let background = models.iter().all(|model| model.network().background);
    match classes - labels.len().min(classes) {
        0 if labels.len() == classes => Ok((labels, 0)),
        1 if background => Ok((labels, 1)),
        _ => Err(misfit(path, labels.len(), classes)),
    }
}

/// The metadata key of weight files for the classes' synset ids: a JSON array of strings, empty where a class has none.
pub const SYNSETS: &str = "synsets";

/// Reads a list that must have a line for each of `classes` classes.
pub fn read(path: &Path, classes: usize) -> Outcome<Vec<Label>> {
    let labels = read_any(path)?;
    match labels.len() {
        found if found != classes => Err(misfit(path, found, classes)),
        _ => Ok(labels),
    }
}

/// The failure that a list does not have a line for each class.
pub fn misfit(path: &Path, labels: usize, classes: usize) -> Failure {
    Failure::new(Code::Model, format!("{}: {labels} labels for {classes} classes", path.display()))
}

/// Reads a list of any number of labels.
pub fn read_any(path: &Path) -> Outcome<Vec<Label>> {
    let bytes = stream::read(path, MAX_BYTES).or_fail(Code::Model, stream::name(path))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::new(Code::Model, format!("{}: labels are not UTF-8", path.display())))?;
    labels(&text).map_err(|number| {
        Failure::new(Code::Model, format!("{}:{number}: an empty line among the labels", path.display()))
    })
}

/// The labels of a list, one of each line but for empty lines at the end. If an earlier line is empty, its number is
/// returned instead.
fn labels(text: &str) -> Result<Vec<Label>, usize> {
    let lines = text.trim_end().lines().enumerate();
    lines.map(|(i, line)| if line.trim().is_empty() { Err(i + 1) } else { Ok(label(line)) }).collect()
}

/// The synset id that `name` begins with: an `n` and eight digits, and no letter or digit after them.
pub fn synset(name: &str) -> Option<&str> {
    let id = name.get(..9)?;
    let digits = id.strip_prefix('n')?.bytes().all(|byte| byte.is_ascii_digit());
    (digits && !name[9..].starts_with(char::is_alphanumeric)).then_some(id)
}

fn label(line: &str) -> Label {
    let line = line.trim();
    match (synset(line), line.split_once(char::is_whitespace)) {
        (Some(id), Some((first, text))) if first == id => {
            Label { id: Some(id.to_owned()), text: text.trim_start().to_owned() }
        }
        (Some(id), None) if line == id => Label { id: Some(id.to_owned()), text: line.to_owned() },
        _ => Label { id: None, text: line.to_owned() },
    }
}

/// The length in bytes of the longest list that is read, which is more than the header of a weight file can hold.
const MAX_BYTES: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_synset_id_is_no_part_of_a_label() {
        let of = |line: &str| (label(line).id.unwrap_or_default(), label(line).text);
        let pair = |id: &str, text: &str| (id.to_owned(), text.to_owned());
        assert_eq!(of("n01440764 tench, Tinca tinca\r"), pair("n01440764", "tench, Tinca tinca"));
        assert_eq!(of("  nematode worm"), pair("", "nematode worm"));
        assert_eq!(of("n0144076x tench"), pair("", "n0144076x tench"));
        assert_eq!(of("n01440764"), pair("n01440764", "n01440764"));
        assert_eq!(of("né1440764 é"), pair("", "né1440764 é"));
    }

    #[test]
    fn empty_lines_are_no_labels() {
        let count = |text: &str| labels(text).map(|labels| labels.len());
        assert_eq!((count(""), count("a\nb"), count("a\r\nb\n\n \n")), (Ok(0), Ok(2), Ok(2)));
        assert_eq!(count("a\n\nb\n"), Err(2));
    }

    #[test]
    fn names_begin_with_a_synset_id_or_do_not() {
        assert_eq!(synset("n01440764_tench.JPEG"), Some("n01440764"));
        assert_eq!(synset("n01440764"), Some("n01440764"));
        for name in ["n0144076", "n014407641.jpg", "n01440764a", "x01440764_1", "", "né14407640_"] {
            assert_eq!(synset(name), None, "{name}");
        }
    }
}
