//! The same weights on the same instruction set give the same bits, however the work is shared.

use googlenet::model::{self, Dialect, Network};
use googlenet::{Model, Options, Session, isa};

const SIDE: usize = 64;

/// The values of one of several pictures, each of which is unlike the others.
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
    for (dialect, isa) in
        Dialect::GOOGLENET.into_iter().flat_map(|dialect| isa::detected().map(move |isa| (dialect, isa)))
    {
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

/// The bits of the logits of a batch of unlike pictures.
fn logits_of_batch(model: &Model, options: Options) -> Vec<Vec<u32>> {
    let mut session = model.session(options).expect("a session");
    let len = session.input_mut().len() / session.batch();
    for (image, input) in session.input_mut().chunks_exact_mut(len).enumerate() {
        let value = |i: usize| (i as f32 * (0.731 + 0.01 * image as f32)).sin() * 100.0;
        input.iter_mut().enumerate().for_each(|(i, x)| *x = value(i));
    }
    session.run();
    let classes = session.logits().len() / session.batch();
    session.logits().chunks_exact(classes).map(|logits| logits.iter().map(|value| value.to_bits()).collect()).collect()
}

/// The networks beside GoogLeNet, for inputs so small that their fully connected layers are small, too.
#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "takes minutes where every instruction is emulated")]
fn other_networks_give_the_same_bits() {
    for dialect in Dialect::ALL.into_iter().filter(|dialect| !Dialect::GOOGLENET.contains(dialect)) {
        let network = Network { side: if dialect == Dialect::Naive { 32 } else { 96 }, ..dialect.network(10) };
        let model = crate::random::random_model(&network, network.side);
        for isa in isa::detected() {
            let expected = logits_of_batch(&model, Options::new().isa(isa).batch(3));
            assert!(expected.windows(2).all(|pair| pair[0] != pair[1]), "the pictures give different logits");
            for (threads, batch) in [(2, 1), (3, 1), (3, 2), (8, 1), (2, 3)] {
                let found = logits_of_batch(&model, Options::new().isa(isa).threads(threads).batch(batch));
                assert_eq!(found, expected[..batch], "{dialect}, {isa}: {threads} threads, batch {batch}");
            }
            // If every layer is kept, no layers are fused and none is computed in place.
            let graph = network.graph(network.side);
            let every = graph.nodes.iter().fold(Options::new(), |options, node| options.endpoint(node.name.clone()));
            assert_eq!(logits_of_batch(&model, every.isa(isa)), expected[..1], "{dialect}, {isa}: every layer kept");
        }
    }
}

/// At the networks' own size the plan splits the large maps among two threads instead of letting them share what is
/// transformed, and conv1 and its pool are one step.
#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "takes minutes where every instruction is emulated")]
fn threads_at_224_give_the_same_bits() {
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
        // If every layer is kept, no layers are fused and none is computed in place.
        let graph = model.network().graph(224);
        let every = graph.nodes.iter().fold(Options::new(), |options, node| options.endpoint(node.name.clone()));
        let expected = logits(every);
        for threads in [1, 2, 3, 8] {
            assert_eq!(logits(Options::new().threads(threads)), expected, "{isa}: {threads} threads");
        }
    }
}

/// At this size Krizhevsky's network has its large fully connected layers, which all threads share.
#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "takes minutes where every instruction is emulated")]
fn large_layers_at_227_give_the_same_bits() {
    let network = Dialect::Caffenet.network(10);
    assert_eq!(network.side, 227);
    let model = crate::random::random_model(&network, network.side);
    for isa in isa::detected() {
        let expected = logits_of_batch(&model, Options::new().isa(isa).batch(3));
        assert!(expected.windows(2).all(|pair| pair[0] != pair[1]), "the pictures give different logits");
        for (threads, batch) in [(1, 1), (2, 1), (3, 1), (8, 1), (2, 3), (3, 2)] {
            let found = logits_of_batch(&model, Options::new().isa(isa).threads(threads).batch(batch));
            assert_eq!(found, expected[..batch], "{isa}: {threads} threads, batch {batch}");
        }
    }
}

