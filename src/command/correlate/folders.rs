//! The folder that results are written to.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::file::NewFile;

use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::output;

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
