//! What a thread reads of memory in a second: what a layer that reads each weight once has its speed from.
//!
//! A sum over numbers that lie in a row, by as many streams as a fully connected layer reads rows at a time, or by one:
//!
//! ```text
//! for i in steps of LANES: for each stream r: acc[r][lane] += x[r][i + lane]
//! ```
//!
//! Nothing is computed but the sums, which end nowhere, so that no layer's kernel can read faster.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::isa::Isa;
use crate::op::{self, Op};
use crate::simd::Simd;

/// Measures how many bytes a second the calling thread reads of `numbers` on `isa`, in about `milliseconds`.
///
/// The result is the median over stretches of passes of the kind whose median is the best, as memory is shared, and what a
/// layer takes is a mean. It is memory's speed if the numbers are many times the caches' size, and a cache's if they fit it.
///
/// # Panics
/// If there are no numbers.
pub fn read_bandwidth(isa: Isa, numbers: &[f32], milliseconds: u64) -> f64 {
    assert!(!numbers.is_empty(), "numbers to read");
    let kinds = [op::select::<Sum<1>>(isa), op::select::<Sum<4>>(isa), op::select::<Sum<8>>(isa)];
    // A stretch is long beside a look at the clock.
    let passes = (STRETCH_BYTES / size_of_val(numbers)).max(1);
    let mut seconds = kinds.map(|_| Vec::new());
    let (begin, limit) = (Instant::now(), Duration::from_millis(milliseconds));
    while seconds[0].is_empty() || begin.elapsed() < limit {
        for (pass, seconds) in kinds.iter().zip(&mut seconds) {
            let begin = Instant::now();
            for _ in 0..passes {
                black_box(pass(black_box(numbers)));
            }
            seconds.push(begin.elapsed().as_secs_f64() / passes as f64);
        }
    }
    let medians = seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    });
    let least = medians.into_iter().fold(f64::INFINITY, f64::min);
    size_of_val(numbers) as f64 / least.max(f64::MIN_POSITIVE)
}

/// Bytes that are read between two looks at the clock, if the numbers are fewer: some 20 microseconds' worth.
const STRETCH_BYTES: usize = 1 << 21;

/// The sum of numbers, read as that many rows side by side.
struct Sum<const ROWS: usize>;

impl<const ROWS: usize> Op for Sum<ROWS> {
    type Args<'a> = &'a [f32];
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(s: S, numbers: &[f32]) -> f32 {
        // A row is whole lines of vectors, four sums of its own for each row but where rows are many.
        let sums = 8 / ROWS;
        let step = sums * S::LANES;
        let row_len = numbers.len() / ROWS / step * step;
        let mut acc = [s.splat(0.0); 8];
        for i in (0..row_len).step_by(step) {
            for r in 0..ROWS {
                for j in 0..sums {
                    let at = r * row_len + i + j * S::LANES;
                    debug_assert!(at + S::LANES <= numbers.len());
                    // SAFETY: row r ends at (r + 1) * row_len <= numbers.len(), and i + step <= row_len.
                    let v = unsafe { s.load(numbers.as_ptr().add(at)) };
                    acc[r * sums + j] = s.add(acc[r * sums + j], v);
                }
            }
        }
        let rest: f32 = numbers[ROWS * row_len..].iter().sum();
        let mut sum = rest;
        for acc in acc {
            sum += s.sum(acc);
        }
        sum
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
                for pass in [op::select::<Sum<1>>(isa), op::select::<Sum<4>>(isa), op::select::<Sum<8>>(isa)] {
                    assert_eq!(pass(&numbers), expected, "{isa}, {len} numbers");
                }
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
