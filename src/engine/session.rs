//! A session: a plan with its memory and threads, ready to run.

use std::sync::Arc;

use googlenet_kernels::isa::Isa;

use super::Options;
use super::class_map::{LinearEnd, linear_end};
use super::model::{Inner, check_precision, check_side};
use super::names;
use crate::Result;
use crate::error::{ModelError, SessionError};
use crate::image::{self, Rgb8, Rule};
use crate::model::{Head, Network};
use crate::plan::{LayerTime, Plan, Precision, Request, StepDescription, Trace};

/// A plan for a number of threads, a batch and an input side, with everything a run needs.
///
/// A session's own threads, if it has any, end when it is dropped. They do not follow a `fork`: in the child process
/// only a session of one thread, or one on lent threads that exist there, can run or be dropped. Threads of a rayon
/// pool do not exist there.
///
/// To build a session is slow and may fail; a run is fast and cannot fail. It allocates nothing, and makes no system
/// calls but those by which threads that wait yield, park and wake. The same weights on the same instruction set give
/// the same bits, whatever the number of threads, the image's position in a batch, or the run.
///
/// ```
/// use googlenet::{Model, Options};
///
/// let mut session = Model::open("weights/demo.safetensors")?.session(Options::new())?;
/// session.input_mut().fill(0.5);
/// session.run();
/// assert_eq!(session.logits().len(), 10);
/// # Ok::<(), googlenet::Error>(())
/// ```
pub struct Session {
    pub(super) model: Arc<Inner>,
    plan: Plan,
    isa: Isa,
    threads: usize,
    batch: usize,
    /// What the plan keeps, in the plan's order: logits, probabilities, the endpoints that were asked for, and the map
    /// of class maps.
    outputs: Vec<Output>,
    /// What class maps are made of, if they were asked for and the network allows them.
    pub(super) linear_end: Option<LinearEnd>,
    /// The index in `outputs` of the map that class maps are made of.
    map: Option<usize>,
}

/// One activation, or channels of it, that the plan keeps after each run.
struct Output {
    /// The name by which the caller asks for it; `None` if it is kept for class maps alone.
    name: Option<String>,
    /// The shape for one image, `[c, h, w]`.
    shape: [usize; 3],
}

/// One class and how likely it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The class, counted from 0.
    pub index: usize,
    /// The class's name; empty if the weights have no labels.
    pub label: String,
    /// The class's probability, 0 to 1; the probabilities of all classes add up to 1.
    pub probability: f32,
}

/// The names of the heads that `endpoints` ask for, themselves or one of their layers; no other head is computed.
fn heads(network: &Network, side: usize, endpoints: &[String]) -> Result<Vec<&'static str>> {
    let is_of = |endpoint: &String, head: &Head| {
        endpoint == head.name || head.layers.iter().any(|layer| layer.name() == endpoint)
    };
    let asked = |head: &&Head| endpoints.iter().any(|endpoint| is_of(endpoint, head));
    let heads: Vec<_> = network.heads.iter().filter(asked).map(|head| head.name).collect();
    match heads.iter().find(|head| !network.head_fits(head, side)) {
        Some(head) => Err(SessionError::HeadSide { head, side }.into()),
        None => Ok(heads),
    }
}

/// Fails unless `probabilities` are numbers.
pub(super) fn check_finite(probabilities: &[f32]) -> Result<()> {
    match probabilities.iter().all(|probability| probability.is_finite()) {
        true => Ok(()),
        false => Err(ModelError::NotFinite.into()),
    }
}

impl Prediction {
    /// The `top` most likely classes by their `probabilities`, most likely first; of equally likely classes the one with the
    /// lowest index comes first. A class that has none of the `labels` gets an empty one.
    ///
    /// ```
    /// use googlenet::Prediction;
    ///
    /// let labels = ["cat".to_owned(), "dog".to_owned()];
    /// let top = Prediction::most_likely(&[0.25, 0.5, 0.25], &labels, 2);
    /// assert_eq!((top[0].label.as_str(), top[1].index), ("dog", 0));
    /// ```
    pub fn most_likely(probabilities: &[f32], labels: &[String], top: usize) -> Vec<Self> {
        let mut order: Vec<(usize, f32)> = probabilities.iter().copied().enumerate().collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        order.truncate(top);
        let label = |index: usize| labels.get(index).cloned().unwrap_or_default();
        order.into_iter().map(|(index, probability)| Self { index, label: label(index), probability }).collect()
    }
}

