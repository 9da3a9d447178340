//! Damage to a weight file of a small network, plain, quantised and packed, one after another: each bit of the header, each
//! truncation, whatever the header says of each tensor, and thousands of bits of the weights. All of it is refused, for the
//! right reason.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use googlenet::error::{TensorError, WeightsError};
use googlenet::weights::{Dtype, Entry, Header, NewTensor, Strictness, Weights, encode, parse};
use googlenet::{Error, Model, Options, Result};

use crate::table::small;
use crate::tensors::random_tensors;

/// The files that are damaged: plain, quantised, packed.
static FILES: LazyLock<[(&str, Vec<u8>); 3]> = LazyLock::new(|| {
    let pairs = [
        ("dialect", "bvlc"),
        ("input_side", "32"),
        ("channels", "bgr"),
        ("mean", "104,117,123"),
        ("std", "1,1,1"),
        ("resize", "32"),
        ("labels", r#"["a","b","c","d","e"]"#),
    ];
    let mut metadata: BTreeMap<_, _> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let mut tensors = random_tensors(&small());
    let plain = encode(&metadata, &new(&tensors)).expect("a file");
    let model = Model::with_network(Weights::from_vec(plain.clone()).expect("whole"), small()).expect("complete");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("packed");
    model.pack(&path, Options::new(), false).expect("packed");
    let scales = |layer: &str, what: &str, n| (format!("{layer}.{what}"), vec![n], vec![0.25; n]);
    tensors.extend([("weight_scale", 24), ("int8_bias", 24)].map(|(what, n)| scales("conv2", what, n)));
    metadata.insert("int8".to_owned(), "1".to_owned());
    let quantised = encode(&metadata, &new(&tensors)).expect("a file");
    [("plain", plain), ("quantised", quantised), ("packed", std::fs::read(&path).expect("read"))]
});

fn new(tensors: &[(String, Vec<usize>, Vec<f32>)]) -> Vec<NewTensor<'_>> {
    tensors
        .iter()
        .map(|(name, shape, values)| NewTensor { name, shape, dtype: Dtype::F32, values: values.into() })
        .collect()
}

/// What a header says of a tensor: its name, type, shape, and where in the data section it lies.
type Claim = (String, String, Vec<usize>, [usize; 2]);

/// A file of those bytes as a model, the hashes checked.
fn open(bytes: &[u8]) -> Result<Model> {
    Model::with_network(Weights::copy(bytes)?, small())
}

/// The header and the data section of `file`.
fn parts(file: &[u8]) -> (Header, &[u8]) {
    let header = parse(file, Strictness::Strict).expect("a whole file");
    let data = &file[header.data_start..];
    (header, data)
}

/// A file whose header has those entries, their ranges counted from the start of the data section, and no hash of itself, as
/// whoever means to deceive would write it.
fn forged(metadata: &BTreeMap<String, String>, entries: &[Claim], data: &[u8]) -> Vec<u8> {
    let pairs = metadata.iter().filter(|(key, _)| *key != "header").map(|(key, value)| format!("{key:?}:{value:?}"));
    let mut json = format!("{{\"__metadata__\":{{{}}}", pairs.collect::<Vec<_>>().join(","));
    for (name, dtype, shape, offsets) in entries {
        json += &format!(",{name:?}:{{\"dtype\":{dtype:?},\"shape\":{shape:?},\"data_offsets\":{offsets:?}}}");
    }
    json.push('}');
    let length = (8 + json.len()).next_multiple_of(64) - 8;
    let mut file = (length as u64).to_le_bytes().to_vec();
    file.extend_from_slice(format!("{json:<length$}").as_bytes());
    file.extend_from_slice(data);
    file
}

fn entries(header: &Header) -> Vec<Claim> {
    let entry = |entry: &Entry| {
        let offsets = [entry.range.start, entry.range.end].map(|at| at - header.data_start);
        (entry.name.clone(), entry.dtype.name().to_owned(), entry.shape.clone(), offsets)
    };
    header.tensors.iter().map(entry).collect()
}

