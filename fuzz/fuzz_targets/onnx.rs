//! Reads any bytes as a file to import. The result must be an error that fits a terminal, or every tensor of the
//! network with as many values as its shape asks for.
//!
//! A whole network is 14 MB in f16, more than a fuzzer makes up. So the seeds have graph and shapes but no data: the
//! importer reads those last, and the fuzzer still reaches the decoders, the links between nodes, and the whole
//! comparison with the model's tables. The graphs in `tests/oracles` do as seeds too: `cargo +nightly fuzz run onnx
//! fuzz/corpus/onnx tests/oracles`.
#![no_main]

use googlenet::import::import_bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match import_bytes(bytes, None) {
        Ok(imported) => {
            assert!(imported.classes > 0 && imported.tensors.len() == 116 + 6 * imported.heads.len());
            for tensor in &imported.tensors {
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
});

/// The longest text of an error, in bytes: two lists of 400 and two names of 80 characters, each character up to 10
/// bytes when escaped, and this crate's own words.
const MAX_TEXT: usize = 10 * 1024;
