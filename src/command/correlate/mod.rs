//! `correlate`: which units of a layer fire together, over a folder of pictures.
//!
//! ```text
//! a thread decodes and prepares pictures    one ahead
//! the network runs, one picture at a time
//! statistics.rs, product.rs                 the layer's map goes into means, variances and correlations, in one pass
//! means.rs                                  the units' means in the picture go to a temporary file
//! rows.rs                                   the correlations go to their file, and the sums of products are dropped
//! clusters.rs, shares.rs, means.rs          what all of that amounts to
//! report.rs, matrix.rs, plot.rs, page.rs    JSON, PNG, SVG and HTML of it
//! ```
//!
//! Source of the idea: S. Arora, A. Bhaskara, R. Ge, T. Ma, "Provable Bounds for Learning Some Deep Representations",
//! 2014, arXiv:1310.6343; D. O. Hebb, "The Organization of Behavior", 1949.

mod clusters;
pub mod folders;
mod matrix;
mod means;
mod page;
mod plot;
mod product;
mod report;
mod rows;
mod shares;
mod statistics;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::rayon::ThreadPoolBuilder;
use crate::{Options, Session};
use clap::Args;

use crate::command::caller::{complain, say};
use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::page::thumbnail;
use crate::command::printable::Printable;
use crate::command::progress::Progress;
use crate::command::{load, pictures};
use folders::Results;
use means::Means;
use report::Report;
use rows::Rows;
use statistics::Statistics;

/// Find the units of a layer that fire together over the pictures in a folder and the folders inside.
///
/// A unit is a channel of the layer. Units are correlated within a position of the layer's map, and between positions
/// one and two apart, in any direction, as far as the map reaches: a layer with one position has distance 0 only. Units
/// that never vary are named and left out.
///
/// A picture that cannot be read is named on stderr and counted apart, and the exit code is then 4.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Correlate {
    /// Where the pictures are
    #[arg(value_name = "DIR")]
    pictures: PathBuf,
    /// The layer, as `run --endpoint` takes it: `inception_4e/output`
    #[arg(short, long, value_name = "NAME")]
    endpoint: String,
    /// Folder to write to, which is made if it is missing
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Weights, as `convert` writes them [default: the demonstration weights]
    #[arg(short, long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// How many clusters to divide the units into, 1 to 256
    #[arg(long, value_name = "N", default_value = "16", value_parser = cluster_count)]
    clusters: usize,
    /// Threads to use [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = load::threads)]
    threads: Option<usize>,
    /// Say on stderr how the weights came into use
    #[arg(long)]
    verbose: bool,
    /// Replace files in FOLDER that exist
    #[arg(short, long)]
    force: bool,
}

const EXAMPLE: &str = "\
Files in FOLDER, which are the same bytes for any number of threads:
  index.html        all of it as one page that needs no other file
  correlation.png   the matrix of correlations within a position, in the order of the clusters
  correlations.npy  f32, [distances, c, c]: correlations of units i and j at distances 0, 1 and 2; NaN where a unit
                    never varies
  shares.svg        how correlation falls with distance
  clusters.json     network, dialect, endpoint, shape ([c, h, w]), pictures (how many), unreadable (image, error), dead
                    (units that never vary), distances and clusters:
    distances         distance; pairs of positions in a map; neighbours, the positions at the distance from one, in the
                      mean; same_unit, the mean correlation of a unit with itself; mean_square of the correlation of two
                      different units; share_per_pair, that of mean_square in its sum over distances; share_together,
                      that of neighbours * mean_square
    clusters          units, in the order of the matrix; mean_correlation of two different ones; pictures (image, value)
                      that excite it most: value is the mean over units of the unit's mean in the picture, in standard
                      deviations from its mean over all pictures

The correlation at a distance is Pearson's over all ordered pairs of positions at that distance, of all pictures.

Memory does not grow with the number of pictures, but for their names. Beside the network and one decoded picture, a
layer of c units in h x w positions needs 4 d c^2 + 16 c h w bytes, where d is the number of distances, or half of the
first term where that would be more than 32 MiB: then sums are held in 32 bits, and a correlation is off by some 1e-7
times the square root of the number of pictures. When the pictures are done, that goes, and clustering needs 2 c^2 bytes.
With some 12 MiB for all else this stays below 64 MiB up to some 2,900 units in 7x7 positions, or 5,200 in one; what a
layer needs beyond is said before the first picture. FOLDER holds 4 c bytes for each picture meanwhile.
Above 1,024 units, correlation.png has means of blocks of the matrix.

