//! What activations are stored as, and how vectors of f32 come from them and go to them.
//!
//! Kernels compute in f32, or in integers, and store what memory should be spared of: [`Bf16`], the upper half of an f32,
//! or bytes, whose real value is a multiple of a scale that no kernel knows here: it is folded into weights. A kernel that
//! takes several elements is generic over `Values`, and for f32 is what it would be without it.

use bytemuck::{Pod, Zeroable};

use crate::simd::{MOST_LANES, Simd};

/// The type of stored activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// IEEE single precision.
    F32,
    /// [`Bf16`].
    Bf16,
    /// Bytes, 0 to 255.
    U8,
}

impl Element {
    /// Bytes of one value.
    pub const fn bytes(self) -> usize {
        match self {
            Element::F32 => size_of::<f32>(),
            Element::Bf16 => size_of::<Bf16>(),
            Element::U8 => 1,
        }
    }

    /// The name, as plans show it: `f32`, `bf16` or `u8`.
    pub const fn name(self) -> &'static str {
        match self {
            Element::F32 => "f32",
            Element::Bf16 => "bf16",
            Element::U8 => "u8",
        }
    }
}

/// What stands for a kernel of narrow values in a build without them.
#[cfg(googlenet_f32_only)]
pub(crate) fn left_out() -> ! {
    panic!("this build has kernels of f32 alone")
}

/// The bits of a bfloat16: sign, exponent and the first 7 bits of the fraction of an f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(pub u16);

// SAFETY: a u16 and nothing else, and zeros are one.
unsafe impl Zeroable for Bf16 {}
// SAFETY: a u16 and nothing else, of which all bits are one.
unsafe impl Pod for Bf16 {}

impl Bf16 {
    /// The nearest to `x`, of two the even one; NaN stays NaN, and what is larger than any becomes infinite.
    ///
    /// ```
    /// use googlenet_kernels::element::Bf16;
    ///
    /// assert_eq!(Bf16::from_f32(1.0 + 1.0 / 256.0).to_f32(), 1.0);
    /// assert_eq!(Bf16::from_f32(1.0 + 3.0 / 256.0).to_f32(), 1.0 + 1.0 / 64.0);
    /// ```
    #[must_use]
    pub const fn from_f32(x: f32) -> Self {
        let bits = x.to_bits();
        if x.is_nan() {
            return Self(QUIET);
        }
        Self(((bits + HALF + ((bits >> 16) & 1)) >> 16) as u16)
    }

    /// The same number as f32.
    #[must_use]
    pub const fn to_f32(self) -> f32 {
        f32::from_bits((self.0 as u32) << 16)
    }
}

/// A NaN.
const QUIET: u16 = 0x7FC0;

/// One less than half of what a bf16's last bit counts, in an f32's last bits.
const HALF: u32 = 0x7FFF;

/// An element that kernels load as f32 and store f32 as. Every load is exact.
pub(crate) trait Values: Pod {
    /// Whether what is less than 0 is stored as 0.
    const IS_RELU: bool = false;

    /// Lane `i` is `x[i]`.
    ///
    /// # Safety
    /// `x` is valid for reads of `LANES` elements; aligned as they are.
    unsafe fn load<S: Simd>(s: S, x: *const Self) -> S::V;

    /// Lane `i` is `x[stride * i]` for `from <= i < to`, 0 elsewhere. Only elements between the first and the last of those
    /// are read, so `x` itself may point outside of any buffer.
    ///
    /// # Safety
    /// `from <= to <= LANES`, `stride` is at least 1 and at most 2^24, and the elements from `stride * from` to
    /// `stride * (to - 1)` from `x` are valid for reads; aligned as they are.
    #[inline(always)]
    unsafe fn load_window<S: Simd>(s: S, x: *const Self, stride: usize, from: usize, to: usize) -> S::V {
        debug_assert!(from <= to && to <= S::LANES);
        let mut lanes = [Self::zeroed(); MOST_LANES];
        for (i, lane) in lanes[..S::LANES].iter_mut().enumerate() {
            if (from..to).contains(&i) {
                // SAFETY: the caller vouches for the elements of from..to.
                *lane = unsafe { *x.wrapping_add(stride * i) };
            }
        }
        // SAFETY: `lanes` has at least LANES elements.
        unsafe { Self::load(s, lanes.as_ptr()) }
    }

