//! Another classifier on a network's features: a weight file for classes of one's own.

use std::path::Path;

use super::Model;
use crate::Result;
use crate::error::{ModelError, TensorError};
use crate::weights::{Dtype, INT8, NewTensor, PACKED, write};

impl Model {
    /// Writes a weight file of this model's network with another classifier: `weight` is its matrix, `[classes, features]`,
    /// `bias` has a value for each class, and `labels` the classes' names, in that order. They are stored as f32, all else
    /// as it is in this model's file, scales for int8 included.
    ///
    /// Auxiliary heads tell this model's own classes apart, so they are left out; their names are returned. Packed weights
    /// are left out, too, and so is what the metadata say beyond the network and how pictures become its input.
    ///
    /// Whoever reads `path` sees the old file or the new one, never a part. Without `force` an existing file is an error.
    ///
    /// # Errors
    /// If the weights are damaged, there are no classes, the lengths do not fit each other and the network's features, or the
    /// file exists or cannot be written.
    ///
    /// ```
    /// use googlenet::Model;
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let path = folder.path().join("own.safetensors");
    /// let model = Model::open("weights/demo.safetensors")?;
    /// let labels = ["day".to_owned(), "night".to_owned()];
    /// model.write_classifier(&path, &labels, &[0.5; 2 * 1024], &[0.0, 0.25], false)?;
    /// assert_eq!(Model::open(&path)?.labels(), labels);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn write_classifier(
        &self,
        path: impl AsRef<Path>,
        labels: &[String],
        weight: &[f32],
        bias: &[f32],
        force: bool,
    ) -> Result<Vec<&'static str>> {
        if labels.is_empty() {
            return Err(ModelError::NoClasses.into());
        }
        if labels.len() != bias.len() {
            return Err(ModelError::LabelCount { labels: labels.len(), classes: bias.len() }.into());
        }
        // The hash of a mapped packed file was not checked yet, and damage must not get a new hash that fits it.
        self.weights().verify()?;
        let classifier = &self.network().roles.logits;
        let [weight_name, bias_name] = ["weight", "bias"].map(|part| format!("{classifier}.{part}"));
        let old = self.weights().tensor(&weight_name).expect("a model has its network's tensors");
        // Whatever the number of classes, the classifier sees the same features.
        let inputs = old.shape()[1];
        let weight_shape = [bias.len(), inputs];
        if weight.len() != bias.len() * inputs {
            let [expected, found] = [bias.len() * inputs, weight.len()].map(|count| 4 * count as u64);
            return Err(TensorError::Length { tensor: weight_name, expected, found }.into());
        }
        let heads = || self.network().heads.iter().flat_map(|head| &head.layers);
        let is_of_head =
            |name: &str| heads().any(|layer| name.strip_prefix(layer.name()).is_some_and(|end| end.starts_with('.')));
        let bias_shape = [bias.len()];
        let tensors = self.weights().tensors().filter(|t| !t.name().starts_with(PACKED) && !is_of_head(t.name()));
        let tensors: Vec<_> = tensors
            .map(|t| match t.name() {
                name if name == weight_name => {
                    NewTensor { name, shape: &weight_shape, dtype: Dtype::F32, values: weight.into() }
                }
                name if name == bias_name => {
                    NewTensor { name, shape: &bias_shape, dtype: Dtype::F32, values: bias.into() }
                }
                name => NewTensor { name, shape: t.shape(), dtype: t.dtype(), values: t.to_f32() },
            })
            .collect();
        let mut metadata = self.weights().metadata().clone();
        metadata.retain(|key, _| KEPT.contains(&key.as_str()));
        metadata.insert("labels".to_owned(), serde_json::Value::from(labels).to_string());
        write(path, &metadata, &tensors, force)?;
        Ok(self.network().head_names())
    }
}

