//! Ensembles: several models look at several crops of a picture, and their probabilities are averaged.

use std::mem;

use super::session::{Prediction, most_likely};
use super::{Model, Options, Session};
use crate::Result;
use crate::error::{ModelError, SessionError};
use crate::image::{Crops, Cuts, Rgb8, Rule};

/// Models that classify a picture's crops together: probabilities are averaged over crops and models.
///
/// The models may be of any dialects and sides. Some models, as TensorFlow slim's, have one class more than others:
/// class 0, the background. Beside models that have one class less, the background is left out, and the probabilities
/// of the other classes are scaled to add up to 1.
///
/// ```
/// # #[cfg(feature = "decode")] {
/// use googlenet::image::{self, Crops};
/// use googlenet::{Ensemble, Model, Options};
///
/// let model = Model::open("weights/demo.safetensors")?;
/// let mut ensemble = Ensemble::new(&[model], Crops::Ten, Options::new().threads(2))?;
/// let top = ensemble.classify(image::open("weights/chelsea.png")?.view(), 3)?;
/// assert_eq!((top.len(), top[0].label.as_str()), (3, "cat"));
/// # }
/// # Ok::<(), googlenet::Error>(())
/// ```
pub struct Ensemble {
    members: Vec<Member>,
    crops: Crops,
    /// The crops of the last picture, whose memory the next picture's take over.
    cuts: Cuts,
    labels: Vec<String>,
    /// The sums of the classes' probabilities over crops and models.
    sum: Vec<f64>,
    probabilities: Vec<f32>,
}

/// A model of an ensemble.
struct Member {
    session: Session,
    rule: Rule,
    /// The number of this model's classes before the first that all models have: 1 if its background is left out, or 0.
    skip: usize,
}

impl Ensemble {
    /// The largest number of models in an ensemble.
    pub const MAX_MODELS: usize = 64;

    /// Plans a session for each model. All of `options` counts but the batch, which follows from `crops`.
    ///
    /// The caller has to know that the models' classes are the same, in the same order: that is not checked, as models
    /// may spell labels differently. The ensemble's labels are those of the first model that has any.
    ///
    /// # Errors
    /// [`SessionError::OutOfRange`] if there are no models or too many, [`ModelError::ClassCounts`] if the models
    /// differ in their number of classes by more than a background, or an error of [`Model::session`].
    pub fn new(models: &[Model], crops: Crops, options: Options) -> Result<Self> {
        if models.is_empty() || models.len() > Self::MAX_MODELS {
            let (value, most) = (models.len(), Self::MAX_MODELS);
            return Err(SessionError::OutOfRange { option: "number of models", value, least: 1, most }.into());
        }
        let counts = || models.iter().map(|model| model.network().classes);
        let classes = counts().min().expect("there is one");
        let member = |model: &Model| {
            let network = model.network();
            let skip = match network.classes - classes {
                0 => 0,
                1 if network.background => 1,
                _ => return Err(ModelError::ClassCounts { least: classes, other: network.classes }.into()),
            };
            let side = options.side.unwrap_or(model.side());
            let batch = batch(crops.count(), options.threads, Options::MAX_PIXELS / side.saturating_mul(side).max(1));
            Ok(Member { session: model.session(options.clone().batch(batch))?, rule: *model.rule(), skip })
        };
        let members = models.iter().map(member).collect::<Result<Vec<_>>>()?;
        let labelled = models.iter().zip(&members).find(|(model, _)| !model.labels().is_empty());
        let labels = labelled.map(|(model, member)| model.labels()[member.skip..].to_vec()).unwrap_or_default();
        Ok(Self {
            members,
            crops,
            cuts: Cuts::none(),
            labels,
            sum: vec![0.0; classes],
            probabilities: vec![0.0; classes],
        })
    }

    /// The `top` most likely classes of a picture, most likely first.
    ///
    /// # Errors
    /// If the picture cannot be prepared: see [`prepare`](crate::image::prepare).
    pub fn classify(&mut self, picture: Rgb8<'_>, top: usize) -> Result<Vec<Prediction>> {
        self.probabilities(picture)?;
        Ok(most_likely(&self.probabilities, &self.labels, top))
    }

