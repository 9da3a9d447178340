//! Winograd convolution on AVX2. 16 ymm registers: 6x2 is 12 accumulators, 2 weights, 1 input.

use super::{F23, F25, F43, F44, F45, Form, Winograd, filter, input, output, product};
use crate::isa::Avx2;

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
        oc: 16,
        filter: filter::filter::<F>,
        // SAFETY: this table is reached only through `algorithms(Isa::Avx2)`, whose token proves the set.
        input: |operands| unsafe { input_avx2::<F>(operands) },
        // SAFETY: this table is reached only through `algorithms(Isa::Avx2)`, whose token proves the set.
        product: |operands| unsafe { product_avx2(operands) },
        // SAFETY: this table is reached only through `algorithms(Isa::Avx2)`, whose token proves the set.
        output: |operands| unsafe { output_avx2::<F>(operands) },
    }
}

#[target_feature(enable = "avx2,fma")]
fn input_avx2<F: Form>(operands: input::Input<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Avx2::assume() };
    input::input::<_, F>(set, operands);
}

#[target_feature(enable = "avx2,fma")]
fn product_avx2(operands: product::Product<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Avx2::assume() };
    let whole = operands.width == 16;
    product::product(
        set,
        operands,
        6,
        #[inline(always)]
        |p, group| match whole {
            true => product::by_tiles!(set, p, group, 2: 1 2 3 4 5 6),
            false => product::by_tiles!(set, p, group, 1: 1 2 3 4 5 6),
        },
    );
}

#[target_feature(enable = "avx2,fma")]
fn output_avx2<F: Form>(operands: output::Output<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Avx2::assume() };
    output::output::<_, F>(set, operands);
}
