//! A weight file in memory, and its tensors by name.
//!
//! The file's bytes begin at a multiple of 64 in memory, whether they were read, mapped, linked in or copied. A strict
//! file has its tensors at multiples of 64 in the file, so f32 tensors are used where they lie.

use super::format::{Dtype, Entry, Header, PACKED, PACKING, Strictness, check_header, parse};
use crate::aligned::{AlignedBytes, is_aligned, try_zeros};
use crate::error::{FileError, WeightsError};
use crate::faults::Watched;
use crate::{Result, file};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

/// A checked weight file: immutable, `Send` and `Sync`.
pub struct Weights {
    storage: Storage,
    header: Header,
    /// The index in `header.tensors` of each tensor, by its name.
    index: BTreeMap<String, usize>,
    /// Whether the hash is to be checked before the tensors are read that are not packed.
    unverified: AtomicBool,
}

impl Weights {
    /// Reads the file at `path` into memory and checks it, its hash included.
    ///
    /// # Errors
    ///
    /// [`FileError::Io`] where the file cannot be read, [`FileError::NotRegular`] where it is a directory, pipe or device,
    /// or an error that says what is wrong with it.
    ///
    /// ```
    /// let weights = googlenet::weights::Weights::open("weights/demo.safetensors")?;
    /// assert_eq!((weights.tensors().len(), weights.metadata()["dialect"].as_str()), (287, "bvlc"));
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Weights> {
        Weights::open_as(path, Strictness::Strict)
    }

    /// Reads the file at `path` into memory and checks it as strictly as asked; [`Strictness::Plain`] checks no hash.
    ///
    /// # Errors
    ///
    /// Those of [`Weights::open`].
    ///
    /// ```
    /// use googlenet::weights::{Strictness, Weights};
    ///
    /// let weights = Weights::open_as("weights/demo.safetensors", Strictness::Plain)?;
    /// assert_eq!(weights.tensors().len(), 287);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn open_as(path: impl AsRef<Path>, strictness: Strictness) -> Result<Weights> {
        Weights::new(Storage::read(path.as_ref(), MAX_FILE_BYTES)?, strictness)
    }

    /// Uses a file that is part of the program, as `include_bytes!` makes it; the bytes are copied unless they begin
    /// at a multiple of 64.
    ///
    /// # Errors
    ///
    /// The error says what is wrong with the file.
    ///
    /// ```
    /// use googlenet::weights::Weights;
    ///
    /// static FILE: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors"));
    /// assert_eq!(Weights::from_static(FILE)?.file_len(), FILE.len());
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn from_static(bytes: &'static [u8]) -> Result<Weights> {
        let storage = match is_aligned(bytes) {
            true => Storage::Static(bytes),
            false => Storage::Owned(copy(bytes)?),
        };
        Weights::new(storage, Strictness::Strict)
    }

    /// Uses a file that is in memory; the bytes are copied unless they begin at a multiple of 64.
    ///
    /// # Errors
    ///
    /// The error says what is wrong with the file.
    ///
    /// ```
    /// use googlenet::{Error, error::WeightsError, weights::Weights};
    ///
    /// let mut bytes = std::fs::read("weights/demo.safetensors")?;
    /// Weights::from_vec(bytes.clone())?;
    /// *bytes.last_mut().expect("not empty") ^= 1;
    /// assert!(matches!(Weights::from_vec(bytes), Err(Error::Weights(WeightsError::HashMismatch { .. }))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_vec(bytes: Vec<u8>) -> Result<Weights> {
        Weights::from_vec_as(bytes, Strictness::Strict)
    }

    /// Copies a file that is in memory.
    ///
    /// # Errors
    ///
    /// The error says what is wrong with the file.
    ///
    /// ```
    /// use googlenet::weights::Weights;
    ///
    /// let bytes = std::fs::read("weights/demo.safetensors")?;
    /// assert_eq!(Weights::copy(&bytes)?.file_len(), bytes.len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn copy(bytes: &[u8]) -> Result<Weights> {
        Weights::new(Storage::Owned(copy(bytes)?), Strictness::Strict)
    }

    /// Uses a file that is in memory, like [`Weights::from_vec`], and checks it as strictly as asked.
    ///
    /// # Errors
    ///
    /// The error says what is wrong with the file.
    pub fn from_vec_as(bytes: Vec<u8>, strictness: Strictness) -> Result<Weights> {
        let len = bytes.len();
        let bytes = AlignedBytes::from_vec(bytes).map_err(|_| WeightsError::Memory { bytes: len })?;
        Weights::new(Storage::Owned(bytes), strictness)
    }

    pub(super) fn new(storage: Storage, strictness: Strictness) -> Result<Weights> {
        let header = parse(storage.bytes(), strictness)?;
        let index = header.tensors.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
        let strict = strictness == Strictness::Strict;
        // Reading a mapped packed file for its hash would cost more than mapping it saves, as long as the packed tensors
        // are used.
        let unread = storage.is_mapped() && header.metadata.contains_key(PACKING);
        let weights = Weights { storage, header, index, unverified: AtomicBool::new(strict && unread) };
        if strict && !unread {
            weights.verify()?;
        }
        Ok(weights)
    }

    /// Checks the hash unless that was done: before anything is made of a mapped packed file's other tensors, of which
    /// the whole is then read anyway.
    pub(crate) fn verify_once(&self) -> Result<()> {
        // Threads that come here at once may each check the hash, which does no harm.
        if self.unverified.load(Ordering::Relaxed) {
            self.verify()?;
            self.unverified.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Checks header and data against the file's hashes. Opening a file does this already, except for a packed file that is
    /// mapped; of that it is done when a session packs the weights in memory, as the packed ones do not fit it.
    ///
    /// # Errors
    ///
    /// [`WeightsError::HashMismatch`], or [`WeightsError::MetadataMissing`] where the file was opened with
    /// [`Strictness::Plain`] and has no hash.
    ///
    /// ```
    /// googlenet::weights::Weights::open("weights/demo.safetensors")?.verify()?;
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn verify(&self) -> Result<()> {
        check_hash(self.storage.bytes(), &self.header)
    }

    /// The header's metadata, uninterpreted; [`Description`](crate::Description) gives them their meaning.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.header.metadata
    }

    /// The file's length, in bytes.
    pub fn file_len(&self) -> usize {
        self.storage.bytes().len()
    }

    /// All tensors, in the order of their data.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = Tensor<'_>> + DoubleEndedIterator {
        self.header.tensors.iter().map(|entry| self.view(entry))
    }

    /// The tensor called `name`.
    ///
    /// ```
    /// let weights = googlenet::weights::Weights::open("weights/demo.safetensors")?;
    /// let bias = weights.tensor("loss3/classifier.bias").expect("the classifier's");
    /// assert_eq!((bias.shape(), bias.to_f32().len()), (&[10][..], 10));
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        self.index.get(name).map(|&i| self.view(&self.header.tensors[i]))
    }

    /// The index, among [`Weights::tensors`], of the tensor called `name`.
    pub(crate) fn index_of(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// The tensor at `index` among [`Weights::tensors`].
    pub(crate) fn nth(&self, index: usize) -> Tensor<'_> {
        self.view(&self.header.tensors[index])
    }

    /// Brings the packed tensors of a mapped file into memory at once, which takes half the time of bringing in each
    /// page when it is first touched.
    pub(crate) fn populate_packed(&self) {
        let packed = || self.header.tensors.iter().filter(|tensor| tensor.name.starts_with(PACKED));
        if let (Some(first), Some(last)) = (packed().next(), packed().next_back()) {
            self.storage.populate(first.range.start..last.range.end);
        }
    }

    /// Brings the tensor at `index` of a mapped file into memory at once.
    pub(crate) fn populate(&self, index: usize) {
        self.storage.populate(self.header.tensors[index].range.clone());
    }

    fn view<'a>(&'a self, entry: &'a Entry) -> Tensor<'a> {
        Tensor { entry, bytes: &self.storage.bytes()[entry.range.clone()] }
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weights").field("header", &self.header).finish_non_exhaustive()
    }
}

