//! `bench`: how fast the network runs on this machine, how much of the cores' peak it reaches, and whether it got slower.

mod against;
pub mod layers;
pub mod machine;
pub mod subject;

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use crate::file::NewFile;
use crate::{LayerTime, Model, Session, model};
use clap::Args;
use serde_json::{Value, json};

use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::page::html::counted;
use crate::command::progress::Progress;
use crate::command::{load, output};
use against::Saved;
use layers::Layers;
use subject::Subject;

/// Measure the time of an image, and compare it with the multiply-add peak of the cores, and with other measurements.
#[derive(Args)]
#[command(long_about = LONG_ABOUT, after_long_help = AFTER_HELP, after_help = EXAMPLE)]
pub struct Bench {
    #[command(flatten)]
    subject: Subject,
    /// Runs to time, after a tenth as many to warm up
    #[arg(long, value_name = "N", default_value = "100", value_parser = load::count)]
    runs: usize,
    /// Show each layer's time too; taken in runs of their own
    #[arg(long)]
    layers: bool,
    /// Save the measurement in FILE, as --json prints it
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(short, long, requires = "save")]
    force: bool,
    /// Compare with the measurement that was saved in FILE, of the same network and options
    #[arg(long, value_name = "FILE", conflicts_with = "against_binary")]
    against: Option<PathBuf>,
    /// Compare with another build of this command: both measure in turns, each turn in a process of its own
    #[arg(long, value_name = "PROGRAM")]
    against_binary: Option<PathBuf>,
    /// End with code 6 if an image takes more than RATIO times as long as there
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    assert: Option<f64>,
    /// Print a line of JSON
    #[arg(short, long)]
    json: bool,
}

/// The times that an image took, in milliseconds.
struct Times {
    median: f64,
    min: f64,
    p90: f64,
}

const LONG_ABOUT: &str = "\
Measure the time of an image, and compare it with the multiply-add peak of the cores, and with other measurements.

The peak is measured in the same process, on the same number of threads, before and after the runs. GMAC/s counts the
multiply-adds of the network's definition, as `cost` prints them, whatever the kernels do. With `--layers` it measures,
between the runs, what the threads read of memory, which bounds layers that read each weight once.";

const EXAMPLE: &str = "\
Examples:
  googlenet bench --threads 2 --runs 50 --layers
  googlenet bench --save before.json
  googlenet bench --against before.json --assert 1.02
  googlenet bench --against-binary ./googlenet-before --assert 1.02";

const AFTER_HELP: &str = "\
Why a share of the peak can be above 100 %: it counts the multiply-adds of the definition, and most convolutions are
computed by Winograd's algorithms, which make the same outputs with fewer. Of a 3x3 filter a tile of 4x4 outputs takes
144 multiplications by the definition, and 36 by F(4,3), so that a layer that keeps the cores busy to 60 % shows up to
240 %. What the cores really do stands in the column `computed`, which stays below 100 %.

Layers (--layers), one row for each step of the plan, in the network's order:
  ms        an image's time: that of all threads, divided by their number
  %, sum %  its share of all layers' time, and that of all layers so far
  peak %    multiply-adds by the definition, as a share of the peak
  computed  multiply-adds that the kernel computes, as a share of the peak, in percent
  GB/s      its weights and activations, each counted once, by its time; below stands what the threads read of memory

JSON (--json, --save); times are milliseconds an image, rounded to 0.0001, as are shares, of which 1 is all; GMAC/s are
rounded to 0.1, GB/s to 0.01:
  median_ms, min_ms, p90_ms, images_per_s, batch, threads, runs, side, isa, precision
  multiply_adds           by the definition; gmacs: those of a second, in 10^9
  fma_peak_gmacs          the peak of all threads; share_of_peak: gmacs as a share of it
  arena_bytes, open_ms (from the file to the first result; for plain files mostly packing), weights, compute
  host                    cpu, cores
  memory_gb_per_s, layers with --layers; of each: layers, kernel, ms, share, cumulated_share, multiply_adds,
                          share_of_peak, computed, computed_share_of_peak, weight_bytes, activation_bytes, gb_per_s,
                          weights_gb_per_s
  against                 with --against or --against-binary: name, median_ms there, own_median_ms, ratio, spread (least and
                          largest ratio of a turn), assert, holds

Comparisons: the ratio of the medians; of turns, the median of their ratios. Times of a saved file are as good as the
machine was quiet then and now; turns see the same machine. Exit codes: 6 if the ratio is above --assert; 4 if the saved
file cannot be read; 2 if it is of another network or other options, with --assert also if it is of another CPU, or if
the other program measures nothing.

Examples:
  googlenet bench --threads 2 --runs 50 --layers
  googlenet bench --save before.json
  googlenet bench --against before.json --assert 1.02
  googlenet bench --against-binary ./googlenet-before --assert 1.02";

