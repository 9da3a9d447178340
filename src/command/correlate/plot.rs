//! The plot of how correlation falls with distance: an SVG, which stands alone or in a page, in light or dark.

use super::shares::Share;

/// Draws two bars for each distance: its share for a pair of positions, and for all positions together.
pub fn draw(shares: &[Share]) -> String {
    let height = BASE + 70;
    let says = shares.iter().map(|share| {
        let [pair, together] = [share.per_pair, share.together].map(percent);
        format!("distance {}: {pair} for a pair of positions, {together} for all positions together", share.distance)
    });
    let mut svg = vec![
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" class=\"shares\" \
             aria-labelledby=\"shares-title shares-desc\">"
        ),
        "<title id=\"shares-title\">Shares of squared correlation by distance</title>".to_owned(),
        format!("<desc id=\"shares-desc\">{}.</desc>", says.collect::<Vec<_>>().join("; ")),
        format!("<style>{STYLE}</style>"),
    ];
    for part in 0..=4 {
        let (y, percent) = (BASE - HEIGHT * part / 4, 25 * part);
        svg.push(format!("<path class=\"grid\" d=\"M{LEFT} {y}H{WIDTH}\"/>"));
        let (x, y) = (LEFT - 8, y + 5);
        svg.push(format!("<text class=\"small\" x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{percent}\u{a0}%</text>"));
    }
    let step = (WIDTH - LEFT) / shares.len();
    for (index, share) in shares.iter().enumerate() {
        let middle = LEFT + step * index + step / 2;
        for (class, value, x) in [("pair", share.per_pair, middle - BAR - 2), ("together", share.together, middle + 2)]
        {
            let bar = value * HEIGHT as f64;
            let y = BASE as f64 - bar;
            svg.push(format!("<rect class=\"{class}\" x=\"{x}\" y=\"{y:.1}\" width=\"{BAR}\" height=\"{bar:.1}\"/>"));
            let (x, y, percent) = (x + BAR / 2, y - 6.0, percent(value));
            svg.push(format!("<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"middle\">{percent}</text>"));
        }
        let (y, distance) = (BASE + 22, share.distance);
        svg.push(format!("<text x=\"{middle}\" y=\"{y}\" text-anchor=\"middle\">distance {distance}</text>"));
    }
    for (class, text, x) in
        [("pair", "a pair of positions", LEFT), ("together", "all positions together", WIDTH / 2 + 16)]
    {
        svg.push(format!("<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"14\" height=\"14\"/>", BASE + 42));
        svg.push(format!("<text x=\"{}\" y=\"{}\">{text}</text>", x + 22, BASE + 54));
    }
    svg.join("\n") + "\n</svg>\n"
}

/// A share in percent, which no line ends in.
pub fn percent(share: f64) -> String {
    format!("{:.1}\u{a0}%", 100.0 * share)
}

const STYLE: &str = "\
.shares{font:15px system-ui,sans-serif;fill:#1c1c1c}\
.shares .small{font-size:13px}\
.shares .grid{stroke:#8888;fill:none}\
.shares .pair{fill:#0571b0}.shares .together{fill:#e08214}\
@media(prefers-color-scheme:dark){.shares{fill:#e8e8e8}.shares .pair{fill:#56a9dc}.shares .together{fill:#f0a850}}";

/// The width of the plot.
const WIDTH: usize = 440;
/// Where bars begin on the left.
const LEFT: usize = 56;
/// Where bars stand.
const BASE: usize = 210;
/// The height of a bar of 100 %.
const HEIGHT: usize = 180;
/// The width of a bar.
const BAR: usize = 50;
