//! What pictures tell of a network's activations: how large they become, and what convolutions see in the mean.

use std::collections::BTreeMap;
use std::ops::Range;

use super::histogram::Histogram;
use super::quantised::{Layer, Quantised};
use super::{Clipping, filters};
use crate::error::TensorError;
use crate::model::{Graph, Node, Op, Place};
use crate::plan::takes_bytes;
use crate::weights::{PACKED, SCALES, Tensor};
use crate::{Model, Options, Result, Session};

/// Gathers, image by image, what [`Calibration::quantise`] needs to know of the activations.
///
/// Its memory does not grow with the images: a histogram for each group of activations that share a scale, and for each
/// activation that a convolution reads the sum over images.
///
/// ```
/// use googlenet::Model;
/// use googlenet::quantise::{Calibration, Clipping};
///
/// let model = Model::open("weights/demo.safetensors")?;
/// let mut calibration = Calibration::new(&model, 1)?;
/// for image in 0..2 {
///     calibration.input_mut().fill(image as f32);
///     calibration.observe()?;
/// }
/// let quantised = calibration.quantise(Clipping::Maximum, true)?;
/// assert_eq!(quantised.layers().count(), 56);
/// # Ok::<(), googlenet::Error>(())
/// ```
pub struct Calibration {
    model: Model,
    session: Session,
    graph: Graph,
    /// The trunk's layers that give values which bytes need a scale for, in order.
    writers: Vec<Writer>,
    /// By the first of activations that share a scale: the values that such layers write to them.
    histograms: BTreeMap<usize, Histogram>,
    /// By activation that a convolution in integers reads: the sum over images, `[c, h, w]`.
    sums: BTreeMap<usize, Vec<f64>>,
    images: usize,
}

/// A convolution, which has a node for each of its groups, or a normalisation.
struct Writer {
    layer: String,
    nodes: Range<usize>,
    /// The first of the activations that share the output's scale.
    group: usize,
    takes_bytes: bool,
}

impl Calibration {
    /// Prepares to observe `model` on images of its own side, with a session of f32 of so many threads.
    ///
    /// # Errors
    /// [`TensorError::Value`] if a weight is infinite or NaN; else if the weights are damaged or the session cannot be made.
    pub fn new(model: &Model, threads: usize) -> Result<Self> {
        // Whatever the weights are, they get a new hash, which must not hide damage.
        model.weights().verify()?;
        model.weights().tensors().filter(|tensor| !tensor.name().starts_with(PACKED)).try_for_each(check_finite)?;
        let graph = model.network().graph(model.side());
        let (joined, takes_bytes) = (graph.joined(), takes_bytes(&graph));
        let mut writers: Vec<Writer> = Vec::new();
        let (mut histograms, mut sums) = (BTreeMap::new(), BTreeMap::new());
        let writes = |node: &&(usize, &Node)| matches!(node.1.op, Op::Conv(_) | Op::Lrn(_));
        for (index, node) in graph.nodes.iter().enumerate().collect::<Vec<_>>().iter().filter(writes).copied() {
            match writers.last_mut().filter(|last| last.layer == node.layer()) {
                Some(last) => last.nodes.end = index + 1,
                None => writers.push(Writer {
                    layer: node.layer().to_owned(),
                    nodes: index..index + 1,
                    group: joined[node.output.activation],
                    takes_bytes: takes_bytes[index],
                }),
            }
            histograms.entry(joined[node.output.activation]).or_insert_with(Histogram::new);
            if takes_bytes[index] {
                let input = node.input.activation;
                sums.entry(input).or_insert_with(|| vec![0.0; graph.activations[input].len()]);
            }
        }
        let written = writers.iter().map(|writer| graph.nodes[writer.nodes.start].output.activation);
        let names = written.chain(sums.keys().copied()).map(|activation| graph.activations[activation].name.as_str());
        let options = names.fold(Options::new().threads(threads), Options::endpoint);
        let session = model.session(options)?;
        Ok(Self { model: model.clone(), session, graph, writers, histograms, sums, images: 0 })
    }

    /// The input of the next image, `[3, side, side]`, preprocessed.
    pub fn input_mut(&mut self) -> &mut [f32] {
        self.session.input_mut()
    }

    /// Runs the network in f32 on the input, and observes nothing: for images that are held back to judge by. The logits
    /// are those of a session of f32.
    pub fn run(&mut self) -> &[f32] {
        self.session.run();
        self.session.logits()
    }

