//! The comparison as one SVG: a panel of bars for each count, and the widths of the modules beside the naive ones.
//!
//! Bars begin at zero and are to scale, so that lengths compare as the counts do. Colours follow the viewer's scheme.

use std::fmt::Write;

use crate::command::page::svg::Drawing;

use super::claims::{Claims, Module};
use super::counts::Counts;
use super::timing::Times;

/// A panel: what it shows, and each network's value with the text beside its bar.
struct Panel {
    title: &'static str,
    values: Vec<(f64, String)>,
}

/// Draws the counts, the times if there are any, and the growth of the modules.
pub fn draw(counts: &[Counts], times: &[Times], claims: &Claims) -> String {
    let panel = |title, value: &dyn Fn(usize, &Counts) -> (f64, String)| Panel {
        title,
        values: counts.iter().enumerate().map(|(i, of)| value(i, of)).collect(),
    };
    let scaled = |count: f64, unit: f64, name: &str| (count, format!("{:.1} {name}", count / unit));
    let mut panels = vec![
        panel("Multiply-adds of an image", &|_, of| scaled(of.multiply_adds as f64, 1e6, "million")),
        panel("Parameters", &|_, of| scaled(of.parameters as f64, 1e6, "million")),
        panel("Weights in f32", &|_, of| scaled(of.f32_bytes() as f64, 1e6, "MB")),
        panel("Largest activation", &|_, of| scaled(of.largest_bytes() as f64, 1e6, "MB")),
        panel("Arena of activations", &|_, of| scaled(of.arena_bytes as f64, 1e6, "MB")),
        panel("Depth, in layers with weights", &|_, of| (of.depth as f64, of.depth.to_string())),
    ];
    if !times.is_empty() {
        panels.push(panel("Time of an image, median", &|i, _| (times[i].median, format!("{:.1} ms", times[i].median))));
    }
    let names: Vec<(String, bool)> = counts.iter().map(|of| (of.label(), of.is_googlenet())).collect();
    let panel_height = TITLE + counts.len() as f64 * ROW + GAP;
    let rows = panels.len().div_ceil(2);
    let growth_top = 64.0 + rows as f64 * panel_height;
    let height = growth_top + GROWTH + 40.0;

    let widths = claims.modules.iter().map(|Module { name, widths: [own, naive], .. }| {
        format!("{name} {own} in GoogLeNet and {naive} in the naive network")
    });
    let widths = format!("{CHANNELS}: {}.", widths.collect::<Vec<_>>().join(", "));
    let described = panels.iter().map(|panel| described(panel, &names)).chain([widths]).collect::<Vec<_>>().join(" ");
    let title = "GoogLeNet and its predecessors";
    let mut svg = format!(
        "<rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
         <text class=\"head\" x=\"{MARGIN}\" y=\"38\">{title}</text>\n"
    );
    for (i, panel) in panels.iter().enumerate() {
        let (x, y) = (MARGIN + (i % 2) as f64 * (PANEL + MARGIN), 64.0 + (i / 2) as f64 * panel_height);
        bars(&mut svg, panel, &names, x, y);
    }
    growth(&mut svg, &claims.modules, growth_top);
    Drawing { class: "compared", size: [WIDTH, height], title, described: &described, style: STYLE }.draw(&svg)
}

/// A panel in words, for those who hear the drawing.
fn described(panel: &Panel, names: &[(String, bool)]) -> String {
    let values = names.iter().zip(&panel.values).map(|((name, _), (_, text))| format!("{name} {text}"));
    format!("{}: {}.", panel.title, values.collect::<Vec<_>>().join(", "))
}

