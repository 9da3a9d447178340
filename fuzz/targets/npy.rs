//! Reads any bytes as a NumPy array. A header that is accepted has a shape that, if it can be counted, is written again and
//! read as the same; its values are read as far as there are any.

use googlenet::npy::{Header, write_header};

/// Reads `bytes`.
pub fn run(bytes: &[u8]) {
    read(bytes);
    // The same as a header alone, behind the start that a fuzzer would have to guess.
    if let Ok(length) = u16::try_from(bytes.len()) {
        read(&[b"\x93NUMPY\x01\x00", &length.to_le_bytes()[..], bytes].concat());
    }
}

fn read(bytes: &[u8]) {
    let mut rest = bytes;
    let Ok(header) = Header::read(&mut rest) else { return };
    assert!(bytes.ends_with(rest) && bytes.len() - rest.len() >= 10);
    let values = rest.len() / 4;
    let mut out = vec![0.0; values + 1];
    assert!(header.read_values(&mut rest.to_owned().as_slice(), &mut out[..values]).is_ok());
    assert!(header.read_values(&mut rest, &mut out).is_err(), "a value more than there are");
    let shape: Option<Vec<usize>> = header.shape.iter().map(|&dim| dim.try_into().ok()).collect();
    // Every dimension takes some bytes of the text, of which 65535 can be written.
    let Some(shape) = shape.filter(|shape| shape.len() <= 1000) else { return };
    let mut again = Vec::new();
    write_header(&mut again, &shape).expect("a vector grows");
    assert_eq!(Header::read(&mut &again[..]).expect("just written").shape, header.shape);
}
