//! The text of an [`Error`].
//!
//! Text that comes from a file is shown escaped and shortened, so that a hostile file cannot flood a terminal.

use std::fmt;

use super::Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { action, path, source: _ } => write!(f, "cannot {action} {}", path.display()),
            Error::FileTooLarge { path, limit } => {
                write!(f, "{} is longer than {limit} bytes, the limit for its kind", path.display())
            }
            Error::TargetExists { path } => write!(f, "{} exists already", path.display()),
            Error::Truncated { expected, found } => {
                write!(f, "weights are cut off: expected at least {expected} bytes, found {found}")
            }
            Error::HeaderTooLong { length, limit } => {
                write!(f, "header of {length} bytes, the limit is {limit}: damaged, or not a safetensors file")
            }
            Error::HeaderStart { found: Some(byte) } => {
                write!(f, "header begins with byte {byte:#04x} instead of '{{': not a safetensors file")
            }
            Error::HeaderStart { found: None } => write!(f, "header is empty"),
            Error::HeaderSyntax { source: _ } => write!(f, "header is not a safetensors header"),
            Error::DuplicateKey { key } => write!(f, "key {} occurs twice", Quoted(key)),
            Error::TooMany { what, found, limit } => write!(f, "{found} {what}, the limit is {limit}"),
            Error::TensorName { tensor } => write!(f, "{} cannot be a tensor's name", Quoted(tensor)),
            Error::TensorType { tensor, dtype } => {
                write!(f, "tensor {} has unsupported type {}", Quoted(tensor), Quoted(dtype))
            }
            Error::TensorShape { tensor, shape } => {
                write!(f, "tensor {} has impossible shape {:?}", Quoted(tensor), &shape[..shape.len().min(9)])
            }
            Error::TensorOffsets { tensor, begin, end, data_length } => {
                write!(f, "tensor {} at bytes {begin}..{end} of {data_length}", Quoted(tensor))
            }
            Error::TensorLength { tensor, expected, found } => {
                write!(f, "tensor {} has {found} bytes, its shape asks for {expected}", Quoted(tensor))
            }
            Error::TensorOverlap { first, second, offset } => {
                write!(f, "tensors {} and {} overlap at byte {offset}", Quoted(first), Quoted(second))
            }
            Error::Misaligned { what, offset, alignment } => {
                write!(f, "{} begins at byte {offset}, which is no multiple of {alignment}", Quoted(what))
            }
            Error::Gap { offset, length } => write!(f, "{length} bytes at byte {offset} belong to no tensor"),
            Error::Padding { offset, value } => {
                write!(f, "alignment byte {offset} is {value:#04x} instead of zero")
            }
            Error::HashMismatch { stored, computed } => {
                write!(f, "weights are damaged: their hash is {computed}, the file says {}", Quoted(stored))
            }
            Error::MetadataMissing { key } => write!(f, "metadata have no key {key:?}"),
            Error::MetadataValue { key, value, expected } => {
                write!(f, "metadata key {key:?} is {}, expected {expected}", Quoted(value))
            }
            Error::HalfRange { tensor, index, value } => {
                write!(f, "tensor {}: element {index} is {value}, too large for f16", Quoted(tensor))
            }
            Error::MissingTensor { tensor } => write!(f, "tensor {} is missing", Quoted(tensor)),
            Error::UnexpectedTensor { tensor } => {
                write!(f, "tensor {} is not part of the network", Quoted(tensor))
            }
            Error::WrongShape { tensor, source_name, expected, found } => {
                let dims = expected.iter().map(|dim| dim.map_or_else(|| "classes".into(), |dim| dim.to_string()));
                let expected = dims.collect::<Vec<_>>().join(", ");
                let found = &found[..found.len().min(9)];
                write!(f, "{} has shape {found:?}, expected [{expected}]", Named { tensor, source_name })
            }
            Error::UnknownDialect { dialect, known } => {
                write!(f, "dialect {}, expected {}", Quoted(dialect), known.join(" or "))
            }
            Error::ClassCounts { least, other } => {
                write!(f, "models of {least} and of {other} classes cannot be averaged")
            }
            Error::LabelCount { labels, classes } => write!(f, "{labels} labels for {classes} classes"),
            Error::NotAModel { source: _ } => {
                write!(f, "neither a safetensors nor an .npz file, and no ONNX model or .caffemodel")
            }
            Error::Safetensors { source: _ } => write!(f, "damaged safetensors file"),
            Error::Archive { member, what } if member.is_empty() => write!(f, "damaged .npz archive: {what}"),
            Error::Archive { member, what } => write!(f, "array {} of the archive {what}", Quoted(member)),
            Error::NodeMismatch { node, layer, what, expected, found } => {
                let [node, layer] = [node, layer].map(|text| Quoted(text));
                write!(f, "node {node}, in the place of layer {layer}: {what}: expected ")?;
                write!(f, "{}, found {}", Listed(expected), Listed(found))
            }
            Error::UnexpectedNode { node, operator } => {
                write!(f, "node {} ({}) is not part of the network", Quoted(node), Listed(operator))
            }
            Error::Graph { name, what } => write!(f, "{}: {what}", Quoted(name)),
            Error::ElementType { tensor, source_name, found } => {
                write!(f, "{} has elements of type {found}, expected f32 or f16", Named { tensor, source_name })
            }
            Error::DataLength { tensor, source_name, expected, found_bytes } => {
                write!(f, "{} has {found_bytes} bytes, expected {expected} elements", Named { tensor, source_name })
            }
            Error::ExternalData { tensor, source_name } => {
                write!(f, "{} has its data in another file, expected them in this one", Named { tensor, source_name })
            }
            Error::NotAPicture => write!(f, "neither a JPEG nor a PNG picture"),
            Error::PictureTruncated { length } => write!(f, "picture is cut off after {length} bytes"),
            Error::PictureTooLarge { source: _ } => write!(f, "picture is too large"),
            Error::PictureDamaged { source: _ } => write!(f, "picture could not be decoded"),
            Error::PictureEmpty { width, height } => write!(f, "picture of {width}x{height} pixels is empty"),
            Error::PictureStride { width, stride } => {
                write!(f, "row of {width} RGB pixels does not fit a stride of {stride}")
            }
            Error::PictureTooShort { needed, found } => {
                write!(f, "picture needs {needed} bytes of pixels, found {found}")
            }
            Error::InputLength { expected, found } => write!(f, "input needs {expected} values, found {found}"),
            Error::Crop { side, resize } => {
                write!(f, "crop of side {side} cannot be cut from a short side of {resize} pixels")
            }
            Error::Normalisation { mean, std } => write!(f, "cannot normalise by mean {mean} and deviation {std}"),
            Error::OutOfRange { option, value, least, most } => {
                write!(f, "{option} {value} is not in {least} to {most}")
            }
            Error::TooManyPixels { batch, side, limit } => {
                write!(f, "batch {batch} of {side}x{side} pixels is more than {limit} pixels in all")
            }
            Error::InstructionSet { name, known: true, available } => {
                write!(f, "this machine has no {name}, it has {}", available.join(", "))
            }
            Error::InstructionSet { name, known: false, available } => {
                write!(f, "unknown instruction set {}, this machine has {}", Quoted(name), available.join(", "))
            }
            Error::NoClassMaps => write!(f, "the session was made without class maps"),
            Error::MapLength { expected, found } => {
                write!(f, "class map has {expected} values, found room for {found}")
            }
            Error::UnknownLayer { layer } => write!(f, "the network has no layer {}", Quoted(layer)),
            Error::HeadSide { head, side } => {
                write!(f, "the auxiliary head {head:?} is made for another input side than {side}, as for 224")
            }
            Error::Threads { threads, source: _ } => write!(f, "cannot start {threads} threads"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            Error::HeaderSyntax { source }
            | Error::Threads { source, .. }
            | Error::PictureTooLarge { source }
            | Error::PictureDamaged { source } => Some(source.as_ref()),
            Error::NotAModel { source } => source.as_ref().map(|source| &**source as _),
            Error::Safetensors { source } => Some(source),
            _ => None,
        }
    }
}

