//! The ways in which a weight file comes into memory: the demonstration weights give the same bits by each of them, as do
//! weights of a network with groups and hidden fully connected layers.

use std::path::Path;

use googlenet::error::{TensorError, WeightsError};
use googlenet::weights::{Dtype, NewTensor, Strictness, Weights, encode, write};
use googlenet::{Error, Model, Options, image};

/// Bytes that begin at a cache line, so that they are used where they lie.
#[repr(C, align(64))]
struct Aligned<B: ?Sized>(B);

const DEMONSTRATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors");
static LINKED: &Aligned<[u8]> = &Aligned(*include_bytes!("../../weights/demo.safetensors"));

/// The bits of the logits and probabilities of the photograph, and then of a batch of two fixed patterns.
fn outputs(model: &Model) -> Vec<u32> {
    let photograph = image::decode(include_bytes!("../../weights/chelsea.png")).expect("a picture");
    let mut bits = Vec::new();
    let mut keep = |values: &[f32]| bits.extend(values.iter().map(|value| value.to_bits()));
    let mut session = model.session(Options::new()).expect("a session");
    session.classify(photograph.view(), 1).expect("classified");
    keep(session.logits());
    keep(session.probabilities());
    let mut session = model.session(Options::new().threads(2).batch(2)).expect("a session");
    for (i, x) in session.input_mut().iter_mut().enumerate() {
        *x = (i as f32 * 0.731).sin() * 100.0;
    }
    session.run();
    keep(session.logits());
    keep(session.probabilities());
    bits
}

#[test]
fn read_mapped_and_linked_weights_give_the_same_bits() {
    let expected = outputs(&Model::open(DEMONSTRATION).expect("read"));
    assert_eq!(expected.len(), 3 * 2 * 10);
    assert!(expected.iter().all(|&bits| f32::from_bits(bits).is_finite()));
    // SAFETY: the file is part of the sources, which no test writes to.
    let mapped = unsafe { Model::map(DEMONSTRATION) };
    let ways = [
        ("mapped", mapped),
        ("linked", Model::from_static(&LINKED.0)),
        ("from a vector", Weights::from_vec(LINKED.0.to_vec()).and_then(Model::new)),
    ];
    for (way, model) in ways {
        assert!(outputs(&model.expect(way)) == expected, "{way}");
    }
}

#[test]
fn packed_weights_are_used_where_they_lie_and_give_the_same_bits() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("packed");
    let plain = Model::open(DEMONSTRATION).expect("read");
    let expected = outputs(&plain);
    let packing = plain.pack(&path, Options::new().threads(2), false).expect("packed");
    let read = Model::open(&path).expect("read");
    // SAFETY: nobody else knows the folder, and this test writes to the file no more.
    let mapped = unsafe { Model::map(&path) }.expect("mapped");
    for (way, model) in [("read", &read), ("mapped", &mapped)] {
        assert_eq!(model.packing(), Some(&packing[..]), "{way}");
        // Threads, batch and endpoints change what a plan does, not how its weights are packed.
        let keep = "conv1/7x7_s2";
        for options in [Options::new(), Options::new().threads(3).batch(2), Options::new().threads(2).endpoint(keep)] {
            let session = model.session(options).expect("a session");
            assert!(session.uses_packed_file() && session.packing() == packing, "{way}");
        }
        assert!(outputs(model) == expected, "{way}");
    }
    mapped.weights().verify().expect("undamaged");
    // Mapping does not look for damage in weights, but packing does, before it gives a file a new hash.
    let mut bytes = std::fs::read(&path).expect("read");
    *bytes.last_mut().expect("not empty") ^= 1;
    let damaged = folder.path().join("damaged");
    std::fs::write(&damaged, bytes).expect("written");
    // SAFETY: nobody else knows the folder, and this test writes to the file no more.
    let model = unsafe { Model::map(&damaged) }.expect("its header is right");
    let refused = model.pack(folder.path().join("refused"), Options::new(), false);
    assert!(matches!(refused, Err(Error::Weights(WeightsError::HashMismatch { .. }))));
    // At this side other kernels are chosen, which want the weights packed otherwise.
    let other = read.session(Options::new().side(224)).expect("a session");
    assert!(!other.uses_packed_file() && other.packing() != packing);
    assert!(!read.is_packed_for(&Options::new().side(224)).expect("planned"));
    assert!(read.is_packed_for(&Options::new()).expect("planned"));
    assert!(!plain.session(Options::new()).expect("a session").uses_packed_file());

    // A file that is packed again has the new packed tensors in place of the old ones.
    let again = folder.path().join("again");
    mapped.pack(&again, Options::new(), false).expect("packed");
    let bytes = |path| std::fs::read(path).expect("read");
    assert!(bytes(&again) == bytes(&path));
}

