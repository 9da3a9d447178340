//! The header of a safetensors file: it is parsed, then checked against the file that it stands in.
//!
//! ```text
//! 0        8           8 + n                                       end of file
//! | n: u64 | JSON, n B | tensor | 0.. | tensor | 0.. | ... | tensor |
//!                      ^ data section: offsets in the header count from here
//! ```
//!
//! Numbers are little endian. The JSON is one object: a tensor's name leads to its `dtype`, `shape` and
//! `data_offsets`, the key `__metadata__` to an object of strings. The parser collects keys in lists, not maps, so
//! that it sees a doubled key and refuses it: two readers must never see two files in one.
//!
//! Source: Hugging Face, safetensors, "Format" in the README of its repository; `weights/FORMAT.md` has the rules that
//! a strict file keeps besides.

use crate::Result;
use crate::error::{TensorError, WeightsError};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use xxhash_rust::xxh3::Xxh3Default;

/// How strictly a file is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// The file must be one of this crate's own: aligned, hashed, with metadata, without empty tensors.
    Strict,
    /// The file may be any safetensors file of f32 and f16 tensors; importers check no more.
    Plain,
}

/// The element type of a tensor in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dtype {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
}

impl Dtype {
    /// The size of one element, in bytes.
    pub const fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 => 2,
        }
    }

    /// The type's name as the header spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "F32",
            Dtype::F16 => "F16",
        }
    }

    fn from_name(name: &str) -> Option<Dtype> {
        [Dtype::F32, Dtype::F16].into_iter().find(|dtype| dtype.name() == name)
    }
}

/// A header that has been checked against its file.
#[derive(Clone, Debug)]
pub struct Header {
    /// The offset of the data section in the file, in bytes.
    pub data_start: usize,
    /// All keys and values under `__metadata__`.
    pub metadata: BTreeMap<String, String>,
    /// The tensors in the order of their data; names are unique, ranges disjoint.
    pub tensors: Vec<Entry>,
}

/// What the header says of one tensor: its name, type, shape and where its bytes lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The tensor's name.
    pub name: String,
    /// The type of the tensor's elements.
    pub dtype: Dtype,
    /// The tensor's shape, outermost dimension first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The tensor's bytes in the file: a range in bounds, exactly as long as shape and type ask for.
    pub range: Range<usize>,
}

/// Parses the header of the file `bytes` and checks it against the file's size.
///
/// The data's hash is not checked here: [`Weights`](super::Weights) does that.
///
/// # Errors
///
/// The first thing found that `strictness` does not allow; nothing is repaired or skipped.
///
/// ```
/// use googlenet::weights::{Strictness, parse};
///
/// let header = parse(&std::fs::read("weights/demo.safetensors")?, Strictness::Strict)?;
/// assert_eq!(header.metadata["dialect"], "bvlc");
/// assert_eq!(header.tensors.len(), 287);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn parse(bytes: &[u8], strictness: Strictness) -> Result<Header> {
    parse_as(bytes, strictness, false).map(|(header, _)| header)
}

/// Parses and checks, with [`Strictness::Plain`], another program's file, in which integers (I64) may stand between the
/// weights, as PyTorch's counters do: they must keep to the same layout, and the returned header leaves them out. Elements may
/// be BF16, too: the header has such tensors as F16, which is as long, and their names are returned beside it.
#[cfg(feature = "import")]
pub(crate) fn parse_foreign(bytes: &[u8]) -> Result<(Header, BTreeSet<String>)> {
    parse_as(bytes, Strictness::Plain, true)
}

