//! The wire format of protocol buffers, read just far enough to bound what decoding a file may allocate.
//!
//! Small messages grow about a hundredfold when they are decoded, and bytes that are integers twelvefold. So before
//! anything is decoded, the file is walked along the messages that the decoder will make, and what these take is bounded
//! by the file's length: see [`check_amounts`]. Source: Google, "Protocol Buffers: Encoding".

use crate::Result;
use crate::error::{ImportError, WeightsError};

/// What the decoder keeps of a kind of file, as paths of tags from the outermost message.
pub(super) struct Layout {
    /// The fields that are messages.
    pub messages: &'static [&'static [u64]],
    /// The fields that hold the numbers of tensors, each as long in memory as in the file.
    pub numbers: &'static [&'static [u64]],
    /// The fields of tensors that hold numbers as integers of 32 bits, which grow.
    pub integers: &'static [&'static [u64]],
}

/// Fails unless `message`, which has `layout`, decodes into at most three times its length and 64 MiB, and unless each of
/// its messages ends where its length says: a decoder that reads on there would decode what was not counted here.
///
/// A vector that grows holds its elements three times while it moves: once in the old place, twice in the new. So it
/// takes three times the bytes of
///
/// ```text
/// numbers of tensors     as long as in the file                                3 bytes a byte
/// integers of tensors    4 bytes each, and 4 more, once, as f32: 3 * 4         12 bytes each
/// other bytes            each may be a number of 64 bits of a list: 3 * 8      24 bytes a byte
/// other fields           messages and texts, see `FIELD_BYTES`
/// ```
pub(super) fn check_amounts(message: &[u8], layout: &Layout) -> Result<()> {
    let mut amounts = Amounts::default();
    amounts.add(message, layout, &mut Vec::new())?;
    let Amounts { tensors, bytes, fields, integers, integer_bytes } = amounts;
    // These may overflow where addresses have 32 bits; the limits on bytes and fields then refuse the file below.
    let others = bytes.saturating_mul(24).saturating_add(fields.saturating_mul(FIELD_BYTES));
    let max_integers = (LEAST_BYTES + 3 * integer_bytes).saturating_sub(others) / 12;
    for (what, limit, found) in [
        ("tensors", MAX_TENSORS, tensors),
        ("bytes beside the tensors", MAX_STRUCTURE_BYTES, bytes),
        ("texts and messages beside the tensors", MAX_FIELDS, fields),
        ("integers", max_integers, integers),
    ] {
        if found > limit {
            return Err(WeightsError::TooMany { what, limit, found }.into());
        }
    }
    Ok(())
}

/// How much there is of what grows when it is decoded.
#[derive(Default)]
struct Amounts {
    /// The messages that hold the numbers of tensors.
    tensors: usize,
    /// The bytes outside of numbers and integers.
    bytes: usize,
    /// The fields outside of numbers and integers that state their length: messages, texts and lists.
    fields: usize,
    integers: usize,
    integer_bytes: usize,
}

impl Amounts {
    /// Adds `message`, to which `path` leads.
    fn add(&mut self, message: &[u8], layout: &Layout, path: &mut Vec<u64>) -> Result<()> {
        let mut fields = Fields(message);
        while let Some(field) = fields.next()? {
            path.push(field.tag);
            // Tag by tag: to compare slices is a call of the C library, which a fuzzer hooks, and most paths differ at once.
            let is = |of: &[u64]| of.iter().eq(path.iter());
            let is_in = |paths: &[&[u64]]| paths.iter().any(|of| is(of));
            if is_in(layout.integers) {
                self.integer_bytes += field.whole_len;
                // The last byte of an integer is below 128; a field of one integer has no content and counts once.
                self.integers += field.content.iter().filter(|&&byte| byte < 128).count().max(1);
            } else if !is_in(layout.numbers) {
                self.fields += usize::from(field.states_length);
                self.bytes += field.whole_len - field.content.len();
                if field.states_length && is_in(layout.messages) {
                    let holds = |of: &[u64]| of.split_last().is_some_and(|(_, outer)| is(outer));
                    self.tensors += usize::from(layout.numbers.iter().any(|of| holds(of)));
                    self.add(field.content, layout, path)?;
                } else {
                    self.bytes += field.content.len();
                }
            }
            path.pop();
        }
        Ok(())
    }
}

/// The tags of a message's fields, in order, up to the first byte that is no field.
pub(super) fn tags(message: &[u8]) -> impl Iterator<Item = u64> {
    let mut fields = Fields(message);
    std::iter::from_fn(move || fields.next().ok().flatten().map(|field| field.tag))
}

/// The fields of a message that are still to be read.
struct Fields<'a>(&'a [u8]);

struct Field<'a> {
    tag: u64,
    /// The bytes of a field that states its length; empty for a number.
    content: &'a [u8],
    states_length: bool,
    /// How many bytes the field takes in the message, its key included.
    whole_len: usize,
}

impl<'a> Fields<'a> {
    /// The next field, or `None` at the end of the message. Bytes that are no field, and a field that is longer than the
    /// message, are an error.
    fn next(&mut self) -> Result<Option<Field<'a>>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let damaged = || ImportError::NotAModel { source: Some("a message ends within a field".into()) };
        Ok(Some(self.field().ok_or_else(damaged)?))
    }

    fn field(&mut self) -> Option<Field<'a>> {
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
        let states_length = key & 7 == 2;
        let content = if states_length { content } else { &[] };
        Some(Field { tag: key >> 3, content, states_length, whole_len: n - rest.len() })
    }

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

/// The bytes that any file may take, however short: 64 MiB, of which 4 MiB are left to what is made of the messages.
const LEAST_BYTES: usize = 60 << 20;
/// The most bytes beside the numbers of tensors, which take up to 24 MiB. The published graphs take some 40 KiB, but some
/// exporters add a stack trace to every node.
const MAX_STRUCTURE_BYTES: usize = 1 << 20;
/// The most texts and messages beside the numbers of tensors, which take up to 24 MiB; graphs of GoogLeNet have some
/// 3,000.
const MAX_FIELDS: usize = 1 << 14;
/// What a text or a message takes at most: three times the largest message, to which `proto.rs` of each format holds its
/// own.
pub(super) const FIELD_BYTES: usize = 1536;
/// The most tensors; GoogLeNet has 128 with its heads.
const MAX_TENSORS: usize = 4096;
