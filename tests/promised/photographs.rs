//! The real weights recognise 100 photographs as accurately as they are known to.

use std::path::{Path, PathBuf};

use googlenet::image::{self, Crops};
use googlenet::{Ensemble, Model, Options};

/// The photographs in `folder` and their classes.
pub fn photographs(folder: &Path) -> Vec<(PathBuf, usize)> {
    let synsets = std::fs::read_to_string(folder.join("synset_words.txt")).expect("labels");
    let synsets: Vec<&str> = synsets.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let photograph = |path: PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let class = synsets.iter().position(|&synset| name.starts_with(synset)).expect("a known class");
        (path, class)
    };
    let entries = std::fs::read_dir(folder.join("images")).expect("images");
    entries.map(|entry| photograph(entry.expect("an entry").path())).collect()
}

/// The number of photographs whose class is the likeliest, and the number whose class is among the five likeliest.
fn counts(crops: Crops, photographs: &[(PathBuf, usize)], model: Model) -> (usize, usize) {
    let mut ensemble = Ensemble::new(&[model], crops, Options::new().threads(2)).expect("an ensemble");
    let (mut first, mut fifth) = (0, 0);
    for (path, class) in photographs {
        let picture = image::open(path).expect("a picture");
        let top: Vec<usize> =
            ensemble.classify(picture.view(), 5).expect("classified").iter().map(|p| p.index).collect();
        first += usize::from(top[0] == *class);
        fifth += usize::from(top.contains(class));
    }
    println!("{} photographs, {} crops: top-1 {first}, top-5 {fifth}", photographs.len(), crops.count());
    (first, fifth)
}

pub fn a_hundred_photographs_are_recognised_as_often_as_they_should() {
    let (photographs, model) = (photographs(&crate::real::folder()), crate::real::model());
    assert_eq!(photographs.len(), 100);
    // ONNX Runtime on Pillow's pixels gives 77 and 96; another JPEG decoder may move one picture.
    let (first, fifth) = counts(Crops::Centre, &photographs, model.clone());
    assert!(first.abs_diff(77) <= 1 && fifth.abs_diff(96) <= 1, "top-1 {first}, top-5 {fifth}");
    // The mean over more crops is right more often.
    let (first, fifth) = counts(Crops::Ten, &photographs, model);
    assert!(first.abs_diff(83) <= 1 && fifth.abs_diff(96) <= 1, "10 crops: top-1 {first}, top-5 {fifth}");
}
