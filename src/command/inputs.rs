//! The pictures that a call names: files, folders with everything inside, lists of files, standard input.

use std::path::{Path, PathBuf};

use crate::image::{self, Decoded};
use clap::Args;

use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::stream;
use crate::command::{names, pictures};
use serde_json::Value;

/// The arguments that name pictures.
#[derive(Args)]
pub struct Inputs {
    /// Pictures; of a folder all that are inside, and in the folders inside; `-` is standard input
    #[arg(value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// A text file with a picture's or folder's path in each line, from the current folder; `-` is standard input. Paths end
    /// in NUL instead, as `find -print0` writes them, if the file has any
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
    /// Take pictures as their files store them: a camera's orientation (EXIF) is ignored, as it was when accuracies were
    /// measured with Pillow
    #[arg(long)]
    as_stored: bool,
}

/// A picture to look at.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    File(PathBuf),
    Standard,
}

impl Inputs {
    /// All pictures, in the order in which they are named, or in that of their paths inside a folder; none if none are named.
    pub fn sources(&self) -> Outcome<Vec<Source>> {
        let listed = match &self.files_from {
            Some(list) if stream::is_standard(list) && self.images.iter().any(|image| stream::is_standard(image)) => {
                let text = "standard input is either a picture (-) or a list (--files-from -)";
                return Err(Failure::new(Code::Usage, text));
            }
            Some(list) => paths(list)?,
            None => Vec::new(),
        };
        let mut sources = Vec::new();
        for path in self.images.iter().chain(&listed) {
            if stream::is_standard(path) {
                if sources.contains(&Source::Standard) {
                    return Err(Failure::new(Code::Usage, "standard input is one picture, and - is named twice"));
                }
                sources.push(Source::Standard);
            } else if path.is_dir() {
                // No folder is left out, as nothing is written into one.
                sources.extend(pictures::find(path, Path::new(""))?.into_iter().map(Source::File));
            } else {
                sources.push(Source::File(path.clone()));
            }
        }
        match sources.is_empty() && self.are_named() {
            true => Err(Failure::new(Code::Input, "the list names no pictures")),
            false => Ok(sources),
        }
    }

    /// Whether there are arguments that name pictures.
    pub fn are_named(&self) -> bool {
        !self.images.is_empty() || self.files_from.is_some()
    }

    /// Decodes a picture, and turns it upright unless pictures are to be taken as they are stored.
    pub fn open(&self, source: &Source) -> crate::Result<Decoded> {
        open(source, self.as_stored)
    }
}

/// Decodes the picture that an argument names, `-` being standard input, and turns it upright. Returns its name, too.
pub fn open_one(path: &Path) -> (String, crate::Result<Decoded>) {
    let source = match stream::is_standard(path) {
        true => Source::Standard,
        false => Source::File(path.to_owned()),
    };
    (source.name(), open(&source, false))
}

/// Decodes a picture; `as_stored` leaves it as its file has it, whatever the camera says of its orientation.
pub fn open(source: &Source, as_stored: bool) -> crate::Result<Decoded> {
    match (source, as_stored) {
        (Source::File(path), false) => image::open(path),
        (Source::File(path), true) => image::open_as_stored(path),
        (Source::Standard, _) => {
            let bytes = stream::read(Path::new("-"), MAX_BYTES)?;
            if as_stored { image::decode_as_stored(&bytes) } else { image::decode(&bytes) }
        }
    }
}

impl Source {
    /// The picture's name, for what is said.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Standard => stream::INPUT.to_owned(),
        }
    }

    /// Writes the picture's name into an object of JSON, as its key `image`; that of standard input is `-`.
    pub fn put(&self, object: &mut Value) {
        match self {
            Self::File(path) => names::put(object, "image", path),
            Self::Standard => names::put(object, "image", Path::new("-")),
        }
    }
}

/// What is doubtful about a picture: each is said as a warning.
pub fn doubts(picture: &Decoded) -> Vec<String> {
    let (width, height) = (picture.view().width(), picture.view().height());
    let (short, long) = (width.min(height), width.max(height));
    let mut doubts = Vec::new();
    if !picture.is_whole() {
        doubts.push("the file lacks its last two bytes, the end marker; all pixels are there".to_owned());
    }
    if short < MIN_SIDE {
        doubts.push(format!("{width}x{height} pixels: a network sees little in less than {MIN_SIDE} a side"));
    }
    if long > MAX_ASPECT * short {
        doubts.push(format!(
            "{width}x{height} pixels: of such a strip the network sees the middle alone, or all of it squeezed"
        ));
    }
    doubts
}

/// The paths that a list has.
fn paths(list: &Path) -> Outcome<Vec<PathBuf>> {
    let bytes = stream::read(list, MAX_LIST_BYTES).or_fail(Code::Input, stream::name(list))?;
    let end = if bytes.contains(&0) { 0 } else { b'\n' };
    let lines = bytes.split(|&byte| byte == end).map(|line| match end {
        0 => line,
        _ => line.strip_suffix(b"\r").unwrap_or(line),
    });
    let named = lines.filter(|line| !line.is_empty()).map(|line| {
        path(line).ok_or_else(|| Failure::new(Code::Input, format!("{}: a path that is not UTF-8", stream::name(list))))
    });
    named.collect()
}

/// The path whose bytes these are.
#[cfg(unix)]
fn path(bytes: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Some(std::ffi::OsStr::from_bytes(bytes).into())
}

/// The path whose bytes these are, if they are text: elsewhere paths are no bytes.
#[cfg(not(unix))]
fn path(bytes: &[u8]) -> Option<PathBuf> {
    Some(str::from_utf8(bytes).ok()?.into())
}

/// The most bytes of a picture, as [`image::open`] has it.
const MAX_BYTES: u64 = 512 << 20;
/// The most bytes of a list, which are some million paths.
const MAX_LIST_BYTES: u64 = 256 << 20;
/// The least side of a picture, in pixels, that is looked at without a warning.
const MIN_SIDE: usize = 32;
/// How many times longer than wide a picture may be without a warning.
const MAX_ASPECT: usize = 20;
