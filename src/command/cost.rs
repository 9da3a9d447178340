//! `cost`: the network's table, what each layer costs, and the sum.

use std::io::Write;

use crate::Error;
use crate::error::SessionError;
use crate::model::{self, Dialect};
use clap::Args;
use serde_json::json;

use crate::command::exit::{Code, Failure, Outcome};
use crate::command::load;

/// Print each layer's output shape, multiply-adds and parameters, and their sums, for one image.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Cost {
    /// Which network it is, by its dialect
    #[arg(long, default_value = "bvlc", value_parser = load::dialect())]
    dialect: Dialect,
    /// Side of the input, in pixels [default: the published network's]
    #[arg(long, value_name = "PIXELS", value_parser = load::side)]
    side: Option<usize>,
    /// How many classes the classifier tells apart
    #[arg(long, value_name = "N", default_value = "1000", value_parser = load::classes)]
    classes: usize,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
}

const EXAMPLE: &str = "\
Examples:
  googlenet cost --side 448
  googlenet cost --dialect caffenet";

impl Cost {
    /// Prints the table.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        let network = self.dialect.network(self.classes);
        let side = self.side.unwrap_or(network.side);
        if !network.fits(side) {
            let (name, own) = (network.name, network.side);
            return Err(Failure::of(
                Code::Usage,
                "",
                &Error::from(SessionError::NetworkSide { network: name, own, side }),
            ));
        }
        let layers = model::cost(&network.graph(side));
        let multiply_adds: u64 = layers.iter().map(|layer| layer.multiply_adds).sum();
        let parameters: u64 = layers.iter().map(|layer| layer.parameters).sum();
        if self.json {
            let layers: Vec<_> = layers
                .iter()
                .map(|layer| {
                    json!({
                        "name": layer.name,
                        "shape": layer.shape,
                        "multiply_adds": layer.multiply_adds,
                        "parameters": layer.parameters,
                    })
                })
                .collect();
            let table = json!({
                "network": network.name,
                "dialect": network.dialect.name(),
                "side": side,
                "classes": self.classes,
                "multiply_adds": multiply_adds,
                "parameters": parameters,
                "layers": layers,
            });
            writeln!(out, "{table}")?;
            return Ok(());
        }
        writeln!(out, "{:<28} {:>14} {:>14} {:>12}", "layer", "output", "multiply-adds", "parameters")?;
        for layer in &layers {
            let [c, h, w] = layer.shape;
            let shape = format!("{c}x{h}x{w}");
            writeln!(out, "{:<28} {shape:>14} {:>14} {:>12}", layer.name, layer.multiply_adds, layer.parameters)?;
        }
        writeln!(out, "{:<28} {:>14} {multiply_adds:>14} {parameters:>12}", "sum", "")?;
        writeln!(
            out,
            "{:.1} M multiply-adds, {:.2} M parameters",
            multiply_adds as f64 / 1e6,
            parameters as f64 / 1e6
        )?;
        Ok(())
    }
}
