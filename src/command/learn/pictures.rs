//! The pictures of a folder of folders, each of which is a class, and which of them are held back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::command::exit::{Code, Failure, Outcome};
use crate::command::{pictures, printable::Printable};

/// A picture that is learnt from or judged on.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub path: PathBuf,
    pub class: usize,
    /// The hash of the picture's file.
    pub content: u128,
}

/// The files of a folder.
#[derive(Debug)]
pub struct Files {
    /// The names of the classes, sorted.
    pub classes: Vec<String>,
    /// Each picture's file and class, in an order that is always the same.
    pub files: Vec<(PathBuf, usize)>,
    /// How many pictures lie in no class's folder.
    pub outside: usize,
}

impl Files {
    /// Finds the pictures in `folder`; those in `except` are left out, and so are folders whose names begin with a dot.
    pub fn find(folder: &Path, except: &Path) -> Outcome<Self> {
        let mut found = Self { classes: Vec::new(), files: Vec::new(), outside: 0 };
        for path in pictures::find(folder, except)? {
            let inside = path.strip_prefix(folder).expect("found in it");
            let mut parts = inside.components();
            let (Some(class), Some(_)) = (parts.next(), parts.next()) else {
                found.outside += 1;
                continue;
            };
            let class = class.as_os_str();
            if class.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let Some(class) = class.to_str() else {
                let text = format!("{}: the name of a class must be UTF-8", folder.join(class).display());
                return Err(Failure::new(Code::Input, text));
            };
            // Paths are sorted part by part, so a class's pictures follow each other.
            if found.classes.last().is_none_or(|last| last != class) {
                found.classes.push(class.to_owned());
            }
            found.files.push((path, found.classes.len() - 1));
        }
        match found.classes.len() {
            2..=MAX_CLASSES => Ok(found),
            few @ (0 | 1) => Err(Failure::new(
                Code::Input,
                format!(
                    "{}: pictures in {few} folder{}, but two classes or more are needed, each a folder of pictures",
                    folder.display(),
                    if few == 1 { "" } else { "s" }
                ),
            )),
            many => {
                let text = format!("{}: {many} classes, at most {MAX_CLASSES} are learnt", folder.display());
                Err(Failure::new(Code::Input, text))
            }
        }
    }
}

/// The pictures, divided: those that are held back tell nothing to what is learnt.
#[derive(Debug, Default, PartialEq)]
pub struct Split {
    pub learnt: Vec<Picture>,
    pub held_back: Vec<Picture>,
    /// Files that hold the same as another one of their class, and are left out.
    pub doubled: Vec<PathBuf>,
    /// Files that hold the same as one of another class: nobody knows what they show, and all are left out.
    pub contradictory: Vec<PathBuf>,
}

impl Split {
    /// Divides `pictures`: of each class's `share` is held back, at least one, and at least two are learnt from. The pictures
    /// with the lowest hashes are held back; that is as good as a draw, does not depend on names, and when pictures are
    /// added nearly all stay on their side. The learnt ones are in an order in which every n-th of a class is as good as
    /// drawn, too.
    pub fn new(pictures: Vec<Picture>, classes: &[String], share: f64) -> Outcome<Self> {
        let mut split = Self::default();
        let mut seen: HashMap<u128, Option<usize>> = HashMap::new();
        for picture in &pictures {
            let class = seen.entry(picture.content).or_insert(Some(picture.class));
            if *class != Some(picture.class) {
                *class = None;
            }
        }
        let mut of_classes = vec![Vec::new(); classes.len()];
        for picture in pictures {
            match seen.get_mut(&picture.content).expect("noted above") {
                None => split.contradictory.push(picture.path),
                // The first of several that are the same is kept.
                Some(class) if *class == picture.class => {
                    *class = usize::MAX;
                    of_classes[picture.class].push(picture);
                }
                Some(_) => split.doubled.push(picture.path),
            }
        }
        let few: Vec<String> = of_classes
            .iter()
            .zip(classes)
            .filter(|(pictures, _)| pictures.len() < LEAST)
            .map(|(pictures, class)| format!("{} ({})", Printable(class), pictures.len()))
            .collect();
        if !few.is_empty() {
            let (named, more) = few.split_at(few.len().min(5));
            let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            let text = format!(
                "a class needs {LEAST} different pictures that can be read, and these have fewer: {}{more}",
                named.join(", ")
            );
            return Err(Failure::new(Code::Input, text));
        }
        for mut pictures in of_classes {
            pictures.sort_by_key(|picture| picture.content);
            let held_back = ((pictures.len() as f64 * share).round() as usize).clamp(1, pictures.len() - 2);
            split.learnt.extend(pictures.split_off(held_back));
            split.held_back.extend(pictures);
        }
        Ok(split)
    }
}

