//! Global average: `y[c]` is the mean of channel `c`.
//!
//! A plane is summed lane by lane, `x[i], x[i + LANES], ...`, then across the lanes: always in the same order.

use crate::isa::Isa;
use crate::simd::{Portable, Simd};

/// One variant: `x` is `[c, plane]`, `y` is `[c]`. Panics if the lengths disagree or `plane` is 0.
pub type AverageFn = fn(x: &[f32], plane: usize, y: &mut [f32]);

/// The variant for `isa`.
pub fn select(isa: Isa) -> AverageFn {
    match isa {
        Isa::Portable => |x, plane, y| average(Portable, x, plane, y),
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a `Neon` exists only where neon was detected.
        Isa::Neon(_) => |x, plane, y| unsafe { average_neon(x, plane, y) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Avx2` exists only where avx2 and fma were detected.
        Isa::Avx2(_) => |x, plane, y| unsafe { average_avx2(x, plane, y) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Avx512` exists only where avx512f was detected.
        Isa::Avx512(_) => |x, plane, y| unsafe { average_avx512(x, plane, y) },
    }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn average_neon(x: &[f32], plane: usize, y: &mut [f32]) {
    // SAFETY: the features enabled on this function are those the token stands for.
    average(unsafe { crate::isa::Neon::assume() }, x, plane, y);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn average_avx2(x: &[f32], plane: usize, y: &mut [f32]) {
    // SAFETY: the features enabled on this function are those the token stands for.
    average(unsafe { crate::isa::Avx2::assume() }, x, plane, y);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn average_avx512(x: &[f32], plane: usize, y: &mut [f32]) {
    // SAFETY: the features enabled on this function are those the token stands for.
    average(unsafe { crate::isa::Avx512::assume() }, x, plane, y);
}

#[inline(always)]
fn average<S: Simd>(s: S, x: &[f32], plane: usize, y: &mut [f32]) {
    assert!(plane > 0 && x.len() == plane * y.len(), "{} elements for {} channels of {plane}", x.len(), y.len());
    for (x, y) in x.chunks_exact(plane).zip(y) {
        let mut sum = s.splat(0.0);
        let mut i = 0;
        while i < plane {
            let n = if plane - i < S::LANES { plane - i } else { S::LANES };
            // SAFETY: i + n <= plane, the length of `x`.
            sum = s.add(sum, unsafe { s.load_window(x.as_ptr().add(i), 0, n) });
            i += n;
        }
        *y = s.sum(sum) / plane as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa;
    use crate::reference::global_average_ref;

    #[test]
    fn every_variant_at_every_length() {
        for plane in (1..70).chain([196, 784]) {
            let x: Vec<f32> = (0..3 * plane).map(|i| (i as f32 * 0.7).sin() + 0.3).collect();
            let expected = global_average_ref(&x, plane);
            for isa in isa::detected() {
                let mut y = [7777.0; 5];
                select(isa)(&x, plane, &mut y[1..4]);
                assert_eq!((y[0], y[4]), (7777.0, 7777.0), "{isa} wrote outside");
                for (c, (&got, &expected)) in y[1..4].iter().zip(&expected).enumerate() {
                    let magnitude: f64 = x[c * plane..][..plane].iter().map(|v| f64::from(v.abs())).sum();
                    // plane additions and a quotient.
                    let bound = (plane + 1) as f64 * f64::from(f32::EPSILON) * magnitude / plane as f64;
                    assert!((f64::from(got) - expected).abs() <= bound, "{isa} {plane}: {got} for {expected}");
                }
            }
        }
    }
}
