//! A window onto an NCHW buffer: some pixels of some channels.
//!
//! In NCHW a channel is a contiguous plane, so the same pixels of several channels are rows of equal length that
//! lie one plane apart. Two threads that fill different pixels of one buffer hold windows whose rows interleave;
//! no slice can say that, [`RowsMut`] can.

use core::marker::PhantomData;
use core::ops::Range;

/// `rows` rows of `len` contiguous f32 whose starts lie `stride` elements apart, borrowed mutably.
pub struct RowsMut<'a> {
    first: *mut f32,
    rows: usize,
    len: usize,
    stride: usize,
    borrow: PhantomData<&'a mut f32>,
}

// SAFETY: a `RowsMut` is the only path to its elements, as a `&mut [f32]` would be, and f32 is Send.
unsafe impl Send for RowsMut<'_> {}

impl<'a> RowsMut<'a> {
    /// The window of `rows` rows of `len` elements at the start of `buffer`, row starts `stride` apart.
    ///
    /// # Panics
    /// If rows overlap (`len > stride` with more than one row) or reach past the end of `buffer`.
    pub fn new(buffer: &'a mut [f32], rows: usize, len: usize, stride: usize) -> Self {
        if rows > 0 {
            assert!(rows == 1 || len <= stride, "rows of {len} at stride {stride} overlap");
            let end = (rows - 1).checked_mul(stride).and_then(|last| last.checked_add(len));
            assert!(
                end.is_some_and(|end| end <= buffer.len()),
                "{rows} rows of {len} at stride {stride} in a buffer of {}",
                buffer.len()
            );
        }
        // SAFETY: asserted above: every row lies in `buffer`, which is borrowed mutably for 'a.
        unsafe { Self::from_raw(buffer.as_mut_ptr(), rows, len, stride) }
    }

    /// The same window at a bare address.
    ///
    /// # Safety
    /// For the whole of `'a` each of the `rows` rows, `len` elements from `first + row * stride`, must be valid
    /// for reads and writes, rows must not overlap, and nothing else may touch their elements.
    pub unsafe fn from_raw(first: *mut f32, rows: usize, len: usize, stride: usize) -> Self {
        Self { first, rows, len, stride, borrow: PhantomData }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many elements a row has.
    pub fn row_len(&self) -> usize {
        self.len
    }

    /// The distance between two row starts, in elements.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The address of the first row's first element.
    pub fn as_mut_ptr(&mut self) -> *mut f32 {
        self.first
    }

    /// Row `row`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: `row` is one of the rows, which this window alone may touch while it is borrowed.
        unsafe { core::slice::from_raw_parts_mut(self.first.add(row * self.stride), self.len) }
    }

    /// The part of the window that holds the columns `cols` of the rows `rows`.
    ///
    /// # Panics
    /// If either range reaches outside the window.
    pub fn window(&mut self, rows: Range<usize>, cols: Range<usize>) -> RowsMut<'_> {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows {rows:?} of {}", self.rows);
        assert!(cols.start <= cols.end && cols.end <= self.len, "columns {cols:?} of {}", self.len);
        let first = self.first.wrapping_add(rows.start * self.stride + cols.start);
        // SAFETY: asserted above: a part of this window, which is borrowed as long as the part lives.
        unsafe { RowsMut::from_raw(first, rows.len(), cols.len(), self.stride) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_a_window_is_the_elements_it_names() {
        let mut buffer: Vec<f32> = (0..30).map(|i| i as f32).collect();
        let mut all = RowsMut::new(&mut buffer[1..], 3, 6, 10);
        let mut part = all.window(1..3, 2..5);
        assert_eq!((part.rows(), part.row_len(), part.stride()), (2, 3, 10));
        assert_eq!(part.row(0), [13.0, 14.0, 15.0]);
        assert_eq!(part.row(1), [23.0, 24.0, 25.0]);
        part.row(1)[2] = -1.0;
        assert_eq!(buffer[25], -1.0);
    }

    #[test]
    #[should_panic(expected = "in a buffer of 5")]
    fn a_window_past_the_end_is_refused() {
        RowsMut::new(&mut [0.0; 5], 2, 2, 4);
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn rows_that_overlap_are_refused() {
        RowsMut::new(&mut [0.0; 9], 2, 3, 2);
    }
}