/// The fewest pictures of a class: one is held back, and four are learnt from.
pub const LEAST: usize = 5;

/// The most classes: what is computed with them and 1,024 features stays below 512 MiB.
const MAX_CLASSES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn each_folder_is_a_class() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["b c/1.png", "b c/deep/2.jpg", "a/3.png", "a/note.txt", ".hidden/4.png", "5.png", "a b/6.PNG"] {
            fs::create_dir_all(at(name).parent().expect("a folder")).expect("made");
            fs::write(at(name), name).expect("written");
        }
        fs::create_dir_all(at("cache")).expect("made");
        fs::write(at("cache/7.png"), "").expect("written");
        let found = Files::find(folder.path(), &at("cache")).expect("found");
        assert_eq!(found.classes, ["a", "a b", "b c"]);
        assert_eq!(found.outside, 1);
        let names = [("a/3.png", 0), ("a b/6.PNG", 1), ("b c/1.png", 2), ("b c/deep/2.jpg", 2)];
        assert_eq!(found.files, names.map(|(name, class)| (at(name), class)));
        let refused = Files::find(&at("b c"), &at("cache")).expect_err("one class");
        assert!(refused.to_string().contains("pictures in 1 folder,"), "{refused}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_class_has_a_name_that_labels_can_hold() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().expect("a folder");
        for name in [&b"a"[..], b"b\xff"] {
            let class = folder.path().join(std::ffi::OsStr::from_bytes(name));
            fs::create_dir(&class).expect("made");
            fs::write(class.join("1.png"), "").expect("written");
        }
        let refused = Files::find(folder.path(), Path::new("")).expect_err("no UTF-8");
        assert!(refused.to_string().contains("must be UTF-8"), "{refused}");
    }

    fn pictures(of: &[(usize, u128)]) -> Vec<Picture> {
        let picture = |(at, &(class, content)): (usize, &(usize, u128))| Picture {
            path: format!("{class}/{at}").into(),
            class,
            content,
        };
        of.iter().enumerate().map(picture).collect()
    }

    #[test]
    fn no_picture_is_on_both_sides() {
        let classes = ["a", "b"].map(String::from);
        let mut of: Vec<(usize, u128)> = (0..60).map(|i| (usize::from(i % 3 == 0), 1000 - 7 * i)).collect();
        of.extend([(0, 993), (1, 1000), (0, 1000), (1, 5), (0, 5)]); // 993 is of class 0, 1000 of class 1
        let split = Split::new(pictures(&of), &classes, 0.2).expect("enough");
        assert_eq!((split.doubled.len(), split.contradictory.len()), (1, 5));
        let count = |pictures: &[Picture], class: usize| pictures.iter().filter(|p| p.class == class).count();
        assert_eq!([0, 1].map(|class| count(&split.held_back, class)), [8, 4]);
        assert_eq!([0, 1].map(|class| count(&split.learnt, class)), [32, 15]);
        for held in &split.held_back {
            assert!(
                split
                    .learnt
                    .iter()
                    .all(|p| p.content != held.content && (p.class != held.class || p.content > held.content))
            );
        }
        // Names and their order do not matter.
        let mut turned = pictures(&of);
        turned.reverse();
        let contents = |split: &Split| split.held_back.iter().map(|p| p.content).collect::<Vec<_>>();
        assert_eq!(contents(&Split::new(turned, &classes, 0.2).expect("enough")), contents(&split));
    }

    #[test]
    fn classes_with_few_pictures_are_named() {
        let classes = ["a", "b", "c"].map(String::from);
        let of: Vec<(usize, u128)> = (0..13).map(|i| (i / 5, i as u128)).collect();
        let refused = Split::new(pictures(&of), &classes, 0.2).expect_err("three are too few").to_string();
        assert!(refused.ends_with("fewer: c (3)"), "{refused}");
        for (share, held_back) in [(0.01, 1), (0.2, 1), (0.5, 3), (0.9, 3)] {
            let split = Split::new(pictures(&of[..10]), &classes[..2], share).expect("five are enough");
            assert_eq!((split.held_back.len(), split.learnt.len()), (2 * held_back, 10 - 2 * held_back), "{share}");
        }
    }
}
