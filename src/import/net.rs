//! A network as another program wrote it down: nodes over values, whatever the file's format.
//!
//! The readers of files make a [`Net`]; `walk.rs` compares it with the model table. Values are numbered; what only
//! passes a value on (dropout, identity, split) is no node here. A node whose attributes make no sense is still one: it
//! is refused when the walk comes to it, or as left over.

use super::tensor::{Norm, Tensor};
use crate::error::ImportError;
use crate::{Error, Result};
use std::collections::HashMap;

/// Index of a value.
pub(super) type Value = usize;

/// A foreign network.
#[derive(Debug)]
pub(super) struct Net<'a> {
    /// In the file's order: nothing is read before it is made, so no cycle exists.
    pub nodes: Vec<Node<'a>>,
    /// Names of the values, which messages quote.
    values: Vec<&'a str>,
    /// By value: the nodes that read it, in order, each once.
    readers: Vec<Vec<usize>>,
    /// The value that each name of the file stands for now.
    names: HashMap<&'a str, Value>,
    /// Values that the network gives.
    pub outputs: Vec<Value>,
    /// Rows and columns of the image, where the file fixes them.
    pub sides: [Option<usize>; 2],
    /// A tensor that nothing reads, if there is one.
    pub unread: Option<String>,
}

/// The image.
pub(super) const INPUT: Value = 0;

/// A node.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub label: &'a str,
    /// As the file names it.
    pub operator: String,
    pub inputs: Vec<Value>,
    pub output: Value,
    pub kind: std::result::Result<Kind<'a>, Odd>,
}

/// What is odd about a node.
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
        weight: Tensor<'a>,
        bias: Option<Tensor<'a>>,
    },
    Norm(Norm<'a>),
    Relu,
    MaxPool(Window),
    /// Whether padding counts as elements.
    AveragePool(Window, bool),
    GlobalAverage,
    Lrn {
        size: i64,
        alpha: f32,
        beta: f32,
        k: f32,
    },
    /// By channel.
    Concat,
    /// `[n, c, h, w]` to `[n, c * h * w]`, or what comes to the same.
    Flatten,
    FullyConnected {
        weight: Tensor<'a>,
        transposed: bool,
        bias: Option<Tensor<'a>>,
    },
    /// A stored tensor added.
    Add(Tensor<'a>),
    /// Multiplied by a stored tensor.
    Mul(Tensor<'a>),
    /// Channel of so many, without its dimension.
    Channel(i64),
    /// That dimension again.
    Unsqueeze,
    /// Top, left, bottom, right; and by what.
    Pad([i64; 4], f32),
    Softmax,
    Unknown,
}

/// Windows of a convolution or a pool: rows, then columns.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// None where it is the weight's.
    pub kernel: Option<[i64; 2]>,
    pub strides: [i64; 2],
    pub edges: Edges,
}

/// What lies around the input.
#[derive(Clone, Copy, Debug)]
pub(super) enum Edges {
    /// Top, left, bottom, right; whether a last, incomplete window is kept.
    Explicit { pads: [i64; 4], ceil: bool },
    /// As many outputs as `side / stride`, rounded up; the odd padding at the end.
    SameUpper,
    /// The same, the odd padding at the beginning.
    SameLower,
}

/// Pixels of a stride or a padding.
const MOST: i64 = 1 << 20;

impl Window {
    /// Along `axis`, over `side` pixels: padding before the first, and how many windows there are.
    pub(super) fn place(&self, axis: usize, side: usize, kernel: usize) -> (i64, i64) {
        // Files say what they like: beyond a million pixels one number is as wrong as another, and none overflows.
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
    /// A network without nodes over an image of that name.
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

    /// From here on `name` stands for `value`.
    pub(super) fn alias(&mut self, name: &'a str, value: Value) {
        self.names.insert(name, value);
    }

    /// Adds a node; from here on `output` stands for what it makes.
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

    /// The one node that reads `value`, expected to be `layer`'s.
    pub(super) fn reader(&self, value: Value, layer: &str) -> Result<usize> {
        match self.readers(value) {
            &[at] => Ok(at),
            several => Err(mismatch(self.name(value), layer, "readers", "one", self.list(several))),
        }
    }

    /// How many nodes, and which.
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
    fn no_attribute_is_too_large_to_place_a_window() {
        for most in [i64::MAX, i64::MIN] {
            let all = [
                Edges::SameUpper,
                Edges::SameLower,
                Edges::Explicit { pads: [most; 4], ceil: true },
                Edges::Explicit { pads: [most; 4], ceil: false },
            ];
            for edges in all {
                for strides in [[most; 2], [1; 2]] {
                    let (before, n) = Window { kernel: None, strides, edges }.place(0, 7, 7);
                    assert!(before.abs() <= MOST && n <= 2 * MOST + 7, "{before} {n}");
                }
            }
        }
    }
}
