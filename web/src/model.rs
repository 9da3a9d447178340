//! Models: a weight file of this project, or of another program, and what is told about its network.

use std::borrow::Cow;
use std::collections::BTreeMap;

use googlenet::Model;
use googlenet::image::{Geometry, Preset, Rule};
use googlenet::import::{Imported, import_bytes};
use googlenet::model::{Cost, Graph, Input, Layer, Network, cost, depth};
use googlenet::weights::{Dtype, NewTensor, Strictness, Weights, encode, parse};
use serde::{Deserialize, Serialize};

use crate::{BORDER, Failure, Reply, answer, drop_in, get, json, keep, options};

/// How a file is opened; of a file of this project, which says all of that, nothing is to be set.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    /// The names of the classes.
    labels: Option<Vec<String>>,
    /// The preprocessing, as `googlenet convert --preset` takes it; by default the one of the network's authors.
    preset: Option<String>,
}

/// Makes a model of the file in the inbox, whose last `options_length` bytes are an [`Opening`] in JSON. Returns the
/// model; the reply is empty.
#[unsafe(no_mangle)]
pub extern "C" fn model_open(options_length: usize) -> u32 {
    answer(|border, mut bytes| {
        let length = bytes.len().checked_sub(options_length).ok_or("the options are longer than the inbox")?;
        let opening: Opening = options(&bytes[length..])?;
        bytes.truncate(length);
        let model = open(bytes, opening)?;
        Ok((keep(&mut border.models, model), Reply::default()))
    })
}

/// Forgets a model; its sessions stay.
#[unsafe(no_mangle)]
pub extern "C" fn model_close(model: u32) {
    BORDER.with_borrow_mut(|border| drop_in(&mut border.models, model));
}

/// The reply describes a model and its network as JSON: a [`Described`].
#[unsafe(no_mangle)]
pub extern "C" fn model_describe(model: u32) -> u32 {
    answer(|border, _| Ok((1, json(&Described::of(get(&mut border.models, model, "model")?))?)))
}

fn open(bytes: Vec<u8>, opening: Opening) -> Result<Model, Failure> {
    let says_all = parse(&bytes, Strictness::Plain).is_ok_and(|header| header.metadata.contains_key("dialect"));
    if says_all {
        if opening.labels.is_some() || opening.preset.is_some() {
            return Err("this weight file has its own labels and preprocessing".into());
        }
        return Ok(Model::new(Weights::from_vec(bytes)?)?);
    }
    let imported = import_bytes(&bytes, None)?;
    drop(bytes);
    let metadata = metadata(&imported, opening)?;
    let tensors = imported.tensors.iter().map(|tensor| NewTensor {
        name: &tensor.name,
        shape: &tensor.shape,
        dtype: Dtype::F32,
        values: Cow::Borrowed(&tensor.values),
    });
    let file = encode(&metadata, &tensors.collect::<Vec<_>>())?;
    drop(imported);
    Ok(Model::new(Weights::from_vec(file)?)?)
}

/// What `googlenet convert` without options writes of an imported file, but for the preset and the labels.
fn metadata(imported: &Imported, opening: Opening) -> Result<BTreeMap<String, String>, Failure> {
    let preset = match opening.preset {
        Some(name) => Preset::from_name(&name).ok_or_else(|| {
            let known: Vec<_> = Preset::ALL.iter().map(|preset| preset.name()).collect();
            Failure(format!("preset {name:?}: expected one of {}", known.join(", ")))
        })?,
        None => Preset::of(imported.dialect),
    };
    let side = imported.dialect.network(1).side;
    let Rule { geometry, channels, mean, std, resize } = preset.rule(side);
    let input = imported.input.unwrap_or(Input { channels, mean, std });
    let list = |values: [f32; 3]| values.map(|value| value.to_string()).join(",");
    let mut metadata = BTreeMap::from([
        ("dialect".to_owned(), imported.dialect.name().to_owned()),
        ("input_side".to_owned(), side.to_string()),
        ("channels".to_owned(), input.channels.name().to_owned()),
        ("mean".to_owned(), list(input.mean)),
        ("std".to_owned(), list(input.std)),
        ("resize".to_owned(), resize.to_string()),
    ]);
    if geometry != Geometry::ShortSide {
        metadata.insert("geometry".to_owned(), geometry.name().to_owned());
    }
    if let Some(labels) = opening.labels {
        metadata.insert("labels".to_owned(), serde_json::to_string(&labels)?);
    }
    Ok(metadata)
}

