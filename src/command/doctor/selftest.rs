//! Whether the engine computes here what it computed elsewhere, and whether files can be mapped.

use std::env;
use std::io::Write;

use crate::file::NewFile;
use crate::{Isa, Model, Options, Precision, image, isa};

use super::Finding;
use crate::command::{classify, load};

/// Tests every instruction set in every precision, and mapping.
pub fn test() -> Vec<Finding> {
    let model = load::demonstration();
    let sets: Vec<Isa> = isa::detected().collect();
    let mut findings: Vec<Finding> = sets.iter().map(|&set| sound(&model, set)).collect();
    findings.push(match mapped(&model) {
        Ok(()) => Finding::well("mapping", "a mapped weight file gives the same logits"),
        Err(why) => Finding::wrong("mapping", format!("{why}; --no-mmap reads files instead")),
    });
    findings
}

/// Whether the logits of the built-in photograph are the golden ones.
fn sound(model: &Model, set: Isa) -> Finding {
    let mut said = Vec::new();
    let mut is_sound = true;
    for precision in Precision::ALL {
        let largest = match logits(model, Options::new().isa(set).precision(precision)) {
            Ok(logits) => distance(&logits),
            Err(error) => {
                said.push(format!("{precision}: {error}"));
                is_sound = false;
                continue;
            }
        };
        let bound = bound(precision);
        is_sound &= largest <= bound;
        said.push(format!("{precision} within {largest:.1e}{}", if largest <= bound { "" } else { " (too far)" }));
    }
    let said = format!("{set}: golden logits, {}", said.join(", "));
    if is_sound { Finding::well("self-test", said) } else { Finding::wrong("self-test", said) }
}

/// The largest difference from the golden logits; infinite if one is NaN.
fn distance(logits: &[f32]) -> f32 {
    let apart = logits.iter().zip(GOLDEN).map(|(&logit, golden)| (logit - golden).abs());
    apart.fold(0.0, |largest, apart| {
        if apart <= largest {
            largest
        } else if apart.is_nan() {
            f32::INFINITY
        } else {
            apart
        }
    })
}

fn logits(model: &Model, options: Options) -> crate::Result<Vec<f32>> {
    let mut session = model.session(options)?;
    session.classify(image::decode(classify::PHOTOGRAPH)?.view(), 1)?;
    Ok(session.logits().to_vec())
}

/// Writes the demonstration weights into the folder for temporary files, maps them, and compares what comes of it.
fn mapped(model: &Model) -> Result<(), String> {
    let path = env::temp_dir().join(format!("googlenet-doctor-{}.safetensors", std::process::id()));
    let mut file = NewFile::create(&path).map_err(|error| error.to_string())?;
    file.write_all(load::DEMONSTRATION).map_err(|error| error.to_string())?;
    file.commit(false).map_err(|error| error.to_string())?;
    let opened = load::open(&path).and_then(|mapped| logits(&mapped, Options::new()));
    let removed = std::fs::remove_file(&path);
    let logits_mapped = opened.map_err(|error| error.to_string())?;
    removed.map_err(|error| error.to_string())?;
    match logits(model, Options::new()) {
        Ok(logits) if logits == logits_mapped => Ok(()),
        _ => Err("a mapped weight file gives other logits".to_owned()),
    }
}

/// How far logits may lie from the golden ones, which are of f32. Sums of f32 in another order, and Winograd's transforms, move
/// them by some 1e-5; eight significant bits, or bytes, by some hundredths of the largest.
fn bound(precision: Precision) -> f32 {
    match precision {
        Precision::F32 => 1e-3,
        Precision::Bf16 | Precision::Int8 => 0.5,
    }
}

/// The logits of the demonstration weights for the built-in photograph, on the portable instruction set.
const GOLDEN: [f32; 10] = [
    -0.66199636,
    -0.4039036,
    -0.8532481,
    3.525238,
    -0.6503962,
    0.6720662,
    1.6864556,
    -2.0309505,
    -0.8492265,
    -0.5599578,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_logits_are_those_of_every_set_and_others_are_not() {
        let model = load::demonstration();
        let portable = isa::detected().next().expect("there is one");
        let logits = logits(&model, Options::new().isa(portable)).expect("it runs");
        assert!(distance(&logits) <= bound(Precision::F32), "{logits:?}");
        let mut off = GOLDEN;
        off[3] += 0.01;
        assert!(distance(&off) > bound(Precision::F32));
        off[3] = f32::NAN;
        assert_eq!(distance(&off), f32::INFINITY);
    }
}
