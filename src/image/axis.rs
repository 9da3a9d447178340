//! One axis of a resized picture, as far as it is wanted.
//!
//! Of a long picture only the ends and the middle reach a crop, so that memory follows the crops and never the
//! picture's shape: 50,000x1 pixels with the short side at 256 would be 12.8 million columns.

use std::ops::Range;

/// `in_len` source positions made `out_len`, of which the `kept` ones are computed, side by side.
#[derive(Clone, Debug)]
pub struct Axis {
    pub in_len: usize,
    pub out_len: usize,
    /// In order, none touching the next.
    kept: Vec<Range<usize>>,
}

impl Axis {
    /// Only `range`.
    pub fn part(in_len: usize, out_len: usize, range: Range<usize>) -> Self {
        Self::new(in_len, out_len, std::iter::once(range).collect())
    }

    /// `wanted` in any order, overlapping or not.
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

    /// Where among the computed ones the position `x` is.
    pub fn place(&self, x: usize) -> usize {
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
        for (place, x) in axis.positions().enumerate() {
            assert_eq!(axis.place(x), place);
        }
        assert!(axis.positions().eq((0..21).chain(40..50).chain(90..100)));
    }
}
