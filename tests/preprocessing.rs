//! The presets against what the libraries of the weights' authors make of the same pictures: `oracles/preprocess.py`.

use googlenet::image::{Channels, Preset, Rgb8, Rule, prepare};
use serde_json::Value;

const SIDE: usize = 224;
const N: usize = 3 * SIDE * SIDE;

fn golden() -> Value {
    serde_json::from_str(include_str!("oracles/preprocess.json")).expect("JSON")
}

/// The script's picture, RGB `[height, width, 3]`.
fn pattern(width: usize, height: usize) -> Vec<u8> {
    let at = |x: usize, y: usize, c: usize| x * 37 + y * 59 + c * 83 + x * y * 11 + x * x / 7 * (y + 3);
    (0..3 * width * height).map(|i| at(i / 3 % width, i / 3 / width, i % 3) as u8).collect()
}

fn size(case: &Value) -> [usize; 2] {
    [0, 1].map(|i| case["size"][i].as_u64().expect("a size") as usize)
}

/// FNV-1a of the bytes, RGB `[SIDE, SIDE, 3]`, that `tensor` was made of.
fn hash(tensor: &[f32], rule: &Rule) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for at in 0..SIDE * SIDE {
        for c in 0..3 {
            let plane = if rule.channels == Channels::Bgr { 2 - c } else { c };
            let byte = tensor[plane * SIDE * SIDE + at] * rule.std[plane] + rule.mean[plane];
            // A byte again, but for two roundings.
            assert!((byte - byte.round()).abs() < 1e-3 && (-0.1..255.1).contains(&byte), "{byte}");
            hash = (hash ^ byte.round() as u64).wrapping_mul(0x100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

/// Where the original computes bytes, all are equal. Tensors differ by roundings: Caffe's and the zoo's are one
/// subtraction, as ours; torchvision's network undoes a normalisation, six operations on numbers below 4, each off by
/// at most 2^-23 of them; slim's are eight on numbers of 0 to 1, doubled, ours the same on 0 to 255.
#[test]
fn every_preset_is_what_its_authors_library_makes() {
    let golden = golden();
    let cases = golden["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 10 * Preset::ALL.len());
    let mut tensor = vec![f32::NAN; N];
    for case in cases {
        let [width, height] = size(case);
        let name = case["preset"].as_str().expect("a name");
        let preset = Preset::from_name(name).expect("a preset");
        let rule = preset.rule(SIDE);
        let data = pattern(width, height);
        prepare(Rgb8::new(width, height, 3 * width, &data).expect("a picture"), &rule, SIDE, &mut tensor)
            .expect("prepared");
        let bound = match preset {
            Preset::Torchvision => 6.0 * 4.0 * 2.0_f32.powi(-23),
            Preset::TfSlim => 2.0 * 8.0 * 2.0 * 2.0_f32.powi(-24),
            _ => 0.0,
        };
        for (k, value) in case["values"].as_array().expect("values").iter().enumerate() {
            let (found, expected) = (tensor[(k * 7919 + 13) % N], value.as_f64().expect("a number") as f32);
            assert!((found - expected).abs() <= bound, "{name} of {width}x{height}: {found}, expected {expected}");
        }
        match case["bytes"].as_str() {
            Some(bytes) => assert_eq!(hash(&tensor, &rule), bytes, "{name} of {width}x{height}"),
            None => assert_eq!(preset, Preset::TfSlim),
        }
    }
}
