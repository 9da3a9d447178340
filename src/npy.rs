//! `.npy` files: an array of f32, row-major, after a header in Python's syntax.
//!
//! ```text
//! 0         6               8                    10 or 12     a multiple of 64 in files that this module writes
//! | 93NUMPY | major, minor  | n: u16 or, from 2.0, u32 | n bytes of header | values
//!
//! {'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 224, 224), }
//! ```
//!
//! Files are hostile: the header has a longest length, is read without recursion, and must have every key exactly once.
//!
//! The module needs the feature `import`.
//!
//! Source: NumPy, "NEP 1: A simple file format for NumPy arrays".

use std::io::{self, Read, Write};

/// What the header of an array says.
#[derive(Debug, PartialEq)]
pub struct Header {
    /// The type of the elements, as NumPy spells it: `<f4` is a little-endian f32.
    pub descr: String,
    /// Whether neighbours along the first dimension lie side by side, instead of those along the last.
    pub fortran_order: bool,
    /// The length of each dimension.
    pub shape: Vec<u64>,
}

impl Header {
    /// Reads a header; `reader` then stands at the first value.
    pub fn read(reader: &mut impl Read) -> io::Result<Self> {
        let mut start = [0; 8];
        reader.read_exact(&mut start).map_err(|_| invalid("not a .npy file"))?;
        let n = match start {
            [0x93, b'N', b'U', b'M', b'P', b'Y', 1, 0] => u32::from(u16::from_le_bytes(bytes(reader)?)),
            [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, 0] => u32::from_le_bytes(bytes(reader)?),
            [0x93, b'N', b'U', b'M', b'P', b'Y', major, minor] => {
                return Err(invalid(&format!("version {major}.{minor} of .npy, expected 1.0, 2.0 or 3.0")));
            }
            _ => return Err(invalid("not a .npy file")),
        };
        if n > MAX_HEADER {
            return Err(invalid(&format!("header of {n} bytes, the limit is {MAX_HEADER}")));
        }
        let mut header = vec![0; n as usize];
        reader.read_exact(&mut header).map_err(|_| invalid("cut off in its header"))?;
        let parsed = str::from_utf8(&header).ok().and_then(parse);
        parsed.ok_or_else(|| invalid("header is not that of a plain array"))
    }

    /// Reads values into `out`; the header's type must be `<f4` or `>f4`.
    pub fn read_values(&self, reader: &mut impl Read, out: &mut [f32]) -> io::Result<()> {
        let big = self.descr.starts_with('>');
        for value in out {
            let bytes = bytes(reader)?;
            *value = if big { f32::from_be_bytes(bytes) } else { f32::from_le_bytes(bytes) };
        }
        Ok(())
    }
}

/// Writes the header of an array of `shape`; the caller writes its values after it, as little-endian f32.
pub fn write_header(writer: &mut impl Write, shape: &[usize]) -> io::Result<()> {
    // Python needs a comma even after a single dimension.
    let dims: String = shape.iter().map(|dim| format!("{dim}, ")).collect();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", dims.trim_end());
    let n = (10 + header.len() + 1).next_multiple_of(64) - 10;
    writer.write_all(b"\x93NUMPY\x01\x00")?;
    writer.write_all(&u16::try_from(n).expect("a few dimensions").to_le_bytes())?;
    writeln!(writer, "{header:0$}", n - 1)
}

fn bytes<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// Reads the header's dictionary: its three keys, in any order.
fn parse(header: &str) -> Option<Header> {
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    let mut text = Text(header);
    text.eat("{")?;
    while text.eat("}").is_none() {
        let key = text.string()?;
        text.eat(":")?;
        let doubled = match key {
            "descr" => descr.replace(text.string()?.to_owned()).is_some(),
            "fortran_order" => fortran_order.replace(text.boolean()?).is_some(),
            "shape" => shape.replace(text.tuple()?).is_some(),
            _ => return None,
        };
        if doubled || (text.eat(",").is_none() && !text.0.trim_start().starts_with('}')) {
            return None;
        }
    }
    if !text.0.trim().is_empty() {
        return None;
    }
    Some(Header { descr: descr?, fortran_order: fortran_order?, shape: shape? })
}

/// The part of the header that is not read yet.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// Steps over `token` and the space before it.
    fn eat(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(token)?;
        Some(())
    }

    /// Reads a string, which must have no escapes.
    fn string(&mut self) -> Option<&'a str> {
        let quote = if self.eat("'").is_some() { '\'' } else { self.eat("\"").map(|()| '"')? };
        let (string, rest) = self.0.split_once(quote)?;
        self.0 = rest;
        (!string.contains('\\')).then_some(string)
    }

    fn boolean(&mut self) -> Option<bool> {
        if self.eat("True").is_some() { Some(true) } else { self.eat("False").map(|()| false) }
    }

    fn tuple(&mut self) -> Option<Vec<u64>> {
        self.eat("(")?;
        let (dims, rest) = self.0.split_once(')')?;
        self.0 = rest;
        let dims = dims.trim();
        if dims.is_empty() {
            return Some(Vec::new());
        }
        // Python 2 wrote an `L` after long integers: `3L`.
        let dims = dims.strip_suffix(',').unwrap_or(dims).split(',').map(|dim| dim.trim().trim_end_matches('L'));
        dims.map(|dim| dim.parse().ok()).collect()
    }
}

/// The longest header that is read, in bytes.
const MAX_HEADER: u32 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for shape in [&[][..], &[7], &[1, 3, 224, 224], &[usize::MAX; 4]] {
            let mut file = Vec::new();
            write_header(&mut file, shape).expect("a vector grows");
            assert!(file.len().is_multiple_of(64) && file.ends_with(b"\n"), "{shape:?}");
            let shape = shape.iter().map(|&dim| dim as u64).collect();
            let expected = Header { descr: "<f4".into(), fortran_order: false, shape };
            assert_eq!(Header::read(&mut &file[..]).expect("own header"), expected);
            for end in 0..file.len() {
                assert!(Header::read(&mut &file[..end]).is_err());
            }
        }
    }

    #[test]
    fn only_plain_arrays_are_read() {
        let good = r#" {"shape": ( 3L,), 'fortran_order':True , 'descr':'>f4'}  "#;
        assert_eq!(parse(good).map(|header| (header.fortran_order, header.shape)), Some((true, vec![3])));
        let deep = "(".repeat(60_000);
        for bad in [
            "",
            "{}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x",
            "{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551616,)}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
            &deep,
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
