//! Files as wholes: read up to a limit, written whole or not at all.
//!
//! ```text
//! create   a temporary file beside the target, in the same file system; what processes left there that were killed is removed
//! write    the content, then fsync
//! publish  with force: rename it over the target; else: make a hard link, which fails where the target exists
//! ```
//!
//! Only regular files are read and replaced. A pipe that is named like a file would be waited for without end, and a
//! device or a socket in the place of a target is not what anybody wants to lose. Symbolic links are followed.

use std::ffi::OsString;
use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::FileError;
use crate::faults::{self, Watched};
use crate::{Error, Result};

/// Opens the regular file at `path` for reading.
///
/// # Errors
///
/// [`FileError::Io`], or [`FileError::NotRegular`] for a directory, pipe, socket or device: opening a pipe would wait until
/// somebody writes to it.
///
/// ```
/// use googlenet::{Error, error::FileError, file};
///
/// assert!(file::open("weights/demo.safetensors").is_ok());
/// assert!(matches!(file::open("weights"), Err(Error::File(FileError::NotRegular { kind: "a directory", .. }))));
/// # Ok::<(), Error>(())
/// ```
pub fn open(path: impl AsRef<Path>) -> Result<File> {
    open_as(path.as_ref(), "open").map(|(file, _)| file)
}

/// Where a test may let the system fail, for a program's own files: see `faults.rs`.
#[doc(hidden)]
pub fn fault_point() -> io::Result<()> {
    faults::point()
}

/// Opens the regular file at `path`; an error of the system says that it was met while doing `action`.
pub(crate) fn open_as(path: &Path, action: &'static str) -> Result<(File, Metadata)> {
    let io = |source| FileError::Io { action, path: path.to_owned(), source };
    // Asked before the file is opened, as opening a pipe would wait, and again, as it may have been exchanged meanwhile.
    check_regular(path, fs::metadata(path).map_err(io)?.file_type())?;
    let file = faults::point().and_then(|()| File::open(path)).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    check_regular(path, metadata.file_type())?;
    Ok((file, metadata))
}

/// Fails unless `found`, which is at `path`, is a regular file.
fn check_regular(path: &Path, found: FileType) -> Result<()> {
    match kind(found) {
        None => Ok(()),
        Some(kind) => Err(FileError::NotRegular { path: path.to_owned(), kind }.into()),
    }
}

/// Whether `path` names what somebody has opened for this process: a shell's pipe or redirection, whose other end is there.
fn is_open_already(path: &Path) -> bool {
    cfg!(unix) && (path == Path::new("/dev/stdin") || path.parent() == Some(Path::new("/dev/fd")))
}

/// What a file is, if it is no regular one.
fn kind(of: FileType) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if of.is_fifo() {
            return Some("a pipe");
        } else if of.is_socket() {
            return Some("a socket");
        } else if of.is_block_device() || of.is_char_device() {
            return Some("a device");
        }
    }
    match () {
        () if of.is_file() => None,
        () if of.is_dir() => Some("a directory"),
        () if of.is_symlink() => Some("a symbolic link that leads nowhere"),
        () => Some("of an unknown kind"),
    }
}

/// Reads the regular file at `path`, of at most `limit` bytes; or what this process has open already, by its name in
/// `/dev` (`/dev/stdin`, `/dev/fd/63`), whatever it is.
///
/// # Errors
///
/// [`FileError::Io`], [`FileError::NotRegular`] or [`FileError::TooLarge`].
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
    let (file, metadata) = if is_open_already(path) {
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        (file, metadata)
    } else {
        open_as(path, "read")?
    };
    // Pipes, and files of some file systems (`/proc`), state a length of 0, and others may grow, so the limit is held
    // again while reading; here the length only saves growing the vector.
    let len = metadata.len();
    if len > limit {
        return Err(too_large().into());
    }
    let mut bytes = Vec::new();
    let reserved = usize::try_from(len).is_ok_and(|len| bytes.try_reserve_exact(len).is_ok());
    if !reserved {
        return Err(io(io::ErrorKind::OutOfMemory.into()).into());
    }
    Watched(file).take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
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
    /// The file's name, all symbolic links followed.
    target: PathBuf,
    // Fields are dropped in this order: the file is closed before `temporary` removes it.
    out: BufWriter<Watched>,
    temporary: Temporary,
}

