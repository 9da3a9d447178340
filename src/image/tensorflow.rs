//! What `tf.image.resize_bilinear` of TensorFlow 1 makes of RGB (`align_corners` and `half_pixel_centers` false): two
//! taps an axis whatever the scale, in f32, not rounded to bytes.
//!
//! ```text
//! f       = x * (in / out), i = floor(f), f -= i                                      (f32)
//! top     = in[iy][ix] + (in[iy][ix + 1] - in[iy][ix]) * fx
//! bottom  = the same of row iy + 1
//! out     = top + (bottom - top) * fy
//! ```
//!
//! Source: TensorFlow 1, `core/kernels/resize_bilinear_op.cc` (`compute_interpolation_weights`, `compute_lerp`). There
//! pixels are 0 to 1; here they are 0 to 255, which changes nothing but roundings.

use super::axis::Axis;

/// The kept rows and columns of the resized picture, `[rows, columns, 3]`; `row` gives a source row's pixels.
pub fn bilinear<'a, T>(row: impl Fn(usize) -> &'a [T], columns: &Axis, rows: &Axis) -> Vec<f32>
where
    T: Copy + Into<f32> + 'a,
{
    let across: Vec<Taps> = columns.positions().map(|x| Taps::new(columns, x)).collect();
    let mut out = Vec::with_capacity(3 * columns.len() * rows.len());
    for y in rows.positions() {
        let down = Taps::new(rows, y);
        let (upper, lower) = (row(down.first).as_chunks::<3>().0, row(down.second).as_chunks::<3>().0);
        for taps in &across {
            for c in 0..3 {
                let between = |pixels: &[[T; 3]]| {
                    let (a, b): (f32, f32) = (pixels[taps.first][c].into(), pixels[taps.second][c].into());
                    a + (b - a) * taps.share
                };
                let (top, bottom) = (between(upper), between(lower));
                out.push(top + (bottom - top) * down.share);
            }
        }
    }
    out
}

/// The two taps of an output position: source neighbours, and the share of the second; the first has the rest.
struct Taps {
    first: usize,
    second: usize,
    share: f32,
}

impl Taps {
    fn new(axis: &Axis, x: usize) -> Self {
        let scale = axis.in_len as f32 / axis.out_len as f32;
        let at = x as f32 * scale;
        let last = axis.in_len - 1;
        // Rounding may carry the last position of a very long axis past its end.
        let first = (at.floor() as usize).min(last);
        Self { first, second: (first + 1).min(last), share: at - at.floor() }
    }
}
