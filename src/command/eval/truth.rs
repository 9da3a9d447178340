//! The pictures to judge and the classes that they show, from a folder of folders, from file names that begin with a
//! synset id, or from a list.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::labels::{Label, synset};
use crate::command::stream;

/// A picture's file, and its class.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub path: PathBuf,
    pub class: usize,
}

/// The names by which classes may be called.
pub struct Names {
    count: usize,
    /// The class of each synset id and label, which are in lower case; `None` if several classes have the name.
    by_name: HashMap<String, Option<usize>>,
}

impl Names {
    /// The names of `count` classes; `labels` has one label for each class, or none at all.
    pub fn new(count: usize, labels: &[Label]) -> Self {
        let mut by_name = HashMap::new();
        for (class, label) in labels.iter().enumerate() {
            let names = [label.id.as_deref(), Some(label.text.as_str())];
            for name in names.into_iter().flatten() {
                let known = by_name.entry(name.to_lowercase()).or_insert(Some(class));
                if *known != Some(class) {
                    *known = None;
                }
            }
        }
        Self { count, by_name }
    }

    /// The class whose synset id, label or number is `name`.
    fn class(&self, name: &str) -> Result<usize, String> {
        let name = name.trim();
        match self.by_name.get(&name.to_lowercase()) {
            Some(Some(class)) => return Ok(*class),
            Some(None) => return Err(format!("{name:?} is the name of several classes")),
            None => {}
        }
        // A folder's name may go on after the synset id, as in n01440764_tench.
        if let Some(Some(Some(class))) = synset(name).map(|id| self.by_name.get(id)) {
            return Ok(*class);
        }
        match name.parse() {
            Ok(class) if class < self.count && name.bytes().all(|byte| byte.is_ascii_digit()) => Ok(class),
            Ok(_) => Err(format!("class {name} of {}", self.count)),
            Err(_) => Err(format!("{name:?} is not the name of a class")),
        }
    }

    /// The class whose synset id the file name `name` begins with.
    fn class_of_file(&self, name: &str) -> Result<usize, String> {
        match synset(name) {
            Some(id) => self.class(id),
            None => Err("a name that begins with no synset id, in no folder of a class".into()),
        }
    }
}

/// The pictures of a folder or of a list file, in an order that is always the same.
pub fn pictures(path: &Path, names: &Names) -> Outcome<Vec<Picture>> {
    let pictures = match path.is_dir() {
        true => in_folder(path, names)?,
        false => in_list(path, names)?,
    };
    match pictures.is_empty() {
        true => Err(Failure::new(Code::Input, format!("{}: no pictures", path.display()))),
        false => Ok(pictures),
    }
}

fn in_folder(folder: &Path, names: &Names) -> Outcome<Vec<Picture>> {
    let mut paths = Vec::new();
    inside(folder, &mut paths)?;
    let class = |path: &PathBuf| {
        // The innermost folder that is named like a class counts.
        let between = path.ancestors().skip(1).take_while(|&between| between != folder);
        let mut unknown = None;
        for between in between {
            let name = between.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            match names.class(&name) {
                Ok(class) => return Ok(class),
                Err(why) => unknown = unknown.or(Some((between, why))),
            }
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let class = match unknown {
            Some((between, why)) => Err((between, why)),
            None => names.class_of_file(&name).map_err(|why| (path.as_path(), why)),
        };
        class.map_err(|(path, why)| Failure::new(Code::Input, format!("{}: {why}", path.display())))
    };
    paths.into_iter().map(|path| Ok(Picture { class: class(&path)?, path })).collect()
}

/// Adds the pictures in a folder, and in the folders inside, to `paths`. Links to folders are followed in `folder` alone: deeper
/// ones may lead around in a circle.
fn inside(folder: &Path, paths: &mut Vec<PathBuf>) -> Outcome {
    let mut folders = vec![(folder.to_owned(), true)];
    while let Some((folder, is_outermost)) = folders.pop() {
        let mut deeper = Vec::new();
        for path in entries(&folder)? {
            match path.is_dir() {
                true if is_outermost || !path.is_symlink() => deeper.push((path, false)),
                false if is_picture(&path) => paths.push(path),
                _ => {}
            }
        }
        folders.extend(deeper);
    }
    paths.sort();
    Ok(())
}

/// The pictures of a list file. Each line has a picture's path, from the list's folder, a tab or a space, and its
/// class.
fn in_list(list: &Path, names: &Names) -> Outcome<Vec<Picture>> {
    let bytes = stream::read(list, MAX_LIST_BYTES).or_fail(Code::Input, stream::name(list))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::new(Code::Input, format!("{}: a list that is not UTF-8", list.display())))?;
    let folder = list.parent().unwrap_or(Path::new(""));
    let mut pictures = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |why: String| Failure::new(Code::Input, format!("{}:{}: {why}", list.display(), number + 1));
        // A label may have spaces; a tab must then be before it.
        let parts = line.rsplit_once('\t').or_else(|| line.trim_end().rsplit_once(' '));
        let (path, class) = parts.ok_or_else(|| wrong("expected a path and a class".into()))?;
        pictures.push(Picture { path: folder.join(path.trim()), class: names.class(class).map_err(wrong)? });
    }
    Ok(pictures)
}

