//! The options that a session is planned for.

use googlenet_kernels::isa::{self, Isa};

use super::model::check_side;
use crate::error::SessionError;
use crate::model::Network;
use crate::plan::{self, Lent, Precision};
use crate::{Error, Result};

/// Options of a session.
///
/// ```
/// use googlenet::{Model, Options, isa};
///
/// let slowest = isa::detected().next().expect("one is always there");
/// let options = Options::new().threads(2).batch(4).side(96).isa(slowest).endpoint("pool5/7x7_s1").profile(true);
/// let mut session = Model::open("weights/demo.safetensors")?.session(options)?;
/// assert_eq!(session.input_mut().len(), 4 * 3 * 96 * 96);
/// assert_eq!(session.isa(), slowest);
/// # Ok::<(), googlenet::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    pub(super) threads: usize,
    pub(super) lent: Option<Lent>,
    pub(super) batch: usize,
    pub(super) side: Option<usize>,
    pub(super) isa: Option<Isa>,
    pub(super) precision: Precision,
    pub(super) endpoints: Vec<String>,
    pub(super) class_maps: bool,
    pub(super) profile: bool,
}

/// No buffer of a run is longer than an allocation may be, so that neither its elements nor its bytes wrap a `usize`.
const _: () = assert!(Options::MAX_PIXELS as u64 * 192 <= isize::MAX as u64);