    /// Runs the network in f32 on the input, and observes its activations.
    ///
    /// # Errors
    /// [`TensorError::Value`] if an activation is infinite or NaN; what was observed is then as it was before.
    pub fn observe(&mut self) -> Result<&[f32]> {
        let Self { session, graph, writers, histograms, sums, images, .. } = self;
        session.run();
        let output = |place: Place| {
            let activation = &graph.activations[place.activation];
            let values = session.endpoint(&activation.name).expect("it was asked for");
            &values[place.channel * activation.plane()..][..place.channels * activation.plane()]
        };
        for node in writers.iter().flat_map(|writer| &graph.nodes[writer.nodes.clone()]) {
            let values = output(node.output);
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                let (tensor, value) = (node.name.clone(), values[index]);
                return Err(TensorError::Value { tensor, index, value, least: f32::MIN, most: f32::MAX }.into());
            }
        }
        for writer in &*writers {
            let histogram = histograms.get_mut(&writer.group).expect("made with the layer");
            graph.nodes[writer.nodes.clone()].iter().for_each(|node| histogram.add(output(node.output)));
        }
        for (&activation, sums) in sums {
            let whole = Place { activation, channel: 0, channels: graph.activations[activation].c };
            sums.iter_mut().zip(output(whole)).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        *images += 1;
        Ok(session.logits())
    }

    /// The number of images that were observed.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Scales for all convolutions of the trunk that can compute in integers, from what was observed. With
    /// `correct_biases` a bias takes back what the rounding of weights adds to its channel's mean output, before the ReLU,
    /// over the images that were observed (M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, "Data-Free Quantization
    /// Through Weight Equalization and Bias Correction", 2019, arXiv:1906.04721, section 4.2, which estimates what is
    /// measured here).
    ///
    /// # Panics
    /// If no image was observed.
    ///
    /// # Errors
    /// [`TensorError::Value`] if a scale or a bias is too large or too small to be computed with.
    pub fn quantise(&self, clipping: Clipping, correct_biases: bool) -> Result<Quantised> {
        assert!(self.images > 0, "no image was observed");
        let limit = |histogram: &Histogram| match clipping {
            Clipping::Maximum => histogram.max(),
            Clipping::Percentile => histogram.percentile(Clipping::SHARE),
            Clipping::SquaredError => histogram.least_squares(),
        };
        let layers = self.writers.iter().map(|writer| {
            let limit = limit(&self.histograms[&writer.group]);
            // What is always zero may have any scale.
            let scale = if limit > 0.0 { (limit / 255.0).max(SCALES[0]) } else { 1.0 };
            let weights = match writer.takes_bytes {
                true => Some(self.weights(writer, correct_biases)?),
                false => None,
            };
            let input = self.graph.joined()[self.graph.nodes[writer.nodes.start].input.activation];
            let (name, ends) = (writer.layer.clone(), [input, writer.group]);
            let is_convolution = matches!(self.graph.nodes[writer.nodes.start].op, Op::Conv(_));
            Ok(Layer { name, ends, is_convolution, output_scale: Some(scale), weights })
        });
        Quantised::new(self.model.clone(), layers.collect::<Result<_>>()?)
    }

    /// The scales of a layer's weights, and its biases.
    fn weights(&self, writer: &Writer, correct_biases: bool) -> Result<(Vec<f32>, Vec<f32>)> {
        let (mut scales, mut biases) = (Vec::new(), Vec::new());
        for node in &self.graph.nodes[writer.nodes.clone()] {
            let (Op::Conv(shape), Some(own)) = (&node.op, &node.weights) else { unreachable!("a convolution's node") };
            let tensor = |name: String| self.model.weights().tensor(&name).expect("a model has all tensors").to_f32();
            let (weights, own_biases) = (tensor(own.weight()), tensor(own.bias()));
            let plane = self.graph.activations[node.input.activation].plane();
            let sums = &self.sums[&node.input.activation][node.input.channel * plane..][..node.input.channels * plane];
            let input: Vec<f64> = sums.iter().map(|sum| sum / self.images as f64).collect();
            let means = filters::mean_operands(shape, &input);
            let rows = weights.chunks_exact(shape.steps()).zip(own_biases.iter());
            for (w, &bias) in rows.skip(own.rows.start).take(own.rows.len()) {
                let scale = filters::scale(shape, w, SCALES[0]);
                let error = if correct_biases { filters::mean_error(w, scale, &means) } else { 0.0 };
                scales.push(scale);
                biases.push((f64::from(bias) - error) as f32);
            }
        }
        Ok((scales, biases))
    }
}

/// Checks that a tensor has no NaN and nothing infinite.
fn check_finite(tensor: Tensor<'_>) -> Result<()> {
    let values = tensor.to_f32();
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => {
            let (name, value) = (tensor.name().to_owned(), values[index]);
            Err(TensorError::Value { tensor: name, index, value, least: f32::MIN, most: f32::MAX }.into())
        }
        None => Ok(()),
    }
}
