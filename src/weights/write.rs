//! Writing a weight file: to a temporary file beside the target, which then takes the target's name in one step.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use half::f16;

use super::format::{ALIGNMENT, Dtype, hash};
use crate::{Error, Result};

/// A tensor to write.
pub struct NewTensor<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its shape.
    pub shape: Cow<'a, [usize]>,
    /// Its values, as many as the shape says.
    pub values: Cow<'a, [f32]>,
}

/// Writes `tensors`, stored as `dtype` (f16: rounded to nearest even), and `metadata` to `path`; the keys `format`,
/// `version` and `hash` are added. Without `force` an existing file is left as it is.
///
/// # Errors
/// If the file exists and `force` is not set, or cannot be written; nothing half-written is left.
///
/// # Panics
/// If a tensor's values are not as many as its shape says, or two tensors share a name.
pub fn write(
    path: impl AsRef<Path>,
    metadata: &BTreeMap<String, String>,
    tensors: &[NewTensor<'_>],
    dtype: Dtype,
    force: bool,
) -> Result<()> {
    let path = path.as_ref();
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path: path.into() },
        _ => Error::Io { path: path.into(), source },
    };
    if !force && path.exists() {
        return Err(Error::Exists { path: path.into() });
    }
    let name = path.file_name().ok_or_else(|| io(io::Error::other("not a file's name")))?;
    let temporary = path.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let bytes = encode(metadata, tensors, dtype);
    let result = write_new(&temporary, &bytes).and_then(|()| {
        // A link fails where the target exists, in one step; a rename replaces it, in one step.
        if force { fs::rename(&temporary, path) } else { fs::hard_link(&temporary, path) }
    });
    // After a rename there is nothing left to remove.
    let _ = fs::remove_file(&temporary);
    result.map_err(io)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The whole file.
fn encode(metadata: &BTreeMap<String, String>, tensors: &[NewTensor<'_>], dtype: Dtype) -> Vec<u8> {
    let mut data = Vec::new();
    let mut header = serde_json::Map::new();
    for tensor in tensors {
        assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>(), "values of {}", tensor.name);
        data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
        let start = data.len();
        match dtype {
            Dtype::F32 => tensor.values.iter().for_each(|v| data.extend_from_slice(&v.to_le_bytes())),
            Dtype::F16 => tensor.values.iter().for_each(|&v| data.extend_from_slice(&f16::from_f32(v).to_le_bytes())),
        }
        let entry = serde_json::json!({
            "dtype": dtype.name(), "shape": *tensor.shape, "data_offsets": [start, data.len()],
        });
        assert!(header.insert(tensor.name.to_string(), entry).is_none(), "{} twice", tensor.name);
    }
    let mut metadata = metadata.clone();
    metadata.insert("format".into(), "googlenet".into());
    metadata.insert("version".into(), "1".into());
    metadata.insert("hash".into(), hash(&data));
    header.insert("__metadata__".into(), serde_json::to_value(metadata).expect("strings are JSON"));
    let json = serde_json::to_vec(&header).expect("strings and numbers are JSON");
    let length = (8 + json.len()).next_multiple_of(ALIGNMENT) - 8;
    let mut file = (length as u64).to_le_bytes().to_vec();
    file.extend_from_slice(&json);
    file.resize(8 + length, b' ');
    file.extend_from_slice(&data);
    file
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::weights::Weights;

    fn tensor<'a>(name: &'a str, shape: &'a [usize], values: &'a [f32]) -> NewTensor<'a> {
        NewTensor { name: name.into(), shape: shape.into(), values: values.into() }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read(a in prop::collection::vec(-1e3_f32..1e3, 1..200), b in prop::collection::vec(-1.0_f32..1.0, 1..50)) {
            let shapes = ([a.len()], [1, b.len()]);
            let tensors = [tensor("a", &shapes.0, &a), tensor("b", &shapes.1, &b)];
            let whole = Weights::from_bytes(&encode(&BTreeMap::new(), &tensors, Dtype::F32)).expect("own file");
            prop_assert_eq!(whole.tensor("a").expect("a").as_f32().expect("aligned"), &a[..]);
            prop_assert_eq!(whole.tensor("b").expect("b").shape(), &shapes.1[..]);
            let rounded: Vec<f32> = a.iter().map(|&v| f16::from_f32(v).to_f32()).collect();
            let small = Weights::from_bytes(&encode(&BTreeMap::new(), &tensors, Dtype::F16)).expect("own file");
            prop_assert_eq!(&small.tensor("a").expect("a").to_f32()[..], &rounded[..]);
            let again = [tensor("a", &shapes.0, &rounded)];
            let again = Weights::from_bytes(&encode(&BTreeMap::new(), &again, Dtype::F32)).expect("own file");
            prop_assert_eq!(small.tensor("a").expect("a").hash(), again.tensor("a").expect("a").hash());
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let values: Vec<f32> = (0..40).map(|i| i as f32).collect();
        let file = encode(&BTreeMap::new(), &[tensor("a", &[40], &values)], Dtype::F32);
        assert!(Weights::from_bytes(&file).is_ok());
        for bit in 0..8 * file.len() {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(weights) = Weights::from_bytes(&damaged) {
                // Only the header's own names and keys may change without making it invalid.
                let known = weights.tensor("a").is_some_and(|a| a.shape() == [40]);
                assert!(
                    bit / 8 < file.len() - 160 && !(known && weights.metadata().len() == 3),
                    "bit {bit} went unnoticed"
                );
            }
        }
        for len in 0..file.len() {
            assert!(Weights::from_bytes(&file[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn an_existing_file_is_kept_unless_forced() {
        let folder = std::env::temp_dir().join(format!("googlenet-write-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("w.safetensors");
        let tensors = |value: &'static [f32]| [tensor("a", &[1], value)];
        let read = || Weights::open(&path).expect("written").tensor("a").expect("a").to_f32()[0];
        write(&path, &BTreeMap::new(), &tensors(&[1.0]), Dtype::F32, false).expect("new");
        let refused = write(&path, &BTreeMap::new(), &tensors(&[2.0]), Dtype::F32, false);
        assert!(matches!(refused, Err(Error::Exists { .. })));
        assert_eq!(read(), 1.0);
        write(&path, &BTreeMap::new(), &tensors(&[3.0]), Dtype::F32, true).expect("forced");
        assert_eq!(read(), 3.0);
        let entries = fs::read_dir(&folder).expect("the folder").count();
        assert_eq!(entries, 1, "a temporary file is left");
        fs::remove_dir_all(&folder).expect("cleaned up");
    }
}
