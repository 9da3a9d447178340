//! Probabilities of logits, as one task.

use googlenet_kernels::softmax::softmax;

use super::{Ends, Offer, Part, Step, StepWeights, split_evenly};
use crate::model::Op;
use crate::plan::build::{Machine, Site};
use crate::plan::memory::Operands;

#[derive(Debug)]
struct Softmax;

pub(super) fn offers(site: &Site<'_>) -> Vec<Offer> {
    if let Op::Softmax = site.op() { Offer::only(site, Softmax) } else { Vec::new() }
}

impl Step for Softmax {
    fn kernel(&self) -> String {
        "softmax".into()
    }

    fn split(&self, ends: &Ends, _: &Machine, _: usize) -> Vec<Part> {
        split_evenly(ends.output().rows, 1)
    }

    fn run(&self, _: &Part, _: StepWeights<'_>, operands: Operands<'_>, _: &mut [u8]) {
        softmax(operands.read(), operands.write().row(0));
    }
}
