//! What the library says natively, on the portable set, for the tests of the browser's package to compare with:
//! `reference WEIGHTS PICTURE` prints, of a picture in PPM, the network's input, the logits and the likeliest label as JSON.

use googlenet::image::Rgb8;
use googlenet::{Model, Options, isa};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [weights, picture] = <[String; 2]>::try_from(arguments).map_err(|_| "expected WEIGHTS PICTURE")?;
    let portable = isa::detected().find(|isa| isa.name() == "portable").ok_or("this build has no portable set")?;
    let mut session = Model::open(weights)?.session(Options::new().isa(portable))?;
    let file = std::fs::read(picture)?;
    // "P6", the width, the height and the largest value, each and the pixels after one white space.
    let mut parts = file.splitn(5, |byte| byte.is_ascii_whitespace());
    let mut part = || parts.next().ok_or("no PPM");
    let number = |part: &[u8]| -> Result<usize, Box<dyn std::error::Error>> { Ok(std::str::from_utf8(part)?.parse()?) };
    if part()? != b"P6" {
        return Err("no PPM".into());
    }
    let (width, height) = (number(part()?)?, number(part()?)?);
    if number(part()?)? != 255 {
        return Err("no PPM of bytes".into());
    }
    let top = session.classify(Rgb8::new(width, height, 3 * width, part()?)?, 1)?;
    let input = session.input_mut().to_vec();
    println!("{}", json!({ "input": input, "logits": session.logits(), "label": top[0].label }));
    Ok(())
}
