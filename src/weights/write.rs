//! Writing a weight file, whole or not at all.
//!
//! ```text
//! check everything        names, shapes, lengths, f16 range, header's length
//! hash the data section   pass 1 over the tensors
//! write                   the header, then pass 2 over the tensors; `file.rs` gives the file its name
//! ```

use super::format::{
    ALIGNMENT, Dtype, FORMAT, HEADER, HEADER_HASH, INT8, MAX_HEADER_BYTES, MAX_RANK, MAX_TENSORS, METADATA, VERSION,
    VERSION_INT8, header_hash,
};
use super::view::hash_text;
use crate::Result;
use crate::error::{TensorError, WeightsError};
use crate::file::NewFile;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;
use xxhash_rust::xxh3::Xxh3Default;

/// A tensor to write.
#[derive(Clone, Debug)]
pub struct NewTensor<'a> {
    /// The tensor's name, unique in the file.
    pub name: &'a str,
    /// The tensor's shape, outermost dimension first, without zeros.
    pub shape: &'a [usize],
    /// The type to store; f16 rounds to nearest, ties to even.
    pub dtype: Dtype,
    /// The tensor's elements, row-major.
    pub values: Cow<'a, [f32]>,
}

/// Writes a strict weight file of `tensors`, in their order, to `path`.
///
/// The metadata keys `format`, `version`, `hash` and `header` are set here, whatever `metadata` says of them. A reader sees the
/// old file or the new one, never a part of either; after an error `path` is as it was. Without `force` an existing
/// target is an error, even one that another process makes meanwhile; this needs a file system with hard links.
///
/// # Errors
///
/// An error of [`NewFile::create`] or [`NewFile::commit`], or one that says what is wrong with the tensors: a doubled
/// or reserved name, a shape with a zero or with more than 8 dimensions, values that do not fill the shape, a finite
/// value too large for f16, more than 4096 tensors, or a header longer than 1 MiB.
///
/// ```
/// use googlenet::{Error, error::FileError};
/// use googlenet::weights::{Dtype, NewTensor, Weights, write};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("copy.safetensors");
/// let weights = Weights::open("weights/demo.safetensors")?;
/// let tensors: Vec<_> = weights
///     .tensors()
///     .map(|t| NewTensor { name: t.name(), shape: t.shape(), dtype: Dtype::F32, values: t.to_f32() })
///     .collect();
/// write(&path, weights.metadata(), &tensors, false)?;
/// let again = write(&path, weights.metadata(), &tensors, false);
/// assert!(matches!(again, Err(Error::File(FileError::TargetExists { .. }))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write(
    path: impl AsRef<Path>,
    metadata: &BTreeMap<String, String>,
    tensors: &[NewTensor<'_>],
    force: bool,
) -> Result<()> {
    let (header, offsets) = lay_out(metadata, tensors)?;
    let mut out = NewFile::create(path)?;
    let written = out.write_all(&header).and_then(|()| emit(tensors, &offsets, |bytes| out.write_all(bytes)));
    written.map_err(|source| out.write_error(source))?;
    out.commit(force)
}

