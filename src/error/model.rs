//! Errors of models as a whole: of their dialects, labels and classes.

use std::fmt;

use super::text::Quoted;

/// What a model, or several of an ensemble, have that does not fit.
#[derive(Debug)]
#[non_exhaustive]
pub enum ModelError {
    /// The weights are for a dialect that nobody knows, or that is not the network's.
    UnknownDialect {
        /// The dialect that the weights name.
        dialect: String,
        /// The dialects that would have been accepted.
        known: Vec<&'static str>,
    },
    /// The weights are for an input side at which their network does not run.
    InputSide {
        /// The network's name.
        network: &'static str,
        /// The input side that the network's published weights are for.
        own: usize,
        /// The input side that the weights name.
        side: usize,
    },
    /// The network tells no classes apart.
    NoClasses,
    /// What the weights make of an input is NaN or infinite: they have such values themselves, or so large ones that sums
    /// overflow. Sound weights make numbers of any picture.
    NotFinite,
    /// There are not as many labels as classes.
    LabelCount {
        /// How many labels there are.
        labels: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// The models of an ensemble have different numbers of classes.
    ClassCounts {
        /// The number of classes of the model that has the fewest.
        least: usize,
        /// The number of classes of another model.
        other: usize,
    },
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownDialect { dialect, known } => {
                write!(f, "dialect {}, expected {}", Quoted(dialect), known.join(" or "))
            }
            Self::InputSide { network, own, side } => {
                write!(f, "input side {side}, but the fully connected layers of {network} are made for {own}")
            }
            Self::ClassCounts { least, other } => {
                write!(f, "models of {least} and of {other} classes cannot be averaged")
            }
            Self::NotFinite => write!(f, "the weights give no probabilities: their results are NaN or infinite"),
            Self::NoClasses => write!(f, "a network of 0 classes"),
            Self::LabelCount { labels, classes } => write!(f, "{labels} labels for {classes} classes"),
        }
    }
}

impl std::error::Error for ModelError {}
