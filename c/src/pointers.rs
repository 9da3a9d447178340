//! Pointers from C: they are checked for null, their lengths for what Rust allows, and their texts for UTF-8.

use std::ffi::{CStr, c_char};

use super::status::{Failure, Status};

fn null(name: &str) -> Failure {
    Failure::new(Status::GOOGLENET_ERR_NULL, format!("{name} is null"))
}

/// The reference that `pointer` is, or a failure that names the argument `name`.
///
/// # Safety
/// `pointer` is null or valid for `'a`.
pub(super) unsafe fn get<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Failure> {
    // SAFETY: the caller promises that `pointer` is null or valid.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// The struct that `pointer` is, or a failure that names the argument `name`: no reference is made to what is smaller or
/// larger than this library's.
///
/// # Safety
/// `pointer` is null, or valid for `'a` and as many bytes as its first field says, its size.
pub(super) unsafe fn sized<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Failure> {
    if pointer.is_null() {
        return Err(null(name));
    }
    check_alignment(pointer, name)?;
    // SAFETY: `pointer` is aligned and not null; the caller promises that a size is there.
    check_size::<T>(unsafe { pointer.cast::<usize>().read() }, name)?;
    // SAFETY: as above, and the struct has all of its fields.
    Ok(unsafe { &*pointer })
}

/// The pointer to where a result goes, checked for null. What it points to may be uninitialised.
pub(super) fn out<T>(pointer: *mut T, name: &str) -> Result<*mut T, Failure> {
    if pointer.is_null() { Err(null(name)) } else { Ok(pointer) }
}

/// Writes a result for which the caller may pass null, if it does not want it.
///
/// # Safety
/// `pointer` is null or may be written.
pub(super) unsafe fn put<T>(pointer: *mut T, value: T) {
    if !pointer.is_null() {
        // SAFETY: `pointer` is not null, and the caller promises that it may then be written.
        unsafe { pointer.write(value) };
    }
}

/// The slice of `length` elements at `pointer`, or a failure that names the argument `name`.
///
/// # Safety
/// `pointer` is null or valid for `length` elements for `'a`.
pub(super) unsafe fn slice<'a, T>(pointer: *const T, length: usize, name: &str) -> Result<&'a [T], Failure> {
    check_length::<T>(length, name)?;
    if pointer.is_null() {
        return Err(null(name));
    }
    check_alignment(pointer, name)?;
    // SAFETY: `pointer` is not null and aligned, and the length is one that a slice may have; the caller promises the
    // rest.
    Ok(unsafe { std::slice::from_raw_parts(pointer, length) })
}

/// The slice of `length` numbers at `pointer`, for writing, all of them 0, or a failure that names the argument `name`.
///
/// # Safety
/// `pointer` is null, or valid for writes of `length` numbers, which may be uninitialised, for `'a`, and nobody else uses them
/// meanwhile.
pub(super) unsafe fn cleared<'a>(pointer: *mut f32, length: usize, name: &str) -> Result<&'a mut [f32], Failure> {
    check_length::<f32>(length, name)?;
    if pointer.is_null() {
        return Err(null(name));
    }
    check_alignment(pointer, name)?;
    // SAFETY: `pointer` is not null and aligned, and the length is one that a slice may have; the caller promises the
    // rest. What it points to is initialised before there is a slice of it.
    unsafe {
        pointer.write_bytes(0, length);
        Ok(std::slice::from_raw_parts_mut(pointer, length))
    }
}

fn check_length<T>(length: usize, name: &str) -> Result<(), Failure> {
    match length.checked_mul(size_of::<T>()) {
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok(()),
        _ => {
            let text = format!("{name} of {length} elements is larger than any memory");
            Err(Failure::new(Status::GOOGLENET_ERR_LENGTH, text))
        }
    }
}

fn check_alignment<T>(pointer: *const T, name: &str) -> Result<(), Failure> {
    if pointer.is_aligned() {
        return Ok(());
    }
    let text = format!("{name} does not begin at a multiple of {} bytes", align_of::<T>());
    Err(Failure::new(Status::GOOGLENET_ERR_ARGUMENT, text))
}

/// The text at `pointer`, which ends in zero, or a failure that names the argument `name`.
///
/// # Safety
/// `pointer` is null or such a text, valid for `'a`.
pub(super) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str, Failure> {
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: `pointer` is not null, and the caller promises that it is then a text that ends in zero.
    let text = unsafe { CStr::from_ptr(pointer) }.to_str();
    text.map_err(|_| Failure::new(Status::GOOGLENET_ERR_ARGUMENT, format!("{name} is not UTF-8")))
}

/// Checks that `found`, which a struct of C says is its size, is the one that this library knows. A later version will
/// know older sizes, too.
pub(super) fn check_size<T>(found: usize, name: &str) -> Result<(), Failure> {
    if found == size_of::<T>() {
        return Ok(());
    }
    let text = format!("{name}->struct_size is {found}, this library knows {}", size_of::<T>());
    Err(Failure::new(Status::GOOGLENET_ERR_STRUCT_SIZE, text))
}

#[cfg(test)]
mod tests {
    use super::super::image::Image;
    use super::*;

    /// Of a struct of another version there may be no more than its size: Miri would see a reference to more.
    #[test]
    fn of_a_smaller_struct_only_the_size_is_read() {
        let size = size_of::<usize>();
        // SAFETY: as many bytes as the first field says are there.
        let refused = unsafe { sized::<Image>((&raw const size).cast(), "image") };
        assert!(refused.is_err());
    }
}