    /// Lane `i` is `x[at + i]` for `from <= i < to`, 0 elsewhere, where `at` may lie outside of `x`: a vector that lies in
    /// `x` is read whole, which is faster than a window of it.
    ///
    /// # Safety
    /// `from <= to <= LANES`, and `at + i` is an index of `x` for those `i`.
    #[inline(always)]
    unsafe fn load_within<S: Simd>(s: S, x: &[Self], at: isize, from: usize, to: usize) -> S::V {
        if 0 <= at && at.cast_unsigned() <= x.len().wrapping_sub(S::LANES) && x.len() >= S::LANES {
            // SAFETY: the LANES elements from `at` on lie in `x`, as tested.
            let v = unsafe { Self::load(s, x.as_ptr().offset(at)) };
            return s.of_bits(s.and_words(s.bits(v), s.lane_mask(from, to)));
        }
        // SAFETY: the caller vouches for the elements of from..to.
        unsafe { Self::load_window(s, x.as_ptr().wrapping_offset(at), 1, from, to) }
    }

    /// `y[i]` becomes lane `i`, rounded, for `i < n`; nothing else is written.
    ///
    /// # Safety
    /// `n <= LANES`, and `y` is valid for writes of `n` elements; aligned as they are.
    unsafe fn store_first<S: Simd>(s: S, y: *mut Self, v: S::V, n: usize);

    /// `y[i]` becomes lane `i` of `a` and behind them of `b`, rounded.
    ///
    /// # Safety
    /// `y` is valid for writes of `2 * LANES` elements; aligned as they are.
    #[inline(always)]
    unsafe fn store_two<S: Simd>(s: S, y: *mut Self, a: S::V, b: S::V) {
        // SAFETY: the caller vouches for two vectors of elements.
        unsafe {
            Self::store_first(s, y, a, S::LANES);
            Self::store_first(s, y.add(S::LANES), b, S::LANES);
        }
    }

    /// `y[i]` becomes lane `i` of the vectors of `row`, one behind the other, rounded, for `i < n`; nothing else is written.
    ///
    /// # Safety
    /// `n` is at most `C * LANES`, and `y` is valid for writes of `n` elements; aligned as they are.
    #[inline(always)]
    unsafe fn store_row<S: Simd, const C: usize>(s: S, y: *mut Self, row: &[S::V; C], n: usize) {
        debug_assert!(n <= C * S::LANES);
        for c in 0..C {
            let (first, end) = (c * S::LANES, (c + 1) * S::LANES);
            // SAFETY: the elements below `n`, which the caller vouches for.
            unsafe {
                if c % 2 == 0 && c + 1 < C && end + S::LANES <= n {
                    Self::store_two(s, y.add(first), row[c], row[c + 1]);
                } else if c % 2 == 1 && end <= n {
                    // Stored with the vector before.
                } else if end <= n {
                    Self::store_first(s, y.add(first), row[c], S::LANES);
                } else if first < n {
                    Self::store_first(s, y.add(first), row[c], n - first);
                }
            }
        }
    }

    /// Writes a tile transposed: `y[row * stride + column]` becomes lane `row` of `tile[column]`, rounded, for `row < rows`
    /// and `column < columns`. `tile` has at most `LANES` vectors; its length should be known when this is compiled.
    ///
    /// # Safety
    /// `rows <= LANES`, `columns <= tile.len()`, and each of the `rows` rows is valid for writes of `columns` elements, all of
    /// them in one allocation; aligned as they are.
    #[inline(always)]
    unsafe fn store_transposed<S: Simd>(s: S, tile: &[S::V], columns: usize, y: *mut Self, stride: usize, rows: usize) {
        for (row, v) in s.transposed(tile).into_iter().enumerate().take(S::LANES) {
            if row < rows {
                // SAFETY: the caller vouches for `columns` elements of each of `rows` rows.
                unsafe { Self::store_first(s, y.add(row * stride), v, columns) };
            }
        }
    }
}

impl Values for f32 {
    #[inline(always)]
    unsafe fn load_within<S: Simd>(s: S, x: &[f32], at: isize, from: usize, to: usize) -> S::V {
        // SAFETY: the caller vouches for the elements of from..to.
        unsafe { s.load_window(x.as_ptr().wrapping_offset(at), from, to) }
    }

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, x: *const f32) -> S::V {
        // SAFETY: the caller vouches for what `Simd::load` asks for.
        unsafe { s.load(x) }
    }

    #[inline(always)]
    unsafe fn load_window<S: Simd>(s: S, x: *const f32, stride: usize, from: usize, to: usize) -> S::V {
        // SAFETY: the caller vouches for what each of these asks for; that of every second one needs one at least.
        unsafe {
            match stride {
                1 => s.load_window(x, from, to),
                2 if from < to => s.load_even_window(x, from, to),
                _ => s.load_strided_window(x, stride, from, to),
            }
        }
    }

    #[inline(always)]
    unsafe fn store_first<S: Simd>(s: S, y: *mut f32, v: S::V, n: usize) {
        // SAFETY: the caller vouches for what `Simd::store_first` asks for.
        unsafe { s.store_first(y, v, n) }
    }

    #[inline(always)]
    unsafe fn store_transposed<S: Simd>(s: S, tile: &[S::V], columns: usize, y: *mut f32, stride: usize, rows: usize) {
        // SAFETY: the caller vouches for what `Simd::store_transposed` asks for.
        unsafe { s.store_transposed(tile, columns, y, stride, rows) }
    }
}