impl Bench {
    /// Measures, compares and prints.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        if self.assert.is_some() && self.against.is_none() && self.against_binary.is_none() {
            let text = "--assert needs --against or --against-binary";
            return Err(Failure::new(Code::Usage, text));
        }
        // Files are begun and read before the work, so that none is done in vain where they cannot be.
        let save = match &self.save {
            Some(path) => {
                output::check(path, self.force)?;
                Some((path, NewFile::create(path).or_fail(Code::System, path.display())?))
            }
            None => None,
        };
        let saved = self.against.as_deref().map(Saved::read).transpose()?;
        let begin = Instant::now();
        let model = load::model(self.subject.weights.as_deref())?;
        let mut session = self.subject.session(&model, false)?;
        session.run();
        let open_ms = begin.elapsed().as_secs_f64() * 1e3;
        let costs = model::cost(&model.network().graph(session.side()));
        let multiply_adds: u64 = costs.iter().map(|layer| layer.multiply_adds).sum();
        let (isa, side, threads) = (session.isa(), session.side(), self.subject.threads);
        let before = machine::peak(isa, threads);
        let times = self.time(&mut session)?;
        let peak = before.max(machine::peak(isa, threads)) / 1e9;
        let gmacs = multiply_adds as f64 / times.median / 1e6;
        let (arena_bytes, images) = (session.arena_bytes(), 1e3 / times.median);
        let (weights, compute) = (load::weights(&model, &session), load::precisions(&session));
        drop(session);
        let layers = if self.layers { Some(self.profile(&model, peak)?) } else { None };

        let mut line = json!({
            "median_ms": rounded(times.median, 4),
            "min_ms": rounded(times.min, 4),
            "p90_ms": rounded(times.p90, 4),
            "images_per_s": rounded(images, 2),
            "batch": self.subject.batch,
            "threads": threads,
            "runs": self.runs,
            "side": side,
            "isa": isa.name(),
            "precision": self.subject.precision.name(),
            "multiply_adds": multiply_adds,
            "gmacs": rounded(gmacs, 1),
            "fma_peak_gmacs": rounded(peak, 1),
            "share_of_peak": rounded(gmacs / peak, 4),
            "arena_bytes": arena_bytes,
            "open_ms": rounded(open_ms, 1),
            "weights": weights,
            "compute": compute,
            "host": { "cpu": machine::cpu(), "cores": load::all_threads() },
        });
        if let Some((layers, memory)) = &layers {
            line["memory_gb_per_s"] = rounded(*memory, 2);
            line["layers"] = layers.json();
        }
        let comparison = match (&saved, &self.against_binary) {
            (Some(saved), _) => {
                saved.check(&line, self.assert.is_some())?;
                Some(saved.compare(&line))
            }
            (None, Some(program)) => Some(against::in_turns(&self, program)?),
            (None, None) => None,
        };
        if let Some((path, mut file)) = save {
            writeln!(file, "{line:#}").or_fail(Code::System, path.display())?;
            file.commit(self.force).or_fail(Code::System, path.display())?;
        }
        if self.json {
            if let Some(comparison) = &comparison {
                line["against"] = comparison.json(self.assert);
            }
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "host     {}, {} cores", machine::cpu(), load::all_threads())?;
            writeln!(
                out,
                "run      {isa}, {}, threads {threads}, batch {}, side {side}, runs {}",
                self.subject.precision, self.subject.batch, self.runs
            )?;
            let Times { median, min, p90 } = times;
            writeln!(out, "image    median {median:.3} ms, min {min:.3} ms, p90 {p90:.3} ms")?;
            writeln!(out, "speed    {images:.1} images/s, {gmacs:.1} GMAC/s")?;
            let (share, on) = (100.0 * gmacs / peak, counted(threads, "thread"));
            writeln!(out, "peak     {peak:.1} GMAC/s on {on}, of which {share:.1} % by the definition")?;
            if share > 100.0 {
                writeln!(out, "         above 100 %, as Winograd's algorithms leave out multiplications: see --help")?;
            }
            writeln!(out, "arena    {:.2} MiB", arena_bytes as f64 / (1 << 20) as f64)?;
            writeln!(out, "weights  {weights}")?;
            writeln!(out, "compute  {compute}")?;
            writeln!(out, "open     {open_ms:.1} ms from the file to the first result")?;
            if let Some((layers, memory)) = &layers {
                layers.text(out)?;
                writeln!(out, "memory   {memory:.1} GB/s read by {on}; --help says what the columns are")?;
            }
            if let Some(comparison) = &comparison {
                comparison.text(out)?;
            }
        }
        comparison.map_or(Ok(()), |comparison| comparison.check(self.assert))
    }

    fn time(&self, session: &mut Session) -> Outcome<Times> {
        let warm_up = subject::warm_up(self.runs);
        let progress = Progress::new(warm_up + self.runs, "runs");
        let mut ms = Vec::new();
        for run in 0..warm_up + self.runs {
            let begin = Instant::now();
            session.run();
            let elapsed = begin.elapsed().as_secs_f64() * 1e3 / session.batch() as f64;
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
    fn profile(&self, model: &Model, peak: f64) -> Outcome<(Layers, f64)> {
        let mut session = self.subject.session(model, true)?;
        let numbers = machine::Numbers::in_memory(session.isa(), session.threads());
        let progress = Progress::new(self.runs, "layers");
        let mut layers: Vec<LayerTime> = Vec::new();
        let (mut bursts, mut seconds_a_byte) = (0, 0.0);
        let mut left = self.runs;
        while left > 0 {
            seconds_a_byte += numbers.bandwidth(BURST_MILLISECONDS).recip();
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
        let layers = Layers::new(layers, self.runs * session.batch() * session.threads(), peak);
        Ok((layers, f64::from(bursts) / seconds_a_byte / 1e9))
    }
}

/// A number with `digits` decimal places.
pub fn rounded(value: f64, digits: i32) -> Value {
    let unit = 10_f64.powi(digits);
    json!((value * unit).round() / unit)
}

/// Parses `--assert`.
fn ratio(text: &str) -> Result<f64, String> {
    let ratio: f64 = text.parse().map_err(|_| "no number".to_owned())?;
    if ratio.is_finite() && ratio > 0.0 { Ok(ratio) } else { Err("a ratio above 0 is needed".into()) }
}

/// How often memory is measured between runs, and how long each takes.
const BURSTS: usize = 20;
const BURST_MILLISECONDS: u64 = 20;
