//! Errors of models as a whole: dialect, labels, classes.

use std::fmt;

use super::text::Quoted;

/// What a model, or several of an ensemble, have that does not fit.
#[derive(Debug)]
#[non_exhaustive]
pub enum ModelError {
    /// The weights are for a dialect that nobody knows, or that is not the network's.
    UnknownDialect {
        /// The dialect.
        dialect: String,
        /// Those that would do.
        known: Vec<&'static str>,
    },
    /// There are not as many labels as classes.
    LabelCount {
        /// Labels.
        labels: usize,
        /// Classes.
        classes: usize,
    },
    /// Models of an ensemble have not the same classes.
    ClassCounts {
        /// The fewest classes that one of them has.
        least: usize,
        /// Another's.
        other: usize,
    },
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownDialect { dialect, known } => {
                write!(f, "dialect {}, expected {}", Quoted(dialect), known.join(" or "))
            }
            Self::ClassCounts { least, other } => {
                write!(f, "models of {least} and of {other} classes cannot be averaged")
            }
            Self::LabelCount { labels, classes } => write!(f, "{labels} labels for {classes} classes"),
        }
    }
}

impl std::error::Error for ModelError {}
