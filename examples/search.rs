//! Finds the pictures of a folder that are most like another:
//! `cargo run --release --example search -- WEIGHTS FOLDER IMAGE`
//!
//! The 1024 values before the classifier describe a picture; the angle between two such vectors says how alike two
//! pictures are, even if they show what is in none of the network's classes.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

use googlenet::{Model, Options, Session, image};

/// The layer whose output describes a picture.
const EMBEDDING: &str = "pool5";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [weights, folder, query] = &arguments[..] else { return Err("usage: search WEIGHTS FOLDER IMAGE".into()) };
    let model = Model::open(weights)?;
    let mut session = model.session(Options::new().endpoint(EMBEDDING))?;
    let query = embed(&mut session, Path::new(query))?;

    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match embed(&mut session, &path) {
            Ok(embedding) => found.push((cosine(&query, &embedding), path)),
            Err(error) => eprintln!("{}: {error}", path.display()),
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (similarity, path) in found.iter().take(10) {
        println!("{similarity:.4}  {}", path.display());
    }
    Ok(())
}

fn embed(session: &mut Session, path: &Path) -> Result<Vec<f32>, googlenet::Error> {
    session.classify(image::open(path)?.view(), 0)?;
    Ok(session.endpoint(EMBEDDING).expect("the session keeps it").to_vec())
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