/// The bytes of the file that [`fn@write`] makes of `tensors`, for [`Weights::from_vec`](super::Weights::from_vec).
///
/// # Errors
///
/// Those of [`fn@write`] that say what is wrong with the tensors.
///
/// ```
/// use std::collections::BTreeMap;
/// use googlenet::weights::{Dtype, NewTensor, Weights, encode};
///
/// let tensors = [NewTensor { name: "t", shape: &[2], dtype: Dtype::F16, values: vec![0.5, -2.0].into() }];
/// let weights = Weights::from_vec(encode(&BTreeMap::new(), &tensors)?)?;
/// assert_eq!(weights.tensor("t").expect("it is there").to_f32()[..], [0.5, -2.0]);
/// # Ok::<(), googlenet::Error>(())
/// ```
pub fn encode(metadata: &BTreeMap<String, String>, tensors: &[NewTensor<'_>]) -> Result<Vec<u8>> {
    let (mut file, offsets) = lay_out(metadata, tensors)?;
    file.reserve_exact(offsets.last().map_or(0, |&[_, past]| past));
    emit(tensors, &offsets, |bytes| {
        file.extend_from_slice(bytes);
        Ok(())
    })
    .expect("a vector does no input or output");
    Ok(file)
}

/// The file up to its data section, and where in that the tensors lie.
fn lay_out(metadata: &BTreeMap<String, String>, tensors: &[NewTensor<'_>]) -> Result<(Vec<u8>, Vec<[usize; 2]>)> {
    let offsets = check(tensors)?;
    let mut hasher = Xxh3Default::new();
    emit(tensors, &offsets, |bytes| {
        hasher.update(bytes);
        Ok(())
    })
    .expect("hashing does no input or output");
    Ok((header(metadata, tensors, &offsets, hasher.digest128())?, offsets))
}

/// Checks the tensors and lays them out: each one's first byte in the data section, and the byte past its last.
fn check(tensors: &[NewTensor<'_>]) -> Result<Vec<[usize; 2]>> {
    if tensors.len() > MAX_TENSORS {
        return Err(WeightsError::TooMany { what: "tensors", found: tensors.len(), limit: MAX_TENSORS }.into());
    }
    let mut names = BTreeSet::new();
    let mut offsets = Vec::with_capacity(tensors.len());
    let mut end = 0usize;
    for t in tensors {
        let tensor = || t.name.to_owned();
        if t.name == METADATA {
            return Err(TensorError::Name { tensor: tensor() }.into());
        }
        if !names.insert(t.name) {
            return Err(WeightsError::DuplicateKey { key: tensor() }.into());
        }
        let n_bytes = t.shape.iter().try_fold(t.dtype.size(), |n, &dim| n.checked_mul(dim));
        let begin = end.checked_next_multiple_of(ALIGNMENT);
        let n_bytes = n_bytes.filter(|&n| n > 0 && t.shape.len() <= MAX_RANK);
        let range = n_bytes.zip(begin).and_then(|(n, begin)| Some((n, begin, begin.checked_add(n)?)));
        let Some((n_bytes, begin, past)) = range else {
            return Err(TensorError::ImpossibleShape {
                tensor: tensor(),
                shape: t.shape.iter().map(|&dim| dim as u64).collect(),
            }
            .into());
        };
        if n_bytes / t.dtype.size() != t.values.len() {
            let found = t.values.len() as u64 * t.dtype.size() as u64;
            return Err(TensorError::Length { tensor: tensor(), expected: n_bytes as u64, found }.into());
        }
        if t.dtype == Dtype::F16 {
            let lost = |x: f32| x.is_finite() && half::f16::from_f32(x).is_infinite();
            if let Some(index) = t.values.iter().position(|&x| lost(x)) {
                return Err(TensorError::HalfRange { tensor: tensor(), index, value: t.values[index] }.into());
            }
        }
        offsets.push([begin, past]);
        end = past;
    }
    Ok(offsets)
}

/// Gives `sink` the bytes of the data section, piece by piece.
fn emit(
    tensors: &[NewTensor<'_>],
    offsets: &[[usize; 2]],
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut end = 0;
    let mut piece = Vec::new();
    for (tensor, &[begin, past]) in tensors.iter().zip(offsets) {
        sink(&[0; ALIGNMENT][..begin - end])?;
        for values in tensor.values.chunks(PIECE) {
            piece.clear();
            match tensor.dtype {
                Dtype::F32 => piece.extend(values.iter().flat_map(|x| x.to_le_bytes())),
                Dtype::F16 => piece.extend(values.iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes())),
            }
            sink(&piece)?;
        }
        end = past;
    }
    Ok(())
}

/// The file up to its data section: the header's length and its JSON, padded with spaces so that the data section
/// begins at a multiple of `ALIGNMENT`.
fn header(
    metadata: &BTreeMap<String, String>,
    tensors: &[NewTensor<'_>],
    offsets: &[[usize; 2]],
    hash: u128,
) -> Result<Vec<u8>> {
    let mut metadata = metadata.clone();
    metadata.insert("format".to_owned(), FORMAT.to_owned());
    let version = if metadata.contains_key(INT8) { VERSION_INT8 } else { VERSION };
    metadata.insert("version".to_owned(), version.to_owned());
    metadata.insert("hash".to_owned(), hash_text(hash));
    // Its place is kept by a value that comes of no hash.
    let blank = format!("{HEADER_HASH}{}", "-".repeat(32));
    metadata.insert(HEADER.to_owned(), blank.clone());
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let pairs: Vec<String> = metadata.iter().map(|(key, value)| format!("{}:{}", quoted(key), quoted(value))).collect();
    let mut json = format!("{{{}:{{{}}}", quoted(METADATA), pairs.join(","));
    for (tensor, offsets) in tensors.iter().zip(offsets) {
        let (name, dtype, shape) = (quoted(tensor.name), tensor.dtype.name(), tensor.shape);
        json += &format!(",{name}:{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":{offsets:?}}}");
    }
    json.push('}');
    let data_start = (8 + json.len()).next_multiple_of(ALIGNMENT);
    let length = data_start - 8;
    if length > MAX_HEADER_BYTES {
        return Err(WeightsError::HeaderTooLong { length: length as u64, limit: MAX_HEADER_BYTES as u64 }.into());
    }
    let mut bytes = (length as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes.resize(data_start, b' ');
    // Within a string, quotes are escaped: this is the key, and its value.
    let pair = format!("{}:{}", quoted(HEADER), quoted(&blank));
    let at = bytes.windows(pair.len()).position(|window| window == pair.as_bytes()).expect("written above");
    let value = at + pair.len() - 1 - blank.len();
    let (before, after) = (bytes[..value].to_vec(), &bytes[value + blank.len()..]);
    let hash = header_hash(&[&before, after].concat(), "");
    bytes[value..value + blank.len()].copy_from_slice(hash.as_bytes());
    Ok(bytes)
}

/// How many elements are turned into bytes at a time.
const PIECE: usize = 1 << 14;
