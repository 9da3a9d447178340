//! Means of a map, or of windows of it, split by channels.

use googlenet_kernels::average::{self, AverageFn, GlobalAverage};
use googlenet_kernels::average_pool::{AveragePoolShape, Windows, average_pool};

use super::{Offer, Part, Step, split_evenly};
use crate::model::{AverageWindows, Op};
use crate::plan::build::{Machine, Site};
use crate::plan::memory::{Operands, Rows, Touch};

#[derive(Debug)]
struct Average {
    means: Means,
    input: Rows,
    output: Rows,
}

#[derive(Debug)]
enum Means {
    /// One of each channel.
    Global(AverageFn),
    /// One of each window.
    Windows(AveragePoolShape),
}

pub(super) fn offers(site: &Site<'_>) -> Vec<Offer> {
    let means = match site.op() {
        Op::GlobalAverage => Means::Global(average::select(site.machine.isa)),
        Op::AveragePool(pool) => {
            let windows = match pool.windows {
                AverageWindows::Sliding { kernel, stride } => Windows::Sliding { kernel, stride, pad: 0 },
                AverageWindows::Adaptive(_) => Windows::Adaptive,
            };
            let (x, y) = (site.input_activation(), site.output_activation());
            Means::Windows(AveragePoolShape { ih: x.h, iw: x.w, oh: y.h, ow: y.w, windows })
        }
        _ => return Vec::new(),
    };
    Offer::only(site.index, Average { means, input: site.input(), output: site.output() })
}

impl Step for Average {
    fn kernel(&self) -> String {
        match &self.means {
            Means::Global(_) => "average".into(),
            Means::Windows(_) => "average pool".into(),
        }
    }

    fn detail(&self) -> String {
        match &self.means {
            Means::Global(_) => format!("{} pixels", self.input.len),
            Means::Windows(shape) => format!("{:?}", shape.windows),
        }
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
        let mut y = operands.write();
        match &self.means {
            Means::Global(average) => average(GlobalAverage { x, plane: self.input.len, y: y.row(0) }),
            Means::Windows(shape) => average_pool(shape, x, y.row(0)),
        }
    }
}
