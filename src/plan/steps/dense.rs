//! A fully connected layer, split by outputs: a matrix, read once from memory, and a bias.

use googlenet_kernels::dense::Dense;

use super::{Offer, Part, Step, split_evenly};
use crate::model::Op;
use crate::plan::build::{Machine, Site};
use crate::plan::memory::{Operands, Rows, Touch};

#[derive(Debug)]
struct FullyConnected {
    dense: Dense,
    relu: bool,
    input: Rows,
    output: Rows,
}

pub(super) fn offers(site: &Site<'_>) -> Vec<Offer> {
    let Op::FullyConnected { relu } = *site.op() else { return Vec::new() };
    let (input, output) = (site.input(), site.output());
    let dense = Dense::new(site.machine.isa, input.rows * input.len, output.rows);
    Offer::only(site.index, FullyConnected { dense, relu, input, output })
}

impl Step for FullyConnected {
    fn kernel(&self) -> String {
        "dot products".into()
    }

    fn input(&self) -> Rows {
        self.input
    }

    fn outputs(&self) -> Vec<Rows> {
        vec![self.output]
    }

    fn multiply_adds(&self) -> u64 {
        (self.input.rows * self.input.len * self.output.rows) as u64
    }

    fn packed_bytes(&self) -> usize {
        self.dense.packed_bytes()
    }

    fn pack(&self, _: usize, weights: &[f32], biases: &[f32], packed: &mut [u8]) {
        self.dense.pack(weights, biases, packed);
    }

    fn split(&self, machine: &Machine, threads: usize) -> Vec<Part> {
        // A weight is an element moved; eight of them cost as much as one that is moved and stored.
        let elements = self.output.rows * self.input.rows * self.input.len / 8;
        split_evenly(self.output.rows, machine.light_tasks(elements, threads), &(0..0))
    }

    fn touch(&self, part: &Part) -> Touch {
        let read = Some(self.input.whole(0..self.input.rows));
        Touch { read, writes: vec![self.output.whole(part.range.clone())] }
    }

    fn run(&self, part: &Part, packed: &[u8], operands: Operands<'_>, _: &mut [u8]) {
        let x = operands.read();
        self.dense.run(x, packed, self.relu, part.range.clone(), operands.write().row(0));
    }
}
