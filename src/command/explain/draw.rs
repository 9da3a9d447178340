//! Pictures of the page: maps over the picture as JPEG files, channels as PNG files.

use ::image::codecs::jpeg::JpegEncoder;
use ::image::codecs::png::PngEncoder;
use ::image::imageops::{self, FilterType};
use ::image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};

use crate::image::{Rgb8, Window};

use crate::command::exit::{Code, Failure, Outcome};

/// The picture, with its longer side at [`LONGER`] pixels, to draw on.
pub struct Canvas {
    picture: RgbImage,
    /// How many of the picture's columns and rows a drawn pixel stands for.
    scale: [f64; 2],
}

/// A finished picture file and its `[width, height]`.
pub struct Drawn {
    pub file: Vec<u8>,
    pub size: [u32; 2],
}

impl Canvas {
    /// Resizes `picture`.
    pub fn new(picture: Rgb8<'_>) -> Outcome<Self> {
        let size = [picture.width(), picture.height()];
        let longer = size[0].max(size[1]) as f64;
        let drawn = size.map(|side| ((side as f64 * f64::from(LONGER) / longer).round() as u32).max(1));
        let pixels: Vec<u8> = (0..size[1]).flat_map(|y| picture.row(y)).copied().collect();
        let whole = RgbImage::from_raw(size[0] as u32, size[1] as u32, pixels).expect("rows of three bytes a pixel");
        let filter = if longer > f64::from(LONGER) { FilterType::Triangle } else { FilterType::CatmullRom };
        let picture = imageops::resize(&whole, drawn[0], drawn[1], filter);
        let scale = [0, 1].map(|axis| size[axis] as f64 / f64::from(drawn[axis]));
        Ok(Self { picture, scale })
    }

    /// The picture, dimmed where `window` does not reach.
    pub fn window(&self, window: &Window) -> Outcome<Drawn> {
        let inside = |[x, y]: [f64; 2]| {
            (window.x..window.x + window.width).contains(&x) && (window.y..window.y + window.height).contains(&y)
        };
        self.draw(|point, pixel| if inside(point) { pixel } else { dimmed(pixel) })
    }

    /// The picture in grey, under `value` of each point of it: from yellow to red above 0 and from cyan to blue below, the
    /// full colour at `limit` and beyond. Points that have no value are dimmed.
    pub fn heat(&self, limit: f32, value: impl Fn([f64; 2]) -> Option<f32>) -> Outcome<Drawn> {
        self.draw(|point, pixel| match value(point) {
            None => dimmed(pixel),
            Some(value) => {
                let strength = if limit > 0.0 { (value.abs() / limit).min(1.0) } else { 0.0 };
                let [weak, strong] = if value > 0.0 { [YELLOW, RED] } else { [CYAN, BLUE] };
                let (grey, share) = (luminance(pixel), STRONGEST * strength.sqrt());
                [0, 1, 2].map(|channel| {
                    let colour = weak[channel] * (1.0 - strength) + strong[channel] * strength;
                    (grey * (1.0 - share) + colour * share).round() as u8
                })
            }
        })
    }

    /// The picture with the box `[x, y, width, height]`, in pixels of the picture, in one colour.
    pub fn hide(&self, [left, top, width, height]: [f64; 4], colour: [u8; 3]) -> Outcome<Drawn> {
        self.draw(|[x, y], pixel| {
            let is_hidden = (left..left + width).contains(&x) && (top..top + height).contains(&y);
            if is_hidden { colour } else { pixel }
        })
    }

    /// A JPEG file of what `colour` makes of each point of the picture, in its pixels, and the colour there.
    fn draw(&self, colour: impl Fn([f64; 2], [u8; 3]) -> [u8; 3]) -> Outcome<Drawn> {
        let mut drawn = self.picture.clone();
        for (x, y, pixel) in drawn.enumerate_pixels_mut() {
            let point = [(f64::from(x) + 0.5) * self.scale[0], (f64::from(y) + 0.5) * self.scale[1]];
            *pixel = Rgb(colour(point, pixel.0));
        }
        let (mut file, size) = (Vec::new(), [drawn.width(), drawn.height()]);
        let encoder = JpegEncoder::new_with_quality(&mut file, 85);
        encoder.write_image(&drawn, size[0], size[1], ExtendedColorType::Rgb8).map_err(failed)?;
        Ok(Drawn { file, size })
    }
}

