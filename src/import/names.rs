//! Finds tensors by their names: Caffe's, which are the model table's own, those of torchvision's `state_dict`, or
//! those of TF-slim's variables.
//!
//! | table | torchvision | slim, after `InceptionV1/` |
//! |---|---|---|
//! | `conv1/7x7_s2` | `conv1` | `Conv2d_1a_7x7` |
//! | `conv2/3x3_reduce`, `conv2/3x3` | `conv2`, `conv3` | `Conv2d_2b_1x1`, `Conv2d_2c_3x3` |
//! | `inception_3a/3x3` | `inception3a.branch2.1` | `Mixed_3b/Branch_1/Conv2d_0b_3x3` |
//! | `loss1/conv`, `/fc`, `/classifier` | `aux1.conv`, `.fc1`, `.fc2` | |
//! | `loss3/classifier` | `fc` | `Logits/Conv2d_0c_1x1` |
//!
//! torchvision has `<layer>.conv.weight` and `<layer>.bn.*` with an epsilon of 1e-3, perhaps behind the prefix of a
//! wrapper (`module.`), as timm and others keep it. slim has `<layer>/weights`, `[kh, kw, ic, oc]`, and
//! `<layer>/BatchNorm/*` with an epsilon of 1e-3, where gamma is left out if it is not trained.

use super::table::Table;
use super::tensor::{Norm, Order, Tensor};
use super::{Imported, InputHint};
use crate::error::{ModelError, TensorError};
use crate::model::Dialect;
use crate::{Error, Result};
use std::collections::HashMap;

/// The program that gave the tensors their names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Style {
    Caffe,
    /// torchvision's names; the text is the prefix that stands before every one of them.
    Torchvision(String),
    Slim,
}

/// The epsilon of batch normalisation, in torchvision as in slim.
const EPSILON: f64 = 1e-3;

/// Imports `tensors`. `dialect` is the one that the caller asks for, `own` the one that the file names, if it does.
pub(super) fn import(tensors: Vec<Tensor<'_>>, dialect: Option<Dialect>, own: Option<Dialect>) -> Result<Imported> {
    let style = Style::of(&tensors);
    // Caffe's names are the names of several dialects, so they leave the dialect open.
    let found = match style {
        Style::Caffe => own,
        Style::Torchvision(_) => Some(Dialect::Torchvision),
        Style::Slim => Some(Dialect::TfSlim),
    };
    let dialect = match (found, dialect) {
        (Some(found), Some(asked)) if found != asked => {
            return Err(ModelError::UnknownDialect { dialect: found.name().into(), known: vec![asked.name()] }.into());
        }
        (found, asked) => found.or(asked).unwrap_or(Dialect::Bvlc),
    };
    let mut found = Found { tensors: HashMap::with_capacity(tensors.len()) };
    let order: Vec<&str> = tensors.iter().map(|tensor| tensor.name).collect();
    for tensor in tensors {
        found.tensors.insert(tensor.name, tensor);
    }
    let mut network = dialect.network_with_heads(1);
    network.heads.retain(|head| found.tensors.contains_key(style.names(head.logits())[0].bias().as_str()));
    let mut table = Table::new(&network);
    let mut parts = Vec::new();
    for layer in table.layers() {
        let names = style.names(&layer);
        // A layer of slim may have one of two names; the first one is reported if neither is there.
        let names = names.iter().find(|names| found.tensors.contains_key(names.weight().as_str())).unwrap_or(&names[0]);
        let weight = found.take(&names.weight())?;
        let order = match style {
            Style::Slim if table.is_matrix(&layer) => Order::Transposed,
            Style::Slim => Order::Hwio,
            _ => Order::Table,
        };
        let norm = names.norm().filter(|norm| found.tensors.contains_key(norm[1].as_str()));
        let norm = match norm {
            None => None,
            Some([gamma, beta, mean, variance]) => Some(Norm {
                gamma: found.tensors.remove(gamma.as_str()),
                beta: found.take(&beta)?,
                mean: found.take(&mean)?,
                variance: found.take(&variance)?,
                epsilon: EPSILON,
            }),
        };
        let bias =
            if norm.is_some() { found.tensors.remove(names.bias().as_str()) } else { Some(found.take(&names.bias())?) };
        parts.push(table.take(&layer, weight, order, bias, norm)?);
    }
    if let Some(extra) = order.into_iter().find(|name| found.tensors.contains_key(name) && !is_counter(name)) {
        return Err(TensorError::Unexpected { tensor: extra.to_owned() }.into());
    }
    Imported::new(dialect, table.classes(), &network.head_names(), parts, InputHint::Unknown)
}

