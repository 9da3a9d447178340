//! Max pooling, split by channels.

use googlenet_kernels::pool::{self, MaxPoolFn, PoolShape};

use super::{Offer, Part, Step, StepWeights};
use crate::model::Op;
use crate::plan::build::Site;
use crate::plan::memory::Operands;

#[derive(Debug)]
struct MaxPool {
    shape: PoolShape,
    kernel: MaxPoolFn,
}

pub(super) fn offers(site: &Site<'_>) -> Vec<Offer> {
    let Op::MaxPool(pool) = site.op() else { return Vec::new() };
    let [[_, ih, iw], [_, oh, ow]] = site.shapes();
    let (pad_t, pad_l) = (pool.leading(ih), pool.leading(iw));
    let shape = PoolShape { ih, iw, oh, ow, kernel: pool.kernel, stride: pool.stride, pad_t, pad_l };
    Offer::only(site, MaxPool { shape, kernel: pool::select(site.machine.isa, site.elements()[0]) })
}

impl Step for MaxPool {
    fn kernel(&self) -> String {
        "max pool".into()
    }

    fn detail(&self) -> String {
        format!("{0}x{0}/{1}", self.shape.kernel, self.shape.stride)
    }

    fn run(&self, _: &Part, _: StepWeights<'_>, operands: Operands<'_>, _: &mut [u8]) {
        (self.kernel)(pool::MaxPool { shape: &self.shape, x: operands.read(), y: operands.write().row(0) });
    }
}
