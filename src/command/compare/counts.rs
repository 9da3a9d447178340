//! What a network costs, counted from its table.

use std::io::Write;

use crate::Options;
use crate::model::{self, Activation, Cost, Dialect, Network};
use serde_json::{Value, json};

use super::timing::Times;
use crate::command::exit::{Code, OrFail, Outcome};

/// The counts of one network at its own input side, for one image.
pub struct Counts {
    pub dialect: Dialect,
    pub network: Network,
    pub layers: Vec<Cost>,
    pub multiply_adds: u64,
    pub parameters: u64,
    /// The channels, rows and columns of the largest activation.
    pub largest: [usize; 3],
    pub arena_bytes: usize,
    pub depth: usize,
}

impl Counts {
    /// Counts `dialect`'s network for `classes` classes; the arena is that of a session of `options`.
    pub fn new(dialect: Dialect, classes: usize, options: &Options) -> Outcome<Self> {
        let network = dialect.network(classes);
        let graph = network.graph(network.side);
        let layers = model::cost(&graph);
        let largest = graph.activations.iter().max_by_key(|own| own.len()).expect("a graph has an input");
        let &Activation { c, h, w, .. } = largest;
        Ok(Self {
            dialect,
            multiply_adds: layers.iter().map(|layer| layer.multiply_adds).sum(),
            parameters: layers.iter().map(|layer| layer.parameters).sum(),
            largest: [c, h, w],
            arena_bytes: options.arena_bytes(&network).or_fail(Code::Usage, "")?,
            depth: model::depth(&graph),
            layers,
            network,
        })
    }

    /// The name to show: the dialect's, with the network's before it for one of GoogLeNet's, of which there are many.
    pub fn label(&self) -> String {
        match self.is_googlenet() {
            true => format!("{} {}", self.network.name, self.dialect),
            false => self.dialect.to_string(),
        }
    }

    pub fn is_googlenet(&self) -> bool {
        Dialect::GOOGLENET.contains(&self.dialect)
    }

    pub fn largest_bytes(&self) -> u64 {
        (self.largest.iter().product::<usize>() * size_of::<f32>()) as u64
    }

    /// The bytes of the weights in f32; f16 takes half.
    pub fn f32_bytes(&self) -> u64 {
        4 * self.parameters
    }

    /// The counts as JSON, with the times if they were taken.
    pub fn json(&self, times: Option<&Times>, layers: bool) -> Value {
        let mut value = json!({
            "dialect": self.dialect.name(),
            "network": self.network.name,
            "side": self.network.side,
            "depth": self.depth,
            "multiply_adds": self.multiply_adds,
            "parameters": self.parameters,
            "f32_bytes": self.f32_bytes(),
            "f16_bytes": self.f32_bytes() / 2,
            "largest_activation": self.largest,
            "largest_activation_bytes": self.largest_bytes(),
            "arena_bytes": self.arena_bytes,
        });
        if let Some(times) = times {
            value["median_ms"] = json!(times.median);
            value["min_ms"] = json!(times.min);
        }
        if layers {
            let row = |layer: &Cost| {
                json!({
                    "name": layer.name,
                    "shape": layer.shape,
                    "multiply_adds": layer.multiply_adds,
                    "parameters": layer.parameters,
                })
            };
            value["layers"] = self.layers.iter().map(row).collect();
            if let Some(times) = times {
                let step = |(layers, ms): &(String, f64)| json!({ "layers": layers, "ms": ms });
                value["steps"] = times.steps.iter().map(step).collect();
            }
        }
        value
    }

    /// Prints every layer; where times were taken, a layer that is computed with others has theirs on the last of them.
    pub fn layers(&self, times: Option<&Times>, out: &mut dyn Write) -> Outcome {
        writeln!(out)?;
        write!(out, "{:<28} {:>14} {:>14} {:>12}", self.label(), "output", "multiply-adds", "parameters")?;
        writeln!(out, "{}", if times.is_some() { format!(" {:>9}", "ms") } else { String::new() })?;
        for layer in &self.layers {
            let [c, h, w] = layer.shape;
            let shape = format!("{c}x{h}x{w}");
            write!(out, "{:<28} {shape:>14} {:>14} {:>12}", layer.name, layer.multiply_adds, layer.parameters)?;
            let ms = times.and_then(|times| times.ends_with(&layer.name));
            writeln!(out, "{}", ms.map(|ms| format!(" {ms:>9.4}")).unwrap_or_default())?;
        }
        Ok(())
    }
}