/// The paths in a folder, sorted.
fn entries(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).or_fail(Code::Input, folder.display())?;
    let mut paths = entries
        .map(|entry| Ok(entry.or_fail(Code::Input, folder.display())?.path()))
        .collect::<Outcome<Vec<PathBuf>>>()?;
    paths.sort();
    Ok(paths)
}

/// Whether `path` is a picture by its name. A file that turns out to be none, or of a kind that is not read, is later
/// counted as unreadable.
fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    !path.is_dir() && extension.is_some_and(|extension| PICTURES.contains(&extension.as_str()))
}

/// What the names of pictures end in; the kinds that can be read come first.
const PICTURES: [&str; 10] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic"];

/// The length in bytes of the longest list that is read, which has room for a million pictures' names.
const MAX_LIST_BYTES: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let label = |id: &str, text: &str| Label { id: Some(id.into()), text: text.into() };
        Names::new(3, &[label("n00000001", "crane"), label("n00000002", "Crane"), label("n00000003", "tench, fish")])
    }

    #[test]
    fn classes_have_ids_labels_and_numbers() {
        let names = names();
        for (name, class) in [("n00000001", 0), ("n00000002_crane", 1), ("Tench, fish", 2), ("2", 2), (" 0 ", 0)] {
            assert_eq!(names.class(name), Ok(class), "{name}");
        }
        for (name, why) in
            [("crane", "several"), ("3", "class 3 of 3"), ("n00000009", "not the name"), ("+1", "class +1")]
        {
            assert!(names.class(name).is_err_and(|error| error.contains(why)), "{name}");
        }
        assert_eq!(names.class_of_file("n00000003_7.JPEG"), Ok(2));
        assert!(names.class_of_file("2.jpg").is_err());
    }

    #[test]
    fn folders_file_names_and_lists_are_the_same_pictures() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("a/n00000002")).expect("made");
        fs::create_dir_all(at("a/notes")).expect("made");
        fs::create_dir_all(at("a/n00000003/more/of it")).expect("made");
        for name in [
            "a/n00000002/x y.JPG",
            "a/n00000002/readme.txt",
            "a/n00000001_1.png",
            "a/notes/todo.txt",
            "a/n00000003/more/of it/y.webp",
        ] {
            fs::write(at(name), b"").expect("written");
        }
        let expected = [
            Picture { path: at("a/n00000001_1.png"), class: 0 },
            Picture { path: at("a/n00000002/x y.JPG"), class: 1 },
            Picture { path: at("a/n00000003/more/of it/y.webp"), class: 2 },
        ];
        assert_eq!(pictures(&at("a"), &names()).expect("pictures"), expected);
        fs::write(at("list"), "a/n00000001_1.png 0\n\na/n00000002/x y.JPG\tn00000002\na/n00000003/more/of it/y.webp 2")
            .expect("written");
        assert_eq!(pictures(&at("list"), &names()).expect("pictures"), expected);

        for (list, why) in [("", "no pictures"), ("x.png", ":1: expected"), ("x.png 1\ny.png 7", ":2: class 7 of 3")] {
            fs::write(at("list"), list).expect("written");
            let failure = pictures(&at("list"), &names()).expect_err(why);
            assert!(failure.to_string().contains(why), "{failure}");
        }
        fs::write(at("a/notes/picture.png"), b"").expect("written");
        let failure = pictures(&at("a"), &names()).expect_err("an unknown class");
        assert!(failure.to_string().contains("\"notes\" is not the name of a class"), "{failure}");
    }
}
