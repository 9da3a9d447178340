//! The real weights in lower precisions: how far logits are from those in f32, and whether the photographs are recognised.

use std::path::PathBuf;

use googlenet::quantise::{Calibration, Clipping, Distance};
use googlenet::{Model, Options, Precision, Session, image};

use crate::photographs::photographs;

/// What one session makes of the photographs: for each its logits, and how many are recognised.
fn judged(mut session: Session, photographs: &[(PathBuf, usize)]) -> (Vec<Vec<f32>>, usize) {
    let mut right = 0;
    let logits = photographs.iter().map(|(path, class)| {
        let picture = image::open(path).expect("a picture");
        right += usize::from(session.classify(picture.view(), 1).expect("classified")[0].index == *class);
        session.logits().to_vec()
    });
    (logits.collect(), right)
}

/// The model with scales that the photographs give.
fn quantised(model: &Model, photographs: &[(PathBuf, usize)]) -> Model {
    let mut calibration = Calibration::new(model, 2).expect("a calibration");
    for (path, _) in photographs {
        let picture = image::open(path).expect("a picture");
        image::prepare(picture.view(), model.rule(), model.side(), calibration.input_mut()).expect("prepared");
        calibration.observe().expect("finite values");
    }
    calibration.quantise(Clipping::Maximum, true).expect("scales").model().expect("a model")
}

/// The bounds are those that were set for these weights before there were kernels: 1.5 % and 3 % of the logits' RMS, 99 and
/// 97 of 100 photographs with the class of f32, and as many recognised as in f32, within one.
pub fn lower_precisions_stay_near_f32() {
    let photographs = photographs(&crate::real::folder());
    let model = quantised(&crate::real::model(), &photographs);
    let session = |precision| model.session(Options::new().threads(2).precision(precision)).expect("a session");
    let (exact, right_in_f32) = judged(session(Precision::F32), &photographs);
    for (precision, most, agreeing) in [(Precision::Bf16, 0.015, 0.99), (Precision::Int8, 0.03, 0.97)] {
        let (logits, right) = judged(session(precision), &photographs);
        let mut distance = Distance::default();
        exact.iter().zip(&logits).for_each(|(exact, logits)| distance.add(exact, logits));
        // The 16 references, whose logits other programs computed.
        let reference = crate::real::reference();
        let mut of_references = Distance::default();
        let mut session = session(precision);
        for (input, expected) in reference.inputs.iter().zip(&reference.logits) {
            session.input_mut().copy_from_slice(input);
            session.run();
            of_references.add(expected, session.logits());
        }
        println!(
            "{precision}: rms {:.2} % of 16 references, {:.2} % of the photographs; {} agree; top-1 {right}, f32 {right_in_f32}",
            100.0 * of_references.rms_error(),
            100.0 * distance.rms_error(),
            distance.agreement(),
        );
        assert!(of_references.rms_error() <= most, "{precision}: {}", of_references.rms_error());
        assert!(distance.agreement() >= agreeing, "{precision}: {}", distance.agreement());
        assert!(right.abs_diff(right_in_f32) <= 1, "{precision}: {right}, in f32 {right_in_f32}");
    }
}
