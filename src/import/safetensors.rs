//! Reads a safetensors file: its tensors, f32, f16 or bf16, in any order, among which PyTorch's counters may stand.

use super::tensor::{Data, Tensor};
use super::{Imported, names};
use crate::error::{ImportError, ModelError};
use crate::model::Dialect;
use crate::weights::{
    Dtype, FORMAT, Header, INT8, INT8_BIAS, OUTPUT_SCALE, PACKED, PACKING, Strictness, WEIGHT_SCALE, check_hash, parse,
    parse_foreign,
};
use crate::{Error, Result};
use std::collections::BTreeSet;

/// Reads a file and checks its tensors against the model table.
pub(super) fn read(bytes: &[u8], dialect: Option<Dialect>) -> Result<Imported> {
    let (header, bf16) = header(bytes).map_err(|source| ImportError::Safetensors { source: Box::new(source) })?;
    // What quantising added to a file of this crate's own goes with the weights as they are, and is left out.
    let is_quantised = header.metadata.contains_key(INT8);
    let added = |name: &str| [WEIGHT_SCALE, INT8_BIAS, OUTPUT_SCALE].iter().any(|suffix| name.ends_with(suffix));
    // So is what packing added.
    let is_packed = header.metadata.contains_key(PACKING);
    let own_tensors = header
        .tensors
        .iter()
        .filter(|entry| !(is_quantised && added(&entry.name) || is_packed && entry.name.starts_with(PACKED)));
    let tensors = own_tensors.map(|entry| {
        let data = &bytes[entry.range.clone()];
        Tensor {
            name: &entry.name,
            dims: entry.shape.iter().map(|&dim| i64::try_from(dim).unwrap_or(i64::MAX)).collect(),
            data: match entry.dtype {
                Dtype::F32 => Data::F32(data),
                Dtype::F16 if bf16.contains(&entry.name) => Data::Bf16(data),
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

/// The file's header, and the names of its tensors of bf16. A file that claims to be one of this crate's weight files is checked as strictly as one, its hash
/// included: the imported tensors are written with a new hash, which would hide that they were damaged.
fn header(bytes: &[u8]) -> Result<(Header, BTreeSet<String>)> {
    let (header, bf16) = parse_foreign(bytes)?;
    if header.metadata.get("format").is_none_or(|format| format != FORMAT) {
        return Ok((header, bf16));
    }
    let header = parse(bytes, Strictness::Strict)?;
    check_hash(bytes, &header)?;
    Ok((header, BTreeSet::new()))
}
