//! Logits by their hashes: the same weights on the same instruction set have given these bits since they were recorded.
//!
//! `hashes.txt` has a line for each set, network and input side: `<set> <network> <side> <hash>`, the hash being
//! xxh3-64 of the bits of all outputs, little endian, image by image. In lower precisions the set is followed by the
//! precision and by the instructions that its machine has for it, as in `avx512/bf16/vdpbf16ps`, since what a machine
//! multiplies rounds otherwise than what it widens. Threads, batch and position in a batch are no part of a line, since they
//! change no bit.
//!
//! A network or an instruction that came after the last machine with some set has no line for that set: the test shows the
//! line that is missing, and fails only if the set has no line at all. Where bits are meant to change, and to add what is
//! missing, `GOOGLENET_RECORD=1 cargo test --test promised hashes -- --test-threads 1` writes the lines of this machine's sets
//! anew; the commit says why.

use std::collections::BTreeMap;
use std::path::PathBuf;

use googlenet::model::{Dialect, Network};
use googlenet::weights::{Dtype, NewTensor, Weights, encode};
use googlenet::{Isa, Model, Options, Precision};
use xxhash_rust::xxh3::Xxh3Default;

/// The number of images in the largest batch.
const IMAGES: usize = 4;

/// The same where instructions are emulated.
const EMULATED_IMAGES: usize = 2;

/// How a line of `hashes.txt` names a set. The portable set computes with the instructions that the build's target has,
/// so that its name says which target that is.
fn key(isa: Isa) -> String {
    let fused = if cfg!(target_feature = "fma") { "-fma" } else { "" };
    match isa {
        Isa::Portable => format!("portable-{}{fused}", std::env::consts::ARCH),
        isa => isa.name().to_owned(),
    }
}

/// The element `i` of an image: a whole number of -128 to 127, which no function of a library is needed for.
fn pixel(image: usize, i: usize) -> f32 {
    let mixed = ((i + 1) as u32).wrapping_mul(2_654_435_761).wrapping_add(image as u32 * 40_503);
    f32::from((mixed >> 24) as u8) - 128.0
}

/// How lines name what sessions of `options` compute with, in a lower precision.
fn narrow_key(isa: Isa, precision: Precision, model: &Model, options: Options) -> String {
    let session = model.session(options).expect("fits");
    let mut instructions: Vec<String> =
        session.describe().iter().filter_map(|step| step.instruction.map(str::to_owned)).collect();
    instructions.sort();
    instructions.dedup();
    let instructions = if instructions.is_empty() { "none".to_owned() } else { instructions.join("+") };
    format!("{}/{precision}/{instructions}", key(isa))
}

/// The model with scales for every convolution, which follow from its weights by arithmetic that rounds nowhere but in f32;
/// all outputs share one.
fn quantised(model: &Model) -> Model {
    if model.weights().metadata().contains_key("int8") {
        return model.clone();
    }
    let mut metadata = model.weights().metadata().clone();
    metadata.insert("int8".to_owned(), "1".to_owned());
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for tensor in model.weights().tensors() {
        let (shape, values) = (tensor.shape().to_vec(), tensor.to_f32().into_owned());
        if let Some(layer) = tensor.name().strip_suffix(".weight").filter(|_| shape.len() == 4) {
            // At most 63 in size, any two weights are safe side by side.
            let largest = |row: &[f32]| row.iter().fold(1e-3_f32, |most, w| most.max(w.abs())) / 63.0;
            let scales = values.chunks_exact(values.len() / shape[0]).map(largest).collect();
            tensors.push((format!("{layer}.weight_scale"), vec![shape[0]], scales));
            tensors.push((format!("{layer}.output_scale"), vec![1], vec![2.0]));
        }
        if let Some(layer) = tensor.name().strip_suffix(".bias") {
            let weight = model.weights().tensor(&format!("{layer}.weight")).expect("beside its bias");
            if weight.shape().len() == 4 {
                tensors.push((format!("{layer}.int8_bias"), shape.clone(), values.clone()));
            }
        }
        tensors.push((tensor.name().to_owned(), shape, values));
    }
    let tensors: Vec<NewTensor<'_>> = tensors
        .iter()
        .map(|(name, shape, values)| NewTensor { name, shape, dtype: Dtype::F32, values: values.into() })
        .collect();
    let file = encode(&metadata, &tensors).expect("a file");
    Model::with_network(Weights::from_vec(file).expect("just written"), model.network().clone()).expect("complete")
}

