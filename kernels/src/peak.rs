//! The multiply-add peak of a core: what a kernel's speed is a share of.
//!
//! Chains of dependent multiply-adds on registers alone, `x = x * a + b`, enough of them to hide the latency, and no
//! memory at all:
//!
//! ```text
//! for each round:
//!     for i in 0..CHAINS: x[i] = x[i] * a + b
//! ```
//!
//! An FMA of today's cores takes 4 cycles and 2 (x86) or 4 (some Arm) begin in each: at least 8 or 16 chains. The
//! portable set multiplies and adds apart, which is slower, and its peak is lower for it. With `a = 1/2` and `b = 1`
//! every chain goes to 2: no subnormal, no infinity slows it down.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::isa::Isa;
#[cfg(target_arch = "aarch64")]
use crate::isa::Neon;
#[cfg(target_arch = "x86_64")]
use crate::isa::{Avx2, Avx512};
use crate::simd::{Portable, Simd};

/// Measures the calling thread's multiply-adds per second on `isa` for about `milliseconds`.
///
/// The result is the best of stretches of about a millisecond; it holds while nothing else runs on the core.
pub fn fma_peak(isa: Isa, milliseconds: u64) -> f64 {
    let (rounds_of, chains, lanes) = select(isa);
    let (begin, limit) = (Instant::now(), Duration::from_millis(milliseconds));
    let mut best = 0.0_f64;
    loop {
        let stretch = Instant::now();
        black_box(rounds_of(black_box(ROUNDS), black_box(0.5)));
        let seconds = stretch.elapsed().as_secs_f64();
        best = best.max((ROUNDS * chains * lanes) as f64 / seconds.max(f64::MIN_POSITIVE));
        if begin.elapsed() >= limit {
            return best;
        }
    }
}

/// Runs so many rounds with that factor and returns the sum of all chains.
type RoundsFn = fn(rounds: usize, a: f32) -> f32;

/// The rounds for `isa`, and how many chains of how many lanes take part.
fn select(isa: Isa) -> (RoundsFn, usize, usize) {
    match isa {
        Isa::Portable => (rounds_portable, 5, Portable::LANES),
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a `Neon` exists only where NEON was detected.
        Isa::Neon(_has) => (|rounds, a| unsafe { rounds_neon(rounds, a) }, 16, Neon::LANES),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Avx2` exists only where AVX2 and FMA were detected.
        Isa::Avx2(_has) => (|rounds, a| unsafe { rounds_avx2(rounds, a) }, 12, Avx2::LANES),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Avx512` exists only where AVX-512 F was detected.
        Isa::Avx512(_has) => (|rounds, a| unsafe { rounds_avx512(rounds, a) }, 12, Avx512::LANES),
    }
}

/// 5 chains of two SSE registers each: 10 of 16, and the constants.
fn rounds_portable(rounds: usize, a: f32) -> f32 {
    chains::<_, 5>(Portable, rounds, a)
}

/// 16 chains and 2 constants: 18 of 32 registers.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn rounds_neon(rounds: usize, a: f32) -> f32 {
    // SAFETY: the features enabled on this function are those the token stands for.
    chains::<_, 16>(unsafe { Neon::assume() }, rounds, a)
}

/// 12 chains and 2 constants: 14 of 16 registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn rounds_avx2(rounds: usize, a: f32) -> f32 {
    // SAFETY: the features enabled on this function are those the token stands for.
    chains::<_, 12>(unsafe { Avx2::assume() }, rounds, a)
}

/// 12 chains and 2 constants; with 24 the compiler kept them in memory.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn rounds_avx512(rounds: usize, a: f32) -> f32 {
    // SAFETY: the features enabled on this function are those the token stands for.
    chains::<_, 12>(unsafe { Avx512::assume() }, rounds, a)
}

#[inline(always)]
fn chains<S: Simd, const CHAINS: usize>(set: S, rounds: usize, a: f32) -> f32 {
    let (a, b) = (set.splat(a), set.splat(1.0));
    let mut x = [set.splat(0.0); CHAINS];
    for (i, x) in x.iter_mut().enumerate() {
        *x = set.splat(i as f32);
    }
    for _ in 0..rounds {
        for x in &mut x {
            *x = set.mul_add(*x, a, b);
        }
    }
    let mut sum = 0.0;
    for x in x {
        sum += set.sum(x);
    }
    sum
}

/// Rounds of a stretch: 6 to 12 cycles each, so about half a millisecond.
const ROUNDS: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa;

    #[test]
    fn the_counted_chains_all_run() {
        for isa in isa::detected() {
            let (rounds_of, chains, lanes) = select(isa);
            // Chain i starts at i; a round takes it to i / 2 + 1; after 60, nothing is left of its distance to 2.
            let starts = (lanes * chains * (chains - 1) / 2) as f32;
            let count = (lanes * chains) as f32;
            for (rounds, sum) in [(0, starts), (1, starts / 2.0 + count), (60, 2.0 * count)] {
                assert_eq!(rounds_of(rounds, 0.5), sum, "{isa}, {rounds} rounds");
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "measures time")]
    fn a_peak_is_a_speed_that_a_core_can_have() {
        for isa in isa::detected() {
            let gmacs = fma_peak(isa, 5) / 1e9;
            assert!((0.05..2000.0).contains(&gmacs), "{isa}: {gmacs} GMAC/s");
        }
    }
}
