//! The ways a file comes into memory: the demonstration weights give the same bits by each.

use googlenet::weights::Weights;
use googlenet::{Model, Options, image};

/// Bytes that begin at a cache line, so that they are used where they lie.
#[repr(C, align(64))]
struct Aligned<B: ?Sized>(B);

const DEMONSTRATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors");
static LINKED: &Aligned<[u8]> = &Aligned(*include_bytes!("../../weights/demo.safetensors"));

/// Logits and probabilities of the photograph, then of a batch of two fixed patterns, as bits.
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