impl Session {
    pub(super) fn new(model: Arc<Inner>, options: Options) -> Result<Self> {
        let in_range = |option, value, most| match value {
            1.. if value <= most => Ok(()),
            _ => Err(SessionError::OutOfRange { option, value, least: 1, most }),
        };
        in_range("threads", options.threads, Options::MAX_THREADS)?;
        in_range("batch", options.batch, Options::MAX_BATCH)?;
        let side = options.side.unwrap_or(model.description.side);
        check_side(&model.network, side)?;
        if options.batch.saturating_mul(side * side) > Options::MAX_PIXELS {
            return Err(SessionError::TooManyPixels { batch: options.batch, side, limit: Options::MAX_PIXELS }.into());
        }
        check_precision(&model.weights, options.precision)?;
        let isa = options.chosen_isa()?;
        let graph = model.network.graph_with(side, &heads(&model.network, side, &options.endpoints)?);
        let roles = &model.network.roles;
        let mut outputs = vec![
            (Some(roles.logits.clone()), graph.logits()),
            (Some(roles.probabilities.clone()), graph.probabilities()),
        ];
        for name in &options.endpoints {
            let place = names::find(&graph, name).ok_or_else(|| SessionError::UnknownLayer { layer: name.clone() })?;
            if !outputs.iter().any(|(known, _)| known.as_ref() == Some(name)) {
                outputs.push((Some(name.clone()), place));
            }
        }
        let linear_end = options.class_maps.then(|| linear_end(&model.network, &graph)).flatten();
        let map = linear_end.as_ref().map(|end| {
            outputs.push((None, end.map));
            outputs.len() - 1
        });
        let request = Request {
            graph,
            isa,
            precision: options.precision,
            weights: &model.weights,
            cache: &model.cache,
            threads: options.threads,
            lent: options.lent,
            batch: options.batch,
            keep: outputs.iter().map(|&(_, place)| place).collect(),
            profile: options.profile,
        };
        let plan = Plan::build(request)?;
        let output = |(name, place)| Output { name, shape: plan.graph().shape(place) };
        let outputs = outputs.into_iter().map(output).collect();
        Ok(Self { model, plan, isa, threads: options.threads, batch: options.batch, outputs, linear_end, map })
    }

    /// The input of the next run, `[batch, 3, side, side]`, preprocessed; it keeps its values between runs.
    ///
    /// ```
    /// # use googlenet::{Model, Options};
    /// let mut session = Model::open("weights/demo.safetensors")?.session(Options::new().batch(2))?;
    /// for (image, input) in session.input_mut().chunks_exact_mut(3 * 64 * 64).enumerate() {
    ///     input.fill(image as f32);
    /// }
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn input_mut(&mut self) -> &mut [f32] {
        self.plan.input_mut()
    }

    /// A pointer to the values of [`Session::input_mut`], for callers that keep it: it may be read and written as long as
    /// the session lives and while nothing else is called on the session, which may have been moved meanwhile. A pointer
    /// that is made of the slice must not be used any more once the slice is asked for again.
    pub fn input_pointer(&mut self) -> *mut f32 {
        self.plan.input_pointer()
    }

