//! The tensors of a model table, with which those of a file are compared: their shapes, and how many classes there are.

use super::MAX_CLASSES;
use super::tensor::{Norm, Order, Parts, Tensor};
use crate::Result;
use crate::error::WeightsError;
use crate::model::Network;
use std::collections::HashMap;

/// The tensors of a network. The first classifier that is taken decides the number of classes.
pub(super) struct Table {
    /// The layers that have tensors, in the order of the network's nodes.
    layers: Vec<String>,
    /// The shape of each tensor, in a network of one class.
    shapes: HashMap<String, Vec<usize>>,
    /// The layers that have an output for each class.
    classifiers: Vec<String>,
    classes: Option<usize>,
}

impl Table {
    /// The tensors of `network`, those of its heads included.
    pub(super) fn new(network: &Network) -> Table {
        let parameters = network.parameters();
        let layers = parameters.iter().filter_map(|(name, _)| name.strip_suffix(".weight").map(Into::into)).collect();
        let classifiers = network.classifiers().map(Into::into).collect();
        Table { layers, shapes: parameters.into_iter().collect(), classifiers, classes: None }
    }

    /// The layers that have tensors, in the order of the network's nodes.
    pub(super) fn layers(&self) -> Vec<String> {
        self.layers.clone()
    }

    /// Whether the weight of `layer`, which must be one of [`Table::layers`], is a matrix.
    pub(super) fn is_matrix(&self, layer: &str) -> bool {
        self.shapes[&format!("{layer}.weight")].len() == 2
    }

    /// How many classes there are; may be asked once all layers have been taken.
    pub(super) fn classes(&self) -> usize {
        self.classes.expect("every table has a classifier")
    }

    /// The parts of `layer`, if these tensors have the shapes that the table asks for. The first classifier decides how
    /// many classes there are, and the others must agree.
    pub(super) fn take<'a>(
        &mut self,
        layer: &str,
        mut weight: Tensor<'a>,
        order: Order,
        bias: Option<Tensor<'a>>,
        norm: Option<Norm<'a>>,
    ) -> Result<Parts<'a>> {
        let (weight_name, bias_name) = (format!("{layer}.weight"), format!("{layer}.bias"));
        let mut shape = self.shapes[&weight_name].clone();
        let is_classifier = self.classifiers.iter().any(|classifier| classifier == layer);
        let mut expected: Vec<Option<usize>> = shape.iter().map(|&dim| Some(dim)).collect();
        if is_classifier {
            expected[0] = self.classes;
        }
        match order {
            Order::Table => {}
            Order::Transposed => expected.reverse(),
            Order::Hwio => expected = vec![expected[2], expected[3], expected[1], expected[0]],
        }
        if shape.len() == 2 {
            // A matrix may stand in the file as a 1x1 convolution, or with four dimensions, as old Caffe writes it.
            while weight.dims.len() > 2 && weight.dims.last() == Some(&1) {
                weight.dims.pop();
            }
            while weight.dims.len() > 2 && weight.dims.first() == Some(&1) {
                weight.dims.remove(0);
            }
        }
        let fits = |(&found, expected): (&i64, &Option<usize>)| {
            let found = usize::try_from(found).ok().filter(|&found| found > 0)?;
            expected.is_none_or(|expected| found == expected).then_some(found)
        };
        let dims: Option<Vec<usize>> = weight.dims.iter().zip(&expected).map(fits).collect();
        let Some(dims) = dims.filter(|_| weight.dims.len() == expected.len()) else {
            return Err(weight.wrong_shape(&weight_name, &expected));
        };
        if is_classifier {
            let found = if order == Order::Transposed { dims[1] } else { dims[0] };
            if found > MAX_CLASSES {
                return Err(WeightsError::TooMany { what: "classes", found, limit: MAX_CLASSES }.into());
            }
            self.classes = Some(found);
            shape[0] = found;
        }
        let oc = shape[0];
        let bias = bias.map(|bias| bias.vector(&bias_name, oc)).transpose()?;
        let norm = match norm {
            None => None,
            Some(Norm { gamma, beta, mean, variance, epsilon }) => Some(Norm {
                gamma: gamma.map(|gamma| gamma.vector(&weight_name, oc)).transpose()?,
                beta: beta.vector(&bias_name, oc)?,
                mean: mean.vector(&bias_name, oc)?,
                variance: variance.vector(&bias_name, oc)?,
                epsilon,
            }),
        };
        Ok(Parts { layer: layer.to_owned(), shape, weight, order, bias, norm })
    }
}
