//! A model: weights that were checked against a network's table.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::{Description, Options, Session, quantisation};
use crate::Result;
use crate::error::{ModelError, SessionError, TensorError};
use crate::image::Rule;
use crate::model::{Head, Network};
use crate::plan::{Cache, Precision};
use crate::weights::{INT8, PACKED, PACKING, Weights};

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
    pub(super) inner: Arc<Inner>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { network, description, .. } = &*self.inner;
        f.debug_struct("Model")
            .field("dialect", &description.dialect.name())
            .field("side", &description.side)
            .field("classes", &network.classes)
            .finish_non_exhaustive()
    }
}

/// What all clones of a model, and its sessions, share.
pub(super) struct Inner {
    pub weights: Arc<Weights>,
    pub network: Network,
    pub description: Description,
    /// The packed weights and the schedules that the model's sessions share.
    pub cache: Cache,
}

impl Model {
    /// Reads the weight file at `path` into memory and checks it.
    ///
    /// # Errors
    /// If the file cannot be read or is not as `weights/FORMAT.md` asks, if its hash does not fit, if its tensors are
    /// not exactly the network's, or if the network does not run at the file's input side.
    ///
    /// ```
    /// use googlenet::{Error, Model, error::FileError};
    ///
    /// assert_eq!(Model::open("weights/demo.safetensors")?.labels()[3], "cat");
    /// assert!(matches!(Model::open("no such file"), Err(Error::File(FileError::Io { .. }))));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(Weights::open(path.as_ref())?)
    }

    /// Maps the weight file at `path` instead of reading it, and checks it.
    ///
    /// The file's pages are shared by all processes that map it, and the system may drop them. If [`Model::pack`] wrote
    /// the file for plans such as a session's, the session uses the packed weights where they lie; otherwise it packs
    /// the weights into memory of its own. Only the header of a packed file is checked, until a session cannot use its
    /// packed weights: see [`Weights::verify`].
    ///
    /// This function needs the feature `mmap`.
    ///
    /// # Safety
    /// The caller promises what [`Weights::map`] asks for: until the model, its clones, its sessions and its ensembles are
    /// dropped, nobody may write to the file or truncate it, neither this process nor any other. Replacing it by rename is
    /// harmless.
    ///
    /// # Errors
    /// The errors of [`Model::open`].
    ///
    /// ```
    /// use googlenet::Model;
    ///
    /// // SAFETY: nobody writes to the file while this program runs.
    /// let model = unsafe { Model::map("weights/demo.safetensors") }?;
    /// assert_eq!(model.labels()[3], "cat");
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    #[cfg(feature = "mmap")]
    #[allow(unsafe_code, reason = "hands the caller's promise on to `Weights::map`")]
    pub unsafe fn map(path: impl AsRef<Path>) -> Result<Self> {
        // SAFETY: the caller promises what `Weights::map` asks for.
        Self::new(unsafe { Weights::map(path) }?)
    }

    /// Makes a model of weights that are loaded already, and checks it as [`Model::open`] does.
    ///
    /// # Errors
    /// The errors of [`Model::open`].
    ///
    /// ```
    /// use googlenet::{Model, weights::Weights};
    ///
    /// let weights = Weights::from_vec(std::fs::read("weights/demo.safetensors").expect("it is there"))?;
    /// assert_eq!(Model::new(weights)?.network().classes, 10);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn new(weights: Weights) -> Result<Self> {
        let description = Description::read(weights.metadata())?;
        let classes = classes(&weights, &description.dialect.network(1))?;
        let mut network = description.dialect.network_with_heads(classes);
        // A head is part of the network if the file has the head's last tensor; the file must then have all of the
        // head's.
        let is_there = |head: &Head| weights.tensor(&format!("{}.bias", head.logits())).is_some();
        network.heads.retain(is_there);
        Self::with_network(weights, network)
    }

    /// Makes a model of weights of a network that the caller has a table of. The file's metadata describe the input as
    /// those of any weight file do; the dialect that they name must be the table's.
    ///
    /// # Panics
    /// If the table makes no sense, as [`Network::graph`] says.
    ///
    /// # Errors
    /// The errors of [`Model::open`]; the tensors must be exactly those of [`Network::parameters`], and there must be a
    /// class, or it is [`ModelError::NoClasses`].
    ///
    /// ```
    /// use googlenet::{Model, model::googlenet, weights::Weights};
    ///
    /// let weights = Weights::open("weights/demo.safetensors")?;
    /// assert_eq!(Model::with_network(weights, googlenet(10))?.network().roles.logits, "loss3/classifier");
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn with_network(weights: Weights, network: Network) -> Result<Self> {
        if network.classes == 0 {
            return Err(ModelError::NoClasses.into());
        }
        let description = Description::read(weights.metadata())?;
        description.fits(&network)?;
        check_tensors(&weights, &network)?;
        let (weights, cache) = (Arc::new(weights), Cache::default());
        Ok(Self { inner: Arc::new(Inner { weights, network, description, cache }) })
    }

    /// Makes a model of weights that are part of the program. They are copied unless they begin at a multiple of 64
    /// bytes, as those of [`include_weights!`](crate::include_weights) do.
    ///
    /// # Errors
    /// The errors of [`Model::open`].
    ///
    /// ```
    /// use googlenet::{Model, include_weights};
    ///
    /// static WEIGHTS: &[u8] = include_weights!(concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors"));
    ///
    /// assert_eq!(Model::from_static(WEIGHTS)?.side(), 64);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn from_static(bytes: &'static [u8]) -> Result<Self> {
        Self::new(Weights::from_static(bytes)?)
    }

    /// The table of the network that the weights belong to.
    pub fn network(&self) -> &Network {
        &self.inner.network
    }

    /// The weights that the model was made of.
    pub fn weights(&self) -> &Weights {
        &self.inner.weights
    }

    /// The names of the classes, in order; empty if the file has none.
    pub fn labels(&self) -> &[String] {
        &self.inner.description.labels
    }

    /// The side of the input that the weights are meant for, in pixels.
    pub fn side(&self) -> usize {
        self.inner.description.side
    }

    /// The rule by which pictures become input.
    pub fn rule(&self) -> &Rule {
        &self.inner.description.rule
    }

    /// Plans and prepares a session: chooses kernels, packs weights, reserves memory, starts threads.
    ///
    /// Packed weights are shared by all sessions of the model that use the same kernels, as long as one of them lives.
    ///
    /// # Errors
    /// If an option is out of range or names an unknown layer or instruction set, if threads cannot be started, or if a
    /// mapped packed file, whose hash was not checked, is damaged and its packed weights do not fit this session.
    ///
    /// ```
    /// use googlenet::{Error, Model, Options, error::SessionError};
    ///
    /// let model = Model::open("weights/demo.safetensors")?;
    /// let session = model.session(Options::new().threads(2).batch(4))?;
    /// assert_eq!((session.threads(), session.batch(), session.side()), (2, 4, 64));
    /// let refused = model.session(Options::new().endpoint("inception_9z/output"));
    /// assert!(matches!(refused, Err(Error::Session(SessionError::UnknownLayer { .. }))));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn session(&self, options: Options) -> Result<Session> {
        Session::new(self.inner.clone(), options)
    }
}

