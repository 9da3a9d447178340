//! Many crops of a picture: each size of the picture is resized and normalised once, and crops are copied out of it.
//!
//! ```text
//! for each short side (one for 1 and 10 crops; 256, 288, 320, 352 for 144)
//!     canvas  = what the crops need of the picture, resized, normalised: f32 [3, rows, columns]
//!     squares = of 144 crops, each of three squares made the input's side: f32 [3, side, side]
//! crop i      = a window of a canvas or a whole square, mirrored or not: rows copied
//! ```
//!
//! Sources: Caffe's `python/caffe/io.py` (`oversample`) for the 10 crops; Szegedy et al. 2014, arXiv:1409.4842, section
//! 7, for the 144.

use std::ops::Range;

use super::axis::Axis;
use super::rule::Pixels;
use super::{Geometry, Rgb8, Rule, check, middle, normalise, tensorflow};
use crate::Result;
use crate::error::SessionError;
use crate::model::MAX_SIDE;

/// Which parts of a picture are looked at.
///
/// Where a rule leaves no margin around the middle, the 10 crops are taken of the whole picture at 8/7 of the input's
/// side, 256 for 224. The 144 crops are always taken of pictures that keep their shape; only the filter is the rule's.
///
/// ```
/// use googlenet::image::Crops;
///
/// assert_eq!(Crops::ALL.map(Crops::count), [1, 10, 144]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Crops {
    /// The middle, as [`prepare`](super::prepare) makes it.
    Centre,
    /// The four corners, row by row, and the middle; then the mirror images of these five.
    Ten,
    /// The 144 crops of GoogLeNet's paper. The short side becomes 8, 9, 10 and 11 sevenths of the input's side (256,
    /// 288, 320, 352 for 224), and three squares are taken along the long side of each. The crops of a square are its
    /// four corners, its middle, and the square itself, resized to the input's side; then the mirror images of these
    /// six.
    Paper,
}

impl Crops {
    /// All ways to crop that this crate knows.
    pub const ALL: [Crops; 3] = [Crops::Centre, Crops::Ten, Crops::Paper];

    /// How many crops of a picture there are.
    pub const fn count(self) -> usize {
        match self {
            Crops::Centre => 1,
            Crops::Ten => 10,
            Crops::Paper => 144,
        }
    }

    /// The crops of which there are `count`.
    pub fn from_count(count: usize) -> Option<Crops> {
        Crops::ALL.into_iter().find(|crops| crops.count() == count)
    }
}

/// A picture's crops, to be written one by one.
///
/// ```
/// use googlenet::image::{Crops, Cuts, Preset, Rgb8};
///
/// let grey = vec![128; 64 * 48 * 3];
/// let cuts = Cuts::new(Rgb8::new(64, 48, 64 * 3, &grey)?, &Preset::ShortSide.rule(32), 32, Crops::Ten)?;
/// let mut input = vec![0.0; 3 * 32 * 32];
/// cuts.write(9, &mut input);
/// assert_eq!(input[0], 24.0);
/// # Ok::<(), googlenet::Error>(())
/// ```
#[derive(Debug)]
pub struct Cuts {
    side: usize,
    canvases: Vec<Canvas>,
    cuts: Vec<Cut>,
    /// Planes of an earlier picture, to be written again: new ones are megabytes that the system would have to clear.
    spare: Vec<Vec<f32>>,
}

/// Normalised planes, `[3, height, width]`.
#[derive(Debug)]
struct Canvas {
    width: usize,
    height: usize,
    planes: Vec<f32>,
}

/// The window of a canvas that becomes a crop: its first column and row, and whether it is mirrored.
#[derive(Clone, Copy, Debug)]
struct Cut {
    canvas: usize,
    x: usize,
    y: usize,
    mirrored: bool,
}

