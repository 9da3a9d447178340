//! What a kernel is, and the one entry that each instruction set has for all of them.
//!
//! A kernel is a type without values that implements [`Op`]: one function, generic over the vectors ([`Simd`]) that it
//! computes with. An instruction set is a [`Set`]: its [`enter`](Set::enter) is compiled with the set's instructions,
//! and whatever is inlined into it is, too. So every kernel meets every set here, and neither names the other:
//!
//! ```text
//! select::<O>(isa) -> fn(args)  ->  <S as Set>::enter::<O>  (#[target_feature])  ->  O::run(s, args)
//! ```
//!
//! A new set is a file in `simd/` (its vectors), one in `tiles/` (how large its tiles are), an [`Isa`], and in this
//! file an implementation of [`Set`] and an arm in [`select`].

use crate::isa::Isa;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use crate::isa::Simd128;
#[cfg(target_arch = "x86_64")]
use crate::isa::{Avx2, Avx2Vnni, Avx512, Avx512Bf16, Avx512Bw, Avx512Vnni};
#[cfg(target_arch = "aarch64")]
use crate::isa::{Neon, NeonBf16, NeonDot, NeonI8mm};
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
use crate::simd::Portable;
use crate::simd::Simd;

/// A kernel. `run`, and all that it calls, must be `#[inline(always)]`: what is not inlined is compiled without the
/// set's instructions, and each of them becomes a call.
pub(crate) trait Op {
    /// What the kernel takes.
    type Args<'a>;
    /// What it returns.
    type Output;

    /// Computes it with the vectors of `s`.
    fn run<S: Simd>(s: S, args: Self::Args<'_>) -> Self::Output;
}

/// An instruction set that kernels are compiled for; implemented by the token that proves the set.
pub(crate) trait Set: Simd {
    /// Runs `O` in code compiled for this set.
    ///
    /// # Safety
    /// The CPU has this set.
    unsafe fn enter<O: Op>(args: O::Args<'_>) -> O::Output;
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
impl Set for Portable {
    unsafe fn enter<O: Op>(args: O::Args<'_>) -> O::Output {
        O::run(Portable, args)
    }
}

#[cfg(target_arch = "aarch64")]
impl Set for Neon {
    #[target_feature(enable = "neon")]
    unsafe fn enter<O: Op>(args: O::Args<'_>) -> O::Output {
        // SAFETY: the features enabled on this function are those the token stands for.
        O::run(unsafe { Neon::assume() }, args)
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
impl Set for Simd128 {
    unsafe fn enter<O: Op>(args: O::Args<'_>) -> O::Output {
        O::run(Simd128::built_in(), args)
    }
}

#[cfg(target_arch = "x86_64")]
impl Set for Avx2 {
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn enter<O: Op>(args: O::Args<'_>) -> O::Output {
        // SAFETY: the features enabled on this function are those the token stands for.
        O::run(unsafe { Avx2::assume() }, args)
    }
}

#[cfg(target_arch = "x86_64")]
impl Set for Avx512 {
    #[target_feature(enable = "avx512f,avx2,fma,f16c")]
    unsafe fn enter<O: Op>(args: O::Args<'_>) -> O::Output {
        // SAFETY: the features enabled on this function are those the token stands for.
        O::run(unsafe { Avx512::assume() }, args)
    }
}

/// Sets that are another and an instruction more.
macro_rules! extended {
    ($($name:ident: $arch:literal, $features:literal;)+) => {$(
        #[cfg(target_arch = $arch)]
        impl Set for $name {
            #[target_feature(enable = $features)]
            unsafe fn enter<O: Op>(args: O::Args<'_>) -> O::Output {
                // SAFETY: the features enabled on this function are those the token stands for.
                O::run(unsafe { $name::assume() }, args)
            }
        }
    )+};
}

extended! {
    Avx2Vnni: "x86_64", "avx2,fma,f16c,avxvnni";
    Avx512Bw: "x86_64", "avx512f,avx512bw,avx2,fma,f16c";
    Avx512Vnni: "x86_64", "avx512f,avx512vnni,avx2,fma,f16c";
    Avx512Bf16: "x86_64", "avx512f,avx512bw,avx512vl,avx512bf16,avx2,fma,f16c";
    NeonDot: "aarch64", "neon,dotprod";
    NeonI8mm: "aarch64", "neon,i8mm";
    NeonBf16: "aarch64", "neon,bf16";
}

/// The kernel `O` for `isa`. Called while a plan is built, never while it runs.
pub(crate) fn select<O: Op>(isa: Isa) -> fn(O::Args<'_>) -> O::Output {
    match isa {
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        // SAFETY: the portable set needs nothing of the CPU.
        Isa::Portable => |args| unsafe { Portable::enter::<O>(args) },
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        // SAFETY: the whole module is compiled with the set.
        Isa::Simd128(_has) => |args| unsafe { Simd128::enter::<O>(args) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a `Neon` exists only where NEON was detected.
        Isa::Neon(_has) => |args| unsafe { Neon::enter::<O>(args) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Avx2` exists only where AVX2, FMA and F16C were detected.
        Isa::Avx2(_has) => |args| unsafe { Avx2::enter::<O>(args) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Avx512` exists only where AVX-512 F, AVX2, FMA and F16C were detected.
        Isa::Avx512(_has) => |args| unsafe { Avx512::enter::<O>(args) },
    }
}
