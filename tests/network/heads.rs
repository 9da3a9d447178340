//! Auxiliary heads are computed only if they are asked for, and change nothing else that is computed.

use googlenet::error::SessionError;
use googlenet::model::Dialect;
use googlenet::{Error, Options, isa};

const SIDE: usize = 224;

/// The bits of the values of `output` for a fixed picture, and the layers of the plan's steps.
fn run(model: &googlenet::Model, options: Options, output: &str) -> (Vec<u32>, Vec<String>) {
    let mut session = model.session(options).expect("a session");
    session.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * 0.731).sin() * 100.0);
    session.run();
    let values = if output == "logits" { session.logits() } else { session.endpoint(output).expect("asked for") };
    let bits = values.iter().map(|value| value.to_bits()).collect();
    (bits, session.describe().into_iter().map(|step| step.layers).collect())
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "takes minutes where every instruction is emulated")]
fn a_head_runs_where_it_is_asked_for_and_changes_nothing_else() {
    for dialect in [Dialect::Bvlc, Dialect::Torchvision] {
        let model = crate::random::random_model(&dialect.network_with_heads(10), SIDE);
        assert_eq!(model.network().head_names(), ["loss1", "loss2"]);
        let isa = isa::best();
        let (logits, layers) = run(&model, Options::new().isa(isa), "logits");
        assert!(!layers.iter().any(|layers| layers.starts_with("loss1") || layers.starts_with("loss2")));
        let (head, layers) = run(&model, Options::new().isa(isa).endpoint("loss2"), "loss2");
        assert!(layers.iter().any(|layers| layers == "loss2/fc") && !layers.iter().any(|l| l.starts_with("loss1")));
        assert_eq!(head.len(), 10);
        for threads in [1, 2, 5] {
            let options = Options::new().isa(isa).threads(threads).endpoint("loss1").endpoint("loss2/classifier");
            assert_eq!(run(&model, options.clone(), "logits").0, logits, "{dialect}, {threads} threads");
            assert_eq!(run(&model, options, "loss2/classifier").0, head, "{dialect}, {threads} threads");
        }
    }
}

#[test]
fn heads_that_cannot_run_are_refused() {
    let model = crate::random::random_model(&Dialect::Bvlc.network_with_heads(10).keep_heads(&["loss2"]), SIDE);
    let refused = model.session(Options::new().side(64).endpoint("loss2"));
    assert!(matches!(refused, Err(Error::Session(SessionError::HeadSide { head: "loss2", side: 64 }))));
    assert!(model.session(Options::new().side(64)).is_ok());
    let refused = model.session(Options::new().endpoint("loss1"));
    assert!(matches!(refused, Err(Error::Session(SessionError::UnknownLayer { layer })) if layer == "loss1"));
}
