//! The header of a weight file: parsed, and checked before anything in it is believed.
//!
//! ```text
//! 0   u64, little-endian: length n of the header
//! 8   the header, n bytes of JSON, padded with spaces so that the data begin at a multiple of 64
//! 8+n the data: every tensor at a multiple of 64, zeros between them
//! ```

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use xxhash_rust::xxh3::xxh3_128;

use crate::{Error, Result};

/// Data and tensors begin at multiples of this many bytes.
pub(super) const ALIGNMENT: usize = 64;
/// The longest header that is looked at.
const MAX_HEADER: usize = 1 << 20;
/// The most tensors of a file, dimensions of a tensor, and bytes of a name.
const MAX_TENSORS: usize = 4096;
const MAX_DIMENSIONS: usize = 8;
const MAX_NAME: usize = 256;

/// How strictly a file is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// This project's files: aligned, with metadata and a hash.
    Strict,
    /// Any safetensors of f32 and f16.
    Plain,
}

/// How values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE single precision, little-endian.
    F32,
    /// IEEE half precision, little-endian.
    F16,
}

impl Dtype {
    /// Bytes of a value.
    pub const fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 => 2,
        }
    }

    /// Its name in a header.
    pub const fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "F32",
            Dtype::F16 => "F16",
        }
    }
}

/// A tensor's place: checked to lie in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Bytes in the file.
    pub start: usize,
    pub end: usize,
}

/// A checked header.
#[derive(Debug)]
pub(super) struct Header {
    pub metadata: BTreeMap<String, String>,
    /// In the order of their data.
    pub tensors: Vec<Entry>,
    pub data_start: usize,
}

/// The hash of a data section, as the metadata carry it.
pub(super) fn hash(data: &[u8]) -> String {
    format!("{:032x}", xxh3_128(data))
}

/// Parses and checks the header of `file`.
pub(super) fn parse(file: &[u8], profile: Profile) -> Result<Header> {
    let fail = |at: usize, problem: String| Error::Format { at, problem };
    let length = file.first_chunk().ok_or_else(|| fail(0, format!("only {} bytes", file.len())))?;
    let length = u64::from_le_bytes(*length);
    let length = usize::try_from(length).ok().filter(|&n| n <= MAX_HEADER);
    let length = length.ok_or_else(|| fail(0, format!("a header of more than {MAX_HEADER} bytes")))?;
    let data_start = 8 + length;
    let json = file.get(8..data_start).ok_or_else(|| fail(8, format!("a header of {length} bytes is cut off")))?;
    let raw: RawHeader = serde_json::from_slice(json).map_err(|error| fail(8, error.to_string()))?;
    let metadata = raw.metadata.map_or_else(BTreeMap::new, |unique| unique.0);
    if raw.tensors.len() > MAX_TENSORS {
        return Err(fail(8, format!("{} tensors, more than {MAX_TENSORS}", raw.tensors.len())));
    }
    let mut tensors = Vec::with_capacity(raw.tensors.len());
    for (name, tensor) in raw.tensors {
        tensors.push(entry(name, tensor, data_start, file.len())?);
    }
    tensors.sort_by_key(|tensor| (tensor.start, tensor.end));
    check_layout(file, data_start, &tensors, profile)?;
    if profile == Profile::Strict {
        for (key, expected) in [("format", "googlenet"), ("version", "1")] {
            match metadata.get(key) {
                Some(value) if value == expected => {}
                Some(value) => return Err(Error::Metadata { key, value: value.clone(), expected }),
                None => return Err(Error::MissingMetadata { key }),
            }
        }
    }
    Ok(Header { metadata, tensors, data_start })
}

