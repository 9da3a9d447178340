//! The crate's one error type: what is wrong with files, weights, models to import, pictures, options.
//!
//! The text of each variant stands in `display.rs`.

mod display;

use std::io;
use std::path::PathBuf;

/// An error of another crate.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// What was wrong, with the values that were wrong. Offsets and lengths are in bytes.
///
/// ```
/// use googlenet::{Error, Model};
///
/// let error = Model::open("weights/FORMAT.md").err().expect("no weights");
/// assert!(matches!(error, Error::HeaderTooLong { limit, .. } if limit > 0));
/// assert!(error.to_string().contains("not a safetensors file"));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    // Files.
    /// The operating system refused something.
    Io {
        /// What was being done, as in "open".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is longer than anything of its kind, or has no end.
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes that are read.
        limit: u64,
    },
    /// The target exists and may not be replaced.
    TargetExists {
        /// The file.
        path: PathBuf,
    },

    // Weights, and what they must be for the network.
    /// The weights end before their header does.
    Truncated {
        /// Bytes needed at least.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// The header claims, or would need, more bytes than any weights file has.
    HeaderTooLong {
        /// The header's length.
        length: u64,
        /// The longest allowed.
        limit: u64,
    },
    /// The header does not begin with `{`: this is no safetensors file.
    HeaderStart {
        /// The first byte, if there is one.
        found: Option<u8>,
    },
    /// The header is not JSON of the expected structure.
    HeaderSyntax {
        /// The JSON parser's reason.
        source: Source,
    },
    /// A key of the header or of its metadata, or a tensor's name, occurs twice.
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// There is more of something than any network of the family has.
    TooMany {
        /// Of what, as in "tensors".
        what: &'static str,
        /// How many there are.
        found: usize,
        /// The most allowed.
        limit: usize,
    },
    /// A tensor may not have this name.
    TensorName {
        /// The name.
        tensor: String,
    },
    /// An element type that is not supported.
    TensorType {
        /// The tensor's name.
        tensor: String,
        /// Its type, as the file spells it.
        dtype: String,
    },
    /// A shape with too many dimensions, a dimension that is zero, or a product that overflows.
    TensorShape {
        /// The tensor's name.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// A tensor's data offsets do not lie in order within the data section.
    TensorOffsets {
        /// The tensor's name.
        tensor: String,
        /// Offset of its first byte in the data section.
        begin: u64,
        /// Offset past its last byte.
        end: u64,
        /// Length of the data section.
        data_length: u64,
    },
    /// A tensor has another length than its shape and type ask for.
    TensorLength {
        /// The tensor's name.
        tensor: String,
        /// Bytes asked for.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// Two tensors share bytes.
    TensorOverlap {
        /// The tensor that lies first.
        first: String,
        /// The tensor that begins within it.
        second: String,
        /// Where it begins, in the data section.
        offset: u64,
    },
    /// The data section, or a tensor, does not begin where its alignment asks.
    Misaligned {
        /// The tensor's name, or "data section".
        what: String,
        /// Where it begins, in the file.
        offset: u64,
        /// What the offset must be a multiple of.
        alignment: u64,
    },
    /// Bytes of the data section belong to no tensor and are more than alignment asks for.
    Gap {
        /// Where they begin, in the data section.
        offset: u64,
        /// How many they are.
        length: u64,
    },
    /// An alignment byte is not zero.
    Padding {
        /// Where it lies, in the data section.
        offset: u64,
        /// Its value.
        value: u8,
    },
    /// The data section is not the one the metadata describe.
    HashMismatch {
        /// The hash stored in the metadata.
        stored: String,
        /// The hash of the bytes there.
        computed: String,
    },
    /// A metadata key that must be there is not.
    MetadataMissing {
        /// The key.
        key: &'static str,
    },
    /// A metadata value cannot be used.
    MetadataValue {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A finite value has no finite f16.
    HalfRange {
        /// The tensor's name.
        tensor: String,
        /// Index of the element.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A tensor that the network needs is not in the file.
    MissingTensor {
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor that the network does not know is in the file.
    UnexpectedTensor {
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor has another shape than the network's.
    WrongShape {
        /// Its name in the network.
        tensor: String,
        /// Its name in the file.
        source_name: String,
        /// The network's shape; `None` where any number of classes would do.
        expected: Vec<Option<usize>>,
        /// The file's, which may be nonsense.
        found: Vec<i64>,
    },
    /// The weights are for a dialect that nobody knows, or that is not the network's.
    UnknownDialect {
        /// The dialect.
        dialect: String,
        /// Those that would do.
        known: Vec<&'static str>,
    },
    /// There are not as many labels as classes.
    LabelCount {
        /// Labels.
        labels: usize,
        /// Classes.
        classes: usize,
    },

    // Models to import.
    /// Neither safetensors nor `.npz`, nor a readable ONNX model or `.caffemodel`.
    NotAModel {
        /// What the decoder said; none if the bytes are an empty message.
        source: Option<Source>,
    },
    /// A safetensors file to import is damaged.
    Safetensors {
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// A ZIP archive of arrays to import cannot be read.
    Archive {
        /// The array; empty where it is the archive itself.
        member: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A node is not what the network has in its place.
    NodeMismatch {
        /// Its name, or, if it has none, its first output's.
        node: String,
        /// The layer of the network.
        layer: String,
        /// What differs: `operator`, an attribute, ...
        what: &'static str,
        /// What the network asks for.
        expected: String,
        /// What stands in the file.
        found: String,
    },
    /// A node has no part in the network.
    UnexpectedNode {
        /// Its name, or, if it has none, its first output's.
        node: String,
        /// Its operator.
        operator: String,
    },
    /// Nodes or names of a graph do not fit together.
    Graph {
        /// The node or value.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A tensor's elements are neither f32 nor f16.
    ElementType {
        /// Its name in the network.
        tensor: String,
        /// Its name in the file.
        source_name: String,
        /// The file format's number of the type.
        found: i32,
    },
    /// A tensor's data is not as long as its shape asks for.
    DataLength {
        /// Its name in the network.
        tensor: String,
        /// Its name in the file.
        source_name: String,
        /// Elements, by its shape.
        expected: usize,
        /// Bytes found.
        found_bytes: usize,
    },
    /// A tensor's data stands in another file.
    ExternalData {
        /// Its name in the network.
        tensor: String,
        /// Its name in the file.
        source_name: String,
    },

    // Pictures, and what is asked of them.
    /// The bytes begin like no JPEG and no PNG.
    NotAPicture,
    /// The bytes begin like a picture and stop before its end.
    PictureTruncated {
        /// Bytes there are.
        length: usize,
    },
    /// More than 65535 pixels on a side, or more memory than a picture may take.
    PictureTooLarge {
        /// The decoder's reason.
        source: Source,
    },
    /// The decoder refused the bytes.
    PictureDamaged {
        /// The decoder's reason.
        source: Source,
    },
    /// A picture without pixels.
    PictureEmpty {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// A row of `3 * width` bytes is longer than the distance between rows.
    PictureStride {
        /// Pixels in a row.
        width: usize,
        /// Bytes from row to row.
        stride: usize,
    },
    /// The pixels end before the last row does.
    PictureTooShort {
        /// Bytes that the sizes call for (`usize::MAX` where they overflow).
        needed: usize,
        /// Bytes given.
        found: usize,
    },
    /// The buffer for the network's input is not `3 * side * side` long.
    InputLength {
        /// Values that the crop has.
        expected: usize,
        /// Values that the buffer has.
        found: usize,
    },
    /// The crop is empty, or larger than the resized short side.
    Crop {
        /// The crop's side in pixels.
        side: usize,
        /// The resized short side in pixels.
        resize: usize,
    },
    /// A mean or deviation is not finite, or a deviation is 0.
    Normalisation {
        /// The channel's mean.
        mean: f32,
        /// The channel's deviation.
        std: f32,
    },

    // Models and options of a session.
    /// Models of an ensemble have not the same classes.
    ClassCounts {
        /// The fewest classes that one of them has.
        least: usize,
        /// Another's.
        other: usize,
    },
    /// An option is out of its range.
    OutOfRange {
        /// The option.
        option: &'static str,
        /// Its value.
        value: usize,
        /// The smallest value.
        least: usize,
        /// The largest value.
        most: usize,
    },
    /// A run would take more input pixels than a session may hold.
    TooManyPixels {
        /// Images of a run.
        batch: usize,
        /// Side of each, in pixels.
        side: usize,
        /// The most pixels in all.
        limit: usize,
    },
    /// An instruction set that this machine does not have, or that nobody knows.
    InstructionSet {
        /// The name asked for.
        name: String,
        /// Whether there is such a set.
        known: bool,
        /// The sets of this machine.
        available: Vec<&'static str>,
    },
    /// A class map of a session that was made without them.
    NoClassMaps,
    /// The buffer for a class map has not as many values as the map.
    MapLength {
        /// Values that the map has.
        expected: usize,
        /// Values that the buffer has.
        found: usize,
    },
    /// A layer that the network does not have.
    UnknownLayer {
        /// The name asked for.
        layer: String,
    },
    /// An auxiliary head's matrix is made for another input side.
    HeadSide {
        /// The head.
        head: &'static str,
        /// The session's input side.
        side: usize,
    },
    /// Threads could not be started.
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Why.
        source: Source,
    },
}

impl Error {
    /// A header that `source` refuses; its text may quote the file, so it is kept escaped and shortened.
    pub(crate) fn header_syntax(source: &serde_json::Error) -> Self {
        Self::HeaderSyntax { source: display::listed(source).into() }
    }

    /// A tensor that goes by the same name in the file and in the network, and has another shape in each.
    pub(crate) fn wrong_shape(tensor: String, expected: &[Option<usize>], found: &[usize]) -> Self {
        Self::WrongShape {
            source_name: tensor.clone(),
            tensor,
            expected: expected.to_vec(),
            found: found.iter().map(|&dim| i64::try_from(dim).unwrap_or(i64::MAX)).collect(),
        }
    }
}
