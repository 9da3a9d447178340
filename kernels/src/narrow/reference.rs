//! The reference: integers from the definition.

use crate::conv::ConvShape;

/// A convolution of bytes by its definition: for each output channel and pixel the sum, exact in 64 bits.
pub fn conv2d_int8_ref(shape: &ConvShape, x: &[u8], w: &[i8]) -> Vec<i64> {
    let s = shape;
    let mut sums = Vec::new();
    for (o, y, column) in (0..s.oc).flat_map(|o| (0..s.oh).flat_map(move |y| (0..s.ow).map(move |x| (o, y, x)))) {
        let mut sum = 0;
        for (ky, kx) in (0..s.kh).flat_map(|ky| (0..s.kw).map(move |kx| (ky, kx))) {
            let (iy, ix) = (y * s.stride_h + ky, column * s.stride_w + kx);
            if iy < s.pad_t || ix < s.pad_l || iy - s.pad_t >= s.ih || ix - s.pad_l >= s.iw {
                continue;
            }
            for c in 0..s.ic {
                let weight = w[((o * s.ic + c) * s.kh + ky) * s.kw + kx];
                sum += i64::from(weight) * i64::from(x[(c * s.ih + iy - s.pad_t) * s.iw + ix - s.pad_l]);
            }
        }
        sums.push(sum);
    }
    sums
}