/// What a session packs itself is held to the hash that mapping a packed file leaves unchecked.
#[test]
fn damage_in_a_mapped_packed_file_is_found_before_its_weights_are_packed_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("packed");
    Model::open(DEMONSTRATION).expect("read").pack(&path, Options::new(), false).expect("packed");
    let offset = Weights::open(&path).expect("read").tensor("conv1/7x7_s2.weight").expect("the first layer's").offset();
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[offset] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    // SAFETY: nobody else knows the folder, and this test writes to the file no more.
    let mapped = unsafe { Model::map(&path) }.expect("its header is right");
    assert!(mapped.session(Options::new()).expect("the packed weights fit").uses_packed_file());
    for _ in 0..2 {
        let refused = mapped.session(Options::new().side(224)).err().expect("the packed weights do not fit");
        assert!(matches!(refused, Error::Weights(WeightsError::HashMismatch { .. })), "{refused}");
    }
}

#[test]
fn packed_tensors_are_compared_with_what_packing_gives() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, changed) = (folder.path().join("packed"), folder.path().join("changed"));
    let plain = Model::open(DEMONSTRATION).expect("read");
    let refused = plain.check_packed(&Options::new()).expect_err("not packed");
    assert!(matches!(refused, Error::Weights(WeightsError::MetadataMissing { key: "packing" })), "{refused}");
    plain.pack(&path, Options::new(), false).expect("packed");
    let packed = Model::open(&path).expect("read");
    packed.check_packed(&Options::new().threads(2)).expect("as it was packed");
    let refused = packed.check_packed(&Options::new().side(224)).expect_err("packed for another side");
    assert!(matches!(refused, Error::Weights(WeightsError::MetadataValue { key: "packing", .. })), "{refused}");

    let tensors = || {
        let as_new = packed.weights().tensors().map(|t| NewTensor {
            name: t.name(),
            shape: t.shape(),
            dtype: t.dtype(),
            values: t.to_f32(),
        });
        as_new.collect::<Vec<_>>()
    };
    let refused = |tensors: &[NewTensor<'_>]| {
        write(&changed, packed.weights().metadata(), tensors, true).expect("written");
        let model = Model::open(&changed).expect("with a hash that fits");
        match model.check_packed(&Options::new()) {
            Err(Error::Tensor(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    // One bit of one value, in a packed tensor and in the weights that it was made of, which the file has as f16.
    let flip = |name: &str, bit: u32| {
        let mut tensors = tensors();
        let tensor = tensors.iter_mut().find(|tensor| tensor.name == name).expect("there");
        let value = &mut tensor.values.to_mut()[7];
        *value = f32::from_bits(value.to_bits() ^ bit);
        refused(&tensors)
    };
    let first = "packed/conv2/3x3_reduce";
    let found = flip(first, 1);
    assert!(matches!(&found, TensorError::NotRepacked { tensor, index: Some(7) } if tensor == first), "{found}");
    let found = flip("conv2/3x3_reduce.bias", 1 << 22);
    assert!(matches!(&found, TensorError::NotRepacked { tensor, index: Some(_) } if tensor == first), "{found}");
    let mut fewer = tensors();
    fewer.retain(|tensor| tensor.name != first);
    assert!(matches!(refused(&fewer), TensorError::Missing { tensor } if tensor == first));
    let mut more = tensors();
    more.push(NewTensor { name: "packed/more", shape: &[1], dtype: Dtype::F32, values: vec![1.0].into() });
    assert!(matches!(refused(&more), TensorError::Unexpected { tensor } if tensor == "packed/more"));
}

/// Files of the demonstration weights, rounded to f16 and without scales for int8: one that stores them so, and one of the same
/// numbers in f32.
fn as_f16_and_f32(folder: &Path) -> [Vec<u8>; 2] {
    let store = |from: &Weights, dtype| {
        let own = from.tensors().filter(|t| t.name().ends_with(".weight") || t.name().ends_with(".bias"));
        let own = own.map(|t| NewTensor { name: t.name(), shape: t.shape(), dtype, values: t.to_f32() });
        let (path, mut metadata) = (folder.join(dtype.name()), from.metadata().clone());
        metadata.remove("int8");
        write(&path, &metadata, &own.collect::<Vec<_>>(), true).expect("written");
        path
    };
    let halves = store(&Weights::open(DEMONSTRATION).expect("read"), Dtype::F16);
    let wide = store(&Weights::open(&halves).expect("read"), Dtype::F32);
    [halves, wide].map(|path| std::fs::read(path).expect("read"))
}

#[test]
fn numbers_stored_as_f16_give_the_bits_of_the_same_numbers_in_f32() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = as_f16_and_f32(folder.path());
    let [halves, wide] = &files.map(|file| Model::new(Weights::from_vec(file).expect("valid")).expect("complete"));
    let expected = outputs(wide);
    assert!(outputs(halves) == expected);
    let dtype = |model: &Model| model.weights().tensor("loss3/classifier.weight").expect("the classifier's").dtype();
    assert_eq!([halves, wide].map(dtype), [Dtype::F16, Dtype::F32]);
    // A file may be packed whatever it stores: packed tensors are f32, and a matrix that is not packed lies beside them.
    let path = folder.path().join("packed");
    let packing = halves.pack(&path, Options::new(), false).expect("packed");
    assert_eq!(wide.session(Options::new()).expect("a session").packing(), packing);
    // SAFETY: nobody else knows the folder, and this test writes to the file no more.
    let mapped = unsafe { Model::map(&path) }.expect("mapped");
    assert!(mapped.session(Options::new()).expect("a session").uses_packed_file());
    assert!(outputs(&mapped) == expected);
}

/// The same file with all tensors moved by `shift` bytes, by spaces at the end of the header; a file of other programs may
/// begin its data anywhere.
fn moved(file: &[u8], shift: u64) -> Vec<u8> {
    let (length, rest) = file.split_at(8);
    let length = u64::from_le_bytes(length.try_into().expect("8 bytes"));
    let (header, data) = rest.split_at(usize::try_from(length).expect("a header of memory"));
    let spaces: Vec<u8> = (0..shift).map(|_| b' ').collect();
    [&(length + shift).to_le_bytes(), header, &spaces, data].concat()
}

#[test]
fn misaligned_tensors_give_the_same_bits() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = as_f16_and_f32(folder.path());
    let expected = outputs(&Model::new(Weights::from_vec(files[0].clone()).expect("valid")).expect("complete"));
    for (file, shift) in files.iter().flat_map(|file| [(file, 1), (file, 2)]) {
        let weights = Weights::from_vec_as(moved(file, shift), Strictness::Plain).expect("valid");
        let matrix = weights.tensor("loss3/classifier.weight").expect("the classifier's");
        assert_eq!(matrix.bytes().as_ptr().addr() % 64, shift as usize);
        assert!(outputs(&Model::new(weights).expect("complete")) == expected, "moved by {shift}");
    }
}

/// The network of `small.rs` has what GoogLeNet has not: groups, whose weights are rows of one tensor, and a hidden fully
/// connected layer.
#[test]
fn groups_and_hidden_layers_give_the_same_bits_by_each_way() {
    let network = crate::table::small();
    let heads = network.head_names();
    let complete = |weights: Weights| Model::with_network(weights, network.clone()).expect("complete");
    // The bits of the logits and both heads' outputs, of a picture and of a batch of two.
    let outputs = |model: &Model| {
        let mut bits = Vec::new();
        for options in [Options::new(), Options::new().threads(3).batch(2)] {
            let options = heads.iter().fold(options, |options, &head| options.endpoint(head));
            let mut session = model.session(options).expect("a session");
            session.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * 0.731).sin() * 100.0);
            session.run();
            let kept = heads.iter().map(|head| session.endpoint(head).expect("kept"));
            bits.extend(kept.chain([session.logits()]).flatten().map(|value| value.to_bits()));
        }
        bits
    };
    let file_of = |weights: &Weights, dtype| {
        let tensors = weights.tensors();
        let tensors = tensors.map(|t| NewTensor { name: t.name(), shape: t.shape(), dtype, values: t.to_f32() });
        encode(weights.metadata(), &tensors.collect::<Vec<_>>()).expect("a file")
    };
    let halves = file_of(crate::random::random_model(&network, network.side).weights(), Dtype::F16);
    let wide = file_of(&Weights::from_vec(halves.clone()).expect("valid"), Dtype::F32);
    let expected = outputs(&complete(Weights::from_vec(wide.clone()).expect("valid")));
    assert_eq!(expected.len(), 3 * 3 * network.classes);
    assert!(expected.iter().all(|&bits| f32::from_bits(bits).is_finite()));
    assert!(expected.windows(2).any(|pair| pair[0] != pair[1]));

    let folder = tempfile::tempdir().expect("a folder");
    for (dtype, file) in [(Dtype::F16, halves), (Dtype::F32, wide)] {
        let [path, packed] = ["plain", "packed"].map(|kind| folder.path().join(format!("{}-{kind}", dtype.name())));
        std::fs::write(&path, &file).expect("written");
        complete(Weights::open(&path).expect("valid")).pack(&packed, Options::new(), false).expect("packed");
        // Bytes that begin at a cache line, so that they are used where they lie.
        let leaked = Box::leak(vec![0_u8; file.len() + 64].into_boxed_slice());
        let first = leaked.as_ptr().align_offset(64);
        let linked = &mut leaked[first..first + file.len()];
        linked.copy_from_slice(&file);
        let shifted = |shift| {
            let weights = Weights::from_vec_as(moved(&file, shift), Strictness::Plain).expect("valid");
            let matrix = weights.tensor("hidden/dense.weight").expect("the hidden layer's");
            assert_eq!(matrix.bytes().as_ptr().addr() % 64, shift as usize);
            Ok(weights)
        };
        let ways = [
            ("read", Weights::open(&path)),
            // SAFETY: nobody else knows the folder, and this test writes to the file no more.
            ("mapped", unsafe { Weights::map(&path) }),
            ("from static bytes", Weights::from_static(linked)),
            ("from a vector", Weights::from_vec(file.clone())),
            ("copied", Weights::copy(&file)),
            ("packed and read", Weights::open(&packed)),
            // SAFETY: as above.
            ("packed and mapped", unsafe { Weights::map(&packed) }),
            ("moved by a byte", shifted(1)),
            ("moved by two bytes", shifted(2)),
        ];
        for (way, weights) in ways {
            let model = complete(weights.expect("valid"));
            let dense = model.weights().tensor("hidden/dense.weight").expect("the hidden layer's");
            assert_eq!(dense.dtype(), dtype, "{way}");
            let uses_packed = model.session(Options::new()).expect("a session").uses_packed_file();
            assert_eq!(uses_packed, way.starts_with("packed"), "{way}");
            assert!(outputs(&model) == expected, "{} {way}", dtype.name());
        }
    }
}