Example:
  googlenet correlate photographs --weights googlenet.safetensors --endpoint inception_4e/output --out together";

const INDEX: &str = "index.html";
const MATRIX: &str = "correlation.png";
const CORRELATIONS: &str = "correlations.npy";
const PLOT: &str = "shares.svg";
const JSON: &str = "clusters.json";

/// The bytes beside the network that layers of usual sizes need at most.
const PROMISED: usize = 64 << 20;
/// The bytes of them, about, that are for all but sums and clustering: the drawing and the page.
const REST: usize = 12 << 20;

/// How many pictures are shown for each cluster.
const TOP: usize = 5;

impl Correlate {
    /// Writes the files, and prints the shares.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        if self.out.canonicalize().is_ok_and(|out| self.pictures.canonicalize().is_ok_and(|pictures| pictures == out)) {
            return Err(Failure::new(Code::Usage, format!("{}: the pictures are in there", self.out.display())));
        }
        let results = Results::create(&self.out, &[INDEX, MATRIX, CORRELATIONS, PLOT, JSON], self.force)?;
        let paths = pictures::find(&self.pictures, &self.out)?;
        let model = load::model(self.weights.as_deref())?;
        let network = model.network();
        let endpoint = if self.endpoint == "logits" { &network.roles.logits } else { &self.endpoint };
        let threads = self.threads.unwrap_or_else(load::all_threads);
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = Arc::new(pool.map_err(|error| Failure::new(Code::System, format!("threads: {error}")))?);
        let options = Options::new().pool(pool.clone()).endpoint(endpoint);
        let mut session = load::session(&model, options, self.verbose)?;
        let shape = session.endpoint_shape(endpoint).expect("it was asked for");

        if let Some(words) = large(shape) {
            say(words);
        }
        let mut statistics = Statistics::new(shape);
        let mut means = Means::create(results.path()).or_fail(Code::System, results.path().display())?;
        let (mut used, mut unreadable) = (Vec::new(), Vec::new());
        observe(&mut session, endpoint, &paths, |path, seen| match seen {
            Ok(map) => {
                used.push(path);
                let in_picture = pool.install(|| statistics.add(map));
                means.push(&in_picture).or_fail(Code::System, results.path().display())
            }
            Err(why) => {
                complain(format_args!("error: {}", Printable(&format!("{}: {why}", path.display()))));
                unreadable.push((self.name(path), why));
                Ok(())
            }
        })?;
        if used.is_empty() {
            return Err(Failure::new(Code::Input, format!("none of {} pictures could be used", unreadable.len())));
        }
        let (dead, live): (Vec<usize>, Vec<usize>) = (0..shape[0]).partition(|&unit| statistics.is_dead(unit));
        if live.len() < 2 {
            let text = format!("{} of {} units of {endpoint} vary: nothing to correlate", live.len(), shape[0]);
            return Err(Failure::new(Code::Input, text));
        }

        if let Some(unit) = live.iter().find(|&&unit| !statistics.holds(unit)) {
            let text = format!("unit {unit} of {endpoint} varies by too little or too much for sums in 32 bits");
            return Err(Failure::new(Code::Input, text));
        }

        results.write(CORRELATIONS, |file| rows::write(&statistics, file))?;
        let (shares, moments) = (shares::shares(&statistics, &live), statistics.moments());
        // From here on the file is the only place of the correlations, of which a row at a time is in memory.
        drop(statistics);
        let path = results.path().join(CORRELATIONS);
        let mut rows = Rows::open(&path).or_fail(Code::System, path.display())?;
        let clusters = clusters::cluster(&live, self.clusters, |unit| rows.get(unit));
        let clusters = clusters.or_fail(Code::System, path.display())?;
        let exciting = means.exciting(&moments, &clusters.clusters, TOP);
        let report = Report {
            network: network.name,
            dialect: network.dialect,
            endpoint: self.endpoint.clone(),
            shape,
            pictures: used.iter().map(|path| self.name(path)).collect(),
            unreadable,
            dead,
            shares,
            exciting: exciting.or_fail(Code::System, results.path().display())?,
            clusters,
        };
        results.write(JSON, |file| writeln!(file, "{:#}", report.json()))?;
        let matrix = matrix::draw(&report.clusters, |unit| rows.get(unit));
        let matrix = matrix.map_err(|error| Failure::new(Code::System, format!("{MATRIX}: {error}")))?;
        results.write(MATRIX, |file| file.write_all(&matrix.png))?;
        let plot = plot::draw(&report.shares);
        results.write(PLOT, |file| file.write_all(plot.as_bytes()))?;
        let shown = report.exciting.iter().flatten().map(|excitement| excitement.picture);
        let mut thumbnails = BTreeMap::new();
        for picture in shown {
            if let (false, Some(file)) = (thumbnails.contains_key(&picture), thumbnail::of(used[picture])) {
                thumbnails.insert(picture, file);
            }
        }
        let page = page::page(&report, &matrix, &plot, &thumbnails);
        results.write(INDEX, |file| file.write_all(page.as_bytes()))?;
        self.print(&report, out)?;
        Failure::unless_all_were_read(report.unreadable.len(), report.unreadable.len() + report.pictures.len())
    }

    /// A picture's path from the folder of pictures on.
    fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.pictures).unwrap_or(path).to_string_lossy().into_owned()
    }

    fn print(&self, report: &Report, out: &mut dyn Write) -> Outcome {
        let [c, h, w] = report.shape;
        let (pictures, unreadable) = (report.pictures.len(), report.unreadable.len());
        writeln!(out, "{}, {c} units at {h}x{w} positions", Printable(&report.endpoint))?;
        writeln!(out, "pictures    {pictures:5}\nunreadable  {unreadable:5}\ndead units  {:5}", report.dead.len())?;
        writeln!(out, "\ndistance  rms correlation  share of a pair  share together")?;
        for share in &report.shares {
            writeln!(
                out,
                "{:8}  {:15.4}  {:13.2} %  {:12.2} %",
                share.distance,
                share.mean_square.sqrt(),
                100.0 * share.per_pair,
                100.0 * share.together
            )?;
        }
        if report.shares.len() == 1 {
            writeln!(out, "the layer has one position: there is no other distance")?;
        }
        writeln!(out, "\n{}", Printable(&self.out.join(INDEX).display().to_string()))?;
        Ok(())
    }
}