    /// Runs the network on every image of the batch.
    ///
    /// ```
    /// # use googlenet::{Model, Options};
    /// let mut session = Model::open("weights/demo.safetensors")?.session(Options::new().batch(2))?;
    /// session.input_mut().fill(0.5);
    /// session.run();
    /// let (first, second) = session.logits().split_at(10);
    /// assert_eq!(first, second);
    /// let sum: f32 = session.probabilities()[..10].iter().sum();
    /// assert!((sum - 1.0).abs() < 1e-5);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn run(&mut self) {
        self.plan.run();
    }

    /// The last run's logits, `[batch, classes]`.
    pub fn logits(&self) -> &[f32] {
        self.plan.output(0)
    }

    /// The last run's probabilities, `[batch, classes]`.
    pub fn probabilities(&self) -> &[f32] {
        self.plan.output(1)
    }

    /// The last run's output of the layer `name`, `[batch, c, h, w]`, if it was asked for when the session was made.
    ///
    /// ```
    /// # use googlenet::{Model, Options};
    /// let model = Model::open("weights/demo.safetensors")?;
    /// let mut session = model.session(Options::new().endpoint("pool5/7x7_s1"))?;
    /// session.run();
    /// assert_eq!(session.endpoint_shape("pool5/7x7_s1"), Some([1024, 1, 1]));
    /// assert_eq!(session.endpoint("pool5/7x7_s1").map(<[f32]>::len), Some(1024));
    /// assert_eq!(session.endpoint("inception_4e/output"), None);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn endpoint(&self, name: &str) -> Option<&[f32]> {
        self.index(name).map(|index| self.plan.output(index))
    }

    /// What [`Session::endpoint`] answers, without a copy and to be kept: later runs leave these values as they are. A run
    /// while somebody holds them writes into other memory, which it allocates at its end.
    ///
    /// ```
    /// # use googlenet::{Model, Options};
    /// let mut session = Model::open("weights/demo.safetensors")?.session(Options::new())?;
    /// session.run();
    /// let first = session.shared_endpoint("prob").expect("kept by every session");
    /// assert_eq!(first.as_ptr(), session.probabilities().as_ptr());
    /// let copy = first.to_vec();
    /// session.input_mut().fill(0.5);
    /// session.run();
    /// assert_eq!(*first, copy);
    /// assert_ne!(*first, session.probabilities());
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn shared_endpoint(&self, name: &str) -> Option<Arc<Vec<f32>>> {
        self.index(name).map(|index| self.plan.shared_output(index))
    }

    /// The shape for one image, `[c, h, w]`, of what [`Session::endpoint`] answers for the layer `name`.
    pub fn endpoint_shape(&self, name: &str) -> Option<[usize; 3]> {
        self.index(name).map(|index| self.outputs[index].shape)
    }

    /// The index of the output that the caller calls `name`.
    fn index(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|output| output.name.as_deref() == Some(name))
    }

    /// The map that class maps are made of: its shape for one image, `[c, h, w]`, and its values in the last run.
    pub(super) fn map_output(&self) -> Option<([usize; 3], &[f32])> {
        self.map.map(|index| (self.outputs[index].shape, self.plan.output(index)))
    }

    /// The `top` most likely classes of a picture, most likely first. The picture becomes the first image of the batch.
    ///
    /// # Errors
    /// If the picture cannot be prepared: see [`image::prepare`]; or those of [`Session::predictions`].
    ///
    /// ```
    /// # #[cfg(feature = "decode")] {
    /// use googlenet::{Model, Options, image};
    ///
    /// let mut session = Model::open("weights/demo.safetensors")?.session(Options::new())?;
    /// let top = session.classify(image::open("weights/chelsea.png")?.view(), 3)?;
    /// assert_eq!((top.len(), top[0].index, top[0].label.as_str()), (3, 3, "cat"));
    /// # }
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn classify(&mut self, picture: Rgb8<'_>, top: usize) -> Result<Vec<Prediction>> {
        let side = self.side();
        let rule = self.model.description.rule;
        image::prepare(picture, &rule, side, &mut self.plan.input_mut()[..3 * side * side])?;
        self.run();
        self.predictions(0, top)
    }

    /// The `top` most likely classes of one image of the last run, most likely first; `image` counts from 0.
    ///
    /// # Errors
    /// [`ModelError::NotFinite`] if the probabilities are none: the weights have NaN, or numbers so large that sums overflow, or
    /// the caller's input has.
    ///
    /// # Panics
    /// If the batch has no such image.
    ///
    /// ```
    /// # use googlenet::{Model, Options};
    /// let mut session = Model::open("weights/demo.safetensors")?.session(Options::new().batch(2))?;
    /// session.input_mut().fill(0.5); // two images
    /// session.run();
    /// let [first, second] = [session.predictions(0, 3)?, session.predictions(1, 3)?];
    /// assert_eq!((first.len(), &first), (3, &second));
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn predictions(&self, image: usize, top: usize) -> Result<Vec<Prediction>> {
        assert!(image < self.batch, "image {image} of a batch of {}", self.batch);
        let classes = self.model.network.classes;
        let probabilities = &self.probabilities()[image * classes..][..classes];
        check_finite(probabilities)?;
        Ok(Prediction::most_likely(probabilities, &self.model.description.labels, top))
    }

    /// The side of the session's input, in pixels.
    pub fn side(&self) -> usize {
        self.plan.graph().activations[0].h
    }

    /// The rule by which pictures become the session's input.
    pub fn rule(&self) -> &Rule {
        &self.model.description.rule
    }

    /// The number of images in a run.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The number of threads that work on a run.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The instruction set that the plan was made for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The precision that the plan was made for.
    pub fn precision(&self) -> Precision {
        self.plan.precision()
    }

    /// What a weight file must be packed for, so that this session uses its packed weights where they lie: see
    /// [`Model::pack`](super::Model::pack).
    pub fn packing(&self) -> &str {
        self.plan.packing()
    }

    /// Whether the session uses the file's packed weights where they lie, and has packed none in memory.
    pub fn uses_packed_file(&self) -> bool {
        self.plan.uses_packed_file()
    }

    /// The size in bytes of the arena that holds one image's activations.
    pub fn arena_bytes(&self) -> usize {
        self.plan.arena_bytes()
    }

    /// The size in bytes of what a run works in: the input, the outputs, scratch for each thread, and an arena, or one
    /// for each thread if threads take whole images. Beside these and the packed weights, which sessions share, a
    /// session needs some 60 KiB.
    ///
    /// ```
    /// # use googlenet::{Model, Options};
    /// let session = Model::open("weights/demo.safetensors")?.session(Options::new())?;
    /// assert!(session.memory_bytes() > session.arena_bytes());
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn memory_bytes(&self) -> usize {
        self.plan.memory_bytes(self.threads)
    }

    /// The plan's steps, phase by phase.
    ///
    /// ```
    /// # use googlenet::{Model, Options};
    /// let session = Model::open("weights/demo.safetensors")?.session(Options::new())?;
    /// let steps = session.describe();
    /// assert!(steps.iter().any(|step| step.layers.contains("conv1/7x7_s2")));
    /// assert!(steps.windows(2).all(|pair| pair[0].phase <= pair[1].phase));
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn describe(&self) -> Vec<StepDescription> {
        self.plan.describe()
    }

    /// Each step's time since the last reset; empty unless [`Options::profile`] was set.
    ///
    /// ```
    /// # use googlenet::{Model, Options};
    /// let mut session = Model::open("weights/demo.safetensors")?.session(Options::new().profile(true))?;
    /// session.run(); // warms up
    /// session.reset_profile();
    /// session.run();
    /// let nanoseconds: u64 = session.profile().iter().map(|layer| layer.nanoseconds).sum();
    /// assert!(nanoseconds > 0);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn profile(&self) -> Vec<LayerTime> {
        self.plan.profile()
    }

    /// Sets the times of [`Session::profile`] back to zero.
    pub fn reset_profile(&mut self) {
        self.plan.reset_profile();
    }

    /// Records what each thread does in the next `runs` runs, for [`Session::trace`]; later ones are not recorded, and an
    /// earlier recording is dropped. With 0 nothing is recorded any more.
    ///
    /// All memory for it is had here, so that runs allocate nothing: for each thread and image of the batch 32 bytes for
    /// each task of the plan, some 22 KiB for GoogLeNet on two threads. A recorded run takes less than 1 % longer.
    /// WebAssembly in a browser has no clock that Rust's standard library could read: nothing is recorded there.
    ///
    /// # Errors
    /// If that memory cannot be had. Then nothing is recorded.
    ///
    /// ```
    /// use googlenet::{Activity, Model, Options};
    ///
    /// let mut session = Model::open("weights/demo.safetensors")?.session(Options::new().threads(2))?;
    /// session.run(); // warms up
    /// session.record(1)?;
    /// session.run();
    /// session.run();
    /// let trace = session.trace();
    /// assert_eq!((trace.runs.len(), trace.threads), (1, 2));
    /// let first = trace.slices.iter().find_map(|slice| match slice.activity {
    ///     Activity::Task { step, .. } => Some(&trace.steps[step]),
    ///     _ => None,
    /// });
    /// assert!(first.is_some_and(|step| step.layers.contains("conv1/7x7_s2")));
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn record(&mut self, runs: usize) -> Result<()> {
        let has_clock = !cfg!(all(target_family = "wasm", target_os = "unknown"));
        self.plan.record(if has_clock { runs } else { 0 }, self.threads)
    }

    /// What was recorded since the last [`Session::record`]; empty without one.
    pub fn trace(&self) -> Trace {
        self.plan.trace(self.threads)
    }

    /// All of the plan, to be drawn.
    #[cfg(feature = "cli")]
    pub(crate) fn overview(&self) -> crate::plan::Overview {
        self.plan.overview()
    }
}
