//! Compares the presets with what the libraries of the weights' authors make of the same pictures, as
//! `oracles/preprocess.py` has recorded it.

use googlenet::image::{Channels, Crops, Cuts, Geometry, Preset, Rgb8, Rule, prepare};
use serde_json::Value;

const SIDE: usize = 224;
const N: usize = 3 * SIDE * SIDE;

fn golden() -> Value {
    serde_json::from_str(include_str!("oracles/preprocess.json")).expect("JSON")
}

/// The picture that `oracles/preprocess.py` makes too, RGB `[height, width, 3]`.
fn pattern(width: usize, height: usize) -> Vec<u8> {
    let at = |x: usize, y: usize, c: usize| x * 37 + y * 59 + c * 83 + x * y * 11 + x * x / 7 * (y + 3);
    (0..3 * width * height).map(|i| at(i / 3 % width, i / 3 / width, i % 3) as u8).collect()
}

fn size(case: &Value) -> [usize; 2] {
    [0, 1].map(|i| case["size"][i].as_u64().expect("a size") as usize)
}

/// Every `step`th of the bytes, RGB `[SIDE, SIDE, 3]`, that became `tensor` by the means and deviations of `rule`.
fn bytes(tensor: &[f32], rule: &Rule, step: usize) -> Vec<u8> {
    let byte = |i: usize| {
        let (at, c) = (i / 3, i % 3);
        let plane = if rule.channels == Channels::Bgr { 2 - c } else { c };
        let byte = tensor[plane * SIDE * SIDE + at] * rule.std[plane] + rule.mean[plane];
        // Undoing the rule gives a byte again, but for two roundings.
        assert!((byte - byte.round()).abs() < 1e-3 && (-0.1..255.1).contains(&byte), "{byte}");
        byte.round() as u8
    };
    (0..N).step_by(step).map(byte).collect()
}

/// The 64-bit FNV-1a of `bytes`, in hexadecimal digits.
fn hash(bytes: &[u8]) -> String {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Where an author's library computes bytes, ours must all be equal to them. Tensors may differ by roundings alone.
/// Caffe and the zoo round once, in a subtraction, as we do. torchvision's network undoes a normalisation: six
/// operations on numbers below 4, each off by at most 2^-23 of them. slim does eight operations on numbers of 0 to 1,
/// then doubles them, and we do the same operations on numbers of 0 to 255.
#[test]
fn every_preset_is_what_its_authors_library_makes() {
    let golden = golden();
    let cases = golden["cases"].as_array().expect("cases");
    // Of `caffenet` and `krizhevsky` nothing is stored: they have the geometries of `bvlc` and `short-side`, which are
    // compared here, and differ from them in means and margin.
    assert_eq!(cases.len(), 10 * (Preset::ALL.len() - 2));
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
            Some(expected) => assert_eq!(hash(&bytes(&tensor, &rule, 1)), expected, "{name} of {width}x{height}"),
            None => assert_eq!(preset, Preset::TfSlim),
        }
    }
}

/// All crops of the pattern.
fn crops(size: [usize; 2], rule: &Rule, crops: Crops) -> Vec<Vec<f32>> {
    let [width, height] = size;
    let data = pattern(width, height);
    let image = Rgb8::new(width, height, 3 * width, &data).expect("a picture");
    let cuts = Cuts::new(image, rule, SIDE, crops).expect("cut");
    assert_eq!(cuts.len(), crops.count());
    let write = |index| {
        let mut crop = vec![f32::NAN; N];
        cuts.write(index, &mut crop);
        crop
    };
    (0..cuts.len()).map(write).collect()
}

#[test]
fn ten_crops_are_caffes() {
    let golden = golden();
    let cases = golden["crops"].as_array().expect("cases");
    assert_eq!(cases.len(), 10);
    let rule = Preset::Bvlc.rule(SIDE);
    for case in cases {
        let found: Vec<String> =
            crops(size(case), &rule, Crops::Ten).iter().map(|crop| hash(&bytes(crop, &rule, 1))).collect();
        assert_eq!(case["bytes"], serde_json::json!(found), "{}", case["size"]);
    }
}

