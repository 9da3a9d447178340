//! A network as another program wrote it down: nodes that read and make values, whatever the file's format.
//!
//! The readers of files make a [`Net`]; `walk.rs` compares it with the model table. Values are numbered. A layer that
//! only passes a value on (dropout, identity, split) is no node here. A node whose attributes make no sense is a node
//! all the same: the comparison refuses it when it comes to it, or as left over at the end.

use super::tensor::{Norm, Tensor};
use crate::error::ImportError;
use crate::{Error, Result};
use std::collections::HashMap;

/// The number of a value: its index in the lists of a [`Net`].
pub(super) type Value = usize;

/// The network of a file.
#[derive(Debug)]
pub(super) struct Net<'a> {
    /// The nodes in the file's order. No value is read before it is made, so there is no cycle.
    pub nodes: Vec<Node<'a>>,
    /// The name of each value, for messages to quote.
    values: Vec<&'a str>,
    /// The nodes that read each value, in order, each node once.
    readers: Vec<Vec<usize>>,
    /// The value that each of the file's names stands for after the nodes so far.
    names: HashMap<&'a str, Value>,
    /// The values that are the network's outputs.
    pub outputs: Vec<Value>,
    /// The image's rows and columns, where the file fixes them.
    pub sides: [Option<usize>; 2],
    /// The name of a tensor that no node reads, if there is one.
    pub unread: Option<String>,
}

/// The value that is the image.
pub(super) const INPUT: Value = 0;

/// One operation of a network, with its weights.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub label: &'a str,
    /// The operator's name in the file.
    pub operator: String,
    pub inputs: Vec<Value>,
    pub output: Value,
    pub kind: std::result::Result<Kind<'a>, Odd>,
}

/// Why a node cannot be part of a network that this crate knows: a property, the value it should have, and the one it has.
#[derive(Clone, Debug)]
pub(super) struct Odd {
    pub what: &'static str,
    pub expected: String,
    pub found: String,
}