/// One panel; the networks' names come with whether they are GoogLeNet's, whose bars stand out.
fn bars(svg: &mut String, panel: &Panel, names: &[(String, bool)], x: f64, y: f64) {
    let largest = panel.values.iter().map(|&(value, _)| value).fold(f64::MIN_POSITIVE, f64::max);
    let _ = writeln!(svg, "<text class=\"panel\" x=\"{x}\" y=\"{}\">{}</text>", y + 14.0, panel.title);
    for (row, ((name, own), (value, text))) in names.iter().zip(&panel.values).enumerate() {
        let top = y + TITLE + row as f64 * ROW;
        let length = (value / largest * BAR).max(1.0);
        let class = if *own { "bar own" } else { "bar" };
        let base = top + 15.0;
        let _ = writeln!(
            svg,
            "<text class=\"name\" x=\"{:.1}\" y=\"{base}\">{name}</text>\
             <rect class=\"{class}\" x=\"{:.1}\" y=\"{}\" width=\"{length:.1}\" height=\"14\" rx=\"2\"/>\
             <text x=\"{:.1}\" y=\"{base}\">{text}</text>",
            x + NAMES - 8.0,
            x + NAMES,
            top + 4.0,
            x + NAMES + length + 6.0
        );
    }
}

/// The widths of the modules from stage to stage, as pairs of bars.
fn growth(svg: &mut String, modules: &[Module], y: f64) {
    let largest = modules.iter().flat_map(|module| module.widths).max().unwrap_or(1) as f64;
    let step = (WIDTH - 2.0 * MARGIN) / modules.len().max(1) as f64;
    let (base, full) = (y + GROWTH - 24.0, GROWTH - 86.0);
    let _ = writeln!(
        svg,
        "<text class=\"panel\" x=\"{MARGIN}\" y=\"{}\">{CHANNELS}</text>\
         <rect class=\"bar own\" x=\"{MARGIN}\" y=\"{}\" width=\"12\" height=\"12\" rx=\"2\"/>\
         <text x=\"{}\" y=\"{}\">GoogLeNet, with reductions</text>\
         <rect class=\"bar\" x=\"{}\" y=\"{}\" width=\"12\" height=\"12\" rx=\"2\"/>\
         <text x=\"{}\" y=\"{}\">naive: the pool hands on all that it reads</text>",
        y + 14.0,
        y + 26.0,
        MARGIN + 18.0,
        y + 37.0,
        MARGIN + 220.0,
        y + 26.0,
        MARGIN + 238.0,
        y + 37.0
    );
    for (i, module) in modules.iter().enumerate() {
        let x = MARGIN + i as f64 * step;
        for (j, (width, class)) in module.widths.into_iter().zip(["bar own", "bar"]).enumerate() {
            let (tall, left) = (width as f64 / largest * full, x + 8.0 + j as f64 * 34.0);
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"30\" height=\"{tall:.1}\" rx=\"2\"/>\
                 <text class=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{width}</text>",
                base - tall,
                left + 15.0,
                base - tall - 5.0
            );
        }
        let _ =
            writeln!(svg, "<text class=\"middle\" x=\"{:.1}\" y=\"{}\">{}</text>", x + 40.0, base + 18.0, module.name);
    }
}

const STYLE: &str = "\
.compared .head{font-size:20px;font-weight:600}.compared .panel{font-weight:600}\
.compared .name{text-anchor:end}.compared .middle{text-anchor:middle;font-size:11px}\
.compared .ground{fill:var(--ground)}.compared .bar{fill:var(--quiet)}.compared .own{fill:var(--own)}";

/// The title of the picture of the modules.
const CHANNELS: &str = "Channels that the modules put out";

/// Sizes, in pixels: the drawing's width, its margins, a panel, the names in it, its longest bar, a row of it, its title,
/// what lies below it; and the height of the picture of the modules.
const WIDTH: f64 = 860.0;
const MARGIN: f64 = 24.0;
const PANEL: f64 = 394.0;
const NAMES: f64 = 154.0;
const BAR: f64 = 118.0;
const ROW: f64 = 22.0;
const TITLE: f64 = 22.0;
const GAP: f64 = 22.0;
const GROWTH: f64 = 260.0;
