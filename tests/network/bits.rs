//! The same weights on the same instruction set give the same bits, however the work is shared.

use googlenet::model::{self, Dialect};
use googlenet::{Options, isa};

const SIDE: usize = 64;

/// One of several pictures, each unlike the others.
fn picture(index: usize) -> impl Iterator<Item = f32> {
    (0..3 * SIDE * SIDE).map(move |i| (i as f32 * (0.731 + 0.01 * index as f32)).sin() * 100.0)
}

#[test]
fn threads_slots_and_runs_give_the_same_bits() {
    let model = crate::random::random_model(&model::googlenet(10), SIDE);
    for isa in isa::detected() {
        let mut one = model.session(Options::new().isa(isa)).expect("a session");
        let mut alone = |index: usize| -> Vec<u32> {
            one.input_mut().iter_mut().zip(picture(index)).for_each(|(x, value)| *x = value);
            one.run();
            one.logits().iter().map(|value| value.to_bits()).collect()
        };
        let expected: Vec<Vec<u32>> = (0..5).map(&mut alone).collect();
        assert!(expected.windows(2).all(|pair| pair[0] != pair[1]), "the pictures give different logits");
        for (threads, batch) in [(1, 1), (1, 3), (2, 1), (3, 1), (3, 2), (8, 1), (8, 5), (2, 5)] {
            let mut session = model.session(Options::new().isa(isa).threads(threads).batch(batch)).expect("a session");
            for (slot, input) in session.input_mut().chunks_exact_mut(3 * SIDE * SIDE).enumerate() {
                input.iter_mut().zip(picture(slot)).for_each(|(x, value)| *x = value);
            }
            for run in 0..3 {
                session.run();
                for (slot, logits) in session.logits().chunks_exact(10).enumerate() {
                    let same = logits.iter().map(|value| value.to_bits()).eq(expected[slot].iter().copied());
                    assert!(same, "{isa}: {threads} threads, slot {slot} of {batch}, run {run}");
                }
            }
        }
    }
}

#[test]
fn keeping_a_layer_that_is_else_part_of_another_changes_no_bit() {
    for (dialect, isa) in Dialect::ALL.into_iter().flat_map(|dialect| isa::detected().map(move |isa| (dialect, isa))) {
        let model = crate::random::random_model(&dialect.network(10), SIDE);
        let logits = |options: Options| -> Vec<u32> {
            let mut session = model.session(options.isa(isa)).expect("a session");
            session.input_mut().iter_mut().zip(picture(1)).for_each(|(x, value)| *x = value);
            session.run();
            session.logits().iter().map(|value| value.to_bits()).collect()
        };
        let expected = logits(Options::new());
        for layer in ["conv1/7x7_s2", "pool1/3x3_s2", "conv2/3x3", "inception_3a/3x3_reduce"] {
            for threads in [1, 2, 9] {
                let options = Options::new().threads(threads).endpoint(layer);
                assert_eq!(logits(options), expected, "{dialect}, {isa}: {layer} kept, {threads} threads");
            }
        }
    }
}

/// At the networks' own size two threads cut the large maps instead of sharing what is transformed, and conv1 and its
/// pool are one step; too slow where every instruction is emulated.
#[test]
fn threads_at_224_give_the_same_bits() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let model = crate::random::random_model(&model::googlenet(10), SIDE);
    for isa in isa::detected() {
        let logits = |options: Options| -> Vec<u32> {
            let mut session = model.session(options.isa(isa).side(224)).expect("a session");
            session.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * 0.731).sin() * 100.0);
            session.run();
            session.logits().iter().map(|value| value.to_bits()).collect()
        };
        let session = model.session(Options::new().isa(isa).side(224)).expect("a session");
        let fused = session.describe().iter().any(|step| step.layers == "conv1/7x7_s2 + pool1/3x3_s2");
        assert!(fused, "{isa}: the default plan has conv1 and its pool in one step");
        // The same, with nothing fused, nothing in place and every layer kept.
        let graph = model.network().graph(224);
        let every = graph.nodes.iter().fold(Options::new(), |options, node| options.endpoint(node.name.clone()));
        let expected = logits(every);
        for threads in [1, 2, 3, 8] {
            assert_eq!(logits(Options::new().threads(threads)), expected, "{isa}: {threads} threads");
        }
    }
}