fn parse_as(bytes: &[u8], strictness: Strictness, is_foreign: bool) -> Result<(Header, BTreeSet<String>)> {
    let (json, data) = split(bytes)?;
    let data_start = bytes.len() - data.len();
    let raw: RawHeader = serde_json::from_slice(json).map_err(|source| WeightsError::header_syntax(&source))?;
    if raw.tensors.len() > MAX_TENSORS {
        return Err(WeightsError::TooMany { what: "tensors", found: raw.tensors.len(), limit: MAX_TENSORS }.into());
    }
    if raw.metadata.len() > 1 {
        return Err(WeightsError::DuplicateKey { key: METADATA.to_owned() }.into());
    }
    let mut metadata = BTreeMap::new();
    for (key, value) in raw.metadata.into_iter().flat_map(|block| block.0) {
        if metadata.contains_key(&key) {
            return Err(WeightsError::DuplicateKey { key }.into());
        }
        metadata.insert(key, value);
    }
    let (mut raw_tensors, mut left_out) = (raw.tensors, BTreeSet::new());
    for (name, entry) in raw_tensors.iter_mut().filter(|(_, entry)| is_foreign && entry.dtype == "I64") {
        // An I64 is as long as two f32, so the checks that follow see a tensor of twice as many f32.
        entry.dtype = Dtype::F32.name().to_owned();
        entry.shape.push(2);
        left_out.insert(name.clone());
    }
    let mut bf16 = BTreeSet::new();
    for (name, entry) in raw_tensors.iter_mut().filter(|(_, entry)| is_foreign && entry.dtype == "BF16") {
        entry.dtype = Dtype::F16.name().to_owned();
        bf16.insert(name.clone());
    }
    let mut tensors = raw_tensors
        .into_iter()
        .map(|(name, raw)| entry(name, raw, data_start, data.len()))
        .collect::<Result<Vec<_>>>()?;
    let mut names = BTreeSet::new();
    if let Some(twice) = tensors.iter().find(|tensor| !names.insert(tensor.name.as_str())) {
        return Err(WeightsError::DuplicateKey { key: twice.name.clone() }.into());
    }
    let bounds = |t: &Entry| (t.range.start, t.range.end);
    tensors.sort_unstable_by(|a, b| bounds(a).cmp(&bounds(b)).then_with(|| a.name.cmp(&b.name)));
    check_layout(bytes, data_start, &tensors)?;
    if strictness == Strictness::Strict {
        check_strict(data_start, &metadata, &tensors)?;
        check_header(&bytes[..data_start], &metadata)?;
    }
    tensors.retain(|tensor| !left_out.contains(&tensor.name));
    Ok((Header { data_start, metadata, tensors }, bf16))
}

/// Divides the file into its JSON and its data section.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let found = bytes.len() as u64;
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or(WeightsError::Truncated { expected: 8, found })?;
    let length = u64::from_le_bytes(*length);
    let in_limit = usize::try_from(length).ok().filter(|&length| length <= MAX_HEADER_BYTES);
    let in_limit = in_limit.ok_or(WeightsError::HeaderTooLong { length, limit: MAX_HEADER_BYTES as u64 })?;
    let (json, data) =
        rest.split_at_checked(in_limit).ok_or(WeightsError::Truncated { expected: 8 + length, found })?;
    match json.first() {
        Some(b'{') => Ok((json, data)),
        first => Err(WeightsError::HeaderStart { found: first.copied() }.into()),
    }
}

/// The entry of one tensor, its size and bounds checked.
fn entry(name: String, raw: RawEntry, data_start: usize, data_len: usize) -> Result<Entry> {
    let Some(dtype) = Dtype::from_name(&raw.dtype) else {
        return Err(TensorError::Type { tensor: name, dtype: raw.dtype }.into());
    };
    let Some((shape, n_bytes)) = checked_shape(&raw.shape, dtype) else {
        return Err(TensorError::ImpossibleShape { tensor: name, shape: raw.shape }.into());
    };
    let [begin, end] = raw.data_offsets;
    let bounds = usize::try_from(begin).ok().zip(usize::try_from(end).ok());
    let Some((first, last)) = bounds.filter(|&(first, last)| first <= last && last <= data_len) else {
        return Err(TensorError::Offsets { tensor: name, begin, end, data_length: data_len as u64 }.into());
    };
    if last - first != n_bytes {
        return Err(TensorError::Length { tensor: name, expected: n_bytes as u64, found: end - begin }.into());
    }
    // These sums do not overflow: they are at most the length of the file.
    Ok(Entry { name, dtype, shape, range: data_start + first..data_start + last })
}

/// The shape, and the length in bytes of a tensor that has it; `None` where there are too many dimensions or the length
/// overflows.
fn checked_shape(shape: &[u64], dtype: Dtype) -> Option<(Vec<usize>, usize)> {
    if shape.len() > MAX_RANK {
        return None;
    }
    let shape: Vec<usize> = shape.iter().map(|&dim| usize::try_from(dim).ok()).collect::<Option<_>>()?;
    let n_bytes = shape.iter().try_fold(dtype.size(), |n, &dim| n.checked_mul(dim))?;
    Some((shape, n_bytes))
}