/// The hashes of the outputs for each image of a batch, in order.
fn hashes(model: &Model, options: Options, heads: &[&str]) -> Vec<u64> {
    let mut session = model.session(heads.iter().fold(options, |options, &head| options.endpoint(head))).expect("fits");
    let len = 3 * session.side().pow(2);
    for (image, input) in session.input_mut().chunks_exact_mut(len).enumerate() {
        input.iter_mut().enumerate().for_each(|(i, x)| *x = pixel(image, i));
    }
    session.run();
    let outputs: Vec<&[f32]> =
        [session.logits()].into_iter().chain(heads.iter().map(|head| session.endpoint(head).expect("kept"))).collect();
    let image = |image: usize| {
        let mut hasher = Xxh3Default::new();
        for output in &outputs {
            let len = output.len() / session.batch();
            output[image * len..][..len].iter().for_each(|value| hasher.update(&value.to_bits().to_le_bytes()));
        }
        hasher.digest()
    };
    (0..session.batch()).map(image).collect()
}

/// A network that has lines.
struct Subject {
    name: String,
    /// Makes its weights, which takes a while.
    model: Box<dyn Fn() -> Model>,
    /// The sides at which it is run.
    sides: Vec<usize>,
    /// The heads that run with it.
    heads: Vec<&'static str>,
}

/// Every network that has lines.
fn subjects() -> Vec<Subject> {
    let demonstration = include_bytes!("../../weights/demo.safetensors");
    let demonstration = || Model::from_static(demonstration).expect("the demonstration weights");
    let mut subjects = vec![Subject {
        name: DEMONSTRATION.to_owned(),
        model: Box::new(demonstration),
        sides: vec![64, 224],
        heads: vec![],
    }];
    let mut add = |name: String, network: Network, side: usize, sides: Vec<usize>, heads: &[&'static str]| {
        let model = Box::new(move || crate::random::random_model(&network, side));
        subjects.push(Subject { name, model, sides, heads: heads.to_vec() });
    };
    for dialect in Dialect::GOOGLENET {
        add(dialect.name().to_owned(), dialect.network(10), 64, vec![64, 224], &[]);
    }
    // At these sides the last map has a pixel or few, which leaves the fully connected layers small; the naive network is
    // large at any side.
    let krizhevskys = [Dialect::Krizhevsky, Dialect::BvlcAlexnet, Dialect::Caffenet];
    let towers = krizhevskys.into_iter().chain([Dialect::ZeilerFergus, Dialect::Zfnet512]);
    for (dialect, side) in towers.map(|dialect| (dialect, 96)).chain([(Dialect::Naive, 32)]) {
        add(dialect.name().to_owned(), Network { side, ..dialect.network(10) }, side, vec![side], &[]);
    }
    for (dialect, side) in [(Dialect::Bvlc, 192), (Dialect::Torchvision, 96)] {
        let heads = ["loss1", "loss2"];
        let network = dialect.network_with_heads(7).keep_heads(&heads);
        add(format!("{dialect}-heads"), network, 64, vec![side], &heads);
    }
    subjects
}

/// The network whose weights are in the library: the one that is run in lower precisions where instructions are emulated.
const DEMONSTRATION: &str = "demonstration";

/// Networks that are left out where instructions are emulated, as others have layers of their kinds, if in another order or with
/// other constants. To make the weights of some takes half a minute there.
const ALIKE: [Dialect; 5] = [
    Dialect::Bvlc,        // the demonstration's
    Dialect::Torchvision, // with heads it stays
    Dialect::BvlcAlexnet,
    Dialect::Caffenet,
    Dialect::Zfnet512,
];

/// The recorded hash of each line, and what differs from them.
struct Lines {
    recorded: BTreeMap<String, String>,
    changed: Vec<String>,
    missing: Vec<String>,
}

