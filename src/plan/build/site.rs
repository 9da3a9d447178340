//! A node of the graph, as the kinds of steps look at it when they make their offers.

use googlenet_kernels::element::Element;

use super::{Formats, Machine};
use crate::model::{Graph, Node, Op, Place};
use crate::plan::memory::{BufferId, Rows};

/// A node, what surrounds it, and what it is planned for.
pub(in crate::plan) struct Site<'a> {
    pub graph: &'a Graph,
    /// The node's index in the graph.
    pub index: usize,
    pub machine: &'a Machine,
    pub formats: &'a Formats,
    /// Threads that share each image.
    pub threads: usize,
    /// Places that are read after the run.
    pub keep: &'a [Place],
    /// Which nodes other steps compute already.
    pub taken: &'a [bool],
    /// The first buffer that an offer may add.
    pub next_buffer: BufferId,
}

impl<'a> Site<'a> {
    pub(in crate::plan) fn node(&self) -> &'a Node {
        &self.graph.nodes[self.index]
    }

    pub(in crate::plan) fn op(&self) -> &'a Op {
        &self.node().op
    }

    /// Channels, rows and columns of what the node reads, and of what it writes.
    pub(in crate::plan) fn shapes(&self) -> [[usize; 3]; 2] {
        [self.node().input, self.node().output].map(|place| self.graph.shape(place))
    }

    /// The planes that the node reads.
    pub(in crate::plan) fn input(&self) -> Rows {
        self.rows(self.node().input)
    }

    /// The planes that the node writes.
    pub(in crate::plan) fn output(&self) -> Rows {
        self.rows(self.node().output)
    }

    /// What the node reads, and what it writes, is stored as.
    pub(in crate::plan) fn elements(&self) -> [Element; 2] {
        [self.node().input, self.node().output].map(|place| self.formats.element(place.activation))
    }

    /// The planes of a place.
    pub(in crate::plan) fn rows(&self, place: Place) -> Rows {
        Rows::of(self.graph, place)
    }

    /// Whether a place is all of its activation.
    pub(in crate::plan) fn is_whole(&self, place: Place) -> bool {
        place.channels == self.graph.activations[place.activation].c
    }

    /// The nodes that read an activation, or channels of it.
    pub(in crate::plan) fn readers(&self, activation: usize) -> Vec<usize> {
        let nodes = &self.graph.nodes;
        (0..nodes.len()).filter(|&node| nodes[node].input.activation == activation).collect()
    }

    /// Whether an activation, or channels of it, are read after the run.
    pub(in crate::plan) fn is_kept(&self, activation: usize) -> bool {
        self.keep.iter().any(|place| place.activation == activation)
    }

    /// Whether a node computes in the same arithmetic as the site's, to the same element.
    pub(in crate::plan) fn is_alike(&self, node: usize) -> bool {
        let format = |node: usize| {
            let output = self.graph.nodes[node].output.activation;
            (self.formats.is_integer(node), self.formats.element(output))
        };
        format(node) == format(self.index)
    }

    /// Whether another step computes the node already.
    pub(in crate::plan) fn is_taken(&self, node: usize) -> bool {
        self.taken[node]
    }
}
