//! Probabilities of logits, as one task.

use googlenet_kernels::softmax::softmax;

use super::{Offer, Part, Step, split_evenly};
use crate::model::Op;
use crate::plan::build::{Machine, Site};
use crate::plan::memory::{Operands, Rows, Touch};

#[derive(Debug)]
struct Softmax {
    input: Rows,
    output: Rows,
}

pub(super) fn offers(site: &Site<'_>) -> Vec<Offer> {
    match site.op() {
        Op::Softmax => Offer::only(site.index, Softmax { input: site.input(), output: site.output() }),
        _ => Vec::new(),
    }
}

impl Step for Softmax {
    fn kernel(&self) -> String {
        "softmax".into()
    }

    fn input(&self) -> Rows {
        self.input
    }

    fn outputs(&self) -> Vec<Rows> {
        vec![self.output]
    }

    fn split(&self, _: &Machine, _: usize) -> Vec<Part> {
        split_evenly(self.output.rows, 1, &(0..0))
    }

    fn touch(&self, part: &Part) -> Touch {
        Touch { read: Some(self.input.whole(0..self.input.rows)), writes: vec![self.output.whole(part.range.clone())] }
    }

    fn run(&self, _: &Part, _: &[u8], operands: Operands<'_>, _: &mut [u8]) {
        let x = operands.read();
        softmax(x, operands.write().row(0));
    }
}
