//! An `.npz` file: a ZIP archive of `.npy` arrays, stored or deflated, as `numpy.savez` and `savez_compressed` write.
//!
//! ```text
//! | local header, data | ... | central directory: name, sizes, offset of each | end: offset of the directory |
//! ```
//!
//! Sizes and offsets may stand in the records that make them 64 bits long (zip64), which some programs write for short files, too.
//!
//! Only the directory's sizes are used, and only if the data are there. Members may not share data, which the archive has
//! once but which would be unpacked for each; and what is unpacked and made of them has a limit in bytes, which follows
//! from the archive's length. Source: PKWARE, "APPNOTE.TXT - .ZIP File Format Specification", 4.3 and 4.5.3.

use super::tensor::{Data, Tensor};
use super::{Imported, names};
use crate::error::{ImportError, WeightsError};
use crate::model::Dialect;
use crate::npy::Header;
use crate::{Error, Result};
use flate2::Crc;
use flate2::read::DeflateDecoder;
use std::borrow::Cow;
use std::io::Read;

/// Reads an archive and checks its arrays against the model table.
pub(super) fn read(bytes: &[u8], dialect: Option<Dialect>) -> Result<Imported> {
    let members = members(bytes)?;
    let tensors = members.iter().map(|member| array(member.name, &member.data)).collect::<Result<Vec<_>>>()?;
    let mut sorted: Vec<&str> = tensors.iter().map(|tensor| tensor.name).collect();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(WeightsError::DuplicateKey { key: pair[0].to_owned() }.into());
    }
    names::import(tensors, dialect, None)
}

fn damaged(name: &str, what: &'static str) -> Error {
    ImportError::Archive { member: name.to_owned(), what }.into()
}

/// A file of the archive.
struct Member<'a> {
    /// The file's name, without `.npy`.
    name: &'a str,
    /// What the file holds, unpacked.
    data: Cow<'a, [u8]>,
}

fn members(bytes: &[u8]) -> Result<Vec<Member<'_>>> {
    let (count, offset) = directory(bytes).ok_or_else(|| damaged("", "no end of a ZIP archive"))?;
    let mut directory = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
    if count > MAX_MEMBERS as u64 {
        let found = usize::try_from(count).unwrap_or(usize::MAX);
        return Err(WeightsError::TooMany { what: "tensors", found, limit: MAX_MEMBERS }.into());
    }
    let (mut members, mut stored, mut unpacked) = (Vec::new(), 0, 0_u64);
    // Beside the archive, three times its length and 64 MiB. Elements of 16 bits, the shortest, become twice as long as
    // values of 32 bits; so what was unpacked takes itself and, at most, twice itself.
    let max_unpacked = bytes.len() as u64 + ((64 << 20) / 3);
    for _ in 0..count {
        let Some((header, rest)) =
            directory.split_at_checked(46).filter(|(header, _)| header.starts_with(b"PK\x01\x02"))
        else {
            return Err(damaged("", "its directory ends early"));
        };
        let [name_len, extra_len, comment_len] = [28, 30, 32].map(|at| usize::from(u16_at(header, at)));
        let Some((name, rest)) = rest.split_at_checked(name_len) else {
            return Err(damaged("", "its directory ends early"));
        };
        let extra = rest.get(..extra_len).unwrap_or_default();
        directory = rest.get(extra_len + comment_len..).unwrap_or_default();
        let name = str::from_utf8(name).map_err(|_| damaged("", "the name of an array is no UTF-8"))?;
        let name = name.strip_suffix(".npy").unwrap_or(name);
        let place = Place::of(header, extra).ok_or_else(|| damaged(name, "has no sizes"))?;
        stored = place.stored_len.saturating_add(stored);
        if stored > bytes.len() as u64 {
            return Err(damaged(name, "shares its data with another"));
        }
        if u16_at(header, 10) != STORED {
            unpacked = place.len.saturating_add(unpacked);
        }
        if unpacked > max_unpacked {
            return Err(damaged(name, "is longer, unpacked, than weights would be"));
        }
        let data = member_data(bytes, header, &place, name)?;
        members.push(Member { name, data });
    }
    Ok(members)
}

/// Where a member's data are, and how long.
struct Place {
    stored_len: u64,
    len: u64,
    offset: u64,
}

impl Place {
    /// What an entry of the directory says. Of the three numbers those that have all of their bits set stand in the record of
    /// `extra` that has them in 64 bits, in this order: length, stored length, offset.
    fn of(header: &[u8], extra: &[u8]) -> Option<Self> {
        let mut long = record(extra, ZIP64);
        let mut number = |at: usize| match u32_at(header, at) {
            u32::MAX => {
                let (number, rest) = long?.split_first_chunk::<8>()?;
                long = Some(rest);
                Some(u64::from_le_bytes(*number))
            }
            number => Some(number.into()),
        };
        let (len, stored_len) = (number(24)?, number(20)?);
        Some(Self { stored_len, len, offset: number(42)? })
    }
}

