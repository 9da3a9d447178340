//! `convert`: from the formats that weights are published in to the one that this engine reads.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use crate::error::{ModelError, WeightsError};
use crate::image::{self, Geometry, Preset, Rule};
use crate::import::{Imported, MAX_BYTES, import_as, import_bytes};
use crate::model::{Dialect, Input};
use crate::weights::{Dtype, NewTensor, Weights, encode, write};
use crate::{Description, Error, Model, Options};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::command::caller::{advise, say, warn};
use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::stream::{self, Output};
use crate::command::{labels, load};

/// Convert weights: GoogLeNet, Krizhevsky's or the Zeiler-Fergus network as an ONNX graph, as a .caffemodel, or as
/// safetensors or .npz under the names of Caffe, torchvision or TensorFlow's slim.
///
/// Every node or tensor is checked against the network's table. How pictures become input is stored with the weights:
/// what an option says, else what IN's own metadata say, else what the dialect's authors did.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Convert {
    /// What to read; `-` is standard input
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// What to write; `-` is standard output
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Which network it has to be [default: what IN says; of bare tensors under Caffe's names, bvlc]
    #[arg(long, value_parser = load::dialect())]
    dialect: Option<Dialect>,
    /// A text file with a label a line, in the order of the classes; synset ids in front are kept apart, for `eval`
    #[arg(short, long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Prepare pictures as these weights' authors do; the options below change that in part [default: of torchvision's
    /// and slim's weights and Krizhevsky's network their own; else short-side, with the dialect's channels]
    #[arg(long, value_parser = load::preset())]
    preset: Option<Preset>,
    /// Order of the colour channels [default: the dialect's]
    #[arg(long, value_enum)]
    channels: Option<Channels>,
    /// Subtracted from each channel's 0 to 255, in their order [default: the dialect's]
    #[arg(long, value_name = "A,B,C", value_parser = triple, allow_hyphen_values = true)]
    mean: Option<[f32; 3]>,
    /// What each channel is divided by, in their order [default: the dialect's]
    #[arg(long, value_name = "A,B,C", value_parser = positive_triple)]
    std: Option<[f32; 3]>,
    /// A picture's short side before the crop, in pixels [default: the authors' margin, 256 for 224 or 227; slim's weights
    /// and some presets have none]
    #[arg(long, value_name = "PIXELS", value_parser = load::side)]
    resize: Option<usize>,
    /// Side of the input, in pixels [default: the published network's, 224 or 227]
    #[arg(long, value_name = "PIXELS", value_parser = load::side)]
    side: Option<usize>,
    /// Store 16-bit floats: half the size
    #[arg(long)]
    f16: bool,
    /// Pack the weights for this machine's kernels, too, as `pack` does: three times the size, and opened in a tenth of the
    /// time
    #[arg(long)]
    pack: bool,
    /// Replace OUT if it exists
    #[arg(short, long)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Channels {
    /// Blue, green, red
    Bgr,
    /// Red, green, blue
    Rgb,
}

const EXAMPLE: &str = "\
Example:
  googlenet convert bvlc_googlenet.caffemodel googlenet.safetensors --labels synset_words.txt
  googlenet convert googlenet.onnx packed.safetensors --pack";

