//! A safetensors file: its tensors, f32 or f16, in any order, and the counters that PyTorch keeps beside them.

use super::tensor::{Data, Tensor};
use super::{Imported, names};
use crate::error::{ImportError, ModelError};
use crate::model::Dialect;
use crate::weights::{Dtype, FORMAT, Header, Strictness, check_hash, parse, parse_foreign};
use crate::{Error, Result};

/// Reads a file and checks its tensors against the table.
pub(super) fn read(bytes: &[u8], dialect: Option<Dialect>) -> Result<Imported> {
    let header = header(bytes).map_err(|source| ImportError::Safetensors { source: Box::new(source) })?;
    let tensors = header.tensors.iter().map(|entry| {
        let data = &bytes[entry.range.clone()];
        Tensor {
            name: entry.name.clone(),
            dims: entry.shape.iter().map(|&dim| i64::try_from(dim).unwrap_or(i64::MAX)).collect(),
            data: match entry.dtype {
                Dtype::F32 => Data::F32(data),
                Dtype::F16 => Data::F16(data),
            },
        }
    });
    let own = header.metadata.get("dialect").map(|name| {
        let known = || Dialect::ALL.map(Dialect::name).into();
        Dialect::from_name(name)
            .ok_or_else(|| Error::Model(ModelError::UnknownDialect { dialect: name.clone(), known: known() }))
    });
    let mut imported = names::import(tensors.collect(), dialect, own.transpose()?)?;
    imported.metadata = header.metadata;
    Ok(imported)
}

/// The header; a file of our own format is held to it, its hash included, as damage would get a new hash otherwise.
fn header(bytes: &[u8]) -> Result<Header> {
    let header = parse_foreign(bytes)?;
    if header.metadata.get("format").is_none_or(|format| format != FORMAT) {
        return Ok(header);
    }
    let header = parse(bytes, Strictness::Strict)?;
    check_hash(bytes, &header)?;
    Ok(header)
}
