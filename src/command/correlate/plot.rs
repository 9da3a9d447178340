//! The plot of how correlation falls with distance: an SVG, which stands alone or in a page, in light or dark.

use crate::command::page::svg::Drawing;

use super::shares::Share;

/// Draws two bars for each distance: its share for a pair of positions, and for all positions together. One distance has
/// all of both, which is one bar.
pub fn draw(shares: &[Share]) -> String {
    let height = BASE + 70;
    let says = shares.iter().map(|share| {
        let [pair, together] = [share.per_pair, share.together].map(percent);
        format!("distance {}: {pair} for a pair of positions, {together} for all positions together", share.distance)
    });
    let mut svg = Vec::new();
    for part in 0..=4 {
        let (y, percent) = (BASE - HEIGHT * part / 4, 25 * part);
        svg.push(format!("<path class=\"grid\" d=\"M{LEFT} {y}H{WIDTH}\"/>"));
        let (x, y) = (LEFT - 8, y + 5);
        svg.push(format!("<text class=\"small\" x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{percent}\u{a0}%</text>"));
    }
    let step = (WIDTH - LEFT) / shares.len();
    for (index, share) in shares.iter().enumerate() {
        let middle = LEFT + step * index + step / 2;
        let pair = ("pair", share.per_pair, middle - BAR - BETWEEN / 2);
        let together = ("together", share.together, middle + BETWEEN / 2);
        let bars =
            if shares.len() > 1 { vec![pair, together] } else { vec![("pair", share.per_pair, middle - BAR / 2)] };
        for (class, value, x) in bars {
            let bar = value * HEIGHT as f64;
            let y = BASE as f64 - bar;
            svg.push(format!("<rect class=\"{class}\" x=\"{x}\" y=\"{y:.1}\" width=\"{BAR}\" height=\"{bar:.1}\"/>"));
            let (x, y, percent) = (x + BAR / 2, y - 6.0, percent(value));
            svg.push(format!("<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"middle\">{percent}</text>"));
        }
        let (y, distance) = (BASE + 22, share.distance);
        svg.push(format!("<text x=\"{middle}\" y=\"{y}\" text-anchor=\"middle\">distance {distance}</text>"));
    }
    let legend = match shares.len() {
        1 => vec![("pair", "the layer has one position, and so one distance", LEFT)],
        _ => vec![("pair", "a pair of positions", LEFT), ("together", "all positions together", WIDTH / 2 + 16)],
    };
    for (class, text, x) in legend {
        svg.push(format!("<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"14\" height=\"14\"/>", BASE + 42));
        svg.push(format!("<text x=\"{}\" y=\"{}\">{text}</text>", x + 22, BASE + 54));
    }
    let drawing = Drawing {
        class: "shares",
        size: [WIDTH, height].map(|pixels| pixels as f64),
        title: "Shares of squared correlation by distance",
        described: &format!("{}.", says.collect::<Vec<_>>().join("; ")),
        style: STYLE,
    };
    drawing.draw(&(svg.join("\n") + "\n"))
}

/// A share in percent, which no line ends in.
pub fn percent(share: f64) -> String {
    format!("{:.1}\u{a0}%", 100.0 * share)
}

const STYLE: &str = "\
.shares text{font-size:15px}\
.shares .small{font-size:13px}\
.shares .grid{stroke:var(--grid);fill:none}\
.shares .pair{fill:var(--own)}.shares .together{fill:var(--other)}";

/// The width of the plot.
const WIDTH: usize = 440;
/// Where bars begin on the left.
const LEFT: usize = 56;
/// Where bars stand.
const BASE: usize = 210;
/// The height of a bar of 100 %.
const HEIGHT: usize = 180;
/// The width of a bar, and the space between two of one distance. The text `100.0 %` above a bar takes some 58 px.
const BAR: usize = 50;
const BETWEEN: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn share(distance: usize, per_pair: f64, together: f64) -> Share {
        Share { distance, pairs: 1, neighbours: 1.0, same_unit: 1.0, mean_square: 1.0, per_pair, together }
    }

    /// The left and the right end of the texts above bars, from left to right.
    fn labels(svg: &str) -> Vec<[f64; 2]> {
        let drawing = roxmltree::Document::parse(svg).expect("XML");
        let texts = drawing.descendants().filter(|node| node.has_tag_name("text") && node.attribute("class").is_none());
        let labels = texts.filter_map(|node| {
            let text = node.text().filter(|text| text.ends_with('%'))?;
            assert_eq!(node.attribute("text-anchor"), Some("middle"));
            let middle: f64 = node.attribute("x").and_then(|x| x.parse().ok()).expect("a place");
            // The widest digits of common fonts have 0.58 of the font's 15 px; so has the percent sign 0.95, while the
            // point and the space are half as wide.
            let width = 15.0
                * text
                    .chars()
                    .map(|char| match char {
                        '%' => 0.95,
                        '.' | '\u{a0}' => 0.3,
                        _ => 0.58,
                    })
                    .sum::<f64>();
            Some([middle - width / 2.0, middle + width / 2.0])
        });
        labels.collect()
    }

    #[test]
    fn texts_above_bars_keep_their_distance() {
        let one = labels(&draw(&[share(0, 1.0, 1.0)]));
        assert_eq!(one.len(), 1, "one distance is one bar");
        let three = [share(0, 1.0, 1.0), share(1, 1.0, 1.0), share(2, 1.0, 1.0)];
        for shares in [&three[..2], &three] {
            let labels = labels(&draw(shares));
            assert_eq!(labels.len(), 2 * shares.len());
            for pair in labels.windows(2) {
                assert!(pair[0][1] + 2.0 <= pair[1][0], "{pair:?}");
            }
            assert!(labels[labels.len() - 1][1] <= WIDTH as f64);
        }
    }
}