/// Whether a tensor of that name only counts training steps.
fn is_counter(name: &str) -> bool {
    name.ends_with(".num_batches_tracked") || name == "global_step"
}

struct Found<'a> {
    tensors: HashMap<&'a str, Tensor<'a>>,
}

impl<'a> Found<'a> {
    fn take(&mut self, name: &str) -> Result<Tensor<'a>> {
        self.tensors.remove(name).ok_or_else(|| Error::Tensor(TensorError::Missing { tensor: name.to_owned() }))
    }
}

/// Gives the names of one layer's tensors.
struct Names {
    style: Style,
    /// The layer's name in the program of that style.
    layer: String,
    /// Whether the layer is a convolution, which may be followed by batch normalisation.
    is_conv: bool,
}

impl Names {
    fn weight(&self) -> String {
        match (&self.style, self.is_conv) {
            (Style::Torchvision(prefix), true) => format!("{prefix}{}.conv.weight", self.layer),
            (Style::Torchvision(prefix), false) => format!("{prefix}{}.weight", self.layer),
            (Style::Slim, _) => format!("InceptionV1/{}/weights", self.layer),
            (Style::Caffe, _) => format!("{}.weight", self.layer),
        }
    }

    fn bias(&self) -> String {
        match (&self.style, self.is_conv) {
            (Style::Torchvision(prefix), true) => format!("{prefix}{}.conv.bias", self.layer),
            (Style::Torchvision(prefix), false) => format!("{prefix}{}.bias", self.layer),
            (Style::Slim, _) => format!("InceptionV1/{}/biases", self.layer),
            (Style::Caffe, _) => format!("{}.bias", self.layer),
        }
    }

    /// The names of gamma, beta, mean and variance, for a layer that may be normalised.
    fn norm(&self) -> Option<[String; 4]> {
        let layer = &self.layer;
        match &self.style {
            Style::Torchvision(prefix) if self.is_conv => {
                Some(["weight", "bias", "running_mean", "running_var"].map(|part| format!("{prefix}{layer}.bn.{part}")))
            }
            Style::Slim if self.is_conv => Some(
                ["gamma", "beta", "moving_mean", "moving_variance"]
                    .map(|part| format!("InceptionV1/{layer}/BatchNorm/{part}")),
            ),
            _ => None,
        }
    }
}