/// What is told about a model.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Described<'a> {
    network: &'static str,
    dialect: &'static str,
    classes: usize,
    labels: &'a [String],
    /// The side of the input, in pixels.
    side: usize,
    /// To how many pixels a picture's side is resized, of which the input is the middle, and by which rule.
    resize: usize,
    geometry: &'static str,
    /// Layers with weights on the longest way from the input to the logits.
    depth: usize,
    parameters: u64,
    multiply_adds: u64,
    /// The trunk's layers, in order.
    layers: Vec<DescribedLayer>,
}

/// A layer, or a module of branches of layers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribedLayer {
    /// The name by which a session keeps its output.
    name: String,
    kind: &'static str,
    /// The side of the window, of what has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<usize>,
    /// The output's channels, rows and columns.
    shape: [usize; 3],
    parameters: u64,
    multiply_adds: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    branches: Vec<Vec<DescribedLayer>>,
}

impl<'a> Described<'a> {
    fn of(model: &'a Model) -> Self {
        let network: &Network = model.network();
        let graph = network.graph(model.side());
        let costs = cost(&graph);
        let layers = network.layers.iter().map(|layer| DescribedLayer::of(layer, &graph, &costs)).collect();
        Self {
            network: network.name,
            dialect: network.dialect.name(),
            classes: network.classes,
            labels: model.labels(),
            side: model.side(),
            resize: model.rule().resize,
            geometry: model.rule().geometry.name(),
            depth: depth(&graph),
            parameters: costs.iter().map(|cost| cost.parameters).sum(),
            multiply_adds: costs.iter().map(|cost| cost.multiply_adds).sum(),
            layers,
        }
    }
}

impl DescribedLayer {
    fn of(layer: &Layer, graph: &Graph, costs: &[Cost]) -> Self {
        let (kind, kernel, branches) = match layer {
            Layer::Conv(conv) => ("conv", Some(conv.kernel), &[][..]),
            Layer::MaxPool(pool) => ("max-pool", Some(pool.kernel), &[][..]),
            Layer::Lrn(_) => ("lrn", None, &[][..]),
            Layer::Inception(module) => ("inception", None, &module.branches[..]),
            Layer::AveragePool(_) => ("average-pool", None, &[][..]),
            Layer::GlobalAverage { .. } => ("global-average", None, &[][..]),
            Layer::FullyConnected(_) => ("fully-connected", None, &[][..]),
            Layer::Softmax { .. } => ("softmax", None, &[][..]),
        };
        let branches: Vec<Vec<Self>> =
            branches.iter().map(|branch| branch.iter().map(|layer| Self::of(layer, graph, costs)).collect()).collect();
        let name = layer.name();
        // A layer with groups is several nodes.
        let own = || graph.nodes.iter().zip(costs).filter(|(node, _)| node.layer() == name).map(|(_, cost)| cost);
        let inner = || branches.iter().flatten();
        let place = graph.find(name).or_else(|| graph.find(&format!("{name}/output")));
        Self {
            kind,
            kernel,
            shape: graph.shape(place.expect("a layer of the graph's own network")),
            parameters: own().map(|cost| cost.parameters).chain(inner().map(|layer| layer.parameters)).sum(),
            multiply_adds: own().map(|cost| cost.multiply_adds).chain(inner().map(|layer| layer.multiply_adds)).sum(),
            name: name.to_owned(),
            branches,
        }
    }
}
