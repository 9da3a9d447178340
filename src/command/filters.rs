//! `filters`: the first layer's filters, as the colours that they answer to.
//!
//! A filter multiplies prepared pixels, of which a plane is `(value - mean) / std` of a colour. As a function of the
//! picture's own values its weight is therefore `weight / std`, and its planes are red, green and blue in the order that the
//! file's preprocessing says. Each filter is drawn for itself: grey is 0, and its largest weight is the brightest or the
//! darkest that a colour can be.

use std::io::Write;
use std::path::PathBuf;

use ::image::codecs::png::PngEncoder;
use ::image::{ExtendedColorType, ImageEncoder};
use clap::Args;

use crate::Model;
use crate::file::NewFile;
use crate::image::Channels;
use crate::model::Op;

use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::printable::Printable;
use crate::command::{load, output};

/// Draw the filters of a network's first layer in the colours that they answer to.
///
/// Grey is no weight. Each filter is drawn for itself: its largest weight, either way, is as bright or as dark as can be.
/// Filters stand in rows, in the order of the layer's channels. What lies between them is transparent.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Filters {
    /// The picture to write, a PNG file
    #[arg(value_name = "F.png")]
    output: PathBuf,
    /// Weights, as `convert` writes them [default: the demonstration weights]
    #[arg(short, long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// How many pixels wide a weight is drawn, 1 to 32
    #[arg(long, value_name = "PIXELS", default_value = "8", value_parser = zoom)]
    zoom: usize,
    /// Replace F.png if it exists
    #[arg(short, long)]
    force: bool,
}

const EXAMPLE: &str = "\
Example:
  googlenet filters filters.png --weights googlenet.safetensors";

impl Filters {
    /// Writes the picture, and prints what is on it.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        output::check(&self.output, self.force)?;
        let model = load::model(self.weights.as_deref())?;
        let sheet = draw(&model, self.zoom)?;
        let mut file = NewFile::create(&self.output).or_fail(Code::System, self.output.display())?;
        file.write_all(&sheet.png).or_fail(Code::System, self.output.display())?;
        file.commit(self.force).or_fail(Code::System, self.output.display())?;
        let (path, [oc, kh, kw]) = (self.output.display().to_string(), sheet.filters);
        writeln!(out, "{}: {oc} filters of {kh}x{kw}, {} a row", Printable(&path), sheet.columns)?;
        Ok(())
    }
}

/// A picture of filters.
pub struct Sheet {
    /// The PNG file.
    pub png: Vec<u8>,
    /// Its width and height.
    pub size: [u32; 2],
    /// How many filters there are, their rows and their columns.
    pub filters: [usize; 3],
    /// How many filters stand in a row.
    pub columns: usize,
    /// The layer's name.
    pub layer: String,
}

/// Draws the filters of the first convolution of `model`, a weight `zoom` pixels wide.
pub fn draw(model: &Model, zoom: usize) -> Outcome<Sheet> {
    let graph = model.network().graph(model.side());
    let first = graph.nodes.iter().find(|node| matches!(node.op, Op::Conv(_))).expect("every network has convolutions");
    let layer = first.layer().to_owned();
    let tensor = model.weights().tensor(&format!("{layer}.weight")).expect("the model has the network's tensors");
    let &[oc, 3, kh, kw] = tensor.shape() else {
        return Err(Failure::new(Code::Model, format!("{layer} does not see three colours")));
    };
    let weights = tensor.to_f32();
    if let Some(at) = weights.iter().position(|weight| !weight.is_finite()) {
        return Err(Failure::new(Code::Model, format!("filter {} of {layer} is not finite", at / (3 * kh * kw))));
    }
    let colours: Vec<Vec<[u8; 3]>> = weights.chunks_exact(3 * kh * kw).map(|filter| colours(filter, model)).collect();
    let columns = (1..).find(|columns| columns * columns >= oc).expect("squares grow");
    let gap = (zoom / 2).max(1);
    let (across, down) = (kw * zoom + gap, kh * zoom + gap);
    let size = [columns * across + gap, oc.div_ceil(columns) * down + gap];
    let mut pixels = vec![0; 4 * size[0] * size[1]];
    for (index, filter) in colours.iter().enumerate() {
        let (left, top) = (gap + index % columns * across, gap + index / columns * down);
        for (y, x) in (0..kh * zoom).flat_map(|y| (0..kw * zoom).map(move |x| (y, x))) {
            let [r, g, b] = filter[y / zoom * kw + x / zoom];
            pixels[4 * ((top + y) * size[0] + left + x)..][..4].copy_from_slice(&[r, g, b, 255]);
        }
    }
    let (mut png, size) = (Vec::new(), size.map(|side| side as u32));
    let written = PngEncoder::new(&mut png).write_image(&pixels, size[0], size[1], ExtendedColorType::Rgba8);
    written.map_err(|error| Failure::new(Code::System, format!("the filters cannot be drawn: {error}")))?;
    Ok(Sheet { png, size, filters: [oc, kh, kw], columns, layer })
}

/// The colours of a filter, `[3, kh, kw]`, position by position.
fn colours(filter: &[f32], model: &Model) -> Vec<[u8; 3]> {
    let (rule, plane) = (model.rule(), filter.len() / 3);
    let red_green_blue = match rule.channels {
        Channels::Rgb => [0, 1, 2],
        Channels::Bgr => [2, 1, 0],
    };
    let weight = |channel: usize, at: usize| filter[channel * plane + at] / rule.std[channel];
    let all = (0..3).flat_map(|channel| (0..plane).map(move |at| weight(channel, at).abs()));
    let largest = all.fold(f32::MIN_POSITIVE, f32::max);
    let level = |weight: f32| (127.5 + 127.5 * weight / largest).round() as u8;
    (0..plane).map(|at| red_green_blue.map(|channel| level(weight(channel, at)))).collect()
}

/// Parses `--zoom`.
fn zoom(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(zoom @ 1..=32) => Ok(zoom),
        _ => Err("expected a whole number from 1 to 32".to_owned()),
    }
}
