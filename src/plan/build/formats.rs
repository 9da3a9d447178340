//! What each activation is stored as, and which convolutions compute in integers: decided before any step is chosen, from
//! the precision, the graph, and what the weight file says of itself.
//!
//! An activation in bytes stands for real values: each byte times the activation's scale. A max pool hands bytes on as
//! they are, so that the activations which pools join have one scale and one element.

use googlenet_kernels::element::Element;

use super::Machine;
use crate::model::{Graph, Lrn, Op};
use crate::plan::Precision;
use crate::plan::memory::INPUT;
use crate::weights::{OUTPUT_SCALE, WEIGHT_SCALE, Weights};

/// The formats of a plan.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::plan) struct Formats {
    pub precision: Precision,
    /// By activation.
    elements: Vec<Element>,
    /// By activation: the real value of 1; that of a byte, or 1.
    scales: Vec<f32>,
    /// By node: whether it computes in integers.
    integer: Vec<Integer>,
}

/// Whether a node computes in integers, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Integer {
    Yes,
    /// It is no convolution, or integers were not asked for.
    No,
    /// What it reads is not stored in bytes.
    NoBytes,
    /// The file has no scales for its weights.
    NoScales,
}

/// What a weight file says of the layers that were quantised.
pub(in crate::plan) trait Scales {
    /// The scale that the layer's outputs have in bytes; none if it has none.
    fn output(&self, layer: &str) -> Option<f32>;

    /// Whether the layer's weights have scales, so that it computes in integers.
    fn has_weights(&self, layer: &str) -> bool;
}

impl Scales for Weights {
    fn output(&self, layer: &str) -> Option<f32> {
        self.tensor(&format!("{layer}{OUTPUT_SCALE}"))?.to_f32().first().copied()
    }

    fn has_weights(&self, layer: &str) -> bool {
        self.tensor(&format!("{layer}{WEIGHT_SCALE}")).is_some()
    }
}

/// A file of which all layers were quantised, whatever to: for plans that nobody runs.
pub(in crate::plan) struct Nominal;

impl Scales for Nominal {
    fn output(&self, _: &str) -> Option<f32> {
        Some(1.0)
    }

    fn has_weights(&self, _: &str) -> bool {
        true
    }
}

impl Formats {
    /// Those of `graph` in `precision` on `machine`, where `scales` are the file's.
    pub(in crate::plan) fn new(graph: &Graph, precision: Precision, machine: &Machine, scales: &dyn Scales) -> Self {
        Self::decide(graph, precision, machine.multiplies_bf16, scales)
    }

    /// Those of `graph` in `precision`. `multiplies_bf16` is whether the machine does, so that activations in it are worth
    /// their rounding.
    fn decide(graph: &Graph, precision: Precision, multiplies_bf16: bool, scales: &dyn Scales) -> Self {
        let joined = graph.joined();
        // By the first activation of those that are joined: the narrowest element that all take which read and write them,
        // and the scale.
        let narrowest = match precision {
            Precision::Int8 => Element::U8,
            Precision::Bf16 if multiplies_bf16 => Element::Bf16,
            Precision::Bf16 | Precision::F32 => Element::F32,
        };
        let mut stored = vec![narrowest; joined.len()];
        let mut units: Vec<Option<f32>> = vec![None; joined.len()];
        stored[joined[INPUT]] = Element::F32;
        for node in &graph.nodes {
            let [input, output] = [node.input, node.output].map(|place| joined[place.activation]);
            match &node.op {
                Op::Conv(_) if precision == Precision::Int8 => match scales.output(node.layer()) {
                    Some(scale) => units[output] = Some(scale),
                    None => stored[output] = Element::F32,
                },
                Op::Conv(_) | Op::MaxPool(_) => (),
                // The normalisation squares what it reads: bytes would be too coarse, and what reads its output needs a bound.
                Op::Lrn(lrn) if precision == Precision::Int8 => {
                    if stored[input] == Element::U8 {
                        stored[input] = Element::Bf16;
                    }
                    let bounded = || bound(lrn).map(|bound| bound / 255.0);
                    match scales.output(node.layer()).or(units[output]).or_else(bounded) {
                        Some(scale) => units[output] = Some(scale),
                        None => stored[output] = Element::F32,
                    }
                }
                Op::Lrn(_) => (),
                Op::AveragePool(_) => stored[output] = Element::F32,
                // The last map costs little in f32. Where pools join it with others, they would all have to be f32.
                Op::GlobalAverage => {
                    stored[output] = Element::F32;
                    if joined.iter().filter(|&&first| first == input).count() == 1 {
                        stored[input] = Element::F32;
                    }
                }
                Op::FullyConnected { .. } | Op::Softmax => {
                    (stored[input], stored[output]) = (Element::F32, Element::F32);
                }
            }
        }
        let elements: Vec<Element> = joined.iter().map(|&first| stored[first]).collect();
        let unit = |(&first, &element): (&usize, &Element)| match element {
            Element::U8 => units[first].expect("what is stored in bytes has a writer with a scale"),
            _ => 1.0,
        };
        let scale = joined.iter().zip(&elements).map(unit).collect();
        let integer = graph.nodes.iter().map(|node| match node.op {
            Op::Conv(_) if precision == Precision::Int8 => {
                match (elements[node.input.activation], scales.has_weights(node.layer())) {
                    (Element::U8, true) => Integer::Yes,
                    (Element::U8, false) => Integer::NoScales,
                    _ => Integer::NoBytes,
                }
            }
            _ => Integer::No,
        });
        Self { precision, integer: integer.collect(), elements, scales: scale }
    }

