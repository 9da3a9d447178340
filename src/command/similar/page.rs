//! The pages: contact sheets of what was found.

use std::path::PathBuf;

use crate::index::{Group, Hit};

use crate::command::page::html::{add, counted, escaped, picture, styled_page};
use crate::command::page::thumbnail;

use super::Found;

/// The page of pictures that are like others. `place` tells the name of a row and where its picture is.
pub fn found(all: &[Found], place: impl Fn(usize) -> (String, Option<PathBuf>)) -> String {
    let mut body = String::from(
        "<h1>Pictures that are alike</h1>\n<p>The number at a picture is its similarity to the one above it: 1 for the same \
         features. Pictures are cut to their middle.</p>\n",
    );
    for found in all {
        let name = escaped(&found.name);
        add(&mut body, format_args!("<section>\n<h2><code>{name}</code></h2>\n<figure>"));
        if let Some(jpeg) = thumbnail::of(&found.path) {
            body.push_str(&picture("jpeg", &jpeg, [thumbnail::SIDE; 2], &format!("The picture {}", found.name)));
        }
        body.push_str("</figure>\n");
        sheet(&mut body, &found.hits, &place);
        body.push_str("</section>\n");
    }
    styled_page("Pictures that are alike", STYLE, &body)
}

/// The page of groups of `count` pictures that are at least `similarity` alike.
pub fn duplicates(
    groups: &[Group],
    similarity: f64,
    count: usize,
    place: impl Fn(usize) -> (String, Option<PathBuf>),
) -> String {
    let pictures: usize = groups.iter().map(Vec::len).sum();
    let mut body = String::from("<h1>Pictures that are nearly the same</h1>\n");
    add(
        &mut body,
        format_args!(
            "<p>{pictures} of {} are in {}: each picture of a group is at least {similarity} like another one of it. The number \
             at a picture is its similarity to the one that it is most like. Pictures are cut to their middle.</p>\n",
            counted(count, "picture"),
            counted(groups.len(), "group"),
        ),
    );
    for (index, group) in groups.iter().enumerate() {
        let (number, pictures) = (index + 1, counted(group.len(), "picture"));
        add(&mut body, format_args!("<section>\n<h2>Group {number}: {pictures}</h2>\n"));
        sheet(&mut body, group, &place);
        body.push_str("</section>\n");
    }
    styled_page("Pictures that are nearly the same", STYLE, &body)
}

fn sheet(body: &mut String, hits: &[Hit], place: &impl Fn(usize) -> (String, Option<PathBuf>)) {
    body.push_str("<ul class=\"pictures\">\n");
    for hit in hits {
        let (name, path) = place(hit.row);
        body.push_str("<li><figure>");
        match path.and_then(|path| thumbnail::of(&path)) {
            Some(jpeg) => {
                body.push_str(&picture("jpeg", &jpeg, [thumbnail::SIDE; 2], &format!("The picture {name}")));
            }
            None => body.push_str("<em>not to be read any more</em>"),
        }
        let (similarity, name) = (hit.similarity, escaped(&name));
        add(body, format_args!("<figcaption><b>{similarity:.4}</b> <span>{name}</span></figcaption></figure></li>\n"));
    }
    body.push_str("</ul>\n");
}

/// A group's heading is a title of its card, not a part of the page.
const STYLE: &str = "\
section h2{margin:0;border:0;padding:0;font-size:1.05rem}\
section>figure{margin:.7rem 0}";