/// The content of the first record of the kind `id` in an entry's extra field.
fn record(mut extra: &[u8], id: u16) -> Option<&[u8]> {
    loop {
        let (head, rest) = extra.split_at_checked(4)?;
        let (content, rest) = rest.split_at_checked(u16_at(head, 2).into())?;
        if u16_at(head, 0) == id {
            return Some(content);
        }
        extra = rest;
    }
}

/// The data of the member that `header`, an entry of the directory, describes, and that is at `place`.
fn member_data<'a>(bytes: &'a [u8], header: &[u8], place: &Place, name: &str) -> Result<Cow<'a, [u8]>> {
    let crc = u32_at(header, 16);
    let &Place { stored_len, len, offset } = place;
    let local = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
    let Some((start, rest)) = local.split_at_checked(30).filter(|(start, _)| start.starts_with(b"PK\x03\x04")) else {
        return Err(damaged(name, "is not where the directory says"));
    };
    let skip = usize::from(u16_at(start, 26)) + usize::from(u16_at(start, 28));
    let stored = rest.get(skip..).and_then(|rest| rest.get(..usize::try_from(stored_len).ok()?));
    let stored = stored.ok_or_else(|| damaged(name, "is cut off"))?;
    let data = match u16_at(header, 10) {
        STORED => Cow::Borrowed(stored),
        DEFLATED => {
            // With room for a byte that should not be there, the vector need not grow.
            let mut data = Vec::new();
            let reserved = usize::try_from(len).is_ok_and(|len| data.try_reserve_exact(len.saturating_add(1)).is_ok());
            if !reserved {
                return Err(damaged(name, "is longer, unpacked, than there is memory"));
            }
            let inflated = DeflateDecoder::new(stored).take(len.saturating_add(1)).read_to_end(&mut data);
            inflated.map_err(|_| damaged(name, "cannot be unpacked"))?;
            Cow::Owned(data)
        }
        _ => return Err(damaged(name, "is neither stored nor deflated")),
    };
    if data.len() as u64 != len {
        return Err(damaged(name, "is not as long as the directory says"));
    }
    let mut sum = Crc::new();
    sum.update(&data);
    if sum.sum() != crc { Err(damaged(name, "is damaged: its checksum differs")) } else { Ok(data) }
}

/// How many entries the directory has, and where it begins. The record that says so ends the archive; a comment of up to 65535
/// bytes may follow it. Before it may stand a pointer to a record that says the same in 64 bits.
fn directory(bytes: &[u8]) -> Option<(u64, u64)> {
    let last = bytes.len().checked_sub(22)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    let at = (first..=last).rev().find(|&at| bytes[at..].starts_with(b"PK\x05\x06"))?;
    let (count, offset) = (u16_at(&bytes[at..], 10), u32_at(&bytes[at..], 16));
    if count != u16::MAX && offset != u32::MAX {
        return Some((count.into(), offset.into()));
    }
    let pointer = bytes.get(at.checked_sub(20)?..at).filter(|pointer| pointer.starts_with(b"PK\x06\x07"))?;
    let long = bytes.get(usize::try_from(u64_at(pointer, 8)).ok()?..)?;
    (long.len() >= 56 && long.starts_with(b"PK\x06\x06")).then(|| (u64_at(long, 32), u64_at(long, 48)))
}

/// The kind of an extra field's record that has numbers of 64 bits.
const ZIP64: u16 = 1;
/// The ways in which a member may be packed.
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// The most members; GoogLeNet's variables are some 400 with those that training adds.
const MAX_MEMBERS: usize = 4096;

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// A member as a tensor. Counters are arrays of integers, which get a type that is refused if they are used as weights.
fn array<'a>(name: &'a str, mut data: &'a [u8]) -> Result<Tensor<'a>> {
    let header = Header::read(&mut data).map_err(|_| damaged(name, "is no .npy array"))?;
    if header.fortran_order && header.shape.len() > 1 {
        return Err(damaged(name, "has its first dimension fastest, expected the last"));
    }
    let dims = header.shape.iter().take(8).map(|&dim| i64::try_from(dim).unwrap_or(i64::MAX)).collect();
    let data = match header.descr.as_str() {
        "<f2" => Data::F16(data),
        "<f4" => Data::F32(data),
        "<f8" => Data::F64(data),
        _ => Data::Type(0),
    };
    Ok(Tensor { name, dims, data })
}
