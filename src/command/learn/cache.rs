//! Features of pictures, kept on disk: who learns again, or goes on after an interruption, computes only those that are new.
//!
//! A cache is a file of records of one length, to which records are added; numbers are little endian:
//!
//! ```text
//! 0        8         24           32
//! | magic  | key: 16 | n: u64     | record | record | ...
//!
//! record:  | content: 16 | view: u64 | n features: f32 | xxh3-64 of the record up to here: 8 |
//! ```
//!
//! The key is a hash of all that features depend on beside the picture: weights, preparation, instruction set, version. The
//! content is the xxh3-128 of the picture's file. A record that is damaged or not complete is not used, and its features are
//! computed and added again; so nothing needs to be synced, and a run may be killed at any time.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::locked::Locked;
use crate::file::fault_point;

use super::views::VIEWS;

/// The features of one kind, of one network, on one machine.
pub struct Cache {
    path: PathBuf,
    file: Locked,
    features: usize,
    /// The number of records in the file, damaged ones among them.
    records: u32,
    /// For each picture's content the record of each view.
    index: HashMap<u128, [u32; VIEWS]>,
    /// The record that is being written, or the ones that were read.
    bytes: Vec<u8>,
}

impl Cache {
    /// Opens the cache for `key` in `folder`, for rows of `features` features, or begins one.
    pub fn open(folder: &Path, key: u128, features: usize) -> Outcome<Self> {
        let path = folder.join(format!("{key:032x}.features"));
        let named = || path.display();
        // To open a pipe would wait for its reader, without end.
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(Failure::new(Code::Usage, format!("{}: not a cache of googlenet learn", named())));
        }
        let file = Locked::open(&path, "another run uses this cache").or_fail(Code::System, named())?;
        let mut cache =
            Self { file, features, records: 0, index: HashMap::new(), bytes: Vec::new(), path: path.clone() };
        let header = [MAGIC, &key.to_le_bytes(), &(features as u64).to_le_bytes()].concat();
        if !cache.is_one().or_fail(Code::System, named())? {
            return Err(Failure::new(Code::Usage, format!("{}: not a cache of googlenet learn", named())));
        }
        let begun = cache.scan(&header).or_fail(Code::System, named())?;
        // What does not begin as it should is of no use, and neither is a record that is not complete.
        let whole = if begun { header.len() as u64 + u64::from(cache.records) * cache.record_bytes() } else { 0 };
        let truncated = fault_point().and_then(|()| cache.file.0.set_len(whole));
        truncated.or_fail(Code::System, named())?;
        if !begun {
            let written = fault_point().and_then(|()| cache.file.0.write_all(&header));
            written.or_fail(Code::System, named())?;
        }
        Ok(cache)
    }

    /// Whether the file begins as a cache does, or ends before that: no other is written to.
    fn is_one(&self) -> io::Result<bool> {
        let mut file = &self.file.0;
        file.seek(SeekFrom::Start(0))?;
        let mut found = Vec::new();
        file.take(MAGIC.len() as u64).read_to_end(&mut found)?;
        Ok(MAGIC.starts_with(&found))
    }

    /// Reads the file, and notes the records that are good. Whether it begins with `header`.
    fn scan(&mut self, header: &[u8]) -> io::Result<bool> {
        let mut file = io::BufReader::with_capacity(1 << 20, &self.file.0);
        fault_point()?;
        let mut found = vec![0; header.len()];
        file.seek(SeekFrom::Start(0))?;
        if !filled(&mut file, &mut found)? || found != header {
            return Ok(false);
        }
        let mut record = vec![0; self.record_bytes() as usize];
        while filled(&mut file, &mut record)? {
            let (body, hash) = record.split_at(record.len() - 8);
            let (content, rest) = body.split_at(16);
            let content = u128::from_le_bytes(content.try_into().expect("16 bytes"));
            let view = u64::from_le_bytes(rest[..8].try_into().expect("8 bytes"));
            if xxh3_64(body).to_le_bytes() == hash && view < VIEWS as u64 {
                self.index.entry(content).or_insert([NONE; VIEWS])[view as usize] = self.records;
            }
            // Numbers of records are 32 bits wide: 16 TB at 1024 features.
            self.records += 1;
            if self.records == NONE {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a cache of too many records"));
            }
        }
        Ok(true)
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of features in a row.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The number of rows that are there.
    pub fn rows(&self) -> usize {
        self.index.values().flatten().filter(|&&record| record != NONE).count()
    }

    /// The contents of the pictures of which `view` is there.
    pub fn contents(&self, view: usize) -> impl Iterator<Item = u128> + '_ {
        self.index.iter().filter(move |(_, records)| records[view] != NONE).map(|(&content, _)| content)
    }

    /// The record with the features of a view of a picture, if it is there.
    pub fn find(&self, content: u128, view: usize) -> Option<u32> {
        self.index.get(&content).map(|records| records[view]).filter(|&record| record != NONE)
    }

    /// Adds the features of a view of a picture, in a single write: if the run is killed, the record is whole or cut off.
    pub fn add(&mut self, content: u128, view: usize, features: &[f32]) -> Outcome {
        assert_eq!(features.len(), self.features, "as many as in each row");
        self.bytes.clear();
        self.bytes.extend(content.to_le_bytes());
        self.bytes.extend((view as u64).to_le_bytes());
        self.bytes.extend(features.iter().flat_map(|x| x.to_le_bytes()));
        self.bytes.extend(xxh3_64(&self.bytes).to_le_bytes());
        let written = fault_point().and_then(|()| self.file.0.write_all(&self.bytes));
        written.or_fail(Code::System, self.path.display())?;
        self.index.entry(content).or_insert([NONE; VIEWS])[view] = self.records;
        self.records += 1;
        Ok(())
    }

    /// Reads the features of `records` into `out`, `[records, features]`, neighbours at once.
    pub fn read(&self, records: &[u32], out: &mut [f32]) -> Outcome {
        let length = self.record_bytes() as usize;
        let mut bytes = Vec::new();
        let mut out = out.chunks_exact_mut(self.features);
        for run in records.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            bytes.resize(run.len() * length, 0);
            let at = HEADER_BYTES + u64::from(run[0]) * self.record_bytes();
            read_at(&self.file.0, &mut bytes, at).or_fail(Code::System, self.path.display())?;
            for (record, out) in bytes.chunks_exact(length).zip(&mut out) {
                let values = record[24..length - 8].as_chunks::<4>().0;
                out.iter_mut().zip(values).for_each(|(out, bytes)| *out = f32::from_le_bytes(*bytes));
            }
        }
        Ok(())
    }

    fn record_bytes(&self) -> u64 {
        16 + 8 + 4 * self.features as u64 + 8
    }
}

