//! `compare`: GoogLeNet beside its predecessors, by exact counts and by the time that each takes here.

mod claims;
mod counts;
mod drawing;
mod timing;

use std::io::Write;
use std::path::PathBuf;

use crate::Options;
use crate::file::NewFile;
use crate::model::Dialect;
use clap::Args;
use serde_json::json;

use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::{load, output};
use claims::Claims;
use counts::Counts;
use timing::Times;

/// Compare GoogLeNet with its predecessors: what each network costs, and how long it takes on this machine.
///
/// Counts are exact: multiply-adds by each layer's definition, parameters with biases, activations in f32, the arena as
/// this machine plans it, the depth in layers with weights. Times are of one run in which the networks take turns, on
/// seeded weights; it needs some 4 GB. Below, what is claimed of GoogLeNet stands beside exact counts for 1,000 classes, with
/// whether it holds.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Compare {
    /// The networks, by their dialects, each once
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = load::dialect(),
        default_value = "krizhevsky,zeiler-fergus,bvlc,naive")]
    networks: Vec<Dialect>,
    /// Leave the times out, and with them the weights: counts alone
    #[arg(long)]
    no_bench: bool,
    /// Show each layer too, with its time unless times are left out; those are taken in runs of their own: the time that
    /// threads worked on it, divided by the number of threads
    #[arg(long)]
    layers: bool,
    /// Threads to use
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = load::threads)]
    threads: usize,
    /// Images of a run
    #[arg(long, value_name = "N", default_value = "1", value_parser = load::batch)]
    batch: usize,
    /// Runs of each network to time, after two to warm up
    #[arg(long, value_name = "N", default_value = "15", value_parser = load::count)]
    runs: usize,
    /// How many classes each network tells apart in the table and in timed runs; claims are always counted for 1,000
    #[arg(long, value_name = "N", default_value = "1000", value_parser = load::classes)]
    classes: usize,
    /// Hold the weights as 16-bit floats while times are taken
    #[arg(long)]
    f16: bool,
    /// Draw the comparison into FILE
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(short, long, requires = "svg")]
    force: bool,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
}

const EXAMPLE: &str = "\
Examples:
  googlenet compare --svg networks.svg
  googlenet compare --no-bench --layers --networks bvlc,naive";

impl Compare {
    /// Counts, measures, prints and draws.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        let mut named = self.networks.iter().enumerate();
        if let Some((_, twice)) = named.find(|&(index, network)| self.networks[..index].contains(network)) {
            return Err(Failure::new(Code::Usage, format!("--networks names {twice} twice")));
        }
        // The file is begun before the work, so that none is done in vain where it cannot be.
        let svg = match &self.svg {
            Some(path) => {
                output::check(path, self.force)?;
                Some((path, NewFile::create(path).or_fail(Code::System, path.display())?))
            }
            None => None,
        };
        let options = Options::new().threads(self.threads).batch(self.batch);
        let count = |&dialect: &Dialect| Counts::new(dialect, self.classes, &options);
        let counts = self.networks.iter().map(count).collect::<Outcome<Vec<_>>>()?;
        let networks: Vec<_> = counts.iter().map(|of| &of.network).collect();
        let times = if self.no_bench { Vec::new() } else { timing::measure(&networks, &options, &self.timing())? };
        let claims = Claims::new();
        if let Some((path, mut file)) = svg {
            let drawing = drawing::draw(&counts, &times, &claims);
            file.write_all(drawing.as_bytes()).or_fail(Code::System, path.display())?;
            file.commit(self.force).or_fail(Code::System, path.display())?;
        }
        if self.json {
            let networks: Vec<_> =
                counts.iter().enumerate().map(|(i, of)| of.json(times.get(i), self.layers)).collect();
            let (threads, batch, f16) = (self.threads, self.batch, self.f16);
            let run =
                (!self.no_bench).then(|| json!({ "threads": threads, "batch": batch, "runs": self.runs, "f16": f16 }));
            let line = json!({ "classes": self.classes, "run": run, "networks": networks, "claims": claims.json() });
            writeln!(out, "{line}")?;
            return Ok(());
        }
        self.table(&counts, &times, out)?;
        if self.layers {
            for (i, counts) in counts.iter().enumerate() {
                counts.layers(times.get(i), out)?;
            }
        }
        claims.text(out)
    }

    fn timing(&self) -> timing::Settings {
        timing::Settings { runs: self.runs, f16: self.f16, layers: self.layers }
    }

    fn table(&self, counts: &[Counts], times: &[Times], out: &mut dyn Write) -> Outcome {
        write!(out, "{:<22} {:>5} {:>13} {:>11} ", "network", "depth", "multiply-adds", "parameters")?;
        write!(out, "{:>8} {:>8} {:>22} {:>9}", "f32 MB", "f16 MB", "largest activation", "arena MB")?;
        writeln!(
            out,
            "{}",
            if times.is_empty() { String::new() } else { format!(" {:>9} {:>9}", "median ms", "min ms") }
        )?;
        for (i, of) in counts.iter().enumerate() {
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            let [c, h, w] = of.largest;
            let largest = format!("{c}x{h}x{w}, {:.1} MB", megabytes(of.largest_bytes()));
            write!(out, "{:<22} {:>5} {:>13} {:>11} ", of.label(), of.depth, of.multiply_adds, of.parameters)?;
            write!(out, "{:>8.1} {:>8.1} ", megabytes(of.f32_bytes()), megabytes(of.f32_bytes() / 2))?;
            write!(out, "{largest:>22} {:>9.2}", megabytes(of.arena_bytes as u64))?;
            let times = times.get(i).map(|times| format!(" {:>9.2} {:>9.2}", times.median, times.min));
            writeln!(out, "{}", times.unwrap_or_default())?;
        }
        if !times.is_empty() {
            let stored = if self.f16 { "f16" } else { "f32" };
            writeln!(
                out,
                "an image's time, on seeded {stored} weights: threads {}, batch {}, {} runs of each network in turns",
                self.threads, self.batch, self.runs
            )?;
        }
        Ok(())
    }
}
