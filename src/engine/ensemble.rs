//! Many looks at a picture: crops, models, and the mean of what they say.

use std::mem;

use super::session::{Prediction, most_likely};
use super::{Model, Options, Session};
use crate::Result;
use crate::error::{ModelError, SessionError};
use crate::image::{Crops, Cuts, Rgb8, Rule};

/// Models that classify a picture's crops together: probabilities are averaged over crops and models.
///
/// The models may be of any dialects and sides. Some, as TensorFlow slim's, count one class more than the others, the
/// background, as class 0: beside models of one class less it is left out, and the others' probabilities made to add up
/// to 1.
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
    /// The last picture's.
    cuts: Cuts,
    labels: Vec<String>,
    /// Over crops and models.
    sum: Vec<f64>,
    probabilities: Vec<f32>,
}

struct Member {
    session: Session,
    rule: Rule,
    /// Classes before the first that all models have.
    skip: usize,
}

impl Ensemble {
    /// The most models of an ensemble.
    pub const MAX_MODELS: usize = 64;

    /// Plans a session for each model. Of `options` all counts but the batch, which follows from `crops`.
    ///
    /// # Errors
    /// [`SessionError::OutOfRange`] without models, [`ModelError::ClassCounts`] if they have not as many classes, or an
    /// error of [`Model::session`]. That the classes are the same, in one order, the caller knows: labels are the
    /// first's that has some, and may be spelled differently.
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

    /// How likely each class is.
    ///
    /// # Errors
    /// As [`Ensemble::classify`].
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
        // Models that want the same input share it.
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

    /// How many classes all models have.
    pub fn classes(&self) -> usize {
        self.sum.len()
    }

    /// Their names, in order; empty if no model has any.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Which parts of a picture are looked at.
    pub fn crops(&self) -> Crops {
        self.crops
    }

    /// The models' sessions, in order.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.members.iter().map(|member| &member.session)
    }
}

impl Member {
    /// Adds the probabilities of all crops to `sum`.
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
                    // Never 0, unless nothing but the background is likely at all.
                    _ => shared.iter().map(|&p| f64::from(p)).sum::<f64>().max(f64::MIN_POSITIVE),
                };
                sum.iter_mut().zip(shared).for_each(|(sum, &p)| *sum += f64::from(p) / all);
            }
            first += live;
        }
    }
}

/// Images of a run: a divisor of `count` of at least eight images, as many to each thread as can be, at most `limit`.
fn batch(count: usize, threads: usize, limit: usize) -> usize {
    let divisors = (1..=count.min(limit.max(1))).filter(|batch| count.is_multiple_of(*batch));
    // What is missing to enough; what a thread has to do, in images; then the least memory.
    let cost = |&batch: &usize| {
        (ENOUGH.min(count).saturating_sub(batch), count / batch * batch.div_ceil(threads.max(1)), batch)
    };
    divisors.min_by_key(cost).expect("1 divides")
}

/// Beyond this a larger batch is no faster.
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