/// A view of one tensor of a [`Weights`].
#[derive(Clone, Copy)]
pub struct Tensor<'a> {
    entry: &'a Entry,
    bytes: &'a [u8],
}

impl<'a> Tensor<'a> {
    /// The tensor's name.
    pub fn name(&self) -> &'a str {
        &self.entry.name
    }

    /// The type of the tensor's elements.
    pub fn dtype(&self) -> Dtype {
        self.entry.dtype
    }

    /// The tensor's shape, outermost dimension first; empty for a scalar.
    pub fn shape(&self) -> &'a [usize] {
        &self.entry.shape
    }

    /// The offset in the file, in bytes, at which the tensor's data begin.
    pub fn offset(&self) -> usize {
        self.entry.range.start
    }

    /// The tensor's elements as the file holds them: row-major, little endian.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The elements where they lie in memory: always for f32 in a strict file on a little-endian machine; `None` where
    /// they are f16 or misaligned, or the machine is big-endian.
    pub fn as_f32(&self) -> Option<&'a [f32]> {
        match self.entry.dtype {
            Dtype::F32 if cfg!(target_endian = "little") => bytemuck::try_cast_slice(self.bytes).ok(),
            _ => None,
        }
    }

    /// The elements as f32, without rounding; borrowed where [`Tensor::as_f32`] gives a slice, else copied.
    pub fn to_f32(&self) -> Cow<'a, [f32]> {
        match self.as_f32() {
            Some(values) => Cow::Borrowed(values),
            None => Cow::Owned(decode(self.bytes, self.entry.dtype).collect()),
        }
    }

    /// [`Tensor::to_f32`], or an error where the memory for a copy cannot be had.
    pub(crate) fn try_to_f32(&self) -> Result<Cow<'a, [f32]>> {
        if let Some(values) = self.as_f32() {
            return Ok(Cow::Borrowed(values));
        }
        let len = self.bytes.len() / self.entry.dtype.size();
        let mut values = try_zeros(len).map_err(|_| WeightsError::Memory { bytes: 4 * len })?;
        values.iter_mut().zip(decode(self.bytes, self.entry.dtype)).for_each(|(to, value)| *to = value);
        Ok(Cow::Owned(values))
    }

    /// The xxh3-128 of the tensor's name, shape and values as f32: two files that hold the same numbers give the same
    /// hash, whatever the order, type or alignment of their tensors.
    ///
    /// The hashed bytes are, all little endian: the name's length as u64, the name, the rank as u64, each dimension as
    /// u64, the values as f32.
    pub fn hash(&self) -> u128 {
        let mut hasher = Xxh3Default::new();
        hasher.update(&(self.name().len() as u64).to_le_bytes());
        hasher.update(self.name().as_bytes());
        hasher.update(&(self.shape().len() as u64).to_le_bytes());
        for &dim in self.shape() {
            hasher.update(&(dim as u64).to_le_bytes());
        }
        match self.entry.dtype {
            Dtype::F32 => hasher.update(self.bytes),
            Dtype::F16 => decode(self.bytes, Dtype::F16).for_each(|x| hasher.update(&x.to_le_bytes())),
        }
        hasher.digest128()
    }
}

