//! A program that needs no file, because the weights are linked in: `cargo run --release --example static_weights`

use std::error::Error;

use googlenet::image::Rgb8;
use googlenet::{Model, Options, include_weights};

static WEIGHTS: &[u8] = include_weights!("../weights/demo.safetensors");

fn main() -> Result<(), Box<dyn Error>> {
    let model = Model::from_static(WEIGHTS)?;
    let mut session = model.session(Options::new())?;
    // A picture as a camera gives it: 64 x 48 RGB pixels, each row padded to 256 bytes.
    let (width, height, stride) = (64, 48, 256);
    let pixels: Vec<u8> = (0..height * stride).map(|i| (i * 7 % 251) as u8).collect();
    for best in session.classify(Rgb8::new(width, height, stride, &pixels)?, 3)? {
        println!("{:6.2} %  {}", 100.0 * best.probability, best.label);
    }
    Ok(())
}
