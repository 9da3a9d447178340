//! `plan`: what a run will do, phase by phase, and why; in words and as a drawing.

mod arena;
mod network;
mod threads;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::command::exit::{Code, OrFail, Outcome};
use crate::command::page::svg::Drawing;
use crate::command::{load, output};
use crate::file::NewFile;
use crate::isa::Isa;
use crate::model::{Dialect, Network};
use crate::plan::Overview;
use crate::{Options, Precision};

/// Print the plan: its phases, and each step's layers, shapes, kernel, tasks and place in the arena, and why.
///
/// All steps of a phase may run at once; a phase begins when the one before it has ended.
///
/// With `--svg` it is drawn, too: the network with its modules, shapes, kernels and precisions, lines as wide as the layers
/// below them cost; the arena over time, what lies where in which phase, and its peak; and the tasks over the threads, by
/// an estimate of what each takes (`profile --trace` measures it).
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Plan {
    /// Weights, as `convert` writes them [default: the demonstration weights]
    #[arg(short, long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Plan for a network without weights, by its dialect, for 1000 classes; in int8 as if all its layers were quantised
    #[arg(long, conflicts_with = "weights", value_parser = load::dialect())]
    dialect: Option<Dialect>,
    /// Threads to plan for
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = load::threads)]
    threads: usize,
    /// Images of a run
    #[arg(long, value_name = "N", default_value = "1", value_parser = load::batch)]
    batch: usize,
    /// Precision to plan for: `f32`; `bf16`, rounded to 8 significant bits; `int8`, for weights that `quantize` made
    #[arg(short, long, value_name = "NAME", default_value = "f32", value_parser = load::precision())]
    precision: Precision,
    /// Side of the input, in pixels [default: the weights', or the published network's]
    #[arg(long, value_name = "PIXELS", value_parser = load::side)]
    side: Option<usize>,
    /// Draw the plan into FILE
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(short, long, requires = "svg")]
    force: bool,
}

/// A plan, and what it is of.
struct Planned {
    network: Network,
    side: usize,
    isa: Isa,
    overview: Overview,
    /// How the weights came into use, if there are any.
    weights: Option<String>,
}

const EXAMPLE: &str = "\
Examples:
  googlenet plan --threads 2 --batch 4
  googlenet plan --dialect bvlc --threads 2 --svg plan.svg";

impl Plan {
    /// Prints and draws the plan.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        let svg = match &self.svg {
            Some(path) => {
                output::check(path, self.force)?;
                Some((path, NewFile::create(path).or_fail(Code::System, path.display())?))
            }
            None => None,
        };
        let planned = self.planned()?;
        if let Some((path, mut file)) = svg {
            file.write_all(self.draw(&planned).as_bytes()).or_fail(Code::System, path.display())?;
            file.commit(self.force).or_fail(Code::System, path.display())?;
        }
        writeln!(out, "{}", self.line(&planned))?;
        if let Some(weights) = &planned.weights {
            writeln!(out, "weights {weights}")?;
        }
        let mut phase = None;
        for step in &planned.overview.steps {
            if phase != Some(step.phase) {
                phase = Some(step.phase);
                writeln!(out, "phase {}", step.phase)?;
            }
            let [x, y] = step.shapes.map(|[c, h, w]| format!("{c}x{h}x{w}"));
            let why = if step.reason.is_empty() { String::new() } else { format!(": {}", step.reason) };
            writeln!(out, "  {}", step.layers)?;
            let offsets: Vec<String> = step.offsets.iter().map(usize::to_string).collect();
            let offsets = offsets.join(", ");
            let [from, to] = step.elements;
            let with = step.instruction.map(|instruction| format!(" ({instruction})")).unwrap_or_default();
            let kernel = format!("{}{with}", step.kernel);
            writeln!(out, "    {x} {from} -> {y} {to}, {} tasks, at byte {offsets}, {kernel}{why}", step.tasks)?;
        }
        Ok(())
    }

    fn planned(&self) -> Outcome<Planned> {
        let options = Options::new().threads(self.threads).batch(self.batch).precision(self.precision);
        if let Some(dialect) = self.dialect {
            let network = dialect.network(CLASSES);
            let side = self.side.unwrap_or(network.side);
            let (overview, isa) = options.side(side).overview(&network).or_fail(Code::Usage, "")?;
            return Ok(Planned { network, side, isa, overview, weights: None });
        }
        let model = load::model(self.weights.as_deref())?;
        let session = model.session(options.side(self.side.unwrap_or(model.side()))).or_fail(Code::Usage, "")?;
        Ok(Planned {
            network: model.network().clone(),
            side: session.side(),
            isa: session.isa(),
            overview: session.overview(),
            weights: Some(load::weights(&model, &session)),
        })
    }

    /// What is planned, in a line.
    fn line(&self, Planned { network, side, isa, overview, .. }: &Planned) -> String {
        format!(
            "{} ({}), side {side}, {isa}, {}, threads {}, batch {}, arena {:.2} MiB",
            network.name,
            network.dialect,
            self.precision,
            self.threads,
            self.batch,
            overview.arena_bytes as f64 / (1 << 20) as f64,
        )
    }

    /// The drawing: three pictures below each other.
    fn draw(&self, planned: &Planned) -> String {
        let Planned { network, overview, .. } = planned;
        // With as many images as threads each takes whole ones, and the plan is that of one thread.
        let sharing = if self.batch < self.threads { self.threads } else { 1 };
        let pictures = [
            network::picture(network, overview),
            arena::picture(overview),
            threads::picture(overview, sharing, self.threads),
        ];
        let line = self.line(planned);
        let mut body = String::new();
        let mut top = 44.0;
        for picture in &pictures {
            body.push_str(&format!("<g transform=\"translate(0 {top:.1})\">\n{}</g>\n", picture.body));
            top += picture.height + 26.0;
        }
        let described: Vec<&str> = pictures.iter().map(|picture| picture.described.as_str()).collect();
        let (name, rest) = line.split_once(", ").expect("a list");
        let head = format!(
            "<rect class=\"ground\" width=\"{WIDTH}\" height=\"{top}\"/>\n\
             <text class=\"head\" x=\"10\" y=\"22\">Plan of {name}</text><text class=\"small\" x=\"10\" y=\"38\">{rest}</text>\n"
        );
        let (title, described) = (format!("Plan of {line}"), described.join(" "));
        let drawing = Drawing { class: "plan", size: [WIDTH, top], title: &title, described: &described, style: STYLE };
        drawing.draw(&(head + &body))
    }
}