impl Style {
    fn of(tensors: &[Tensor<'_>]) -> Style {
        let prefix = tensors.iter().find_map(|tensor| tensor.name.strip_suffix("inception3a.branch1.conv.weight"));
        if let Some(prefix) = prefix {
            return Style::Torchvision(prefix.to_owned());
        }
        let is_slim = tensors.iter().any(|tensor| tensor.name.starts_with("InceptionV1/"));
        if is_slim { Style::Slim } else { Style::Caffe }
    }

    /// The names that the tensors of the model table's `layer` may have.
    fn names(&self, layer: &str) -> Vec<Names> {
        let is_conv = !layer.ends_with("/classifier") && !layer.ends_with("/fc");
        let layers = match self {
            Style::Caffe => vec![layer.to_owned()],
            Style::Torchvision(_) => vec![torchvision(layer)],
            Style::Slim => slim(layer),
        };
        layers.into_iter().map(|layer| Names { style: self.clone(), layer, is_conv }).collect()
    }
}

fn torchvision(layer: &str) -> String {
    let (block, part) = layer.split_once('/').expect("the table's names have two parts");
    if let Some(module) = block.strip_prefix("inception_") {
        let branch = match part {
            "1x1" => "branch1",
            "3x3_reduce" => "branch2.0",
            "3x3" => "branch2.1",
            "5x5_reduce" => "branch3.0",
            "5x5" => "branch3.1",
            _ => "branch4.1",
        };
        return format!("inception{module}.{branch}");
    }
    match (block, part) {
        ("conv1", _) => "conv1".into(),
        ("conv2", "3x3_reduce") => "conv2".into(),
        ("conv2", _) => "conv3".into(),
        ("loss3", _) => "fc".into(),
        (head, part) => {
            let part = match part {
                "conv" => "conv",
                "fc" => "fc1",
                _ => "fc2",
            };
            format!("aux{}.{part}", &head["loss".len()..])
        }
    }
}

fn slim(layer: &str) -> Vec<String> {
    let (block, part) = layer.split_once('/').expect("the table's names have two parts");
    if let Some(module) = block.strip_prefix("inception_") {
        // Slim's letters are one further than the table's, as it calls the pool before a stage's modules `a`.
        let mut chars = module.chars();
        let (stage, letter) = (chars.next().unwrap_or('3'), chars.next().unwrap_or('a'));
        let letter = char::from_u32(letter as u32 + 1).unwrap_or('b');
        let branches: &[&str] = match part {
            "1x1" => &["Branch_0/Conv2d_0a_1x1"],
            "3x3_reduce" => &["Branch_1/Conv2d_0a_1x1"],
            "3x3" => &["Branch_1/Conv2d_0b_3x3"],
            "5x5_reduce" => &["Branch_2/Conv2d_0a_1x1"],
            // slim calls this convolution 0b in all modules but Mixed_5b, where it calls it 0a.
            "5x5" => &["Branch_2/Conv2d_0b_3x3", "Branch_2/Conv2d_0a_3x3"],
            _ => &["Branch_3/Conv2d_0b_1x1"],
        };
        return branches.iter().map(|branch| format!("Mixed_{stage}{letter}/{branch}")).collect();
    }
    let name = match (block, part) {
        ("conv1", _) => "Conv2d_1a_7x7",
        ("conv2", "3x3_reduce") => "Conv2d_2b_1x1",
        ("conv2", _) => "Conv2d_2c_3x3",
        ("loss3", _) => "Logits/Conv2d_0c_1x1",
        // slim's weights have no heads: the table's name stands for one that no file holds.
        _ => layer,
    };
    vec![name.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_programs() {
        for (layer, torch, tf) in [
            ("conv1/7x7_s2", "conv1", "Conv2d_1a_7x7"),
            ("conv2/3x3_reduce", "conv2", "Conv2d_2b_1x1"),
            ("conv2/3x3", "conv3", "Conv2d_2c_3x3"),
            ("inception_3a/1x1", "inception3a.branch1", "Mixed_3b/Branch_0/Conv2d_0a_1x1"),
            ("inception_4e/5x5", "inception4e.branch3.1", "Mixed_4f/Branch_2/Conv2d_0b_3x3"),
            ("inception_5b/pool_proj", "inception5b.branch4.1", "Mixed_5c/Branch_3/Conv2d_0b_1x1"),
            ("loss3/classifier", "fc", "Logits/Conv2d_0c_1x1"),
        ] {
            assert_eq!((torchvision(layer).as_str(), slim(layer)[0].as_str()), (torch, tf));
        }
        assert_eq!(
            ["conv", "fc", "classifier"].map(|part| torchvision(&format!("loss2/{part}"))),
            ["aux2.conv", "aux2.fc1", "aux2.fc2"]
        );
        assert_eq!(slim("inception_5a/5x5")[1], "Mixed_5b/Branch_2/Conv2d_0a_3x3");
    }
}
