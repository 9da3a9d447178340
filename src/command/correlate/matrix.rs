//! The picture of a matrix of correlations: a square for each two units, blue below 0, white at 0, red above, with
//! bands along two edges that show the clusters, and the scale of colours below.
//!
//! ```text
//!     band           each cluster dark or light, by turns
//!  b  +---------+
//!  a  | matrix  |    an outline around each cluster that is large enough
//!  n  |         |
//!  d  +---------+
//!     [  scale  ]
//!    -0.4   0  0.4
//! ```
//!
//! The colours are the scheme "RdBu" of Cynthia Brewer's ColorBrewer (colorbrewer2.org), which colour-blind people can
//! tell apart.
//!
//! Where there are more units than [`MOST`], a square stands for several rows and columns, and has their mean: neither
//! the picture nor the memory for it grows any more.

use std::io;

use ::image::codecs::png::{CompressionType, FilterType, PngEncoder};
use ::image::{ExtendedColorType, ImageEncoder, ImageError, Rgb, RgbImage};

use super::clusters::Clusters;

/// A picture of the matrix, as PNG, and what its scale says.
pub struct Matrix {
    pub png: Vec<u8>,
    /// The correlation that has the darkest red; greater ones have it, too.
    pub limit: f64,
    /// The width and height in pixels.
    pub size: [u32; 2],
    /// The number of units that a square stands for in each direction; fewer at the right and at the bottom.
    pub block: usize,
}

/// Draws the correlations of the units in `clusters`. `row` gives a unit's correlations with all units.
pub fn draw(clusters: &Clusters, row: impl FnMut(usize) -> io::Result<Vec<f32>>) -> Result<Matrix, ImageError> {
    let order = &clusters.order;
    let block = order.len().div_ceil(MOST);
    let cells = means(order, block, row)?;
    let squares = order.len().div_ceil(block);
    let limit = limit(&cells, squares);
    let cell = (SIDE / squares as u32).max(1);
    let side = cell * squares as u32;
    let (width, height) = (EDGE + side + MARGIN, EDGE + side + GAP + SCALE + GAP + GLYPH[1] * DOT + MARGIN);
    let mut image = RgbImage::from_pixel(width, height, WHITE);
    for (row, cells) in cells.chunks_exact(squares).enumerate() {
        for (column, &mean) in cells.iter().enumerate() {
            let at = [column, row].map(|index| EDGE + cell * index as u32);
            fill(&mut image, at, [cell, cell], colour(f64::from(mean) / limit));
        }
    }
    let (mut begin, mut units) = (EDGE, 0);
    for (number, cluster) in clusters.clusters.iter().enumerate() {
        units += cluster.units.len();
        // A square belongs to the cluster of the last unit in it.
        let end = if units == order.len() { squares } else { units / block };
        let length = EDGE + cell * end as u32 - begin;
        let band = if number % 2 == 0 { DARK } else { LIGHT };
        fill(&mut image, [begin, MARGIN], [length, BAND], band);
        fill(&mut image, [MARGIN, begin], [BAND, length], band);
        if length >= LEAST_OUTLINED {
            for at in [0, length - 1] {
                fill(&mut image, [begin, begin + at], [length, 1], BLACK);
                fill(&mut image, [begin + at, begin], [1, length], BLACK);
            }
        }
        begin += length;
    }
    let top = EDGE + side + GAP;
    for x in 0..side {
        let value = 2.0 * f64::from(x) / f64::from(side.max(2) - 1) - 1.0;
        fill(&mut image, [EDGE + x, top], [1, SCALE], colour(value));
    }
    for (part, value) in [(0, -limit), (1, 0.0), (2, limit)] {
        let text = if part == 1 { "0".into() } else { format!("{value:.1}") };
        let width = (GLYPH[0] + 1) * DOT * text.len() as u32;
        // The texts begin at the left end, stand around the middle, and end at the right end.
        write(&mut image, [EDGE + (side.max(width) - width) * part / 2, top + SCALE + GAP], &text);
    }
    let mut png = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Default, FilterType::Adaptive);
    encoder.write_image(&image, width, height, ExtendedColorType::Rgb8)?;
    Ok(Matrix { png, limit, size: [width, height], block })
}

