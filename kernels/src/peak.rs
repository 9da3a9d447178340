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
use crate::op::{Op, Set};
use crate::simd::Simd;
use crate::tiles;

/// Measures the calling thread's multiply-adds per second on `isa` for about `milliseconds`.
///
/// The result is the best of stretches of about a millisecond; it holds while nothing else runs on the core.
pub fn fma_peak(isa: Isa, milliseconds: u64) -> f64 {
    let peak = &tiles::of(isa).peak;
    let (begin, limit) = (Instant::now(), Duration::from_millis(milliseconds));
    let mut best = 0.0_f64;
    loop {
        let stretch = Instant::now();
        black_box(peak.run(black_box(ROUNDS), black_box(0.5)));
        let seconds = stretch.elapsed().as_secs_f64();
        best = best.max((ROUNDS * peak.chains * peak.lanes) as f64 / seconds.max(f64::MIN_POSITIVE));
        if begin.elapsed() >= limit {
            return best;
        }
    }
}

/// The rounds of one set.
pub(crate) struct Rounds {
    chains: usize,
    lanes: usize,
    /// Must not run where the set is missing, so that only `tiles::of` hands it out.
    entry: unsafe fn((usize, f32)) -> f32,
}

impl Rounds {
    /// Runs `rounds` rounds with the factor `a` and returns the sum of all chains.
    fn run(&self, rounds: usize, a: f32) -> f32 {
        // SAFETY: a table of tiles is handed out for a set that the CPU has (`tiles::of`).
        unsafe { (self.entry)((rounds, a)) }
    }
}

/// The rounds of `CHAINS` chains on `S`.
pub(crate) const fn rounds<S: Set, const CHAINS: usize>() -> Rounds {
    Rounds { chains: CHAINS, lanes: S::LANES, entry: S::enter::<Chains<CHAINS>> }
}

struct Chains<const CHAINS: usize>;

impl<const CHAINS: usize> Op for Chains<CHAINS> {
    type Args<'a> = (usize, f32);
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(s: S, (rounds, a): (usize, f32)) -> f32 {
        let (a, b) = (s.splat(a), s.splat(1.0));
        let mut x = [s.splat(0.0); CHAINS];
        for (i, x) in x.iter_mut().enumerate() {
            *x = s.splat(i as f32);
        }
        for _ in 0..rounds {
            for x in &mut x {
                *x = s.mul_add(*x, a, b);
            }
        }
        let mut sum = 0.0;
        for x in x {
            sum += s.sum(x);
        }
        sum
    }
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
            let peak @ Rounds { chains, lanes, .. } = &tiles::of(isa).peak;
            // Chain i starts at i; a round takes it to i / 2 + 1; after 60, nothing is left of its distance to 2.
            let starts = (lanes * chains * (chains - 1) / 2) as f32;
            let count = (lanes * chains) as f32;
            for (rounds, sum) in [(0, starts), (1, starts / 2.0 + count), (60, 2.0 * count)] {
                assert_eq!(peak.run(rounds, 0.5), sum, "{isa}, {rounds} rounds");
            }
        }
    }

    /// No core starts more than two multiply-adds of vectors a cycle, or runs at 8 GHz; and a wider set is there because it
    /// is faster. Either bound fails where multiply-adds are counted that no chain makes, or too few.
    #[test]
    #[cfg_attr(any(miri, not(target_arch = "x86_64")), ignore = "measures time, which emulation has none of")]
    fn a_peak_is_a_speed_that_a_core_can_have() {
        let mut slower = 0.05e9;
        for isa in isa::detected() {
            let (peak, lanes) = (fma_peak(isa, 20), tiles::of(isa).peak.lanes);
            assert!(peak <= 2.0 * 8e9 * lanes as f64, "{isa}: {peak:e} multiply-adds a second");
            assert!(peak >= 0.8 * slower, "{isa}: {peak:e} multiply-adds a second, and {slower:e} on the set before");
            slower = peak;
        }
    }
}
