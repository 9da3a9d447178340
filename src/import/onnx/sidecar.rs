//! The files beside an ONNX graph in which it keeps the numbers of its tensors, as PyTorch's exporter does by default.
//!
//! A graph comes from a stranger, so the files that it names are those of its own folder alone, and of the folders inside: no
//! path goes up, begins at a root, or leads out by a link. What is read of them all has the limit of a file to import.
//!
//! Source: Open Neural Network Exchange, "External Data" (`ExternalData.md`).

use super::proto::{GraphProto, TensorProto};
use crate::error::ImportError;
use crate::import::MAX_BYTES;
use crate::{Error, Result, file};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path};

/// What was read of the files, by their paths in the graph.
#[derive(Default)]
pub(in crate::import) struct Sidecars {
    files: BTreeMap<String, Vec<u8>>,
}

/// None were read.
pub(super) static NO_SIDECARS: Sidecars = Sidecars { files: BTreeMap::new() };

impl Sidecars {
    /// Reads the files in `folder` that the tensors of `graph` name; `graph_len` is the length of the graph's own file.
    pub(super) fn read(graph: &GraphProto, folder: &Path, graph_len: u64) -> Result<Self> {
        let constants = graph.node.iter().flat_map(|node| &node.attribute).filter_map(|attribute| attribute.t.as_ref());
        let mut files = BTreeMap::new();
        let mut left = MAX_BYTES.saturating_sub(graph_len);
        for tensor in graph.initializer.iter().chain(constants) {
            let Some(location) = value(tensor, "location").filter(|&location| !files.contains_key(location)) else {
                continue;
            };
            let bytes = read_inside(folder, location, left)?;
            left = left.saturating_sub(bytes.len() as u64);
            files.insert(location.to_owned(), bytes);
        }
        Ok(Self { files })
    }

    /// The numbers of `tensor`, called `name`, whose data are not in the graph; `None` if no files were read.
    pub(super) fn data(&self, tensor: &TensorProto, name: &str) -> Result<Option<&[u8]>> {
        let Some(bytes) = value(tensor, "location").and_then(|location| self.files.get(location)) else {
            return Ok(None);
        };
        let number = |key: &str| match value(tensor, key) {
            None => Some(None),
            Some(text) => text.parse::<usize>().ok().map(Some),
        };
        let part = || {
            let offset = number("offset")?.unwrap_or(0);
            let rest = bytes.get(offset..)?;
            rest.get(..number("length")?.unwrap_or(rest.len()))
        };
        let outside =
            || ImportError::Graph { name: name.to_owned(), what: "its data lie beyond the end of their file" };
        Ok(Some(part().ok_or_else(outside)?))
    }
}

/// The value that a tensor's external data have for `key`.
fn value<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
}

/// Reads the file `location` in `folder` or in a folder inside, of at most `limit` bytes.
fn read_inside(folder: &Path, location: &str, limit: u64) -> Result<Vec<u8>> {
    let refused = || Error::from(ImportError::Sidecar { location: location.to_owned() });
    let relative = Path::new(location);
    let is_plain = relative.components().all(|component| matches!(component, Component::Normal(_) | Component::CurDir));
    // A backslash divides folders on some systems, and is in no name that an exporter makes on others.
    if location.is_empty() || !is_plain || location.contains(['\\', '\0', ':']) {
        return Err(refused());
    }
    let path = folder.join(relative);
    // Links are followed, but not out of the folder. What cannot be found `file::read` says.
    if let (Ok(real), Ok(own)) = (fs::canonicalize(&path), fs::canonicalize(folder))
        && !real.starts_with(own)
    {
        return Err(refused());
    }
    file::read(path, limit)
}
