//! `preprocess`: from a picture file to the input that the network sees.

use std::io::Write;
use std::path::PathBuf;

use crate::file::NewFile;
use crate::image::{self, Crops, Cuts, Preset};
use crate::npy::write_header;
use clap::Args;

use crate::command::exit::{Code, OrFail, Outcome};
use crate::command::{load, output};

/// Write what the network sees of a picture (JPEG or PNG): .npy, f32, [crops, 3, side, side], as `run` takes it.
///
/// How pictures are prepared is stored with the weights; --preset does it as some weights' authors do, whatever a file
/// says.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Preprocess {
    /// The picture
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// What to write
    #[arg(value_name = "OUT.npy")]
    output: PathBuf,
    /// Weights whose input it is to be [default: the demonstration weights]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Whose preparation to use instead
    #[arg(long, value_parser = load::preset(), conflicts_with = "weights")]
    preset: Option<Preset>,
    /// With --preset: side of the input, in pixels [default: the authors', 224 or 227]
    #[arg(long, value_name = "PIXELS", value_parser = load::side, requires = "preset")]
    side: Option<usize>,
    /// Crops of the picture: the middle; corners and middle, mirrored too; the paper's 144
    #[arg(long, value_name = "1|10|144", default_value = "1", value_parser = load::crops())]
    crops: Crops,
    /// Replace OUT.npy if it exists
    #[arg(long)]
    force: bool,
}

const EXAMPLE: &str = "\
Example:
  googlenet preprocess cat.jpg x.npy --weights googlenet.safetensors
  googlenet preprocess cat.jpg x.npy --preset torchvision";

impl Preprocess {
    /// Writes the input, for each crop of the picture.
    pub fn run(self, _out: &mut dyn Write) -> Outcome {
        output::check(&self.output, self.force)?;
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
        let picture = image::open(&self.image).or_fail(Code::Input, self.image.display())?;
        let cuts = Cuts::new(picture.view(), &rule, side, self.crops).or_fail(Code::Input, self.image.display())?;
        let mut input = vec![0.0; 3 * side * side];
        let mut file = NewFile::create(&self.output).or_fail(Code::System, self.output.display())?;
        write_header(&mut file, &[cuts.len(), 3, side, side]).or_fail(Code::System, self.output.display())?;
        for index in 0..cuts.len() {
            cuts.write(index, &mut input);
            for value in &input {
                file.write_all(&value.to_le_bytes()).or_fail(Code::System, self.output.display())?;
            }
        }
        file.commit(self.force).or_fail(Code::System, self.output.display())
    }
}
