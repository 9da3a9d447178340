//! Reads any bytes as an index of pictures; and makes one of them, which must be read as what it was made of, and searched as
//! all its products say.

use std::collections::BTreeMap;

use googlenet::index::{Index, Writer, unit};

/// Reads `bytes`, and makes an index of them.
pub fn run(bytes: &[u8]) {
    if let Ok(index) = Index::from_vec(bytes.to_vec()) {
        walk(&index);
    }
    let Some((&[features, name_len], rest)) = bytes.split_first_chunk::<2>() else { return };
    let (features, name_len) = (usize::from(features % 40) + 1, usize::from(name_len % 9));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("index");
    let mut writer = Writer::create(&path, features).expect("begun");
    let mut pushed = Vec::new();
    for piece in rest.chunks_exact(4 * features + name_len) {
        let (row, name) = piece.split_at(4 * features);
        let row: Vec<f32> = row.as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value)).collect();
        let taken = writer.push(name, &row);
        assert_eq!(taken.is_ok(), unit(&row).is_some());
        if let Some(row) = unit(&row) {
            pushed.push((name, row));
        }
    }
    let metadata =
        BTreeMap::from([(String::from_utf8_lossy(&rest[..rest.len().min(30)]).into_owned(), "x".to_owned())]);
    writer.finish(&metadata, false).expect("written");
    let file = std::fs::read(&path).expect("read");
    // Another byte somewhere is another file, which is refused.
    let mut other = file.clone();
    let at = rest.iter().fold(0, |at, &byte| (at * 31 + usize::from(byte)) % file.len());
    other[at] ^= 1 << (rest.len() % 8);
    assert!(Index::from_vec(other).is_err(), "byte {at}");
    let index = Index::from_vec(file).expect("just written");
    assert_eq!((index.len(), index.metadata()), (pushed.len(), &metadata));
    for (at, (name, row)) in pushed.iter().enumerate() {
        assert!(index.name(at) == *name && index.row(at) == row);
    }
    walk(&index);
}

/// Looks for each of the first rows.
fn walk(index: &Index) {
    for row in 0..index.len().min(8) {
        let hits = index.search(index.row(row), 5, 1 + row % 2).expect("rows are finite");
        assert_eq!(hits.len(), index.len().min(5));
        assert!(hits.is_sorted_by(|a, b| a.similarity >= b.similarity));
        let query = unit(index.row(row)).expect("finite");
        let product = |other: usize| -> f64 {
            index.row(other).iter().zip(&query).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let least = hits.last().expect("there is one").similarity;
        let better = (0..index.len()).filter(|&other| product(other) > least + 1e-12).count();
        assert!(better < hits.len().max(1), "row {row}: {better} rows are better than the last of {hits:?}");
        let _ = index.name(row);
    }
    let groups = index.near_duplicates(0.9, 2, |_, _| true).expect("rows are finite").expect("nobody ended it");
    assert!(groups.iter().all(|group| group.len() > 1));
}