/// One tensor of the header, its numbers checked against each other and the file.
fn entry(name: String, raw: RawTensor, data_start: usize, file_len: usize) -> Result<Entry> {
    let fail = |problem: String| Error::Format { at: 8, problem: format!("tensor {name:?}: {problem}") };
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Error::Format { at: 8, problem: format!("a tensor's name of {} bytes", name.len()) });
    }
    let dtype = match raw.dtype.as_str() {
        "F32" => Dtype::F32,
        "F16" => Dtype::F16,
        other => return Err(fail(format!("type {other:?} is neither F32 nor F16"))),
    };
    if raw.shape.len() > MAX_DIMENSIONS {
        return Err(fail(format!("{} dimensions", raw.shape.len())));
    }
    let product =
        raw.shape.iter().try_fold(dtype.size(), |n, &dimension| n.checked_mul(usize::try_from(dimension).ok()?));
    let size = product.filter(|&size| size > 0).ok_or_else(|| fail(format!("shape {:?}", raw.shape)))?;
    let [start, end] =
        raw.data_offsets.map(|offset| usize::try_from(offset).ok().and_then(|o| o.checked_add(data_start)));
    let (Some(start), Some(end)) = (start, end) else { return Err(fail(format!("offsets {:?}", raw.data_offsets))) };
    if end > file_len {
        return Err(fail(format!("data end at byte {end}, the file at {file_len}")));
    }
    if end.checked_sub(start) != Some(size) {
        return Err(fail(format!("{:?} of {} is {size} bytes, offsets {:?}", raw.shape, raw.dtype, raw.data_offsets)));
    }
    let shape = raw.shape.iter().map(|&dimension| dimension as usize).collect();
    Ok(Entry { name, dtype, shape, start, end })
}

/// Tensors, sorted by offset, must follow each other without overlap, and nothing but alignment may lie between them.
fn check_layout(file: &[u8], data_start: usize, tensors: &[Entry], profile: Profile) -> Result<()> {
    let align = |at: usize| if profile == Profile::Strict { at.next_multiple_of(ALIGNMENT) } else { at };
    let fail = |at: usize, problem: String| Err(Error::Format { at, problem });
    if align(data_start) != data_start {
        return fail(data_start, format!("the data do not begin at a multiple of {ALIGNMENT}"));
    }
    let mut end = data_start;
    for tensor in tensors {
        if tensor.start < end {
            return fail(tensor.start, format!("tensor {:?} overlaps the one before it", tensor.name));
        }
        if tensor.start != align(end) || file[end..tensor.start].iter().any(|&byte| byte != 0) {
            return fail(end, format!("something that is no tensor lies before {:?}", tensor.name));
        }
        end = tensor.end;
    }
    if file.len() != end {
        return fail(end, format!("{} bytes follow the last tensor", file.len() - end));
    }
    Ok(())
}

/// A JSON object of strings whose keys must differ.
struct Unique(BTreeMap<String, String>);

#[derive(Default)]
struct RawHeader {
    metadata: Option<Unique>,
    tensors: BTreeMap<String, RawTensor>,
}

struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Unique;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Unique, A::Error> {
                let mut unique = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    match unique.entry(key) {
                        Slot::Occupied(slot) => return Err(doubled(slot.key())),
                        Slot::Vacant(slot) => slot.insert(map.next_value()?),
                    };
                }
                Ok(Unique(unique))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = RawHeader;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<RawHeader, A::Error> {
                let mut header = RawHeader::default();
                while let Some(key) = map.next_key::<String>()? {
                    if key == "__metadata__" {
                        if header.metadata.is_some() {
                            return Err(doubled(&key));
                        }
                        header.metadata = Some(map.next_value()?);
                        continue;
                    }
                    match header.tensors.entry(key) {
                        Slot::Occupied(slot) => return Err(doubled(slot.key())),
                        Slot::Vacant(slot) => slot.insert(map.next_value()?),
                    };
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

impl<'de> Deserialize<'de> for RawTensor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = RawTensor;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with dtype, shape and data_offsets")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<RawTensor, A::Error> {
                use serde::de::Error;
                let (mut dtype, mut shape, mut data_offsets) = (None, None, None);
                while let Some(key) = map.next_key::<String>()? {
                    let again = match key.as_str() {
                        "dtype" => dtype.replace(map.next_value()?).is_some(),
                        "shape" => shape.replace(map.next_value()?).is_some(),
                        "data_offsets" => data_offsets.replace(map.next_value()?).is_some(),
                        _ => return Err(A::Error::custom(format_args!("unknown key {key:?} of a tensor"))),
                    };
                    if again {
                        return Err(doubled(&key));
                    }
                }
                Ok(RawTensor {
                    dtype: dtype.ok_or_else(|| A::Error::missing_field("dtype"))?,
                    shape: shape.ok_or_else(|| A::Error::missing_field("shape"))?,
                    data_offsets: data_offsets.ok_or_else(|| A::Error::missing_field("data_offsets"))?,
                })
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

fn doubled<E: serde::de::Error>(key: &str) -> E {
    E::custom(format_args!("{key:?} is there twice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of `header` and `data` bytes of zeros, the header padded so that the data begin at a multiple of 64.
    fn file(header: &str, data: usize) -> Vec<u8> {
        let length = (8 + header.len()).next_multiple_of(ALIGNMENT) - 8;
        let mut file = (length as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.resize(8 + length, b' ');
        file.resize(8 + length + data, 0);
        file
    }

    const METADATA: &str = r#""__metadata__":{"format":"googlenet","version":"1"}"#;

    fn problem(header: &str, data: usize) -> String {
        parse(&file(&format!("{{{METADATA},{header}}}"), data), Profile::Strict).expect_err(header).to_string()
    }

    #[test]
    fn a_header_that_fits_is_taken() {
        let tensors = r#""a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
                         "b":{"dtype":"F16","shape":[5],"data_offsets":[64,74]}"#;
        let header = parse(&file(&format!("{{{METADATA},{tensors}}}"), 74), Profile::Strict).expect("fits");
        assert_eq!(header.tensors.len(), 2);
        assert_eq!(header.tensors[1].shape, [5]);
        assert_eq!(header.tensors[1].start, header.data_start + 64);
    }

    #[test]
    fn headers_that_lie_are_refused_with_the_reason() {
        let one =
            |shape: &str, offsets: &str| format!(r#""a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}"#);
        assert!(problem(&one("[2]", "[0,8]"), 4).contains("the file at"));
        assert!(problem(&one("[3]", "[0,8]"), 8).contains("12 bytes"));
        assert!(problem(&one("[2]", "[8,0]"), 8).contains("offsets"));
        assert!(problem(&one("[4294967296,4294967296]", "[0,8]"), 8).contains("shape"));
        assert!(problem(&one("[0]", "[0,0]"), 0).contains("shape"));
        assert!(problem(&one("[2]", "[18446744073709551615,8]"), 8).contains("offsets"));
        assert!(problem(&one("[2]", "[4,12]"), 12).contains("no tensor"));
        assert!(problem(&one("[2]", "[0,8]"), 9).contains("1 bytes follow"));
        assert!(problem(&one("[-1]", "[0,8]"), 8).contains("invalid"));
        assert!(problem(&one("[2]", "[0,8]").replace("F32", "I64"), 8).contains("I64"));
        assert!(problem(&one("[1,1,1,1,1,1,1,1,2]", "[0,8]"), 8).contains("dimensions"));
        let twice = format!("{},{}", one("[2]", "[0,8]"), one("[2]", "[0,8]"));
        assert!(problem(&twice, 8).contains("twice"));
        let overlap = format!("{},{}", one("[2]", "[0,8]"), one("[2]", "[0,8]").replace("\"a\"", "\"b\""));
        assert!(problem(&overlap, 8).contains("overlaps"));
        let many: Vec<String> =
            (0..=MAX_TENSORS).map(|i| one("[1]", "[0,4]").replace("\"a\"", &format!("\"{i}\""))).collect();
        assert!(problem(&many.join(","), 4).contains("more than"));
    }

    #[test]
    fn what_is_no_file_of_ours_is_refused() {
        for bytes in
            [&b""[..], b"\x08", b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\x10\0\0\0\0\0\0\0{}", b"\x02\0\0\0\0\0\0\0[]"]
        {
            assert!(matches!(parse(bytes, Profile::Plain), Err(Error::Format { .. })), "{bytes:?}");
        }
        let foreign = file("{}", 0);
        assert!(matches!(parse(&foreign, Profile::Strict), Err(Error::MissingMetadata { key: "format" })));
        assert!(parse(&foreign, Profile::Plain).is_ok());
        let unaligned = [&2_u64.to_le_bytes()[..], b"{}"].concat();
        assert!(matches!(parse(&unaligned, Profile::Strict), Err(Error::Format { at: 10, .. })));
    }
}
