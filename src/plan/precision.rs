//! The precisions that a session may compute in.

use std::fmt;

/// What a session computes convolutions in, and stores activations as.
///
/// ```
/// use googlenet::Precision;
///
/// assert_eq!(Precision::from_name("int8"), Some(Precision::Int8));
/// assert_eq!(Precision::default(), Precision::F32);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// Single precision throughout.
    #[default]
    F32,
    /// Weights and, where the machine multiplies them, activations rounded to bfloat16; sums in f32. It takes no
    /// preparation of the weights. Where the machine has no instruction for it, weights alone are stored so, and the
    /// arithmetic is f32.
    Bf16,
    /// Activations of 8 bits without a sign, weights of 8 bits with one or, transformed, of 16, sums in integers. The weight
    /// file must have been made for it by `googlenet quantize`; what that kept out of it, and what is faster so, is computed
    /// with weights of bf16 or f32.
    Int8,
}

impl Precision {
    /// All of them, the most exact first.
    pub const ALL: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

    /// The name: `f32`, `bf16` or `int8`.
    pub const fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
        }
    }

    /// The precision of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == name)
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
