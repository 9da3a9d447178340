//! One run of the network over a picture, and all that is kept of it.

use crate::image::{Rgb8, Window};
use crate::model::{Graph, Layer, Network};
use crate::{ClassMap, Model, Options, Prediction, Session};

use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::load;

/// What a network has seen on a picture.
pub struct Seen {
    /// The part of the picture that the network saw.
    pub window: Window,
    /// The prepared input, `[3, side, side]`.
    pub input: Vec<f32>,
    /// The likeliest classes.
    pub top: Vec<Prediction>,
    /// The logits of all classes.
    pub logits: Vec<f32>,
    /// The class maps of the likeliest classes; none where the network's end is not linear.
    pub maps: Option<Vec<ClassMap>>,
    /// The modules' outputs, or, of a network without modules, its convolutions'.
    pub layers: Vec<Answer>,
    /// What the heads think, from shallow to deep, and at last the network's own end.
    pub opinions: Vec<Opinion>,
    /// Heads of the network that the weights lack.
    pub absent: Vec<&'static str>,
    /// Heads that do not run at the weights' input side.
    pub unfit: Vec<&'static str>,
}

/// A layer's or a module's output.
pub struct Answer {
    /// The name of the layer or module.
    pub name: String,
    /// The output's shape, `[c, h, w]`.
    pub shape: [usize; 3],
    /// What share of its values is 0.
    pub zero_share: f64,
    /// The channels with the largest values, the strongest first.
    pub strongest: Vec<Channel>,
}

/// A channel of an output.
pub struct Channel {
    /// The number of the channel.
    pub index: usize,
    /// The name of the layer that makes it: of a module, the last of one of its branches.
    pub layer: String,
    /// The channel's values, `[h, w]`.
    pub values: Vec<f32>,
    pub largest: f32,
    pub mean: f64,
}

/// What a head, or the network's own end, thinks of a picture.
pub struct Opinion {
    /// The head's name, or that of the layer that gives the network's probabilities.
    pub name: String,
    /// The layer that it reads, where it is a head.
    pub after: Option<String>,
    /// The likeliest classes.
    pub top: Vec<Prediction>,
}

/// Why nothing was seen.
pub enum Blind {
    /// The weights do not give finite values.
    NotFinite,
    /// Something else, said in full.
    Failed(Failure),
}

impl Blind {
    /// The failure, for the picture called `name`.
    pub fn of(self, name: &str) -> Failure {
        match self {
            Blind::NotFinite => Failure::new(Code::Model, format!("{name}: the weights give no finite values for it")),
            Blind::Failed(failure) => failure,
        }
    }
}

