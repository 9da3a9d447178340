//! Winograd convolution on NEON. 32 registers: 12x2 is 24 accumulators, 2 weights, 1 input.

use super::{F23, F25, F43, F44, F45, Form, Winograd, filter, input, output, product};
use crate::isa::Neon;

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
        lanes: 4,
        oc: 8,
        filter: filter::filter::<F>,
        // SAFETY: this table is reached only through `algorithms(Isa::Neon)`, whose token proves the set.
        input: |operands| unsafe { input_neon::<F>(operands) },
        // SAFETY: this table is reached only through `algorithms(Isa::Neon)`, whose token proves the set.
        product: |operands| unsafe { product_neon(operands) },
        // SAFETY: this table is reached only through `algorithms(Isa::Neon)`, whose token proves the set.
        output: |operands| unsafe { output_neon::<F>(operands) },
    }
}

#[target_feature(enable = "neon")]
fn input_neon<F: Form>(operands: input::Input<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Neon::assume() };
    input::input::<_, F>(set, operands);
}

#[target_feature(enable = "neon")]
fn product_neon(operands: product::Product<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Neon::assume() };
    let whole = operands.width == 8;
    product::product(
        set,
        operands,
        12,
        #[inline(always)]
        |p, group| match whole {
            true => product::by_tiles!(set, p, group, 2: 1 2 3 4 5 6 7 8 9 10 11 12),
            false => product::by_tiles!(set, p, group, 1: 1 2 3 4 5 6 7 8 9 10 11 12),
        },
    );
}

#[target_feature(enable = "neon")]
fn output_neon<F: Form>(operands: output::Output<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Neon::assume() };
    output::output::<_, F>(set, operands);
}