impl Cuts {
    /// Resizes `image` as often as `crops` need it.
    ///
    /// # Errors
    ///
    /// The errors of [`prepare`](super::prepare) about `rule`, and [`SessionError::OutOfRange`] where `side` is too
    /// large for a network.
    pub fn new(image: Rgb8<'_>, rule: &Rule, side: usize, crops: Crops) -> Result<Self> {
        Self::none().with(image, rule, side, crops)
    }

    /// A value without crops, whose memory [`Cuts::with`] uses and enlarges.
    pub(crate) fn none() -> Self {
        Self { side: 0, canvases: Vec::new(), cuts: Vec::new(), spare: Vec::new() }
    }

    /// Replaces the crops by those of another picture, in the same memory.
    pub(crate) fn with(mut self, image: Rgb8<'_>, rule: &Rule, side: usize, crops: Crops) -> Result<Self> {
        check(rule, side)?;
        if side > MAX_SIDE {
            return Err(SessionError::OutOfRange { option: "input side", value: side, least: 1, most: MAX_SIDE }.into());
        }
        self.side = side;
        self.cuts.clear();
        self.spare.extend(self.canvases.drain(..).map(|canvas| canvas.planes));
        match crops {
            Crops::Centre => {
                let canvas = self.canvas(&middle(image, rule, side), rule, side, side);
                self.cuts.push(Cut { canvas, x: 0, y: 0, mirrored: false });
            }
            Crops::Ten => {
                // A rule without a margin is given one here, as all crops would be the middle otherwise. It is given it
                // around the whole picture: what slim's geometry leaves out is just such a margin.
                let (source, resize) = match rule.resize > side {
                    true => (rule.geometry.source(image), rule.resize),
                    false => (image, margin(side, 8)),
                };
                let size = rule.geometry.resized(source.size(), resize);
                self.windows(source, rule, size, &five(rule.geometry, [0, 0], [size.0, size.1], side));
                self.mirror(0);
            }
            Crops::Paper => {
                for sevenths in 8..=11 {
                    self.squares(image, rule, margin(side, sevenths));
                }
            }
        }
        debug_assert_eq!(self.len(), crops.count());
        Ok(self)
    }

