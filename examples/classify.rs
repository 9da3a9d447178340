//! Says what is on pictures: `cargo run --release --example classify -- WEIGHTS IMAGE...`

use std::env;
use std::error::Error;

use googlenet::{Model, Options, image};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let weights = arguments.next().ok_or("usage: classify WEIGHTS IMAGE...")?;
    let model = Model::open(weights)?;
    let mut session = model.session(Options::new())?;
    for path in arguments {
        let picture = image::open(&path)?;
        println!("{path}");
        for best in session.classify(picture.view(), 5)? {
            println!("  {:6.2} %  {}", 100.0 * best.probability, best.label);
        }
    }
    Ok(())
}
