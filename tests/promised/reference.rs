//! The real weights against ONNX Runtime's outputs for 16 images.

use googlenet::{Isa, Options};

/// The indices of the five largest values, the largest first.
fn top5(values: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    order.truncate(5);
    order
}

pub fn logits_and_probabilities_are_the_references(isa: Isa) {
    let (model, reference) = (crate::real::model(), crate::real::reference());
    // Emulated sets are slow: two images are enough to find a wrong kernel.
    let images = if cfg!(target_arch = "x86_64") { reference.inputs.len() } else { 2 };
    let mut session = model.session(Options::new().isa(isa)).expect("a session");
    let (mut worst_logit, mut worst_probability) = (0.0_f32, 0.0_f32);
    for image in 0..images {
        session.input_mut().copy_from_slice(&reference.inputs[image]);
        session.run();
        let (logits, expected) = (session.logits(), &reference.logits[image]);
        let largest = expected.iter().fold(0.0_f32, |max, v| max.max(v.abs()));
        for (got, expected) in logits.iter().zip(expected) {
            worst_logit = worst_logit.max((got - expected).abs() / largest);
        }
        for (got, expected) in session.probabilities().iter().zip(&reference.probabilities[image]) {
            worst_probability = worst_probability.max((got - expected).abs());
        }
        assert_eq!(top5(logits), top5(expected), "{isa}: top 5 of image {image}");
    }
    println!("{isa}: logits within {worst_logit:e} of the largest, probabilities within {worst_probability:e}");
    assert!(worst_logit <= 2e-5, "{isa}: {worst_logit:e}");
    assert!(worst_probability <= 1e-5, "{isa}: {worst_probability:e}");
}
