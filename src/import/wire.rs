//! The wire format of protocol buffers, as far as it bounds what decoding may allocate.
//!
//! Small messages grow about a hundredfold in memory. So all that is not a tensor's numbers has a limit in bytes, which
//! is held before anything is decoded. Source: Google, "Protocol Buffers: Encoding".

use crate::Result;
use crate::error::WeightsError;

/// Fails unless all of `message` but the fields at `numbers` and `packed` is short: paths of tags that hold tensors'
/// numbers, as long in memory as in the file, and integers, which grow fourfold and have a limit of their own.
pub(super) fn check_amounts(message: &[u8], numbers: &[&[u64]], packed: &[&[u64]]) -> Result<()> {
    let mut n_messages = 0;
    let structure_bytes = beside(message, &[numbers, packed].concat(), &mut n_messages);
    let packed_bytes = beside(message, numbers, &mut 0) - structure_bytes;
    for (what, limit, found) in [
        ("tensors", MAX_TENSORS, n_messages),
        ("bytes beside the tensors", MAX_STRUCTURE_BYTES, structure_bytes),
        ("bytes of integers", MAX_PACKED_BYTES, packed_bytes),
    ] {
        if found > limit {
            return Err(WeightsError::TooMany { what, limit, found }.into());
        }
    }
    Ok(())
}

/// Bytes outside of the fields at `data`. Messages that such fields stand in are counted in `n_messages`.
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

/// The tags of a message's fields, in order; what it ends in if it is no message is left out.
pub(super) fn tags(message: &[u8]) -> impl Iterator<Item = u64> {
    Fields(message).map(|field| field.tag)
}

/// The fields of a protobuf message.
///
/// Ends early where the message is damaged; the decoder says so later.
struct Fields<'a>(&'a [u8]);

struct Field<'a> {
    tag: u64,
    /// What a delimited field delimits; empty for a number.
    content: &'a [u8],
    /// Bytes it takes in the message, its key included.
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
            3 | 4 => 0, // the decoder skips groups; what they hold is counted as if it stood here
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

/// The published graphs take some 40 KiB; exporters add a stack trace to every node.
const MAX_STRUCTURE_BYTES: usize = 1 << 20;
/// GoogLeNet has 128 tensors with its heads.
const MAX_TENSORS: usize = 4096;
/// GoogLeNet's weights as varints of f16 bits take 20 MB.
const MAX_PACKED_BYTES: usize = 64 << 20;