#[test]
fn packed_tensors_that_do_not_fit_are_packed_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, changed) = (folder.path().join("packed"), folder.path().join("changed"));
    let plain = Model::open(DEMONSTRATION).expect("read");
    let expected = outputs(&plain);
    plain.pack(&path, Options::new(), false).expect("packed");
    let packed = Weights::open(&path).expect("read");
    let tensors: Vec<_> = packed
        .tensors()
        .map(|t| NewTensor { name: t.name(), shape: t.shape(), dtype: t.dtype(), values: t.to_f32() })
        .collect();
    let last = tensors.len() - 1;
    assert!(tensors[last].name.starts_with("packed/"));
    type Change = fn(&mut NewTensor<'_>);
    let changes: [(&str, Change); 3] = [
        ("name", |tensor| tensor.name = "packed/other"),
        ("length", |tensor| {
            tensor.values = tensor.values[1..].to_vec().into();
            tensor.shape = Box::leak(Box::new([tensor.values.len()]));
        }),
        ("type", |tensor| tensor.dtype = Dtype::F16),
    ];
    for (what, change) in changes {
        let mut tensors = tensors.clone();
        change(&mut tensors[last]);
        write(&changed, packed.metadata(), &tensors, true).expect("written");
        let model = Model::open(&changed).expect(what);
        assert!(!model.session(Options::new()).expect(what).uses_packed_file(), "{what}");
        assert!(!model.is_packed_for(&Options::new()).expect(what), "{what}");
        assert!(outputs(&model) == expected, "{what}");
    }
    // Without the metadata key the packed tensors do not belong in the file.
    let mut metadata = packed.metadata().clone();
    metadata.remove("packing");
    write(&changed, &metadata, &tensors, true).expect("written");
    let refused = Model::open(&changed).expect_err("unexpected tensors").to_string();
    assert!(refused.contains("packed/") && refused.contains("not part of the network"), "{refused}");
}