/// The means of blocks of `block` rows and columns of the matrix of `units`, row by row.
fn means(units: &[usize], block: usize, mut row: impl FnMut(usize) -> io::Result<Vec<f32>>) -> io::Result<Vec<f32>> {
    let squares = units.len().div_ceil(block);
    let mut cells = Vec::with_capacity(squares * squares);
    for rows in units.chunks(block) {
        let mut sums = vec![0.0; squares];
        for &unit in rows {
            let row = row(unit)?;
            for (sum, columns) in sums.iter_mut().zip(units.chunks(block)) {
                *sum += columns.iter().map(|&other| f64::from(row[other])).sum::<f64>();
            }
        }
        let columns = units.chunks(block);
        cells.extend(sums.iter().zip(columns).map(|(sum, columns)| (sum / (rows.len() * columns.len()) as f64) as f32));
    }
    Ok(cells)
}

/// The least of 0.1, 0.2, ... 1 that no more than a hundredth of the values below the diagonal of `cells`, which has
/// `squares` columns, exceed in size: most are small, and would all look white on a scale that goes to 1.
fn limit(cells: &[f32], squares: usize) -> f64 {
    let below = cells.chunks_exact(squares).enumerate().flat_map(|(row, cells)| &cells[..row]);
    let mut exceeding = [0_usize; 10];
    let mut count = 0;
    for &value in below {
        let size = f64::from(value).abs();
        count += 1;
        // Tenth `t` exceeds the limits of all tenths before it.
        exceeding[((size * 10.0).ceil() as usize).saturating_sub(1).min(9)] += 1;
    }
    let mut beyond = count;
    for (tenth, inside) in exceeding.iter().enumerate() {
        beyond -= inside;
        if 100 * beyond <= count {
            return (tenth + 1) as f64 / 10.0;
        }
    }
    1.0
}

/// The colour of a value from -1 to 1; values beyond have the colours of these.
fn colour(value: f64) -> Rgb<u8> {
    const STOPS: [[u8; 3]; 5] =
        [[0x05, 0x71, 0xb0], [0x92, 0xc5, 0xde], [0xf7, 0xf7, 0xf7], [0xf4, 0xa5, 0x82], [0xca, 0x00, 0x20]];
    let at = (value.clamp(-1.0, 1.0) + 1.0) * 2.0;
    let stop = (at as usize).min(STOPS.len() - 2);
    let part = at - stop as f64;
    let mix = |channel: usize| {
        let [from, to] = [STOPS[stop], STOPS[stop + 1]].map(|stop| f64::from(stop[channel]));
        (from + part * (to - from)).round() as u8
    };
    Rgb([mix(0), mix(1), mix(2)])
}

fn fill(image: &mut RgbImage, [left, top]: [u32; 2], [width, height]: [u32; 2], colour: Rgb<u8>) {
    for (y, x) in (top..top + height).flat_map(|y| (left..left + width).map(move |x| (y, x))) {
        image.put_pixel(x, y, colour);
    }
}

/// Writes a number.
fn write(image: &mut RgbImage, [left, top]: [u32; 2], text: &str) {
    for (index, char) in text.chars().enumerate() {
        let rows = match char {
            '-' => [0b000, 0b000, 0b111, 0b000, 0b000],
            '.' => [0b000, 0b000, 0b000, 0b000, 0b010],
            '0' => [0b111, 0b101, 0b101, 0b101, 0b111],
            '1' => [0b010, 0b110, 0b010, 0b010, 0b111],
            '2' => [0b111, 0b001, 0b111, 0b100, 0b111],
            '3' => [0b111, 0b001, 0b111, 0b001, 0b111],
            '4' => [0b101, 0b101, 0b111, 0b001, 0b001],
            '5' => [0b111, 0b100, 0b111, 0b001, 0b111],
            '6' => [0b111, 0b100, 0b111, 0b101, 0b111],
            '7' => [0b111, 0b001, 0b001, 0b010, 0b010],
            '8' => [0b111, 0b101, 0b111, 0b101, 0b111],
            '9' => [0b111, 0b101, 0b111, 0b001, 0b111],
            _ => [0; 5],
        };
        for (row, bits) in rows.into_iter().enumerate() {
            for column in (0..GLYPH[0]).filter(|column| bits >> (GLYPH[0] - 1 - column) & 1 == 1) {
                let x = left + ((GLYPH[0] + 1) * index as u32 + column) * DOT;
                fill(image, [x, top + row as u32 * DOT], [DOT, DOT], BLACK);
            }
        }
    }
}

