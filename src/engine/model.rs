//! A model: weights that were checked against a network's table.

use std::path::Path;
use std::sync::Arc;

use super::{Options, Session};
use crate::image::Rule;
use crate::model::{Network, Op, googlenet};
use crate::weights::Weights;
use crate::{Error, Result};

/// Weights and the network they belong to; immutable, shared by any number of sessions and threads.
///
/// ```
/// let model = googlenet::Model::open("weights/demo.safetensors")?;
/// assert_eq!(model.labels().len(), model.network().classes);
/// assert_eq!((model.side(), model.rule().resize), (64, 64));
/// # Ok::<(), googlenet::Error>(())
/// ```
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub weights: Weights,
    pub network: Network,
    pub labels: Vec<String>,
    pub rule: Rule,
    pub side: usize,
}

impl Model {
    /// Reads the weight file at `path` into memory and checks it.
    ///
    /// # Errors
    /// If the file cannot be read, is not of the profile of `weights/FORMAT.md`, its hash does not fit, or its
    /// tensors are not exactly the network's.
    ///
    /// ```
    /// use googlenet::{Error, Model};
    ///
    /// assert_eq!(Model::open("weights/demo.safetensors")?.labels()[3], "cat");
    /// assert!(matches!(Model::open("no such file"), Err(Error::Io { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(Weights::open(path.as_ref())?)
    }

    /// The same for weights that were loaded otherwise: mapped, or linked into the program.
    ///
    /// # Errors
    /// As [`Model::open`].
    ///
    /// ```
    /// use googlenet::{Model, weights::Weights};
    ///
    /// // SAFETY: nobody writes to the file while this program runs.
    /// let mapped = unsafe { Weights::map("weights/demo.safetensors") }?;
    /// assert_eq!(Model::new(mapped)?.network().classes, 10);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn new(weights: Weights) -> Result<Self> {
        let dialect = weights.dialect()?.to_owned();
        // A file may leave its labels out; classes then have only their numbers.
        let labels = if weights.metadata().contains_key("labels") { weights.labels()? } else { Vec::new() };
        let shape = weights.tensor("loss3/classifier.bias").map(|bias| bias.shape().to_vec());
        let classes = match shape.as_deref() {
            Some(&[classes]) if classes > 0 => classes,
            _ => return Err(Error::MissingTensor { tensor: "loss3/classifier.bias".into() }),
        };
        let network = googlenet(classes);
        if dialect != network.dialect {
            return Err(Error::UnknownDialect { dialect, known: network.dialect });
        }
        if !labels.is_empty() && labels.len() != classes {
            return Err(Error::LabelCount { labels: labels.len(), classes });
        }
        let side = weights.input_side()?;
        check_side(side)?;
        check_tensors(&weights, &network, side)?;
        let rule = weights.preprocessing()?;
        Ok(Self { inner: Arc::new(Inner { weights, network, labels, rule, side }) })
    }

    /// Weights that are part of the program; copied unless they begin at a multiple of 64 bytes.
    ///
    /// # Errors
    /// As [`Model::open`].
    ///
    /// ```
    /// use googlenet::Model;
    ///
    /// #[repr(C, align(64))]
    /// struct Aligned<B: ?Sized>(B);
    /// static WEIGHTS: &Aligned<[u8]> =
    ///     &Aligned(*include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors")));
    ///
    /// assert_eq!(Model::from_static(&WEIGHTS.0)?.side(), 64);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn from_static(bytes: &'static [u8]) -> Result<Self> {
        Self::new(Weights::from_static(bytes)?)
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.inner.network
    }

    /// The weights.
    pub fn weights(&self) -> &Weights {
        &self.inner.weights
    }

    /// The names of the classes, in order; empty if the file has none.
    pub fn labels(&self) -> &[String] {
        &self.inner.labels
    }

    /// The side of the input the weights are meant for, in pixels.
    pub fn side(&self) -> usize {
        self.inner.side
    }

    /// How pictures become input.
    pub fn rule(&self) -> &Rule {
        &self.inner.rule
    }

    /// Plans and prepares a session: chooses kernels, packs weights, reserves memory, starts threads.
    ///
    /// # Errors
    /// If an option is out of range or names an unknown layer or instruction set, or threads cannot be started.
    ///
    /// ```
    /// use googlenet::{Error, Model, Options};
    ///
    /// let model = Model::open("weights/demo.safetensors")?;
    /// let session = model.session(Options::new().threads(2).batch(4))?;
    /// assert_eq!((session.threads(), session.batch(), session.side()), (2, 4, 64));
    /// let refused = model.session(Options::new().endpoint("inception_9z/output"));
    /// assert!(matches!(refused, Err(Error::UnknownLayer { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn session(&self, options: Options) -> Result<Session> {
        Session::new(self.inner.clone(), options)
    }
}

pub(super) fn check_side(side: usize) -> Result<()> {
    use crate::model::{MAX_SIDE, MIN_SIDE};
    if (MIN_SIDE..=MAX_SIDE).contains(&side) {
        return Ok(());
    }
    Err(Error::OutOfRange { option: "input side", value: side, least: MIN_SIDE, most: MAX_SIDE })
}

/// The tensors must be exactly the network's: none missing, none more, every shape right.
fn check_tensors(weights: &Weights, network: &Network, side: usize) -> Result<()> {
    let graph = network.graph(side);
    let mut expected = Vec::new();
    for node in &graph.nodes {
        let oc = node.output.channels;
        let shape = match &node.op {
            Op::Conv(s) => vec![s.oc, s.ic, s.kh, s.kw],
            Op::FullyConnected => vec![oc, graph.tensors[node.input].c],
            _ => continue,
        };
        expected.push((format!("{}.weight", node.name), shape));
        expected.push((format!("{}.bias", node.name), vec![oc]));
    }
    for (name, shape) in &expected {
        let tensor = weights.tensor(name).ok_or_else(|| Error::MissingTensor { tensor: name.clone() })?;
        if tensor.shape() != shape {
            return Err(Error::wrong_shape(name.clone(), shape, tensor.shape()));
        }
    }
    match weights.tensors().find(|tensor| !expected.iter().any(|(name, _)| name == tensor.name())) {
        Some(tensor) => Err(Error::UnexpectedTensor { tensor: tensor.name().into() }),
        None => Ok(()),
    }
}
