//! `bench`: how fast the network runs on this machine, and how much of the cores' peak it reaches.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::Instant;

use crate::{Isa, LayerTime, Model, Options, Precision, Session, model};
use clap::Args;
use googlenet_kernels::bandwidth::read_bandwidth;
use googlenet_kernels::peak::fma_peak;
use serde_json::json;

use crate::command::exit::{Code, OrFail, Outcome};
use crate::command::load;
use crate::command::progress::Progress;

/// Measure the time of an image, and compare it with the multiply-add peak of the cores.
///
/// The peak is measured in the same process, on the same number of threads, before and after the runs. GMAC/s counts
/// the multiply-adds of the network's definition, as `cost` prints them, whatever the kernels do. With `--layers` it
/// measures, between the runs, what the threads read of memory, which bounds layers that read each weight once.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Bench {
    /// Weights, as `convert` writes them [default: the demonstration weights]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Threads to use
    #[arg(long, value_name = "N", default_value = "1", value_parser = load::threads)]
    threads: usize,
    /// Images of a run
    #[arg(long, value_name = "N", default_value = "1", value_parser = load::batch)]
    batch: usize,
    /// Runs to time, after a tenth as many to warm up
    #[arg(long, value_name = "N", default_value = "100", value_parser = load::count)]
    runs: usize,
    /// Side of the input, in pixels [default: the weights']
    #[arg(long, value_name = "PIXELS", value_parser = load::side)]
    side: Option<usize>,
    /// Precision to compute in: `f32`; `bf16`, rounded to 8 significant bits; `int8`, for weights that `quantize` made
    #[arg(long, value_name = "NAME", default_value = "f32", value_parser = load::precision())]
    precision: Precision,
    /// Show each layer's time too; taken in runs of their own
    #[arg(long)]
    layers: bool,
    /// Print a line of JSON
    #[arg(long)]
    json: bool,
}

/// The times that an image took, in milliseconds.
struct Times {
    median: f64,
    min: f64,
    p90: f64,
}

const EXAMPLE: &str = "\
Example:
  googlenet bench --threads 2 --runs 50 --layers";

impl Bench {
    /// Measures and prints.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        let begin = Instant::now();
        let model = load::model(self.weights.as_deref())?;
        let side = self.side.unwrap_or(model.side());
        let mut session = self.session(&model, side, false)?;
        session.run();
        let open_ms = begin.elapsed().as_secs_f64() * 1e3;
        let (weights, precisions) = (load::weights(&model, &session), load::precisions(&session));
        let costs = model::cost(&model.network().graph(side));
        let multiply_adds: u64 = costs.iter().map(|layer| layer.multiply_adds).sum();
        let isa = session.isa();

        let before = peak(isa, self.threads);
        let times = self.time(&mut session)?;
        let peak = before.max(peak(isa, self.threads)) / 1e9;
        let gmacs = |ms: f64| multiply_adds as f64 / ms / 1e6;
        let arena_bytes = session.arena_bytes();
        drop(session);
        let (layers, memory) = if self.layers { self.profile(&model, side)? } else { Default::default() };
        // A layer's time is summed over runs, images and threads. Divided by all three it is a share of the wall clock,
        // as threads work at once.
        let shares = (self.runs * self.batch * self.threads) as f64;
        let layer_ms = |layer: &LayerTime| layer.nanoseconds as f64 / 1e6 / shares;
        let per_second = |layer: &LayerTime, count: u64| count as f64 / layer_ms(layer).max(1e-9) / 1e6;
        let share_of = |layer: &LayerTime, count: u64| per_second(layer, count) / peak;
        let read = |layer: &LayerTime| per_second(layer, layer.weight_bytes as u64);

