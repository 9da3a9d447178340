//! An output file that is there whole or not at all.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::exit::{Code, Failure, OrFail, Outcome};

/// A file that gets its name only when it is complete; dropped before, it leaves nothing.
pub struct Output {
    path: PathBuf,
    force: bool,
    file: BufWriter<NamedTempFile>,
}

/// Fails if `path` exists and may not be replaced: asked before the work, so that none is done in vain.
pub fn check(path: &Path, force: bool) -> Outcome {
    if path.is_dir() {
        return Err(Failure::new(Code::Usage, format!("{} is a directory", path.display())));
    }
    if !force && fs::symlink_metadata(path).is_ok() {
        return Err(exists(path));
    }
    Ok(())
}

/// The failure of an output that exists.
pub fn exists(path: &Path) -> Failure {
    Failure::new(Code::Exists, format!("{} exists, --force replaces it", path.display()))
}

impl Output {
    /// Begins a file that will be `path`.
    pub fn create(path: &Path, force: bool) -> Outcome<Self> {
        check(path, force)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // less the umask
        let file = builder.prefix(".googlenet-").tempfile_in(folder).or_fail(Code::System, path.display())?;
        Ok(Self { path: path.into(), force, file: BufWriter::new(file) })
    }

    /// Gives the file its name.
    pub fn commit(self) -> Outcome {
        let Self { path, force, file } = self;
        let file = file.into_inner().map_err(|error| error.into_error()).or_fail(Code::System, path.display())?;
        file.as_file().sync_all().or_fail(Code::System, path.display())?;
        let named = if force { file.persist(&path) } else { file.persist_noclobber(&path) };
        match named {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Err(exists(&path)),
            Err(error) => Err(error.error).or_fail(Code::System, path.display()),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
