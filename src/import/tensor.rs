//! The tensors of a file, whose numbers stay where they lie until they become a layer's weight and bias, with
//! normalisation folded in.

use super::ImportedTensor;
use crate::error::{ImportError, TensorError};
use crate::{Error, Result};
use half::{bf16, f16};

/// A tensor of a file. Its numbers are read only after the whole file is known to be a network of this crate.
#[derive(Clone, Debug)]
pub(super) struct Tensor<'a> {
    pub name: &'a str,
    pub dims: Vec<i64>,
    pub data: Data<'a>,
}

/// How the numbers of a tensor stand in the file; bytes are little endian.
#[derive(Clone, Copy, Debug)]
pub(super) enum Data<'a> {
    F16(&'a [u8]),
    Bf16(&'a [u8]),
    F32(&'a [u8]),
    F64(&'a [u8]),
    Floats(&'a [f32]),
    Doubles(&'a [f64]),
    /// Each integer holds the bits of an f16.
    HalfBits(&'a [i32]),
    /// Each integer holds the bits of a bf16.
    Bf16Bits(&'a [i32]),
    /// All elements are this number.
    Fill(f32),
    /// The numbers stand twice, in different fields, which is an error; together they take so many bytes.
    Twice(usize),
    /// The numbers stand in another file.
    External,
    /// The elements have a type that no weight has; this is the format's number of it.
    Type(i32),
}

/// How a weight's dimensions are ordered in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The order of the model table: `[oc, ic, kh, kw]` of a convolution, `[outputs, inputs]` of a matrix.
    Table,
    /// The order `[inputs, outputs]` of a matrix.
    Transposed,
    /// TensorFlow's order of a convolution: `[kh, kw, ic, oc]`.
    Hwio,
}

/// A normalisation by stored statistics: `(x - mean) / sqrt(variance + epsilon) * gamma + beta`.
#[derive(Clone, Debug)]
pub(super) struct Norm<'a> {
    pub gamma: Option<Tensor<'a>>,
    pub beta: Tensor<'a>,
    pub mean: Tensor<'a>,
    pub variance: Tensor<'a>,
    pub epsilon: f64,
}

/// What a layer's weight and bias are made of. All shapes have been checked against the model table.
#[derive(Clone, Debug)]
pub(super) struct Parts<'a> {
    pub layer: String,
    /// The shape of the weight in the model table.
    pub shape: Vec<usize>,
    pub weight: Tensor<'a>,
    pub order: Order,
    /// The file's bias; without one the layer's bias begins as zeros.
    pub bias: Option<Tensor<'a>>,
    pub norm: Option<Norm<'a>>,
}

impl<'a> Tensor<'a> {
    /// Checks that this tensor is a vector of `n` elements, dimensions of 1 aside, to become the model table's
    /// `tensor`.
    pub(super) fn vector(self, tensor: &str, n: usize) -> Result<Tensor<'a>> {
        let len = i64::try_from(n).unwrap_or(i64::MAX);
        let others_are_one = self.dims.iter().filter(|&&dim| dim != 1).count() <= 1;
        if !self.dims.is_empty() && others_are_one && self.dims.iter().all(|&dim| dim == 1 || dim == len) {
            let found = self.dims.iter().copied().max().unwrap_or(0);
            if found == len {
                return Ok(self);
            }
        }
        Err(self.wrong_shape(tensor, &[Some(n)]))
    }

    pub(super) fn wrong_shape(&self, tensor: &str, expected: &[Option<usize>]) -> Error {
        let found = self.dims.iter().copied().take(8).collect();
        TensorError::WrongShape {
            tensor: tensor.into(),
            source_name: self.name.to_owned(),
            expected: expected.to_vec(),
            found,
        }
        .into()
    }

    /// The `n` elements; their number is checked before any of them is copied.
    fn values(&self, tensor: &str, n: usize) -> Result<Vec<f32>> {
        self.values_at(tensor, n, |i| i)
    }

    /// The `n` elements, of which the one at `at(i)` in the file becomes element `i`: put in order while they are read, so
    /// that a large weight is never there twice.
    fn values_at(&self, tensor: &str, n: usize, at: impl Fn(usize) -> usize) -> Result<Vec<f32>> {
        let names = || (tensor.to_owned(), self.name.to_owned());
        let n_bytes = match self.data {
            Data::F16(bytes) if bytes.len() == 2 * n => return Ok(ordered(bytes.as_chunks().0, at, half)),
            Data::Bf16(bytes) if bytes.len() == 2 * n => {
                return Ok(ordered(bytes.as_chunks().0, at, |&bytes| bf16::from_le_bytes(bytes).to_f32()));
            }
            Data::F32(bytes) if bytes.len() == 4 * n => {
                return Ok(ordered(bytes.as_chunks().0, at, |&bytes| f32::from_le_bytes(bytes)));
            }
            Data::F64(bytes) if bytes.len() == 8 * n => {
                return Ok(ordered(bytes.as_chunks().0, at, |&bytes| f64::from_le_bytes(bytes) as f32));
            }
            Data::Floats(values) if values.len() == n => return Ok(ordered(values, at, |&x| x)),
            Data::Doubles(values) if values.len() == n => return Ok(ordered(values, at, |&x| x as f32)),
            Data::HalfBits(bits) if bits.len() == n => {
                return Ok(ordered(bits, at, |&bits| f16::from_bits(bits as u16).to_f32()));
            }
            Data::Bf16Bits(bits) if bits.len() == n => {
                return Ok(ordered(bits, at, |&bits| bf16::from_bits(bits as u16).to_f32()));
            }
            Data::Fill(value) if n <= MAX_FILLED => return Ok(vec![value; n]),
            Data::Fill(_) => size_of::<f32>(),
            Data::F16(bytes) | Data::Bf16(bytes) | Data::F32(bytes) | Data::F64(bytes) => bytes.len(),
            Data::Floats(values) => 4 * values.len(),
            Data::HalfBits(bits) | Data::Bf16Bits(bits) => 2 * bits.len(),
            Data::Doubles(values) => 8 * values.len(),
            Data::Twice(n_bytes) => n_bytes,
            Data::External => {
                let (tensor, source_name) = names();
                return Err(ImportError::ExternalData { tensor, source_name }.into());
            }
            Data::Type(found) => {
                let (tensor, source_name) = names();
                return Err(ImportError::ElementType { tensor, source_name, found }.into());
            }
        };
        let (tensor, source_name) = names();
        Err(ImportError::DataLength { tensor, source_name, expected: n, found_bytes: n_bytes }.into())
    }

    /// The tensor's one number, if it has exactly one.
    pub(super) fn scalar(&self) -> Option<f32> {
        if self.dims.iter().any(|&dim| dim != 1) {
            return None;
        }
        self.values("", 1).ok().map(|values| values[0])
    }
}

/// As many values as `elements`, the one at `at(i)` as value `i`.
fn ordered<T>(elements: &[T], at: impl Fn(usize) -> usize, value: impl Fn(&T) -> f32) -> Vec<f32> {
    (0..elements.len()).map(|i| value(&elements[at(i)])).collect()
}

fn half(bytes: &[u8; 2]) -> f32 {
    f16::from_le_bytes(*bytes).to_f32()
}

impl Parts<'_> {
    /// The layer's weight and bias, in f32; a normalisation is folded into them in f64 and rounded once.
    pub(super) fn finish(self) -> Result<[ImportedTensor; 2]> {
        let names = ["weight", "bias"].map(|part| format!("{}.{part}", self.layer));
        let (oc, n) = (self.shape[0], self.shape.iter().product::<usize>());
        let mut weight = in_order(&self.weight, &names[0], &self.shape, self.order)?;
        let mut bias = match &self.bias {
            Some(bias) => bias.values(&names[1], oc)?,
            None => vec![0.0; oc],
        };
        if let Some(norm) = &self.norm {
            let gamma = norm.gamma.as_ref().map_or_else(|| Ok(vec![1.0; oc]), |gamma| gamma.values(&names[0], oc))?;
            let [beta, mean, variance] =
                [&norm.beta, &norm.mean, &norm.variance].map(|tensor| tensor.values(&names[1], oc));
            let (beta, mean, variance) = (beta?, mean?, variance?);
            for (o, row) in weight.chunks_exact_mut(n / oc).enumerate() {
                let scale = f64::from(gamma[o]) / (f64::from(variance[o]) + norm.epsilon).sqrt();
                row.iter_mut().for_each(|w| *w = (f64::from(*w) * scale) as f32);
                bias[o] = ((f64::from(bias[o]) - f64::from(mean[o])) * scale + f64::from(beta[o])) as f32;
            }
        }
        let [weight_name, bias_name] = names;
        Ok([
            ImportedTensor { name: weight_name, shape: self.shape, values: weight },
            ImportedTensor { name: bias_name, shape: vec![oc], values: bias },
        ])
    }
}

/// The elements of a weight, which the file has in `order`, in the order of the model table, to become the table's `tensor`
/// of `shape`.
fn in_order(weight: &Tensor<'_>, tensor: &str, shape: &[usize], order: Order) -> Result<Vec<f32>> {
    let (oc, per_output) = (shape[0], shape[1..].iter().product::<usize>());
    let ic = shape[1];
    let taps = per_output / ic;
    let n = oc * per_output;
    match order {
        Order::Table => weight.values(tensor, n),
        Order::Transposed => weight.values_at(tensor, n, |i| i % per_output * oc + i / per_output),
        Order::Hwio => weight.values_at(tensor, n, |i| {
            let (o, c, tap) = (i / per_output, i % per_output / taps, i % taps);
            (tap * ic + c) * oc + o
        }),
    }
}

/// The most elements that one number may stand for: as many as the largest matrix that a network's table has by itself,
/// the first of `zfnet512`. ONNX's own test files have weights of one number, however short they are; but how large a last matrix
/// is the file says, by its classes.
const MAX_FILLED: usize = 4096 * 512 * 6 * 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor<'a>(dims: &[i64], values: &'a [f32]) -> Tensor<'a> {
        Tensor { name: "t", dims: dims.to_vec(), data: Data::Floats(values) }
    }

    #[test]
    fn one_number_stands_for_no_more_than_a_table_has() {
        let filled = |n| Tensor { name: "t", dims: Vec::new(), data: Data::Fill(2.5) }.values("weight", n);
        assert_eq!(filled(3).expect("few"), [2.5; 3]);
        let error = filled(MAX_FILLED + 1).expect_err("too many").to_string();
        assert!(error.contains("75497473 elements"), "{error}");
    }

    #[test]
    fn orders_lead_to_the_tables() {
        // Each element is its own index in the model table's order of the shape [oc 2, ic 3, kh 1, kw 2].
        let hwio: Vec<f32> = (0..12)
            .map(|i| {
                let (tap, c, o) = (i / 6, i % 6 / 2, i % 2);
                (o * 6 + c * 2 + tap) as f32
            })
            .collect();
        let expected: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let read = |values: &[f32], shape: &[usize], order| in_order(&tensor(&[], values), "t", shape, order);
        assert_eq!(read(&hwio, &[2, 3, 1, 2], Order::Hwio).expect("it fits"), expected);
        let transposed = read(&[0.0, 2.0, 1.0, 3.0], &[2, 2], Order::Transposed);
        assert_eq!(transposed.expect("it fits"), [0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_normalisation_is_folded_in_f64() {
        let (gamma, beta, mean, variance) = ([2.0, -0.5], [0.25, 0.0], [1.0, 3.0], [0.0, 8.999]);
        let norm = Norm {
            gamma: Some(tensor(&[2], &gamma)),
            beta: tensor(&[2], &beta),
            mean: tensor(&[2], &mean),
            variance: tensor(&[2], &variance),
            epsilon: 1e-3,
        };
        let (weight, bias) = ([1.0, 2.0, 3.0, 4.0], [0.5, 0.0]);
        let parts = Parts {
            layer: "l".into(),
            shape: vec![2, 2, 1, 1],
            weight: tensor(&[2, 2, 1, 1], &weight),
            order: Order::Table,
            bias: Some(tensor(&[2], &bias)),
            norm: Some(norm),
        };
        let [weight, bias] = parts.finish().expect("it fits");
        let scales = [2.0 / 1e-3_f64.sqrt(), -0.5 / (f64::from(8.999_f32) + 1e-3).sqrt()];
        let expected = [scales[0], 2.0 * scales[0], 3.0 * scales[1], 4.0 * scales[1]].map(|w| w as f32);
        assert_eq!(weight.values, expected);
        assert_eq!(bias.values, [(-0.5 * scales[0] + 0.25) as f32, (-3.0 * scales[1]) as f32]);
    }

    #[test]
    fn vectors_may_have_dimensions_of_one() {
        let values = [0.0; 4];
        for dims in [&[4][..], &[1, 4], &[1, 1, 1, 4], &[4, 1, 1]] {
            assert!(tensor(dims, &values).vector("t", 4).is_ok(), "{dims:?}");
        }
        for dims in [&[][..], &[2, 2], &[4, 4], &[5], &[-4]] {
            assert!(tensor(dims, &values).vector("t", 4).is_err(), "{dims:?}");
        }
        assert!(tensor(&[1, 1], &values).vector("t", 1).is_ok());
    }
}
