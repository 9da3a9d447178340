//! `preprocess`: from a picture file to the input that the network sees.

use std::io::Write;
use std::path::PathBuf;

use crate::command::caller::warn;
use crate::image::{Crops, Cuts, Preset};
use crate::npy::write_header;
use clap::Args;

use crate::command::exit::{Code, OrFail, Outcome};
use crate::command::inputs::{self, Source};
use crate::command::load;
use crate::command::printable::Printable;
use crate::command::stream::{self, Output, bytes_of};

/// Write what the network sees of a picture: .npy, f32, [crops, 3, side, side], as `run` takes it.
///
/// The picture is a JPEG, PNG, WebP, GIF, BMP or TIFF file, and turned upright as its EXIF orientation says. The authors of all
/// presets left it as it is stored: --as-stored does, too, where exactly their input is wanted.
///
/// How pictures are prepared is stored with the weights; --preset does it as some weights' authors do, whatever a file
/// says.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Preprocess {
    /// The picture; `-` is standard input
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// What to write; `-` is standard output
    #[arg(value_name = "OUT.npy")]
    output: PathBuf,
    /// Weights whose input it is to be [default: the demonstration weights]
    #[arg(short, long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Whose preparation to use instead
    #[arg(long, value_parser = load::preset(), conflicts_with = "weights")]
    preset: Option<Preset>,
    /// With --preset: side of the input, in pixels [default: the authors', 224 or 227]
    #[arg(long, value_name = "PIXELS", value_parser = load::side, requires = "preset")]
    side: Option<usize>,
    /// Crops of the picture: the middle; corners and middle, mirrored too; the paper's 144
    #[arg(short, long, value_name = "1|10|144", default_value = "1", value_parser = load::crops())]
    crops: Crops,
    /// Take the picture as its file stores it: a camera's orientation (EXIF) is ignored
    #[arg(long)]
    as_stored: bool,
    /// Replace OUT.npy if it exists
    #[arg(short, long)]
    force: bool,
}

const EXAMPLE: &str = "\
Example:
  googlenet preprocess cat.jpg x.npy --weights googlenet.safetensors
  googlenet preprocess cat.jpg x.npy --preset torchvision";

impl Preprocess {
    /// Writes the input, for each crop of the picture.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        Output::check(&self.output, self.force)?;
        let (rule, side) = match self.preset {
            Some(preset) => {
                let side = self.side.unwrap_or(preset.side());
                (preset.rule(side), side)
            }
            None => {
                let model = load::model(self.weights.as_deref())?;
                (*model.rule(), model.side())
            }
        };
        let source = match stream::is_standard(&self.image) {
            true => Source::Standard,
            false => Source::File(self.image.clone()),
        };
        let picture = inputs::open(&source, self.as_stored).or_fail(Code::Input, source.name())?;
        for doubt in inputs::doubts(&picture) {
            warn(format_args!("{}: {doubt}", Printable(&source.name())));
        }
        let cuts = Cuts::new(picture.view(), &rule, side, self.crops).or_fail(Code::Input, source.name())?;
        let mut input = vec![0.0; 3 * side * side];
        let mut file = Output::create(&self.output, out)?;
        let mut header = Vec::new();
        write_header(&mut header, &[cuts.len(), 3, side, side]).or_fail(Code::System, self.output.display())?;
        file.put(&header, &self.output)?;
        for index in 0..cuts.len() {
            cuts.write(index, &mut input);
            file.put(&bytes_of(&input), &self.output)?;
        }
        file.commit(&self.output, self.force)
    }
}
