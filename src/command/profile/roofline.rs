//! The roofline (Williams, Waterman, Patterson, "Roofline: An Insightful Visual Performance Model for Multicore
//! Architectures", CACM 52(4), 2009): what a layer reaches, below what the machine allows.
//!
//! ```text
//! multiply-adds a second  |        ________________  peak
//!   (log)                 |    L1 /  / / .  . 12  .
//!                         |      /L2/ /memory   . 7
//!                         |_____/__/_/______________
//!                            multiply-adds a byte (log)
//! ```
//!
//! A layer's dot lies at the multiply-adds that its kernel computes, by the bytes of weights and activations that it has to
//! move at least. Dots have numbers, as names would lie over each other, and a table below says what they are.

use std::fmt::Write;

use crate::command::bench::layers::Row;
use crate::command::bench::machine::Level;
use crate::command::page::html::escaped;
use crate::command::page::svg::Drawing;

/// A dot, and where its number stands.
struct Dot<'a> {
    row: &'a Row,
    at: [f64; 2],
    /// The middle of the number.
    label: [f64; 2],
}

/// The axes: where a value lies in the drawing.
struct Axes {
    /// The smallest and the largest value of each, as logarithms of base 10.
    x: [f64; 2],
    y: [f64; 2],
}

impl Axes {
    fn x(&self, value: f64) -> f64 {
        LEFT + (value.log10() - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        TOP + PLOT - (value.log10() - self.y[0]) / (self.y[1] - self.y[0]) * PLOT
    }
}

/// Draws `rows` below the `peak`, 10^9 multiply-adds a second, and the bandwidths of `levels`.
pub fn draw(title: &str, rows: &[Row], peak: f64, levels: &[Level]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.multiply_adds[1] > 0 && row.ms > 0.0).collect();
    let axes = axes(&rows, peak, levels);
    let dots = place(&rows, &axes);
    let mut body = String::new();
    grid(&mut body, &axes);
    roofs(&mut body, &axes, peak, levels);
    for (i, dot) in dots.iter().enumerate() {
        let ([x, y], [lx, ly]) = (dot.at, dot.label);
        let name = escaped(&dot.row.layers);
        if (lx - x).hypot(ly - y) > NEAR {
            let _ = write!(body, "<path class=\"lead\" d=\"M{x:.1} {y:.1}L{lx:.1} {ly:.1}\"/>");
        }
        let _ = writeln!(
            body,
            "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{DOT}\"><title>{name}: {:.1} GMAC/s</title></circle>",
            dot.row.gmacs()
        );
        let _ = writeln!(
            body,
            "<rect class=\"tag\" x=\"{:.1}\" y=\"{:.1}\" width=\"{LABEL_WIDTH}\" height=\"{LABEL_HEIGHT}\" rx=\"2\"/>\
             <text class=\"number\" x=\"{lx:.1}\" y=\"{:.1}\">{}</text>",
            lx - LABEL_WIDTH / 2.0,
            ly - LABEL_HEIGHT / 2.0,
            ly + 3.5,
            i + 1
        );
    }
    let top = TOP + PLOT + 62.0;
    let height = table(&mut body, &rows, top);
    let title = format!("Roofline of {title}");
    let head = format!(
        "<rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
         <text class=\"head\" x=\"12\" y=\"24\">{}</text>\n",
        escaped(&title)
    );
    let described = described(&rows, peak, levels);
    let drawing =
        Drawing { class: "roofline", size: [WIDTH, height], title: &title, described: &described, style: STYLE };
    drawing.draw(&(head + &body))
}

fn described(rows: &[&Row], peak: f64, levels: &[Level]) -> String {
    let roofs: Vec<String> =
        levels.iter().map(|level| format!("{} {:.1} GB/s", level.name, level.bandwidth / 1e9)).collect();
    let best = rows.iter().max_by(|a, b| a.gmacs().total_cmp(&b.gmacs()));
    let best = best.map(|row| format!(" The fastest is {} with {:.1} GMAC/s.", row.layers, row.gmacs()));
    format!(
        "{} layers as dots: multiply-adds a second over multiply-adds a byte. Roofs: peak {peak:.1} GMAC/s, {}.{}",
        rows.len(),
        roofs.join(", "),
        best.unwrap_or_default()
    )
}

