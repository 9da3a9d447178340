//! Which instruction sets this process may use.
//!
//! Detection makes a token, and the token is the safety argument: a function that needs AVX2 takes an
//! [`Avx2`], which exists only where AVX2 was found. This is the only file that asks the CPU.

use core::fmt;

/// Proof that the CPU has AVX2, FMA and F16C; only this file can make one.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// The token, for code that is itself compiled for the set.
    ///
    /// # Safety
    /// The CPU has AVX2, FMA and F16C: the caller runs inside a `#[target_feature]` function that says so.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Self {
        Self(())
    }
}

/// Proof that the CPU has AVX-512 F, and all that [`Avx2`] proves; only this file can make one.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Avx512(());

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    /// The token, for code that is itself compiled for the set.
    ///
    /// # Safety
    /// The CPU has AVX-512 F, AVX2, FMA and F16C: the caller runs inside a `#[target_feature]` function that says so.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Self {
        Self(())
    }
}

/// Proofs that the CPU has an instruction beside a set: each stands for the set, too. What computes with it
/// is a set of its own to the kernels ([`crate::op::Set`]), but not one that callers choose: a kernel that gains by it takes
/// it where it is.
macro_rules! extensions {
    ($($(#[$text:meta])+ $name:ident of $base:ident: $arch:tt, $($feature:tt),+;)+) => {$(
        $(#[$text])+
        #[cfg(target_arch = $arch)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) struct $name($base);

        #[cfg(target_arch = $arch)]
        impl $name {
            /// The token, for code that is itself compiled for the set.
            ///
            /// # Safety
            /// The CPU has the set and the instruction: the caller runs inside a `#[target_feature]` function that says so.
            #[inline(always)]
            pub(crate) unsafe fn assume() -> Self {
                // SAFETY: the caller vouches for the set, too.
                Self(unsafe { $base::assume() })
            }

            /// The set that it extends.
            #[inline(always)]
            pub(crate) const fn base(self) -> $base {
                self.0
            }

            /// Whether the CPU has the instruction; the caller makes sure of the set.
            pub(crate) fn is_there() -> bool {
                $(detected!($arch, $feature))&&+
            }
        }
    )+};
}

/// Whether the CPU has a feature.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! detected {
    ("x86_64", $feature:tt) => {
        is_x86_feature_detected!($feature)
    };
    ("aarch64", $feature:tt) => {
        std::arch::is_aarch64_feature_detected!($feature)
    };
}

extensions! {
    /// AVX2 and AVX-VNNI: products of bytes in one instruction.
    Avx2Vnni of Avx2: "x86_64", "avxvnni";
    /// AVX-512 F and BW: products of bytes on whole vectors.
    Avx512Bw of Avx512: "x86_64", "avx512bw";
    /// AVX-512 F and VNNI: products of bytes in one instruction.
    Avx512Vnni of Avx512: "x86_64", "avx512vnni";
    /// AVX-512 F and BF16: products of bf16 in one instruction.
    Avx512Bf16 of Avx512: "x86_64", "avx512bf16", "avx512bw", "avx512vl";
    /// NEON and its dot products: of bytes that all have a sign, in one instruction.
    NeonDot of Neon: "aarch64", "dotprod";
    /// NEON and I8MM: products of bytes in one instruction.
    NeonI8mm of Neon: "aarch64", "i8mm";
    /// NEON and BF16: products of bf16 in one instruction.
    NeonBf16 of Neon: "aarch64", "bf16";
}

/// Proof that the CPU has NEON; only this file can make one.
#[cfg(target_arch = "aarch64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Neon(());

#[cfg(target_arch = "aarch64")]
impl Neon {
    /// The token, for code that is itself compiled for the set.
    ///
    /// # Safety
    /// The CPU has NEON: the caller runs inside a `#[target_feature]` function that says so.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Self {
        Self(())
    }
}

/// Proof that this module is built with WebAssembly's 128-bit SIMD, without which it would not have loaded; only this file
/// can make one.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Simd128(());

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
impl Simd128 {
    /// The token, which in a build with the set needs no look at the machine.
    #[inline(always)]
    pub(crate) const fn built_in() -> Self {
        Self(())
    }
}

/// An instruction set. Holding a value means that its instructions may be executed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust over the `wide` types, always there, but in builds for WebAssembly with SIMD: those run nowhere else, and
    /// their modules, which people wait for, would be of twice the size.
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    Portable,
    /// 4 f32 lanes.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128(Simd128),
    /// 4 f32 lanes.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    /// 8 f32 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// 16 f32 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

/// Every name an instruction set can have, on any machine, worst first.
///
/// A build for WebAssembly has one of the last two, by its target features, whose multiply-adds round differently.
pub const NAMES: [&str; 6] = ["portable", "neon", "avx2", "avx512", "simd128", "relaxed-simd"];

impl Isa {
    /// The name, one of [`NAMES`].
    pub const fn name(self) -> &'static str {
        match self {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Isa::Portable => "portable",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Isa::Simd128(_) if cfg!(target_feature = "relaxed-simd") => "relaxed-simd",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Isa::Simd128(_) => "simd128",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(_) => "neon",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => "avx512",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Every set this CPU has, worst first. The portable set is always the first, where the build has it.
pub fn detected() -> impl DoubleEndedIterator<Item = Isa> {
    [portable(), simd128(), neon(), avx2(), avx512()].into_iter().flatten()
}

/// The best set this CPU has.
pub fn best() -> Isa {
    detected().next_back().expect("every build has a set")
}

fn portable() -> Option<Isa> {
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    return Some(Isa::Portable);
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    None
}

/// The set that needs least of the machine.
#[cfg(test)]
pub(crate) fn plainest() -> Isa {
    detected().next().expect("every build has a set")
}

fn simd128() -> Option<Isa> {
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    return Some(Isa::Simd128(Simd128::built_in()));
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    None
}

fn neon() -> Option<Isa> {
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("neon") {
        return Some(Isa::Neon(Neon(())));
    }
    None
}

fn avx2() -> Option<Isa> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
        return Some(Isa::Avx2(Avx2(())));
    }
    None
}

fn avx512() -> Option<Isa> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") && avx2().is_some() {
        return Some(Isa::Avx512(Avx512(())));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_come_worst_first_and_carry_their_names() {
        let places: Vec<usize> =
            detected().map(|isa| NAMES.iter().position(|&name| name == isa.name()).expect("a listed name")).collect();
        assert!(places[0] == 0 || cfg!(target_arch = "wasm32"), "portable comes first");
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(detected().last(), Some(best()));
    }
}
