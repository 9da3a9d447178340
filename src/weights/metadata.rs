//! What a weight file's metadata say: the network's dialect, its pictures, its labels.

use super::Weights;
use crate::image::{Channels, Rule};
use crate::{Error, Result};

impl Weights {
    pub(super) fn get(&self, key: &'static str) -> Result<&str> {
        self.metadata().get(key).map(String::as_str).ok_or(Error::MissingMetadata { key })
    }

    fn number(&self, key: &'static str) -> Result<usize> {
        let value = self.get(key)?;
        value.parse().map_err(|_| Error::Metadata { key, value: value.into(), expected: "a whole number" })
    }

    fn three(&self, key: &'static str, fits: impl Fn(f32) -> bool) -> Result<[f32; 3]> {
        let value = self.get(key)?;
        let numbers: Option<Vec<f32>> = value.split(',').map(|part| part.trim().parse().ok()).collect();
        numbers
            .and_then(|numbers| <[f32; 3]>::try_from(numbers).ok())
            .filter(|numbers| numbers.iter().all(|&number| number.is_finite() && fits(number)))
            .ok_or_else(|| Error::Metadata { key, value: value.into(), expected: "three numbers such as 104,117,123" })
    }

    /// The dialect of the network, such as `bvlc`.
    ///
    /// # Errors
    /// If the key is missing.
    pub fn dialect(&self) -> Result<&str> {
        self.get("dialect")
    }

    /// The side of the input that the weights were trained for, in pixels.
    ///
    /// # Errors
    /// If the key is missing or no number.
    pub fn input_side(&self) -> Result<usize> {
        self.number("input_side")
    }

    /// How pictures become input.
    ///
    /// # Errors
    /// If a key is missing or its value does not fit.
    pub fn preprocessing(&self) -> Result<Rule> {
        let channels = match self.get("channels")? {
            "rgb" => Channels::Rgb,
            "bgr" => Channels::Bgr,
            value => return Err(Error::Metadata { key: "channels", value: value.into(), expected: "rgb or bgr" }),
        };
        let (mean, std) = (self.three("mean", |_| true)?, self.three("std", |std| std > 0.0)?);
        let resize = self.number("resize")?;
        if !(1..=65_536).contains(&resize) {
            let value = resize.to_string();
            return Err(Error::Metadata { key: "resize", value, expected: "a side from 1 to 65536" });
        }
        Ok(Rule { channels, mean, std, resize })
    }

    /// The classes' names, in order; empty if the file has none.
    ///
    /// # Errors
    /// If they are there and no JSON array of strings.
    pub fn labels(&self) -> Result<Vec<String>> {
        let Some(value) = self.metadata().get("labels") else { return Ok(Vec::new()) };
        let expected = "a JSON array of strings";
        serde_json::from_str(value).map_err(|_| Error::Metadata { key: "labels", value: value.clone(), expected })
    }
}