/// Axes of whole decades of 10 that hold every dot, the peak, and the point at which memory's roof meets it.
fn axes(rows: &[&Row], peak: f64, levels: &[Level]) -> Axes {
    let knees = levels.iter().map(|level| peak * 1e9 / level.bandwidth);
    let xs: Vec<f64> = rows.iter().map(|row| row.intensity()).chain(knees).collect();
    let ys: Vec<f64> = rows.iter().map(|row| row.gmacs()).chain([peak, peak / 20.0]).collect();
    let bounds = |values: &[f64]| {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min).max(1e-6);
        let most = values.iter().copied().fold(least * 1.01, f64::max);
        // To a third of a decade, so that little room is empty.
        let third = |value: f64, up: f64| (value.log10() * 3.0 + up * 0.5).round() / 3.0;
        [third(least, -1.0), third(most, 1.0)]
    };
    Axes { x: bounds(&xs), y: bounds(&ys) }
}

fn grid(body: &mut String, axes: &Axes) {
    let (right, bottom) = (WIDTH - RIGHT, TOP + PLOT);
    let ticks = |[least, most]: [f64; 2]| {
        let decades = (least.floor() as i32)..=(most.ceil() as i32);
        let values = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)));
        values.filter(move |value| (least - 1e-9..=most + 1e-9).contains(&value.log10())).collect::<Vec<_>>()
    };
    let number = |value: f64| if value < 1.0 { format!("{value:.2}") } else { format!("{value:.0}") };
    for value in ticks(axes.x) {
        let x = axes.x(value);
        let _ = writeln!(
            body,
            "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>\
             <text class=\"tick middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            bottom + 14.0,
            number(value)
        );
    }
    for value in ticks(axes.y) {
        let y = axes.y(value);
        let _ = writeln!(
            body,
            "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>\
             <text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 5.0,
            y + 4.0,
            number(value)
        );
    }
    let _ = writeln!(
        body,
        "<text class=\"tick middle\" x=\"{:.1}\" y=\"{:.1}\">multiply-adds a byte of weights and activations</text>\
         <text class=\"tick\" x=\"{LEFT}\" y=\"{:.1}\">10⁹ multiply-adds a second</text>",
        (LEFT + right) / 2.0,
        bottom + 32.0,
        TOP - 6.0
    );
}

/// The peak, and the roof of each level up to where it meets the peak.
fn roofs(body: &mut String, axes: &Axes, peak: f64, levels: &[Level]) {
    let (left, bottom) = (10_f64.powf(axes.x[0]), 10_f64.powf(axes.y[0]));
    let first = levels.iter().map(|level| peak * 1e9 / level.bandwidth).fold(f64::INFINITY, f64::min).max(left);
    let y = axes.y(peak);
    let _ = writeln!(
        body,
        "<path class=\"roof peak\" d=\"M{:.1} {y:.1}H{:.1}\"/>\
         <text class=\"roofname end\" x=\"{:.1}\" y=\"{:.1}\">peak {peak:.0} GMAC/s</text>",
        axes.x(first),
        WIDTH - RIGHT,
        WIDTH - RIGHT - 4.0,
        y - 5.0
    );
    // Names stand in a column of their own below the drawing's title, as roofs lie close together.
    for (i, level) in levels.iter().enumerate() {
        let gigabytes = level.bandwidth / 1e9;
        let begin = left.max(bottom / gigabytes);
        let (x0, y0) = (axes.x(begin), axes.y(begin * gigabytes));
        let end = (peak / gigabytes).max(begin);
        let (x1, y1) = (axes.x(end), axes.y((end * gigabytes).min(peak)));
        let _ = writeln!(body, "<path class=\"roof level{i}\" d=\"M{x0:.1} {y0:.1}L{x1:.1} {y1:.1}\"/>");
        let y = 42.0;
        let x = 12.0 + i as f64 * (WIDTH - 24.0) / levels.len() as f64;
        let _ = writeln!(
            body,
            "<path class=\"roof level{i}\" d=\"M{x:.1} {y}h14\"/>\
             <text class=\"roofname\" x=\"{:.1}\" y=\"{:.1}\">{} {gigabytes:.0} GB/s</text>",
            x + 18.0,
            y + 4.0,
            level.name
        );
    }
}