impl fmt::Debug for Tensor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} {:?}", self.name(), self.dtype().name(), self.shape())
    }
}

fn decode(bytes: &[u8], dtype: Dtype) -> impl Iterator<Item = f32> {
    // The chunk's length tells the type, so that both types share one iterator. The parser has checked that `bytes` is
    // a whole number of elements.
    bytes.chunks_exact(dtype.size()).map(|element| match *element {
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
        [a, b] => half::f16::from_le_bytes([a, b]).to_f32(),
        _ => unreachable!("an element has 2 or 4 bytes"),
    })
}

/// Where a file's bytes are kept. They begin at a multiple of 64, which is a cache line and the format's `ALIGNMENT`.
pub(crate) enum Storage {
    Owned(AlignedBytes),
    Static(&'static [u8]),
    #[cfg(feature = "mmap")]
    Mapped(memmap2::Mmap),
}

impl Storage {
    /// Reads the whole file at `path`, which is at most `limit` bytes long.
    ///
    /// # Errors
    /// [`FileError::Io`] where it cannot be read, [`FileError::NotRegular`] where it is a directory, pipe or device.
    pub(crate) fn read(path: &Path, limit: usize) -> Result<Storage> {
        let (file, metadata) = file::open_as(path, "read")?;
        let bytes = read(file, metadata.len(), limit);
        let bytes = bytes.map_err(|source| FileError::Io { action: "read", path: path.to_owned(), source })?;
        Ok(Storage::Owned(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Storage::Owned(bytes) => bytes,
            Storage::Static(bytes) => bytes,
            #[cfg(feature = "mmap")]
            Storage::Mapped(map) => map,
        }
    }

    fn is_mapped(&self) -> bool {
        match self {
            Storage::Owned(_) | Storage::Static(_) => false,
            #[cfg(feature = "mmap")]
            Storage::Mapped(_) => true,
        }
    }

    /// Brings `range` of a mapped file into memory; a file that is not mapped is there already.
    fn populate(&self, range: Range<usize>) {
        match self {
            Storage::Owned(_) | Storage::Static(_) => debug_assert!(range.end <= self.bytes().len()),
            #[cfg(feature = "mmap")]
            Storage::Mapped(map) => super::map::populate(map, range),
        }
    }
}

/// A copy that begins at a multiple of 64.
fn copy(bytes: &[u8]) -> Result<AlignedBytes> {
    AlignedBytes::try_copy(bytes).map_err(|_| WeightsError::Memory { bytes: bytes.len() }.into())
}

/// Reads the whole of `file`, which is `len` bytes long, if that is not more than `limit`.
fn read(file: File, len: u64, limit: usize) -> io::Result<AlignedBytes> {
    let len = usize::try_from(len).ok().filter(|&len| len <= limit).ok_or(io::ErrorKind::FileTooLarge)?;
    let mut bytes = AlignedBytes::try_zeroed(len)?;
    Watched(file).read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Checks that header and data section of `file` have the hashes that the metadata state.
pub(crate) fn check_hash(file: &[u8], header: &Header) -> Result<()> {
    check_header(&file[..header.data_start], &header.metadata)?;
    let stored = header.metadata.get("hash").ok_or(WeightsError::MetadataMissing { key: "hash" })?;
    let computed = hash_text(xxh3_128(&file[header.data_start..]));
    match *stored == computed {
        true => Ok(()),
        false => Err(WeightsError::HashMismatch { stored: stored.clone(), computed }.into()),
    }
}

/// A hash as the metadata key `hash` spells it: 32 hexadecimal digits.
pub(super) fn hash_text(hash: u128) -> String {
    format!("{hash:032x}")
}

/// The longest file that is read: 2 GiB less one byte. The largest network of the family takes 0.25 GiB.
const MAX_FILE_BYTES: usize = i32::MAX as usize;
