//! Ensembles are compared with their definition: the mean of the probabilities that sessions give for each crop.

use googlenet::error::{ModelError, SessionError};
use googlenet::image::{Crops, Cuts, Rgb8};
use googlenet::model::Dialect;
use googlenet::{Ensemble, Error, Model, Options};

use crate::random::random_model;

const SIDE: usize = 32;

fn pictures() -> Vec<(usize, usize, Vec<u8>)> {
    let pixel = |i: usize, seed: usize| (i * i / 7 + i * 31 * seed + seed * 97) as u8;
    let picture =
        |&(width, height): &(usize, usize)| (width, height, (0..3 * width * height).map(|i| pixel(i, width)).collect());
    [(40, 30), (25, 50)].iter().map(picture).collect()
}

/// The mean of the probabilities over crops and models, by a session of one image for each model. The number beside a
/// model says how many of its first classes are left out.
fn mean(models: &[(&Model, usize)], crops: Crops, image: Rgb8<'_>) -> Vec<f64> {
    let mut sum = vec![];
    for &(model, skip) in models {
        let mut session = model.session(Options::new().side(SIDE)).expect("a session");
        let cuts = Cuts::new(image, model.rule(), SIDE, crops).expect("cut");
        for index in 0..cuts.len() {
            cuts.write(index, session.input_mut());
            session.run();
            let shared = &session.probabilities()[skip..];
            let all: f64 = if skip == 0 { 1.0 } else { shared.iter().map(|&p| f64::from(p)).sum() };
            sum.resize(shared.len(), 0.0);
            sum.iter_mut().zip(shared).for_each(|(sum, &p)| *sum += f64::from(p) / all);
        }
    }
    let count = (models.len() * crops.count()) as f64;
    sum.iter().map(|sum| sum / count).collect()
}

#[test]
fn an_ensemble_is_the_mean_over_crops_and_models() {
    let (first, second) =
        (random_model(&Dialect::Bvlc.network(6), SIDE), random_model(&Dialect::Torchvision.network(6), SIDE));
    let slim = random_model(&Dialect::TfSlim.network(7), SIDE);
    let cases: [&[(&Model, usize)]; 3] = [&[(&first, 0)], &[(&first, 0), (&second, 0)], &[(&slim, 1), (&first, 0)]];
    for models in cases {
        let owned: Vec<Model> = models.iter().map(|&(model, _)| model.clone()).collect();
        for crops in [Crops::Centre, Crops::Ten] {
            for threads in [1, 2] {
                let mut ensemble = Ensemble::new(&owned, crops, Options::new().threads(threads)).expect("an ensemble");
                assert_eq!(ensemble.classes(), 6);
                for (width, height, data) in pictures() {
                    let image = Rgb8::new(width, height, 3 * width, &data).expect("a picture");
                    let expected = mean(models, crops, image);
                    let found = ensemble.probabilities(image).expect("looked at");
                    // The ensemble adds the same numbers in the same order, and rounds the mean once.
                    let expected: Vec<f32> = expected.iter().map(|&mean| mean as f32).collect();
                    assert_eq!(found, expected, "{} models, {crops:?}", models.len());
                }
            }
        }
    }
}

#[test]
fn the_papers_crops_are_averaged_too() {
    let model = random_model(&Dialect::Bvlc.network(6), SIDE);
    let (width, height, data) = pictures().remove(0);
    let image = Rgb8::new(width, height, 3 * width, &data).expect("a picture");
    let mut ensemble = Ensemble::new(std::slice::from_ref(&model), Crops::Paper, Options::new()).expect("an ensemble");
    let expected: Vec<f32> = mean(&[(&model, 0)], Crops::Paper, image).iter().map(|&mean| mean as f32).collect();
    assert_eq!(ensemble.probabilities(image).expect("looked at"), expected);
}