/// A PNG file of `values`, `[h, w]`, a pixel each, from dark at 0 to bright at `limit`.
pub fn tile(values: &[f32], [h, w]: [usize; 2], limit: f32) -> Outcome<Drawn> {
    let colour = |&value: &f32| ramp(if limit > 0.0 { value / limit } else { 0.0 });
    let pixels: Vec<u8> = values.iter().flat_map(colour).collect();
    let (mut file, size) = (Vec::new(), [w as u32, h as u32]);
    PngEncoder::new(&mut file).write_image(&pixels, size[0], size[1], ExtendedColorType::Rgb8).map_err(failed)?;
    Ok(Drawn { file, size })
}

fn failed(error: ::image::ImageError) -> Failure {
    Failure::new(Code::System, format!("a picture cannot be drawn: {error}"))
}

fn dimmed(pixel: [u8; 3]) -> [u8; 3] {
    [(0.25 * luminance(pixel)).round() as u8; 3]
}

/// How bright a pixel looks (ITU-R BT.601).
fn luminance([r, g, b]: [u8; 3]) -> f32 {
    0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b)
}

/// A colour that grows brighter all the way as `share` goes from 0 to 1.
fn ramp(share: f32) -> [u8; 3] {
    // What is no number is 0.
    let share = if share > 0.0 { share.min(1.0) } else { 0.0 };
    let at = share * (STOPS.len() - 1) as f32;
    let first = (at as usize).min(STOPS.len() - 2);
    let part = at - first as f32;
    [0, 1, 2].map(|c| (STOPS[first][c] * (1.0 - part) + STOPS[first + 1][c] * part).round() as u8)
}

/// The drawn picture's longer side.
const LONGER: u32 = 384;
const YELLOW: [f32; 3] = [255.0, 224.0, 64.0];
const RED: [f32; 3] = [204.0, 0.0, 30.0];
const CYAN: [f32; 3] = [96.0, 220.0, 240.0];
const BLUE: [f32; 3] = [20.0, 50.0, 214.0];
/// The share of a colour where a map is at its limit; the picture under it is still to be seen.
const STRONGEST: f32 = 0.65;
/// Night, violet, red, orange, pale yellow: their luminances are 13, 55, 104, 166 and 240.
const STOPS: [[f32; 3]; 5] =
    [[12.0, 12.0, 24.0], [84.0, 32.0, 96.0], [190.0, 64.0, 84.0], [244.0, 146.0, 62.0], [252.0, 244.0, 190.0]];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brighter_is_more() {
        let bright: Vec<f32> = (0..=100).map(|i| luminance(ramp(i as f32 / 100.0))).collect();
        assert!(bright.is_sorted() && bright[100] - bright[0] > 200.0);
        assert_eq!((ramp(-1.0), ramp(9.0)), (ramp(0.0), ramp(1.0)));
        assert_eq!(ramp(f32::NAN), ramp(0.0));
    }

    #[test]
    fn a_map_lies_where_its_points_are() {
        let pixels = vec![100; 3 * 40 * 20];
        let canvas = Canvas::new(Rgb8::new(40, 20, 120, &pixels).expect("a picture")).expect("drawn");
        let drawn = canvas.heat(1.0, |[x, _]| (x < 30.0).then_some(if x < 20.0 { 1.0 } else { -1.0 })).expect("drawn");
        assert_eq!(drawn.size, [384, 192]);
        let back = ::image::load_from_memory(&drawn.file).expect("a JPEG").to_rgb8();
        let at = |x: u32| back.get_pixel(x, 96).0;
        let (red, blue, out) = (at(96), at(240), at(350));
        assert!(
            red[0] > 150 && red[2] < 80 && blue[2] > 150 && blue[0] < 80 && out[0] < 40,
            "{red:?} {blue:?} {out:?}"
        );
    }

    /// The longest picture that is read has drawings, of one row.
    #[test]
    fn a_line_is_drawn() {
        let pixels = vec![9; 3 * 65_535];
        let canvas = Canvas::new(Rgb8::new(65_535, 1, 3 * 65_535, &pixels).expect("a picture")).expect("drawn");
        assert_eq!(canvas.heat(0.0, |_| Some(1.0)).expect("drawn").size, [384, 1]);
    }
}
