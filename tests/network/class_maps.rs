//! Class maps are compared with the logits whose parts they are.

use googlenet::error::SessionError;
use googlenet::{Error, Options, model};

/// A map's mean and bias add up to the logit, but for the order of sums. The sums of 1024 products `w * x`, the mean
/// over the pixels, and the logit's own such sums are each off by at most `n * EPSILON` of the sum of magnitudes.
#[test]
fn a_maps_mean_and_bias_are_the_logit() {
    for side in [64, 224] {
        let model = crate::random::random_model(&model::googlenet(10), side);
        let endpoint = "inception_5b";
        let options = Options::new().batch(2).class_maps(true).endpoint(endpoint);
        let mut session = model.session(options).expect("a session");
        session.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * 0.731).sin() * 100.0);
        session.run();
        let weights = model.weights().tensor("loss3/classifier.weight").expect("the classifier's").to_f32();
        let [c, h, w] = session.endpoint_shape(endpoint).expect("kept");
        for (image, class) in (0..2).flat_map(|image| (0..10).map(move |class| (image, class))) {
            let map = session.class_map(image, class).expect("asked for");
            assert_eq!((map.shape, map.values.len()), ([h, w], h * w));
            let sum: f64 = map.values.iter().map(|&value| f64::from(value)).sum();
            let logit = sum / (h * w) as f64 + f64::from(map.bias);
            let x = &session.endpoint(endpoint).expect("kept")[image * c * h * w..][..c * h * w];
            let magnitude = |(x, &w): (&[f32], &f32)| x.iter().map(|x| f64::from((x * w).abs())).sum::<f64>();
            let magnitudes: f64 = x.chunks_exact(h * w).zip(&weights[class * c..]).map(magnitude).sum();
            let terms = (2 * (c + h * w)) as f64;
            let bound = terms * f64::from(f32::EPSILON) * (magnitudes / (h * w) as f64 + f64::from(map.bias.abs()));
            let error = (logit - f64::from(session.logits()[image * 10 + class])).abs();
            assert!(error <= bound, "side {side}, image {image}, class {class}: {error:e} of {bound:e}");
        }
        let other = session.class_map(1, 9).expect("asked for");
        assert_ne!(other.values, session.class_map(0, 9).expect("asked for").values);
        assert!(matches!(
            session.class_map(2, 0),
            Err(Error::Session(SessionError::OutOfRange { option: "image", value: 2, most: 1, .. }))
        ));
        assert!(matches!(
            session.class_map(0, 10),
            Err(Error::Session(SessionError::OutOfRange { option: "class", most: 9, .. }))
        ));
    }
}

#[test]
fn a_session_without_maps_says_so_and_keeps_no_more() {
    let model = crate::random::random_model(&model::googlenet(10), 64);
    let session = |maps| model.session(Options::new().class_maps(maps)).expect("a session");
    assert!(matches!(session(false).class_map(0, 0), Err(Error::Session(SessionError::NoClassMaps))));
    assert_eq!(session(false).class_map_shape(), None);
    assert!(session(false).memory_bytes() < session(true).memory_bytes());
    assert_eq!(session(true).endpoint(""), None);
}
