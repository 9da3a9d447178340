//! The file's layout, and the check that a file has it. Files are hostile: every count is compared with the file's length
//! before it is believed, and every byte belongs to something.

use std::collections::BTreeMap;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128;

use crate::Result;
use crate::error::IndexError;

/// Where a file's parts lie.
pub struct Layout {
    pub features: usize,
    pub pictures: usize,
    /// The rows' bytes.
    pub rows: Range<usize>,
    /// The ends of the names.
    pub ends: Range<usize>,
    /// The names' bytes.
    pub names: Range<usize>,
    pub metadata: BTreeMap<String, String>,
    pub rows_hash: u128,
}

/// The footer's numbers.
pub struct Footer {
    pub features: u32,
    pub pictures: u64,
    pub names_bytes: u64,
    pub metadata_bytes: u64,
    pub rows_hash: u128,
}

impl Footer {
    /// The footer but for its last 16 bytes, the hash over what stands before them.
    pub fn bytes(&self) -> [u8; FOOTER - 16] {
        let mut bytes = [0; FOOTER - 16];
        bytes[..4].copy_from_slice(&VERSION.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.features.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.pictures.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.names_bytes.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.metadata_bytes.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.rows_hash.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Self> {
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        match u32_at(0) {
            VERSION => Ok(Self {
                features: u32_at(4),
                pictures: u64_at(8),
                names_bytes: u64_at(16),
                metadata_bytes: u64_at(24),
                rows_hash: u128::from_le_bytes(bytes[32..48].try_into().expect("16 bytes")),
            }),
            found => Err(IndexError::Version { found, known: VERSION }.into()),
        }
    }
}

impl Layout {
    /// Checks `file`, but for the rows and their hash.
    pub fn parse(file: &[u8]) -> Result<Self> {
        if cfg!(target_endian = "big") {
            return Err(IndexError::BigEndian.into());
        }
        let len = file.len();
        if !file.starts_with(&START[..START.len().min(len)]) || len < START.len() {
            return Err(IndexError::NoIndex.into());
        }
        if len < START.len() + FOOTER {
            let (expected, found) = ((START.len() + FOOTER) as u64, len as u64);
            return Err(IndexError::Truncated { expected, found }.into());
        }
        let footer = Footer::read(&file[len - FOOTER..])?;
        let limited = |what, found: u64, limit: u64| match found <= limit {
            true => Ok(found),
            false => Err(IndexError::TooMany { what, found, limit }),
        };
        let features = limited("features", footer.features.into(), MAX_FEATURES)?;
        if features == 0 {
            return Err(IndexError::NoFeatures.into());
        }
        let pictures = limited("pictures", footer.pictures, MAX_PICTURES)?;
        let names_bytes = limited("bytes of names", footer.names_bytes, MAX_NAMES)?;
        let metadata_bytes = limited("bytes of metadata", footer.metadata_bytes, MAX_METADATA)?;
        // The caps keep these sums far below what a u64 holds.
        let rows_end = START.len() as u64 + 4 * pictures * features;
        let ends_start = rows_end.next_multiple_of(ALIGNMENT);
        let names_start = ends_start + 8 * pictures;
        let metadata_start = names_start + names_bytes;
        let expected = metadata_start + metadata_bytes + FOOTER as u64;
        if expected != len as u64 {
            return Err(match expected > len as u64 {
                true => IndexError::Truncated { expected, found: len as u64 }.into(),
                false => IndexError::TooLong { expected, found: len as u64 }.into(),
            });
        }
        // All are at most the file's length, which is a usize.
        let [rows_end, ends_start, names_start, metadata_start] =
            [rows_end, ends_start, names_start, metadata_start].map(|at| at as usize);
        if let Some(at) = (rows_end..ends_start).find(|&at| file[at] != 0) {
            return Err(IndexError::Padding { offset: at as u64, value: file[at] }.into());
        }
        let (ends, names) = (ends_start..names_start, names_start..metadata_start);
        check_ends(&file[ends.clone()], names.len())?;
        let metadata = &file[metadata_start..len - FOOTER];
        let parsed: std::result::Result<BTreeMap<String, String>, _> = serde_json::from_slice(metadata);
        let metadata = parsed.map_err(|error| IndexError::metadata(&error))?;
        let stored = u128::from_le_bytes(file[len - 16..].try_into().expect("16 bytes"));
        check_hash("names and metadata", stored, xxh3_128(&file[ends_start..len - 16]))?;
        let rows = START.len()..rows_end;
        let (features, pictures) = (features as usize, pictures as usize);
        Ok(Self { features, pictures, rows, ends, names, metadata, rows_hash: footer.rows_hash })
    }

    /// Where the name of the picture `row` ends among the bytes of names.
    pub fn end(&self, file: &[u8], row: usize) -> usize {
        let end = &file[self.ends.clone()][8 * row..][..8];
        u64::from_le_bytes(end.try_into().expect("8 bytes")) as usize
    }
}

/// Checks that the names' `ends` never fall, and that the last is the end of their `len` bytes.
fn check_ends(ends: &[u8], len: usize) -> Result<()> {
    let mut last = 0;
    for (row, end) in ends.as_chunks::<8>().0.iter().enumerate() {
        let end = u64::from_le_bytes(*end);
        if end < last || end > len as u64 {
            return Err(IndexError::NameEnd { row, end, last, bytes: len as u64 }.into());
        }
        last = end;
    }
    match last == len as u64 {
        true => Ok(()),
        false => Err(IndexError::NameEnd { row: ends.len() / 8, end: len as u64, last, bytes: len as u64 }.into()),
    }
}

/// Fails unless what was `stored` as the hash of `part` is what was `computed`.
pub fn check_hash(part: &'static str, stored: u128, computed: u128) -> Result<()> {
    match stored == computed {
        true => Ok(()),
        false => Err(IndexError::HashMismatch { part, stored, computed }.into()),
    }
}

/// What a file begins with.
pub const START: [u8; 64] = {
    let (mut start, text) = ([0; 64], *b"googlenet index\n");
    let mut at = 0;
    while at < text.len() {
        start[at] = text[at];
        at += 1;
    }
    start
};
/// The footer's length.
pub const FOOTER: usize = 64;
/// What the names' ends begin at a multiple of.
pub const ALIGNMENT: u64 = 64;
const VERSION: u32 = 1;
/// The most features that a row may have; networks have some thousand.
pub const MAX_FEATURES: u64 = 1 << 16;
/// The most pictures that an index may have.
pub const MAX_PICTURES: u64 = u32::MAX as u64;
/// The most bytes that all names may have together.
pub const MAX_NAMES: u64 = 1 << 40;
/// The most bytes that the metadata may have.
pub const MAX_METADATA: u64 = 1 << 20;
