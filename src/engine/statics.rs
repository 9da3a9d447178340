//! Weights that are linked into the program.

/// The bytes of a weight file, as part of the program, for [`Model::from_static`](crate::Model::from_static): a
/// `&'static [u8]` that begins at a multiple of 64 bytes, so that nothing is copied; `include_bytes!` alone does not
/// promise that. The path is relative to the file that invokes the macro, as with `include_bytes!`.
///
/// ```
/// use googlenet::{Model, include_weights};
///
/// static WEIGHTS: &[u8] = include_weights!(concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors"));
///
/// assert_eq!(WEIGHTS.as_ptr().align_offset(64), 0);
/// assert_eq!(Model::from_static(WEIGHTS)?.labels()[3], "cat");
/// # Ok::<(), googlenet::Error>(())
/// ```
#[macro_export]
macro_rules! include_weights {
    ($path:expr $(,)?) => {{
        #[repr(C, align(64))]
        struct Aligned<B: ?Sized>(B);
        const BYTES: &Aligned<[u8]> = &Aligned(*include_bytes!($path));
        &BYTES.0
    }};
}
