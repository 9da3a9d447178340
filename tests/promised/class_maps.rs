//! The real weights see a cat where it is.

use googlenet::Options;
use googlenet::image::{self, Rgb8};

const PHOTOGRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/chelsea.png");
/// The side of the picture that the cat is on.
const SIDE: usize = 600;

/// The photograph of the cat, of which the middle 300x300 pixels are the cat alone, lies in the corners, at the sides and in
/// the middle of a grey picture. What speaks for the likeliest cat has its centre of mass in those pixels, and its mean and
/// bias are the logit.
pub fn a_cat_is_seen_where_it_is() {
    let model = crate::real::model();
    let mut session = model.session(Options::new().threads(2).class_maps(true)).expect("a session");
    let cat = image::open(PHOTOGRAPH).expect("a picture");
    for (left, top) in (0..3).flat_map(|x| (0..3).map(move |y| (150 * x, 150 * y))) {
        let mut pixels = vec![120; 3 * SIDE * SIDE];
        for y in 0..300 {
            let row = &cat.view().row(y)[3 * 75..][..3 * 300];
            pixels[3 * ((top + y) * SIDE + left)..][..row.len()].copy_from_slice(row);
        }
        let picture = Rgb8::new(SIDE, SIDE, 3 * SIDE, &pixels).expect("a picture");
        // 281 to 285 are cats.
        let best = session.classify(picture, 10).expect("classified");
        let best = best.iter().find(|class| (281..=285).contains(&class.index)).expect("a cat among the ten likeliest");
        let map = session.class_map(0, best.index).expect("asked for");
        let logit = map.values.iter().map(|&value| f64::from(value)).sum::<f64>() / 49.0 + f64::from(map.bias);
        assert!((logit - f64::from(session.logits()[best.index])).abs() < 1e-4, "{logit}");
        let window = session.rule().window(SIDE, SIDE, session.side()).expect("a window");
        let [x, y] = map.centre_of_mass(&window).expect("it speaks for the cat");
        let inside = |at: f64, from: usize| (from as f64..from as f64 + 300.0).contains(&at);
        assert!(inside(x, left) && inside(y, top), "the cat is at {left}, {top}, and seen at {x:.0}, {y:.0}");
        println!("a cat at {}, {} is seen at {x:.0}, {y:.0}", left + 150, top + 150);
    }
}