/// Checks that `network` can run at the input side `side`.
pub(super) fn check_side(network: &Network, side: usize) -> Result<()> {
    use crate::model::{MAX_SIDE, MIN_SIDE};
    if !(MIN_SIDE..=MAX_SIDE).contains(&side) {
        let error = SessionError::OutOfRange { option: "input side", value: side, least: MIN_SIDE, most: MAX_SIDE };
        return Err(error.into());
    }
    match network.fits(side) {
        true => Ok(()),
        false => Err(SessionError::NetworkSide { network: network.name, own: network.side, side }.into()),
    }
}

/// Checks that weights can be computed with in `precision`.
pub(super) fn check_precision(weights: &Weights, precision: Precision) -> Result<()> {
    match precision {
        Precision::Bf16 | Precision::Int8 if cfg!(googlenet_f32_only) => {
            Err(SessionError::LeftOut { precision }.into())
        }
        Precision::Int8 if !weights.metadata().contains_key(INT8) => Err(SessionError::NotQuantised.into()),
        _ => Ok(()),
    }
}

/// The number of classes: as many as the bias of the layer that gives the logits has elements.
fn classes(weights: &Weights, network: &Network) -> Result<usize> {
    let tensor = format!("{}.bias", network.roles.logits);
    match weights.tensor(&tensor).map(|bias| bias.shape()) {
        Some(&[0]) => Err(TensorError::ImpossibleShape { tensor, shape: vec![0] }.into()),
        Some(&[classes]) => Ok(classes),
        Some(found) => Err(TensorError::wrong_shape(tensor, &[None], found).into()),
        None => Err(TensorError::Missing { tensor }.into()),
    }
}