/// The environment variable that lowers the instruction set.
const ISA_VARIABLE: &str = "GOOGLENET_ISA";

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The largest number of threads that a session takes.
    pub const MAX_THREADS: usize = 256;

    /// The largest batch.
    pub const MAX_BATCH: usize = 4096;

    /// The largest number of input pixels in a run, `batch * side * side`: four images of 4096x4096 or 1337 of 224x224. Where
    /// addresses have 32 bits only, it is one image of 2048x2048 or 83 of 224x224.
    ///
    /// The input takes 12 bytes a pixel, the activations some 115 a pixel of the images that are computed at once, an
    /// endpoint at most 192: without endpoints a session needs less than 8 GiB, and less than 0.5 GiB with addresses of
    /// 32 bits.
    pub const MAX_PIXELS: usize = if usize::BITS < 64 { 1 << 22 } else { 1 << 26 };

    /// Options for one thread, one image, the weights' input side and the best instruction set of this machine.
    pub fn new() -> Self {
        Self {
            threads: 1,
            lent: None,
            batch: 1,
            side: None,
            isa: None,
            precision: Precision::F32,
            endpoints: Vec::new(),
            class_maps: false,
            profile: false,
        }
    }

    /// Sets how many threads work on a run, 1 to 256. If a run has at least as many images as threads, each thread
    /// takes whole images.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Makes the session run on the threads of `pool` instead of threads of its own: on as many as the pool has, at
    /// most 256, or on as many as a later [`Options::threads`] says.
    ///
    /// The pool is used during runs, and while the session is made. Any number of its threads can finish a run, so
    /// sessions may share the pool; but as with any work that is handed to rayon, a run from outside the pool begins
    /// when one of its threads is free, and a run from inside may steal other work of the pool while it waits: its
    /// caller must hold no lock that such work takes. With one thread the session runs on the thread that calls it.
    /// rayon itself may allocate when it is called from outside the pool; runs from inside it allocate nothing.
    ///
    /// This function needs the feature `rayon`.
    ///
    /// ```
    /// use googlenet::{Model, Options, rayon};
    /// use std::sync::Arc;
    ///
    /// let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build()?);
    /// let model = Model::open("weights/demo.safetensors")?;
    /// let mut sessions = [0; 3].map(|_| model.session(Options::new().pool(pool.clone())).expect("a session"));
    /// for session in &mut sessions {
    ///     session.run();
    ///     assert_eq!(session.threads(), 2);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "rayon")]
    pub fn pool(mut self, pool: std::sync::Arc<rayon::ThreadPool>) -> Self {
        self.threads = pool.current_num_threads().min(Self::MAX_THREADS);
        self.lent = Some(Lent::pool(pool));
        self
    }

    /// Makes the session run on `threads` threads that `parallel_for` provides, instead of threads of its own.
    ///
    /// `parallel_for(count, body)` should call `body(0)`, ... `body(count - 1)` on as many threads as it can, and
    /// return when all have returned. It may make fewer calls, or none, or one after the other: the calling thread then
    /// does what is left undone. The session calls it while it is made, and then once a run, or once an image if a run
    /// has fewer images than threads; a session of one thread never calls it.
    ///
    /// ```
    /// use googlenet::{Model, Options};
    ///
    /// let scoped = |count: usize, body: &(dyn Fn(usize) + Sync)| {
    ///     std::thread::scope(|scope| (1..count).for_each(|i| drop(scope.spawn(move || body(i)))));
    /// };
    /// let model = Model::open("weights/demo.safetensors")?;
    /// let mut session = model.session(Options::new().parallel_for(2, scoped))?;
    /// session.run();
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn parallel_for(
        mut self,
        threads: usize,
        parallel_for: impl Fn(usize, &(dyn Fn(usize) + Sync)) + Send + Sync + 'static,
    ) -> Self {
        self.threads = threads;
        self.lent = Some(Lent::new(parallel_for));
        self
    }

    /// Sets how many images a run takes, 1 to 4096; together they have at most [`Options::MAX_PIXELS`] pixels.
    ///
    /// Every plan is batch invariant: an image's results have the same bits in any batch, as the choice of kernels does
    /// not depend on it. The price is that a batch cannot choose kernels that only pay with several images at a time.
    pub fn batch(mut self, batch: usize) -> Self {
        self.batch = batch;
        self
    }

    /// Sets the input side in pixels, 32 to 4096; by default it is the weights' own.
    pub fn side(mut self, side: usize) -> Self {
        self.side = Some(side);
        self
    }

    /// Sets the instruction set; by default it is the one that the environment variable `GOOGLENET_ISA` names, or else
    /// the best of this machine. Where that variable is empty it counts as not set.
    pub fn isa(mut self, isa: Isa) -> Self {
        self.isa = Some(isa);
        self
    }

    /// Sets the precision, by default [`Precision::F32`]. Every instruction set computes in every precision, but not every
    /// machine has instructions that make a lower one faster: [`Session::describe`](super::Session::describe) says what
    /// each layer is computed with. What the caller reads is f32 in any precision.
    ///
    /// ```
    /// use googlenet::{Model, Options, Precision};
    ///
    /// let model = Model::open("weights/demo.safetensors")?;
    /// let session = model.session(Options::new().precision(Precision::Bf16))?;
    /// assert_eq!(session.precision(), Precision::Bf16);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Keeps the output of the layer `name` for [`super::Session::endpoint`]; a session may keep several layers'
    /// outputs.
    ///
    /// Layers have the names of the Caffe model, as `googlenet cost` lists them. A module's name stands for its output
    /// (`inception_4e` for `inception_4e/output`). What a layer's name has before its slash stands for the layer, if
    /// only one layer's name begins so: `pool5` is `pool5/7x7_s1`, the 1024 features that the classifier sees. `loss1`
    /// and `loss2` are the logits of the auxiliary heads. A head is computed only if it or one of its layers is asked
    /// for; the weights must include it, and the input side must leave it a map of the size that it is made for, as 224
    /// does.
    pub fn endpoint(mut self, name: impl Into<String>) -> Self {
        self.endpoints.push(name.into());
        self
    }

    /// Whether to keep what [`super::Session::class_map`] needs: the map whose channels' means are classified, 200 KB
    /// for an image of 224x224.
    pub fn class_maps(mut self, class_maps: bool) -> Self {
        self.class_maps = class_maps;
        self
    }

    /// Whether to measure each layer's time, for [`super::Session::profile`]. WebAssembly in a browser has no clock that
    /// Rust's standard library could read: nothing is measured there.
    pub fn profile(mut self, profile: bool) -> Self {
        self.profile = profile && !cfg!(all(target_family = "wasm", target_os = "unknown"));
        self
    }

    /// How many threads will work on a run, the caller's included.
    ///
    /// ```
    /// use googlenet::Options;
    ///
    /// assert_eq!(Options::new().thread_count(), 1);
    /// assert_eq!(Options::new().threads(3).thread_count(), 3);
    /// ```
    #[must_use]
    pub fn thread_count(&self) -> usize {
        self.threads
    }

    /// Whether a session made with these options starts threads of its own, which a `fork` would leave behind: with
    /// one thread, or where the caller lends threads, it starts none.
    ///
    /// ```
    /// use googlenet::Options;
    ///
    /// assert!(Options::new().threads(2).starts_threads());
    /// assert!(!Options::new().starts_threads());
    /// assert!(!Options::new().parallel_for(2, |count, body| (0..count).for_each(body)).starts_threads());
    /// ```
    #[must_use]
    pub fn starts_threads(&self) -> bool {
        self.threads > 1 && self.lent.is_none()
    }

    /// The size in bytes of the arena that holds one image's activations in a session of these options that keeps
    /// neither endpoints nor class maps: see [`Session::arena_bytes`](super::Session::arena_bytes). It takes no weights
    /// to tell; in int8 it is that of weights of which all layers were quantised.
    ///
    /// # Errors
    /// If `network` does not run at the side, the number of threads is out of range, or the instruction set is not there.
    ///
    /// ```
    /// use googlenet::{Model, Options, model::googlenet};
    ///
    /// let session = Model::open("weights/demo.safetensors")?.session(Options::new())?;
    /// assert_eq!(Options::new().side(64).arena_bytes(&googlenet(10))?, session.arena_bytes());
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn arena_bytes(&self, network: &Network) -> Result<usize> {
        let (side, isa, sharing) = self.planned_for(network)?;
        Ok(plan::arena_bytes(network.graph(side), isa, self.precision, sharing))
    }

    /// All of the plan of such a session, to be drawn; and the instruction set.
    #[cfg(feature = "cli")]
    pub(crate) fn overview(&self, network: &Network) -> Result<(plan::Overview, Isa)> {
        let (side, isa, sharing) = self.planned_for(network)?;
        Ok((plan::overview_of(network.graph(side), isa, self.precision, sharing), isa))
    }

    /// The side, the instruction set, and the number of threads that share an image.
    fn planned_for(&self, network: &Network) -> Result<(usize, Isa, usize)> {
        let side = self.side.unwrap_or(network.side);
        check_side(network, side)?;
        if !(1..=Self::MAX_THREADS).contains(&self.threads) {
            let (value, most) = (self.threads, Self::MAX_THREADS);
            return Err(SessionError::OutOfRange { option: "threads", value, least: 1, most }.into());
        }
        let sharing = if self.batch < self.threads { self.threads } else { 1 };
        Ok((side, self.chosen_isa()?, sharing))
    }

    /// The instruction set that a session with these options uses: the one that they name, else the one that `GOOGLENET_ISA`
    /// names, else the best. An empty variable, as a shell leaves one that was meant to be taken away, names none.
    ///
    /// # Errors
    /// [`SessionError::InstructionSet`] if `GOOGLENET_ISA` names one that this machine does not have.
    ///
    /// ```
    /// use googlenet::{Options, isa};
    ///
    /// assert_eq!(Options::new().isa(isa::best()).chosen_isa()?, isa::best());
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn chosen_isa(&self) -> Result<Isa> {
        match (self.isa, std::env::var_os(ISA_VARIABLE).filter(|name| !name.is_empty())) {
            (Some(isa), _) => Ok(isa),
            (None, Some(name)) => named(&name.to_string_lossy()),
            (None, None) => Ok(isa::best()),
        }
    }
}

