//! How the errors' texts show names and values that come from a file: they are escaped and shortened, so that a hostile
//! file cannot flood a terminal.

use std::fmt;

/// Shows text from a file in quotes, its control characters escaped, at most `SHOWN` characters of it.
pub(super) struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{:?}...", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// Shows a list that this crate made of names and values, some of them from a file: without quotes, its control
/// characters escaped, at most `LISTED` characters of it.
pub(super) struct Listed<'a>(pub &'a str);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars().take(LISTED) {
            match char.is_control() {
                true => write!(f, "{}", char.escape_debug())?,
                false => write!(f, "{char}")?,
            }
        }
        if self.0.chars().nth(LISTED).is_some() { write!(f, "...") } else { Ok(()) }
    }
}

/// The text of another crate's error, escaped and shortened as [`Listed`] does it, as it may quote the file.
pub(super) fn listed(error: &dyn std::error::Error) -> String {
    Listed(&error.to_string()).to_string()
}

/// Shows a tensor by its name in the file and, if the network has another name for it, by that too.
pub(super) struct Named<'a> {
    pub tensor: &'a str,
    pub source_name: &'a str,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tensor, source_name } = self;
        match tensor == source_name {
            true => write!(f, "tensor {}", Quoted(tensor)),
            false => write!(f, "tensor {}, as {},", Quoted(source_name), Quoted(tensor)),
        }
    }
}

/// The most characters of a quoted text that are shown.
const SHOWN: usize = 80;
/// The most characters of a list that are shown.
const LISTED: usize = 400;
