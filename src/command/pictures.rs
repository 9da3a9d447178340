//! The pictures of a folder, and what a network takes of each.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;

use crate::image::{self, Rule};

use crate::command::exit::{Code, Failure, OrFail, Outcome};

/// The pictures in `folder` and the folders inside, in an order that is always the same. Links to folders are not
/// followed, as they may lead around in a circle, and the folder `except` is left out.
pub fn find(folder: &Path, except: &Path) -> Outcome<Vec<PathBuf>> {
    let except = fs::canonicalize(except).ok();
    let (mut pictures, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).or_fail(Code::Input, folder.display())? {
            let entry = entry.or_fail(Code::Input, folder.display())?;
            let path = entry.path();
            if entry.file_type().or_fail(Code::Input, path.display())?.is_dir() {
                if except.is_none() || fs::canonicalize(&path).ok() != except {
                    folders.push(path);
                }
            } else if is_picture(&path) {
                pictures.push(path);
            }
        }
    }
    pictures.sort();
    match pictures.is_empty() {
        true => Err(Failure::new(Code::Input, format!("{}: no pictures", folder.display()))),
        false => Ok(pictures),
    }
}

/// Whether `path` is a picture by its name, and a file or a link that leads nowhere, which is later counted as
/// unreadable. What is neither, a pipe, could be read from without an end.
fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    let named = extension.is_some_and(|extension| PICTURES.contains(&extension.as_str()));
    named && fs::metadata(path).map_or(true, |metadata| metadata.is_file())
}

/// What the names of pictures that can be read end in.
const PICTURES: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// Calls `done` with each picture's path and the input of a network of the side `side` that `rule` makes of the picture, or
/// what was wrong, in order.
pub fn prepare_each<'a>(
    paths: &'a [PathBuf],
    rule: Rule,
    side: usize,
    mut done: impl FnMut(&'a Path, Result<Vec<f32>, String>) -> Outcome,
) -> Outcome {
    thread::scope(|scope| {
        // A thread decodes and prepares pictures while the caller works on the one before. It hands inputs on, which are
        // smaller than pictures, and so holds only one picture at a time.
        let (sender, receiver) = sync_channel(1);
        scope.spawn(move || {
            for path in paths {
                let input = image::open(path).and_then(|picture| {
                    let mut input = vec![0.0; 3 * side * side];
                    image::prepare(picture.view(), &rule, side, &mut input)?;
                    Ok(input)
                });
                // Sending fails when the receiver is gone, because the run has ended early.
                if sender.send((path, input)).is_err() {
                    break;
                }
            }
        });
        for (path, input) in receiver {
            done(path, input.map_err(|error| Failure::of(Code::Input, "", &error).to_string()))?;
        }
        Ok(())
    })
}
