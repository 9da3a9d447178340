//! Max pooling, split by channels.

use googlenet_kernels::pool::{self, MaxPoolFn, PoolShape};

use super::{Offer, Part, Step, split_evenly};
use crate::model::Op;
use crate::plan::build::{Machine, Site};
use crate::plan::memory::{Operands, Rows, Touch};

#[derive(Debug)]
struct MaxPool {
    shape: PoolShape,
    kernel: MaxPoolFn,
    input: Rows,
    output: Rows,
}

pub(super) fn offers(site: &Site<'_>) -> Vec<Offer> {
    let Op::MaxPool(pool) = site.op() else { return Vec::new() };
    let (x, y) = (site.input_activation(), site.output_activation());
    let shape = PoolShape {
        ih: x.h,
        iw: x.w,
        oh: y.h,
        ow: y.w,
        kernel: pool.kernel,
        stride: pool.stride,
        pad_t: pool.leading(x.h),
        pad_l: pool.leading(x.w),
    };
    let kernel = pool::select(site.machine.isa);
    Offer::only(site.index, MaxPool { shape, kernel, input: site.input(), output: site.output() })
}

impl Step for MaxPool {
    fn kernel(&self) -> String {
        "max pool".into()
    }

    fn detail(&self) -> String {
        format!("{0}x{0}/{1}", self.shape.kernel, self.shape.stride)
    }

    fn input(&self) -> Rows {
        self.input
    }

    fn outputs(&self) -> Vec<Rows> {
        vec![self.output]
    }

    fn split(&self, machine: &Machine, threads: usize) -> Vec<Part> {
        let channels = self.output.rows;
        split_evenly(channels, machine.light_tasks(4 * channels * self.output.len, threads), &(0..0))
    }

    fn touch(&self, part: &Part) -> Touch {
        let channels = || part.range.clone();
        Touch { read: Some(self.input.whole(channels())), writes: vec![self.output.whole(channels())] }
    }

    fn run(&self, _: &Part, _: &[u8], operands: Operands<'_>, _: &mut [u8]) {
        let x = operands.read();
        (self.kernel)(pool::MaxPool { shape: &self.shape, x, y: operands.write().row(0) });
    }
}