impl From<Failure> for Blind {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Seen {
    /// Runs the network of `model` over `picture` and keeps what the `top` likeliest classes need.
    pub fn look(model: &Model, picture: Rgb8<'_>, top: usize, threads: usize, verbose: bool) -> Result<Self, Blind> {
        let (network, side) = (model.network(), model.side());
        let (fit, unfit): (Vec<_>, Vec<_>) =
            network.head_names().into_iter().partition(|name| network.head_fits(name, side));
        let names = outputs(network);
        let mut options = Options::new().threads(threads).class_maps(true);
        for name in names.iter().map(String::as_str).chain(fit.iter().copied()) {
            options = options.endpoint(name);
        }
        let mut session = load::session(model, options, verbose)?;
        let top = session.classify(picture, top).or_fail(Code::Input, "")?;
        let (logits, probabilities) = (session.logits().to_vec(), session.probabilities());
        if !logits.iter().chain(probabilities).all(|value| value.is_finite()) {
            return Err(Blind::NotFinite);
        }
        let window = session.rule().window(picture.width(), picture.height(), side).or_fail(Code::Input, "")?;
        let maps = match session.class_map_shape() {
            Some(_) => {
                let map = |class: &Prediction| session.class_map(0, class.index).or_fail(Code::Model, "");
                Some(top.iter().map(map).collect::<Outcome<_>>()?)
            }
            None => None,
        };
        let graph = network.graph(side);
        let layers = names.iter().map(|name| Answer::of(&session, &graph, name)).collect();
        let opinions = opinions(&session, network, &fit, model.labels());
        let all = network.dialect.network_with_heads(network.classes).head_names();
        let absent = all.into_iter().filter(|name| !network.head_names().contains(name)).collect();
        let input = session.input_mut().to_vec();
        Ok(Self { window, input, top, logits, maps, layers, opinions, absent, unfit })
    }
}

/// The names of the outputs to show: the modules', or the convolutions' of a network without modules.
fn outputs(network: &Network) -> Vec<String> {
    let name = |layer: &Layer, modules: bool| match layer {
        Layer::Inception(module) if modules => Some(format!("{}/output", module.name)),
        Layer::Conv(conv) if !modules => Some(conv.name.clone()),
        _ => None,
    };
    let of = |modules| network.layers.iter().filter_map(|layer| name(layer, modules)).collect::<Vec<_>>();
    let modules = of(true);
    if modules.is_empty() { of(false) } else { modules }
}

fn opinions(session: &Session, network: &Network, fit: &[&'static str], labels: &[String]) -> Vec<Opinion> {
    let top = |probabilities: &[f32]| Prediction::most_likely(probabilities, labels, OPINIONS);
    let of_head = |name: &&'static str| {
        let logits = session.endpoint(name).expect("it was asked for");
        let head = network.heads.iter().find(|head| head.name == *name).expect("it is one");
        Opinion { name: (*name).to_owned(), after: Some(head.after.clone()), top: top(&softmax(logits)) }
    };
    let own = Opinion { name: network.roles.logits.clone(), after: None, top: top(session.probabilities()) };
    fit.iter().map(of_head).chain([own]).collect()
}

/// The probabilities that `logits` stand for.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shares: Vec<f64> = logits.iter().map(|logit| f64::from(logit - most).exp()).collect();
    let sum: f64 = shares.iter().sum();
    shares.into_iter().map(|share| (share / sum) as f32).collect()
}

impl Answer {
    /// What the last run of `session` has at the output `name`.
    fn of(session: &Session, graph: &Graph, name: &str) -> Self {
        let shape = session.endpoint_shape(name).expect("it was asked for");
        let values = session.endpoint(name).expect("it was asked for");
        let place = graph.find(name).expect("the network has it");
        let plane = shape[1] * shape[2];
        let made_by = |channel: usize| {
            let channel = place.channel + channel;
            let makes = |node: &&crate::model::Node| {
                let output = node.output;
                output.activation == place.activation
                    && (output.channel..output.channel + output.channels).contains(&channel)
            };
            graph.nodes.iter().find(makes).map_or(name, |node| node.layer()).to_owned()
        };
        let mut channels: Vec<(usize, f32)> = (0..shape[0])
            .map(|index| (index, values[index * plane..][..plane].iter().copied().fold(f32::NEG_INFINITY, f32::max)))
            .collect();
        channels.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let strongest = channels.into_iter().take(CHANNELS).map(|(index, largest)| {
            let values = values[index * plane..][..plane].to_vec();
            let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / plane as f64;
            Channel { index, layer: made_by(index), values, largest, mean }
        });
        let zeros = values.iter().filter(|&&value| value == 0.0).count();
        let name = name.strip_suffix("/output").unwrap_or(name).to_owned();
        Self { name, shape, zero_share: zeros as f64 / values.len() as f64, strongest: strongest.collect() }
    }
}

/// How many channels of each output are shown.
const CHANNELS: usize = 12;
/// How many classes of each opinion are shown.
const OPINIONS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Dialect;

    #[test]
    fn modules_are_shown_or_else_convolutions() {
        assert_eq!(outputs(&Dialect::Bvlc.network(10)).len(), 9);
        let names = outputs(&Dialect::Caffenet.network(10));
        assert_eq!((names.len(), names[4].as_str()), (5, "conv5"));
    }

    #[test]
    fn probabilities_of_large_logits_are_finite() {
        let probabilities = softmax(&[1000.0, 1000.0, -1000.0]);
        assert_eq!(probabilities, [0.5, 0.5, 0.0]);
    }
}