/// Checks that `tensors`, sorted by their offsets, are disjoint, and that the bytes between them are zero and fewer
/// than `ALIGNMENT`.
fn check_layout(bytes: &[u8], data_start: usize, tensors: &[Entry]) -> Result<()> {
    let mut end = data_start;
    let mut before: Option<&Entry> = None;
    for tensor in tensors {
        let begin = tensor.range.start;
        if begin < end {
            return Err(TensorError::Overlap {
                first: before.map_or_else(String::new, |t| t.name.clone()),
                second: tensor.name.clone(),
                offset: (begin - data_start) as u64,
            }
            .into());
        }
        if begin - end >= ALIGNMENT {
            return Err(WeightsError::Gap { offset: (end - data_start) as u64, length: (begin - end) as u64 }.into());
        }
        if let Some(at) = bytes[end..begin].iter().position(|&byte| byte != 0) {
            return Err(WeightsError::Padding { offset: (end - data_start + at) as u64, value: bytes[end + at] }.into());
        }
        end = tensor.range.end;
        before = Some(tensor);
    }
    if end < bytes.len() {
        return Err(WeightsError::Gap { offset: (end - data_start) as u64, length: (bytes.len() - end) as u64 }.into());
    }
    Ok(())
}

/// Checks what this crate's own files promise beyond a sound layout.
///
/// As gaps are shorter than `ALIGNMENT`, an aligned tensor lies at the first aligned offset after its predecessor: the
/// order of the tensors leaves the writer no choice of offsets.
fn check_strict(data_start: usize, metadata: &BTreeMap<String, String>, tensors: &[Entry]) -> Result<()> {
    let starts = tensors.iter().map(|t| (t.name.as_str(), t.range.start));
    for (what, offset) in [("data section", data_start)].into_iter().chain(starts) {
        if !offset.is_multiple_of(ALIGNMENT) {
            return Err(WeightsError::Misaligned {
                what: what.to_owned(),
                offset: offset as u64,
                alignment: ALIGNMENT as u64,
            }
            .into());
        }
    }
    if let Some(empty) = tensors.iter().find(|t| t.range.is_empty()) {
        let shape = empty.shape.iter().map(|&dim| dim as u64).collect();
        return Err(TensorError::ImpossibleShape { tensor: empty.name.clone(), shape }.into());
    }
    let value = |key| metadata.get(key).ok_or(WeightsError::MetadataMissing { key });
    let unusable = |key, value: &str, expected| WeightsError::MetadataValue { key, value: value.to_owned(), expected };
    match value("format")?.as_str() {
        FORMAT => {}
        format => return Err(unusable("format", format, FORMAT).into()),
    }
    match (value("version")?.as_str(), metadata.contains_key(INT8)) {
        (VERSION, false) | (VERSION_INT8, true) => Ok(()),
        (VERSION_INT8, false) => Err(WeightsError::MetadataMissing { key: INT8 }.into()),
        (VERSION, true) => Err(unusable("version", VERSION, "2, which files with the key \"int8\" have").into()),
        (version, _) => Err(unusable("version", version, "1 or 2").into()),
    }
}

/// Checks what the metadata say of `head`, the file up to its data section, if they do: files that were written before there
/// was such a hash have none.
pub(super) fn check_header(head: &[u8], metadata: &BTreeMap<String, String>) -> Result<()> {
    match metadata.get(HEADER) {
        Some(stored) => {
            let computed = header_hash(head, stored);
            match *stored == computed {
                true => Ok(()),
                false => Err(WeightsError::HashMismatch { stored: stored.clone(), computed }.into()),
            }
        }
        // Were the key damaged, the file would look like an older one, but for the value.
        None if metadata.values().any(|value| value.starts_with(HEADER_HASH)) => {
            Err(WeightsError::MetadataMissing { key: HEADER }.into())
        }
        None => Ok(()),
    }
}

/// The value of the key `header`: the hash of `head`, in which the value that stands there, `own`, is left out.
pub(super) fn header_hash(head: &[u8], own: &str) -> String {
    let mut hasher = Xxh3Default::new();
    let is_one = own.len() == HEADER_HASH.len() + 32;
    let at = head.windows(own.len().max(1)).position(|window| is_one && window == own.as_bytes());
    let at = at.map_or(head.len()..head.len(), |at| at..at + own.len());
    hasher.update(&head[..at.start]);
    hasher.update(&head[at.end..]);
    format!("{HEADER_HASH}{:032x}", hasher.digest128())
}

/// The header as the JSON has it, in which a key may still occur twice.
struct RawHeader {
    metadata: Vec<RawMetadata>,
    tensors: Vec<(String, RawEntry)>,
}

