//! A network that is there for tests alone, with what GoogLeNet does not have: groups, and branches that end in a pool.
//! The engine knows the network by its table, and by nothing else.

use googlenet::model::Network;
use googlenet::{Options, isa};

fn network() -> Network {
    crate::table::small()
}

#[test]
fn every_layer_of_a_network_of_a_tests_own_is_its_definition() {
    crate::layers::every_layer_is_its_definition(&network(), 32);
}

/// If no layer is kept, the first pool is fused and the normalisation is computed in place; plans for different numbers
/// of threads split the steps differently.
#[test]
fn its_bits_are_the_same_however_it_is_planned() {
    let (network, side) = (network(), 32);
    let model = crate::random::random_model(&network, side);
    let heads = network.head_names();
    let run = |options: Options| -> Vec<Vec<u32>> {
        let mut session =
            model.session(heads.iter().fold(options, |options, &head| options.endpoint(head))).expect("fits");
        session.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * 0.731).sin() * 100.0);
        session.run();
        let outputs = heads.iter().map(|head| session.endpoint(head).expect("kept")).chain([session.logits()]);
        outputs.map(|output| output.iter().map(|value| value.to_bits()).collect()).collect()
    };
    for isa in isa::detected() {
        let graph = network.graph_with(side, &heads);
        let all = graph.nodes.iter().fold(Options::new(), |options, node| options.endpoint(node.name.clone()));
        let expected = run(all.isa(isa));
        assert!(expected.iter().all(|bits| bits.iter().any(|&bits| f32::from_bits(bits) != 0.0)), "{isa}: zeros");
        for threads in [1, 2, 3, 8] {
            assert_eq!(run(Options::new().isa(isa).threads(threads)), expected, "{isa}, {threads} threads");
        }
    }
}
