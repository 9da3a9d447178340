//! What came of quantising, as tables or as JSON.

use std::io::Write;

use crate::model::Dialect;
use crate::quantise::{Clipping, Distance};
use serde_json::{Value, json};

use crate::command::exit::Outcome;
use crate::command::printable::Printable;

/// Everything that is reported.
pub struct Report<'a> {
    pub network: &'static str,
    pub dialect: Dialect,
    /// How many pictures calibrated.
    pub calibrated: usize,
    /// The names of the pictures that could not be read, and what was wrong with each.
    pub unreadable: Vec<(String, String)>,
    pub candidates: Vec<Candidate>,
    pub sensitivities: Vec<Sensitivity>,
    /// The layers that compute in int8.
    pub int8: Vec<&'a str>,
    /// How far what was written is from f32, on pictures that were held back.
    pub distance: Distance,
}

/// A way to find scales, and its error.
pub struct Candidate {
    pub clipping: Clipping,
    pub corrected_biases: bool,
    pub rms_error: f64,
}

/// The error when one layer alone is in int8, or none.
pub struct Sensitivity {
    pub layer: Option<String>,
    pub rms_error: f64,
}

impl Report<'_> {
    /// The report as one JSON object, in which null stands for an error that is not finite.
    pub fn json(&self) -> Value {
        let candidate = |own: &Candidate| {
            json!({
                "clipping": own.clipping.name(),
                "corrected_biases": own.corrected_biases,
                "rms_error": own.rms_error,
            })
        };
        let layer = |own: &Sensitivity| {
            let name = own.layer.as_deref()?;
            Some(json!({ "name": name, "int8": self.int8.contains(&name), "alone": own.rms_error }))
        };
        let unreadable = |(image, error): &(String, String)| json!({ "image": image, "error": error });
        let none = self.sensitivities.iter().find(|own| own.layer.is_none()).map(|own| own.rms_error);
        json!({
            "network": self.network,
            "dialect": self.dialect.name(),
            "calibrated": self.calibrated,
            "unreadable": self.unreadable.iter().map(unreadable).collect::<Vec<_>>(),
            "candidates": self.candidates.iter().map(candidate).collect::<Vec<_>>(),
            "layers": self.sensitivities.iter().filter_map(layer).collect::<Vec<_>>(),
            "none": none,
            "held_back": {
                "pictures": self.distance.images(),
                "rms_error": self.distance.rms_error(),
                "agreement": self.distance.agreement(),
            },
        })
    }

    /// Prints the report as tables.
    pub fn print(&self, out: &mut dyn Write) -> Outcome {
        writeln!(out, "{}, {}", self.network, self.dialect)?;
        writeln!(out, "calibrated  {:5}", self.calibrated)?;
        writeln!(out, "held back   {:5}", self.distance.images())?;
        writeln!(out, "unreadable  {:5}", self.unreadable.len())?;
        writeln!(out, "\n{:<28} {:<10} rms error", "clipping", "biases")?;
        for Candidate { clipping, corrected_biases, rms_error } in &self.candidates {
            let biases = if *corrected_biases { "corrected" } else { "as given" };
            writeln!(out, "{:<28} {biases:<10} {:>9}", clipping.name(), percent(*rms_error))?;
        }
        writeln!(out, "\n{:<28} {:<10} rms error of it alone", "layer", "computes")?;
        for Sensitivity { layer, rms_error } in &self.sensitivities {
            let precision = match layer.as_deref() {
                Some(layer) if self.int8.contains(&layer) => "int8",
                Some(_) => "higher",
                None => "",
            };
            let name = Printable(layer.as_deref().unwrap_or("none"));
            writeln!(out, "{:<28} {precision:<10} {:>9}", name.to_string(), percent(*rms_error))?;
        }
        let (error, agreement) = (percent(self.distance.rms_error()), percent(self.distance.agreement()));
        writeln!(out, "\nheld back: rms error {}, the likeliest class agrees for {}", error.trim(), agreement.trim())?;
        Ok(())
    }
}

/// A share as a text, in percent.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
