//! Packed weight files, which hold the weights a second time, in the kernels' own layouts.

use std::borrow::Cow;
use std::path::Path;

use super::model::{check_precision, check_side};
use super::{Model, Options};
use crate::Result;
use crate::error::{SessionError, TensorError, WeightsError};
use crate::plan;
use crate::weights::{Dtype, NewTensor, PACKED, PACKING, write};

impl Model {
    /// Writes a packed weight file to `path`. It holds this model's weights, and beside them the same weights packed
    /// for sessions of `options`: such a session packs nothing if it opens the file, and copies nothing if it maps it.
    /// Any other session packs the weights in memory, as from any file. Of the options only the instruction set,
    /// the precision and the side matter to what is written. Returns what the file is packed for, as
    /// [`Session::packing`](super::Session::packing) names it.
    ///
    /// Whoever reads `path` sees the old file or the new one, never a part. Without `force` an existing file is an
    /// error.
    ///
    /// # Errors
    /// If the weights are damaged, an option is out of range, or the file exists or cannot be written.
    ///
    /// ```
    /// use googlenet::{Model, Options};
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let path = folder.path().join("packed.safetensors");
    /// let model = Model::open("weights/demo.safetensors")?;
    /// let packing = model.pack(&path, Options::new(), false)?;
    /// let session = Model::open(&path)?.session(Options::new().threads(2))?;
    /// assert!(session.uses_packed_file() && session.packing() == packing);
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn pack(&self, path: impl AsRef<Path>, options: Options, force: bool) -> Result<String> {
        let side = options.side.unwrap_or(self.side());
        check_side(self.network(), side)?;
        if !(1..=Options::MAX_THREADS).contains(&options.threads) {
            let (value, most) = (options.threads, Options::MAX_THREADS);
            return Err(SessionError::OutOfRange { option: "threads", value, least: 1, most }.into());
        }
        check_precision(self.weights(), options.precision)?;
        // The hash of a mapped packed file was not checked yet, and damage must not get a new hash that fits it.
        self.weights().verify()?;
        let graph = self.network().graph(side);
        let (isa, precision) = (options.chosen_isa()?, options.precision);
        let (packing, packed) = plan::pack(graph, isa, precision, self.weights(), options.threads)?;
        let values = packed.iter().map(|(name, bytes)| (name, bytemuck::cast_slice::<u8, f32>(bytes)));
        let packed: Vec<_> = values.map(|(name, values)| (name, values, [values.len()])).collect();
        let own = self.weights().tensors().filter(|tensor| !tensor.name().starts_with(PACKED)).map(|tensor| {
            NewTensor { name: tensor.name(), shape: tensor.shape(), dtype: tensor.dtype(), values: tensor.to_f32() }
        });
        let packed = packed.iter().map(|(name, values, shape)| {
            let values = Cow::Borrowed(*values);
            NewTensor { name, shape, dtype: Dtype::F32, values }
        });
        let mut metadata = self.weights().metadata().clone();
        metadata.insert(PACKING.to_owned(), packing.clone());
        write(path, &metadata, &own.chain(packed).collect::<Vec<_>>(), force)?;
        Ok(packing)
    }

    /// What the weight file is packed for; `None` if it is not packed.
    pub fn packing(&self) -> Option<&str> {
        self.weights().metadata().get(PACKING).map(String::as_str)
    }

    /// Whether the file says that it is packed for sessions of `options`. Unlike [`Model::is_packed_for`] this looks at no
    /// packed tensor: one may be missing.
    ///
    /// # Errors
    /// If an option is out of range.
    pub fn is_named_for(&self, options: &Options) -> Result<bool> {
        let side = options.side.unwrap_or(self.side());
        check_side(self.network(), side)?;
        check_precision(self.weights(), options.precision)?;
        let packing =
            plan::packing_of(self.network().graph(side), options.chosen_isa()?, options.precision, self.weights());
        Ok(self.packing() == Some(&packing))
    }

    /// Checks a packed file: packs its weights for sessions of `options` once more, and compares what comes of it with the
    /// packed tensors, bit for bit. The file's hash says that nothing changed since the file was written; this says that
    /// whoever wrote it packed those weights, as this crate does it.
    ///
    /// # Errors
    /// [`WeightsError::HashMismatch`]; [`WeightsError::MetadataMissing`] if the file is not packed;
    /// [`WeightsError::MetadataValue`] if it is packed for other sessions than those of `options`;
    /// [`TensorError::Missing`], [`TensorError::Unexpected`] or [`TensorError::NotRepacked`] for the first packed tensor
    /// that differs; or an option is out of range.
    ///
    /// ```
    /// use googlenet::{Model, Options};
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let path = folder.path().join("packed.safetensors");
    /// Model::open("weights/demo.safetensors")?.pack(&path, Options::new(), false)?;
    /// Model::open(&path)?.check_packed(&Options::new())?;
    /// # Ok::<(), googlenet::Error>(())
    /// ```
    pub fn check_packed(&self, options: &Options) -> Result<()> {
        let weights = self.weights();
        let own = self.packing().ok_or(WeightsError::MetadataMissing { key: PACKING })?;
        let side = options.side.unwrap_or(self.side());
        check_side(self.network(), side)?;
        check_precision(weights, options.precision)?;
        weights.verify()?;
        let (graph, isa) = (self.network().graph(side), options.chosen_isa()?);
        let (packing, packed) = plan::pack(graph, isa, options.precision, weights, options.threads)?;
        if own != packing {
            let expected = "what the file is to be used for";
            return Err(WeightsError::MetadataValue { key: PACKING, value: own.to_owned(), expected }.into());
        }
        for (name, bytes) in &packed {
            let tensor = weights.tensor(name).ok_or_else(|| TensorError::Missing { tensor: name.clone() })?;
            let differs = |index| Err(TensorError::NotRepacked { tensor: name.clone(), index }.into());
            if tensor.dtype() != Dtype::F32 || tensor.bytes().len() != bytes.len() {
                return differs(None);
            }
            let mut words = tensor.bytes().chunks_exact(4).zip(bytes.chunks_exact(4));
            if let Some(index) = words.position(|(found, made)| found != made) {
                return differs(Some(index));
            }
        }
        let is_made = |name: &str| packed.iter().any(|(made, _)| made == name);
        match weights.tensors().find(|tensor| tensor.name().starts_with(PACKED) && !is_made(tensor.name())) {
            Some(tensor) => Err(TensorError::Unexpected { tensor: tensor.name().to_owned() }.into()),
            None => Ok(()),
        }
    }

    /// Whether sessions of `options` use the file's packed weights where they lie; to find that out packs nothing.
    ///
    /// # Errors
    /// If an option is out of range.
    pub fn is_packed_for(&self, options: &Options) -> Result<bool> {
        let side = options.side.unwrap_or(self.side());
        check_side(self.network(), side)?;
        check_precision(self.weights(), options.precision)?;
        let (isa, precision) = (options.chosen_isa()?, options.precision);
        Ok(plan::is_packed(self.network().graph(side), isa, precision, self.weights()))
    }
}