    /// What an activation is stored as.
    pub(in crate::plan) fn element(&self, activation: usize) -> Element {
        self.elements[activation]
    }

    /// The real value of 1 of an activation.
    pub(in crate::plan) fn scale(&self, activation: usize) -> f32 {
        self.scales[activation]
    }

    /// Whether a node is a convolution that computes in integers.
    pub(in crate::plan) fn is_integer(&self, node: usize) -> bool {
        self.integer[node] == Integer::Yes
    }

    /// Why a convolution does not compute in integers although they were asked for.
    pub(in crate::plan) fn why_not_integer(&self, node: usize) -> Option<&'static str> {
        match self.integer[node] {
            Integer::Yes | Integer::No => None,
            Integer::NoBytes => Some("its input is not in bytes"),
            Integer::NoScales => Some("the file keeps it out of int8"),
        }
    }
}

/// The largest magnitude that a normalisation gives, whatever it reads; none if there is no bound.
///
/// A channel's own square is part of the sum, and those of others only make the output smaller. `x / (k + a x^2)^beta`,
/// with `a = alpha / size`, is largest where `x^2 = k / (a (2 beta - 1))`.
fn bound(lrn: &Lrn) -> Option<f32> {
    let (k, beta) = (f64::from(lrn.k), f64::from(lrn.beta));
    let a = f64::from(lrn.alpha) / lrn.size as f64;
    let square = k / (a * (2.0 * beta - 1.0));
    let bound = square.sqrt() / (k + a * square).powf(beta);
    (bound.is_finite() && bound > 0.0).then_some(bound as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Dialect, small::small};

    fn formats(dialect: Dialect, precision: Precision, narrow: bool) -> (Graph, Formats) {
        let network = dialect.network_with_heads(10);
        let graph = network.graph_with(network.side, &network.head_names());
        let formats = Formats::decide(&graph, precision, narrow, &Nominal);
        (graph, formats)
    }

    fn stored(graph: &Graph, formats: &Formats, layer: &str) -> Element {
        formats.element(graph.find(layer).expect("a layer").activation)
    }

    #[test]
    fn bytes_lie_behind_what_cannot_be_negative_and_before_what_takes_them() {
        let (graph, formats) = formats(Dialect::Bvlc, Precision::Int8, false);
        for (layer, element) in [
            ("conv1/7x7_s2", Element::Bf16), // a normalisation reads it, behind the pool
            ("pool1/3x3_s2", Element::Bf16),
            ("pool1/norm1", Element::U8),
            ("conv2/3x3_reduce", Element::U8),
            ("conv2/3x3", Element::Bf16),
            ("conv2/norm2", Element::U8),
            ("pool2/3x3_s2", Element::U8),
            ("inception_3a/1x1", Element::U8),
            ("inception_3a/pool", Element::U8),
            ("inception_4e/3x3", Element::U8),
            ("inception_5b/1x1", Element::F32), // the average reads it
            ("inception_5b/pool", Element::U8),
            ("loss1/ave_pool", Element::F32),
            ("loss1/conv", Element::F32),
            ("loss3/classifier", Element::F32),
        ] {
            assert_eq!(stored(&graph, &formats, layer), element, "{layer}");
        }
        assert_eq!(formats.element(INPUT), Element::F32);
        let integer = |layer: &str| formats.is_integer(graph.nodes.iter().position(|node| node.name == layer).unwrap());
        let layers = ["conv1/7x7_s2", "conv2/3x3_reduce", "conv2/3x3", "inception_5b/3x3", "loss1/conv", "prob"];
        assert_eq!(layers.map(integer), [false, true, true, true, false, false]);
    }

    #[test]
    fn what_pools_join_has_one_scale() {
        for dialect in Dialect::ALL {
            let (graph, formats) = formats(dialect, Precision::Int8, false);
            for node in graph.nodes.iter().filter(|node| matches!(node.op, Op::MaxPool(_))) {
                let [x, y] = [node.input.activation, node.output.activation];
                assert_eq!(formats.element(x), formats.element(y), "{dialect} {}", node.name);
                assert_eq!(formats.scale(x).to_bits(), formats.scale(y).to_bits(), "{dialect} {}", node.name);
            }
        }
    }

    /// The bound of BVLC's constants, from a search over what a channel may hold.
    #[test]
    fn a_normalisation_has_the_bound_that_a_search_finds() {
        let lrn = Lrn { name: "norm", size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 };
        let value = |x: f64| x / (1.0 + 2e-5 * x * x).powf(0.75);
        let largest = (0..2_000_000).map(|i| value(f64::from(i) / 1000.0)).fold(0.0, f64::max);
        let bound = f64::from(bound(&lrn).expect("a bound"));
        assert!((bound - largest).abs() < 1e-4 && (bound - 138.73).abs() < 5e-3, "{bound}, {largest}");
        assert_eq!(super::bound(&Lrn { beta: 0.5, ..lrn }), None);
        assert_eq!(super::bound(&Lrn { beta: 0.25, ..lrn }), None);
    }

    #[test]
    fn a_layer_without_scales_is_f32_and_so_is_what_it_joins() {
        struct But(&'static str);
        impl Scales for But {
            fn output(&self, layer: &str) -> Option<f32> {
                (layer != self.0).then_some(0.5)
            }
            fn has_weights(&self, layer: &str) -> bool {
                layer != self.0
            }
        }
        let graph = Dialect::Bvlc.network(10).graph(224);
        let formats = Formats::decide(&graph, Precision::Int8, false, &But("inception_3a/5x5"));
        for (layer, element) in [
            ("inception_3a/1x1", Element::F32), // it shares the module's output
            ("inception_3b/pool", Element::F32),
            ("inception_3a/5x5_reduce", Element::U8),
            ("inception_3b/1x1", Element::U8),
        ] {
            assert_eq!(stored(&graph, &formats, layer), element, "{layer}");
        }
        assert_eq!(formats.scale(graph.find("inception_3b/1x1").expect("a layer").activation), 0.5);
    }

    #[test]
    fn a_normalisation_has_the_scale_of_the_file_or_of_its_bound() {
        struct Only(&'static str);
        impl Scales for Only {
            fn output(&self, layer: &str) -> Option<f32> {
                (layer == self.0).then_some(0.25)
            }
            fn has_weights(&self, _: &str) -> bool {
                false
            }
        }
        let graph = Dialect::Bvlc.network(10).graph(224);
        let formats = Formats::decide(&graph, Precision::Int8, false, &Only("pool1/norm1"));
        let scale = |layer: &str| formats.scale(graph.find(layer).expect("a layer").activation);
        assert_eq!(scale("pool1/norm1"), 0.25);
        for layer in ["conv2/norm2", "pool2/3x3_s2"] {
            assert!((scale(layer) - 138.73 / 255.0).abs() < 1e-4, "{layer}: {}", scale(layer));
        }
    }

    #[test]
    fn f32_is_f32_and_bf16_depends_on_the_machine() {
        let small = small().graph(64);
        for (precision, narrow) in [(Precision::F32, true), (Precision::F32, false), (Precision::Bf16, false)] {
            let formats = Formats::decide(&small, precision, narrow, &Nominal);
            assert!(formats.elements.iter().all(|&element| element == Element::F32), "{precision}");
        }
        let (graph, formats) = formats(Dialect::Bvlc, Precision::Bf16, true);
        for (layer, element) in [
            ("conv1/7x7_s2", Element::Bf16),
            ("pool1/norm1", Element::Bf16),
            ("inception_5a/1x1", Element::Bf16),
            ("inception_5b/1x1", Element::F32),
            ("loss1/ave_pool", Element::F32),
        ] {
            assert_eq!(stored(&graph, &formats, layer), element, "{layer}");
        }
        assert!((0..graph.nodes.len()).all(|node| !formats.is_integer(node)));
    }
}
