//! Foreign text on a terminal: what would move the cursor, or turn the line around, is shown escaped.

use std::fmt::{self, Write};

/// A text from a file, or a file's name, which is shown on one line.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            // These are the embeddings, overrides and isolates of the bidirectional algorithm.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => write!(f, "{}", char.escape_unicode()),
            '\u{2028}' | '\u{2029}' => write!(f, "{}", char.escape_unicode()),
            _ if char.is_control() => write!(f, "{}", char.escape_default()),
            _ => f.write_char(char),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_shown_is_escaped() {
        let shown = |text: &str| Printable(text).to_string();
        assert_eq!(shown("cat's \"Größe\" 猫 e\u{301} \\"), "cat's \"Größe\" 猫 e\u{301} \\");
        assert_eq!(shown("a\u{1b}[2J\n\u{9b}\u{202e}b"), "a\\u{1b}[2J\\n\\u{9b}\\u{202e}b");
    }
}