struct RawMetadata(Vec<(String, String)>);

struct RawEntry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct HeaderVisitor;
        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<RawHeader, A::Error> {
                let mut header = RawHeader { metadata: Vec::new(), tensors: Vec::new() };
                while let Some(key) = map.next_key::<String>()? {
                    if key == METADATA {
                        header.metadata.push(map.next_value()?);
                    } else {
                        header.tensors.push((key, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(HeaderVisitor)
    }
}

impl<'de> Deserialize<'de> for RawMetadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct MetadataVisitor;
        impl<'de> Visitor<'de> for MetadataVisitor {
            type Value = RawMetadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<RawMetadata, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(RawMetadata(pairs))
            }
        }
        deserializer.deserialize_map(MetadataVisitor)
    }
}

impl<'de> Deserialize<'de> for RawEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = RawEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of dtype, shape and data_offsets")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<RawEntry, A::Error> {
                let (mut dtype, mut shape, mut data_offsets) = (None, None, None);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "dtype" => once(&mut dtype, "dtype", map.next_value()?)?,
                        "shape" => once(&mut shape, "shape", map.next_value()?)?,
                        "data_offsets" => once(&mut data_offsets, "data_offsets", map.next_value()?)?,
                        _ => return Err(de::Error::unknown_field(&key, &["dtype", "shape", "data_offsets"])),
                    }
                }
                Ok(RawEntry {
                    dtype: dtype.ok_or_else(|| de::Error::missing_field("dtype"))?,
                    shape: shape.ok_or_else(|| de::Error::missing_field("shape"))?,
                    data_offsets: data_offsets.ok_or_else(|| de::Error::missing_field("data_offsets"))?,
                })
            }
        }
        deserializer.deserialize_map(EntryVisitor)
    }
}

fn once<T, E: de::Error>(slot: &mut Option<T>, field: &'static str, value: T) -> std::result::Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(field)),
    }
}

/// Tensors and the data section begin at multiples of this in a strict file: a cache line, and a whole AVX-512 vector.
pub(super) const ALIGNMENT: usize = 64;
/// The longest JSON that is read; GoogLeNet's takes some 50 KiB, labels included.
pub(super) const MAX_HEADER_BYTES: usize = 1 << 20;
/// The most tensors that a file may have; GoogLeNet has 116, with both auxiliary heads some 130.
pub(super) const MAX_TENSORS: usize = 4096;
/// The most dimensions that a tensor may have; weights of convolutions have 4.
pub(super) const MAX_RANK: usize = 8;
/// The key of the header that holds the metadata; no tensor can have it as a name.
pub(super) const METADATA: &str = "__metadata__";
/// The metadata key whose value is the hash of all that stands before the data section.
pub(super) const HEADER: &str = "header";
/// What such a value begins with, and no other.
pub(super) const HEADER_HASH: &str = "xxh3-128:";
/// The metadata key that says for which plans a packed file is packed; other files lack it.
pub(crate) const PACKING: &str = "packing";
/// How the names of the packed tensors of a packed file begin.
pub(crate) const PACKED: &str = "packed/";
/// The metadata key of a file that was quantised; its value is the version of how.
pub(crate) const INT8: &str = "int8";
/// The one version of how that is known.
pub(crate) const INT8_VERSION: &str = "1";
/// The smallest and the largest scale of a quantised file, and the largest bias. Kernels multiply and divide by at most three
/// scales at once, which these keep within the normal numbers of f32, 2^-126 to 2^127.
pub(crate) const SCALES: [f32; 2] = [1.0 / MAX_SCALE, MAX_SCALE];
const MAX_SCALE: f32 = (1_u64 << 40) as f32;
/// What the name of a quantised convolution's scales of its weights ends in: one for each output channel.
pub(crate) const WEIGHT_SCALE: &str = ".weight_scale";
/// What the name of a quantised convolution's biases ends in.
pub(crate) const INT8_BIAS: &str = ".int8_bias";
/// What the name of the scale of a convolution's outputs ends in.
pub(crate) const OUTPUT_SCALE: &str = ".output_scale";
/// The value of the metadata key `format`.
pub(crate) const FORMAT: &str = "googlenet";
/// The value of the metadata key `version` of a file that was not quantised.
pub(super) const VERSION: &str = "1";
/// The value of the metadata key `version` of a file that was quantised, which readers that know nothing of int8 refuse.
pub(super) const VERSION_INT8: &str = "2";
