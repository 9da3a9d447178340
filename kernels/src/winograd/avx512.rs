//! Winograd convolution on AVX-512. 32 zmm registers: 14x2 is 28 accumulators, 2 weights, 1 input.

use super::{F23, F25, F43, F44, F45, Form, Winograd, filter, input, output, product};
use crate::isa::Avx512;

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
        lanes: 16,
        oc: 32,
        filter: filter::filter::<F>,
        // SAFETY: this table is reached only through `algorithms(Isa::Avx512)`, whose token proves the set.
        input: |operands| unsafe { input_avx512::<F>(operands) },
        // SAFETY: this table is reached only through `algorithms(Isa::Avx512)`, whose token proves the set.
        product: |operands| unsafe { product_avx512(operands) },
        // SAFETY: this table is reached only through `algorithms(Isa::Avx512)`, whose token proves the set.
        output: |operands| unsafe { output_avx512::<F>(operands) },
    }
}

#[target_feature(enable = "avx512f,avx2,fma")]
fn input_avx512<F: Form>(operands: input::Input<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Avx512::assume() };
    input::input::<_, F>(set, operands);
}

#[target_feature(enable = "avx512f,avx2,fma")]
fn product_avx512(operands: product::Product<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Avx512::assume() };
    let whole = operands.width == 32;
    product::product(
        set,
        operands,
        14,
        #[inline(always)]
        |p, group| match whole {
            true => product::by_tiles!(set, p, group, 2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
            false => product::by_tiles!(set, p, group, 1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        },
    );
}

#[target_feature(enable = "avx512f,avx2,fma")]
fn output_avx512<F: Form>(operands: output::Output<'_>) {
    // SAFETY: the features enabled on this function are those the token stands for.
    let set = unsafe { Avx512::assume() };
    output::output::<_, F>(set, operands);
}
