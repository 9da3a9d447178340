//! Local response normalisation, split by pixels; in place where nothing else needs the input.

use googlenet_kernels::lrn::{self, LrnFn, LrnShape};

use super::{Ends, Offer, Part, Step, StepWeights, split_evenly};
use crate::model::Op;
use crate::plan::build::{Machine, Site};
use crate::plan::memory::{INPUT, Operands, Touch};

#[derive(Debug)]
struct Lrn {
    shape: LrnShape,
    kernel: LrnFn,
    in_place: bool,
}

pub(super) fn offers(site: &Site<'_>) -> Vec<Offer> {
    let Op::Lrn(lrn) = site.op() else { return Vec::new() };
    let input = site.input();
    let (c, plane) = (input.rows, input.len);
    let scale = 1.0 / site.formats.scale(site.node().output.activation);
    let shape = LrnShape { c, plane, size: lrn.size, alpha: lrn.alpha, beta: lrn.beta, k: lrn.k, scale };
    let [from, to] = site.elements();
    // Both activations are then one buffer, so both must be read and written whole.
    let in_place = from == to
        && input.buffer != INPUT
        && site.is_whole(site.node().input)
        && site.is_whole(site.node().output)
        && site.readers(input.buffer).len() == 1
        && !site.is_kept(input.buffer);
    Offer::only(site, Lrn { shape, kernel: lrn::select(site.machine.isa, from, to), in_place })
}

impl Step for Lrn {
    fn kernel(&self) -> String {
        "local response normalisation".into()
    }

    fn detail(&self) -> String {
        format!("{} channels", self.shape.size)
    }

    fn is_in_place(&self) -> bool {
        self.in_place
    }

    fn split(&self, _: &Ends, machine: &Machine, threads: usize) -> Vec<Part> {
        let LrnShape { c, plane, .. } = self.shape;
        split_evenly(plane, machine.light_tasks(c * plane, threads))
    }

    fn touch(&self, ends: &Ends, part: &Part) -> Touch {
        let read = (!self.in_place).then(|| ends.input.all());
        Touch { read, writes: vec![ends.output().window(0..self.shape.c, part.range.clone())] }
    }

    fn run(&self, part: &Part, _: StepWeights<'_>, operands: Operands<'_>, _: &mut [u8]) {
        let x = (!self.in_place).then(|| (operands.read(), part.range.start));
        (self.kernel)(lrn::Lrn { shape: &self.shape, x, y: operands.write() });
    }
}
