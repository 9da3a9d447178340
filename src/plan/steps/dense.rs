//! A fully connected layer, split by outputs: a matrix, read once from where it lies in the weight file, and a bias.

use googlenet_kernels::dense::{self, Dense, Matrix};

use super::{Ends, NodeWeights, Offer, Part, Step, StepWeights, split_evenly};
use crate::Result;
use crate::model::Op;
use crate::plan::build::{Machine, Site};
use crate::plan::memory::{Operands, Touch};
use crate::weights::Dtype;

#[derive(Debug)]
struct FullyConnected {
    dense: Dense,
    relu: bool,
}

pub(super) fn offers(site: &Site<'_>) -> Vec<Offer> {
    let Op::FullyConnected { relu } = *site.op() else { return Vec::new() };
    let (inputs, outputs) = (site.input().elements(), site.output().rows);
    Offer::only(site, FullyConnected { dense: Dense::new(site.machine.isa, inputs, outputs), relu })
}

impl Step for FullyConnected {
    fn kernel(&self) -> String {
        "dot products".into()
    }

    fn multiply_adds(&self) -> u64 {
        (self.dense.inputs() * self.dense.outputs()) as u64
    }

    fn takes_stored(&self) -> bool {
        true
    }

    fn packed_bytes(&self) -> usize {
        self.dense.packed_bytes()
    }

    fn pack(&self, _: usize, own: &NodeWeights<'_>, packed: &mut [u8]) -> Result<()> {
        self.dense.pack(own.biases, packed);
        Ok(())
    }

    fn split(&self, _: &Ends, machine: &Machine, threads: usize) -> Vec<Part> {
        // A weight is an element moved; eight of them cost as much as one that is moved and stored.
        let elements = self.dense.outputs() * self.dense.inputs() / 8;
        split_evenly(self.dense.outputs(), machine.light_tasks(elements, threads))
    }

    fn touch(&self, ends: &Ends, part: &Part) -> Touch {
        Touch { read: Some(ends.input.all()), writes: vec![ends.output().whole(part.range.clone())] }
    }

    fn run(&self, part: &Part, weights: StepWeights<'_>, operands: Operands<'_>, _: &mut [u8]) {
        let StepWeights { packed, stored } = weights;
        let stored = stored.expect("this step takes its weights as they are stored");
        let matrix = match stored.dtype {
            Dtype::F32 => Matrix::F32(bytemuck::cast_slice(stored.bytes)),
            Dtype::F16 => Matrix::F16(bytemuck::cast_slice(stored.bytes)),
        };
        let kernel_operands = dense::Operands { x: operands.read(), matrix, packed, relu: self.relu };
        self.dense.run(kernel_operands, part.range.clone(), operands.write().row(0));
    }
}
