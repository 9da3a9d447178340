//! The metadata of a weight file, read and checked: `weights/FORMAT.md` lists their keys.

use std::collections::BTreeMap;

use crate::error::{ModelError, WeightsError};
use crate::image::{Channels, Geometry, Rule};
use crate::model::{Dialect, MAX_SIDE, MIN_SIDE, Network};
use crate::{Error, Result};

/// What the metadata of a weight file say: which network the weights are of, and how pictures become its input.
///
/// ```
/// use googlenet::{Description, image::Channels, model::Dialect, weights::Weights};
///
/// let weights = Weights::open("weights/demo.safetensors")?;
/// let description = Description::read(weights.metadata())?;
/// assert_eq!((description.dialect, description.side), (Dialect::Bvlc, 64));
/// assert_eq!((description.rule.channels, description.rule.mean), (Channels::Rgb, [127.5; 3]));
/// assert_eq!(description.labels[3], "cat");
/// # Ok::<(), googlenet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The dialect of the network.
    pub dialect: Dialect,
    /// The side of the square input, in pixels.
    pub side: usize,
    /// The rule by which pictures become input.
    pub rule: Rule,
    /// The names of the classes, in the order of the output; empty if there are none.
    pub labels: Vec<String>,
}

impl Description {
    /// Reads and checks the metadata of a weight file.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnknownDialect`] if the file names a dialect that is not known. [`WeightsError::MetadataMissing`]
    /// or [`WeightsError::MetadataValue`] for the first of the keys `dialect`, `input_side`, `channels`, `mean`, `std`,
    /// `resize`, `geometry`, `labels` that is missing or has a value that cannot be used; only the last two may be
    /// missing.
    pub fn read(metadata: &BTreeMap<String, String>) -> Result<Self> {
        let metadata = Metadata(metadata);
        let dialect = metadata.dialect()?;
        let side = metadata.pixels("input_side", MIN_SIDE, MAX_SIDE, "a whole number of 32 to 4096")?;
        let channels = Channels::from_name(metadata.value("channels")?);
        let channels = channels.ok_or_else(|| metadata.unusable("channels", "\"bgr\" or \"rgb\""))?;
        let mean = metadata.triple("mean", |_| true, "three finite numbers, as in \"104,117,123\"")?;
        let std = metadata.triple("std", |x| x > 0.0, "three finite numbers above zero, as in \"1,1,1\"")?;
        let resize = metadata.pixels("resize", side, MAX_RESIZE, "a whole number of \"input_side\" to 8192")?;
        let geometry = match metadata.0.get("geometry") {
            Some(name) => Geometry::from_name(name).ok_or_else(|| metadata.unusable("geometry", GEOMETRIES))?,
            // Files that were written before there was this key all mean this geometry.
            None => Geometry::ShortSide,
        };
        let labels = match metadata.0.get("labels") {
            Some(text) => {
                serde_json::from_str(text).map_err(|_| metadata.unusable("labels", "a JSON array of strings"))?
            }
            // The classes of a file without labels have only their numbers.
            None => Vec::new(),
        };
        Ok(Self { dialect, side, rule: Rule { geometry, channels, mean, std, resize }, labels })
    }

    /// Checks that this is a description of weights of `network`.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnknownDialect`] if the dialect is not the network's, [`ModelError::LabelCount`] if there are
    /// labels, but not one for each class, [`ModelError::InputSide`] if the network does not run at the side.
    pub fn fits(&self, network: &Network) -> Result<()> {
        if self.dialect != network.dialect {
            let dialect = self.dialect.name().to_owned();
            return Err(ModelError::UnknownDialect { dialect, known: vec![network.dialect.name()] }.into());
        }
        match (self.labels.len(), network.classes) {
            (labels, classes) if labels != 0 && labels != classes => {
                Err(ModelError::LabelCount { labels, classes }.into())
            }
            _ if !network.fits(self.side) => {
                Err(ModelError::InputSide { network: network.name, own: network.side, side: self.side }.into())
            }
            _ => Ok(()),
        }
    }
}

/// The metadata of a weight file, whose values are parsed as they are asked for.
struct Metadata<'a>(&'a BTreeMap<String, String>);