/// Foreign text: in quotes, control characters escaped, at most `SHOWN` characters of it.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{:?}...", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// Names and values, some of them foreign, in a list of our own: no quotes around it, else as [`Quoted`].
struct Listed<'a>(&'a str);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars().take(LISTED) {
            match char.is_control() {
                true => write!(f, "{}", char.escape_debug())?,
                false => write!(f, "{char}")?,
            }
        }
        if self.0.chars().nth(LISTED).is_some() { write!(f, "...") } else { Ok(()) }
    }
}

/// The text of another crate's error, which may quote the file, as [`Listed`].
pub(super) fn listed(error: &dyn std::error::Error) -> String {
    Listed(&error.to_string()).to_string()
}

/// A tensor by its name in the file and, if that is another, in the network.
struct Named<'a> {
    tensor: &'a str,
    source_name: &'a str,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tensor, source_name } = self;
        match tensor == source_name {
            true => write!(f, "tensor {}", Quoted(tensor)),
            false => write!(f, "tensor {}, as {},", Quoted(source_name), Quoted(tensor)),
        }
    }
}

const SHOWN: usize = 80;
const LISTED: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;
    use std::io;

    #[test]
    fn foreign_text_is_escaped_and_shortened() {
        let error = Error::DuplicateKey { key: "\u{1b}[2J".to_owned() + &"é".repeat(10_000) };
        let text = error.to_string();
        assert!(text.len() < 250 && !text.contains('\u{1b}'), "{text}");
        let [expected, found] = ["one".to_owned(), "\u{1b}[2J".to_owned() + &"é".repeat(10_000)];
        let error = Error::NodeMismatch { node: "n".into(), layer: "l".into(), what: "readers", expected, found };
        let text = error.to_string();
        assert!(text.len() < 2000 && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn sources_are_set() {
        let source = io::Error::from(io::ErrorKind::NotFound);
        let error = Error::Io { action: "open", path: "a/b".into(), source };
        assert_eq!(error.to_string(), "cannot open a/b");
        assert!(error.source().is_some());
        assert!(Error::HeaderStart { found: None }.source().is_none());
        let error = Error::Safetensors { source: Box::new(Error::HeaderStart { found: None }) };
        assert_eq!(error.source().map(ToString::to_string), Some("header is empty".into()));
    }
}
