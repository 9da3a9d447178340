//! Files as wholes: read up to a limit, written whole or not at all.
//!
//! ```text
//! create   a temporary file beside the target, in the same file system
//! write    the content, then fsync
//! publish  with force: rename it over the target; else: make a hard link, which fails where the target exists
//! ```

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::FileError;
use crate::{Error, Result};

/// Reads the file at `path`, of at most `limit` bytes; a device or pipe without an end is refused, too.
///
/// # Errors
///
/// [`FileError::Io`] or [`FileError::TooLarge`].
///
/// ```
/// use googlenet::{Error, error::FileError, file};
///
/// assert_eq!(file::read("weights/demo.safetensors", 16 << 20)?[8], b'{');
/// let refused = file::read("weights/demo.safetensors", 1000);
/// assert!(matches!(refused, Err(Error::File(FileError::TooLarge { limit: 1000, .. }))));
/// # Ok::<(), Error>(())
/// ```
pub fn read(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let io = |source| FileError::Io { action: "read", path: path.to_owned(), source };
    let too_large = || FileError::TooLarge { path: path.to_owned(), limit };
    let file = File::open(path).map_err(io)?;
    // A device or pipe without an end states a length of 0, so the limit is held again while reading; here the length
    // only saves growing the vector.
    let len = file.metadata().map_err(io)?.len();
    if len > limit {
        return Err(too_large().into());
    }
    let mut bytes = Vec::new();
    let reserved = usize::try_from(len).is_ok_and(|len| bytes.try_reserve_exact(len).is_ok());
    if !reserved {
        return Err(io(io::ErrorKind::OutOfMemory.into()).into());
    }
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit { Err(too_large().into()) } else { Ok(bytes) }
}

/// A file that gets its name only when it is complete; dropped before that, it leaves nothing behind.
///
/// ```
/// use googlenet::{Error, error::FileError, file::NewFile};
/// use std::io::Write;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("y.npy");
/// for force in [false, true] {
///     let mut file = NewFile::create(&path)?;
///     file.write_all(b"values")?;
///     file.commit(force)?;
/// }
/// let file = NewFile::create(&path)?;
/// assert!(matches!(file.commit(false), Err(Error::File(FileError::TargetExists { .. }))));
/// assert_eq!(std::fs::read(&path)?, b"values");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct NewFile {
    target: PathBuf,
    // Fields are dropped in this order: the file is closed before `temporary` removes it.
    out: BufWriter<File>,
    temporary: Temporary,
}

impl NewFile {
    /// Begins a file that will have the name `target`.
    ///
    /// # Errors
    ///
    /// [`FileError::Io`] if nothing can be made beside `target`.
    pub fn create(target: impl AsRef<Path>) -> Result<Self> {
        let target = target.as_ref().to_owned();
        match Temporary::create(&target) {
            Ok((temporary, file)) => Ok(Self { target, out: BufWriter::with_capacity(BUFFER_BYTES, file), temporary }),
            Err(source) => Err(FileError::Io { action: "create a temporary file for", path: target, source }.into()),
        }
    }

    /// Completes the file and gives it its name. Without `force` an existing target is an error, even one that another
    /// process made meanwhile; this needs a file system with hard links.
    ///
    /// # Errors
    ///
    /// [`FileError::TargetExists`] or [`FileError::Io`]; the target is then as it was.
    pub fn commit(self, force: bool) -> Result<()> {
        let Self { target, out, temporary } = self;
        let written = out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        let named = match written {
            Ok(()) => temporary.publish(&target, force),
            Err(source) => return Err(FileError::Io { action: "write", path: target, source }.into()),
        };
        named.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists if !force => FileError::TargetExists { path: target }.into(),
            _ => FileError::Io { action: "create", path: target, source }.into(),
        })
    }

    /// The error for `source`, which the system gave while this file was being written.
    pub(crate) fn write_error(&self, source: io::Error) -> Error {
        FileError::Io { action: "write", path: self.target.clone(), source }.into()
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The path of a file beside the target, which is removed when this value is dropped.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Temporary {
    fn create(target: &Path) -> io::Result<(Temporary, File)> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        for _ in 0..1000 {
            let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
            let mut temporary = OsString::from(".");
            temporary.push(name);
            temporary.push(format!(".{}-{unique}.tmp", process()));
            let path = target.with_file_name(temporary);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {} // a process that was killed left it
                created => return created.map(|file| (Temporary(path), file)),
            }
        }
        Err(io::Error::other("no free name for a temporary file"))
    }

    fn publish(self, target: &Path, force: bool) -> io::Result<()> {
        if force {
            fs::rename(&self.0, target)?;
        } else {
            fs::hard_link(&self.0, target)?;
        }
        sync_folder(target);
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A failure is ignored: after a rename there is nothing to remove, and `drop` has nobody to report to.
        let _ = fs::remove_file(&self.0);
    }
}

/// A number that no other process has at the same time. WebAssembly in a browser knows no processes, and the standard
/// library panics where it is asked there; files cannot be created either.
fn process() -> u32 {
    if cfg!(all(target_family = "wasm", target_os = "unknown")) { 0 } else { std::process::id() }
}

/// Makes the name of `target` last through a power cut, where the system can sync folders; elsewhere the name may be
/// lost, but the file is whole if it is there.
fn sync_folder(target: &Path) {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// How many bytes are collected before the system is asked to write them.
const BUFFER_BYTES: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("f");
        fs::write(&path, b"12345678").expect("written");
        assert_eq!(read(&path, 8).expect("as long as the limit"), b"12345678");
        assert!(matches!(read(&path, 7), Err(Error::File(FileError::TooLarge { limit: 7, .. }))));
        assert!(matches!(
            read(folder.path(), 7),
            Err(Error::File(FileError::Io { action: "read", .. } | FileError::TooLarge { .. }))
        ));
        if cfg!(unix) {
            assert!(matches!(read("/dev/zero", 1000), Err(Error::File(FileError::TooLarge { limit: 1000, .. }))));
        }
    }

    #[test]
    fn an_abandoned_file_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = NewFile::create(folder.path().join("f")).expect("created");
        file.write_all(b"half").expect("written");
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}
