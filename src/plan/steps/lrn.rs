//! Local response normalisation, split by pixels; in place where nothing else needs the input.

use googlenet_kernels::lrn::{self, LrnFn, LrnShape};

use super::{Offer, Part, Step, split_evenly};
use crate::model::Op;
use crate::plan::build::{Machine, Site};
use crate::plan::memory::{INPUT, Operands, Rows, Touch};

#[derive(Debug)]
struct Lrn {
    shape: LrnShape,
    kernel: LrnFn,
    in_place: bool,
    input: Rows,
    output: Rows,
}

pub(super) fn offers(site: &Site<'_>) -> Vec<Offer> {
    let Op::Lrn(lrn) = site.op() else { return Vec::new() };
    let (input, output) = (site.input(), site.output());
    let shape =
        LrnShape { c: input.rows, plane: input.len, size: lrn.size, alpha: lrn.alpha, beta: lrn.beta, k: lrn.k };
    // Both activations are then one buffer, so both must be read and written whole.
    let in_place = input.buffer != INPUT
        && site.is_whole(site.node().input)
        && site.is_whole(site.node().output)
        && site.readers(input.buffer).len() == 1
        && !site.is_kept(input.buffer);
    Offer::only(site.index, Lrn { shape, kernel: lrn::select(site.machine.isa), in_place, input, output })
}

impl Step for Lrn {
    fn kernel(&self) -> String {
        "local response normalisation".into()
    }

    fn detail(&self) -> String {
        format!("{} channels", self.shape.size)
    }

    fn input(&self) -> Rows {
        self.input
    }

    fn outputs(&self) -> Vec<Rows> {
        vec![self.output]
    }

    fn is_in_place(&self) -> bool {
        self.in_place
    }

    fn split(&self, machine: &Machine, threads: usize) -> Vec<Part> {
        let elements = self.output.rows * self.output.len;
        split_evenly(self.shape.plane, machine.light_tasks(elements, threads), &(0..0))
    }

    fn touch(&self, part: &Part) -> Touch {
        let read = (!self.in_place).then(|| self.input.whole(0..self.input.rows));
        Touch { read, writes: vec![self.output.window(0..self.shape.c, part.range.clone())] }
    }

    fn run(&self, part: &Part, _: &[u8], operands: Operands<'_>, _: &mut [u8]) {
        let x = (!self.in_place).then(|| (operands.read(), part.range.start));
        (self.kernel)(lrn::Lrn { shape: &self.shape, x, y: operands.write() });
    }
}
