//! What a file is that was named as weights and is none.

use std::io::Read;
use std::path::Path;

use crate::{file, import};

use crate::command::exit::{Code, Failure};
use crate::command::stream;

/// `failure`, which came of reading `path` as weights, or a better one, if `path` is something that can be told apart and be
/// made weights of.
pub fn explain(path: &Path, failure: Failure) -> Failure {
    let name = stream::name(path);
    let model = |text: String| Failure::new(Code::Model, text);
    if path.is_dir() {
        return model(format!("{name} is a folder, expected a weight file, as `googlenet convert` writes them"));
    }
    let Some(begin) = begin(path) else { return failure };
    if is_own(&begin) {
        return failure;
    }
    let picture = matches!(&*begin, [0xff, 0xd8, 0xff, ..] | [0x89, b'P', b'N', b'G', ..]);
    match import::kind(&begin) {
        Some("an HDF5 file") => model(format!("{name} is an HDF5 file, which is not read: see weights/README.md")),
        Some(kind) if kind.contains("PyTorch") => {
            model(format!("{name} is {kind}, which is not read; `googlenet convert` says what to do with it"))
        }
        Some(kind) => model(format!(
            "{name} is {kind}, not a weight file of this engine; make it one: googlenet convert {name} googlenet.safetensors"
        )),
        None if picture => model(format!("{name} is a picture, not a weight file; name it without --weights")),
        None => failure,
    }
}

/// The first bytes of a file; `None` if it is no file that can be read.
fn begin(path: &Path) -> Option<Vec<u8>> {
    let mut begin = Vec::new();
    file::open(path).ok()?.take(BEGIN_BYTES).read_to_end(&mut begin).ok()?;
    Some(begin)
}

/// Whether the header that `begin` begins with says that the file is this engine's own.
fn is_own(begin: &[u8]) -> bool {
    let own = br#""format":"googlenet""#;
    begin.windows(own.len()).any(|window| window == own)
}

/// As many bytes as the header of a weight file has at most.
const BEGIN_BYTES: u64 = 1 << 20;