/// What a node computes.
#[derive(Debug)]
pub(super) enum Kind<'a> {
    Conv {
        window: Window,
        /// Into how many groups the channels are divided.
        groups: i64,
        weight: Tensor<'a>,
        bias: Option<Tensor<'a>>,
    },
    Norm(Norm<'a>),
    Relu,
    MaxPool(Window),
    /// An average over windows, and whether padding counts among the pixels that it is over.
    AveragePool(Window, bool),
    GlobalAverage,
    Lrn {
        size: i64,
        alpha: f32,
        beta: f32,
        k: f32,
    },
    /// All inputs, one after the other along the channels.
    Concat,
    /// A change of shape from `[n, c, h, w]` to `[n, c * h * w]`, or to another shape that reads the same.
    Flatten,
    FullyConnected {
        weight: Tensor<'a>,
        transposed: bool,
        bias: Option<Tensor<'a>>,
    },
    /// The input plus a stored tensor.
    Add(Tensor<'a>),
    /// The input times a stored tensor.
    Mul(Tensor<'a>),
    /// The channel of this index alone, without the dimension of channels.
    Channel(i64),
    /// The input with a dimension of length 1 put in, such as the one that [`Kind::Channel`] took away.
    Unsqueeze,
    /// The input with padding at its top, left, bottom and right, all of one value.
    Pad([i64; 4], f32),
    Softmax,
    Unknown,
}

/// The windows of a convolution or a pool; of each pair the first number is for rows, the second for columns.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// The sides of a window; `None` where the file leaves them to the shape of the weight.
    pub kernel: Option<[i64; 2]>,
    pub strides: [i64; 2],
    pub edges: Edges,
}

/// How far windows reach past the input.
#[derive(Clone, Copy, Debug)]
pub(super) enum Edges {
    /// Padding at the top, left, bottom and right; `ceil` says whether a last, incomplete window is kept.
    Explicit { pads: [i64; 4], ceil: bool },
    /// Padding for `side / stride` outputs, rounded up; of an odd number of pixels the larger half is at the end.
    SameUpper,
    /// Padding as of `SameUpper`, but of an odd number of pixels the larger half is at the beginning.
    SameLower,
}

/// The most pixels that are believed of a stride or a padding.
const MOST: i64 = 1 << 20;

impl Window {
    /// How the windows lie along `axis` over `side` pixels: how many pixels of padding come before the first pixel, and
    /// how many windows there are.
    pub(super) fn extent(&self, axis: usize, side: usize, kernel: usize) -> (i64, i64) {
        // A file may state any number. Beyond a million pixels one is as wrong as another, and clamped none overflows.
        let stride = self.strides[axis].clamp(1, MOST);
        let (side, kernel) = (side as i64, kernel as i64);
        let same = |side: i64| {
            let n = (side + stride - 1) / stride;
            (n, ((n - 1) * stride + kernel - side).max(0))
        };
        match self.edges {
            Edges::SameUpper => {
                let (n, padding) = same(side);
                (padding / 2, n)
            }
            Edges::SameLower => {
                let (n, padding) = same(side);
                (padding - padding / 2, n)
            }
            Edges::Explicit { pads, ceil } => {
                let (before, after) = (pads[axis].clamp(-MOST, MOST), pads[axis + 2].clamp(-MOST, MOST));
                let span = side + before + after - kernel;
                if span < 0 {
                    return (before, 0);
                }
                let n = if ceil { (span + stride - 1) / stride } else { span / stride } + 1;
                // A window that would begin in the trailing padding is left out.
                (before, if ceil && (n - 1) * stride >= side + before { n - 1 } else { n })
            }
        }
    }
}

impl<'a> Net<'a> {
    /// A network without nodes, whose image is called `input`.
    pub(super) fn new(input: &'a str, sides: [Option<usize>; 2]) -> Net<'a> {
        Net {
            nodes: Vec::new(),
            values: vec![input],
            readers: vec![Vec::new()],
            names: HashMap::from([(input, INPUT)]),
            outputs: Vec::new(),
            sides,
            unread: None,
        }
    }

    /// The value that `name` stands for now.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        self.names.get(name).copied()
    }

    /// Makes `name` stand for `value` in all nodes added from now on.
    pub(super) fn alias(&mut self, name: &'a str, value: Value) {
        self.names.insert(name, value);
    }

    /// Adds a node; `output` stands for the value that it makes in all nodes added from now on.
    pub(super) fn push(
        &mut self,
        label: &'a str,
        operator: String,
        inputs: Vec<Value>,
        output: &'a str,
        kind: std::result::Result<Kind<'a>, Odd>,
    ) {
        for &input in &inputs {
            let readers = &mut self.readers[input];
            if readers.last() != Some(&self.nodes.len()) {
                readers.push(self.nodes.len());
            }
        }
        let value = self.values.len();
        self.values.push(output);
        self.readers.push(Vec::new());
        self.names.insert(output, value);
        self.nodes.push(Node { label, operator, inputs, output: value, kind });
    }

    pub(super) fn name(&self, value: Value) -> &'a str {
        self.values[value]
    }

    pub(super) fn readers(&self, value: Value) -> &[usize] {
        &self.readers[value]
    }

    /// The node that reads `value`; an error, which names the model table's `layer`, unless there is exactly one.
    pub(super) fn reader(&self, value: Value, layer: &str) -> Result<usize> {
        match self.readers(value) {
            &[at] => Ok(at),
            several => Err(mismatch(self.name(value), layer, "readers", "one", self.list(several))),
        }
    }

    /// A text that says how many `nodes` there are, and which.
    pub(super) fn list(&self, nodes: &[usize]) -> String {
        if nodes.is_empty() {
            return "none".to_owned();
        }
        let label = |&at: &usize| format!("`{}` ({})", self.nodes[at].label, self.nodes[at].operator);
        let labels: Vec<_> = nodes.iter().take(8).map(label).collect();
        format!("{}: {}", nodes.len(), labels.join(", "))
    }
}

pub(super) fn mismatch(
    node: &str,
    layer: &str,
    what: &'static str,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Error {
    ImportError::NodeMismatch {
        node: node.into(),
        layer: layer.into(),
        what,
        expected: expected.into(),
        found: found.into(),
    }
    .into()
}

pub(super) fn odd(what: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Odd {
    Odd { what, expected: expected.into(), found: found.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_attribute_is_too_large_for_the_extent_of_windows() {
        for most in [i64::MAX, i64::MIN] {
            let all = [
                Edges::SameUpper,
                Edges::SameLower,
                Edges::Explicit { pads: [most; 4], ceil: true },
                Edges::Explicit { pads: [most; 4], ceil: false },
            ];
            for edges in all {
                for strides in [[most; 2], [1; 2]] {
                    let (before, n) = Window { kernel: None, strides, edges }.extent(0, 7, 7);
                    assert!(before.abs() <= MOST && n <= 2 * MOST + 7, "{before} {n}");
                }
            }
        }
    }
}
