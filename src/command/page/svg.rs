//! What the command's drawings share: their first and last lines, and colours that follow the viewer's scheme.

use super::html::escaped;

/// What a drawing is.
pub struct Drawing<'a> {
    /// The drawing's class, which its style and the names of its title and description begin with: one of its own for each
    /// drawing of a page.
    pub class: &'a str,
    /// Its `[width, height]` in pixels, at which texts have the size that the style says.
    pub size: [f64; 2],
    /// What it is called (text, not SVG).
    pub title: &'a str,
    /// What it shows, in words, for those who hear it (text, not SVG).
    pub described: &'a str,
    /// What it has beside [`STYLE`].
    pub style: &'a str,
}

impl Drawing<'_> {
    /// The whole drawing, with the elements of `body`.
    pub fn draw(&self, body: &str) -> String {
        let Self { class, size: [width, height], title, described, style } = self;
        let (title, described) = (escaped(title), escaped(described));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" class=\"{class}\" \
             aria-labelledby=\"{class}-title {class}-desc\">\n<title id=\"{class}-title\">{title}</title>\n\
             <desc id=\"{class}-desc\">{described}</desc>\n<style>{STYLE}{style}</style>\n{body}</svg>\n"
        )
    }
}

/// The colours: of the ground, texts and thin lines, of what is compared with something (`quiet`), and of the thing itself
/// (`own`) and of its second part (`other`).
pub const STYLE: &str = "\
svg{--ground:#fff;--ink:#1c1c1c;--grid:#8888;--quiet:#9aa7b5;--own:#2166ac;--other:#e08214}\
@media(prefers-color-scheme:dark){svg{--ground:#16181b;--ink:#e8e8e8;--quiet:#657384;--own:#67a9cf;--other:#f0a850}}\
svg text{font:13px system-ui,sans-serif;fill:var(--ink)}";