impl NewFile {
    /// Begins a file that will have the name `target`, or, if that is a symbolic link to a file, of that file. It has the
    /// permissions of the file that it may come to replace, from the start.
    ///
    /// # Errors
    ///
    /// [`FileError::Io`] if nothing can be made beside `target`.
    pub fn create(target: impl AsRef<Path>) -> Result<Self> {
        let target = target.as_ref();
        let io = |source| FileError::Io { action: "create a temporary file for", path: target.to_owned(), source };
        // A link that leads nowhere stays the target, and is refused in the end.
        let is_link = fs::symlink_metadata(target).is_ok_and(|found| found.is_symlink());
        let real = if is_link { fs::canonicalize(target).ok() } else { None };
        let target = real.unwrap_or_else(|| target.to_owned());
        let (temporary, file) = Temporary::create(&target).map_err(io)?;
        if let Ok(old) = fs::symlink_metadata(&target)
            && old.is_file()
        {
            faults::point().and_then(|()| file.set_permissions(old.permissions())).map_err(io)?;
        }
        Ok(Self { target, out: BufWriter::with_capacity(BUFFER_BYTES, Watched(file)), temporary })
    }

    /// Completes the file and gives it its name. Without `force` an existing target is an error, even one that another
    /// process made meanwhile; this needs a file system with hard links. With `force` an existing file is replaced, but
    /// nothing else: no directory, device, pipe or socket.
    ///
    /// # Errors
    ///
    /// [`FileError::TargetExists`], [`FileError::NotRegular`] or [`FileError::Io`]; the target is then as it was.
    pub fn commit(self, force: bool) -> Result<()> {
        let Self { target, out, temporary } = self;
        // The file stays open, and locked, until it has its name.
        let sync = |Watched(file): Watched| faults::point().and_then(|()| file.sync_all()).map(|()| file);
        let written = out.into_inner().map_err(io::IntoInnerError::into_error).and_then(sync);
        if force && let Ok(found) = fs::symlink_metadata(&target) {
            check_regular(&target, found.file_type())?;
        }
        let named = match written {
            Ok(_open) if cfg!(unix) => temporary.publish(&target, force),
            // Elsewhere an open file cannot be renamed.
            Ok(open) => {
                drop(open);
                temporary.publish(&target, force)
            }
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
        let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        remove_dead(target);
        for _ in 0..1000 {
            // Drawn at random, as containers that share a folder may have processes of the same number.
            let unique = RandomState::new().hash_one(name);
            let mut temporary = OsString::from(".");
            temporary.push(name);
            temporary.push(format!("{MARK}{unique:016x}{END}"));
            let path = target.with_file_name(temporary);
            faults::point()?;
            let mut temporaries = temporaries();
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {} // another has drawn the same
                Err(error) => return Err(error),
                // Who looks for dead files may have found this one before it was locked, and is about to remove it.
                Ok(file) if !is_locked_by(&file, &path) => {}
                Ok(file) => {
                    temporaries.push(path.clone());
                    return Ok((Temporary(path), file));
                }
            }
        }
        Err(io::Error::other("no free name for a temporary file"))
    }

    fn publish(mut self, target: &Path, force: bool) -> io::Result<()> {
        faults::point()?;
        if force {
            let mut temporaries = temporaries();
            fs::rename(&self.0, target)?;
            // The name is free now, and whoever takes it next keeps it.
            unlist(&mut temporaries, &self.0);
            drop(std::mem::take(&mut self.0)); // which what follows would leak
            std::mem::forget(self);
        } else {
            fs::hard_link(&self.0, target)?;
        }
        sync_folder(target);
        Ok(())
    }
}

/// Locks a temporary file of this process, so that nobody takes it for a dead one. False if somebody does.
///
/// Where there are no locks nobody removes anything, either. Windows removes no file that is open, and there a lock would keep
/// this process from writing.
fn is_locked_by(file: &File, path: &Path) -> bool {
    if cfg!(any(not(unix), miri)) {
        return true;
    }
    match file.try_lock() {
        Err(fs::TryLockError::WouldBlock) => false,
        Err(fs::TryLockError::Error(_)) => true,
        Ok(()) => fs::symlink_metadata(path).is_ok(),
    }
}

