//! The kinds of steps, a file each: everything that a plan knows of a kind stands in its file, behind one trait.
//!
//! For a node of the graph each kind may make an [`Offer`]: the steps that would compute it, and what they cost. The plan
//! takes the cheapest. A kind of step is added by a file here that implements [`Step`] and makes offers, and by its line
//! in [`KINDS`].

mod average;
mod dense;
mod direct;
mod lrn;
mod narrow;
mod pool;
mod softmax;
mod winograd;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use googlenet_kernels::element::Element;

use super::Precision;
use super::build::{Machine, Site};
use super::memory::{Operands, Rows, Touch};
use crate::Result;
use crate::weights::Dtype;

/// What each kind has to offer for a node; several offers of one kind differ in kernel or algorithm.
pub(super) const KINDS: [fn(&Site<'_>) -> Vec<Offer>; 8] = [
    direct::offers,
    narrow::offers,
    winograd::offers,
    pool::offers,
    lrn::offers,
    average::offers,
    dense::offers,
    softmax::offers,
];

/// A way to compute some nodes.
pub(super) struct Offer {
    /// Cycles of a core, by the machine's costs: what offers for the same nodes are compared by. An offer that covers
    /// fewer nodes than another must not be made beside it.
    pub cycles: f64,
    /// The nodes that it computes, the site's first.
    pub nodes: Vec<usize>,
    /// Buffers that it adds to the plan's; the first is the site's `next_buffer`.
    pub buffers: Vec<(Element, usize)>,
    /// Steps that run one after the other, each in a phase of its own. The last one makes the nodes' outputs.
    pub steps: Vec<(Ends, Box<dyn Step>)>,
}

impl Offer {
    /// The offer of a kind that is the only one for its node, so that its cost does not matter.
    fn only(site: &Site<'_>, step: impl Step + 'static) -> Vec<Self> {
        let ends = Ends { input: site.input(), outputs: vec![site.output()] };
        vec![Self::new(0.0, vec![site.index], ends, step)]
    }

    /// An offer of one step.
    pub(super) fn new(cycles: f64, nodes: Vec<usize>, ends: Ends, step: impl Step + 'static) -> Self {
        Self { cycles, nodes, buffers: Vec::new(), steps: vec![(ends, Box::new(step))] }
    }
}

/// What a step reads and writes.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    pub input: Rows,
    /// The outputs of those of its nodes that no other node of it takes up, or the buffer that it fills.
    pub outputs: Vec<Rows>,
}

impl Ends {
    /// The first output; most steps have one.
    fn output(&self) -> &Rows {
        &self.outputs[0]
    }
}

/// A part of a step, which one task computes. What is counted is the step's own affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Channels, pixels, tiles of pixels, rows of tiles or windows, or blocks of input channels.
    pub range: Range<usize>,
    /// Blocks of output channels of a convolution; empty for other steps.
    pub blocks: Range<usize>,
}

/// The weights of a step.
#[derive(Clone, Copy)]
pub(super) struct StepWeights<'a> {
    /// What [`Step::pack`] made of them; empty for a step without weights.
    pub packed: &'a [u8],
    /// The node's matrix where it lies in the weight file, for a step that [takes it so](Step::takes_stored).
    pub stored: Option<Stored<'a>>,
}

/// The weights of a node, as its step packs them.
pub(super) struct NodeWeights<'a> {
    /// The rows of the node; of a step that takes them as they are stored, none.
    pub weights: &'a [f32],
    pub biases: &'a [f32],
    /// The real value of 1 of what the node reads, and of what it writes.
    pub scales: [f32; 2],
    /// Of a convolution that computes in integers: by output channel the scale of its weights, and the bias that goes with
    /// weights so rounded.
    pub quantised: Option<Quantised<'a>>,
}

/// What the file has of a quantised convolution.
pub(super) struct Quantised<'a> {
    pub scales: &'a [f32],
    pub biases: &'a [f32],
}

impl NodeWeights<'_> {
    /// Weights and biases for arithmetic in f32 that reads and writes stored values as they are.
    ///
    /// # Errors
    /// If the memory for them cannot be had.
    pub(super) fn folded(&self) -> Result<[Cow<'_, [f32]>; 2]> {
        let [input, output] = self.scales;
        let times = |values: &[f32], factor: f32| -> Result<Vec<f32>> {
            let mut scaled = super::work::zeros(values.len())?;
            scaled.iter_mut().zip(values).for_each(|(scaled, value)| *scaled = value * factor);
            Ok(scaled)
        };
        Ok(match (input, output) {
            (1.0, 1.0) => [Cow::Borrowed(self.weights), Cow::Borrowed(self.biases)],
            _ => [times(self.weights, input / output)?.into(), times(self.biases, 1.0 / output)?.into()],
        })
    }
}

