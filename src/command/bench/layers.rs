//! Each layer's time, and what share of the cores' and the memory's speed that is.

use std::io::Write;

use serde_json::{Value, json};

use super::rounded;
use crate::LayerTime;
use crate::command::exit::Outcome;

/// What the layers of a network took, in the network's order.
pub struct Layers {
    rows: Vec<Row>,
    /// 10^9 multiply-adds a second that the threads reach.
    peak: f64,
}

/// One step of the plan.
pub struct Row {
    /// The layers it computes, joined by ` + `.
    pub layers: String,
    /// Kernel and tile.
    pub kernel: String,
    /// Milliseconds an image: the time of all threads, divided by their number.
    pub ms: f64,
    /// Multiply-adds by the definition, and as the kernel computes them, for one image.
    pub multiply_adds: [u64; 2],
    /// Bytes of weights, and of activations read and written, for one image.
    pub bytes: [usize; 2],
}

impl Row {
    /// 10^9 of what there is `count` of, a second.
    fn per_second(&self, count: f64) -> f64 {
        count / self.ms.max(1e-9) / 1e6
    }

    /// 10^9 multiply-adds a second, as the kernel computes them.
    pub fn gmacs(&self) -> f64 {
        self.per_second(self.multiply_adds[1] as f64)
    }

    /// 10^9 bytes a second: weights and activations, each counted once.
    pub fn gigabytes(&self) -> f64 {
        self.per_second(self.bytes.iter().sum::<usize>() as f64)
    }

    /// Multiply-adds that it computes for each byte that it has to move.
    pub fn intensity(&self) -> f64 {
        self.multiply_adds[1] as f64 / (self.bytes.iter().sum::<usize>() as f64).max(1.0)
    }
}

impl Layers {
    /// Those of `times`, which are summed over `shares`: over runs, images and threads. Divided by all three a time is a
    /// share of the wall clock, as threads work at once.
    pub fn new(times: Vec<LayerTime>, shares: usize, peak: f64) -> Self {
        let row = |time: LayerTime| Row {
            ms: time.nanoseconds as f64 / 1e6 / shares as f64,
            layers: time.layers,
            kernel: time.kernel,
            multiply_adds: [time.multiply_adds, time.computed],
            bytes: [time.weight_bytes, time.activation_bytes],
        };
        Self { rows: times.into_iter().map(row).collect(), peak }
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Milliseconds of all layers.
    pub fn ms(&self) -> f64 {
        self.rows.iter().map(|row| row.ms).sum()
    }

    /// The shares of the peak: by definition, and as computed.
    fn shares_of_peak(&self, row: &Row) -> [f64; 2] {
        row.multiply_adds.map(|count| row.per_second(count as f64) / self.peak)
    }

    pub fn json(&self) -> Value {
        let (all, mut sum) = (self.ms().max(f64::MIN_POSITIVE), 0.0);
        let mut json = |row: &Row| {
            sum += row.ms;
            let [by_definition, computed] = self.shares_of_peak(row);
            json!({
                "layers": row.layers,
                "kernel": row.kernel,
                "ms": rounded(row.ms, 4),
                "share": rounded(row.ms / all, 4),
                "cumulated_share": rounded(sum / all, 4),
                "multiply_adds": row.multiply_adds[0],
                "share_of_peak": rounded(by_definition, 4),
                "computed": row.multiply_adds[1],
                "computed_share_of_peak": rounded(computed, 4),
                "weight_bytes": row.bytes[0],
                "activation_bytes": row.bytes[1],
                "gb_per_s": rounded(row.gigabytes(), 2),
                "weights_gb_per_s": rounded(row.per_second(row.bytes[0] as f64), 2),
            })
        };
        self.rows.iter().map(&mut json).collect()
    }

    /// Prints the table.
    pub fn text(&self, out: &mut dyn Write) -> Outcome {
        let all = self.ms().max(f64::MIN_POSITIVE);
        let kernels = self.rows.iter().map(|row| row.kernel.chars().count()).max().unwrap_or(0).max(6);
        writeln!(
            out,
            "\n{:>9} {:>6} {:>6} {:>7} {:>8} {:>7}  {:<kernels$}  layers",
            "ms", "%", "sum %", "peak %", "computed", "GB/s", "kernel"
        )?;
        let mut sum = 0.0;
        for row in &self.rows {
            sum += row.ms;
            let shares = match row.multiply_adds[0] {
                0 => format!("{:>7} {:>8}", "-", "-"),
                _ => {
                    let [by_definition, computed] = self.shares_of_peak(row);
                    format!("{:>7.1} {:>8.1}", 100.0 * by_definition, 100.0 * computed)
                }
            };
            writeln!(
                out,
                "{:>9.4} {:>6.1} {:>6.1} {shares} {:>7.1}  {:<kernels$}  {}",
                row.ms,
                100.0 * row.ms / all,
                100.0 * sum / all,
                row.gigabytes(),
                row.kernel,
                row.layers
            )?;
        }
        writeln!(out, "{:>9.4} {:>6.1}  in all", self.ms(), 100.0)?;
        Ok(())
    }
}