/// Removes the temporary files beside `target` whose processes have ended without a chance to do so: those that nobody has
/// locked. What cannot be removed stays, which is no reason to write nothing.
fn remove_dead(target: &Path) {
    if cfg!(any(not(unix), miri)) {
        return;
    }
    let is_temporary = |name: &str| {
        let unique = name.strip_suffix(END).and_then(|name| name.rsplit_once(MARK)).map(|(_, unique)| unique);
        name.starts_with('.')
            && unique.is_some_and(|unique| unique.len() == 16 && u64::from_str_radix(unique, 16).is_ok())
    };
    for entry in fs::read_dir(folder_of(target)).into_iter().flatten().flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && is_temporary(&entry.file_name().to_string_lossy()) {
            // The lock is held until the file is gone: see `is_locked_by`.
            let file = File::open(entry.path()).ok().filter(|file| file.try_lock().is_ok());
            if let Some(_locked) = file {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// The folder that a file is in.
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What stands between a target's name and the random digits of its temporary file, and after them.
const MARK: &str = ".googlenet-";
const END: &str = ".tmp";

/// The names of this process's temporary files. Who holds the lock may make, rename or remove them.
fn temporaries() -> MutexGuard<'static, Vec<PathBuf>> {
    static TEMPORARIES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    TEMPORARIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the temporary files of every [`NewFile`] of this process, for a program that is about to end at a signal. Whoever
/// begins, completes or drops a [`NewFile`] after that waits for the end of the process.
///
/// ```no_run
/// // On a thread that waits for signals:
/// googlenet::file::abandon();
/// std::process::exit(130);
/// ```
pub fn abandon() {
    let temporaries = temporaries();
    for path in &*temporaries {
        // There is nobody to report a failure to.
        let _ = fs::remove_file(path);
    }
    std::mem::forget(temporaries);
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let mut temporaries = temporaries();
        // A failure is ignored: `drop` has nobody to report to.
        let _ = fs::remove_file(&self.0);
        unlist(&mut temporaries, &self.0);
    }
}

/// Takes `path` off the list of this process's temporary files. An empty list holds no memory, which a program that looks for
/// its leaks would find at its end.
fn unlist(temporaries: &mut Vec<PathBuf>, path: &Path) {
    temporaries.retain(|other| other != path);
    if temporaries.is_empty() {
        *temporaries = Vec::new();
    }
}

/// Makes the name of `target` last through a power cut, where the system can sync folders; elsewhere the name may be
/// lost, but the file is whole if it is there.
fn sync_folder(target: &Path) {
    if let Ok(folder) = File::open(folder_of(target)) {
        let _ = faults::point().and_then(|()| folder.sync_all());
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
        assert!(matches!(read(folder.path(), 7), Err(Error::File(FileError::NotRegular { kind: "a directory", .. }))));
        if cfg!(target_os = "linux") {
            // These state a length of 0.
            assert!(matches!(read("/proc/self/maps", 100), Err(Error::File(FileError::TooLarge { limit: 100, .. }))));
        }
    }

    /// Makes a pipe of that name, with the system's own command, as the standard library cannot.
    #[cfg(unix)]
    fn pipe(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo is there");
        assert!(made.success());
    }

    #[test]
    #[cfg(all(unix, not(miri)))]
    fn only_regular_files_are_read_and_replaced() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        pipe(&at("pipe"));
        symlink("pipe", at("link")).expect("made");
        symlink("nowhere", at("dangling")).expect("made");
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("made");
        fs::create_dir(at("folder")).expect("made");
        let kinds = [
            ("pipe", "a pipe"),
            ("link", "a pipe"),
            ("socket", "a socket"),
            ("folder", "a directory"),
            ("dangling", "a symbolic link that leads nowhere"),
        ];
        for (name, kind) in kinds {
            if name != "dangling" {
                let refused = read(at(name), 100).expect_err(kind);
                assert!(matches!(refused, Error::File(FileError::NotRegular { kind: found, .. }) if found == kind));
            }
            let before = fs::symlink_metadata(at(name)).expect("there").file_type();
            let refused = NewFile::create(at(name)).expect("begun").commit(true).expect_err(kind);
            assert!(matches!(refused, Error::File(FileError::NotRegular { kind: found, .. }) if found == kind));
            assert_eq!(fs::symlink_metadata(at(name)).expect("there").file_type(), before, "{name}");
        }
        assert!(matches!(read("/dev/zero", 100), Err(Error::File(FileError::NotRegular { kind: "a device", .. }))));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), kinds.len(), "no temporary is left");
    }

    #[test]
    #[cfg(all(unix, not(miri)))]
    fn what_is_replaced_keeps_its_mode_and_links_to_it_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("else")).expect("made");
        fs::write(at("else/f"), b"old").expect("written");
        fs::set_permissions(at("else/f"), fs::Permissions::from_mode(0o600)).expect("set");
        symlink("else/f", at("link")).expect("made");
        let put = |force: bool| {
            let mut file = NewFile::create(at("link")).expect("begun");
            file.write_all(b"new").expect("written");
            let mode = fs::metadata(&file.temporary.0).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "nobody else may read it, from the start");
            file.commit(force)
        };
        assert!(matches!(put(false), Err(Error::File(FileError::TargetExists { .. }))));
        assert_eq!(fs::read(at("else/f")).expect("read"), b"old");
        put(true).expect("replaced");
        assert!(fs::symlink_metadata(at("link")).expect("there").is_symlink());
        assert_eq!(fs::read(at("else/f")).expect("read"), b"new");
        assert_eq!(fs::metadata(at("else/f")).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(at("else")).expect("a folder").count(), 1);
    }

    /// What a process counts, another process with the same number, in another container, counts, too.
    #[test]
    fn temporary_names_do_not_follow_from_the_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let names: Vec<_> = (0..100)
            .map(|_| Temporary::create(&folder.path().join("f")).expect("created").0)
            .map(|temporary| temporary.0.file_name().expect("a name").to_string_lossy().into_owned())
            .collect();
        let own = std::process::id().to_string();
        assert!(names.iter().all(|name| name.len() == ".f.googlenet-.tmp".len() + 16), "{names:?}");
        assert!(!names.iter().all(|name| name.contains(&own)));
        // The first digit of numbers that count on would be the same.
        let first = ".f.googlenet-".len();
        assert!(names.iter().any(|name| name.as_bytes()[first] != names[0].as_bytes()[first]), "{names:?}");
    }

    #[test]
    #[cfg(all(unix, not(miri)))]
    fn dead_temporaries_are_removed_and_those_of_the_living_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let dead = [".f.googlenet-0123456789abcdef.tmp", ".other.googlenet-ffffffffffffffff.tmp"];
        let others = [".f.0123456789abcdef.tmp", ".f.googlenet-0123.tmp", "f.googlenet-0123456789abcdef", "g"];
        for name in dead.iter().chain(&others) {
            fs::write(at(name), b"something").expect("written");
        }
        let mut living = NewFile::create(at("f")).expect("created");
        assert_eq!(dead.map(|name| at(name).exists()), [false; 2]);
        NewFile::create(at("h")).expect("created").commit(false).expect("another was written meanwhile");
        living.write_all(b"whole").expect("written");
        living.commit(false).expect("nobody has removed it");
        assert_eq!(fs::read(at("f")).expect("read"), b"whole");
        assert_eq!(others.map(|name| at(name).exists()), [true; 4]);
    }

    /// A quarter of them write at once, as a process may have a thousand files open on Linux, and less elsewhere; one thread reads.
    #[test]
    #[cfg(all(target_os = "linux", not(miri)))]
    fn of_a_thousand_writers_of_a_name_none_is_lost_and_none_torn() {
        const WRITERS: usize = 1000;
        let folder = tempfile::tempdir().expect("a folder");
        let content = |writer: usize| writer.to_string().repeat(4000).into_bytes();
        let written = |writer: usize, name: &str, force: bool| {
            let mut file = NewFile::create(folder.path().join(name)).expect("created");
            for piece in content(writer).chunks(1000) {
                // Each piece is written by itself, so that a reader could see a part.
                file.write_all(piece).and_then(|()| file.flush()).expect("written");
            }
            file.commit(force)
        };
        let whole = |name: &str| {
            let found = fs::read(folder.path().join(name)).expect("there from the first writer on");
            let digits = found.len() / 4000;
            let writer = std::str::from_utf8(&found[..digits]).ok().and_then(|digits| digits.parse().ok());
            let writer: usize = writer.unwrap_or_else(|| panic!("{} bytes, torn", found.len()));
            assert!(found == content(writer), "torn: {} bytes of {writer}", found.len());
        };
        written(0, "replaced", true).expect("the first");
        // How many of its four files a thread could give the name that nobody may replace.
        let four = |first: usize| -> usize {
            let writers = (first..WRITERS).step_by(WRITERS / 4);
            writers
                .filter(|&writer| {
                    written(writer, "replaced", true).expect("none is lost");
                    match written(writer, "kept", false) {
                        Ok(()) => true,
                        Err(Error::File(FileError::TargetExists { .. })) => false,
                        Err(error) => panic!("{error}"),
                    }
                })
                .count()
        };
        let kept: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..WRITERS / 4).map(|first| scope.spawn(move || four(first))).collect();
            while threads.iter().any(|thread| !thread.is_finished()) {
                whole("replaced");
            }
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(kept, 1, "one was the first");
        whole("kept");
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        assert_eq!(names, ["kept", "replaced"]);
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