/// A tensor's elements in this machine's byte order, aligned as their type is.
#[derive(Clone, Copy)]
pub(super) struct Stored<'a> {
    pub dtype: Dtype,
    pub bytes: &'a [u8],
}

/// One step of a plan. Unless it says otherwise, a step computes each channel by itself, and has no weights.
pub(super) trait Step: fmt::Debug + Send + Sync {
    /// Kernel and tile, as plans, packings and benches name them.
    fn kernel(&self) -> String;

    /// What a plan says beside the kernel, where there was nothing to choose: the window, the size; may be empty.
    fn detail(&self) -> String {
        String::new()
    }

    /// The precision that it computes in; what it reads and writes is the plan's affair.
    fn precision(&self) -> Precision {
        Precision::F32
    }

    /// The instruction that is made for that precision, if it is a lower one and the machine has one.
    fn instruction(&self) -> Option<&'static str> {
        None
    }

    /// Whether the output takes the place of the input, in the same memory.
    fn is_in_place(&self) -> bool {
        false
    }

    /// Multiply-adds that it computes for one image, tiles' edges included; 0 for a step that only moves or compares.
    fn multiply_adds(&self) -> u64 {
        0
    }

    /// Bytes of scratch that a thread needs for it.
    fn scratch_bytes(&self) -> usize {
        0
    }

    /// Whether it takes its node's tensor of weights as the file stores it, of whichever type, instead of packing it.
    /// Such a step has one node with weights, and packs the biases alone.
    fn takes_stored(&self) -> bool {
        false
    }

    /// Bytes of its packed weights; 0 for a step without weights.
    fn packed_bytes(&self) -> usize {
        0
    }

    /// Widths of the blocks of output channels in the packed weights.
    fn block_widths(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Packs the weights and biases of its node `index` into their part of `packed`.
    ///
    /// # Errors
    /// If memory for that cannot be had.
    fn pack(&self, index: usize, own: &NodeWeights<'_>, packed: &mut [u8]) -> Result<()> {
        let _ = (index, own, packed);
        unreachable!("a step without weights packs none")
    }

    /// Its parts for `threads` threads, each worth a task of its own.
    fn split(&self, ends: &Ends, machine: &Machine, threads: usize) -> Vec<Part> {
        let Rows { rows, len, .. } = *ends.output();
        // A mean or maximum looks at some four elements or more for each that it makes.
        split_evenly(rows, machine.light_tasks(4 * rows * len, threads))
    }

    /// What the task of `part` touches.
    fn touch(&self, ends: &Ends, part: &Part) -> Touch {
        let channels = || part.range.clone();
        Touch { read: Some(ends.input.whole(channels())), writes: vec![ends.output().whole(channels())] }
    }

    /// Computes `part`. The operands are what [`Step::touch`] named, the scratch has [`Step::scratch_bytes`] at least.
    fn run(&self, part: &Part, weights: StepWeights<'_>, operands: Operands<'_>, scratch: &mut [u8]);
}

/// `0..n` in at most `pieces` parts of nearly one length.
fn split_evenly(n: usize, pieces: usize) -> Vec<Part> {
    ranges(n, pieces).map(|range| Part { range, blocks: 0..0 }).collect()
}

/// `0..n` in at most `pieces` ranges of nearly one length.
fn ranges(n: usize, pieces: usize) -> impl Iterator<Item = Range<usize>> {
    let pieces = pieces.clamp(1, n.max(1));
    (0..pieces).map(move |i| i * n / pieces..(i + 1) * n / pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_contiguous_and_of_nearly_one_length() {
        for (n, pieces) in (0..40).flat_map(|n| (0..9).map(move |pieces| (n, pieces))) {
            let ranges: Vec<_> = ranges(n, pieces).collect();
            assert_eq!(ranges.len(), pieces.clamp(1, n.max(1)));
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, n));
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
            let lengths = || ranges.iter().map(Range::len);
            assert!(lengths().max() <= lengths().min().map(|least| least + 1));
        }
    }
}
