//! A window onto an NCHW buffer: some pixels of some channels.
//!
//! In NCHW a channel is a contiguous plane, so the same pixels of several channels are rows of equal length that
//! lie one plane apart. Two threads that fill different pixels of one buffer hold windows whose rows interleave;
//! no slice can say that, [`RowsMut`] can. A window onto bytes becomes one onto what they hold ([`RowsMut::cast`]).

use core::marker::PhantomData;
use core::ops::Range;

use bytemuck::{AnyBitPattern, NoUninit};

/// `rows` rows of `len` contiguous elements whose starts lie `stride` elements apart, borrowed mutably.
pub struct RowsMut<'a, T = f32> {
    first: *mut T,
    rows: usize,
    len: usize,
    stride: usize,
    borrow: PhantomData<&'a mut T>,
}

// SAFETY: a `RowsMut` is the only path to its elements, as a `&mut [T]` would be.
unsafe impl<T: Send> Send for RowsMut<'_, T> {}

impl<'a, T> RowsMut<'a, T> {
    /// The window of `rows` rows of `len` elements at the start of `buffer`, row starts `stride` apart.
    ///
    /// # Panics
    /// If rows overlap (`len > stride` with more than one row) or reach past the end of `buffer`.
    pub fn new(buffer: &'a mut [T], rows: usize, len: usize, stride: usize) -> Self {
        if rows > 0 {
            assert!(rows == 1 || len <= stride, "rows of {len} at stride {stride} overlap");
            let end = (rows - 1).checked_mul(stride).and_then(|last| last.checked_add(len));
            assert!(
                end.is_some_and(|end| end <= buffer.len()),
                "{rows} rows of {len} at stride {stride} in a buffer of {}",
                buffer.len()
            );
        }
        // SAFETY: asserted above: every row lies in `buffer`, which is borrowed mutably for 'a, and no two overlap.
        unsafe { Self::from_raw(buffer.as_mut_ptr(), rows, len, stride) }
    }

    /// The same window at a bare address.
    ///
    /// # Safety
    /// If there are rows, `first` is aligned and not null. For the whole of `'a` each of the `rows` rows, `len` initialised
    /// elements from `first + row * stride`, must be valid for reads and writes, all of them in one allocation and at most
    /// `isize::MAX` bytes from end to end; rows must not overlap, and nothing else may touch their elements.
    pub unsafe fn from_raw(first: *mut T, rows: usize, len: usize, stride: usize) -> Self {
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
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.first
    }

    /// Row `row`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: `row` is one of the rows, which this window alone may touch while it is borrowed.
        unsafe { core::slice::from_raw_parts_mut(self.first.add(row * self.stride), self.len) }
    }

    /// The part of the window that holds the columns `cols` of the rows `rows`.
    ///
    /// # Panics
    /// If either range reaches outside the window.
    pub fn window(&mut self, rows: Range<usize>, cols: Range<usize>) -> RowsMut<'_, T> {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows {rows:?} of {}", self.rows);
        assert!(cols.start <= cols.end && cols.end <= self.len, "columns {cols:?} of {}", self.len);
        // Of a window without rows or columns this may point anywhere, so nothing here may overflow.
        let first = self.first.wrapping_add(rows.start.wrapping_mul(self.stride).wrapping_add(cols.start));
        // SAFETY: asserted above: a part of this window, or no rows, of which nothing is asked; it is borrowed as long as the
        // part lives.
        unsafe { RowsMut::from_raw(first, rows.len(), cols.len(), self.stride) }
    }
}

impl<'a> RowsMut<'a, u8> {
    /// The same window as one of the elements that its bytes hold.
    ///
    /// # Panics
    /// If the first row is not aligned as they are, or rows end or, where there are several, begin inside an element.
    pub fn cast<T: AnyBitPattern + NoUninit>(self) -> RowsMut<'a, T> {
        let size = size_of::<T>();
        assert!(self.first.cast::<T>().is_aligned(), "a window of bytes is not aligned for elements of {size}");
        let whole = self.len.is_multiple_of(size) && (self.rows <= 1 || self.stride.is_multiple_of(size));
        assert!(whole, "rows of {} bytes at stride {} for elements of {size}", self.len, self.stride);
        // SAFETY: asserted above: the same bytes, every row at an aligned address and of whole elements, since all
        // begin a multiple of `size` after the first. Any bytes are a `T`, and a `T` leaves no byte uninitialised.
        unsafe { RowsMut::from_raw(self.first.cast(), self.rows, self.len / size, self.stride / size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_bytes_is_one_of_what_they_hold() {
        let mut buffer = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        let bytes = bytemuck::cast_slice_mut(&mut buffer);
        let mut floats = RowsMut::new(&mut bytes[4..], 2, 8, 12).cast::<f32>();
        assert_eq!((floats.rows(), floats.row_len(), floats.stride()), (2, 2, 3));
        assert_eq!(floats.row(1), [5.0, 6.0]);
        floats.row(0)[1] = -1.0;
        assert_eq!(buffer, [1.0, 2.0, -1.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    #[cfg_attr(panic = "abort", ignore = "a panic ends the program here")]
    fn bytes_that_are_no_rows_of_elements_are_refused() {
        // The first byte, a row's length and the distance of rows, wrong in turn; one row may have any distance.
        for (at, len, stride, rows, fits) in
            [(4, 8, 12, 2, true), (3, 8, 12, 2, false), (4, 7, 12, 2, false), (4, 8, 11, 2, false), (4, 8, 11, 1, true)]
        {
            let mut buffer = [0.0_f32; 6];
            let cast = std::panic::catch_unwind(move || {
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut buffer);
                RowsMut::new(&mut bytes[at..], rows, len, stride).cast::<f32>().row(0).len()
            });
            assert_eq!(cast.is_ok(), fits, "{rows} rows of {len} bytes at {at}, {stride} apart");
        }
    }

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