/// The upper halves of f32, each rounded to the nearest bf16, of two to the even; in the lower half of each word. Every set
/// gives the same bits.
#[inline(always)]
pub(crate) fn to_bf16<S: Simd>(s: S, v: S::V) -> S::W {
    let (bits, nan) = (s.bits(v), s.is_nan(v));
    let odd = s.and_words(s.shift_right(bits, 16), s.splat_word(1));
    let rounded = s.shift_right(s.add_words(s.add_words(bits, s.splat_word(HALF)), odd), 16);
    // A NaN's fraction may have become that of an infinity, or more than a fraction. With these bits set it is a NaN, but for
    // its sign, which rounding may have turned.
    s.or_words(rounded, s.and_words(nan, s.splat_word(u32::from(QUIET))))
}

/// The f32 of bf16 in the lower halves of words.
#[inline(always)]
pub(crate) fn of_bf16<S: Simd>(s: S, w: S::W) -> S::V {
    s.of_bits(s.shift_left(w, 16))
}

impl Values for Bf16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, x: *const Bf16) -> S::V {
        // SAFETY: the caller vouches for LANES elements, each a u16.
        of_bf16(s, unsafe { s.load_u16(x.cast()) })
    }

    #[inline(always)]
    unsafe fn store_first<S: Simd>(s: S, y: *mut Bf16, v: S::V, n: usize) {
        // SAFETY: the caller vouches for `n` elements, each a u16.
        unsafe { s.store_first_u16(y.cast(), to_bf16(s, v), n) }
    }
}

/// The nearest whole numbers from 0 to 255, of two the even one; 0 for NaN. Every set gives the same.
#[inline(always)]
pub(crate) fn to_u8<S: Simd>(s: S, v: S::V) -> S::W {
    s.round(s.min(s.max(v, s.splat(0.0)), s.splat(255.0)))
}

