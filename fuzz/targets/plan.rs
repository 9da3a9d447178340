//! Any small network, at any side, batch, number of threads and precision. What is planned for it runs, and gives the same
//! bits however it is planned: alone or with others in a batch, on one thread or several, with every layer's output kept or
//! none, which gives each buffer of the arena another lifetime and another place.
//!
//! Making a schedule already checks that no two tasks which may run at once are in each other's way, and that offsets lie
//! within the arena.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use googlenet::model::{
    AveragePool, AverageWindows, Conv, Dialect, FullyConnected, Inception, Layer, Lrn, MaxPool, Network, Padding,
    Roles, Rounding,
};
use googlenet::weights::{Dtype, NewTensor, Weights, encode};
use googlenet::{Model, Options, Precision, isa};

use super::convolution::random;

/// Plans and runs the network that `bytes` make.
pub fn run(bytes: &[u8]) {
    // With too few bytes there are fewer layers.
    let _ = planned(&mut Unstructured::new(bytes));
}

fn planned(choices: &mut Unstructured<'_>) -> Result<()> {
    let (threads, batch) = (choices.int_in_range(1..=4)?, choices.int_in_range(1..=3)?);
    let precision = *choices.choose(&Precision::ALL)?;
    let side = choices.int_in_range(32..=40)?;
    let seed = choices.arbitrary()?;
    let network = network(choices, side)?;
    let model = model(&network, side, seed);
    let names: Vec<String> = network.graph(side).nodes.iter().map(|node| node.layer().to_owned()).collect();
    for isa in isa::detected() {
        let options = || Options::new().isa(isa).precision(precision);
        let mut plain = model.session(options()).expect("a session");
        let all = names.iter().fold(options().threads(threads).batch(batch), |options, name| options.endpoint(name));
        let mut all = model.session(all).expect("a session");
        let mut next = random(seed ^ 0xABCD);
        all.input_mut().iter_mut().for_each(|value| *value = (next() % 256) as f32 - 128.0);
        all.run();
        let image = plain.input_mut().len();
        for index in 0..batch {
            let input = &all.input_mut()[index * image..][..image];
            plain.input_mut().copy_from_slice(input);
            plain.run();
            let expected = plain.logits();
            let found = &all.logits()[index * expected.len()..][..expected.len()];
            let same = found.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{isa} {precision} {threads} {batch}: {found:?} for {expected:?} in {network:?}");
        }
        for name in &names {
            let values = all.endpoint(name).expect("it was asked for");
            assert!(values.iter().all(|value| value.is_finite()), "{isa} {precision}: {name} of {network:?}");
        }
    }
    Ok(())
}

/// A network of some layers, whose maps have `side` pixels a side at first.
fn network(choices: &mut Unstructured<'_>, side: usize) -> Result<Network> {
    let mut map = Map { channels: 3, side };
    let mut layers = Vec::new();
    for index in 0..choices.int_in_range(1..=6)? {
        let name = format!("l{index}");
        layers.push(match choices.int_in_range(0..=9)? {
            0..=3 => conv(choices, &mut map, name)?,
            4 => max_pool(choices, &mut map, name)?,
            5 => {
                let size = 2 * choices.int_in_range(0..=3)? + 1;
                let name = ["n0", "n1", "n2", "n3", "n4", "n5"][index];
                Layer::Lrn(Lrn { name, size, alpha: 1e-2, beta: 0.75, k: *choices.choose(&[1.0, 2.0])? })
            }
            6 if map.side > 3 => {
                let windows = match choices.arbitrary()? {
                    true => AverageWindows::Sliding { kernel: choices.int_in_range(1..=3)?, stride: 2 },
                    false => AverageWindows::Adaptive(choices.int_in_range(1..=3)?),
                };
                let pool = AveragePool { name, windows };
                map.side = pool.output_side(map.side);
                Layer::AveragePool(pool)
            }
            _ => inception(choices, &mut map, name)?,
        });
    }
    let fully = |name: &str, hidden| Layer::FullyConnected(FullyConnected { name: name.into(), hidden });
    if choices.arbitrary()? {
        layers.push(Layer::GlobalAverage { name: "average" });
    }
    if choices.ratio(1, 3)? {
        layers.push(fully("hidden", Some(choices.int_in_range(1..=40)?)));
    }
    layers.push(fully("classifier", None));
    layers.push(Layer::Softmax { name: "probabilities" });
    Ok(Network {
        name: "fuzzed",
        dialect: Dialect::Bvlc,
        channels: 3,
        classes: choices.int_in_range(1..=12)?,
        side,
        layers,
        heads: Vec::new(),
        roles: Roles { logits: "classifier".into(), probabilities: "probabilities".into(), features: None },
        background: false,
    })
}

