//! What the networks' authors do with a picture: how it is resized, and what is made of its pixels.

use super::axis::Axis;
use super::resize::{self, Filter};
use super::{Rgb8, opencv, tensorflow};
use crate::model::{Channels, Dialect, Input};

/// How a network wants its pictures. `mean` and `std` are in the order of `channels`, on the 0..=255 scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// How the picture is resized, before its middle is cut out.
    pub geometry: Geometry,
    /// Which channel each plane holds.
    pub channels: Channels,
    /// Subtracted from each channel.
    pub mean: [f32; 3],
    /// Each channel is divided by this, after the subtraction.
    pub std: [f32; 3],
    /// The short side's length before the crop, at least the crop's side.
    pub resize: usize,
}

/// How a picture is resized, by whose arithmetic.
///
/// ```
/// use googlenet::image::Geometry;
///
/// for geometry in Geometry::ALL {
///     assert_eq!(Geometry::from_name(geometry.name()), Some(geometry));
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Geometry {
    /// `short-side`: the short side to `resize`, the long side in proportion, rounded; Pillow's bilinear filter.
    ShortSide,
    /// `torchvision`: the same, but the long side is truncated, and a crop's odd half pixel goes to the even side.
    Torchvision,
    /// `warp`: both sides to `resize`; OpenCV's bilinear filter, which leaves pixels out where it shrinks.
    Warp,
    /// `warp-bicubic`: both sides to `resize`; Pillow's bicubic filter.
    WarpBicubic,
    /// `tf-slim`: of both sides the middle 87.5 %, then both to `resize`; TensorFlow 1's bilinear filter, not rounded
    /// to bytes.
    TfSlim,
}

/// What the authors of published weights do.
///
/// ```
/// use googlenet::image::{Geometry, Preset};
///
/// let rule = Preset::Bvlc.rule(224);
/// assert_eq!((rule.geometry, rule.resize), (Geometry::Warp, 256));
/// assert_eq!(Preset::from_name("tf-slim"), Some(Preset::TfSlim));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// `short-side`: Caffe's channels and means; the short side to 256, the middle 224x224.
    ShortSide,
    /// `bvlc`: Caffe's training and validation: stretched to 256x256, the middle 224x224.
    Bvlc,
    /// `bvlc-cpp`: Caffe's C++ example: stretched to 224x224.
    BvlcCpp,
    /// `onnx-zoo`: the ONNX model zoo's GoogLeNet: stretched to 224x224, bicubic, with means of its own.
    OnnxZoo,
    /// `torchvision`: the short side to 256, the middle 224x224, -1 to 1.
    Torchvision,
    /// `tf-slim`: the middle 87.5 % to 224x224, -1 to 1.
    TfSlim,
}

impl Geometry {
    /// All that are known.
    pub const ALL: [Geometry; 5] =
        [Geometry::ShortSide, Geometry::Torchvision, Geometry::Warp, Geometry::WarpBicubic, Geometry::TfSlim];

