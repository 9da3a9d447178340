//! What the authors of published weights do with a picture: how they resize it, and what they make of its pixels.

use super::axis::Axis;
use super::resize::{self, Filter};
use super::{Rgb8, opencv, tensorflow};
use crate::model::{Channels, Dialect, Input};

/// How a picture becomes an input. `mean` and `std` are in the order of `channels`, on the 0..=255 scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// How the picture is resized, before its middle is taken.
    pub geometry: Geometry,
    /// Which channel each plane holds.
    pub channels: Channels,
    /// What is subtracted from each channel.
    pub mean: [f32; 3],
    /// What each channel is divided by, after the subtraction.
    pub std: [f32; 3],
    /// The length in pixels of the resized picture's short side; at least the crop's side.
    pub resize: usize,
}

/// How a picture is resized, and by whose arithmetic.
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
    /// `short-side`: the short side becomes `resize`, the long side stays in proportion, rounded; Pillow's bilinear
    /// filter.
    ShortSide,
    /// `torchvision`: as `short-side`, but the long side is truncated, and where the middle would begin at half a
    /// pixel, it begins at the even one of the two pixels.
    Torchvision,
    /// `warp`: both sides become `resize`; OpenCV's bilinear filter, which leaves pixels out where it shrinks.
    Warp,
    /// `warp-bicubic`: both sides become `resize`; Pillow's bicubic filter.
    WarpBicubic,
    /// `tf-slim`: the middle 87.5 % of both sides is kept, then both become `resize`; TensorFlow 1's bilinear filter,
    /// not rounded to bytes.
    TfSlim,
}

/// The rule of some weights' authors, by name; sizes below are those for an input of 224x224 pixels, or 227x227 where
/// that is said.
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
    /// `short-side`: Caffe's channels and means; the short side becomes 256, the crop is the middle 224x224.
    ShortSide,
    /// `bvlc`, Caffe's training and validation: the picture is stretched to 256x256, the crop is the middle 224x224.
    Bvlc,
    /// `bvlc-cpp`, Caffe's C++ example: the picture is stretched to 224x224.
    BvlcCpp,
    /// `onnx-zoo`, the ONNX model zoo's GoogLeNet: the picture is stretched to 224x224, bicubic, with means of its own.
    OnnxZoo,
    /// `torchvision`: the short side becomes 256, the crop is the middle 224x224, values are -1 to 1.
    Torchvision,
    /// `tf-slim`: the middle 87.5 % of the picture becomes 224x224, values are -1 to 1.
    TfSlim,
    /// `caffenet`, Caffe's versions of Krizhevsky's network: the picture is stretched to 256x256, the crop is the middle
    /// 227x227, and what is subtracted are the channels' means over the mean picture of ILSVRC 2012, as in Caffe's
    /// `examples/00-classification.ipynb`.
    Caffenet,
    /// `krizhevsky`: as `caffenet`, but the short side becomes 256, as in the paper.
    Krizhevsky,
}

impl Geometry {
    /// All geometries that this crate knows.
    pub const ALL: [Geometry; 5] =
        [Geometry::ShortSide, Geometry::Torchvision, Geometry::Warp, Geometry::WarpBicubic, Geometry::TfSlim];