        if self.json {
            let mut line = json!({
                "median_ms": times.median,
                "min_ms": times.min,
                "p90_ms": times.p90,
                "images_per_s": 1e3 / times.median,
                "batch": self.batch,
                "threads": self.threads,
                "runs": self.runs,
                "side": side,
                "isa": isa.name(),
                "precision": self.precision.name(),
                "multiply_adds": multiply_adds,
                "gmacs": gmacs(times.median),
                "fma_peak_gmacs": peak,
                "share_of_peak": gmacs(times.median) / peak,
                "arena_bytes": arena_bytes,
                "open_ms": open_ms,
                "weights": weights,
                "compute": precisions,
                "host": { "cpu": cpu(), "cores": load::all_threads() },
            });
            if self.layers {
                let rows = layers.iter().map(|layer| {
                    json!({
                        "layers": layer.layers,
                        "kernel": layer.kernel,
                        "ms": layer_ms(layer),
                        "multiply_adds": layer.multiply_adds,
                        "share_of_peak": share_of(layer, layer.multiply_adds),
                        "computed": layer.computed,
                        "computed_share_of_peak": share_of(layer, layer.computed),
                        "weight_bytes": layer.weight_bytes,
                        "weights_gb_per_s": read(layer),
                    })
                });
                line["memory_gb_per_s"] = json!(memory);
                line["layers"] = rows.collect();
            }
            writeln!(out, "{line}")?;
            return Ok(());
        }
        writeln!(out, "host     {}, {} cores", cpu(), load::all_threads())?;
        writeln!(
            out,
            "run      {isa}, {}, threads {}, batch {}, side {side}, runs {}",
            self.precision, self.threads, self.batch, self.runs
        )?;
        writeln!(out, "image    median {:.3} ms, min {:.3} ms, p90 {:.3} ms", times.median, times.min, times.p90)?;
        writeln!(out, "speed    {:.1} images/s, {:.1} GMAC/s", 1e3 / times.median, gmacs(times.median))?;
        let share = 100.0 * gmacs(times.median) / peak;
        writeln!(out, "peak     {peak:.1} GMAC/s on {} threads, of which {share:.1} %", self.threads)?;
        writeln!(out, "arena    {:.2} MiB", arena_bytes as f64 / (1 << 20) as f64)?;
        writeln!(out, "weights  {weights}")?;
        writeln!(out, "compute  {precisions}")?;
        writeln!(out, "open     {open_ms:.1} ms from the file to the first result")?;
        for layer in &layers {
            let speed = match layer.multiply_adds {
                0 => String::new(),
                count => format!(
                    "{:7.1} GMAC/s {:5.1} % {:5.1} % {:5.1} GB/s",
                    per_second(layer, count),
                    100.0 * share_of(layer, count),
                    100.0 * share_of(layer, layer.computed),
                    read(layer),
                ),
            };
            let row = format!("{:8.4} ms  {:<20} {speed:<43} {}", layer_ms(layer), layer.kernel, layer.layers);
            writeln!(out, "{}", row.trim_end())?;
        }
        if self.layers {
            let sum: f64 = layers.iter().map(layer_ms).sum();
            writeln!(
                out,
                "{sum:8.4} ms  in all; shares of the peak: by definition, then as computed; GB/s: of weights"
            )?;
            writeln!(out, "memory   {memory:.1} GB/s read by {} threads", self.threads)?;
        }
        Ok(())
    }

    fn session(&self, model: &Model, side: usize, profile: bool) -> Outcome<Session> {
        let options = Options::new().threads(self.threads).batch(self.batch).side(side).profile(profile);
        let options = options.precision(self.precision);
        let mut session = model.session(options).or_fail(Code::Usage, "")?;
        // A run's time does not depend on the values, subnormals aside, so that a fixed pattern in a picture's range
        // will do.
        for (i, x) in session.input_mut().iter_mut().enumerate() {
            *x = (i % 251) as f32 - 125.0;
        }
        Ok(session)
    }

    fn time(&self, session: &mut Session) -> Outcome<Times> {
        let warm_up = self.runs.div_ceil(10);
        let progress = Progress::new(warm_up + self.runs, "runs");
        let mut ms = Vec::new();
        for run in 0..warm_up + self.runs {
            let begin = Instant::now();
            session.run();
            let elapsed = begin.elapsed().as_secs_f64() * 1e3 / self.batch as f64;
            if run >= warm_up {
                ms.push(elapsed);
            }
            progress.advance(1)?;
        }
        ms.sort_by(f64::total_cmp);
        let at = |share: f64| ms[((ms.len() - 1) as f64 * share).round() as usize];
        Ok(Times { median: at(0.5), min: at(0.0), p90: at(0.9) })
    }

    /// What each layer takes, and the 10^9 bytes a second that the threads read of memory, measured between the runs: memory
    /// is shared with other programs, and what it gives changes from one second to the next.
    fn profile(&self, model: &Model, side: usize) -> Outcome<(Vec<LayerTime>, f64)> {
        let mut session = self.session(model, side, true)?;
        let isa = session.isa();
        // Each has numbers of its own, or the second would find them in a cache that both share. Ones, as pages of zeros that
        // nobody wrote to are all the same one.
        let numbers = vec![vec![1.0; READ_BYTES / size_of::<f32>()]; self.threads];
        let progress = Progress::new(self.runs, "layers");
        let mut layers: Vec<LayerTime> = Vec::new();
        let (mut bursts, mut seconds_a_byte) = (0, 0.0);
        let mut left = self.runs;
        while left > 0 {
            let read = |numbers: &Vec<f32>| read_bandwidth(isa, numbers, BURST_MILLISECONDS);
            seconds_a_byte += together(numbers.iter().collect(), read).recip();
            bursts += 1;
            // What was read has taken the caches from the weights, which this run brings back.
            session.run();
            session.reset_profile();
            let runs = left.min(self.runs.div_ceil(BURSTS));
            for _ in 0..runs {
                session.run();
                progress.advance(1)?;
            }
            left -= runs;
            match layers.as_mut_slice() {
                [] => layers = session.profile(),
                layers => layers
                    .iter_mut()
                    .zip(session.profile())
                    .for_each(|(sum, layer)| sum.nanoseconds += layer.nanoseconds),
            }
        }
        Ok((layers, f64::from(bursts) / seconds_a_byte / 1e9))
    }
}

/// The multiply-adds per second that `threads` threads reach together when they do nothing else.
fn peak(isa: Isa, threads: usize) -> f64 {
    together(vec![(); threads], |()| fma_peak(isa, MILLISECONDS))
}

/// The sum of what threads measure at once, one for each of `operands`.
fn together<T: Send>(operands: Vec<T>, measure: impl Fn(T) -> f64 + Sync) -> f64 {
    let start = Barrier::new(operands.len());
    let measure = |operand| {
        start.wait();
        measure(operand)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = operands.into_iter().map(|operand| scope.spawn(|| measure(operand))).collect();
        threads.into_iter().map(|thread| thread.join().expect("measuring does not panic")).sum()
    })
}

/// The name that the system gives the processor.
fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_owned()
}

/// What a thread reads to measure its memory: many times a core's share of any cache, and no power of two, lest rows that
/// are read side by side meet in the same sets of a cache.
const READ_BYTES: usize = 100_000_000;
/// How long a measurement of what the cores can do takes.
const MILLISECONDS: u64 = 200;
/// How often memory is measured between runs, and how long each takes.
const BURSTS: usize = 20;
const BURST_MILLISECONDS: u64 = 20;