#[test]
fn the_files_are_sound() {
    for (kind, file) in FILES.iter() {
        let model = open(file).expect(kind);
        assert_eq!(model.is_packed_for(&Options::new()).expect("planned"), *kind == "packed", "{kind}");
        let (header, data) = parts(file);
        // What the tests below forge is refused for what they change in it, and for nothing else.
        open(&forged(&header.metadata, &entries(&header), data)).expect(kind);
    }
}

#[test]
fn every_bit_of_the_header_is_checked_when_a_file_is_opened() {
    for (kind, file) in FILES.iter() {
        let start = parts(file).0.data_start;
        let mut bytes = file.clone();
        for (at, bit) in (0..start).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            bytes[at] ^= 1 << bit;
            let refused = parse(&bytes, Strictness::Strict).expect_err("a flipped bit");
            assert!(matches!(refused, Error::Weights(_) | Error::Tensor(_)), "{kind}: bit {bit} of {at}: {refused}");
            // A file that is opened plainly is held to its hashes only when it is verified.
            if let Ok(weights) = Weights::from_vec_as(bytes.clone(), Strictness::Plain)
                && at >= 8
            {
                let found = weights.verify().expect_err("a flipped bit");
                let is_hash = matches!(
                    found,
                    Error::Weights(WeightsError::HashMismatch { .. } | WeightsError::MetadataMissing { .. })
                );
                assert!(is_hash, "{kind}: bit {bit} of {at}: {found}");
            }
            bytes[at] ^= 1 << bit;
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    for (kind, file) in FILES.iter() {
        let start = parts(file).0.data_start;
        for len in 0..file.len() {
            let refused = parse(&file[..len], Strictness::Strict).expect_err("cut off");
            let expected = match refused {
                Error::Weights(WeightsError::Truncated { found, .. }) => len < start && found == len as u64,
                Error::Tensor(TensorError::Offsets { data_length, .. }) => {
                    len >= start && data_length == (len - start) as u64
                }
                _ => false,
            };
            assert!(expected, "{kind}: {len} bytes: {refused}");
        }
    }
}

#[test]
fn whatever_the_header_says_of_each_tensor_is_checked() {
    for (kind, file) in FILES.iter() {
        let (header, data) = parts(file);
        let whole = entries(&header);
        let refused = |index: usize, change: &dyn Fn(&mut Claim)| {
            let mut entries = whole.clone();
            change(&mut entries[index]);
            let forged = forged(&header.metadata, &entries, data);
            open(&forged).err().map(|error| (error, entries[index].clone()))
        };
        let packed = |index: usize| whole[index].0.starts_with("packed/");
        for index in 0..whole.len() {
            let what = format!("{kind}: {}", whole[index].0);
            // Another name: the old one is missing; a packed tensor is looked for only by the plan that it is for.
            match refused(index, &|entry| entry.0.push('_')) {
                Some((Error::Tensor(TensorError::Missing { .. } | TensorError::Unexpected { .. }), _)) => {}
                None if packed(index) => {
                    let mut entries = whole.clone();
                    entries[index].0.push('_');
                    let model = open(&forged(&header.metadata, &entries, data)).expect("seen above");
                    assert!(!model.is_packed_for(&Options::new()).expect("planned"), "{what}");
                    let found = model.check_packed(&Options::new()).expect_err(&what);
                    assert!(matches!(found, Error::Tensor(TensorError::Missing { .. })), "{what}: {found}");
                }
                // Without one of its scales a layer has none, which its other one betrays.
                other => assert!(kind == &"quantised" && other.is_some(), "{what}: {other:?}"),
            }
            // The name of another.
            let other = whole[(index + 1) % whole.len()].0.clone();
            let twice = refused(index, &|entry| entry.0 = other.clone()).expect(&what).0;
            assert!(matches!(twice, Error::Weights(WeightsError::DuplicateKey { .. })), "{what}: {twice}");
            // One more and one less along each dimension, a dimension more, none.
            for dim in 0..whole[index].2.len() {
                for delta in [-1, 1] {
                    let changed = |entry: &mut Claim| {
                        entry.2[dim] = entry.2[dim].wrapping_add_signed(delta);
                    };
                    let found = refused(index, &changed).expect(&what).0;
                    assert!(matches!(found, Error::Tensor(TensorError::Length { .. })), "{what}: {found}");
                }
                // The same number of values in another shape.
                let (found, _) = match refused(index, &|entry| entry.2.insert(dim, 1)) {
                    Some(found) => found,
                    None => {
                        assert!(packed(index), "{what}: a dimension more");
                        continue;
                    }
                };
                assert!(is_shape(&found), "{what}: {found}");
            }
            let found = refused(index, &|entry| entry.2 = vec![1; 9]).expect(&what).0;
            assert!(matches!(found, Error::Tensor(TensorError::ImpossibleShape { .. })), "{what}: {found}");
            // Another type: f16 has half as many bytes, others are unknown.
            let found = refused(index, &|entry| entry.1 = "F16".into()).expect(&what).0;
            assert!(matches!(found, Error::Tensor(TensorError::Length { .. })), "{what}: {found}");
            let found = refused(index, &|entry| entry.1 = "I32".into()).expect(&what).0;
            assert!(matches!(found, Error::Tensor(TensorError::Type { .. })), "{what}: {found}");
            // Other offsets: a longer, shorter or moved tensor.
            for (begin, end) in
                [(0, 4), (0, -4), (4, 0), (-4, 0), (4, 4), (-4, -4), (64, 64), (-64, -64), (1 << 40, 1 << 40)]
            {
                let changed = |entry: &mut Claim| {
                    entry.3[0] = entry.3[0].wrapping_add_signed(begin);
                    entry.3[1] = entry.3[1].wrapping_add_signed(end);
                };
                let found = refused(index, &changed).expect(&what).0;
                let layout = matches!(
                    found,
                    Error::Tensor(
                        TensorError::Length { .. } | TensorError::Offsets { .. } | TensorError::Overlap { .. }
                    ) | Error::Weights(
                        WeightsError::Gap { .. }
                                | WeightsError::Misaligned { .. }
                                | WeightsError::Padding { .. }
                                // Offsets below zero, here above 2^63.
                                | WeightsError::HeaderSyntax { .. }
                    )
                );
                assert!(layout, "{what}: {begin} {end}: {found}");
            }
        }
    }
}

fn is_shape(error: &Error) -> bool {
    matches!(error, Error::Tensor(TensorError::WrongShape { .. }))
}

#[test]
fn ten_thousand_flipped_bits_of_the_weights_are_found() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    for (kind, file) in FILES.iter() {
        let start = parts(file).0.data_start;
        let mut bytes = file.clone();
        for _ in 0..10_000 {
            let (at, bit) = (start + random(file.len() - start), random(8));
            bytes[at] ^= 1 << bit;
            let found = Weights::copy(&bytes).expect_err("a flipped bit");
            let is_found =
                matches!(found, Error::Weights(WeightsError::HashMismatch { .. } | WeightsError::Padding { .. }));
            assert!(is_found, "{kind}: bit {bit} of {at}: {found}");
            bytes[at] ^= 1 << bit;
        }
        assert_eq!(bytes, *file);
    }
}

/// Of a packed file that is mapped the weights are not read, until they are verified.
#[test]
#[cfg(feature = "mmap")]
fn verifying_a_mapped_packed_file_finds_a_flipped_bit_anywhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, file) = &FILES[2];
    let start = parts(file).0.data_start;
    for (n, at) in (0..file.len()).step_by(97).enumerate() {
        let mut bytes = file.clone();
        bytes[at] ^= 1 << (n % 8);
        let path = folder.path().join(n.to_string());
        std::fs::write(&path, bytes).expect("written");
        // SAFETY: nobody else knows the folder, and this test does not write to the file again.
        let mapped = unsafe { Weights::map(&path) };
        match mapped {
            Ok(weights) => assert!(at >= start && weights.verify().is_err(), "byte {at}"),
            Err(error) => assert!(matches!(error, Error::Weights(_) | Error::Tensor(_)), "byte {at}: {error}"),
        }
        std::fs::remove_file(&path).expect("removed");
    }
}