#[test]
fn the_papers_crops_are_its_definition_by_pillow() {
    let golden = golden();
    let cases = golden["paper"].as_array().expect("cases");
    assert_eq!(cases.len(), 4);
    let rule = Preset::ShortSide.rule(SIDE);
    for case in cases {
        let crops = crops(size(case), &rule, Crops::Paper);
        let sampled = |crops: &[Vec<f32>]| crops.iter().flat_map(|crop| bytes(crop, &rule, 97)).collect::<Vec<u8>>();
        let found: Vec<String> = crops.chunks(36).map(|crops| hash(&sampled(crops))).collect();
        assert_eq!(case["bytes"], serde_json::json!(found), "{}", case["size"]);
    }
}

#[test]
fn the_middle_of_every_rule_is_what_prepare_makes() {
    for preset in Preset::ALL {
        for size in [[301, 257], [90, 400], [256, 256]] {
            let rule = preset.rule(SIDE);
            let data = pattern(size[0], size[1]);
            let image = Rgb8::new(size[0], size[1], 3 * size[0], &data).expect("a picture");
            let mut expected = vec![f32::NAN; N];
            prepare(image, &rule, SIDE, &mut expected).expect("prepared");
            assert_eq!(crops(size, &rule, Crops::Centre), [expected.clone()], "{preset:?}");
            let ten = crops(size, &rule, Crops::Ten);
            if rule.resize > SIDE {
                assert_eq!(ten[4], expected, "{preset:?}");
            }
            // A rule without a margin is given one: otherwise all of its crops would be the same.
            for (i, crop) in ten.iter().enumerate() {
                assert!(ten[..i].iter().all(|other| other != crop), "{preset:?}: crop {i}");
            }
        }
    }
}

/// Slim's ten crops are taken of the whole picture at 256x256, as the margin around its single crop is what they are to
/// show. Where 224 pixels become 256, every eighth pixel of the result lies exactly on a source pixel, so TensorFlow's
/// filter gives that pixel's own value.
#[test]
fn slims_crops_are_of_the_whole_picture() {
    let rule = Preset::TfSlim.rule(SIDE);
    let data = pattern(SIDE, SIDE);
    let ten = crops([SIDE, SIDE], &rule, Crops::Ten);
    let value = |x: usize, y: usize| (f32::from(data[3 * (y * SIDE + x)]) - 127.5) / 127.5;
    for (x, y) in [(0, 0), (8, 8), (216, 88)] {
        assert_eq!(ten[0][y * SIDE + x], value(x / 8 * 7, y / 8 * 7));
        // The lower right crop begins at 32, 32; its mirror image ends there.
        assert_eq!(ten[3][y * SIDE + x], value(28 + x / 8 * 7, 28 + y / 8 * 7));
        assert_eq!(ten[8][y * SIDE + SIDE - 1 - x], value(28 + x / 8 * 7, 28 + y / 8 * 7));
    }
}

/// Resized as a whole, a picture of 50,000x1 pixels would be 12.8 million pixels wide; only the ends and the middle are
/// computed.
#[test]
fn extreme_shapes_cost_no_more_than_their_crops() {
    for preset in Preset::ALL {
        for (width, height) in [(50_000, 1), (1, 50_000), (1, 1)] {
            let data = vec![77; 3 * width * height];
            let image = Rgb8::new(width, height, 3 * width, &data).expect("a picture");
            for crops in Crops::ALL {
                let rule = preset.rule(SIDE);
                let cuts = Cuts::new(image, &rule, SIDE, crops).expect("cut");
                let mut crop = vec![f32::NAN; N];
                for index in 0..cuts.len() {
                    cuts.write(index, &mut crop);
                    let right = |(i, &value): (usize, &f32)| {
                        let plane = i / (SIDE * SIDE);
                        (value - (77.0 - rule.mean[plane]) / rule.std[plane]).abs() < 1e-5
                    };
                    assert!(crop.iter().enumerate().all(right), "{preset:?} {width}x{height} {crops:?} {index}");
                }
            }
        }
    }
}

#[test]
fn cuts_refuse_what_makes_no_sense() {
    let data = [0; 12];
    let image = Rgb8::new(2, 2, 6, &data).expect("a picture");
    let rule = Rule { geometry: Geometry::Warp, ..Preset::Bvlc.rule(SIDE) };
    for crops in Crops::ALL {
        assert!(Cuts::new(image, &Rule { resize: SIDE - 1, ..rule }, SIDE, crops).is_err());
        assert!(Cuts::new(image, &Rule { std: [0.0; 3], ..rule }, SIDE, crops).is_err());
        assert!(Cuts::new(image, &Rule { resize: usize::MAX, ..rule }, 5000, crops).is_err());
        assert!(Cuts::new(image, &rule, 0, crops).is_err());
    }
}