/// One of the drawing's pictures, which begins at 0 and is as wide as the drawing.
struct Picture {
    body: String,
    height: f64,
    /// What it shows, in words.
    described: String,
}

/// The short name of a layer, module or activation: `3a` of `inception_3a/output`.
fn short(name: &str) -> &str {
    let name = name.strip_prefix("inception_").unwrap_or(name);
    name.strip_suffix("/output").unwrap_or(name)
}

/// About how wide a text of so many characters is, in pixels at a font of `size` pixels.
fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.56
}

/// The phases that belong to one layer of the trunk or one module: its short name, and which they are.
fn stretches(overview: &Overview) -> Vec<(String, std::ops::Range<usize>)> {
    let mut stretches: Vec<(String, std::ops::Range<usize>)> = Vec::new();
    for phase in 0..overview.tasks.len() {
        let step = overview.steps.iter().find(|step| step.phase == phase);
        let name = step.map_or("", |step| step.layers.split([' ', '/']).next().unwrap_or_default());
        let name = short(name);
        match stretches.last_mut() {
            Some((last, phases)) if last == name => phases.end = phase + 1,
            _ => stretches.push((name.to_owned(), phase..phase + 1)),
        }
    }
    stretches
}

/// The drawing's width, in pixels: it is shown at 400 as well as at 1,200 of the screen's.
const WIDTH: f64 = 420.0;
/// How many classes a network without weights has.
const CLASSES: usize = 1000;

const STYLE: &str = "\
svg.plan{--int8:#1a8a5a;--card:#f4f6f8;width:100%;max-width:44rem;height:auto;display:block;margin:0 auto;background:var(--ground)}\
@media(prefers-color-scheme:dark){svg.plan{--int8:#4cc38a;--card:#22262b}}\
.plan .ground{fill:var(--ground)}.plan .head{font-size:16px;font-weight:600}\
.plan .title{font-size:13px;font-weight:600}.plan .small{font-size:10.5px}.plan .tiny{font-size:9.5px}\
.plan .name{font-size:10.5px;font-weight:600}.plan .middle{text-anchor:middle}.plan .end{text-anchor:end}\
.plan .module{fill:none;stroke:var(--grid);stroke-width:1}\
.plan .layer{fill:var(--card);stroke:var(--quiet);stroke-width:1}\
.plan .f32{stroke:var(--own)}.plan .bf16{stroke:var(--other)}.plan .int8{stroke:var(--int8)}\
.plan .line{fill:none;stroke:var(--quiet);opacity:.75}\
.plan .grid{fill:none;stroke:var(--grid);stroke-width:.5}\
.plan .peak{fill:none;stroke:var(--ink);stroke-width:1;stroke-dasharray:4 3}\
.plan .span{fill:var(--own);fill-opacity:.35;stroke:var(--own);stroke-width:.6}\
.plan .added{fill:var(--other);stroke:var(--other)}\
.plan .task{fill:var(--own);stroke:var(--ground);stroke-width:.4}.plan .light{fill:var(--other)}\
.plan .idle{fill:var(--card)}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_those_that_people_say() {
        assert_eq!(["inception_3a/output", "pool5", "conv1/7x7_s2"].map(short), ["3a", "pool5", "conv1/7x7_s2"]);
    }
}
