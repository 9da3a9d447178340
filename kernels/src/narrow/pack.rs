//! Packing: weights into blocks `[word][width]`, once; and how weights become bytes.

use super::{Kernel, words, words_of_row};
use crate::conv::{Block, ConvShape, blocks_of};
use crate::element::Bf16;

/// Rounds the weights of an output channel to bytes: each divided by `scale`, to the nearest, of two to the even, at least
/// -127 and at most 127; 0 for NaN.
///
/// # Panics
/// If `w` and `q` differ in length.
pub fn quantise(w: &[f32], scale: f32, q: &mut [i8]) {
    assert_eq!(w.len(), q.len(), "weights and what they become");
    for (q, w) in q.iter_mut().zip(w) {
        *q = (w / scale).round_ties_even().clamp(-127.0, 127.0) as i8;
    }
}

/// The most that two neighbours of one sign may add up to: `255 * 128` is less than 2^15.
const MOST_OF_PAIR: i16 = 128;

/// Whether the bytes of one filter `[ic, kh, kw]` allow sums of two products in 16 bits, as AVX2 makes them: in each row of
/// the filter, whose `kw * ic` values are taken in the order `(kx, c)`, the first and second, the third and fourth, and so
/// on add up to at most 128 if both are positive, and to at least -128 if both are negative.
///
/// # Panics
/// If `q` is not `[ic, kh, kw]`.
pub fn is_pair_safe(shape: &ConvShape, q: &[i8]) -> bool {
    assert_eq!(q.len(), shape.steps(), "bytes of a filter");
    (0..shape.kh).all(|ky| {
        let at = |i: usize| i16::from(q[(i % shape.ic * shape.kh + ky) * shape.kw + i / shape.ic]);
        let row = shape.kw * shape.ic;
        (0..row / 2).all(|pair| {
            let (a, b) = (at(2 * pair), at(2 * pair + 1));
            // Of two signs the sum is no larger than either.
            (a + b).abs() <= MOST_OF_PAIR
        })
    })
}

impl Kernel {
    /// The blocks of `oc` output channels of `shape`, whose offsets are in words.
    pub(super) fn blocks(&self, oc: usize, shape: &ConvShape) -> impl Iterator<Item = Block> {
        blocks_of(self.oc, self.granule, oc, self.column(shape) - 1)
    }

    /// Words of a channel: its weights, and what lies behind them.
    pub(super) fn column(&self, shape: &ConvShape) -> usize {
        words(shape, self.arithmetic) + self.arithmetic.tail()
    }

    /// Packs `[oc, ic, kh, kw]` weights, whose bits `bits` gives, and behind the words of each block the rows of `tail`,
    /// `[oc]` each.
    pub(super) fn pack_words(
        &self,
        shape: &ConvShape,
        bits: impl Fn(usize) -> u32,
        tail: &[&[f32]],
        packed: &mut [u32],
    ) {
        let values = self.arithmetic.values();
        let (words, row) = (words_of_row(shape, values), shape.kw * shape.ic);
        packed.fill(0);
        for block in self.blocks(shape.oc, shape) {
            let packed = &mut packed[block.offset..][..block.width * self.column(shape)];
            let (rows, behind) = packed.split_at_mut(block.width * words * shape.kh);
            for lane in 0..block.live {
                let o = block.first + lane;
                for (ky, i) in (0..shape.kh).flat_map(|ky| (0..row).map(move |i| (ky, i))) {
                    let (kx, c) = (i / shape.ic, i % shape.ic);
                    let word = ky * words + i / values;
                    let value = bits(((o * shape.ic + c) * shape.kh + ky) * shape.kw + kx);
                    rows[word * block.width + lane] |= value << (32 / values * (i % values));
                }
                for (row, of_channels) in tail.iter().enumerate() {
                    behind[row * block.width + lane] = of_channels[o].to_bits();
                }
            }
        }
    }
}

/// The bits of a byte, as a word has them.
pub(super) fn of_byte(q: i8) -> u32 {
    u32::from(q.cast_unsigned())
}

/// The bits of the nearest bf16, as a word has them.
pub(super) fn of_bf16(w: f32) -> u32 {
    u32::from(Bf16::from_f32(w).0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn weights_become_the_nearest_bytes() {
        let w = [0.0, 0.24, 0.25, 0.26, -0.75, 63.5, 64.0, -1e9, f32::INFINITY, f32::NAN];
        let mut q = [99; 10];
        quantise(&w, 0.5, &mut q);
        assert_eq!(q, [0, 0, 0, 1, -2, 127, 127, -127, 127, 0]);
    }

    fn shape(ic: usize, kh: usize, kw: usize) -> ConvShape {
        ConvShape { ic, ih: 9, iw: 9, oc: 1, oh: 9, ow: 9, kh, kw, stride_h: 1, stride_w: 1, pad_t: 0, pad_l: 0 }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// A pair whose bytes are both seen with 255 fits 16 bits in every filter that is called safe, and in no other.
        #[test]
        fn safe_filters_are_those_whose_pairs_fit(
            (ic, kh, kw) in (1_usize..6, 1_usize..4, 1_usize..4),
            q in prop::collection::vec(-127_i8..=127, 5 * 3 * 3),
            small in 1_i8..=4,
        ) {
            let shape = shape(ic, kh, kw);
            let q: Vec<i8> = q[..shape.steps()].iter().map(|q| q / small).collect();
            let value = |ky: usize, kx: usize, c: usize| i32::from(q[(c * kh + ky) * kw + kx]);
            let mut fits = true;
            for ky in 0..kh {
                let row: Vec<i32> = (0..kw).flat_map(|kx| (0..ic).map(move |c| (kx, c))).map(|(kx, c)| value(ky, kx, c)).collect();
                for pair in row.chunks_exact(2) {
                    // The largest and smallest sums that bytes from 0 to 255 make of the pair.
                    let most: i32 = pair.iter().map(|q| 255 * q.max(&0)).sum();
                    let least: i32 = pair.iter().map(|q| 255 * q.min(&0)).sum();
                    fits &= most <= 255 * 128 && least >= -255 * 128;
                }
            }
            prop_assert_eq!(is_pair_safe(&shape, &q), fits);
        }
    }
}