/// The metadata that are about the network and its input; others may be about its classes.
const KEPT: [&str; 8] = ["dialect", "input_side", "channels", "mean", "std", "resize", "geometry", INT8];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::error::WeightsError;
    use crate::model::{Dialect, Network};
    use crate::weights::{Weights, encode};
    use crate::{Error, Options};

    fn model(network: &Network, more: &[(&str, &str)]) -> Model {
        let keys = [("dialect", network.dialect.name()), ("input_side", "32"), ("resize", "40"), ("channels", "bgr")];
        let keys = keys.iter().chain(&[("mean", "1,2,3"), ("std", "4,5,6"), ("geometry", "warp")]).chain(more);
        let metadata: BTreeMap<String, String> = keys.map(|&(key, value)| (key.into(), value.into())).collect();
        let parameters = network.parameters();
        let value = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 2000.0;
        let tensors: Vec<_> = parameters
            .iter()
            .map(|(name, shape)| {
                let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
                NewTensor { name, shape, dtype: Dtype::F16, values: values.into() }
            })
            .collect();
        Model::new(Weights::from_vec(encode(&metadata, &tensors).expect("encoded")).expect("valid")).expect("a model")
    }

    #[test]
    fn all_but_the_classifier_the_heads_and_what_is_packed_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let labels: Vec<String> = ["a \"b\"", "猫", "c"].map(String::from).into();
        for dialect in [Dialect::Bvlc, Dialect::TfSlim] {
            let base = model(&dialect.network_with_heads(2), &[("labels", r#"["x","y"]"#), ("synsets", "n1 n2")]);
            let packed = at(&format!("packed {dialect}"));
            base.pack(&packed, Options::new(), true).expect("packed");
            let (weight, bias): (Vec<f32>, _) = ((0..3 * 1024).map(|i| i as f32 / 1e5).collect(), [0.5, -0.5, 1e-9]);
            let left_out = Model::open(&packed).expect("opened");
            let left_out = left_out.write_classifier(at("own"), &labels, &weight, &bias, true).expect("written");
            assert_eq!(left_out, base.network().head_names());
            let own = Model::open(at("own")).expect("opened");
            assert_eq!((own.labels(), own.network().classes), (&labels[..], 3));
            assert_eq!((own.rule(), own.side(), own.network().dialect), (base.rule(), 32, dialect));
            assert!(own.network().heads.is_empty() && !own.weights().metadata().contains_key("synsets"));
            for tensor in own.weights().tensors() {
                match tensor.name() {
                    "loss3/classifier.weight" => assert_eq!(tensor.to_f32(), &weight[..]),
                    "loss3/classifier.bias" => assert_eq!(tensor.to_f32(), &bias[..]),
                    name => assert_eq!(tensor.hash(), base.weights().tensor(name).expect(name).hash()),
                }
            }
            let features = |model: &Model| {
                let mut session = model.session(Options::new().endpoint("pool5/7x7_s1")).expect("a session");
                session.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (i % 17) as f32 - 8.0);
                session.run();
                (session.endpoint("pool5/7x7_s1").expect("kept").to_vec(), session.logits().to_vec())
            };
            let (seen, logits) = features(&own);
            assert_eq!(seen, features(&base).0);
            for (class, logit) in logits.into_iter().enumerate() {
                let products = seen.iter().zip(&weight[1024 * class..]).map(|(x, w)| f64::from(*x) * f64::from(*w));
                let expected = products.sum::<f64>() + f64::from(bias[class]);
                assert!((f64::from(logit) - expected).abs() <= 1e-4 * expected.abs().max(1.0), "{logit} {expected}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("own");
        let base = model(&Dialect::Bvlc.network(2), &[]);
        let labels = |n: usize| vec!["x".to_owned(); n];
        let write = |n: usize, weight: usize, bias: usize| {
            base.write_classifier(&path, &labels(n), &vec![0.0; weight], &vec![0.0; bias], false)
        };
        assert!(matches!(write(0, 0, 0), Err(Error::Model(ModelError::NoClasses))));
        assert!(matches!(write(2, 2048, 1), Err(Error::Model(ModelError::LabelCount { labels: 2, classes: 1 }))));
        assert!(matches!(write(2, 2047, 2), Err(Error::Tensor(TensorError::Length { expected: 8192, .. }))));
        let long = vec!["x".repeat(600_000); 2];
        let refused = base.write_classifier(&path, &long, &[0.0; 2048], &[0.0; 2], false);
        assert!(matches!(refused, Err(Error::Weights(WeightsError::HeaderTooLong { .. }))));
        assert!(!path.exists());
        write(2, 2048, 2).expect("written");
        assert!(matches!(write(2, 2048, 2), Err(Error::File(_))), "it exists");
    }
}
