//! 100 photographs through the real weights: the accuracy that they are known for.

use googlenet::{Options, image};

#[test]
fn a_hundred_photographs_are_recognised_as_often_as_they_should() {
    let (Some(folder), Some(model)) = (crate::real::real_folder(), crate::real::real_model()) else { return };
    let synsets = std::fs::read_to_string(folder.join("synset_words.txt")).expect("labels");
    let synsets: Vec<&str> = synsets.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let mut session = model.session(Options::new().threads(2)).expect("a session");
    let (mut first, mut fifth, mut count) = (0, 0, 0);
    for entry in std::fs::read_dir(folder.join("images")).expect("images") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let class = synsets.iter().position(|&synset| name.starts_with(synset)).expect("a known class");
        let picture = image::open(&path).expect("a picture");
        let top: Vec<usize> =
            session.classify(picture.view(), 5).expect("classified").iter().map(|p| p.index).collect();
        first += usize::from(top[0] == class);
        fifth += usize::from(top.contains(&class));
        count += 1;
    }
    println!("{count} photographs: top-1 {first}, top-5 {fifth}");
    assert_eq!(count, 100);
    // ONNX Runtime on Pillow's pixels gives 77 and 96; another JPEG decoder may move one picture.
    assert!(first.abs_diff(77) <= 1 && fifth.abs_diff(96) <= 1, "top-1 {first}, top-5 {fifth}");
}
