//! Ensembles: several models look at several crops of a picture, and their probabilities are averaged.

use std::mem;

use super::session::{Prediction, check_finite};
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
    /// What the networks' own classifiers make of a picture.
    trunk: Mean,
    /// The auxiliary heads that were asked for.
    heads: Vec<Head>,
}

/// The mean, over crops and models, of each class's probability for the last picture.
struct Mean {
    /// The sums of which the mean is made.
    sum: Vec<f64>,
    probabilities: Vec<f32>,
}

/// An auxiliary head that all models of an ensemble have.
struct Head {
    /// The endpoint that gives the head's logits.
    name: String,
    mean: Mean,
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
    /// For each auxiliary head that [`Options::endpoint`] names, probabilities are averaged, too: see
    /// [`Ensemble::head_probabilities`]. Every model must have the head.
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
        let is_head = |name: &&String| models.iter().all(|model| model.network().head_names().contains(&name.as_str()));
        let mut heads: Vec<Head> = Vec::new();
        for name in options.endpoints.iter().filter(is_head) {
            if heads.iter().all(|head| head.name != *name) {
                heads.push(Head { name: name.clone(), mean: Mean::of(classes) });
            }
        }
        Ok(Self { members, crops, cuts: Cuts::none(), labels, trunk: Mean::of(classes), heads })
    }

    /// The `top` most likely classes of a picture, most likely first.
    ///
    /// # Errors
    /// If the picture cannot be prepared: see [`prepare`](crate::image::prepare); or [`ModelError::NotFinite`] if the
    /// probabilities are none, because the weights have NaN, or numbers so large that sums overflow.
    pub fn classify(&mut self, picture: Rgb8<'_>, top: usize) -> Result<Vec<Prediction>> {
        self.probabilities(picture)?;
        Ok(Prediction::most_likely(&self.trunk.probabilities, &self.labels, top))
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
        Ok(self.probabilities_unless(picture, || false)?.expect("it is never over"))
    }

    /// As [`Ensemble::probabilities`], which takes seconds for 144 crops: before each run `is_over` is asked whether to stop,
    /// and `None` says that it did. What the heads made of the picture is then not to be asked for.
    ///
    /// # Errors
    /// The errors of [`Ensemble::classify`].
    ///
    /// ```
    /// use googlenet::image::{Crops, Rgb8};
    /// use googlenet::{Ensemble, Model, Options};
    ///
    /// let model = Model::open("weights/demo.safetensors")?;
    /// let mut ensemble = Ensemble::new(&[model], Crops::Paper, Options::new())?;
    /// let grey = vec![128; 80 * 60 * 3];
    /// let mut runs = 0;
    /// let is_over = || {
    ///     runs += 1;
    ///     runs > 2
    /// };
    /// assert_eq!(ensemble.probabilities_unless(Rgb8::new(80, 60, 3 * 80, &grey)?, is_over)?, None);
    /// assert_eq!(runs, 3);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn probabilities_unless(
        &mut self,
        picture: Rgb8<'_>,
        mut is_over: impl FnMut() -> bool,
    ) -> Result<Option<&[f32]>> {
        let means = self.heads.iter_mut().map(|head| &mut head.mean);
        means.chain([&mut self.trunk]).for_each(|mean| mean.sum.fill(0.0));
        // Models that follow each other and want the same input share it.
        let mut made = None;
        for member in &mut self.members {
            let wanted = (member.rule, member.session.side());
            if made != Some(wanted) {
                let memory = mem::replace(&mut self.cuts, Cuts::none());
                self.cuts = memory.with(picture, &wanted.0, wanted.1, self.crops)?;
                made = Some(wanted);
            }
            if !member.add(&self.cuts, &mut self.trunk.sum, &mut self.heads, &mut is_over) {
                return Ok(None);
            }
        }
        let count = (self.members.len() * self.crops.count()) as f64;
        let means = self.heads.iter_mut().map(|head| &mut head.mean);
        means.chain([&mut self.trunk]).for_each(|mean| mean.divide(count));
        check_finite(&self.trunk.probabilities)?;
        Ok(Some(&self.trunk.probabilities))
    }

    /// What the auxiliary head `name` made of the last picture: the probability of each class, which is the mean, over
    /// crops and models, of the softmax of the head's logits. `None` unless the ensemble was made with the endpoint
    /// `name`, and that is a head of its models; before the first picture all are 0.
    ///
    /// ```no_run
    /// # #[cfg(feature = "decode")] {
    /// use googlenet::image::{self, Crops};
    /// use googlenet::{Ensemble, Model, Options};
    ///
    /// let model = Model::open("googlenet.safetensors")?;
    /// let options = Options::new().endpoint("loss1").endpoint("loss2");
    /// let mut ensemble = Ensemble::new(&[model], Crops::Ten, options)?;
    /// let cat = image::open("cat.jpg")?;
    /// let trunk = ensemble.probabilities(cat.view())?.to_vec();
    /// let loss1 = ensemble.head_probabilities("loss1").expect("a head that was asked for");
    /// assert_eq!(trunk.len(), loss1.len());
    /// # }
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn head_probabilities(&self, name: &str) -> Option<&[f32]> {
        self.heads.iter().find(|head| head.name == name).map(|head| head.mean.probabilities.as_slice())
    }

    /// The number of classes that the models have in common.
    pub fn classes(&self) -> usize {
        self.trunk.sum.len()
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

impl Mean {
    fn of(classes: usize) -> Self {
        Self { sum: vec![0.0; classes], probabilities: vec![0.0; classes] }
    }

    fn divide(&mut self, count: f64) {
        for (mean, sum) in self.probabilities.iter_mut().zip(&self.sum) {
            *mean = (sum / count) as f32;
        }
    }
}

impl Member {
    /// Runs the model on all crops, and adds the probabilities of its trunk to `trunk`, those of its heads to `heads`. Returns
    /// whether it has run to the end: not if `is_over`, asked before each run, said that it is to stop.
    fn add(&mut self, cuts: &Cuts, trunk: &mut [f64], heads: &mut [Head], is_over: &mut impl FnMut() -> bool) -> bool {
        let (batch, side) = (self.session.batch(), self.session.side());
        let mut first = 0;
        while first < cuts.len() {
            if is_over() {
                return false;
            }
            let live = batch.min(cuts.len() - first);
            let inputs = self.session.input_mut().chunks_exact_mut(3 * side * side);
            (first..first + live).zip(inputs).for_each(|(index, input)| cuts.write(index, input));
            self.session.run();
            let classes = trunk.len() + self.skip;
            for output in self.session.probabilities().chunks_exact(classes).take(live) {
                add_shared(output[self.skip..].iter().map(|&p| f64::from(p)), self.skip, trunk);
            }
            for head in &mut *heads {
                let logits = self.session.endpoint(&head.name).expect("the session was made with it");
                for logits in logits.chunks_exact(classes).take(live) {
                    // The quotient of `softmax` is taken over all classes, the background among them.
                    add_shared(softmax(logits).skip(self.skip), self.skip, &mut head.mean.sum);
                }
            }
            first += live;
        }
        true
    }
}

/// Adds to `sum` the probabilities of the classes that all models have; if `skip` classes before them are left out, they
/// are scaled to add up to 1.
fn add_shared(shared: impl Iterator<Item = f64> + Clone, skip: usize, sum: &mut [f64]) {
    let all = match skip {
        0 => 1.0,
        // The sum is 0 if the background has all the probability; the quotients below are then 0, too.
        _ => shared.clone().sum::<f64>().max(f64::MIN_POSITIVE),
    };
    sum.iter_mut().zip(shared).for_each(|(sum, p)| *sum += p / all);
}

/// The softmax of `logits`, of which the largest is subtracted first, so that no exponential overflows.
fn softmax(logits: &[f32]) -> impl Iterator<Item = f64> + Clone {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponential = move |&logit: &f32| (f64::from(logit) - f64::from(largest)).exp();
    let sum: f64 = logits.iter().map(exponential).sum();
    logits.iter().map(move |logit| exponential(logit) / sum)
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
