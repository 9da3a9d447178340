//! Reads any bytes as a file to import, by each importer. The result must be an error that fits a terminal, or every tensor of
//! the network with as many values as its shape asks for.
//!
//! A whole network is 14 MB in f16, more than a fuzzer makes up. So the seeds have graph and shapes but no data: the
//! importers read those last, and the fuzzer still reaches the decoders, the links between nodes, and the whole
//! comparison with the model's tables. The graphs in `tests/oracles` do as seeds too: `cargo +nightly fuzz run onnx
//! fuzz/corpus/onnx tests/oracles`.

use std::io::Read;

use googlenet::import::import_bytes;
use googlenet::model::Dialect;

/// Reads `bytes` as whatever they look like.
pub fn onnx(bytes: &[u8]) {
    import(bytes, None);
}

/// Reads `bytes` as weights of one network of Caffe after the other, which compares them with one table each.
pub fn caffemodel(bytes: &[u8]) {
    for dialect in [None, Some(Dialect::Bvlc), Some(Dialect::Caffenet)] {
        import(bytes, dialect);
    }
}

/// Reads `bytes` as an archive, as they are and with the right checksums.
pub fn npz(bytes: &[u8]) {
    import(bytes, Some(Dialect::TfSlim));
    let mut bytes = bytes.to_vec();
    bytes.splice(..bytes.len().min(4), *b"PK\x03\x04");
    right_checksums(&mut bytes);
    import(&bytes, Some(Dialect::TfSlim));
}

/// Reads `bytes` as a safetensors file, as they are and behind the length of a header that fits them.
pub fn state_dict(bytes: &[u8]) {
    import(bytes, None);
    // The header ends where a zero byte stands, or with the bytes.
    let json = bytes.get(8..).unwrap_or_default();
    let length = json.iter().position(|&byte| byte == 0).unwrap_or(json.len());
    for dialect in [None, Some(Dialect::Torchvision), Some(Dialect::TfSlim)] {
        import(&[&(length as u64).to_le_bytes(), json].concat(), dialect);
    }
}

fn import(bytes: &[u8], dialect: Option<Dialect>) {
    match import_bytes(bytes, dialect) {
        Ok(imported) => {
            assert!(imported.classes > 0);
            let network = imported.dialect.network_with_heads(imported.classes).keep_heads(&imported.heads);
            let expected = network.parameters();
            assert_eq!(imported.tensors.len(), expected.len());
            for (tensor, (name, shape)) in imported.tensors.iter().zip(&expected) {
                assert_eq!((&tensor.name, &tensor.shape), (name, shape));
                assert_eq!(tensor.shape.iter().product::<usize>(), tensor.values.len(), "{}", tensor.name);
            }
        }
        Err(error) => {
            let mut part: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = part {
                let text = error.to_string();
                assert!(text.len() <= MAX_TEXT && !text.contains(char::is_control), "{} bytes: {text:?}", text.len());
                part = error.source();
            }
        }
    }
}

/// Gives each entry of an archive's directory the checksum of its data, which a fuzzer does not guess.
fn right_checksums(bytes: &mut [u8]) {
    let entries: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, four)| four == b"PK\x01\x02").map(|(at, _)| at).take(16).collect();
    for at in entries {
        let number = |from: usize, len: usize| {
            let bytes = bytes.get(at + from..at + from + len)?;
            Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte)))
        };
        let Some([method, stored, offset]) =
            number(10, 2).zip(number(20, 4)).zip(number(42, 4)).map(|((a, b), c)| [a, b, c])
        else {
            continue;
        };
        let skip = |from: usize| {
            bytes.get(offset + from..offset + from + 2).map(|two| usize::from(two[0]) | usize::from(two[1]) << 8)
        };
        let Some(begin) = skip(26).zip(skip(28)).map(|(name, extra)| offset + 30 + name + extra) else { continue };
        let Some(data) = bytes.get(begin..begin.saturating_add(stored)) else { continue };
        let mut unpacked = Vec::new();
        if method == 8 {
            // What is refused later for its length need not be unpacked whole.
            let _ = flate2::read::DeflateDecoder::new(data).take(1 << 20).read_to_end(&mut unpacked);
        } else {
            unpacked.extend_from_slice(data);
        }
        let mut crc = flate2::Crc::new();
        crc.update(&unpacked);
        bytes[at + 16..at + 20].copy_from_slice(&crc.sum().to_le_bytes());
    }
}

/// The longest text of an error, in bytes: two lists of 400 and two names of 80 characters, each character up to 10
/// bytes when escaped, and this crate's own words.
const MAX_TEXT: usize = 10 * 1024;