/// Checks that the tensors are exactly the network's: none is missing, none is there beside them, every shape is right.
fn check_tensors(weights: &Weights, network: &Network) -> Result<()> {
    let expected = network.parameters();
    for (name, shape) in &expected {
        let tensor = weights.tensor(name).ok_or_else(|| TensorError::Missing { tensor: name.clone() })?;
        if tensor.shape() != shape {
            let shape: Vec<_> = shape.iter().copied().map(Some).collect();
            return Err(TensorError::wrong_shape(name.clone(), &shape, tensor.shape()).into());
        }
    }
    let quantised = quantisation::check(weights, network)?;
    // Packed tensors are checked when a plan wants to use them.
    let packed = weights.metadata().contains_key(PACKING);
    let known = |name: &str| {
        expected.iter().any(|(own, _)| own == name) || quantised.contains(name) || (packed && name.starts_with(PACKED))
    };
    match weights.tensors().find(|tensor| !known(tensor.name())) {
        Some(tensor) => Err(TensorError::Unexpected { tensor: tensor.name().into() }.into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::googlenet;
    use crate::weights::{Dtype, NewTensor, write};
    use std::collections::BTreeMap;

    /// A model of zeros for three classes, after `change` was done to its metadata and its tensors' names and shapes.
    fn model(change: impl FnOnce(&mut BTreeMap<String, String>, &mut Vec<(String, Vec<usize>)>)) -> Result<Model> {
        let keys = [
            ("dialect", "bvlc"),
            ("input_side", "32"),
            ("channels", "bgr"),
            ("mean", "104,117,123"),
            ("std", "1,1,1"),
            ("resize", "32"),
            ("labels", r#"["a","b","c"]"#),
        ];
        let mut metadata = keys.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let mut parameters = googlenet(3).parameters();
        change(&mut metadata, &mut parameters);
        let len = |shape: &[usize]| shape.iter().product::<usize>();
        let zeros = vec![0.0; parameters.iter().map(|(_, shape)| len(shape)).max().expect("tensors")];

        let tensors: Vec<_> = parameters
            .iter()
            .map(|(name, shape)| NewTensor { name, shape, dtype: Dtype::F16, values: zeros[..len(shape)].into() })
            .collect();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("w");
        write(&path, &metadata, &tensors, false).expect("written");
        Model::open(&path)
    }

    /// Sets the shape of the last tensor, which is the classifier's bias, to `shape`.
    fn bias(parameters: &mut [(String, Vec<usize>)], shape: &[usize]) {
        parameters.last_mut().expect("tensors").1 = shape.to_vec();
    }

    #[test]
    fn a_network_without_classes_is_no_model() {
        let bytes = include_bytes!("../../weights/demo.safetensors");
        let weights = || Weights::from_vec(bytes.to_vec()).expect("valid");
        let refused = Model::with_network(weights(), googlenet(0)).expect_err("no classes");
        assert!(matches!(refused, crate::Error::Model(ModelError::NoClasses)), "{refused}");
        // Importers are not as strict as the format is: a tensor may be empty there.
        let (mut offset, mut header) = (0, String::from("{\"__metadata__\":{"));
        for (key, value) in weights().metadata().iter().filter(|(key, _)| *key != "labels") {
            header += &format!("{key:?}:{value:?},");
        }
        header.pop();
        header.push('}');
        for (name, shape) in googlenet(0).parameters() {
            let end = offset + 2 * shape.iter().product::<usize>();
            header += &format!(r#","{name}":{{"dtype":"F16","shape":{shape:?},"data_offsets":[{offset},{end}]}}"#);
            offset = end;
        }
        header.push('}');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.into_bytes());
        bytes.resize(bytes.len() + offset, 0);
        let weights = || Weights::from_vec_as(bytes.clone(), crate::weights::Strictness::Plain).expect("valid");
        assert!(Model::new(weights()).is_err());
        assert!(Model::with_network(weights(), googlenet(0)).is_err());
    }

    #[test]
    fn weights_of_another_network_are_named() {
        type Change = fn(&mut BTreeMap<String, String>, &mut Vec<(String, Vec<usize>)>);
        model(|_, _| ()).expect("the table's own tensors");
        let cases: [(Change, &str); 12] = [
            (|_, p| bias(p, &[3, 1]), "\"loss3/classifier.bias\" has shape [3, 1], expected [classes]"),
            (|_, p| bias(p, &[]), "\"loss3/classifier.bias\" has shape [], expected [classes]"),
            (|_, p| bias(p, &[4]), "4 classes"),
            (
                |m, p| (m.remove("labels"), bias(p, &[4])).1,
                "\"loss3/classifier.weight\" has shape [3, 1024], expected [4, 1024]",
            ),
            (|_, p| p[0].1[2] = 5, "\"conv1/7x7_s2.weight\" has shape [64, 3, 5, 7], expected [64, 3, 7, 7]"),
            (|_, p| p.push(("loss2/classifier.bias".into(), vec![3])), "\"loss2/conv.weight\" is missing"),
            (|_, p| p.push(("more".into(), vec![1])), "\"more\" is not part of the network"),
            (|_, p| p.truncate(115), "\"loss3/classifier.bias\" is missing"),
            (|_, p| drop(p.remove(7)), "\"inception_3a/1x1.bias\" is missing"),
            (|m, _| drop(m.insert("labels".into(), "[\"a\"]".into())), "1 labels for 3 classes"),
            (|m, _| drop(m.insert("dialect".into(), "caffe".into())), "dialect \"caffe\", expected bvlc or"),
            (
                |m, _| drop(m.insert("dialect".into(), "torchvision".into())),
                "\"inception_3a/5x5.weight\" has shape [32, 16, 5, 5], expected [32, 16, 3, 3]",
            ),
        ];
        for (change, expected) in cases {
            let error = model(change).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