impl Convert {
    /// Writes the converted file.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        Output::check(&self.output, self.force)?;
        if self.pack && stream::is_standard(&self.output) {
            return Err(Failure::new(
                Code::Usage,
                "--pack: a packed file is written to a file, not to standard output",
            ));
        }
        let input = stream::name(&self.input);
        let imported = match stream::is_standard(&self.input) {
            true => stream::read(&self.input, MAX_BYTES).and_then(|bytes| import_bytes(&bytes, self.dialect)),
            false => import_as(&self.input, self.dialect),
        };
        let imported = imported.or_fail(Code::Model, &input)?;
        let metadata = self.metadata(&imported.metadata, &imported)?;
        self.check(&metadata, imported.classes)?;
        let dtype = if self.f16 { Dtype::F16 } else { Dtype::F32 };
        let tensors: Vec<_> = imported
            .tensors
            .iter()
            .map(|tensor| NewTensor {
                name: &tensor.name,
                shape: &tensor.shape,
                dtype,
                values: Cow::Borrowed(tensor.values.as_slice()),
            })
            .collect();
        if self.pack {
            let weights = encode(&metadata, &tensors).and_then(|bytes| Model::new(Weights::from_vec(bytes)?));
            let model = weights.or_fail(Code::Model, &input)?;
            let options = Options::new().threads(load::all_threads());
            let packing = model.pack(&self.output, options, self.force).or_fail(Code::System, &input)?;
            say(format_args!("{}: packed for {packing}", self.output.display()));
        } else if stream::is_standard(&self.output) {
            let bytes = encode(&metadata, &tensors).or_fail(Code::Model, &input)?;
            Output::create(&self.output, out)?.put(&bytes, &self.output)?;
        } else {
            write(&self.output, &metadata, &tensors, self.force).or_fail(Code::System, &input)?;
        }
        if imported.non_finite > 0 {
            warn(format_args!("{} values are NaN or infinite", imported.non_finite));
        }
        if !metadata.contains_key("labels") {
            advise("there are no labels, and classes will be numbered from 0; --labels FILE names them");
        }
        let heads =
            if imported.heads.is_empty() { String::new() } else { format!(", with {}", imported.heads.join(", ")) };
        let (dialect, classes) = (imported.dialect, imported.classes);
        say(format_args!("{}: {dialect}{heads}, {} tensors, {classes} classes", self.output.display(), tensors.len()));
        Ok(())
    }

    /// The metadata of the file to write; `own` are those of the file that was read.
    fn metadata(&self, own: &BTreeMap<String, String>, imported: &Imported) -> Outcome<BTreeMap<String, String>> {
        let side = match (self.side, own.get("input_side")) {
            (Some(side), _) => side,
            (None, Some(side)) => load::side(side).map_err(|why| {
                Failure::new(Code::Model, format!("{}: input side {side:?}: {why}", self.input.display()))
            })?,
            (None, None) => imported.dialect.network(1).side,
        };
        let preset = self.preset.map(|preset| preset.rule(side));
        let authors = Preset::of(imported.dialect).rule(side);
        let geometry = match (preset, own.get("geometry")) {
            (Some(rule), _) => rule.geometry.name(),
            (None, Some(geometry)) => geometry,
            // A file in this engine's own format that names no geometry means this one.
            (None, None) if own.contains_key("resize") => Geometry::ShortSide.name(),
            (None, None) => authors.geometry.name(),
        };
        let resize = match (self.resize, preset, self.side, own.contains_key("input_side")) {
            (Some(resize), ..) => resize,
            (None, Some(rule), ..) => rule.resize,
            (None, None, None, true) => side, // a file with its own side and no `resize` has no margin
            (None, ..) if geometry == Geometry::TfSlim.name() => side,
            (None, ..) => authors.resize,
        };
        let Rule { channels, mean, std, .. } = authors;
        let input = imported.input.unwrap_or(Input { channels, mean, std });
        let list = |values: [f32; 3]| values.map(|value| value.to_string()).join(",");
        let channels = self.channels.map(|channels| match channels {
            Channels::Bgr => image::Channels::Bgr,
            Channels::Rgb => image::Channels::Rgb,
        });
        let channels = channels.or(preset.map(|rule| rule.channels)).map(|channels| channels.name().to_owned());
        // An imported graph may show what normalisation it was trained on; that then counts, not the preset's.
        let scale = preset.filter(|_| imported.input.is_none());
        let mean = self.mean.or(scale.map(|rule| rule.mean)).map(list);
        let std = self.std.or(scale.map(|rule| rule.std)).map(list);
        let own_or = |key: &str, option: Option<String>, default: &str| {
            option.or_else(|| own.get(key).cloned()).unwrap_or_else(|| default.into())
        };
        let resize = match (self.side.or(self.resize), preset) {
            (Some(_), _) | (_, Some(_)) => resize.to_string(),
            (None, None) => own_or("resize", None, &resize.to_string()),
        };
        let mut metadata = BTreeMap::from([
            ("dialect".into(), imported.dialect.name().into()),
            ("input_side".into(), side.to_string()),
            ("channels".into(), own_or("channels", channels, input.channels.name())),
            ("mean".into(), own_or("mean", mean, &list(input.mean))),
            ("std".into(), own_or("std", std, &list(input.std))),
            ("resize".into(), resize),
        ]);
        // A file without this key means short-side, also to readers that are older than the key.
        if geometry != Geometry::ShortSide.name() {
            metadata.insert("geometry".into(), geometry.to_owned());
        }
        let kept = |key: &str| own.get(key).map(|value| (key.to_owned(), value.clone()));
        match &self.labels {
            Some(path) => {
                let labels = labels::read(path, imported.classes)?;
                let texts: Vec<&str> = labels.iter().map(|label| label.text.as_str()).collect();
                metadata.insert("labels".to_owned(), json!(texts).to_string());
                if labels.iter().any(|label| label.id.is_some()) {
                    let ids: Vec<&str> = labels.iter().map(|label| label.id.as_deref().unwrap_or_default()).collect();
                    metadata.insert(labels::SYNSETS.to_owned(), json!(ids).to_string());
                }
            }
            None => metadata.extend(["labels", labels::SYNSETS].into_iter().filter_map(kept)),
        }
        Ok(metadata)
    }

    /// Fails if the engine would refuse a file with these metadata. The failure is one of usage if the refused value is
    /// an option's, and one of the model file if it is IN's own.
    fn check(&self, metadata: &BTreeMap<String, String>, classes: usize) -> Outcome {
        let checked =
            Description::read(metadata).and_then(|description| description.fits(&description.dialect.network(classes)));
        let asked = match &checked {
            Err(Error::Weights(WeightsError::MetadataValue { key: "input_side", .. })) => self.side.is_some(),
            Err(Error::Model(ModelError::InputSide { .. })) => self.side.is_some(),
            Err(Error::Weights(WeightsError::MetadataValue { key: "channels", .. })) => self.channels.is_some(),
            Err(Error::Weights(WeightsError::MetadataValue { key: "mean", .. })) => self.mean.is_some(),
            Err(Error::Weights(WeightsError::MetadataValue { key: "std", .. })) => self.std.is_some(),
            Err(Error::Weights(WeightsError::MetadataValue { key: "resize", .. })) => self.resize.is_some(),
            _ => false,
        };
        match checked {
            Err(error) if asked => Err(Failure::new(Code::Usage, error.to_string())),
            checked => checked.or_fail(Code::Model, self.input.display()),
        }
    }
}

