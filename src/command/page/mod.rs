//! What the command shows in a browser: pages of HTML, and drawings in SVG, which stand alone or in a page.

pub mod html;
pub mod svg;
pub mod thumbnail;
