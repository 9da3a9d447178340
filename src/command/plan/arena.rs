//! The arena over time: from left to right the phases, from below upwards the bytes; a rectangle is a buffer, as long as it
//! holds values, where it lies.

use std::fmt::Write;

use super::{Picture, WIDTH, short, stretches, text_width};
use crate::command::page::html::escaped;
use crate::plan::{Overview, Span};

/// Draws the arena of `overview`.
pub fn picture(overview: &Overview) -> Picture {
    let phases = overview.tasks.len();
    let x = |phase: usize| LEFT + (phase.min(phases)) as f64 / phases as f64 * (WIDTH - LEFT - RIGHT);
    let all = overview.arena_bytes.max(1) as f64;
    let y = |bytes: usize| TOP + HEIGHT - bytes as f64 / all * HEIGHT;
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    let mut body = String::from("<text class=\"title\" x=\"10\" y=\"12\">The arena over time</text>\n");

    let step = nice(megabytes(overview.arena_bytes) / 4.0);
    for tick in 0..=(megabytes(overview.arena_bytes) / step + 1e-6) as usize {
        let at = y((tick as f64 * step * 1e6) as usize);
        let _ = writeln!(
            body,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{:.1}\"/><text class=\"tiny end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 4.0,
            at + 3.0,
            tick as f64 * step
        );
    }
    let _ = writeln!(body, "<text class=\"tiny end\" x=\"{:.1}\" y=\"{:.1}\">MB</text>", LEFT - 4.0, TOP - 8.0);
    for span in &overview.spans {
        buffer(
            &mut body,
            span,
            [x(*span.phases.start()), x(span.phases.end() + 1)],
            [y(span.bytes.end), y(span.bytes.start)],
        );
    }

    // Where the highest byte is in use.
    let highest = overview.spans.iter().max_by_key(|span| (span.bytes.end, std::cmp::Reverse(*span.phases.start())));
    let peak = highest.map_or(0, |span| *span.phases.start());
    let live: Vec<usize> = (0..phases).map(|phase| live(overview, phase)).collect();
    let most = live.iter().copied().max().unwrap_or(0);
    let text = format!(
        "peak {:.2} MB in phase {peak}; at most {:.2} MB live at once",
        megabytes(overview.arena_bytes),
        megabytes(most)
    );
    let _ = writeln!(
        body,
        "<path class=\"peak\" d=\"M{LEFT} {TOP}H{:.1}\"/><text class=\"small end\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
        WIDTH - RIGHT,
        WIDTH - RIGHT,
        TOP - 6.0
    );

    let base = TOP + HEIGHT;
    band(&mut body, overview, &x, base);
    let legend = base + 46.0;
    let _ = writeln!(
        body,
        "<text class=\"tiny end\" x=\"{:.1}\" y=\"{:.1}\">phase</text>\
         <rect class=\"span\" x=\"{LEFT}\" y=\"{:.1}\" width=\"14\" height=\"11\"/>\
         <text class=\"small\" x=\"{:.1}\" y=\"{legend:.1}\">activations</text>\
         <rect class=\"span added\" x=\"{:.1}\" y=\"{:.1}\" width=\"14\" height=\"11\"/>\
         <text class=\"small\" x=\"{:.1}\" y=\"{legend:.1}\">transformed inputs</text>",
        LEFT - 4.0,
        base + 12.0,
        legend - 9.0,
        LEFT + 19.0,
        LEFT + 110.0,
        legend - 9.0,
        LEFT + 129.0,
    );
    let described = format!("The arena: {} buffers over {phases} phases; {text}.", overview.spans.len());
    Picture { body, height: legend + 6.0, described }
}

/// One buffer; its name stands in it where it fits.
fn buffer(body: &mut String, span: &Span, [left, right]: [f64; 2], [top, bottom]: [f64; 2]) {
    let class = if span.is_activation { "span" } else { "span added" };
    let title = format!(
        "{}{}: {} bytes of {} at {}, phases {} to {}",
        if span.is_activation { "" } else { "transformed input of " },
        span.name,
        span.bytes.len(),
        span.element,
        span.bytes.start,
        span.phases.start(),
        span.phases.end()
    );
    let _ = writeln!(
        body,
        "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
        right - left,
        bottom - top,
        escaped(&title)
    );
    let (width, height, name) = (right - left, bottom - top, short(&span.name));
    let (x, y, needed) = ((left + right) / 2.0, (top + bottom) / 2.0, text_width(name, 9.5) + 3.0);
    let name = escaped(name);
    if needed <= width && height >= 11.0 {
        let _ = writeln!(body, "<text class=\"tiny middle\" x=\"{x:.1}\" y=\"{:.1}\">{name}</text>", y + 3.3);
    } else if needed <= height && width >= 10.5 {
        let (x, y) = (x + 3.3, y);
        let _ = writeln!(
            body,
            "<text class=\"tiny middle\" x=\"{x:.1}\" y=\"{y:.1}\" transform=\"rotate(-90 {x:.1} {y:.1})\">{name}</text>"
        );
    }
}

/// Numbers of phases, and the names of layers and modules that they compute, below `y`.
fn band(body: &mut String, overview: &Overview, x: &dyn Fn(usize) -> f64, y: f64) {
    let phases = overview.tasks.len();
    for phase in (0..phases).step_by(if phases > 12 { 5 } else { 1 }) {
        let middle = (x(phase) + x(phase + 1)) / 2.0;
        let _ = writeln!(body, "<text class=\"tiny middle\" x=\"{middle:.1}\" y=\"{:.1}\">{phase}</text>", y + 12.0);
    }
    for (name, of) in stretches(overview) {
        let (left, right) = (x(of.start), x(of.end));
        let _ = writeln!(body, "<path class=\"grid\" d=\"M{left:.1} {TOP}V{:.1}\"/>", y + 26.0);
        if text_width(&name, 9.5) + 2.0 <= right - left {
            let middle = (left + right) / 2.0;
            let name = escaped(&name);
            let _ = writeln!(body, "<text class=\"tiny middle\" x=\"{middle:.1}\" y=\"{:.1}\">{name}</text>", y + 24.0);
        }
    }
}

/// Bytes that hold values in a phase.
fn live(overview: &Overview, phase: usize) -> usize {
    overview.spans.iter().filter(|span| span.phases.contains(&phase)).map(|span| span.bytes.len()).sum()
}

/// About `value`, as people count: 1, 2 or 5 times a power of 10.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-6).log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= value * 0.999).unwrap_or(10.0);
    digit * power
}

/// Sizes, in pixels: what lies around the plot, and its height.
const LEFT: f64 = 38.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 42.0;
const HEIGHT: f64 = 280.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_as_people_count() {
        assert_eq!([0.9, 1.03, 0.3, 3.0].map(nice), [1.0, 2.0, 0.5, 5.0]);
    }
}
