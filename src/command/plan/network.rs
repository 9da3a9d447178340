//! The network, from its input down: layers of the trunk below each other, a module's branches beside each other. Above each
//! layer ends a line as wide as its multiply-adds.

use std::fmt::Write;

use super::{Picture, WIDTH, short};
use crate::Precision;
use crate::command::page::html::escaped;
use crate::model::{Cost, Layer, Network, Op, cost};
use crate::plan::Overview;

/// What a layer is in the plan.
struct Planned {
    /// Its window, if it has one: `3x3`, `7x7/2`; and its groups, if there are several.
    window: String,
    /// Its output.
    shape: [usize; 3],
    kernel: String,
    precision: Precision,
    multiply_adds: u64,
    /// Its first and its last phase.
    phases: [usize; 2],
}

impl Planned {
    /// The kernel's name without the precision, which stands beside it.
    fn kernel_alone(&self) -> &str {
        self.kernel.strip_prefix(self.precision.name()).unwrap_or(&self.kernel).trim_start()
    }
}

struct Canvas<'a> {
    overview: &'a Overview,
    costs: Vec<Cost>,
    /// The most multiply-adds of a layer.
    most: u64,
    body: String,
}

/// Draws `network`, whose plan is `overview`.
pub fn picture(network: &Network, overview: &Overview) -> Picture {
    let mut canvas = Canvas { overview, costs: cost(&overview.graph), most: 1, body: String::new() };
    let layers = network.layers.iter().flat_map(|layer| match layer {
        Layer::Inception(module) => module.branches.iter().flatten().collect(),
        layer => vec![layer],
    });
    canvas.most = layers.map(|layer| canvas.planned(layer.name()).multiply_adds).max().unwrap_or(1).max(1);
    let input = &overview.graph.activations[0];
    let mut y = 20.0;
    canvas.text("title", 10.0, 12.0, "The network");
    canvas.text("small middle", MIDDLE, y, &format!("input {}x{}x{}", input.c, input.h, input.w));
    y += 5.0;
    for layer in &network.layers {
        y = match layer {
            Layer::Inception(module) => canvas.module(&module.name, &module.branches, y),
            layer => canvas.trunk(layer.name(), y),
        };
    }
    let height = canvas.legend(y + 20.0);
    let modules = network.layers.iter().filter(|layer| matches!(layer, Layer::Inception(_))).count();
    let all: u64 = canvas.costs.iter().map(|cost| cost.multiply_adds).sum();
    let described = format!(
        "The network: {} layers and modules, {modules} of them modules, with {:.1} million multiply-adds.",
        network.layers.len(),
        all as f64 / 1e6
    );
    Picture { body: canvas.body, height, described }
}

