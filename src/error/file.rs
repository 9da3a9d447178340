//! Errors of files: the operating system refused something, or a limit or a promise forbids it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// What was wrong with a file.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system refused something.
    Io {
        /// The verb for what was being done, as in "open".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is longer than anything of its kind.
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes that are read.
        limit: u64,
    },
    /// What is to be read or replaced is no regular file.
    NotRegular {
        /// Where it is.
        path: PathBuf,
        /// What it is, as in "a pipe".
        kind: &'static str,
    },
    /// The target exists and may not be replaced.
    TargetExists {
        /// The file.
        path: PathBuf,
    },
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, source: _ } => write!(f, "cannot {action} {}", path.display()),
            Self::TooLarge { path, limit } => {
                write!(f, "{} is longer than {limit} bytes, the limit for its kind", path.display())
            }
            Self::NotRegular { path, kind } => write!(f, "{} is {kind}, expected a file", path.display()),
            Self::TargetExists { path } => write!(f, "{} exists already", path.display()),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