/// The caller may lend threads all at once, one after the other, one index again and again, or not at all.
#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "takes minutes where every instruction is emulated")]
fn lent_threads_give_the_same_bits() {
    type Lender = fn(usize, &(dyn Fn(usize) + Sync));
    let at_once: Lender = |n, body| std::thread::scope(|s| (0..n).for_each(|i| drop(s.spawn(move || body(i)))));
    let more: Lender = |n, body| std::thread::scope(|s| (0..2 * n).for_each(|_| drop(s.spawn(|| body(0)))));
    let lenders: [Lender; 5] = [at_once, more, |n, body| (0..n).rev().for_each(body), |_, body| body(9), |_, _| ()];
    let model = crate::random::random_model(&model::googlenet(10), SIDE);
    let logits = |options: Options| -> Vec<u32> {
        let mut session = model.session(options).expect("a session");
        for (slot, input) in session.input_mut().chunks_exact_mut(3 * SIDE * SIDE).enumerate() {
            input.iter_mut().zip(picture(slot)).for_each(|(x, value)| *x = value);
        }
        let run = |_| {
            session.run();
            session.logits().iter().map(|value| value.to_bits()).collect()
        };
        let runs: Vec<Vec<u32>> = (0..3).map(run).collect();
        assert!(runs.windows(2).all(|pair| pair[0] == pair[1]), "a run differs from the one before");
        runs[0].clone()
    };
    for batch in [1, 2, 5] {
        let expected = logits(Options::new().batch(batch));
        for (i, lender) in lenders.into_iter().enumerate() {
            for threads in [1, 2, 4] {
                let options = Options::new().batch(batch).parallel_for(threads, lender);
                assert_eq!(logits(options), expected, "lender {i}, {threads} threads, batch {batch}");
            }
        }
        #[cfg(feature = "rayon")]
        {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("a pool");
            let options = Options::new().batch(batch).pool(pool.into());
            assert_eq!(logits(options), expected, "a pool, batch {batch}");
        }
    }
}

/// What an unfinished run did must not be taken for what the next one did, in which an image may be lost.
#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "takes minutes where every instruction is emulated")]
fn a_lender_that_panics_ends_its_own_run_only() {
    use std::sync::atomic::{AtomicBool, Ordering};
    /// Whether the lender is to panic; it also lends its threads while weights are packed.
    static PANIC: AtomicBool = AtomicBool::new(false);
    let model = crate::random::random_model(&model::googlenet(10), SIDE);
    for batch in [1, 2] {
        let lender = |count: usize, body: &(dyn Fn(usize) + Sync)| {
            body(count - 1);
            assert!(!PANIC.swap(false, Ordering::Relaxed), "a test's panic");
        };
        let mut session = model.session(Options::new().batch(batch).parallel_for(2, lender)).expect("a session");
        for (slot, input) in session.input_mut().chunks_exact_mut(3 * SIDE * SIDE).enumerate() {
            input.iter_mut().zip(picture(slot)).for_each(|(x, value)| *x = value);
        }
        session.run();
        let expected = session.logits().to_vec();
        PANIC.store(true, Ordering::Relaxed);
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| session.run()));
        assert!(run.is_err(), "batch {batch}");
        session.run();
        assert_eq!(session.logits(), expected, "batch {batch}");
    }
}

/// Several runs at once share a pool that has fewer threads than each is planned for: a barrier would wait for ever.
#[cfg(feature = "rayon")]
#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "takes minutes where every instruction is emulated")]
fn sessions_that_share_a_pool_do_not_block_each_other() {
    let model = crate::random::random_model(&model::googlenet(10), SIDE);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
    let pool = std::sync::Arc::new(pool);
    let session = |_| model.session(Options::new().pool(pool.clone()).threads(4)).expect("a session");
    let mut sessions: Vec<_> = (0..6).map(session).collect();
    let mut alone = model.session(Options::new()).expect("a session");
    alone.input_mut().iter_mut().zip(picture(0)).for_each(|(x, value)| *x = value);
    alone.run();
    std::thread::scope(|scope| {
        for session in &mut sessions {
            scope.spawn(|| {
                session.input_mut().iter_mut().zip(picture(0)).for_each(|(x, value)| *x = value);
                (0..20).for_each(|_| session.run());
            });
        }
        // One more session runs from inside the pool.
        scope.spawn(|| {
            let mut session = session(0);
            pool.install(|| (0..20).for_each(|_| session.run()));
        });
    });
    for session in &sessions {
        assert_eq!(session.logits(), alone.logits());
    }
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "takes minutes where every instruction is emulated")]
fn thirty_two_sessions_on_eight_threads_give_the_same_bits() {
    let model = crate::random::random_model(&model::googlenet(10), SIDE);
    let mut alone = model.session(Options::new()).expect("a session");
    let expected: Vec<Vec<u32>> = (0..4).map(|index| bits_of(&mut alone, index)).collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let session = |i: usize| model.session(Options::new().threads(1 + i % 2)).expect("a session");
                let mut sessions: Vec<_> = (0..4).map(session).collect();
                for run in 0..3 {
                    for (i, session) in sessions.iter_mut().enumerate() {
                        assert_eq!(bits_of(session, (i + run) % 4), expected[(i + run) % 4], "session {i}, run {run}");
                    }
                }
            });
        }
    });
}

fn bits_of(session: &mut Session, index: usize) -> Vec<u32> {
    session.input_mut().iter_mut().zip(picture(index)).for_each(|(x, value)| *x = value);
    session.run();
    session.logits().iter().map(|value| value.to_bits()).collect()
}