/// Where dots and their numbers lie: each number at the nearest of many places around its dot where it covers no dot and no
/// other number.
fn place<'a>(rows: &[&'a Row], axes: &Axes) -> Vec<Dot<'a>> {
    let at: Vec<[f64; 2]> = rows.iter().map(|row| [axes.x(row.intensity()), axes.y(row.gmacs())]).collect();
    let covers = |[lx, ly]: [f64; 2], [x, y]: [f64; 2], width: f64, height: f64| {
        (lx - x).abs() < (LABEL_WIDTH + width) / 2.0 && (ly - y).abs() < (LABEL_HEIGHT + height) / 2.0
    };
    let mut labels: Vec<[f64; 2]> = Vec::new();
    for &[x, y] in &at {
        let rings = (0..60).flat_map(|ring| {
            let radius = 11.0 + 3.0 * f64::from(ring);
            let steps = 8 + ring * 4;
            (0..steps).map(move |step| {
                let angle = std::f64::consts::TAU * f64::from(step) / f64::from(steps) - 0.8;
                [x + radius * angle.cos(), y + radius * angle.sin()]
            })
        });
        let inside = |&[lx, ly]: &[f64; 2]| {
            let is_across = lx - LABEL_WIDTH / 2.0 >= LEFT && lx + LABEL_WIDTH / 2.0 <= WIDTH - RIGHT;
            is_across && ly - LABEL_HEIGHT / 2.0 >= TOP && ly + LABEL_HEIGHT / 2.0 <= TOP + PLOT
        };
        let is_free = |label: &[f64; 2]| {
            let is_apart = labels.iter().all(|&other| !covers(*label, other, LABEL_WIDTH + 1.0, LABEL_HEIGHT + 1.0));
            is_apart && at.iter().all(|&dot| !covers(*label, dot, 2.0 * DOT + 1.0, 2.0 * DOT + 1.0))
        };
        let found = rings.filter(inside).find(is_free);
        labels.push(found.unwrap_or([x, y]));
    }
    rows.iter().zip(at).zip(labels).map(|((row, at), label)| Dot { row, at, label }).collect()
}

/// What each number stands for; returns where the table ends.
fn table(body: &mut String, rows: &[&Row], top: f64) -> f64 {
    let all: f64 = rows.iter().map(|row| row.ms).sum::<f64>().max(f64::MIN_POSITIVE);
    let _ = writeln!(
        body,
        "<text class=\"strong end\" x=\"26\" y=\"{top}\">#</text><text class=\"strong\" x=\"36\" y=\"{top}\">layer</text>\
         <text class=\"strong end\" x=\"{COMPUTED}\" y=\"{top}\">GMAC/s</text>\
         <text class=\"strong end\" x=\"{INTENSITY}\" y=\"{top}\">a byte</text>\
         <text class=\"strong end\" x=\"{SHARE}\" y=\"{top}\">of time</text>"
    );
    let mut y = top;
    for (i, row) in rows.iter().enumerate() {
        let lines = broken(&row.layers);
        y += 17.0;
        let _ = writeln!(
            body,
            "<text class=\"row end\" x=\"26\" y=\"{y}\">{}</text>\
             <text class=\"row end\" x=\"{COMPUTED}\" y=\"{y}\">{:.1}</text>\
             <text class=\"row end\" x=\"{INTENSITY}\" y=\"{y}\">{:.1}</text>\
             <text class=\"row end\" x=\"{SHARE}\" y=\"{y}\">{:.1} %</text>",
            i + 1,
            row.gmacs(),
            row.intensity(),
            100.0 * row.ms / all
        );
        for (line, text) in lines.iter().enumerate() {
            y += if line == 0 { 0.0 } else { 14.0 };
            let _ = writeln!(body, "<text class=\"row\" x=\"36\" y=\"{y}\">{}</text>", escaped(text));
        }
    }
    y + 18.0
}

/// The layers of a row in lines that fit the table.
fn broken(layers: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for layer in layers.split(" + ") {
        match lines.last_mut() {
            Some(line) if line.chars().count() + layer.chars().count() + 3 <= LINE => {
                line.push_str(" + ");
                line.push_str(layer);
            }
            Some(line) => {
                line.push_str(" +");
                lines.push(layer.to_owned());
            }
            None => lines.push(layer.to_owned()),
        }
    }
    lines
}