impl<'a> Metadata<'a> {
    fn value(&self, key: &'static str) -> Result<&'a str> {
        self.0.get(key).map(String::as_str).ok_or(WeightsError::MetadataMissing { key }.into())
    }

    fn dialect(&self) -> Result<Dialect> {
        let name = self.value("dialect")?;
        let known = || Dialect::ALL.map(Dialect::name).to_vec();
        Dialect::from_name(name)
            .ok_or_else(|| Error::Model(ModelError::UnknownDialect { dialect: name.to_owned(), known: known() }))
    }

    fn unusable(&self, key: &'static str, expected: &'static str) -> Error {
        WeightsError::MetadataValue { key, value: self.0.get(key).cloned().unwrap_or_default(), expected }.into()
    }

    fn pixels(&self, key: &'static str, least: usize, most: usize, expected: &'static str) -> Result<usize> {
        let pixels = self.value(key)?.parse().ok().filter(|pixels| (least..=most).contains(pixels));
        pixels.ok_or_else(|| self.unusable(key, expected))
    }

    fn triple(&self, key: &'static str, allowed: fn(f32) -> bool, expected: &'static str) -> Result<[f32; 3]> {
        let parts = self.value(key)?.split(',').map(|part| part.parse().ok());
        let values: Option<Vec<f32>> = parts.map(|x| x.filter(|&x: &f32| x.is_finite() && allowed(x))).collect();
        values.and_then(|v| v.try_into().ok()).ok_or_else(|| self.unusable(key, expected))
    }
}

const GEOMETRIES: &str = "\"short-side\", \"torchvision\", \"warp\", \"warp-bicubic\" or \"tf-slim\"";

/// The largest `resize`, in pixels: twice [`MAX_SIDE`], where the usual ratio, 256 to 224, needs less.
const MAX_RESIZE: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Preset;
    use crate::model::googlenet;

    fn metadata() -> BTreeMap<String, String> {
        let pairs = [
            ("dialect", "bvlc"),
            ("input_side", "224"),
            ("channels", "bgr"),
            ("mean", "104,117,123"),
            ("std", "1,1,1"),
            ("resize", "256"),
            ("geometry", "short-side"),
            ("labels", r#"["tench","goldfish, \"Carassius\""]"#),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn metadata_are_parsed_or_named() {
        let expected = Description {
            dialect: Dialect::Bvlc,
            side: 224,
            rule: Preset::ShortSide.rule(224),
            labels: vec!["tench".into(), "goldfish, \"Carassius\"".into()],
        };
        assert_eq!(Description::read(&metadata()).expect("as described"), expected);

        for geometry in Geometry::ALL {
            let mut metadata = metadata();
            metadata.insert("geometry".into(), geometry.name().into());
            assert_eq!(Description::read(&metadata).expect("as described").rule.geometry, geometry);
            assert!(GEOMETRIES.contains(geometry.name()));
        }

        let wrong: [(&str, &[&str]); 7] = [
            ("geometry", &["", "Warp", "bvlc"]),
            ("channels", &["", "BGR", "grb"]),
            ("mean", &["", "1,2", "1,2,3,4", "1,2,nan", "1,2,inf", "1, 2,3", "1,2,1e99"]),
            ("std", &["1,1,0", "1,1,-1", "1,1,1e-99"]),
            ("resize", &["0", "223", "256.0", "-1", "8193", "99999999999999999999"]),
            ("input_side", &["0", "31", "4097", "224px"]),
            ("labels", &["", "{}", "[1]", "[\"a\"", "\"a\""]),
        ];
        for (name, values) in wrong {
            for text in values {
                let mut metadata = metadata();
                metadata.insert(name.to_owned(), (*text).to_owned());
                match Description::read(&metadata) {
                    Err(Error::Weights(WeightsError::MetadataValue { key, value, .. })) => {
                        assert_eq!((key, &value[..]), (name, *text))
                    }
                    other => panic!("{name}={text:?}: {other:?}"),
                }
            }
        }
        for name in metadata().into_keys() {
            let mut metadata = metadata();
            metadata.remove(&name);
            match Description::read(&metadata) {
                Ok(description) if name == "labels" => assert!(description.labels.is_empty()),
                Ok(description) => assert_eq!(description, expected, "{name}"),
                Err(error) => assert!(
                    matches!(error, Error::Weights(WeightsError::MetadataMissing { key }) if key == name),
                    "{error}"
                ),
            }
        }
    }

    #[test]
    fn a_description_fits_one_dialect_and_its_own_number_of_classes() {
        let mut description = Description::read(&metadata()).expect("as described");
        assert!(description.fits(&googlenet(2)).is_ok());
        let fits = description.fits(&googlenet(3));
        assert!(matches!(fits, Err(Error::Model(ModelError::LabelCount { labels: 2, classes: 3 }))), "{fits:?}");
        description.labels.clear();
        assert!(description.fits(&googlenet(3)).is_ok());
        description.dialect = Dialect::Torchvision;
        assert!(description.fits(&Dialect::Torchvision.network(3)).is_ok());
        let fits = description.fits(&googlenet(3));
        assert!(matches!(fits, Err(Error::Model(ModelError::UnknownDialect { known, .. })) if known == ["bvlc"]));
    }
}
