//! Class activation maps, which show where in a picture a class is seen.
//!
//! The classifier is linear and reads the mean of each channel `c` of the last map `x`, so that its logit for a class
//! `o` is itself a mean over pixels (Zhou et al. 2016, arXiv:1512.04150, section 2):
//!
//! ```text
//! logit[o] = bias[o] + sum_c w[o][c] * mean_p x[c][p] = bias[o] + mean_p map[p],   map[p] = sum_c w[o][c] * x[c][p]
//! ```

use super::Session;
use crate::Result;
use crate::error::{SessionError, TensorError};
use crate::model::{Graph, Network, Op, Place};

/// A class map: how much each position of a picture speaks for one class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassMap {
    /// The map's rows and columns.
    pub shape: [usize; 2],
    /// The map's values, `[h, w]`, one for each position: their mean and `bias` add up to the class's logit.
    pub values: Vec<f32>,
    /// The classifier's bias for the class: what speaks for it whatever the picture shows.
    pub bias: f32,
}

/// The end of a network that has class maps: its features are the means of a map's channels, and its logits are linear
/// in its features.
pub(super) struct LinearEnd {
    /// The map whose channels' means are classified.
    pub map: Place,
    /// The name of the layer that gives the logits.
    classifier: String,
}

/// The end of `network`, whose graph is `graph`, or `None` if that end is not linear.
pub(super) fn linear_end(network: &Network, graph: &Graph) -> Option<LinearEnd> {
    let made_by = |place: Place| graph.nodes.iter().find(|node| node.output == place);
    let (mean, classifier) = (made_by(graph.features()?)?, made_by(graph.logits())?);
    let is_linear = matches!(mean.op, Op::GlobalAverage)
        && matches!(classifier.op, Op::FullyConnected { relu: false })
        && classifier.input == mean.output;
    is_linear.then(|| LinearEnd { map: mean.input, classifier: network.roles.logits.clone() })
}

impl Session {
    /// The map of `class` for one image of the last run's batch; the session has to be made with
    /// [`super::Options::class_maps`].
    ///
    /// At the input side 224 a map has 7x7 positions, each 32 pixels of the input from the next.
    ///
    /// # Errors
    /// [`SessionError::OutOfRange`] if there is no such image or class, [`SessionError::NoClassMaps`] if the session
    /// keeps no class maps.
    ///
    /// ```
    /// # use googlenet::{Model, Options};
    /// let model = Model::open("weights/demo.safetensors")?;
    /// let mut session = model.session(Options::new().class_maps(true))?;
    /// session.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * 0.3).sin());
    /// session.run();
    /// let map = session.class_map(0, 3)?;
    /// let mean = map.values.iter().sum::<f32>() / map.values.len() as f32;
    /// assert_eq!(map.shape, [2, 2]);
    /// assert!((mean + map.bias - session.logits()[3]).abs() < 1e-4);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn class_map(&self, image: usize, class: usize) -> Result<ClassMap> {
        let [h, w] = self.class_map_shape().ok_or(SessionError::NoClassMaps)?;
        let mut values = vec![0.0; h * w];
        let bias = self.write_class_map(image, class, &mut values)?;
        Ok(ClassMap { shape: [h, w], values, bias })
    }

    /// The rows and columns of a class map; `None` if the session keeps no class maps.
    pub fn class_map_shape(&self) -> Option<[usize; 2]> {
        let ([_, h, w], _) = self.map_output()?;
        Some([h, w])
    }

    /// Writes the values of [`Session::class_map`] to `values`, `[h, w]` as [`Session::class_map_shape`] has them, and
    /// returns the bias.
    ///
    /// # Errors
    /// [`SessionError::MapLength`] if `values` does not hold exactly `h * w` values, and the errors of
    /// [`Session::class_map`].
    ///
    /// ```
    /// # use googlenet::{Model, Options};
    /// let model = Model::open("weights/demo.safetensors")?;
    /// let mut session = model.session(Options::new().class_maps(true))?;
    /// session.run();
    /// let mut values = [f32::NAN; 2 * 2];
    /// let bias = session.write_class_map(0, 3, &mut values)?;
    /// let map = session.class_map(0, 3)?;
    /// assert_eq!((&map.values[..], map.bias), (&values[..], bias));
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn write_class_map(&self, image: usize, class: usize, values: &mut [f32]) -> Result<f32> {
        let below = |option, value, count: usize| match value < count {
            true => Ok(()),
            false => Err(SessionError::OutOfRange { option, value, least: 0, most: count - 1 }),
        };
        let (([c, h, w], x), end) = self.map_output().zip(self.linear_end.as_ref()).ok_or(SessionError::NoClassMaps)?;
        below("image", image, self.batch())?;
        below("class", class, self.model.network.classes)?;
        let tensor = |kind: &str| {
            let name = format!("{}.{kind}", end.classifier);
            let tensor = self.model.weights.tensor(&name);
            tensor.map(|tensor| tensor.to_f32()).ok_or(TensorError::Missing { tensor: name })
        };
        let (weights, biases) = (tensor("weight")?, tensor("bias")?);
        if values.len() != h * w {
            return Err(SessionError::MapLength { expected: h * w, found: values.len() }.into());
        }
        values.fill(0.0);
        let x = &x[image * c * h * w..][..c * h * w];
        for (x, &weight) in x.chunks_exact(h * w).zip(&weights[class * c..][..c]) {
            values.iter_mut().zip(x).for_each(|(value, x)| *value += weight * x);
        }
        Ok(biases[class])
    }
}
