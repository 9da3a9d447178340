#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| googlenet_fuzz::targets::index::run(bytes));
