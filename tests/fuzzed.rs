//! Every input that a fuzz target began with, or once failed for, goes through that target again.
//!
//! `fuzz/run` looks for new ones.

#![allow(unsafe_code, reason = "a target calls the C interface")]

use std::path::Path;

#[path = "../fuzz/targets/mod.rs"]
mod targets;

#[test]
fn corpora_and_crashes_of_the_past_pass() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (name, run) in targets::TARGETS {
        let mut inputs = Vec::new();
        for folder in ["corpus", "crashes"].map(|folder| fuzz.join(folder).join(name)) {
            // A target that never failed has no folder of crashes.
            let entries = std::fs::read_dir(&folder).into_iter().flatten();
            inputs.extend(entries.map(|entry| entry.expect("listed").path()));
        }
        inputs.sort();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for input in &inputs {
            // Shown if the target fails.
            println!("{}", input.display());
            let bytes = std::fs::read(input).expect("read");
            assert!(bytes.len() <= 32 << 10, "a corpus is small");
            run(&bytes);
        }
    }
}

/// Damage of many kinds to every input, in the same way each time: what a fuzzer tries first.
#[test]
fn inputs_near_the_corpora_pass() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n.max(1) as u64) as usize
    };
    for (name, run) in targets::TARGETS {
        // Some run networks, or every kernel.
        let rounds = if ["calls", "kernels", "narrow", "plan", "quantised"].contains(&name) { 2 } else { 40 };
        let mut inputs: Vec<_> = std::fs::read_dir(corpus.join(name)).expect("a corpus").collect();
        inputs.sort_by_key(|entry| entry.as_ref().expect("listed").path());
        for input in inputs {
            let whole = std::fs::read(input.expect("listed").path()).expect("read");
            for _ in 0..rounds {
                let mut bytes = whole.clone();
                for _ in 0..=random(4) {
                    let at = random(bytes.len());
                    match random(5) {
                        0 => bytes.truncate(at),
                        1 => bytes.insert(at, random(256) as u8),
                        _ if bytes.is_empty() => {}
                        2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random(5)],
                        3 => bytes[at] ^= 1 << random(8),
                        _ => {
                            let from = random(bytes.len());
                            let piece = bytes[from..bytes.len().min(from + 1 + random(16))].to_vec();
                            bytes.splice(at..at, piece);
                        }
                    }
                }
                run(&bytes);
            }
        }
    }
}
