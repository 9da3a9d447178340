//! Finds the pictures of a folder that are most like another:
//! `cargo run --release --example search -- WEIGHTS FOLDER IMAGE`
//!
//! The 1024 values before the classifier describe a picture; the angle between two such vectors says how alike two
//! pictures are, even if they show what is in none of the network's classes. An index holds them in a file, and searches
//! millions in a fraction of a second; `googlenet index` and `googlenet similar` do the same from the command line.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

use googlenet::index::{Index, Writer};
use googlenet::{Model, Options, Session, image};

/// The layer whose output describes a picture.
const EMBEDDING: &str = "pool5";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [weights, folder, query] = &arguments[..] else { return Err("usage: search WEIGHTS FOLDER IMAGE".into()) };
    let model = Model::open(weights)?;
    let mut session = model.session(Options::new().threads(2).endpoint(EMBEDDING))?;

    let file = env::temp_dir().join(format!("googlenet-search-{}.index", std::process::id()));
    let mut writer = Writer::create(&file, 1024)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match embed(&mut session, &path) {
            Ok(embedding) => writer.push(path.to_string_lossy().as_bytes(), &embedding)?,
            Err(error) => eprintln!("{}: {error}", path.display()),
        }
    }
    writer.finish(&BTreeMap::new(), false)?;
    let index = Index::open(&file)?;
    fs::remove_file(&file)?;

    let query = embed(&mut session, Path::new(query))?;
    for hit in index.search(&query, 10, 2)? {
        println!("{:.4}  {}", hit.similarity, String::from_utf8_lossy(index.name(hit.row)));
    }
    Ok(())
}

fn embed(session: &mut Session, path: &Path) -> Result<Vec<f32>, googlenet::Error> {
    session.classify(image::open(path)?.view(), 0)?;
    Ok(session.endpoint(EMBEDDING).expect("the session keeps it").to_vec())
}
