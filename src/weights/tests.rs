//! Tests of weight files: hostile ones, round trips through writer and reader, and writers that fail or compete.

use super::*;
use crate::Error;
use crate::error::{FileError, TensorError, WeightsError};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A file of the header `json` and of `data`, as any program might make it.
fn file(json: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// A file of the header `json` and of `data`, its header padded so that the data section is aligned.
fn aligned_file(json: &str, data: &[u8]) -> Vec<u8> {
    file(&format!("{json:<width$}", width = (json.len() + 8).next_multiple_of(64) - 8), data)
}

fn entry(name: &str, dtype: &str, shape: &str, offsets: [u64; 2]) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets:?}}}"#)
}

/// A header of `entries`, with the metadata that every strict file must have.
fn strict(entries: &[String]) -> String {
    format!(r#"{{"__metadata__":{{"format":"googlenet","version":"1"}},{}}}"#, entries.join(","))
}

fn plain(entries: &[String]) -> String {
    format!("{{{}}}", entries.join(","))
}

fn metadata() -> BTreeMap<String, String> {
    let pairs = [
        ("dialect", "bvlc"),
        ("input_side", "224"),
        ("channels", "bgr"),
        ("mean", "104,117,123"),
        ("std", "1,1,1"),
        ("resize", "256"),
        ("labels", r#"["tench","goldfish, \"Carassius\""]"#),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn tensor<'a>(name: &'a str, shape: &'a [usize], dtype: Dtype, values: &'a [f32]) -> NewTensor<'a> {
    NewTensor { name, shape, dtype, values: values.into() }
}

/// The bytes of a written file of two tensors with a gap between them.
fn sample(metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sample");
    let (a, b) = ([1.0, 2.0, 3.0], [0.5, -0.25]);
    write(&path, metadata, &[tensor("b", &[1, 3], Dtype::F32, &a), tensor("a", &[2], Dtype::F16, &b)], false).unwrap();
    fs::read(path).unwrap()
}

macro_rules! refused {
    ($bytes:expr, $strictness:ident, $pattern:pat $(if $guard:expr)?) => {
        match parse(&$bytes, Strictness::$strictness) {
            Err($pattern) $(if $guard)? => {}
            other => panic!("expected {}, got {other:?}", stringify!($pattern)),
        }
    };
}

#[test]
fn short_and_foreign_files() {
    for len in 0..8 {
        let short = len as u64;
        refused!(vec![0; len], Plain, Error::Weights(WeightsError::Truncated { expected: 8, found }) if found == short);
    }
    refused!([0; 8], Plain, Error::Weights(WeightsError::HeaderStart { found: None }));
    refused!(file("[]", &[]), Plain, Error::Weights(WeightsError::HeaderStart { found: Some(b'[') }));
    refused!(*b"\x89PNG\r\n\x1a\n rest of a picture", Plain, Error::Weights(WeightsError::HeaderTooLong { .. }));
    refused!(
        u64::MAX.to_le_bytes(),
        Plain,
        Error::Weights(WeightsError::HeaderTooLong { length: u64::MAX, limit: 1_048_576 })
    );
    refused!(((1u64 << 20) + 1).to_le_bytes(), Plain, Error::Weights(WeightsError::HeaderTooLong { .. }));
    refused!(
        (1u64 << 20).to_le_bytes(),
        Plain,
        Error::Weights(WeightsError::Truncated { expected: 1_048_584, found: 8 })
    );
    for json in ["{", "{}x", "{\"a\":1}", "{\"a\":{}}", "{\"__metadata__\":{\"a\":1}}", "{\"a\":[]}", "{\"\u{0}\":{}}"]
    {
        refused!(file(json, &[]), Plain, Error::Weights(WeightsError::HeaderSyntax { .. }));
    }
    refused!(
        file(&("{\"a\":".to_owned() + &"[".repeat(100_000)), &[]),
        Plain,
        Error::Weights(WeightsError::HeaderSyntax { .. })
    );
    assert!(parse(&file("{}", &[]), Strictness::Plain).unwrap().tensors.is_empty());
}

#[test]
fn every_beginning_of_a_file_is_refused() {
    let whole = sample(&metadata());
    for len in 0..whole.len() {
        assert!(parse(&whole[..len], Strictness::Plain).is_err(), "accepted {len} of {} bytes", whole.len());
    }
    let longer = [&whole[..], &[0]].concat();
    refused!(longer, Strict, Error::Weights(WeightsError::Gap { length: 1, .. }));
}

#[test]
fn every_flipped_bit_of_data_and_hash_is_refused() {
    let whole = sample(&BTreeMap::new());
    let header = parse(&whole, Strictness::Strict).unwrap();
    let hash = header.metadata["hash"].as_bytes();
    let hash_start = whole.windows(hash.len()).position(|window| window == hash).unwrap();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            // A header may change outside of its hash and still make sense: one tensor has another name, say.
            let opened = Weights::from_vec(bytes);
            let guarded = at >= header.data_start || (hash_start..hash_start + hash.len()).contains(&at);
            assert!(opened.is_err() || !guarded, "bit {bit} of byte {at}");
        }
    }
    let mut bytes = whole.clone();
    bytes[header.data_start] ^= 1;
    match Weights::from_vec(bytes) {
        Err(Error::Weights(WeightsError::HashMismatch { stored, computed })) => {
            assert!(stored != computed && computed.len() == 32)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn lying_entries() {
    let one = |shape: &str, offsets| file(&plain(&[entry("t", "F32", shape, offsets)]), &[0; 16]);
    assert!(parse(&one("[4]", [0, 16]), Strictness::Plain).is_ok());
    refused!(one("[4]", [0, 12]), Plain, Error::Tensor(TensorError::Length { expected: 16, found: 12, .. }));
    refused!(one("[3]", [0, 16]), Plain, Error::Tensor(TensorError::Length { expected: 12, found: 16, .. }));
    refused!(
        one("[5]", [0, 20]),
        Plain,
        Error::Tensor(TensorError::Offsets { begin: 0, end: 20, data_length: 16, .. })
    );
    refused!(one("[4]", [16, 0]), Plain, Error::Tensor(TensorError::Offsets { begin: 16, end: 0, .. }));
    refused!(one("[4]", [u64::MAX - 15, u64::MAX]), Plain, Error::Tensor(TensorError::Offsets { .. }));
    refused!(one("[4]", [0, u64::MAX]), Plain, Error::Tensor(TensorError::Offsets { .. }));
    refused!(one("[4294967296,4294967296]", [0, 16]), Plain, Error::Tensor(TensorError::ImpossibleShape { .. }));
    refused!(one("[18446744073709551615,2,2]", [0, 16]), Plain, Error::Tensor(TensorError::ImpossibleShape { .. }));
    // The length in bytes, four times this dimension, would wrap to 4 in 64 bits.
    refused!(one("[4611686018427387905]", [0, 4]), Plain, Error::Tensor(TensorError::ImpossibleShape { .. }));
    refused!(one("[1,1,1,1,1,1,1,1,4]", [0, 16]), Plain, Error::Tensor(TensorError::ImpossibleShape { .. }));
    refused!(one("[18446744073709551616]", [0, 16]), Plain, Error::Weights(WeightsError::HeaderSyntax { .. }));
    refused!(one("[-4]", [0, 16]), Plain, Error::Weights(WeightsError::HeaderSyntax { .. }));
    refused!(one("[4.0]", [0, 16]), Plain, Error::Weights(WeightsError::HeaderSyntax { .. }));
    for dtype in ["BF16", "I64", "f32", ""] {
        let json = plain(&[entry("t", dtype, "[4]", [0, 16])]);
        refused!(file(&json, &[0; 16]), Plain, Error::Tensor(TensorError::Type { .. }));
    }
    let odd = file(&plain(&[entry("t", "F32", "[0]", [0, 0])]), &[]);
    assert!(parse(&odd, Strictness::Plain).is_ok());
    let odd = aligned_file(&strict(&[entry("t", "F32", "[0]", [0, 0])]), &[]);
    refused!(odd, Strict, Error::Tensor(TensorError::ImpossibleShape { .. }));
}

#[test]
fn doubled_keys() {
    let two = [entry("t", "F32", "[1]", [0, 4]), entry("t", "F32", "[1]", [4, 8])];
    refused!(file(&plain(&two), &[0; 8]), Plain, Error::Weights(WeightsError::DuplicateKey { .. }));
    let escaped = [entry("t", "F32", "[1]", [0, 4]), entry("\\u0074", "F32", "[1]", [4, 8])];
    refused!(file(&plain(&escaped), &[0; 8]), Plain, Error::Weights(WeightsError::DuplicateKey { .. }));
    refused!(
        file(r#"{"__metadata__":{},"__metadata__":{}}"#, &[]),
        Plain,
        Error::Weights(WeightsError::DuplicateKey { .. })
    );
    refused!(
        file(r#"{"__metadata__":{"a":"1","a":"1"}}"#, &[]),
        Plain,
        Error::Weights(WeightsError::DuplicateKey { .. })
    );
    let twice = r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"shape":[1]}}"#;
    refused!(file(twice, &[0; 4]), Plain, Error::Weights(WeightsError::HeaderSyntax { .. }));
    let unknown = r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"strides":[1]}}"#;
    refused!(file(unknown, &[0; 4]), Plain, Error::Weights(WeightsError::HeaderSyntax { .. }));
    let many: Vec<_> = (0..=4096).map(|i| entry(&i.to_string(), "F32", "[1]", [4 * i, 4 * i + 4])).collect();
    assert!(parse(&file(&plain(&many[..4096]), &[0; 4 * 4096]), Strictness::Plain).is_ok());
    refused!(
        file(&plain(&many), &[0; 4 * 4097]),
        Plain,
        Error::Weights(WeightsError::TooMany { found: 4097, limit: 4096, .. })
    );
}

#[test]
fn overlaps_and_gaps() {
    let two = |a, b, len| {
        let shape = |[begin, end]: [u64; 2]| format!("[{}]", (end - begin) / 4);
        let entries = [entry("a", "F32", &shape(a), a), entry("b", "F32", &shape(b), b)];
        file(&plain(&entries), &vec![0; len])
    };
    refused!(two([0, 16], [12, 20], 20), Plain, Error::Tensor(TensorError::Overlap { offset: 12, .. }));
    refused!(two([0, 16], [0, 16], 16), Plain, Error::Tensor(TensorError::Overlap { offset: 0, .. }));
    refused!(two([4, 8], [0, 16], 16), Plain, Error::Tensor(TensorError::Overlap { offset: 4, .. }));
    refused!(two([0, 16], [8, 8], 16), Plain, Error::Tensor(TensorError::Overlap { offset: 8, .. }));
    refused!(two([0, 4], [68, 72], 72), Plain, Error::Weights(WeightsError::Gap { offset: 4, length: 64 }));
    refused!(two([64, 68], [68, 72], 72), Plain, Error::Weights(WeightsError::Gap { offset: 0, length: 64 }));
    refused!(two([0, 4], [4, 8], 12), Plain, Error::Weights(WeightsError::Gap { offset: 8, length: 4 }));
    assert!(parse(&two([4, 8], [0, 4], 8), Strictness::Plain).is_ok());
    let mut padded = two([0, 4], [64, 68], 68);
    assert!(parse(&padded, Strictness::Plain).is_ok());
    let at = padded.len() - 5;
    padded[at] = 9;
    refused!(padded, Plain, Error::Weights(WeightsError::Padding { offset: 63, value: 9 }));
}

#[test]
fn strict_files_need_alignment_and_metadata() {
    let entries = [entry("a", "F32", "[1]", [0, 4]), entry("b", "F32", "[1]", [4, 8])];
    let unaligned = aligned_file(&strict(&entries), &[0; 8]);
    refused!(unaligned, Strict, Error::Weights(WeightsError::Misaligned { what, .. }) if what == "b");
    let json = strict(&entries[..1]);
    assert!(parse(&aligned_file(&json, &[0; 4]), Strictness::Strict).is_ok());
    let off_by_one = file(&format!("{json:<width$}", width = (json.len() + 8).next_multiple_of(64) - 7), &[0; 4]);
    refused!(off_by_one, Strict, Error::Weights(WeightsError::Misaligned { what, .. }) if what == "data section");
    let bare = aligned_file(&plain(&entries[..1]), &[0; 4]);
    refused!(bare, Strict, Error::Weights(WeightsError::MetadataMissing { key: "format" }));
    let later = json.replace(r#""version":"1""#, r#""version":"3""#);
    let later = aligned_file(&later, &[0; 4]);
    refused!(later, Strict, Error::Weights(WeightsError::MetadataValue { key: "version", .. }));
    let version = |metadata: &str| aligned_file(&json.replace(r#""version":"1""#, metadata), &[0; 4]);
    assert!(parse(&version(r#""version":"2","int8":"1""#), Strictness::Strict).is_ok());
    refused!(version(r#""version":"2""#), Strict, Error::Weights(WeightsError::MetadataMissing { key: "int8" }));
    let first = version(r#""version":"1","int8":"1""#);
    refused!(first, Strict, Error::Weights(WeightsError::MetadataValue { key: "version", .. }));
    let unhashed = Weights::from_vec(aligned_file(&json, &[0; 4]));
    assert!(matches!(unhashed, Err(Error::Weights(WeightsError::MetadataMissing { key: "hash" }))));
}

#[test]
fn all_ways_in_give_aligned_equal_views() {
    fn assert_shared<T: Send + Sync>(_: &T) {}
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w");
    let bytes = sample(&metadata());
    fs::write(&path, &bytes).unwrap();
    let shifted: &'static [u8] = [&[0], &bytes[..]].concat().leak();
    let all = [
        Weights::open(&path).unwrap(),
        Weights::from_vec(bytes).unwrap(),
        Weights::from_static(&shifted[1..]).unwrap(),
    ];
    for weights in &all {
        assert_shared(weights);
        let names: Vec<_> = weights.tensors().map(|t| t.name()).collect();
        assert_eq!(names, ["b", "a"]);
        assert!(weights.tensors().all(|t| t.bytes().as_ptr().addr().is_multiple_of(64)));
        let b = weights.tensor("b").unwrap();
        assert_eq!((b.dtype(), b.shape(), b.as_f32()), (Dtype::F32, &[1, 3][..], Some(&[1.0, 2.0, 3.0][..])));
        let a = weights.tensor("a").unwrap();
        assert_eq!((a.as_f32(), &a.to_f32()[..]), (None, &[0.5, -0.25][..]));
        assert!(weights.tensor("c").is_none());
    }
    assert!(matches!(Weights::open(dir.path().join("none")), Err(Error::File(FileError::Io { action: "read", .. }))));
    assert!(matches!(Weights::open(dir.path()), Err(Error::File(FileError::NotRegular { .. }))));
}

#[test]
fn a_misaligned_plain_file_is_copied() {
    let json = plain(&[entry("t", "F32", "[2]", [0, 8])]);
    let data = [1.5f32.to_le_bytes(), (-2.0f32).to_le_bytes()].concat();
    for extra in 0..4 {
        let json = format!("{json}{}", " ".repeat(extra));
        let weights = Weights::from_vec_as(file(&json, &data), Strictness::Plain).unwrap();
        let tensor = weights.tensor("t").unwrap();
        assert_eq!(tensor.as_f32().is_some(), (8 + json.len()).is_multiple_of(4));
        assert_eq!(tensor.to_f32()[..], [1.5, -2.0]);
    }
}

#[test]
fn a_hash_is_of_values_name_and_shape() {
    let hash = |t: NewTensor<'_>| {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path().join("w"), &BTreeMap::new(), &[t], false).unwrap();
        Weights::open(dir.path().join("w")).unwrap().tensors().next().unwrap().hash()
    };
    let values = [0.5, -3.0];
    let all = [
        hash(tensor("t", &[2], Dtype::F32, &values)),
        hash(tensor("u", &[2], Dtype::F32, &values)),
        hash(tensor("t", &[2, 1], Dtype::F32, &values)),
        hash(tensor("t", &[2], Dtype::F32, &[0.5, 3.0])),
    ];
    assert_eq!(all[0], hash(tensor("t", &[2], Dtype::F16, &values)));
    assert!((1..4).all(|i| !all[..i].contains(&all[i])));
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_writer_replaces_only_when_told_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w");
    fs::write(&path, "precious").unwrap();
    let put = |force, values: &[f32]| write(&path, &metadata(), &[tensor("t", &[1], Dtype::F16, values)], force);
    assert!(matches!(put(false, &[1.0]), Err(Error::File(FileError::TargetExists { .. }))));
    assert!(matches!(
        put(true, &[65520.0]),
        Err(Error::Tensor(TensorError::HalfRange { index: 0, value: 65520.0, .. }))
    ));
    assert!(matches!(put(true, &[1.0, 2.0]), Err(Error::Tensor(TensorError::Length { expected: 2, found: 4, .. }))));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    put(true, &[1.0]).unwrap();
    assert_eq!(Weights::open(&path).unwrap().tensor("t").unwrap().to_f32()[..], [1.0]);
    assert_eq!(names_in(dir.path()), ["w"]);

    let folder = dir.path().join("folder");
    fs::create_dir_all(folder.join("full")).unwrap();
    for force in [false, true] {
        assert!(write(&folder, &metadata(), &[], force).is_err());
        assert!(matches!(
            write(dir.path().join("no/w"), &metadata(), &[], force),
            Err(Error::File(FileError::Io { .. }))
        ));
        assert!(matches!(write(Path::new("/"), &metadata(), &[], force), Err(Error::File(FileError::Io { .. }))));
    }
    assert_eq!(names_in(dir.path()), ["folder", "w"]);
}

#[test]
fn of_many_writers_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w");
    let values: Vec<f32> = vec![1.0; 1000];
    let wins = std::thread::scope(|scope| {
        let one = || write(&path, &metadata(), &[tensor("t", &[1000], Dtype::F32, &values)], false);
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(Result::is_ok).count()
    });
    assert_eq!((wins, names_in(dir.path())), (1, vec!["w".to_owned()]));
    Weights::open(&path).unwrap();
}

#[test]
fn the_writer_refuses_what_the_parser_would() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w");
    let put = |tensors: &[NewTensor<'_>]| write(&path, &BTreeMap::new(), tensors, false).unwrap_err();
    let one = tensor("t", &[1], Dtype::F32, &[1.0]);
    assert!(matches!(put(&[one.clone(), one.clone()]), Error::Weights(WeightsError::DuplicateKey { .. })));
    assert!(matches!(put(&vec![one; 4097]), Error::Weights(WeightsError::TooMany { found: 4097, .. })));
    assert!(matches!(
        put(&[tensor("__metadata__", &[1], Dtype::F32, &[1.0])]),
        Error::Tensor(TensorError::Name { .. })
    ));
    assert!(matches!(
        put(&[tensor("t", &[3, 0], Dtype::F32, &[])]),
        Error::Tensor(TensorError::ImpossibleShape { .. })
    ));
    assert!(matches!(
        put(&[tensor("t", &[1; 9], Dtype::F32, &[1.0])]),
        Error::Tensor(TensorError::ImpossibleShape { .. })
    ));
    assert!(matches!(
        put(&[tensor("t", &[usize::MAX, 2], Dtype::F32, &[1.0])]),
        Error::Tensor(TensorError::ImpossibleShape { .. })
    ));
    let huge = BTreeMap::from([("k".to_owned(), "v".repeat(1 << 20))]);
    assert!(matches!(write(&path, &huge, &[], false), Err(Error::Weights(WeightsError::HeaderTooLong { .. }))));
    assert!(names_in(dir.path()).is_empty());
}

#[test]
fn f16_rounds_to_nearest_even() {
    let ulp = 2f32.powi(-10); // the distance from 1 to the next larger f16
    let cases = [
        (1.0 + 0.5 * ulp, 1.0),
        (1.0 + 1.5 * ulp, 1.0 + 2.0 * ulp),
        (1.0 + 0.5 * ulp + f32::EPSILON, 1.0 + ulp),
        (65519.0, 65504.0),
        (2f32.powi(-25), 0.0),
        (1.5 * 2f32.powi(-24), 2f32.powi(-23)), // both are subnormal as f16
        (f32::NEG_INFINITY, f32::NEG_INFINITY),
    ];
    let (given, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w");
    write(&path, &BTreeMap::new(), &[tensor("t", &[given.len()], Dtype::F16, &given)], false).unwrap();
    assert_eq!(Weights::open(&path).unwrap().tensor("t").unwrap().to_f32()[..], expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is written is read back: any f32 and any value of f16 bit for bit, and order, names, shapes and metadata.
    #[test]
    fn round_trip(
        tensors in prop::collection::btree_map(".{0,8}", (prop::collection::vec(1usize..5, 0..4), any::<bool>()), 0..6),
        texts in prop::collection::btree_map(".{0,8}", ".{0,20}", 0..5),
        seed in any::<u32>(),
    ) {
        let mut state = seed | 1;
        let mut bits = || { state ^= state << 13; state ^= state >> 17; state ^= state << 5; state };
        let kept: Vec<_> = tensors.iter().rev().map(|(name, (shape, is_f16))| {
            let len = shape.iter().product();
            let values: Vec<f32> = (0..len).map(|_| match is_f16 {
                true => half::f16::from_bits(bits() as u16).to_f32(),
                false => f32::from_bits(bits()),
            }).collect();
            (name, shape, if *is_f16 { Dtype::F16 } else { Dtype::F32 }, values)
        }).collect();
        let new: Vec<_> = kept.iter().map(|(name, shape, dtype, values)| tensor(name, shape, *dtype, values)).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w");
        write(&path, &texts, &new, false).unwrap();
        let weights = Weights::open(&path).unwrap();
        prop_assert_eq!(weights.tensors().len(), kept.len());
        for (tensor, (name, shape, dtype, values)) in weights.tensors().zip(&kept) {
            prop_assert_eq!((tensor.name(), tensor.shape(), tensor.dtype()), (&name[..], &shape[..], *dtype));
            prop_assert_eq!(tensor.as_f32().is_some(), *dtype == Dtype::F32);
            let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || (*dtype == Dtype::F16 && a.is_nan() && b.is_nan());
            prop_assert!(tensor.to_f32().iter().zip(values).all(|(&a, &b)| same(a, b)));
        }
        for (key, value) in texts.iter().filter(|(key, _)| !["format", "version", "hash"].contains(&&key[..])) {
            prop_assert_eq!(weights.metadata().get(key), Some(value));
        }
    }

    /// Whatever the bytes are, parsing ends with a sound header or an error.
    #[test]
    fn damaged_headers_do_not_panic(at in 0usize..400, byte in any::<u8>(), dropped in 0usize..400) {
        let mut bytes = sample(&BTreeMap::new());
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len() - dropped % 8);
        for strictness in [Strictness::Strict, Strictness::Plain] {
            if let Ok(header) = parse(&bytes, strictness) {
                prop_assert!(header.tensors.iter().all(|t| bytes.get(t.range.clone()).is_some()));
            }
        }
    }
}