    /// The name in weight files.
    pub const fn name(self) -> &'static str {
        match self {
            Geometry::ShortSide => "short-side",
            Geometry::Torchvision => "torchvision",
            Geometry::Warp => "warp",
            Geometry::WarpBicubic => "warp-bicubic",
            Geometry::TfSlim => "tf-slim",
        }
    }

    /// The geometry of that name.
    pub fn from_name(name: &str) -> Option<Geometry> {
        Geometry::ALL.into_iter().find(|geometry| geometry.name() == name)
    }

    /// The part of a picture that is used.
    pub(super) fn source(self, image: Rgb8<'_>) -> Rgb8<'_> {
        match self {
            // `central_crop(0.875)`: a sixteenth of each side, truncated, is left out at both ends.
            Geometry::TfSlim => {
                let (left, top) = (image.width / 16, image.height / 16);
                image.window(left, top, image.width - 2 * left, image.height - 2 * top)
            }
            _ => image,
        }
    }

    /// Width and height of that part, resized.
    pub(super) fn resized(self, image: Rgb8<'_>, resize: usize) -> (usize, usize) {
        match self {
            Geometry::ShortSide | Geometry::Torchvision => self.short_side(image, resize),
            Geometry::Warp | Geometry::WarpBicubic | Geometry::TfSlim => (resize, resize),
        }
    }

    /// Width and height with the short side at `resize`, whatever the geometry does otherwise.
    pub(super) fn short_side(self, image: Rgb8<'_>, resize: usize) -> (usize, usize) {
        let (width, height) = (image.width, image.height);
        let (short, long) = (width.min(height), width.max(height));
        let long = match self {
            // Python's `int(size * long / short)`.
            Geometry::Torchvision => (resize as f64 * long as f64 / short as f64) as usize,
            // Python's `round(long * scale)`.
            _ => (long as f64 * (resize as f64 / short as f64)).round_ties_even() as usize,
        };
        if width <= height { (resize, long) } else { (long, resize) }
    }

    /// Where the middle `side` of `len` begins.
    pub(super) fn middle(self, len: usize, side: usize) -> usize {
        let twice = len - side;
        match self {
            // Python's `round((len - side) / 2)`: 0.5 to 0, 1.5 to 2.
            Geometry::Torchvision => twice / 2 + usize::from(twice % 4 == 3),
            _ => twice / 2,
        }
    }

    pub(super) fn resample(self, image: Rgb8<'_>, columns: &Axis, rows: &Axis) -> Pixels {
        match self {
            Geometry::ShortSide | Geometry::Torchvision => {
                Pixels::Bytes(resize::resample(image, Filter::Triangle, columns, rows))
            }
            Geometry::WarpBicubic => Pixels::Bytes(resize::resample(image, Filter::Cubic, columns, rows)),
            Geometry::Warp => Pixels::Bytes(opencv::bilinear(image, columns, rows)),
            Geometry::TfSlim => Pixels::Floats(tensorflow::bilinear(|iy| image.row(iy), columns, rows)),
        }
    }
}

/// RGB `[h, w, 3]`, as the filter leaves them.
pub(super) enum Pixels {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

impl Preset {
    /// All that are known.
    pub const ALL: [Preset; 6] =
        [Preset::ShortSide, Preset::Bvlc, Preset::BvlcCpp, Preset::OnnxZoo, Preset::Torchvision, Preset::TfSlim];

    /// The name that the command knows it by.
    pub const fn name(self) -> &'static str {
        match self {
            Preset::ShortSide => "short-side",
            Preset::Bvlc => "bvlc",
            Preset::BvlcCpp => "bvlc-cpp",
            Preset::OnnxZoo => "onnx-zoo",
            Preset::Torchvision => "torchvision",
            Preset::TfSlim => "tf-slim",
        }
    }

    /// The preset of that name.
    pub fn from_name(name: &str) -> Option<Preset> {
        Preset::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// What is done for weights of `dialect` that say nothing of their preprocessing.
    ///
    /// ```
    /// use googlenet::image::Preset;
    /// use googlenet::model::Dialect;
    ///
    /// assert_eq!(Dialect::ALL.map(Preset::of)[1..3], [Preset::Torchvision, Preset::TfSlim]);
    /// ```
    pub fn of(dialect: Dialect) -> Preset {
        Preset::from_name(dialect.differences().preset).expect("a dialect names one of the presets")
    }

    /// The rule for an input of `side` pixels: where the authors leave a margin, 256 for 224, it is as wide in proportion.
    pub fn rule(self, side: usize) -> Rule {
        let wider = side.saturating_mul(8) / 7;
        let (input, geometry, resize) = match self {
            Preset::ShortSide => (Input::CAFFE, Geometry::ShortSide, wider),
            Preset::Bvlc => (Input::CAFFE, Geometry::Warp, wider),
            Preset::BvlcCpp => (Input::CAFFE, Geometry::Warp, side),
            Preset::OnnxZoo => (Input::ONNX_ZOO, Geometry::WarpBicubic, side),
            Preset::Torchvision => (Input::SYMMETRIC, Geometry::Torchvision, wider),
            Preset::TfSlim => (Input::SYMMETRIC, Geometry::TfSlim, side),
        };
        let Input { channels, mean, std } = input;
        Rule { geometry, channels, mean, std, resize }
    }
}