/// The probabilities of a head are the softmax of its logits over all classes of its model. If the first class of one
/// model is a background, which the others do not have, it is left out of the head's, too.
#[test]
fn heads_that_are_asked_for_are_averaged_too() {
    let of = |classes: usize| Dialect::Torchvision.network_with_heads(classes);
    let (plain, mut with_background) = (of(6), of(7));
    with_background.background = true;
    let models = [(random_model(&with_background, SIDE), 1), (random_model(&plain, SIDE), 0)];
    let owned: Vec<Model> = models.iter().map(|(model, _)| model.clone()).collect();
    let options = Options::new().endpoint("loss2").endpoint("loss2").endpoint("pool5/7x7_s1");
    let mut ensemble = Ensemble::new(&owned, Crops::Ten, options).expect("an ensemble");
    let mut without = Ensemble::new(&owned, Crops::Ten, Options::new()).expect("an ensemble");
    assert_eq!(ensemble.head_probabilities("loss2"), Some(&[0.0; 6][..]));
    for (width, height, data) in pictures() {
        let image = Rgb8::new(width, height, 3 * width, &data).expect("a picture");
        let mut expected = [0.0; 6];
        for (model, skip) in &models {
            let mut session = model.session(Options::new().endpoint("loss2")).expect("a session");
            let cuts = Cuts::new(image, model.rule(), SIDE, Crops::Ten).expect("cut");
            for index in 0..cuts.len() {
                cuts.write(index, session.input_mut());
                session.run();
                let logits = &session.endpoint("loss2").expect("asked for")[*skip..];
                let exponential = |&logit: &f32| f64::from(logit).exp();
                let sum: f64 = logits.iter().map(exponential).sum();
                expected.iter_mut().zip(logits).for_each(|(mean, logit)| *mean += exponential(logit) / sum / 20.0);
            }
        }
        assert_eq!(ensemble.probabilities(image).expect("seen"), without.probabilities(image).expect("seen"));
        let found = ensemble.head_probabilities("loss2").expect("asked for");
        // The mean is rounded once to f32, and is at most 1; what f64 rounds on the way is far below that.
        for (found, expected) in found.iter().zip(&expected) {
            assert!((f64::from(*found) - expected).abs() <= f64::from(f32::EPSILON), "{found} {expected}");
        }
    }
    assert!(
        ["loss1", "pool5/7x7_s1", "loss3/classifier"].iter().all(|name| ensemble.head_probabilities(name).is_none())
    );
    assert!(without.head_probabilities("loss2").is_none());
    let refused = Ensemble::new(
        &[owned[1].clone(), random_model(&Dialect::Torchvision.network(6), SIDE)],
        Crops::Centre,
        Options::new().endpoint("loss2"),
    );
    assert!(matches!(refused.err(), Some(Error::Session(SessionError::UnknownLayer { layer })) if layer == "loss2"));
}

#[test]
fn one_crop_of_one_model_is_what_its_session_says() {
    let model = random_model(&Dialect::Bvlc.network(6), SIDE);
    let mut session = model.session(Options::new()).expect("a session");
    let mut ensemble = Ensemble::new(&[model], Crops::Centre, Options::new()).expect("an ensemble");
    for (width, height, data) in pictures() {
        let image = Rgb8::new(width, height, 3 * width, &data).expect("a picture");
        assert_eq!(ensemble.classify(image, 4).expect("classified"), session.classify(image, 4).expect("classified"));
    }
}

#[test]
fn models_of_other_classes_are_refused() {
    let models = [Dialect::Bvlc.network(6), Dialect::Bvlc.network(7), Dialect::TfSlim.network(8)]
        .map(|network| random_model(&network, SIDE));
    let refused = |models: &[Model]| Ensemble::new(models, Crops::Centre, Options::new()).err();
    assert!(matches!(refused(&models[..2]), Some(Error::Model(ModelError::ClassCounts { least: 6, other: 7 }))));
    assert!(matches!(refused(&models), Some(Error::Model(ModelError::ClassCounts { least: 6, .. }))));
    assert!(refused(&models[1..]).is_none());
    assert!(matches!(refused(&[]), Some(Error::Session(SessionError::OutOfRange { option: "number of models", .. }))));
}
