//! The folder that pictures are read from, and the folder that results are written to.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use googlenet::file::NewFile;

use crate::exit::{Code, Failure, OrFail, Outcome};
use crate::output;

/// The pictures in `folder` and the folders inside, in an order that is always the same. Links to folders are not
/// followed, as they may lead around in a circle, and the folder `except` is left out.
pub fn pictures(folder: &Path, except: &Path) -> Outcome<Vec<PathBuf>> {
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
    let named = extension.is_some_and(|extension| ["jpg", "jpeg", "png"].contains(&extension.as_str()));
    named && fs::metadata(path).map_or(true, |metadata| metadata.is_file())
}

/// The folder that results are written to. If it did not exist, and nothing was written to it, it is removed when this
/// is dropped.
pub struct Results {
    path: PathBuf,
    force: bool,
    made: bool,
}

impl Results {
    /// Makes the folder `path` if it is missing. Without `force`, no file whose name is in `names` may be in it.
    pub fn create(path: &Path, names: &[&str], force: bool) -> Outcome<Self> {
        let exists = fs::symlink_metadata(path).is_ok();
        if exists && !path.is_dir() {
            return Err(Failure::new(Code::Usage, format!("{} is no folder", path.display())));
        }
        names.iter().try_for_each(|name| output::check(&path.join(name), force))?;
        fs::create_dir_all(path).or_fail(Code::System, path.display())?;
        Ok(Self { path: path.to_owned(), force, made: !exists })
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, by what `write` writes to it.
    pub fn write(&self, name: &str, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Outcome {
        let path = self.path.join(name);
        let mut file = NewFile::create(&path).or_fail(Code::System, path.display())?;
        write(&mut file).or_fail(Code::System, path.display())?;
        file.commit(self.force).or_fail(Code::System, path.display())
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        if self.made {
            // A folder with results is not empty, and stays.
            let _ = fs::remove_dir(&self.path);
        }
    }
}