    /// How many crops there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.cuts.len()
    }

    /// Writes crop `index` into `out`, `[3, side, side]`.
    ///
    /// # Panics
    ///
    /// If there is no such crop, or `out` is of another length.
    pub fn write(&self, index: usize, out: &mut [f32]) {
        let (cut, side) = (self.cuts[index], self.side);
        assert_eq!(out.len(), 3 * side * side, "an input's length");
        let canvas = &self.canvases[cut.canvas];
        let planes = canvas.planes.chunks_exact(canvas.width * canvas.height);
        for (out, plane) in out.chunks_exact_mut(side * side).zip(planes) {
            let rows = plane.chunks_exact(canvas.width).skip(cut.y);
            for (out, row) in out.chunks_exact_mut(side).zip(rows) {
                let row = &row[cut.x..][..side];
                if cut.mirrored {
                    out.iter_mut().zip(row.iter().rev()).for_each(|(out, &value)| *out = value);
                } else {
                    out.copy_from_slice(row);
                }
            }
        }
    }

    /// Adds a cut at each of the corners `at`, of `source` resized to `size`.
    fn windows(&mut self, source: Rgb8<'_>, rule: &Rule, size: (usize, usize), at: &[[usize; 2]]) {
        let sides = |axis: usize| at.iter().map(|at| at[axis]..at[axis] + self.side).collect();
        let columns = Axis::new(source.width, size.0, sides(0));
        let rows = Axis::new(source.height, size.1, sides(1));
        let pixels = rule.geometry.resample(source, &columns, &rows);
        let canvas = self.canvas(&pixels, rule, columns.len(), rows.len());
        let cut = |&[x, y]: &[usize; 2]| Cut { canvas, x: columns.index_of(x), y: rows.index_of(y), mirrored: false };
        self.cuts.extend(at.iter().map(cut));
    }

    /// Adds the paper's 36 cuts of `image` with its short side at `resize`.
    fn squares(&mut self, image: Rgb8<'_>, rule: &Rule, resize: usize) {
        let geometry = rule.geometry;
        let (width, height) = geometry.short_side(image.size(), resize);
        let long = width.max(height);
        let starts = [0, geometry.middle(long, resize), long - resize];
        let ranges: Vec<Range<usize>> = starts.iter().map(|&start| start..start + resize).collect();
        let (columns, rows) = if width <= height {
            (Axis::part(image.width, width, 0..resize), Axis::new(image.height, height, ranges))
        } else {
            (Axis::new(image.width, width, ranges), Axis::part(image.height, height, 0..resize))
        };
        let pixels = geometry.resample(image, &columns, &rows);
        let canvas = self.canvas(&pixels, rule, columns.len(), rows.len());
        for start in starts {
            let corner = if width <= height { [0, rows.index_of(start)] } else { [columns.index_of(start), 0] };
            let first = self.cuts.len();
            let cut = |[x, y]: [usize; 2]| Cut { canvas, x, y, mirrored: false };
            self.cuts.extend(five(geometry, corner, [resize; 2], self.side).map(cut));
            let square = self.shrunk(&pixels, rule, columns.len(), corner, resize);
            self.cuts.push(Cut { canvas: square, x: 0, y: 0, mirrored: false });
            self.mirror(first);
        }
    }

    /// Adds a canvas of the square of side `resize` at `corner` of `pixels`, resized to the input's side; returns its
    /// index. The rows of `pixels` are `width` long.
    fn shrunk(&mut self, pixels: &Pixels, rule: &Rule, width: usize, corner: [usize; 2], resize: usize) -> usize {
        let [x, y] = corner;
        let axis = Axis::part(resize, self.side, 0..self.side);
        let small = match pixels {
            Pixels::Bytes(bytes) => {
                let height = bytes.len() / (3 * width);
                let whole = Rgb8 { width, height, stride: 3 * width, data: bytes };
                rule.geometry.resample(whole.window(x, y, resize, resize), &axis, &axis)
            }
            Pixels::Floats(floats) => {
                let row = |iy: usize| &floats[3 * ((y + iy) * width + x)..][..3 * resize];
                Pixels::Floats(tensorflow::bilinear(row, &axis, &axis))
            }
        };
        self.canvas(&small, rule, self.side, self.side)
    }

    /// Adds a canvas of `pixels`, normalised; returns its index.
    fn canvas(&mut self, pixels: &Pixels, rule: &Rule, width: usize, height: usize) -> usize {
        let mut planes = self.spare.pop().unwrap_or_default();
        planes.resize(3 * width * height, 0.0); // every value is overwritten below
        normalise::pixels_to_planes(pixels, rule, &mut planes);
        self.canvases.push(Canvas { width, height, planes });
        self.canvases.len() - 1
    }

    /// Adds the mirror image of every cut from index `first` on.
    fn mirror(&mut self, first: usize) {
        let mirrored: Vec<Cut> = self.cuts[first..].iter().map(|&cut| Cut { mirrored: true, ..cut }).collect();
        self.cuts.extend(mirrored);
    }
}

/// A side of `sevenths` sevenths of `side`, which leaves a margin around a crop of `side`.
fn margin(side: usize, sevenths: usize) -> usize {
    side * sevenths / 7
}

/// Where the crops of `side` begin that lie in the four corners, row by row, and in the middle of the rectangle of
/// `size` at `corner`.
fn five(geometry: Geometry, corner: [usize; 2], size: [usize; 2], side: usize) -> [[usize; 2]; 5] {
    let [right, bottom] = size.map(|len| len - side);
    let middle = size.map(|len| geometry.middle(len, side));
    [[0, 0], [right, 0], [0, bottom], [right, bottom], middle].map(|[x, y]| [corner[0] + x, corner[1] + y])
}
