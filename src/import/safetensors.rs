//! Reads a safetensors file: its tensors, f32 or f16, in any order, among which PyTorch's counters may stand.

use super::tensor::{Data, Tensor};
use super::{Imported, names};
use crate::error::{ImportError, ModelError};
use crate::model::Dialect;
use crate::weights::{
    Dtype, FORMAT, Header, INT8, INT8_BIAS, OUTPUT_SCALE, Strictness, WEIGHT_SCALE, check_hash, parse, parse_foreign,
};
use crate::{Error, Result};

/// Reads a file and checks its tensors against the model table.
pub(super) fn read(bytes: &[u8], dialect: Option<Dialect>) -> Result<Imported> {
    let header = header(bytes).map_err(|source| ImportError::Safetensors { source: Box::new(source) })?;
    // What quantising added to a file of this crate's own goes with the weights as they are, and is left out.
    let is_quantised = header.metadata.contains_key(INT8);
    let added = |name: &str| [WEIGHT_SCALE, INT8_BIAS, OUTPUT_SCALE].iter().any(|suffix| name.ends_with(suffix));
    let own_tensors = header.tensors.iter().filter(|entry| !(is_quantised && added(&entry.name)));
    let tensors = own_tensors.map(|entry| {
        let data = &bytes[entry.range.clone()];
        Tensor {
            name: &entry.name,
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

/// The file's header. A file that claims to be one of this crate's weight files is checked as strictly as one, its hash
/// included: the imported tensors are written with a new hash, which would hide that they were damaged.
fn header(bytes: &[u8]) -> Result<Header> {
    let header = parse_foreign(bytes)?;
    if header.metadata.get("format").is_none_or(|format| format != FORMAT) {
        return Ok(header);
    }
    let header = parse(bytes, Strictness::Strict)?;
    check_hash(bytes, &header)?;
    Ok(header)
}