/// Fills `bytes`, or returns that the file ends before.
fn filled(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

/// Fills `bytes` from the offset `at` on; several threads may do so at once.
#[cfg(unix)]
fn read_at(file: &fs::File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    file.read_exact_at(bytes, at)
}

#[cfg(windows)]
fn read_at(file: &fs::File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        match file.seek_read(bytes, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => (bytes, at) = (&mut bytes[read..], at + read as u64),
        }
    }
    Ok(())
}

#[cfg(not(any(unix, windows)))]
fn read_at(_: &fs::File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What a cache begins with; the last letter is the version.
const MAGIC: &[u8] = b"glfeatA\n";

/// The length of a cache without records.
const HEADER_BYTES: u64 = 32;

/// The number of no record.
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(content: u128, view: usize) -> [f32; 3] {
        [0, 1, 2].map(|i| content as f32 + view as f32 / 16.0 + i as f32 / 1024.0)
    }

    /// All rows of the pictures 1 to 3, those that are missing added.
    fn complete(cache: &mut Cache) -> usize {
        let mut added = 0;
        for content in 1..=3 {
            for view in 0..VIEWS {
                if cache.find(content, view).is_none() {
                    cache.add(content, view, &row(content, view)).expect("added");
                    added += 1;
                }
            }
        }
        let mut out = [0.0; 3 * VIEWS];
        for content in 1..=3 {
            let records: Vec<u32> = (0..VIEWS).map(|view| cache.find(content, view).expect("there")).collect();
            cache.read(&records, &mut out).expect("read");
            let expected: Vec<f32> = (0..VIEWS).flat_map(|view| row(content, view)).collect();
            assert_eq!(out[..], expected);
        }
        added
    }

    #[test]
    fn whatever_is_cut_off_or_damaged_is_computed_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Cache::open(folder.path(), 7, 3).expect("opened");
        let mut cache = open();
        let path = cache.path().to_owned();
        assert_eq!(complete(&mut cache), 3 * VIEWS);
        drop(cache);
        assert_eq!(complete(&mut open()), 0);
        let whole = fs::read(&path).expect("read");
        let record = (whole.len() - 32) / (3 * VIEWS);
        for length in (0..whole.len()).step_by(7) {
            fs::write(&path, &whole[..length]).expect("cut off");
            let complete_ones = length.saturating_sub(32) / record;
            assert_eq!(complete(&mut open()), 3 * VIEWS - complete_ones, "{length} bytes");
            assert_eq!(fs::read(&path).expect("read"), whole, "{length} bytes");
        }
        for at in (MAGIC.len()..whole.len()).step_by(5) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, &damaged).expect("damaged");
            assert_eq!(complete(&mut open()), if at < 32 { 3 * VIEWS } else { 1 }, "byte {at}");
            assert_eq!(complete(&mut open()), 0, "byte {at}");
        }
        // Whatever else is there is not written to.
        for other in [&b"glfeat"[1..], b"{}", &[0; 100]] {
            fs::write(&path, other).expect("written");
            let refused = Cache::open(folder.path(), 7, 3).err().expect("no cache").to_string();
            assert!(refused.contains("not a cache of googlenet learn"), "{refused}");
            assert_eq!(fs::read(&path).expect("read"), other);
        }
    }

    #[test]
    fn one_run_at_a_time_has_a_cache_and_each_key_has_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut first = Cache::open(folder.path(), 1, 3).expect("opened");
        first.add(5, 2, &[1.0; 3]).expect("added");
        let refused = Cache::open(folder.path(), 1, 3).err().expect("in use");
        assert!(refused.to_string().contains("another run"), "{refused}");
        let second = Cache::open(folder.path(), 2, 3).expect("opened");
        assert!(second.find(5, 2).is_none() && first.find(5, 2) == Some(0) && first.find(5, 1).is_none());
        assert_eq!((first.rows(), second.rows()), (1, 0));
        assert_eq!((first.contents(2).collect::<Vec<_>>(), first.contents(1).count()), (vec![5], 0));
    }
}
