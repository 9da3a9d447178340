//! What a thread reads of memory in a second: what a layer that reads each weight once has its speed from.
//!
//! A sum over numbers that lie in a row, by as many streams as a fully connected layer reads rows at a time:
//!
//! ```text
//! for i in steps of LANES: for each stream r: acc[r][lane] += x[r][i + lane]
//! ```
//!
//! Nothing is computed but the sums, which end nowhere, so that no layer's kernel can read faster. One stream reads 65 to
//! 80 % of what eight do on Zen 3, and four read as much within what one measurement differs from the next.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::isa::Isa;
use crate::op::{self, Op};
use crate::simd::Simd;

/// Measures how many bytes a second the calling thread reads of `numbers` on `isa`, in about `milliseconds`.
///
/// The result is a mean over whole passes, as what a layer takes is. It is memory's speed if the numbers are many times the
/// caches' size, and a cache's if they fit it.
///
/// # Panics
/// If there are no numbers.
pub fn read_bandwidth(isa: Isa, numbers: &[f32], milliseconds: u64) -> f64 {
    assert!(!numbers.is_empty(), "numbers to read");
    let pass = op::select::<Sum>(isa);
    let (begin, limit) = (Instant::now(), Duration::from_millis(milliseconds));
    // A look at the clock takes a moment, beside which those passes are long.
    let at_once = u32::try_from((STRETCH_BYTES / size_of_val(numbers)).max(1)).unwrap_or(u32::MAX);
    let mut passes = 0_u32;
    loop {
        for _ in 0..at_once {
            black_box(pass(black_box(numbers)));
        }
        passes += at_once;
        let elapsed = begin.elapsed();
        if elapsed >= limit {
            return f64::from(passes) * size_of_val(numbers) as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        }
    }
}

/// Bytes that are read between two looks at the clock, if the numbers are fewer: some 20 microseconds' worth.
const STRETCH_BYTES: usize = 1 << 21;

/// The sum of numbers, read as rows side by side.
struct Sum;

/// How many rows.
const ROWS: usize = 8;

impl Op for Sum {
    type Args<'a> = &'a [f32];
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(s: S, numbers: &[f32]) -> f32 {
        // A row is whole vectors, with a sum of its own.
        let row_len = numbers.len() / ROWS / S::LANES * S::LANES;
        let mut acc = [s.splat(0.0); ROWS];
        for i in (0..row_len).step_by(S::LANES) {
            for (r, acc) in acc.iter_mut().enumerate() {
                let at = r * row_len + i;
                debug_assert!(at + S::LANES <= numbers.len());
                // SAFETY: row r ends at (r + 1) * row_len <= numbers.len(), and i + LANES <= row_len.
                *acc = s.add(*acc, unsafe { s.load(numbers.as_ptr().add(at)) });
            }
        }
        let rest: f32 = numbers[ROWS * row_len..].iter().sum();
        acc.into_iter().fold(rest, |sum, acc| sum + s.sum(acc))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa;

    #[test]
    fn every_number_is_read_once() {
        for isa in isa::detected() {
            for len in [0, 1, 7, 64, 127, 128, 129, 1000, 2048] {
                // Small integers, so that any order of the sum is exact.
                let numbers: Vec<f32> = (0..len).map(|i| (i % 17) as f32).collect();
                let expected: f32 = numbers.iter().sum();
                assert_eq!(op::select::<Sum>(isa)(&numbers), expected, "{isa}, {len} numbers");
            }
        }
    }

    /// No memory of today gives one thread a terabyte a second: more is a pass that reads less than it counts.
    #[test]
    #[cfg_attr(any(miri, not(target_arch = "x86_64")), ignore = "measures time, which emulation has none of")]
    fn memory_has_a_speed_that_it_can_have() {
        let numbers = vec![1.0; 1 << 20];
        for isa in isa::detected() {
            let speed = read_bandwidth(isa, &numbers, 5);
            assert!((1e8..1e12).contains(&speed), "{isa}: {speed:e} bytes a second");
        }
    }
}