/// The most squares in a row.
const MOST: usize = 1024;
/// The side of the matrix in pixels, about, unless it has more squares.
const SIDE: u32 = 720;
/// White around everything.
const MARGIN: u32 = 12;
/// The breadth of the bands that show the clusters.
const BAND: u32 = 10;
const GAP: u32 = 6;
/// Where the matrix begins.
const EDGE: u32 = MARGIN + BAND + GAP;
/// The height of the scale of colours.
const SCALE: u32 = 16;
/// The width and height of a digit, in dots.
const GLYPH: [u32; 2] = [3, 5];
/// The side of a dot in pixels.
const DOT: u32 = 3;
/// The side of the smallest cluster with an outline: smaller ones would be hidden by it.
const LEAST_OUTLINED: u32 = 12;
const WHITE: Rgb<u8> = Rgb([0xff; 3]);
const LIGHT: Rgb<u8> = Rgb([0xbb; 3]);
const DARK: Rgb<u8> = Rgb([0x44; 3]);
const BLACK: Rgb<u8> = Rgb([0x11; 3]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::correlate::clusters::{Cluster, cluster};

    #[test]
    fn the_scale_leaves_out_a_hundredth_at_most() {
        for (strong, expected) in [(0, 0.2), (1, 0.2), (2, 0.8)] {
            // 105 values lie below the diagonal.
            let mut cells = vec![-0.15; 15 * 15];
            cells[14 * 15..][..strong].fill(0.75);
            let got = limit(&cells, 15);
            assert!((got - expected).abs() < 1e-12, "{strong}: {got}");
        }
        assert_eq!(limit(&[1.0; 4], 2), 1.0);
        assert_eq!(limit(&[0.0; 4], 2), 0.1);
    }

    #[test]
    fn many_units_share_squares() {
        // Units that are alike modulo 2 are correlated by 1, others by 0; 2,500 units lie in blocks of 3.
        let row = |i: usize| Ok((0..2500).map(|j| f32::from(u8::from(i % 2 == j % 2))).collect());
        let units: Vec<usize> = (0..2500).step_by(2).chain((1..2500).step_by(2)).collect();
        let groups = units.chunk_by(|i, j| i % 2 == j % 2);
        let clusters = groups.map(|units| Cluster { units: units.to_vec(), mean_correlation: Some(1.0) }).collect();
        let matrix = draw(&Clusters { clusters, order: units }, row).expect("drawn");
        assert_eq!((matrix.block, matrix.size[0]), (3, EDGE + 834 + MARGIN));
        let image = ::image::load_from_memory(&matrix.png).expect("a picture").into_rgb8();
        let at = |row: u32, column: u32| *image.get_pixel(EDGE + column, EDGE + row);
        let [red, white] = [1.0, 0.0].map(|r| colour(r / matrix.limit));
        // Unit 1,250 is the first of the second cluster; square 416 has the last two units of the first.
        assert_eq!([at(200, 300), at(600, 700), at(200, 600), at(832, 100)], [red, red, white, white]);
        assert_eq!([416, 415].map(|x| *image.get_pixel(EDGE + x, MARGIN)), [LIGHT, DARK]);
        assert_eq!(*image.get_pixel(EDGE + 833, MARGIN), LIGHT);
        // The last square has one row and one column; in the others a mean is of nine correlations.
        let cells = means(&[0, 1, 2, 4], 3, row).expect("rows");
        assert_eq!(cells, [5.0 / 9.0, 2.0 / 3.0, 2.0 / 3.0, 1.0]);
    }

    #[test]
    fn squares_have_the_colours_of_the_scale() {
        let r = |i: usize| Ok((0..6).map(|j| if i == j { 1.0 } else { -1.0 }).collect());
        let clusters = cluster(&[3, 5], 2, r).expect("rows");
        let matrix = draw(&clusters, r).expect("drawn");
        let image = ::image::load_from_memory(&matrix.png).expect("a picture").into_rgb8();
        assert_eq!([image.width(), image.height()], matrix.size);
        let at = |index: u32| EDGE + SIDE / 4 * (2 * index + 1);
        let middle = |row: u32, column: u32| *image.get_pixel(at(column), at(row));
        assert_eq!([middle(0, 0), middle(1, 1)], [Rgb([0xca, 0x00, 0x20]); 2]);
        assert_eq!([middle(0, 1), middle(1, 0)], [Rgb([0x05, 0x71, 0xb0]); 2]);
        assert_eq!(colour(0.0), Rgb([0xf7; 3]));
    }
}
