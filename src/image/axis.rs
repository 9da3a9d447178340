//! One axis of a resized picture, and which positions along it are computed.
//!
//! Of a long picture only the ends and the middle reach a crop. Computing no more than them makes memory follow the
//! crops and never the picture's shape: a picture of 50,000x1 pixels, resized until its short side is 256, would have
//! 12.8 million columns.

use std::ops::Range;

/// An axis of `in_len` source positions, resized to `out_len`, of which the `kept` ones are computed and stored side by
/// side.
#[derive(Clone, Debug)]
pub struct Axis {
    pub in_len: usize,
    pub out_len: usize,
    /// The computed ranges of `0..out_len`, in order, no two of them touching.
    kept: Vec<Range<usize>>,
}

impl Axis {
    /// An axis of which only `range` is computed.
    pub fn part(in_len: usize, out_len: usize, range: Range<usize>) -> Self {
        Self::new(in_len, out_len, std::iter::once(range).collect())
    }

    /// An axis of which the ranges in `wanted` are computed; they may stand in any order and overlap.
    pub fn new(in_len: usize, out_len: usize, mut wanted: Vec<Range<usize>>) -> Self {
        wanted.sort_by_key(|range| range.start);
        let mut kept: Vec<Range<usize>> = Vec::with_capacity(wanted.len());
        for range in wanted {
            debug_assert!(range.end <= out_len);
            match kept.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => kept.push(range),
            }
        }
        Self { in_len, out_len, kept }
    }

    /// How many positions are computed.
    pub fn len(&self) -> usize {
        self.kept.iter().map(Range::len).sum()
    }

    /// The index of position `x` among the computed ones; `x` must be one of them.
    pub fn index_of(&self, x: usize) -> usize {
        let mut before = 0;
        for range in &self.kept {
            if range.contains(&x) {
                return before + x - range.start;
            }
            before += range.len();
        }
        unreachable!("position {x} was not asked for")
    }

    /// The positions that are computed, in order.
    pub fn positions(&self) -> impl Iterator<Item = usize> {
        self.kept.iter().cloned().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_one() {
        let axis = Axis::new(9, 100, vec![90..100, 0..10, 5..20, 20..21, 40..50]);
        assert_eq!(axis.kept, [0..21, 40..50, 90..100]);
        assert_eq!(axis.len(), 41);
        for (index, x) in axis.positions().enumerate() {
            assert_eq!(axis.index_of(x), index);
        }
        assert!(axis.positions().eq((0..21).chain(40..50).chain(90..100)));
    }
}
