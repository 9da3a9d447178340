//! Means of a map, or of windows of it, split by channels.

use googlenet_kernels::average::{self, AverageFn, GlobalAverage};
use googlenet_kernels::average_pool::{AveragePoolShape, Windows, average_pool};
use googlenet_kernels::element::Element;

use super::{Offer, Part, Step, StepWeights};
use crate::model::{AverageWindows, Op};
use crate::plan::build::Site;
use crate::plan::memory::Operands;

#[derive(Debug)]
struct Average {
    means: Means,
    element: Element,
    /// The real value of 1 of what it reads.
    scale: f32,
}

#[derive(Debug)]
enum Means {
    /// The mean of each channel's `plane` pixels.
    Global { kernel: AverageFn, plane: usize },
    /// The means of each channel's windows.
    Windows(AveragePoolShape),
}

pub(super) fn offers(site: &Site<'_>) -> Vec<Offer> {
    let [[_, ih, iw], [_, oh, ow]] = site.shapes();
    let [element, _] = site.elements();
    let means = match site.op() {
        Op::GlobalAverage => Means::Global { kernel: average::select(site.machine.isa, element), plane: ih * iw },
        Op::AveragePool(pool) => {
            let windows = match pool.windows {
                AverageWindows::Sliding { kernel, stride } => Windows::Sliding { kernel, stride, pad: 0 },
                AverageWindows::Adaptive(_) => Windows::Adaptive,
            };
            Means::Windows(AveragePoolShape { ih, iw, oh, ow, windows })
        }
        _ => return Vec::new(),
    };
    Offer::only(site, Average { means, element, scale: site.formats.scale(site.node().input.activation) })
}

impl Step for Average {
    fn kernel(&self) -> String {
        let name = if let Means::Global { .. } = self.means { "average" } else { "average pool" };
        name.into()
    }

    fn detail(&self) -> String {
        match &self.means {
            Means::Global { plane, .. } => format!("{plane} pixels"),
            Means::Windows(shape) => format!("{:?}", shape.windows),
        }
    }

    fn run(&self, _: &Part, _: StepWeights<'_>, operands: Operands<'_>, _: &mut [u8]) {
        let (x, mut y, scale) = (operands.read(), operands.write(), self.scale);
        match &self.means {
            Means::Global { kernel, plane } => kernel(GlobalAverage { x, plane: *plane, scale, y: y.row(0) }),
            Means::Windows(shape) => average_pool(self.element, shape, x, scale, y.row(0)),
        }
    }
}
