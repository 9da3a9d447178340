//! How pixels become a network's input, as those who published weights did it: the constants, and where each is from.

/// The order of the network's three input planes.
///
/// ```
/// use googlenet::model::Channels;
///
/// assert_eq!(Channels::from_name("bgr"), Some(Channels::Bgr));
/// assert_eq!(Channels::Rgb.name(), "rgb");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, as Caffe's models have it.
    Bgr,
}

impl Channels {
    /// The order's name in weight files.
    pub const fn name(self) -> &'static str {
        match self {
            Channels::Rgb => "rgb",
            Channels::Bgr => "bgr",
        }
    }

    /// The order that weight files call `name`.
    pub fn from_name(name: &str) -> Option<Channels> {
        [Channels::Rgb, Channels::Bgr].into_iter().find(|channels| channels.name() == name)
    }
}

/// What a network is fed: each plane is `(pixel - mean) / std` of one channel, the pixels being 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Input {
    /// The order of the planes.
    pub channels: Channels,
    /// What is subtracted from each channel, in the order of the planes.
    pub mean: [f32; 3],
    /// What each channel is divided by after the subtraction, in the order of the planes.
    pub std: [f32; 3],
}

impl Input {
    /// The input of Caffe's models: the three `mean_value`s of `models/bvlc_googlenet/train_val.prototxt`.
    pub const CAFFE: Input = Input { channels: Channels::Bgr, mean: [104.0, 117.0, 123.0], std: [1.0; 3] };
    /// The input of Caffe's versions of Krizhevsky's network: Caffe's planes with the channels' means over the mean
    /// picture of ILSVRC 2012, as Caffe's `examples/00-classification.ipynb` prints them.
    pub const CAFFENET: Input = Input { mean: [104.006_99, 116.668_77, 122.678_91], ..Input::CAFFE };
    /// The input of the ONNX model zoo's GoogLeNet: Caffe's planes with means that are not rounded.
    pub const ONNX_ZOO: Input = Input { mean: [103.939, 116.779, 123.68], ..Input::CAFFE };
    /// An input of values from -1 to 1, `2 x / 255 - 1`, as slim's `preprocessing/inception_preprocessing.py` makes it,
    /// and as torchvision's `transform_input` makes it of [`Input::IMAGENET`].
    pub const SYMMETRIC: Input = Input { channels: Channels::Rgb, mean: [127.5; 3], std: [127.5; 3] };
    /// An input by ImageNet's means and deviations as torchvision applies them: 0.485, 0.456, 0.406 and 0.229, 0.224,
    /// 0.225, each times 255.
    pub const IMAGENET: Input =
        Input { channels: Channels::Rgb, mean: [123.675, 116.28, 103.53], std: [58.395, 57.12, 57.375] };
}
