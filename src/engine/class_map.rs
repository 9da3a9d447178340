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
use crate::image::Window;
use crate::model::{Graph, Grid, Network, Op, Place};

/// A class map: how much each position of a picture speaks for one class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassMap {
    /// The map's rows and columns.
    pub shape: [usize; 2],
    /// The map's values, `[h, w]`, one for each position: their mean and `bias` add up to the class's logit.
    pub values: Vec<f32>,
    /// The classifier's bias for the class: what speaks for it whatever the picture shows.
    pub bias: f32,
    /// Where the map's positions lie in the session's input.
    pub grid: Grid,
}

impl ClassMap {
    /// The centre, `[x, y]` in pixels of the picture, of what the position in `row` and `column` sees. `window` is the part
    /// of the picture that the input shows, as [`Rule::window`](crate::image::Rule::window) has it.
    ///
    /// ```
    /// # #[cfg(feature = "decode")] {
    /// use googlenet::{Model, Options, image};
    ///
    /// let mut session = Model::open("weights/demo.safetensors")?.session(Options::new().class_maps(true))?;
    /// let picture = image::open("weights/chelsea.png")?;
    /// let class = session.classify(picture.view(), 1)?[0].index;
    /// let map = session.class_map(0, class)?;
    /// let (width, height) = (picture.view().width(), picture.view().height());
    /// let window = session.rule().window(width, height, session.side())?;
    /// let [x, y] = map.centre(0, 1, &window);
    /// assert!(x > window.x + window.width / 2.0 && x < 451.0 && y < 150.0);
    /// let value = map.at([x, y], &window).expect("it is inside");
    /// assert!((value - map.values[1]).abs() < 1e-4);
    /// assert_eq!(map.at([0.0, 0.0], &window), None);
    /// # }
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn centre(&self, row: usize, column: usize, window: &Window) -> [f64; 2] {
        window.point([column, row].map(|index| self.grid.first + index as f64 * self.grid.step))
    }

    /// The map at the point `[x, y]` of the picture: between the centres of four positions what is in proportion between
    /// their values, beyond the outermost what is on their line. `None` outside of the part that the input shows.
    pub fn at(&self, point: [f64; 2], window: &Window) -> Option<f32> {
        let point = window.input_point(point);
        let is_inside = point.iter().all(|at| (0.0..=window.side as f64).contains(at));
        let [column, row] = point.map(|at| (at - self.grid.first) / self.grid.step);
        is_inside.then(|| between(&self.values, self.shape, row, column))
    }

    /// The centre of mass `[x, y]`, in pixels of the picture, of what speaks for the class: of [`ClassMap::at`] where that
    /// is above 0, inside the picture, taken at 64 points each way. `None` if it is above 0 nowhere.
    pub fn centre_of_mass(&self, window: &Window) -> Option<[f64; 2]> {
        let middle = |index: usize| (index as f64 + 0.5) / 64.0 * window.side as f64;
        let (mut sum, mut sums) = (0.0, [0.0; 2]);
        for (row, column) in (0..64).flat_map(|row| (0..64).map(move |column| (row, column))) {
            let point = window.point([middle(column), middle(row)]);
            let value = f64::from(self.at(point, window).unwrap_or(0.0)).max(0.0);
            sum += value;
            sums = [sums[0] + value * point[0], sums[1] + value * point[1]];
        }
        (sum > 0.0).then(|| sums.map(|of_axis| of_axis / sum))
    }
}

/// `values`, `[h, w]`, at a row and a column that may lie between positions, or beyond the outermost, whose values then
/// hold.
pub(crate) fn between(values: &[f32], [h, w]: [usize; 2], row: f64, column: f64) -> f32 {
    let axis = |at: f64, len: usize| {
        let at = at.clamp(0.0, (len - 1) as f64);
        let first = at as usize;
        (first, (first + 1).min(len - 1), (at - first as f64) as f32)
    };
    let ((upper, lower, down), (left, right, across)) = (axis(row, h), axis(column, w));
    let line = |y: usize| values[y * w + left] * (1.0 - across) + values[y * w + right] * across;
    line(upper) * (1.0 - down) + line(lower) * down
}

/// The end of a network that has class maps: its features are the means of a map's channels, and its logits are linear
/// in its features.
pub(super) struct LinearEnd {
    /// The map whose channels' means are classified.
    pub map: Place,
    /// Where the map's positions lie in the input.
    grid: Grid,
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
    let grid = graph.grid(mean.input).filter(|_| is_linear)?;
    Some(LinearEnd { map: mean.input, grid, classifier: network.roles.logits.clone() })
}

impl Session {
    /// The map of `class` for one image of the last run's batch; the session has to be made with
    /// [`super::Options::class_maps`].
    ///
    /// At the input side 224 a map has 7x7 positions, each 32 pixels of the input from the next; [`ClassMap::centre`] and
    /// [`ClassMap::at`] lead back to the picture.
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
        let grid = self.linear_end.as_ref().ok_or(SessionError::NoClassMaps)?.grid;
        Ok(ClassMap { shape: [h, w], values, bias, grid })
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
