//! What the command's pages share: one HTML file each that needs no other, in light or dark, for large and small screens.
//!
//! File names and labels are foreign text: all of them go through [`escaped`].

use std::fmt::Write;

use crate::command::printable::Printable;

/// A whole page with `title` (text, not HTML) and the HTML of what it shows. No script, and nothing from elsewhere, can be
/// in it.
pub fn page(title: &str, body: &str) -> String {
    styled_page(title, "", body)
}

/// What [`page`] makes, with a style of the page's own behind the shared one.
pub fn styled_page(title: &str, style: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         img-src data:\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// A picture of `[width, height]` pixels inside the page, from the bytes of a file of the type `kind`: `png`, `jpeg`.
/// `alt` is foreign text that says what is on it.
pub fn picture(kind: &str, file: &[u8], [width, height]: [u32; 2], alt: &str) -> String {
    let (bytes, alt) = (base64(file), escaped(alt));
    format!(
        "<img src=\"data:image/{kind};base64,{bytes}\" width=\"{width}\" height=\"{height}\" loading=\"lazy\" \
         alt=\"{alt}\">"
    )
}

/// Adds a formatted text.
pub fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a string grows");
}

/// A number of things, in words: `1 unit`, `2 units`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `a, b and c`.
pub fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// A number with its sign, which is a true minus sign below 0.
pub fn signed(value: f64, digits: usize) -> String {
    format!("{value:+.digits$}").replace('-', "\u{2212}")
}

/// Foreign text as text or an attribute's value: nothing in it is taken for HTML, and nothing turns the line around.
pub fn escaped(text: &str) -> String {
    let mut out = String::new();
    for char in Printable(text).to_string().chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            char => out.push(char),
        }
    }
    out
}

/// `bytes` in base64 with padding (RFC 4648, section 4).
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            // A chunk of n bytes has n + 1 digits.
            let char = if digit <= three.len() { DIGITS[(bits >> (18 - 6 * digit)) as usize & 63] } else { b'=' };
            out.push(char::from(char));
        }
    }
    out
}

const STYLE: &str = "\
:root{--back:#fff;--text:#1c1c1c;--quiet:#595959;--line:#d4d4d4;--card:#f6f6f6}\
@media(prefers-color-scheme:dark){:root{--back:#16181b;--text:#e8e8e8;--quiet:#a9adb3;--line:#3a3e44;--card:#202328}}\
*{box-sizing:border-box}\
body{margin:0;background:var(--back);color:var(--text);font:1rem/1.55 system-ui,sans-serif}\
main{max-width:50rem;margin:0 auto;padding:1rem}\
h1{font-size:1.7rem;line-height:1.25;overflow-wrap:anywhere}\
h2{font-size:1.3rem;margin-top:2.4rem;border-top:1px solid var(--line);padding-top:1.2rem}\
h3{font-size:1.05rem;margin:0}\
figure{margin:1rem 0}\
figcaption{color:var(--quiet);font-size:.9rem}\
img,svg{display:block;max-width:100%;height:auto}\
figure>img{border-radius:4px}svg{width:34rem}figcaption{margin-top:.4rem}\
section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.9rem;margin:1rem 0}\
section p{margin:.2rem 0;color:var(--quiet)}\
.pictures{list-style:none;margin:.7rem 0;padding:0}\
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(5.5rem,1fr));gap:.8rem}\
.pictures li{max-width:7rem}\
.pictures figure{margin:0}\
.pictures figcaption{font-size:.78rem;line-height:1.3;margin-top:.25rem;overflow-wrap:anywhere}\
.pictures span{display:block}\
details p{overflow-wrap:anywhere;font-size:.85rem}\
summary{cursor:pointer}\
.wide{overflow-x:auto}\
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}\
caption{text-align:left;color:var(--quiet);padding-bottom:.4rem}\
th,td{text-align:right;padding:.35rem .6rem;border-bottom:1px solid var(--line);vertical-align:bottom}\
th{font-weight:600}\
code{overflow-wrap:anywhere}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_text() {
        assert_eq!(
            escaped("<img src=x onerror='a()'>&\"\u{202e}\n"),
            "&lt;img src=x onerror=&#39;a()&#39;&gt;&amp;&quot;\\u{202e}\\n"
        );
    }

    /// The examples of RFC 4648, section 10, and the last two digits.
    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (text, expected) in cases {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn words_fit_numbers() {
        assert_eq!([counted(1, "unit"), counted(0, "unit")], ["1 unit", "0 units"]);
        assert_eq!(listed(&["a", "b", "c"].map(String::from)), "a, b and c");
        assert_eq!([signed(-0.5, 2), signed(0.126, 2)], ["\u{2212}0.50", "+0.13"]);
    }
}
