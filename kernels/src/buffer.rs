//! How large a buffer may be, and bytes as what they hold.
//!
//! Packed weights and scratch are bytes to everyone but the kernel family that fills them. Their lengths are products
//! of sizes, and an address is checked against a length: a product that wraps around would pass the check and leave the
//! buffer. So every product is made here, where it is refused if it is more than any buffer holds, 2^29 elements on
//! machines of 32 bits.

use bytemuck::{AnyBitPattern, NoUninit, PodCastError};

/// The most elements of a buffer of f32: no allocation has more than `isize::MAX` bytes.
pub(crate) const MOST: u64 = isize::MAX as u64 / size_of::<f32>() as u64;

/// Whether a buffer of `sizes` has at most `most` elements. A size of 0 counts as 1: the product of any of the sizes is
/// then as small, too, be it of a row of a buffer that has no rows.
pub(crate) fn fits(most: u64, sizes: &[usize]) -> bool {
    let product = sizes.iter().try_fold(1_u64, |product, &size| product.checked_mul(size.max(1) as u64));
    product.is_some_and(|product| product <= most)
}

/// Elements of a buffer of `sizes`.
///
/// # Panics
/// If they are more than a buffer can have.
pub(crate) fn elements(sizes: &[usize]) -> usize {
    assert!(fits(MOST, sizes), "a buffer of {sizes:?} is larger than memory");
    sizes.iter().product()
}

/// Bytes of a buffer of `len` f32.
///
/// # Panics
/// If they are more than a buffer can have.
pub(crate) fn bytes_of(len: usize) -> usize {
    elements(&[len]) * size_of::<f32>()
}

/// The elements that `bytes` holds.
///
/// # Panics
/// If `bytes` is not aligned as they are, or ends inside one.
pub(crate) fn cast<T: AnyBitPattern>(bytes: &[u8]) -> &[T] {
    bytemuck::try_cast_slice(bytes).unwrap_or_else(|error| refuse::<T>(error, bytes.len()))
}

/// The elements that `bytes` holds, to be changed.
///
/// # Panics
/// If `bytes` is not aligned as they are, or ends inside one.
pub(crate) fn cast_mut<T: AnyBitPattern + NoUninit>(bytes: &mut [u8]) -> &mut [T] {
    let len = bytes.len();
    bytemuck::try_cast_slice_mut(bytes).unwrap_or_else(|error| refuse::<T>(error, len))
}

#[cold]
fn refuse<T>(error: PodCastError, len: usize) -> ! {
    panic!("{len} bytes cannot be taken as elements of {} bytes, aligned: {error}", size_of::<T>());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a buffer holds where `usize` has 32 bits.
    pub(crate) const MOST_OF_32_BITS: u64 = i32::MAX as u64 / 4;

    #[test]
    fn a_product_that_wraps_is_too_large_whatever_it_wraps_to() {
        // 2^32 elements: 0 in 32 bits.
        assert!(!fits(MOST_OF_32_BITS, &[1 << 15, 1 << 15, 4]));
        assert!(!fits(MOST_OF_32_BITS, &[1 << 15, 0, 1 << 15]));
        assert!(fits(MOST_OF_32_BITS, &[1 << 15, 1 << 13]) && !fits(MOST_OF_32_BITS, &[1 << 15, 1 << 14]));
        // 2^66: 0 in 64 bits, 4 in 128 less 64.
        assert!(!fits(MOST, &[1 << 31, 1 << 31, 4]) && !fits(u64::MAX, &[usize::MAX, usize::MAX, usize::MAX]));
        assert!(fits(MOST, &[]) && fits(MOST, &[0, 1 << 20]));
    }

    #[test]
    #[should_panic(expected = "larger than memory")]
    fn more_elements_than_memory_are_refused() {
        elements(&[usize::MAX / 2, 3]);
    }

    #[test]
    #[should_panic(expected = "5 bytes cannot be taken as elements of 4")]
    fn half_an_element_is_refused() {
        cast::<f32>(&[0; 5]);
    }

    #[test]
    #[should_panic(expected = "aligned")]
    fn bytes_at_an_odd_address_are_refused() {
        let mut floats = [0.0_f32; 3];
        cast_mut::<f32>(&mut bytemuck::cast_slice_mut(&mut floats)[1..9]);
    }
}
