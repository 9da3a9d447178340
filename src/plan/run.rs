//! Executes tasks: turns a task and its operands into kernel calls. No choices are made here, and nothing allocates.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use googlenet_kernels::isa::Isa;
use googlenet_kernels::view::RowsMut;
use googlenet_kernels::{average, average_pool, dense, lrn, pool, softmax};

use super::arena::Operands;
use super::build::Layout;
use super::direct::convolve;
use super::packed::Packed;
use super::step::{Kind, Task};

/// The kernels besides convolutions, and the weights as each step wants them.
pub(super) struct Executor {
    pub layout: Layout,
    /// By step: packed weights and biases of a convolution; weights, then biases, of a fully connected layer.
    pub weights: Vec<Packed>,
    max_pool: pool::MaxPoolFn,
    lrn: lrn::LrnFn,
    average: average::AverageFn,
    isa: Isa,
    /// Nanoseconds by step, summed over threads and runs; only when asked for.
    pub profile: Option<Vec<AtomicU64>>,
}

impl Executor {
    pub(super) fn new(layout: Layout, weights: Vec<Packed>, isa: Isa, profile: bool) -> Self {
        let profile = profile.then(|| layout.steps.iter().map(|_| AtomicU64::new(0)).collect());
        Self {
            layout,
            weights,
            max_pool: pool::select(isa),
            lrn: lrn::select(isa),
            average: average::select(isa),
            isa,
            profile,
        }
    }

    /// Computes task `index` of `phase` for the image `input`.
    pub(super) fn execute(
        &self,
        phase: usize,
        index: usize,
        operands: Operands<'_>,
        input: &[f32],
        scratch: &mut [f32],
    ) {
        let task = &self.layout.tasks[phase][index];
        let started = self.profile.is_some().then(Instant::now);
        self.compute(task, operands, input, scratch);
        if let (Some(profile), Some(started)) = (&self.profile, started) {
            let nanoseconds = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            profile[task.step].fetch_add(nanoseconds, Ordering::Relaxed);
        }
    }

    fn compute(&self, task: &Task, mut operands: Operands<'_>, input: &[f32], scratch: &mut [f32]) {
        let x = operands.read.unwrap_or(input);
        match &self.layout.steps[task.step].kind {
            Kind::Direct(conv) => {
                let part = (task.part.clone(), task.blocks.clone());
                convolve(conv, &self.weights[task.step], part, x, &mut operands, scratch);
            }
            Kind::Winograd(conv) => {
                conv.convolve(x, &self.weights[task.step], task.part.clone(), first(&mut operands), scratch);
            }
            Kind::WinogradInput { conv, .. } => {
                let [v, ..] = operands.writes;
                conv.transform(x, task.part.clone(), v.expect("every task writes"), scratch);
            }
            Kind::WinogradOutput(conv) => {
                conv.multiply(x, &self.weights[task.step], task.blocks.clone(), first(&mut operands), scratch);
            }
            Kind::MaxPool(shape) => {
                (self.max_pool)(pool::MaxPool { shape, x, y: first(&mut operands).row(0) });
            }
            Kind::Lrn { shape, in_place } => {
                let y = first(&mut operands);
                let y = y.window(0..shape.c, 0..task.part.len());
                (self.lrn)(lrn::Lrn { shape, x: (!in_place).then_some((x, task.part.start)), y });
            }
            Kind::AveragePool(shape) => average_pool::average_pool(shape, x, first(&mut operands).row(0)),
            Kind::GlobalAverage { plane } => {
                (self.average)(average::GlobalAverage { x, plane: *plane, y: first(&mut operands).row(0) });
            }
            Kind::FullyConnected { relu } => {
                let weights = &self.weights[task.step];
                let dense = dense::Dense::new(self.isa, x.len(), weights.len() / (x.len() + 1));
                let y = first(&mut operands).row(0);
                dense.run(x, bytemuck::cast_slice(weights), *relu, task.part.clone(), y);
            }
            Kind::Softmax => softmax::softmax(x, first(&mut operands).row(0)),
        }
    }
}

/// The place that every task writes to.
fn first<'a, 'b>(operands: &'b mut Operands<'a>) -> &'b mut RowsMut<'a> {
    operands.writes[0].as_mut().expect("every task writes")
}
