//! The options that C makes a session with.

use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use googlenet::{Options, Precision, isa};

use super::pointers;
use super::status::{Failure, Status, quietly};

/// Instruction sets.
#[repr(C)]
#[allow(non_camel_case_types, dead_code, reason = "the names that C sees, where they come in as integers")]
pub enum InstructionSet {
    /// The best of this machine, or the one that the environment variable `GOOGLENET_ISA` names.
    GOOGLENET_ISA_BEST = 0,
    /// None in particular; on every machine.
    GOOGLENET_ISA_PORTABLE = 1,
    /// NEON, on 64-bit ARM.
    GOOGLENET_ISA_NEON = 2,
    /// AVX2, FMA and F16C, on x86-64.
    GOOGLENET_ISA_AVX2 = 3,
    /// AVX-512 F, on x86-64.
    GOOGLENET_ISA_AVX512 = 4,
    /// 128-bit SIMD, in builds for WebAssembly.
    GOOGLENET_ISA_SIMD128 = 5,
    /// The same with relaxed SIMD, whose multiply-adds are fused where the machine can.
    GOOGLENET_ISA_RELAXED_SIMD = 6,
}

/// Precisions.
#[repr(C)]
#[allow(non_camel_case_types, dead_code, reason = "the names that C sees, where they come in as integers")]
pub enum PrecisionNumber {
    /// Single precision.
    GOOGLENET_PRECISION_F32 = 0,
    /// Weights, and activations where the machine multiplies them, rounded to bfloat16.
    GOOGLENET_PRECISION_BF16 = 1,
    /// Activations and weights of 8 bits, for weights that `googlenet quantize` made.
    GOOGLENET_PRECISION_INT8 = 2,
}

/// What a `googlenet_parallel_for` calls.
pub type LoopBody = unsafe extern "C" fn(argument: *mut c_void, index: usize);

/// A function of the caller's that lends its threads: it should call `body(argument, i)` for each `i` below `count`,
/// at once on as many threads as it can, and return when all these calls have. It may make fewer calls, or none, or one
/// after the other: what is left undone the calling thread does. It must not call `body` after it has returned, and no
/// exception and no `longjmp` may leave it. `context` is what the options say.
pub type ParallelFor =
    Option<unsafe extern "C" fn(context: *mut c_void, count: usize, body: LoopBody, argument: *mut c_void)>;

/// What a session is made for. Set all bytes to zero, then `struct_size`; a field that is zero means its default:
/// `googlenet_options options = GOOGLENET_OPTIONS_INIT;`
#[repr(C)]
pub struct SessionOptions {
    /// `sizeof(googlenet_options)`.
    pub struct_size: usize,
    /// Threads that work on a run, the caller's included, 1 to 256; by default 1, which starts none.
    pub threads: u32,
    /// Images of a run, 1 to 4096; by default 1. With at least as many images as threads each takes whole images.
    pub batch: u32,
    /// The input side in pixels, 32 to 4096; by default the weights' own. `batch * side * side` is at most 67108864.
    pub side: u32,
    /// A `googlenet_isa`; by default `GOOGLENET_ISA_BEST`.
    pub isa: u32,
    /// Layers whose outputs are kept, by the names of the Caffe model: `endpoint_count` texts. A module's name stands
    /// for its output, and what stands before a slash for the layer where only one begins so: "pool5" is "pool5/7x7_s1",
    /// the 1024 features that the classifier sees.
    pub endpoints: *const *const c_char,
    /// How many there are.
    pub endpoint_count: usize,
    /// 1 to keep what `googlenet_session_class_map` needs.
    pub class_maps: u32,
    /// A `googlenet_precision`; by default `GOOGLENET_PRECISION_F32`.
    pub precision: u32,
    /// Lends `threads` threads for the time of a run, instead of threads of the session's own; null for those. It is
    /// called by the thread that makes the session or runs it, once, or once an image with fewer images than threads;
    /// never for one thread.
    pub parallel_for: ParallelFor,
    /// Handed to `parallel_for`; it may be called from whichever thread uses the session.
    pub parallel_for_context: *mut c_void,
}

impl SessionOptions {
    /// The engine's options that `options` stand for; null stands for the engine's defaults.
    ///
    /// # Safety
    /// `options` is null or valid, and so is all it points to.
    pub(super) unsafe fn read(options: *const Self) -> Result<Options, Failure> {
        if options.is_null() {
            return Ok(Options::new());
        }
        // SAFETY: the caller promises that `options` is valid; its first field is its size.
        let options = unsafe { pointers::sized(options, "options") }?;
        let mut read = Options::new();
        let argument = |text: String| Failure::new(Status::GOOGLENET_ERR_ARGUMENT, text);
        if options.class_maps > 1 {
            return Err(argument(format!("options->class_maps is {}, neither 0 nor 1", options.class_maps)));
        }
        let Some(&precision) = Precision::ALL.get(options.precision as usize) else {
            return Err(argument(format!("options->precision is {}, which stands for none", options.precision)));
        };
        read = read.class_maps(options.class_maps == 1).precision(precision);
        let threads = options.threads.max(1) as usize;
        read = match options.parallel_for {
            None => read.threads(threads),
            Some(_) => {
                let caller = Caller { parallel_for: options.parallel_for, context: options.parallel_for_context };
                read.parallel_for(threads, move |count, body| caller.call(count, body))
            }
        };
        read = read.batch(options.batch.max(1) as usize);
        if options.side != 0 {
            read = read.side(options.side as usize);
        }
        if options.isa != InstructionSet::GOOGLENET_ISA_BEST as u32 {
            read = read.isa(set(options.isa)?);
        }
        if options.endpoint_count > 0 {
            let (pointer, count) = (options.endpoints, options.endpoint_count);
            // SAFETY: the caller promises that `endpoints` is null or valid for `endpoint_count` elements.
            let endpoints = unsafe { pointers::slice(pointer, count, "options->endpoints") }?;
            for (i, &name) in endpoints.iter().enumerate() {
                // SAFETY: the caller promises that each name is null or a text that ends in zero.
                read = read.endpoint(unsafe { pointers::text(name, &format!("options->endpoints[{i}]")) }?);
            }
        }
        Ok(read)
    }
}