fn named(name: &str) -> Result<Isa> {
    isa::detected().find(|isa| isa.name() == name).ok_or_else(|| {
        Error::Session(SessionError::InstructionSet {
            name: name.into(),
            known: isa::NAMES.contains(&name),
            available: isa::detected().map(Isa::name).collect(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_more_pixels_than_addresses_allow_are_refused() {
        let model = crate::Model::open("weights/demo.safetensors").expect("the demonstration weights");
        let side = 4096;
        let batch = Options::MAX_PIXELS / (side * side) + 1;
        let error = model.session(Options::new().side(side).batch(batch)).err().expect("too many pixels");
        assert!(error.to_string().contains("4096x4096"), "{error}");
    }

    #[test]
    fn sets_are_named_exactly_and_only_if_the_cpu_has_them() {
        for isa in isa::detected() {
            assert_eq!(named(isa.name()).expect("detected"), isa);
        }
        for name in ["", "AVX2", "sse9"] {
            assert!(
                matches!(named(name), Err(Error::Session(SessionError::InstructionSet { known: false, .. }))),
                "{name}"
            );
        }
        let absent = isa::NAMES.into_iter().find(|&name| isa::detected().all(|isa| isa.name() != name));
        let absent = absent.expect("no CPU has all sets");
        assert!(
            matches!(named(absent), Err(Error::Session(SessionError::InstructionSet { known: true, .. }))),
            "{absent}"
        );
    }
}
