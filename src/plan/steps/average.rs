//! Means of a map, or of windows of it, split by channels.

use googlenet_kernels::average::{self, AverageFn, GlobalAverage};
use googlenet_kernels::average_pool::{AveragePoolShape, Windows, average_pool};
use googlenet_kernels::element::Element;

use super::{Offer, Part, Step, StepWeights};
use crate::model::{AverageWindows, Op};
use crate::plan::build::Site;
use crate::plan::memory::Operands;

#[derive(Debug)]
enum Average {
    /// The mean of each channel's `plane` pixels.
    Global { kernel: AverageFn, plane: usize },
    /// The means of each channel's windows.
    Windows(AveragePoolShape),
}

pub(super) fn offers(site: &Site<'_>) -> Vec<Offer> {
    let [[_, ih, iw], [_, oh, ow]] = site.shapes();
    let average = match site.op() {
        Op::GlobalAverage => {
            Average::Global { kernel: average::select(site.machine.isa, Element::F32), plane: ih * iw }
        }
        Op::AveragePool(pool) => {
            let windows = match pool.windows {
                AverageWindows::Sliding { kernel, stride } => Windows::Sliding { kernel, stride, pad: 0 },
                AverageWindows::Adaptive(_) => Windows::Adaptive,
            };
            Average::Windows(AveragePoolShape { ih, iw, oh, ow, windows })
        }
        _ => return Vec::new(),
    };
    Offer::only(site, average)
}

impl Step for Average {
    fn kernel(&self) -> String {
        let name = if let Average::Global { .. } = self { "average" } else { "average pool" };
        name.into()
    }

    fn detail(&self) -> String {
        match self {
            Average::Global { plane, .. } => format!("{plane} pixels"),
            Average::Windows(shape) => format!("{:?}", shape.windows),
        }
    }

    fn run(&self, _: &Part, _: StepWeights<'_>, operands: Operands<'_>, _: &mut [u8]) {
        let (x, mut y) = (operands.read(), operands.write());
        match self {
            Average::Global { kernel, plane } => kernel(GlobalAverage { x, plane: *plane, scale: 1.0, y: y.row(0) }),
            Average::Windows(shape) => average_pool(Element::F32, shape, x, 1.0, y.row(0)),
        }
    }
}