/// The set that a `googlenet_isa` stands for, if this machine has it.
fn set(number: u32) -> Result<isa::Isa, Failure> {
    let failure = |text: String| Failure::new(Status::GOOGLENET_ERR_ISA, format!("options->isa is {number}, {text}"));
    let name = number.checked_sub(1).and_then(|index| isa::NAMES.get(index as usize));
    let name = *name.ok_or_else(|| failure("which stands for no instruction set".into()))?;
    let found = isa::detected().find(|isa| isa.name() == name);
    found.ok_or_else(|| failure(format!("{name}, which this machine does not have")))
}

/// The number that stands for a set.
pub(super) fn number(isa: isa::Isa) -> u32 {
    let index = isa::NAMES.iter().position(|&name| name == isa.name()).expect("every set is listed");
    index as u32 + 1
}

/// The number that stands for a precision.
pub(super) fn precision_number(precision: Precision) -> u32 {
    let index = Precision::ALL.iter().position(|&known| known == precision).expect("every precision is listed");
    index as u32
}

/// The function that the caller lends threads by, and the context that it is to be called with.
struct Caller {
    parallel_for: ParallelFor,
    context: *mut c_void,
}

// SAFETY: the header asks that function and context may be used from whichever thread uses the session or ensemble.
unsafe impl Send for Caller {}
// SAFETY: the header asks that function and context may be used from whichever thread uses the session or ensemble, and each
// of these makes one call at a time.
unsafe impl Sync for Caller {}

/// What the `argument` of [`run_body`] points to: the engine's body of a loop, and whether it panicked.
struct Call<'a> {
    body: &'a (dyn Fn(usize) + Sync),
    failed: AtomicBool,
}

impl Caller {
    fn call(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
        let call = Call { body, failed: AtomicBool::new(false) };
        let argument = (&raw const call).cast_mut().cast();
        if let Some(parallel_for) = self.parallel_for {
            // SAFETY: the function is as the header asks: it returns, by no exception or `longjmp`, when all calls of
            // `run_body` have; until then `call`, which `argument` points to, lives.
            unsafe { parallel_for(self.context, count, run_body, argument) };
        }
        // Relaxed: the caller's function returns after all calls of `run_body` have.
        assert!(!call.failed.load(Ordering::Relaxed), "a part of this run panicked");
    }
}

/// The function that the caller's function calls, on its threads. No panic may unwind through the frames of the
/// caller's function, so this one notes it.
///
/// # Safety
/// `argument` is that of a [`Caller::call`] that has not returned.
unsafe extern "C" fn run_body(argument: *mut c_void, index: usize) {
    // SAFETY: `Caller::call` made `argument` of a `Call` that lives until the caller's function returns, and the header
    // asks that no call of this function comes later. Several threads may have it at once, as its fields are `Sync`.
    let call = unsafe { &*argument.cast::<Call<'_>>() };
    if quietly(|| (call.body)(index)).is_err() {
        call.failed.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_for_the_sets_that_the_header_names() {
        use InstructionSet::*;
        let sets = [
            GOOGLENET_ISA_PORTABLE,
            GOOGLENET_ISA_NEON,
            GOOGLENET_ISA_AVX2,
            GOOGLENET_ISA_AVX512,
            GOOGLENET_ISA_SIMD128,
            GOOGLENET_ISA_RELAXED_SIMD,
        ];
        let numbers = sets.map(|set| set as u32);
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
        assert_eq!(isa::NAMES, ["portable", "neon", "avx2", "avx512", "simd128", "relaxed-simd"]);
        for isa in isa::detected() {
            assert_eq!(set(number(isa)).expect("detected"), isa);
        }
        for unknown in [7, u32::MAX] {
            assert_eq!(set(unknown).expect_err("unknown").status, Status::GOOGLENET_ERR_ISA);
        }
    }

    #[test]
    fn numbers_stand_for_the_precisions_that_the_header_names() {
        use PrecisionNumber::*;
        let numbers =
            [GOOGLENET_PRECISION_F32, GOOGLENET_PRECISION_BF16, GOOGLENET_PRECISION_INT8].map(|number| number as u32);
        assert_eq!(numbers, [Precision::F32, Precision::Bf16, Precision::Int8].map(precision_number));
    }

    #[test]
    fn a_panic_in_a_part_of_a_run_does_not_unwind_through_the_caller() {
        unsafe extern "C" fn in_order(_: *mut c_void, count: usize, body: LoopBody, argument: *mut c_void) {
            // SAFETY: `argument` is valid until this function returns.
            (0..count).for_each(|i| unsafe { body(argument, i) });
        }
        let caller = Caller { parallel_for: Some(in_order), context: std::ptr::null_mut() };
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let part = |i| {
            calls.fetch_add(1, Ordering::Relaxed);
            assert_ne!(i, 1, "a test's panic");
        };
        assert!(quietly(|| caller.call(3, &part)).is_err());
        assert_eq!(calls.load(Ordering::Relaxed), 3);
    }
}