impl Canvas<'_> {
    /// What the plan says of the layer `name`.
    fn planned(&self, name: &str) -> Planned {
        let nodes: Vec<usize> = (0..self.overview.graph.nodes.len())
            .filter(|&node| self.overview.graph.nodes[node].layer() == name)
            .collect();
        let first = &self.overview.graph.nodes[nodes[0]];
        let [_, h, w] = self.overview.graph.shape(first.output);
        let channels = nodes.iter().map(|&node| self.overview.graph.nodes[node].output.channels).sum();
        let is_of = |layers: &str| layers.split(" + ").any(|layer| layer == first.name);
        let steps: Vec<_> = self.overview.steps.iter().filter(|step| is_of(&step.layers)).collect();
        // Of two steps the last one makes the output.
        let step = steps.last().expect("every layer is planned");
        let strided = |kernel: usize, stride: usize| match stride {
            1 => format!("{kernel}x{kernel}"),
            _ => format!("{kernel}x{kernel}/{stride}"),
        };
        let window = match &first.op {
            Op::Conv(shape) => strided(shape.kh, shape.stride_h),
            Op::MaxPool(pool) => strided(pool.kernel, pool.stride),
            _ => String::new(),
        };
        let groups = if nodes.len() > 1 { format!("{} groups", nodes.len()) } else { String::new() };
        Planned {
            window: [window, groups].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", "),
            shape: [channels, h, w],
            kernel: step.kernel.clone(),
            precision: step.precision,
            multiply_adds: nodes.iter().map(|&node| self.costs[node].multiply_adds).sum(),
            phases: [steps[0].phase, step.phase],
        }
    }

    fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let _ = writeln!(self.body, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(text));
    }

    /// How wide the line to a layer of so many multiply-adds is.
    fn width(&self, multiply_adds: u64) -> f64 {
        1.0 + (WIDEST - 1.0) * multiply_adds as f64 / self.most as f64
    }

    fn line(&mut self, from: [f64; 2], to: [f64; 2], width: f64) {
        let [[x, y], [u, v]] = [from, to];
        let path = if (x - u).abs() < 0.05 {
            format!("M{x:.1} {y:.1}V{v:.1}")
        } else {
            let middle = (y + v) / 2.0;
            format!("M{x:.1} {y:.1}C{x:.1} {middle:.1} {u:.1} {middle:.1} {u:.1} {v:.1}")
        };
        let _ = writeln!(self.body, "<path class=\"line\" stroke-width=\"{width:.1}\" d=\"{path}\"/>");
    }

    /// The box of the layer `name`.
    fn frame(&mut self, [x, y, width, height]: [f64; 4], name: &str, planned: &Planned) {
        let class = if planned.multiply_adds > 0 { planned.precision.name() } else { "" };
        let all =
            [name, &planned.window, &shape(planned.shape), &planned.kernel, &cost_text(planned), &phases(planned)];
        let all: Vec<&str> = all.into_iter().filter(|text| !text.is_empty()).collect();
        let title = escaped(&all.join(", "));
        let _ = writeln!(
            self.body,
            "<rect class=\"layer {class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"3\">\
             <title>{title}</title></rect>"
        );
    }

    /// A layer of the trunk, the line to which begins at `y`; returns where it ends.
    fn trunk(&mut self, name: &str, y: f64) -> f64 {
        let planned = self.planned(name);
        let top = y + 16.0;
        self.line([MIDDLE, y], [MIDDLE, top], self.width(planned.multiply_adds));
        self.frame([MIDDLE - TRUNK / 2.0, top, TRUNK, 34.0], name, &planned);
        // Many names say it.
        let is_said = name.contains(&planned.window);
        let window = if is_said { String::new() } else { format!(", {}", planned.window) };
        self.text("name middle", MIDDLE, top + 14.0, &format!("{name}{window}"));
        let text = [shape(planned.shape), planned.kernel.clone(), cost_text(&planned), phases(&planned)];
        let text: Vec<String> = text.into_iter().filter(|text| !text.is_empty()).collect();
        self.text("small middle", MIDDLE, top + 27.0, &text.join(", "));
        top + 34.0
    }

    /// A module, the lines to which begin at `y`; returns where it ends.
    fn module(&mut self, name: &str, branches: &[Vec<Layer>], y: f64) -> f64 {
        let rows = branches.iter().map(Vec::len).max().unwrap_or(1) as f64;
        let (left, top) = (6.0, y + 8.0);
        let (inner, column) = (top + 46.0, (WIDTH - 2.0 * left - 8.0) / branches.len() as f64);
        let bottom = inner + rows * BOX + (rows - 1.0) * GAP;
        let end = bottom + 26.0;
        let output = self.overview.graph.find(&format!("{name}/output")).expect("a module of the network");
        let adds: u64 = branches.iter().flatten().map(|layer| self.planned(layer.name()).multiply_adds).sum();
        let _ = writeln!(
            self.body,
            "<rect class=\"module\" x=\"{left}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"6\"/>",
            WIDTH - 2.0 * left,
            end - top
        );
        self.text("name", left + 8.0, top + 15.0, name);
        let shape = shape(self.overview.graph.shape(output));
        self.text("small end", WIDTH - left - 8.0, top + 15.0, &format!("{shape}, {}", millions(adds)));
        // From one point to each branch, and from each to one point.
        let (from, to) = ([MIDDLE, top + 18.0], [MIDDLE, end]);
        self.line([MIDDLE, y], from, 1.0);
        for (i, branch) in branches.iter().enumerate() {
            let x = left + 4.0 + column * (i as f64 + 0.5);
            let mut above = from;
            for (row, layer) in branch.iter().enumerate() {
                let planned = self.planned(layer.name());
                let box_top = inner + row as f64 * (BOX + GAP);
                self.line(above, [x, box_top], self.width(planned.multiply_adds));
                self.frame([x - column / 2.0 + 2.0, box_top, column - 4.0, BOX], layer.name(), &planned);
                let own = layer.name().strip_prefix(name).unwrap_or(layer.name()).trim_start_matches('/');
                // Where neither name nor window is said to be another, it is of one pixel.
                let is_said = own.contains(&planned.window) || planned.window == "1x1";
                let window = if is_said { "" } else { planned.window.as_str() };
                let texts = [
                    ("name middle", format!("{} {window}", short(own)).trim().to_owned()),
                    ("tiny middle", self::shape(planned.shape)),
                    ("tiny middle", planned.kernel_alone().to_owned()),
                    ("tiny middle", cost_text(&planned)),
                    ("tiny middle", phases(&planned)),
                ];
                let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
                for (line, (class, text)) in texts.enumerate() {
                    self.text(class, x, box_top + 13.0 + 12.0 * line as f64, &text);
                }
                above = [x, box_top + BOX];
            }
            // What the branch puts out goes to its channels of the module's output: that costs nothing.
            self.line(above, to, 1.0);
        }
        end
    }

    /// What lines and colours say; returns where it ends.
    fn legend(&mut self, y: f64) -> f64 {
        let (most, mut x) = (self.most, 10.0);
        for part in [1.0, 0.25] {
            let count = (most as f64 * part) as u64;
            let width = self.width(count);
            let middle = y - 4.0;
            let _ =
                writeln!(self.body, "<path class=\"line\" stroke-width=\"{width:.1}\" d=\"M{x:.1} {middle:.1}h24\"/>");
            let text = if part == 1.0 { format!("{} multiply-adds", millions(count)) } else { millions(count) };
            self.text("small", x + 30.0, y, &text);
            x += 38.0 + super::text_width(&text, 10.5);
        }
        let used = |precision: Precision| {
            let steps = &self.overview.steps;
            steps.iter().any(|step| step.precision == precision && step.multiply_adds > 0)
        };
        let names: Vec<&str> = Precision::ALL.into_iter().filter(|&of| used(of)).map(Precision::name).collect();
        for name in names {
            let top = y - 11.0;
            let _ = writeln!(
                self.body,
                "<rect class=\"layer {name}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"16\" height=\"13\" rx=\"3\"/>"
            );
            self.text("small", x + 21.0, y, name);
            x += 54.0;
        }
        y + 8.0
    }
}

fn shape([c, h, w]: [usize; 3]) -> String {
    format!("{c}x{h}x{w}")
}

fn millions(count: u64) -> String {
    format!("{:.1} M", count as f64 / 1e6)
}

/// Precision and multiply-adds of a layer that multiplies.
fn cost_text(planned: &Planned) -> String {
    match planned.multiply_adds {
        0 => String::new(),
        count => format!("{}, {}", planned.precision, millions(count)),
    }
}

/// In which phases it is computed.
fn phases(planned: &Planned) -> String {
    match planned.phases {
        [first, last] if first == last => format!("phase {first}"),
        [first, last] => format!("phases {first}\u{2013}{last}"),
    }
}

/// Sizes, in pixels: where the trunk runs, how wide its layers are, how high a branch's are, and what lies between them;
/// and the widest line.
const MIDDLE: f64 = WIDTH / 2.0;
const TRUNK: f64 = 340.0;
const BOX: f64 = 68.0;
const GAP: f64 = 16.0;
const WIDEST: f64 = 14.0;