/// The activation that the next layer reads.
#[derive(Clone, Copy)]
struct Map {
    channels: usize,
    side: usize,
}

fn conv(choices: &mut Unstructured<'_>, map: &mut Map, name: String) -> Result<Layer> {
    let groups = if map.channels.is_multiple_of(2) && choices.ratio(1, 3)? { 2 } else { 1 };
    let (oc, stride) = (groups * choices.int_in_range(1..=20)?, choices.int_in_range(1..=4)?);
    let kernel = choices.int_in_range(1..=map.side.min(7))?;
    let padding =
        if choices.ratio(1, 3)? { Padding::Same } else { Padding::Around(choices.int_in_range(0..=kernel / 2)?) };
    let conv = Conv { name, oc, groups, kernel, stride, padding };
    *map = Map { channels: oc, side: conv.output_side(map.side) };
    Ok(Layer::Conv(conv))
}

fn max_pool(choices: &mut Unstructured<'_>, map: &mut Map, name: String) -> Result<Layer> {
    let (kernel, stride) = (choices.int_in_range(2..=3)?, choices.int_in_range(1..=2)?);
    let padding = if choices.arbitrary()? { Padding::Same } else { Padding::Around(choices.int_in_range(0..=1)?) };
    let rounding = if choices.arbitrary()? { Rounding::Ceil } else { Rounding::Floor };
    let pool = MaxPool { name, kernel, stride, padding, rounding };
    map.side = pool.output_side(map.side);
    Ok(Layer::MaxPool(pool))
}

/// Branches whose maps have the size of the input's.
fn inception(choices: &mut Unstructured<'_>, map: &mut Map, name: String) -> Result<Layer> {
    let mut channels = 0;
    let mut branches = Vec::new();
    for branch in 0..choices.int_in_range(1..=4)? {
        let mut own = map.channels;
        let mut layers = Vec::new();
        for layer in 0..choices.int_in_range(1..=2)? {
            let name = format!("{name}/{branch}{layer}");
            layers.push(if choices.ratio(1, 4)? {
                let (padding, rounding) = (Padding::Around(1), Rounding::Ceil);
                Layer::MaxPool(MaxPool { name, kernel: 3, stride: 1, padding, rounding })
            } else {
                let (oc, kernel) = (choices.int_in_range(1..=20)?, *choices.choose(&[1, 1, 3, 5])?);
                own = oc;
                let padding = Padding::Around(kernel / 2);
                Layer::Conv(Conv { name, oc, groups: 1, kernel, stride: 1, padding })
            });
        }
        channels += own;
        branches.push(layers);
    }
    map.channels = channels;
    Ok(Layer::Inception(Inception { name, branches }))
}

/// Random weights, with scales for every convolution, of which all outputs share one.
pub(super) fn model(network: &Network, side: usize, seed: u64) -> Model {
    let mut next = random(seed);
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for (name, shape) in network.parameters() {
        let fan_in: usize = shape[1..].iter().product();
        let scale = if shape.len() == 1 { 0.1 } else { (3.0 / fan_in as f32).sqrt() };
        let values: Vec<f32> =
            (0..shape[0] * fan_in).map(|_| ((next() >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale).collect();
        // Fully connected layers are not quantised.
        if let Some(layer) = name.strip_suffix(".weight").filter(|_| shape.len() == 4) {
            tensors.push((format!("{layer}.weight_scale"), vec![shape[0]], vec![scale / 63.0; shape[0]]));
            tensors.push((format!("{layer}.int8_bias"), vec![shape[0]], vec![0.01; shape[0]]));
            tensors.push((format!("{layer}.output_scale"), vec![1], vec![0.5]));
        }
        tensors.push((name, shape, values));
    }
    let side = side.to_string();
    let pairs = [
        ("dialect", "bvlc"),
        ("input_side", &side),
        ("channels", "rgb"),
        ("mean", "0,0,0"),
        ("std", "1,1,1"),
        ("resize", &side),
        ("int8", "1"),
    ];
    let metadata: BTreeMap<_, _> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let tensors: Vec<NewTensor<'_>> = tensors
        .iter()
        .map(|(name, shape, values)| NewTensor { name, shape, dtype: Dtype::F32, values: values.into() })
        .collect();
    let file = encode(&metadata, &tensors).expect("a file");
    Model::with_network(Weights::from_vec(file).expect("just written"), network.clone()).expect("complete")
}