    /// The probability of each class: the mean over crops and models.
    ///
    /// # Errors
    /// The errors of [`Ensemble::classify`].
    ///
    /// ```
    /// use googlenet::image::{Crops, Rgb8};
    /// use googlenet::{Ensemble, Model, Options};
    ///
    /// let model = Model::open("weights/demo.safetensors")?;
    /// let mut ensemble = Ensemble::new(&[model.clone(), model], Crops::Centre, Options::new())?;
    /// let grey = vec![128; 80 * 60 * 3];
    /// let probabilities = ensemble.probabilities(Rgb8::new(80, 60, 3 * 80, &grey)?)?;
    /// assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn probabilities(&mut self, picture: Rgb8<'_>) -> Result<&[f32]> {
        self.sum.fill(0.0);
        // Models that follow each other and want the same input share it.
        let mut made = None;
        for member in &mut self.members {
            let wanted = (member.rule, member.session.side());
            if made != Some(wanted) {
                let memory = mem::replace(&mut self.cuts, Cuts::none());
                self.cuts = memory.with(picture, &wanted.0, wanted.1, self.crops)?;
                made = Some(wanted);
            }
            member.add(&self.cuts, &mut self.sum);
        }
        let count = (self.members.len() * self.crops.count()) as f64;
        for (mean, sum) in self.probabilities.iter_mut().zip(&self.sum) {
            *mean = (sum / count) as f32;
        }
        Ok(&self.probabilities)
    }

    /// The number of classes that the models have in common.
    pub fn classes(&self) -> usize {
        self.sum.len()
    }

    /// The names of these classes, in order; empty if no model has any.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The crops of a picture that the models look at.
    pub fn crops(&self) -> Crops {
        self.crops
    }

    /// The models' sessions, in order.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.members.iter().map(|member| &member.session)
    }
}

impl Member {
    /// Runs the model on all crops, and adds its probabilities to `sum`.
    fn add(&mut self, cuts: &Cuts, sum: &mut [f64]) {
        let (batch, side) = (self.session.batch(), self.session.side());
        let mut first = 0;
        while first < cuts.len() {
            let live = batch.min(cuts.len() - first);
            let inputs = self.session.input_mut().chunks_exact_mut(3 * side * side);
            (first..first + live).zip(inputs).for_each(|(index, input)| cuts.write(index, input));
            self.session.run();
            let outputs = self.session.probabilities().chunks_exact(sum.len() + self.skip);
            for output in outputs.take(live) {
                let shared = &output[self.skip..];
                let all = match self.skip {
                    0 => 1.0,
                    // The sum is 0 if the background has all the probability; the quotients below are then 0, too.
                    _ => shared.iter().map(|&p| f64::from(p)).sum::<f64>().max(f64::MIN_POSITIVE),
                };
                sum.iter_mut().zip(shared).for_each(|(sum, &p)| *sum += f64::from(p) / all);
            }
            first += live;
        }
    }
}

/// The batch of a session that looks at `count` crops on `threads` threads. It divides `count`, has at least [`ENOUGH`]
/// images where a divisor allows that, shares them evenly among the threads, and has at most `limit`.
fn batch(count: usize, threads: usize, limit: usize) -> usize {
    let divisors = (1..=count.min(limit.max(1))).filter(|batch| count.is_multiple_of(*batch));
    // The best batch has the fewest images below enough. Of several such, it leaves the busiest thread the fewest
    // images to compute in all runs together; of several such, it is the smallest, which takes the least memory.
    let cost = |&batch: &usize| {
        (ENOUGH.min(count).saturating_sub(batch), count / batch * batch.div_ceil(threads.max(1)), batch)
    };
    divisors.min_by_key(cost).expect("1 divides")
}

/// The number of images beyond which a larger batch is no faster.
const ENOUGH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_divide_the_crops_and_the_threads_share_them_evenly() {
        let cases = [
            ((1, 2, 1000), 1),
            ((10, 1, 1000), 10),
            ((10, 2, 1000), 10),
            ((144, 1, 1000), 8),
            ((144, 2, 1000), 8),
            ((144, 3, 1000), 9),
            ((144, 16, 1000), 16),
            ((144, 32, 1000), 144), // 32 threads, 5 images each; batches of 36 would leave 28 idle half the time
            ((144, 2, 4), 4),
            ((10, 2, 0), 1),
        ];
        for ((count, threads, limit), expected) in cases {
            assert_eq!(batch(count, threads, limit), expected, "{count} crops, {threads} threads, limit {limit}");
        }
    }
}