impl Values for u8 {
    const IS_RELU: bool = true;

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, x: *const u8) -> S::V {
        // SAFETY: the caller vouches for LANES bytes.
        s.to_f32(unsafe { s.load_u8(x) })
    }

    #[inline(always)]
    unsafe fn store_first<S: Simd>(s: S, y: *mut u8, v: S::V, n: usize) {
        // SAFETY: the caller vouches for `n` bytes.
        unsafe { s.store_first_u8(y, to_u8(s, v), n) }
    }

    #[inline(always)]
    unsafe fn store_two<S: Simd>(s: S, y: *mut u8, a: S::V, b: S::V) {
        // SAFETY: the caller vouches for two vectors of bytes.
        unsafe { s.store_two_u8(y, a, b) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa;
    use crate::op::{Op, select};

    /// Stores vectors as `E`, the first `n` lanes of each, and loads them whole.
    struct StoreAndLoad<E>(E);

    impl<E: Values> Op for StoreAndLoad<E> {
        type Args<'a> = (&'a [f32], &'a mut [E], &'a mut [f32], usize);
        type Output = usize;

        #[inline(always)]
        fn run<S: Simd>(s: S, (x, y, back, n): Self::Args<'_>) -> usize {
            let n = n.min(S::LANES);
            for i in (0..x.len()).step_by(S::LANES) {
                // SAFETY: all three have whole vectors of any set.
                unsafe {
                    E::store_first(s, y.as_mut_ptr().add(i), s.load(x.as_ptr().add(i)), n);
                    s.store(back.as_mut_ptr().add(i), E::load(s, y.as_ptr().add(i)));
                }
            }
            S::LANES
        }
    }

    /// Stores `x` as `E` on every set, where `expected` says what each becomes, and loads it.
    fn check<E: Values + PartialEq + std::fmt::Debug>(x: &[f32], expected: impl Fn(f32) -> E, real: impl Fn(E) -> f32) {
        let guard: E = bytemuck::pod_read_unaligned(&[0x5A; 4][..size_of::<E>()]);
        for isa in isa::detected() {
            for n in 0..=MOST_LANES {
                let (mut y, mut back) = (vec![guard; x.len()], vec![0.0; x.len()]);
                let lanes = select::<StoreAndLoad<E>>(isa)((x, &mut y, &mut back, n));
                for (i, ((&x, &y), &back)) in x.iter().zip(&y).zip(&back).enumerate() {
                    let stored = if i % lanes < n { expected(x) } else { guard };
                    assert_eq!(y, stored, "{isa} {n}: {x} in lane {}", i % lanes);
                    assert_eq!(back.to_bits(), real(y).to_bits(), "{isa}: {y:?}");
                }
            }
        }
    }

    /// Every exponent of either sign, with fractions on both sides of where rounding changes.
    fn all_kinds() -> Vec<f32> {
        let fractions =
            [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF, 0x1_0000, 0x1_8000, 0x1_8001, 0x7F_7FFF, 0x7F_8000, 0x7F_FFFF];
        let exponents = (0..512_u32).step_by(if cfg!(miri) { 51 } else { 1 }).chain([255, 511]);
        let mut all: Vec<f32> = exponents
            .flat_map(|exponent| fractions.map(|fraction| f32::from_bits((exponent << 23) | fraction)))
            .collect();
        all.resize(all.len().next_multiple_of(MOST_LANES), 0.0);
        all
    }

    #[test]
    fn bf16_are_the_nearest() {
        let numbers: Vec<f32> = all_kinds().into_iter().map(|x| if x.is_nan() { 0.0 } else { x }).collect();
        check(&numbers, Bf16::from_f32, Bf16::to_f32);
        // By the definition: of the two bf16 around a number the nearer, in f64, and of equally near ones the even.
        for &x in &numbers {
            let below = Bf16((x.to_bits() >> 16) as u16);
            let above = Bf16(below.0.wrapping_add(1));
            let distance = |y: Bf16| (f64::from(y.to_f32()) - f64::from(x)).abs();
            // Beyond the largest bf16 lies what would be the next, had it another exponent.
            let beyond = above.to_f32().is_infinite() && x.is_finite();
            let next = 2.0 * f64::from(f32::from_bits(0x7F00_0000)); // 2^128
            let far = if beyond { (next - f64::from(x.abs())).abs() } else { distance(above) };
            let nearest = match distance(below).total_cmp(&far) {
                _ if x.is_infinite() || distance(below) == 0.0 => below,
                std::cmp::Ordering::Less => below,
                std::cmp::Ordering::Greater => above,
                std::cmp::Ordering::Equal => {
                    if below.0.is_multiple_of(2) {
                        below
                    } else {
                        above
                    }
                }
            };
            assert_eq!(Bf16::from_f32(x), nearest, "{x:e}");
        }
    }

    #[test]
    fn a_nan_stays_one() {
        let nan: Vec<f32> = all_kinds().into_iter().map(|x| if x.is_nan() { x } else { f32::NAN }).collect();
        for isa in isa::detected() {
            let (mut y, mut back) = (vec![Bf16(0); nan.len()], vec![0.0; nan.len()]);
            select::<StoreAndLoad<Bf16>>(isa)((&nan, &mut y, &mut back, MOST_LANES));
            assert!(back.iter().all(|x| x.is_nan()), "{isa}");
        }
        assert!(nan.iter().all(|&x| Bf16::from_f32(x).to_f32().is_nan()));
    }

    #[test]
    fn bytes_are_the_nearest_within_their_range() {
        let mut numbers: Vec<f32> = (-40..2100).map(|i| i as f32 / 8.0).collect();
        // Compilers take a signalling NaN, which no arithmetic makes, for any NaN: AArch64's maximum then is one.
        numbers.extend(all_kinds().into_iter().map(|x| if x.is_nan() { f32::NAN.copysign(x) } else { x }));
        numbers.resize(numbers.len().next_multiple_of(MOST_LANES), 0.0);
        let nearest = |x: f32| x.clamp(0.0, 255.0).round_ties_even() as u8; // a NaN becomes 0
        check(&numbers, nearest, f32::from);
    }

    #[test]
    fn f32_are_stored_as_they_are() {
        let numbers: Vec<f32> = all_kinds().into_iter().filter(|x| !x.is_nan()).collect();
        check(&numbers[..numbers.len() / MOST_LANES * MOST_LANES], |x| x, |x| x);
    }

    /// Loads windows in each way that there is.
    struct Windows<E>(E);

    impl<E: Values> Op for Windows<E> {
        type Args<'a> = (&'a [E], isize, usize, usize, usize);
        type Output = [Vec<f32>; 2];

        #[inline(always)]
        fn run<S: Simd>(s: S, (x, at, stride, from, to): Self::Args<'_>) -> [Vec<f32>; 2] {
            let (from, to) = (from.min(S::LANES), to.min(S::LANES));
            let lanes = |v: S::V| {
                let mut lanes = vec![f32::NAN; S::LANES];
                // SAFETY: `lanes` has LANES elements.
                unsafe { s.store(lanes.as_mut_ptr(), v) };
                lanes
            };
            // SAFETY: the caller asks for lanes whose elements lie in `x`, and of one stride only where that is 1.
            unsafe {
                let strided = lanes(E::load_window(s, x.as_ptr().wrapping_offset(at), stride, from, to));
                let within = if stride == 1 { lanes(E::load_within(s, x, at, from, to)) } else { strided.clone() };
                [strided, within]
            }
        }
    }

    fn windows<E: Values + Into<f64>>(x: &[E]) {
        for isa in isa::detected() {
            for (stride, at) in (1..4_isize).flat_map(|stride| (-20..40).map(move |at| (stride, at))) {
                // The lanes whose elements exist, and some of them.
                let exists = |i: usize| (0..x.len() as isize).contains(&(at + stride * i as isize));
                let Some(first) = (0..MOST_LANES).find(|&i| exists(i)) else { continue };
                let end = (first..MOST_LANES).find(|&i| !exists(i)).unwrap_or(MOST_LANES);
                for (from, to) in [(first, end), (first, first), (first, first + 1), (end - 1, end)] {
                    for got in select::<Windows<E>>(isa)((x, at, stride as usize, from, to)) {
                        for (i, &got) in got.iter().enumerate() {
                            let at = at + stride * i as isize;
                            let expected = if (from..to).contains(&i) { x[at as usize].into() } else { 0.0 };
                            assert_eq!(f64::from(got), expected, "{isa} stride {stride} at {at}, {from}..{to}");
                        }
                    }
                }
            }
        }
    }

    impl From<Bf16> for f64 {
        fn from(x: Bf16) -> f64 {
            f64::from(x.to_f32())
        }
    }

    #[test]
    fn windows_are_the_lanes_that_are_asked_for() {
        windows(&(1..36).map(|i| i as f32 / 7.0).collect::<Vec<_>>());
        windows(&(1..36).map(|i| Bf16::from_f32(i as f32 / 7.0)).collect::<Vec<_>>());
        windows(&(1..36).map(|i| 7 * i).collect::<Vec<u8>>());
    }

    /// Stores a tile transposed.
    struct Transposed<E>(E);

    impl<E: Values> Op for Transposed<E> {
        type Args<'a> = (&'a [f32], &'a mut [E], usize, usize);
        type Output = usize;

        #[inline(always)]
        fn run<S: Simd>(s: S, (x, y, columns, rows): Self::Args<'_>) -> usize {
            let (columns, rows) = (columns.min(S::LANES), rows.min(S::LANES));
            // SAFETY: `x` has 16 vectors of any set, `y` 16 rows of 17 elements.
            unsafe {
                let tile: Vec<S::V> = (0..columns).map(|i| s.load(x.as_ptr().add(i * S::LANES))).collect();
                E::store_transposed(s, &tile, columns, y.as_mut_ptr(), MOST_LANES + 1, rows);
            }
            S::LANES
        }
    }

    fn transposed<E: Values + PartialEq + std::fmt::Debug>(rounded: impl Fn(f32) -> E) {
        let x: Vec<f32> = (0..MOST_LANES * MOST_LANES).map(|i| i as f32 * 0.99).collect();
        let guard: E = bytemuck::pod_read_unaligned(&[0x5A; 4][..size_of::<E>()]);
        for isa in isa::detected() {
            for (columns, rows) in
                (0..=MOST_LANES).flat_map(|columns| (0..=MOST_LANES).map(move |rows| (columns, rows)))
            {
                let mut y = vec![guard; MOST_LANES * (MOST_LANES + 1)];
                let lanes = select::<Transposed<E>>(isa)((&x, &mut y, columns, rows));
                for (i, &y) in y.iter().enumerate() {
                    let (row, column) = (i / (MOST_LANES + 1), i % (MOST_LANES + 1));
                    let inside = row < rows.min(lanes) && column < columns.min(lanes);
                    let expected = if inside { rounded(x[column * lanes + row]) } else { guard };
                    assert_eq!(y, expected, "{isa} {columns}x{rows}, row {row}, column {column}");
                }
            }
        }
    }

    #[test]
    fn tiles_are_stored_transposed() {
        transposed(|x| x);
        transposed(Bf16::from_f32);
        transposed(|x| x.round_ties_even() as u8);
    }
}
