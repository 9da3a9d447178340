//! `inspect`: what a weight file holds.

use std::io::Write;
use std::path::PathBuf;

use crate::weights::{Tensor, Weights};
use crate::{Model, Options, Precision, isa};
use clap::Args;
use serde_json::{Value, json};

use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::printable::Printable;
use crate::command::{foreign, load, stream};

/// Print what a weight file says of itself, and each tensor's shape, type, alignment, hash and range of values.
///
/// Hashes are of name, shape and values: equal wherever the numbers are. NaN are counted, not refused.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Inspect {
    /// A weight file, as `convert` writes it; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
    /// Pack the weights again, and fail unless the packed tensors in FILE are what comes of it, bit for bit
    #[arg(long)]
    repack: bool,
    /// The side that FILE was packed for, in pixels, where `pack` was given one [default: the weights']
    #[arg(long, value_name = "PIXELS", value_parser = load::side, requires = "repack")]
    side: Option<usize>,
}

/// The range of a tensor's values, and how many are NaN. NaN take no part in the range, which is NaN if all values are.
struct Range {
    min: f32,
    max: f32,
    n_nan: usize,
}

const EXAMPLE: &str = "\
Example:
  googlenet inspect googlenet.safetensors";

impl Inspect {
    /// Prints the file's contents.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        let opened = match stream::is_standard(&self.file) {
            true if self.repack => return Err(Failure::new(Code::Usage, "--repack reads FILE twice, expected a file")),
            true => stream::read(&self.file, load::MAX_WEIGHT_BYTES).and_then(Weights::from_vec),
            false => Weights::open(&self.file),
        };
        let failed = |error| foreign::explain(&self.file, Failure::of(Code::Model, stream::name(&self.file), &error));
        let weights = opened.map_err(failed)?;
        if self.repack {
            self.check_packed()?;
        }
        if self.json {
            let tensors: Vec<Value> = weights.tensors().map(|tensor| tensor_json(&tensor)).collect();
            let mut file = json!({
                "file": self.file.display().to_string(),
                "bytes": weights.file_len(),
                "metadata": weights.metadata(),
                "tensors": tensors,
            });
            if let Some((int8, higher)) = quantised(&weights) {
                file["int8"] = json!({ "layers": int8, "higher": higher });
            }
            file["packing_fits"] = fits(weights).into();
            if self.repack {
                file["repacked"] = "equal".into();
            }
            writeln!(out, "{file}")?;
            return Ok(());
        }
        writeln!(out, "{}: {} bytes", Printable(&self.file.display().to_string()), weights.file_len())?;
        for (key, value) in weights.metadata() {
            writeln!(out, "{}: {}", short(key), short(value))?;
        }
        let mut n_nan = 0;
        for tensor in weights.tensors() {
            let range = range(&tensor);
            n_nan += range.n_nan;
            writeln!(
                out,
                "{:<32} {:>16} {} align {:>4} {:032x} {:>10.4} ..{:>10.4}, {} NaN",
                short(tensor.name()),
                format!("{:?}", tensor.shape()).replace(' ', ""),
                tensor.dtype().name(),
                alignment(&tensor),
                tensor.hash(),
                range.min,
                range.max,
                range.n_nan,
            )?;
        }
        writeln!(out, "{} tensors, {n_nan} NaN", weights.tensors().count())?;
        if let Some((int8, higher)) = quantised(&weights) {
            let names: Vec<String> = higher.iter().map(|layer| short(layer)).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            writeln!(out, "quantised: {} convolutions compute in int8; in a higher precision: {names}", int8.len())?;
        }
        match fits(weights) {
            Some(true) => writeln!(out, "packed for this machine: sessions use the packed weights where they lie")?,
            Some(false) => writeln!(out, "not packed for this machine at the file's side: sessions pack in memory")?,
            None => {}
        }
        if self.repack {
            writeln!(out, "packed again: the packed tensors are equal, bit for bit")?;
        }
        Ok(())
    }

    /// Fails unless packing the file's weights, for what the file says that it is packed for, gives its packed tensors.
    fn check_packed(&self) -> Outcome {
        let name = self.file.display();
        let model = Model::open(&self.file).or_fail(Code::Model, &name)?;
        let Some(packing) = model.packing() else {
            return Err(Failure::new(Code::Model, format!("{name}: the file is not packed")));
        };
        // A packing names its set, and says the rest in a hash: the precision that fits it is found by trying.
        let set = isa::detected().find(|set| packing.starts_with(&format!("{}-", set.name())));
        let mut options = set.into_iter().flat_map(|set| {
            let options = Precision::ALL.map(|precision| Options::new().isa(set).precision(precision));
            options.map(|options| self.side.iter().fold(options, |options, &side| options.side(side)))
        });
        // For int8 only weights that were quantised can be packed, of which others are no error here.
        let fits = |options: &Options| model.is_named_for(options).unwrap_or(false);
        let Some(options) = options.find(fits) else {
            let text = format!("{name}: packed for {}, which this machine cannot pack", Printable(packing));
            return Err(Failure::new(Code::Model, text));
        };
        model.check_packed(&options.threads(load::all_threads())).or_fail(Code::Model, &name)
    }
}

/// Whether a packed file is packed for what sessions ask for on this machine, at the file's own side.
fn fits(weights: Weights) -> Option<bool> {
    weights.metadata().get("packing")?;
    Model::new(weights).ok()?.is_packed_for(&Options::new()).ok()
}

/// Of a quantised file the convolutions that compute in int8, and those that do not.
fn quantised(weights: &Weights) -> Option<(Vec<String>, Vec<String>)> {
    weights.metadata().get("int8")?;
    let is_conv = |tensor: &Tensor<'_>| tensor.shape().len() == 4;
    let layers = weights.tensors().filter(is_conv).filter_map(|tensor| tensor.name().strip_suffix(".weight"));
    Some(layers.map(str::to_owned).partition(|layer| weights.tensor(&format!("{layer}.weight_scale")).is_some()))
}

/// The beginning of a text from the file, as it is shown.
fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}...", Printable(&text[..end])),
        None => Printable(text).to_string(),
    }
}

fn tensor_json(tensor: &Tensor<'_>) -> Value {
    let range = range(tensor);
    json!({
        "name": tensor.name(),
        "shape": tensor.shape(),
        "dtype": tensor.dtype().name(),
        "offset": tensor.offset(),
        "alignment": alignment(tensor),
        "hash": format!("{:032x}", tensor.hash()),
        // JSON has neither infinity nor NaN: null stands for them.
        "min": range.min,
        "max": range.max,
        "nan": range.n_nan,
    })
}

/// The largest power of two, up to a page, that the tensor's offset is a multiple of.
fn alignment(tensor: &Tensor<'_>) -> usize {
    1 << tensor.offset().trailing_zeros().min(12)
}

fn range(tensor: &Tensor<'_>) -> Range {
    let empty = Range { min: f32::NAN, max: f32::NAN, n_nan: 0 }; // the minimum of NaN and a number is the number
    tensor.to_f32().iter().fold(empty, |range, &x| Range {
        min: range.min.min(x),
        max: range.max.max(x),
        n_nan: range.n_nan + usize::from(x.is_nan()),
    })
}

/// How many characters of a name or value are shown.
const MAX_SHOWN: usize = 200;
