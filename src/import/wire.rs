//! The wire format of protocol buffers, read just far enough to bound what decoding a file may allocate.
//!
//! Small messages grow about a hundredfold when they are decoded. So everything in a file but the numbers of its
//! tensors has a limit in bytes, which is checked before anything is decoded. Source: Google, "Protocol Buffers:
//! Encoding".

use crate::Result;
use crate::error::WeightsError;

/// Fails unless all of `message` but the fields at `numbers` and `integers` is short. Both are paths of tags from the
/// message to fields that hold the numbers of tensors. Those at `numbers` are as long in memory as in the file; those
/// at `integers` grow fourfold, and have a limit of their own.
pub(super) fn check_amounts(message: &[u8], numbers: &[&[u64]], integers: &[&[u64]]) -> Result<()> {
    let mut n_messages = 0;
    let structure_bytes = beside(message, &[numbers, integers].concat(), &mut n_messages);
    let integer_bytes = beside(message, numbers, &mut 0) - structure_bytes;
    for (what, limit, found) in [
        ("tensors", MAX_TENSORS, n_messages),
        ("bytes beside the tensors", MAX_STRUCTURE_BYTES, structure_bytes),
        ("bytes of integers", MAX_INTEGER_BYTES, integer_bytes),
    ] {
        if found > limit {
            return Err(WeightsError::TooMany { what, limit, found }.into());
        }
    }
    Ok(())
}

/// How many bytes of `message` lie outside of the fields at `data`. The messages that hold such fields directly, which
/// are the tensors, are added to `n_messages`.
fn beside(message: &[u8], data: &[&[u64]], n_messages: &mut usize) -> usize {
    let mut bytes = 0;
    for field in Fields(message) {
        let inner: Vec<&[u64]> =
            data.iter().filter(|path| path[0] == field.tag && path.len() > 1).map(|path| &path[1..]).collect();
        if !inner.is_empty() {
            *n_messages += usize::from(inner.iter().any(|path| path.len() == 1));
            bytes += field.whole_len - field.content.len() + beside(field.content, &inner, n_messages);
        } else if !data.contains(&&[field.tag][..]) {
            bytes += field.whole_len;
        }
    }
    bytes
}

/// The tags of a message's fields, in order, up to the first byte that is no field.
pub(super) fn tags(message: &[u8]) -> impl Iterator<Item = u64> {
    Fields(message).map(|field| field.tag)
}

/// An iterator over the fields of a message.
///
/// It ends early where the message is damaged; the decoder reports that later.
struct Fields<'a>(&'a [u8]);

struct Field<'a> {
    tag: u64,
    /// The bytes of a field that states its length; empty for a number.
    content: &'a [u8],
    /// How many bytes the field takes in the message, its key included.
    whole_len: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let n = self.0.len();
        let key = self.varint()?;
        let len = match key & 7 {
            0 => self.varint().map(|_| 0)?,
            1 => 8,
            2 => usize::try_from(self.varint()?).ok()?,
            5 => 4,
            // The decoder skips groups; here their fields count as if they stood in the message itself.
            3 | 4 => 0,
            _ => return None,
        };
        let (content, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(Field { tag: key >> 3, content: if key & 7 == 2 { content } else { &[] }, whole_len: n - rest.len() })
    }
}

impl Fields<'_> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 127).checked_shl(shift).unwrap_or(0);
            if byte < 128 {
                return Some(value);
            }
        }
        None
    }
}

/// The most bytes beside the numbers of tensors. The published graphs take some 40 KiB, but some exporters add a stack
/// trace to every node.
const MAX_STRUCTURE_BYTES: usize = 1 << 20;
/// The most tensors; GoogLeNet has 128 with its heads.
const MAX_TENSORS: usize = 4096;
/// The most bytes of integers; GoogLeNet's weights take 20 MB as varints of f16 bits.
const MAX_INTEGER_BYTES: usize = 64 << 20;