    /// The geometry's name in weight files.
    pub const fn name(self) -> &'static str {
        match self {
            Geometry::ShortSide => "short-side",
            Geometry::Torchvision => "torchvision",
            Geometry::Warp => "warp",
            Geometry::WarpBicubic => "warp-bicubic",
            Geometry::TfSlim => "tf-slim",
        }
    }

    /// The geometry called `name`.
    pub fn from_name(name: &str) -> Option<Geometry> {
        Geometry::ALL.into_iter().find(|geometry| geometry.name() == name)
    }

    /// The part of a picture that this geometry resizes.
    pub(super) fn source(self, image: Rgb8<'_>) -> Rgb8<'_> {
        let [left, top] = self.margins(image.width, image.height);
        image.window(left, top, image.width - 2 * left, image.height - 2 * top)
    }

    /// How many columns at the left and right, and rows at the top and bottom, [`Geometry::source`] leaves out.
    pub(super) fn margins(self, width: usize, height: usize) -> [usize; 2] {
        match self {
            // `central_crop(0.875)`: a sixteenth of each side, truncated, is left out at both ends.
            Geometry::TfSlim => [width / 16, height / 16],
            _ => [0, 0],
        }
    }

    /// Width and height that a picture of the size `source`, which is what [`Geometry::source`] leaves, is resized to.
    pub(super) fn resized(self, source: [usize; 2], resize: usize) -> (usize, usize) {
        match self {
            Geometry::ShortSide | Geometry::Torchvision => self.short_side(source, resize),
            Geometry::Warp | Geometry::WarpBicubic | Geometry::TfSlim => (resize, resize),
        }
    }

    /// Width and height of a picture of the size `[width, height]` with its short side at `resize`, even for a geometry
    /// that stretches pictures.
    pub(super) fn short_side(self, [width, height]: [usize; 2], resize: usize) -> (usize, usize) {
        let (short, long) = (width.min(height), width.max(height));
        let long = match self {
            // torchvision computes `int(size * long / short)` in Python.
            Geometry::Torchvision => (resize as f64 * long as f64 / short as f64) as usize,
            // Python's `round(long * scale)` rounds halves to even.
            _ => (long as f64 * (resize as f64 / short as f64)).round_ties_even() as usize,
        };
        if width <= height { (resize, long) } else { (long, resize) }
    }

    /// Where the middle `side` of `len` pixels begins.
    pub(super) fn middle(self, len: usize, side: usize) -> usize {
        let twice = len - side;
        match self {
            // torchvision computes `round((len - side) / 2)` in Python, which makes 0.5 to 0 and 1.5 to 2.
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

/// Resized pixels, RGB `[h, w, 3]`, in the type that the filter gives.
pub(super) enum Pixels {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

impl Preset {
    /// All presets that this crate knows.
    pub const ALL: [Preset; 8] = [
        Preset::ShortSide,
        Preset::Bvlc,
        Preset::BvlcCpp,
        Preset::OnnxZoo,
        Preset::Torchvision,
        Preset::TfSlim,
        Preset::Caffenet,
        Preset::Krizhevsky,
    ];

    /// The preset's name, as the command takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Preset::ShortSide => "short-side",
            Preset::Bvlc => "bvlc",
            Preset::BvlcCpp => "bvlc-cpp",
            Preset::OnnxZoo => "onnx-zoo",
            Preset::Torchvision => "torchvision",
            Preset::TfSlim => "tf-slim",
            Preset::Caffenet => "caffenet",
            Preset::Krizhevsky => "krizhevsky",
        }
    }

    /// The preset called `name`.
    pub fn from_name(name: &str) -> Option<Preset> {
        Preset::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// The preset for weights of `dialect` that say nothing of their preprocessing.
    ///
    /// ```
    /// use googlenet::image::Preset;
    /// use googlenet::model::Dialect;
    ///
    /// assert_eq!(Dialect::ALL.map(Preset::of)[1..3], [Preset::Torchvision, Preset::TfSlim]);
    /// ```
    pub fn of(dialect: Dialect) -> Preset {
        Preset::from_name(dialect.preset()).expect("a dialect names one of the presets")
    }

    /// The side of the authors' own input, in pixels.
    pub const fn side(self) -> usize {
        match self {
            Preset::Caffenet | Preset::Krizhevsky => 227,
            _ => 224,
        }
    }

    /// The rule for an input of `side` pixels. Where the authors leave a margin, 256 for 224 or 227, other sides get one
    /// in proportion.
    pub fn rule(self, side: usize) -> Rule {
        let (wider, wider_227) = (side.saturating_mul(8) / 7, side.saturating_mul(256) / 227);
        let (input, geometry, resize) = match self {
            Preset::ShortSide => (Input::CAFFE, Geometry::ShortSide, wider),
            Preset::Bvlc => (Input::CAFFE, Geometry::Warp, wider),
            Preset::BvlcCpp => (Input::CAFFE, Geometry::Warp, side),
            Preset::OnnxZoo => (Input::ONNX_ZOO, Geometry::WarpBicubic, side),
            Preset::Torchvision => (Input::SYMMETRIC, Geometry::Torchvision, wider),
            Preset::TfSlim => (Input::SYMMETRIC, Geometry::TfSlim, side),
            Preset::Caffenet => (Input::CAFFENET, Geometry::Warp, wider_227),
            Preset::Krizhevsky => (Input::CAFFENET, Geometry::ShortSide, wider_227),
        };
        let Input { channels, mean, std } = input;
        Rule { geometry, channels, mean, std, resize }
    }
}