const STYLE: &str = "\
svg.roofline{width:100%;max-width:48rem;height:auto;display:block;margin:0 auto;background:var(--ground)}\
.roofline .ground{fill:var(--ground)}.roofline .head{font-size:14px;font-weight:600}\
.roofline .tick,.roofline .roofname{font-size:11px}.roofline .row,.roofline .strong{font-size:11.5px}\
.roofline .strong{font-weight:600}.roofline .middle{text-anchor:middle}.roofline .end{text-anchor:end}\
.roofline .grid{stroke:var(--grid);stroke-width:.5;fill:none;opacity:.6}\
.roofline .roof{fill:none;stroke-width:2}.roofline .peak{stroke:var(--ink)}\
.roofline .level0{stroke:#7b3294}.roofline .level1{stroke:#c2782b}.roofline .level2{stroke:#1a8a5a}\
.roofline .level3{stroke:#888}\
.roofline .dot{fill:var(--own)}.roofline .lead{stroke:var(--own);stroke-width:.7;fill:none;opacity:.8}\
.roofline .tag{fill:var(--ground);opacity:.75}.roofline .number{font-size:10px;text-anchor:middle}";

/// Sizes, in pixels: the drawing's width, what lies around the plot, its height, a dot's radius, a number's room, and how
/// far from its dot a number needs a line.
const WIDTH: f64 = 440.0;
const LEFT: f64 = 38.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 72.0;
const PLOT: f64 = 360.0;
const DOT: f64 = 3.2;
const LABEL_WIDTH: f64 = 14.0;
const LABEL_HEIGHT: f64 = 11.0;
const NEAR: f64 = 13.0;
/// Where the table's columns end, and the characters of its first.
const COMPUTED: f64 = 326.0;
const INTENSITY: f64 = 374.0;
const SHARE: f64 = 432.0;
const LINE: usize = 38;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(i: usize) -> Row {
        // Many near each other, as GoogLeNet's are, and a few far away.
        let count = 1_000_000 * (1 + i as u64 % 7);
        let ms = count as f64 / 1e6 / (40.0 + (i * 37 % 11) as f64);
        let bytes = if i % 9 == 8 { 4 * count as usize } else { 20_000 + 3_000 * (i * 53 % 29) };
        Row { layers: format!("layer{i}"), kernel: "k".into(), ms, multiply_adds: [count, count], bytes: [bytes, 0] }
    }

    #[test]
    fn numbers_cover_neither_each_other_nor_a_dot_and_lie_in_the_plot() {
        let rows: Vec<Row> = (0..60).map(row).collect();
        let rows: Vec<&Row> = rows.iter().collect();
        let level = |name, bandwidth| Level { name, bytes: 1, bandwidth };
        let levels = [level("L1", 400e9), level("memory", 20e9)];
        let dots = place(&rows, &axes(&rows, 55.0, &levels));
        for (i, dot) in dots.iter().enumerate() {
            let [lx, ly] = dot.label;
            assert!((LEFT..WIDTH - RIGHT).contains(&lx) && (TOP..TOP + PLOT).contains(&ly), "{i}: {:?}", dot.label);
            for (j, other) in dots.iter().enumerate() {
                let [x, y] = other.label;
                let apart = (lx - x).abs() >= LABEL_WIDTH || (ly - y).abs() >= LABEL_HEIGHT;
                assert!(i == j || apart, "{i} and {j}");
                let [x, y] = other.at;
                let apart = (lx - x).abs() >= LABEL_WIDTH / 2.0 + DOT || (ly - y).abs() >= LABEL_HEIGHT / 2.0 + DOT;
                assert!(apart, "the number of {i} lies on the dot of {j}");
                assert!((LEFT..WIDTH - RIGHT + 0.1).contains(&x) && (TOP..TOP + PLOT + 0.1).contains(&y), "{j}");
            }
        }
    }

    #[test]
    fn long_rows_are_broken_between_layers() {
        let layers = "inception_3a/1x1 + inception_3a/3x3_reduce + inception_3a/5x5_reduce";
        let lines = broken(layers);
        assert_eq!(lines.join(" "), layers);
        assert!(lines.iter().all(|line| line.chars().count() <= LINE + 2), "{lines:?}");
    }
}
