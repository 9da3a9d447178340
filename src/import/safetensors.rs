//! A safetensors file: the model table's tensors under their Caffe names, in any order, f32 or f16.

use super::{Imported, ImportedTensor};
use crate::model::googlenet;
use crate::weights::{Dtype, Entry, FORMAT, Header, Profile, check_hash, parse};
use crate::{Error, Result};
use half::f16;
use std::collections::HashMap;

/// Reads a file and checks its tensors against the table.
pub(super) fn read(bytes: &[u8]) -> Result<Imported> {
    let header = header(bytes).map_err(|source| Error::Safetensors { source: Box::new(source) })?;
    let mut found: HashMap<&str, &Entry> = header.tensors.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    // The classifier is the table's last node, its bias the last tensor.
    let (bias, _) = googlenet(1).parameters().pop().expect("the table has tensors");
    let missing = |tensor| Error::MissingTensor { tensor };
    let classes = match found.get(bias.as_str()).map(|entry| entry.shape.as_slice()) {
        Some(&[classes]) if classes > 0 => classes,
        Some(found) => return Err(Error::wrong_shape(bias, &[None], found)),
        None => return Err(missing(bias)),
    };
    let mut tensors = Vec::new();
    for (name, shape) in googlenet(classes).parameters() {
        let Some(entry) = found.remove(name.as_str()) else { return Err(missing(name)) };
        if entry.shape != shape {
            let shape: Vec<_> = shape.into_iter().map(Some).collect();
            return Err(Error::wrong_shape(name, &shape, &entry.shape));
        }
        let data = &bytes[entry.range.clone()];
        let values = match entry.dtype {
            Dtype::F32 => data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
            Dtype::F16 => data.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect(),
        };
        tensors.push(ImportedTensor { name, shape, values });
    }
    match header.tensors.iter().find(|entry| found.contains_key(entry.name.as_str())) {
        Some(extra) => Err(Error::UnexpectedTensor { tensor: extra.name.clone() }),
        None => Ok(Imported { classes, tensors }),
    }
}

/// The header; a file of our own format is held to it, its hash included, as damage would get a new hash otherwise.
fn header(bytes: &[u8]) -> Result<Header> {
    let header = parse(bytes, Profile::Plain)?;
    if header.metadata.get("format").is_none_or(|format| format != FORMAT) {
        return Ok(header);
    }
    let header = parse(bytes, Profile::Strict)?;
    check_hash(bytes, &header)?;
    Ok(header)
}
