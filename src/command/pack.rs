//! `pack`: from a weight file to one that is packed, so that to open it packs nothing.

use std::io::Write;
use std::path::PathBuf;

use crate::{Options, Precision, isa};
use clap::Args;

use crate::command::caller::say;
use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::{load, output};

/// Write weights packed as this machine's kernels want them, so that they are used where they lie in the file.
///
/// OUT holds IN's weights and, again, the packed ones: three times as much. It is for one instruction set, one precision and one
/// side, and for any number of threads and images; where it does not fit, weights are packed in memory, as from any file.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Pack {
    /// A weight file, as `convert` writes it
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// What to write
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Pack for this instruction set [default: the best one here, or what GOOGLENET_ISA says]
    #[arg(long, value_name = "SET")]
    isa: Option<String>,
    /// Precision to pack for: `f32`; `bf16`, rounded to 8 significant bits; `int8`, for weights that `quantize` made
    #[arg(short, long, value_name = "NAME", default_value = "f32", value_parser = load::precision())]
    precision: Precision,
    /// Pack for inputs of this side, in pixels [default: the weights']
    #[arg(long, value_name = "PIXELS", value_parser = load::side)]
    side: Option<usize>,
    /// Replace OUT if it exists
    #[arg(short, long)]
    force: bool,
}

const EXAMPLE: &str = "\
Example:
  googlenet pack googlenet.safetensors packed.safetensors";

impl Pack {
    /// Writes the packed file.
    pub fn run(self, _out: &mut dyn Write) -> Outcome {
        output::check(&self.output, self.force)?;
        let model = load::model(Some(&self.input))?;
        let mut options = Options::new().threads(load::all_threads()).precision(self.precision);
        if let Some(name) = &self.isa {
            let set = isa::detected().find(|set| set.name() == name);
            let names = || isa::detected().map(|set| set.name()).collect::<Vec<_>>().join(", ");
            let unknown = || Failure::new(Code::Usage, format!("--isa {name:?}: this machine has {}", names()));
            options = options.isa(set.ok_or_else(unknown)?);
        }
        if let Some(side) = self.side {
            options = options.side(side);
        }
        let packing = model.pack(&self.output, options, self.force).or_fail(Code::System, "")?;
        say(format_args!("{}: packed for {packing}", self.output.display()));
        Ok(())
    }
}