/// Runs the network on every picture. `done` is called with each picture's path and the map of `endpoint`, or what was
/// wrong, in order.
fn observe<'a>(
    session: &mut Session,
    endpoint: &str,
    paths: &'a [PathBuf],
    mut done: impl FnMut(&'a Path, Result<&[f32], String>) -> Outcome,
) -> Outcome {
    let progress = Progress::new(paths.len(), "pictures");
    let (rule, side) = (*session.rule(), session.side());
    pictures::prepare_each(paths, rule, side, |path, input| {
        match input {
            Ok(input) => {
                session.input_mut().copy_from_slice(&input);
                session.run();
                let map = session.endpoint(endpoint).expect("it was asked for");
                let finite = map.iter().all(|value| value.is_finite());
                done(path, finite.then_some(map).ok_or_else(|| "the weights give no finite values for it".to_owned()))?;
            }
            Err(why) => done(path, Err(why))?,
        }
        progress.advance(1)?;
        Ok(())
    })
}

/// What is said before the run of a layer of the shape `shape`, `[c, h, w]`, if the promised memory is not enough for
/// it.
fn large(shape: [usize; 3]) -> Option<String> {
    let bytes = Statistics::bytes(shape).max(clusters::bytes(shape[0])) + REST;
    (bytes > PROMISED).then(|| {
        let (mib, bits) = (bytes.div_ceil(1 << 20), Statistics::bits(shape));
        format!("note: {} units take some {mib} MiB beside the network, with sums in {bits} bits", shape[0])
    })
}

/// Parses `--clusters`.
fn cluster_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=256) => Ok(count),
        _ => Err("expected a whole number from 1 to 256".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_more_than_is_promised_is_said() {
        for shape in [[64, 112, 112], [1024, 7, 7], [2900, 7, 7], [4096, 1, 1], [5200, 1, 1]] {
            assert_eq!(large(shape), None, "{shape:?}");
        }
        // 3 * 618 * 619 / 2 blocks of 256 bytes, 16 bytes for each of 4944 * 49 values, and 12 MiB.
        let words = "note: 4944 units take some 156 MiB beside the network, with sums in 32 bits";
        assert_eq!(large([4944, 7, 7]).as_deref(), Some(words));
        assert!(large([6000, 1, 1]).is_some());
    }
}
