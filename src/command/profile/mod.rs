//! `profile`: what each thread does in some runs, and how near each layer comes to what the machine can do.

mod roofline;
mod threads;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::command::bench::layers::Layers;
use crate::command::bench::subject::{self, Subject};
use crate::command::bench::{machine, rounded};
use crate::command::exit::{Code, OrFail, Outcome};
use crate::command::page::html::counted;
use crate::command::progress::Progress;
use crate::command::{load, output};
use crate::file::NewFile;
use threads::Shares;

/// Record what each thread does, when, and how near each layer comes to what this machine can do.
///
/// With `--trace` the runs are written in the Trace Event format, which https://ui.perfetto.dev and chrome://tracing open: a
/// track for each thread, on it a slice for each task, with its step, kernel, phase and range, and slices for waits. To
/// record takes less than 1 % of a run's time.
///
/// With `--roofline` each layer is a dot in a drawing: multiply-adds a second over multiply-adds a byte, below the roofs that
/// the cores' peak and the bandwidths of the caches and of memory are, all measured here.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Profile {
    #[command(flatten)]
    subject: Subject,
    /// Runs to record, after a tenth as many to warm up
    #[arg(long, value_name = "N", default_value = "20", value_parser = load::count)]
    runs: usize,
    /// Write what the threads do into FILE, in the Trace Event format
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Draw the layers below the machine's roofs into FILE, as SVG
    #[arg(long, value_name = "FILE")]
    roofline: Option<PathBuf>,
    /// Replace files that exist
    #[arg(short, long)]
    force: bool,
    /// Print a line of JSON: `ms` of the runs together; `threads`, each with the shares of that time that it spent on tasks,
    /// on copying outputs and waiting; with --roofline `peak_gmacs` and `roofs`, each with name, bytes and gb_per_s
    #[arg(short, long)]
    json: bool,
}

const EXAMPLE: &str = "\
Examples:
  googlenet profile --threads 2 --trace trace.json
  googlenet profile --roofline roofline.svg";

impl Profile {
    /// Runs, writes and prints.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        let begin = |path: Option<&PathBuf>| path.map(|path| self.begin(path)).transpose();
        let (trace_file, roofline_file) = (begin(self.trace.as_ref())?, begin(self.roofline.as_ref())?);
        let model = load::model(self.subject.weights.as_deref())?;
        let mut session = self.subject.session(&model, true)?;
        let (isa, threads, side) = (session.isa(), session.threads(), session.side());
        // Before and after the runs, as `bench` does it.
        let before = roofline_file.as_ref().map(|_| machine::peak(isa, threads));
        let warm_up = subject::warm_up(self.runs);
        let progress = Progress::new(warm_up + self.runs, "runs");
        for run in 0..warm_up + self.runs {
            if run == warm_up {
                session.reset_profile();
                session.record(self.runs).or_fail(Code::System, "")?;
            }
            session.run();
            progress.advance(1)?;
        }
        drop(progress);
        let trace = session.trace();
        let shares = Shares::of(&trace);
        let roofs = before.map(|before| {
            let peak = before.max(machine::peak(isa, threads)) / 1e9;
            (peak, machine::levels(isa, threads))
        });
        let slices = trace.slices.len();
        if let (Some(mut file), Some(path)) = (trace_file, &self.trace) {
            let mut buffered = BufWriter::new(&mut file);
            trace.write_json(&mut buffered).and_then(|()| buffered.flush()).or_fail(Code::System, path.display())?;
            drop(buffered);
            file.commit(self.force).or_fail(Code::System, path.display())?;
        }
        if let (Some(mut file), Some(path), Some((peak, levels))) = (roofline_file, &self.roofline, &roofs) {
            let layers = Layers::new(session.profile(), self.runs * session.batch() * threads, *peak);
            let network = model.network();
            let title =
                format!("{} ({}) at {side}x{side} on {}", network.name, network.dialect, counted(threads, "thread"));
            let drawing = roofline::draw(&title, layers.rows(), *peak, levels);
            file.write_all(drawing.as_bytes()).or_fail(Code::System, path.display())?;
            file.commit(self.force).or_fail(Code::System, path.display())?;
        }
        if self.json {
            let mut line = json!({
                "ms": rounded(shares.ms(), 4),
                "runs": self.runs,
                "batch": session.batch(),
                "side": side,
                "isa": isa.name(),
                "precision": self.subject.precision.name(),
                "threads": shares.json(),
                "slices": slices,
            });
            if let Some((peak, levels)) = &roofs {
                line["peak_gmacs"] = rounded(*peak, 1);
                let level = |level: &machine::Level| json!({ "name": level.name, "bytes": level.bytes, "gb_per_s": rounded(level.bandwidth / 1e9, 2) });
                line["roofs"] = levels.iter().map(level).collect();
            }
            writeln!(out, "{line}")?;
            return Ok(());
        }
        writeln!(out, "host     {}, {} cores", machine::cpu(), load::all_threads())?;
        writeln!(
            out,
            "run      {isa}, {}, threads {threads}, batch {}, side {side}, runs {}",
            self.subject.precision,
            session.batch(),
            self.runs
        )?;
        writeln!(out, "time     {:.3} ms a run, {:.3} ms in all", shares.ms() / self.runs as f64, shares.ms())?;
        shares.text(out)?;
        if let Some((peak, levels)) = &roofs {
            writeln!(out, "peak     {peak:.1} GMAC/s on {}", counted(threads, "thread"))?;
            for level in levels {
                writeln!(out, "{:<8} {:.1} GB/s", level.name, level.bandwidth / 1e9)?;
            }
        }
        if let Some(path) = &self.trace {
            writeln!(out, "trace    {}: {slices} slices; https://ui.perfetto.dev opens it", path.display())?;
        }
        if let Some(path) = &self.roofline {
            writeln!(out, "drawing  {}", path.display())?;
        }
        Ok(())
    }

    /// Begins the file `path`.
    fn begin(&self, path: &Path) -> Outcome<NewFile> {
        output::check(path, self.force)?;
        NewFile::create(path).or_fail(Code::System, path.display())
    }
}
