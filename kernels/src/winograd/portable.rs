//! Winograd convolution on the portable set. Two SSE2 registers a vector, or what the build's target has.

use super::{F23, F25, F43, F44, F45, Form, Winograd, filter, input, output, product};
use crate::simd::Portable;

pub(super) static ALGORITHMS: [Winograd; 5] = [
    algorithm::<F43>("F(4,3)"),
    algorithm::<F23>("F(2,3)"),
    algorithm::<F45>("F(4,5)"),
    algorithm::<F25>("F(2,5)"),
    algorithm::<F44>("F(4,4)"),
];

const fn algorithm<F: Form>(name: &'static str) -> Winograd {
    Winograd {
        name,
        m: F::M,
        r: F::R,
        lanes: 8,
        oc: 8,
        filter: filter::filter::<F>,
        input: input_portable::<F>,
        product: product_portable,
        output: output_portable::<F>,
    }
}

fn input_portable<F: Form>(operands: input::Input<'_>) {
    let set = Portable;
    input::input::<_, F>(set, operands);
}

fn product_portable(operands: product::Product<'_>) {
    let set = Portable;
    product::product(
        set,
        operands,
        4,
        #[inline(always)]
        |p, group| product::by_tiles!(set, p, group, 1: 1 2 3 4),
    );
}

fn output_portable<F: Form>(operands: output::Output<'_>) {
    let set = Portable;
    output::output::<_, F>(set, operands);
}