/// Parses three finite numbers, or one that stands for all three.
fn triple(text: &str) -> Result<[f32; 3], String> {
    let expected = || "expected one or three numbers, as in 104,117,123".to_owned();
    let numbers = text.split(',').map(|number| number.trim().parse::<f32>());
    let numbers: Vec<_> = numbers.collect::<Result<_, _>>().map_err(|_| expected())?;
    match numbers[..] {
        _ if numbers.iter().any(|number| !number.is_finite()) => Err(expected()),
        [a] => Ok([a; 3]),
        [a, b, c] => Ok([a, b, c]),
        _ => Err(expected()),
    }
}

fn positive_triple(text: &str) -> Result<[f32; 3], String> {
    let numbers = triple(text)?;
    if numbers.iter().any(|&number| number <= 0.0) {
        return Err("expected numbers above 0".into());
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triples_are_one_or_three_finite_numbers() {
        assert_eq!(triple("104,117, 123"), Ok([104.0, 117.0, 123.0]));
        assert_eq!(triple("-0.5"), Ok([-0.5; 3]));
        for bad in ["", "1,2", "1,2,3,4", "1,x,3", "NaN", "inf,0,0"] {
            assert!(triple(bad).is_err(), "{bad:?}");
        }
        assert!(positive_triple("1,0,1").is_err());
    }
}