impl Lines {
    fn read(text: &str) -> Self {
        let recorded = text.lines().filter_map(|line| line.rsplit_once(' '));
        let recorded = recorded.map(|(line, hash)| (line.into(), hash.into())).collect();
        Self { recorded, changed: Vec::new(), missing: Vec::new() }
    }

    /// Whether any line is of what `key` names.
    fn has(&self, key: &str) -> bool {
        self.recorded.keys().any(|line| line.starts_with(&format!("{key} ")))
    }

    /// Compares a line's hash with the recorded one, and puts it in its place.
    fn compare(&mut self, line: String, hash: u64) {
        let hash = format!("{hash:016x}");
        match self.recorded.get(&line) {
            Some(recorded) if *recorded == hash => return,
            Some(_) => self.changed.push(format!("{line} {hash}")),
            None => self.missing.push(format!("{line} {hash}")),
        }
        self.recorded.insert(line, hash);
    }
}

pub fn are_those_recorded(isa: Isa) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/promised/hashes.txt");
    let text = std::fs::read_to_string(&path).expect("the recorded hashes");
    let mut lines = Lines::read(&text);
    let record = std::env::var_os("GOOGLENET_RECORD").is_some();
    // Where every instruction is emulated, as whoever starts the test says, a run takes half a minute at 224: such lines
    // are written, with one image, but not compared, nor are those of `ALIKE`, and fewer numbers of threads are tried.
    let emulated = std::env::var_os("GOOGLENET_EMULATED").is_some();
    let images = if emulated { EMULATED_IMAGES } else { IMAGES };
    assert!(record || lines.has(&key(isa)), "nobody has recorded {} yet", key(isa));
    for Subject { name, model, sides, heads } in subjects() {
        let is_alike = ALIKE.iter().any(|dialect| dialect.name() == name);
        let sides: Vec<usize> =
            sides.into_iter().filter(|&side| record || !emulated || side <= 100 && !is_alike).collect();
        if sides.is_empty() {
            continue;
        }
        let model = model();
        for side in sides {
            let options = || Options::new().isa(isa).side(side);
            let batch = if emulated && side > 100 { 1 } else { images };
            let alone = hashes(&model, options().batch(batch), &heads);
            // The portable set takes the most of this test's time; `tests/network/bits.rs` tries all of these on every set.
            let threads: &[usize] = if emulated || isa == Isa::Portable { &[3] } else { &[1, 2, 3, 8] };
            for (&threads, batch) in threads.iter().flat_map(|threads| [(threads, 1), (threads, batch)]) {
                let found = hashes(&model, options().threads(threads).batch(batch), &heads);
                assert_eq!(found, alone[..batch], "{isa}, {name} at {side}: {threads} threads, batch {batch}");
            }
            // The recorded hash is the first image's, which is in every batch.
            lines.compare(format!("{} {name} {side}", key(isa)), alone[0]);
        }
    }
    for precision in [Precision::Bf16, Precision::Int8] {
        for Subject { name, model, sides, heads } in subjects() {
            if emulated && !record && name != DEMONSTRATION {
                continue;
            }
            // Larger maps have been compared in f32, and kernels know nothing of sides.
            let side = *sides.iter().min().expect("one or two");
            let model = if precision == Precision::Int8 { quantised(&model()) } else { model() };
            let options = || Options::new().isa(isa).side(side).precision(precision);
            let key = narrow_key(isa, precision, &model, options());
            let alone = hashes(&model, options().batch(images), &heads);
            for threads in [2, 3] {
                let found = hashes(&model, options().threads(threads), &heads);
                assert_eq!(found, alone[..1], "{isa} in {precision}, {name} at {side}: {threads} threads");
            }
            lines.compare(format!("{key} {name} {side}"), alone[0]);
        }
    }
    if record {
        let lines: Vec<String> = lines.recorded.iter().map(|(line, hash)| format!("{line} {hash}\n")).collect();
        std::fs::write(&path, lines.concat()).expect("written");
    } else {
        lines.missing.iter().for_each(|line| println!("nobody has recorded this line yet: {line}"));
        assert!(lines.changed.is_empty(), "other bits than were recorded:\n{}", lines.changed.join("\n"));
    }
}
