//! The page that shows what was found.

use crate::command::page::html::{self, add, counted, escaped, listed, picture, signed};
use crate::command::page::thumbnail;
use std::collections::BTreeMap;

use super::matrix::Matrix;
use super::plot::percent;
use super::report::Report;

/// Writes the page. `thumbnails` has small JPEG pictures, by the number of the picture in the report; pictures without
/// one are named only.
pub fn page(report: &Report, matrix: &Matrix, plot: &str, thumbnails: &BTreeMap<usize, Vec<u8>>) -> String {
    let endpoint = escaped(&report.endpoint);
    let [c, h, w] = report.shape;
    let live = c - report.dead.len();
    let mut page = format!(
        "\
         <h1>Units of <code>{endpoint}</code> that fire together</h1>\n\
         <p>A unit is one of the layer\u{2019}s {c} channels, which {looks}. The network, {network} ({dialect}), has \
         seen {pictures}, and for every two units this page says whether they tend to be active at the same time: \
         their correlation is 1 if they always rise and fall together, 0 if there is no straight-line \
         relation between them, and \u{2212}1 if one falls as the other rises.</p>\n",
        looks = match h * w {
            1 => "looks at the whole picture at once".to_owned(),
            _ => format!("looks for the same thing at each of {h} \u{d7} {w} positions of a picture"),
        },
        network = report.network,
        dialect = report.dialect,
        pictures = counted(report.pictures.len(), "picture"),
    );
    section_matrix(&mut page, report, matrix, live);
    section_shares(&mut page, report, plot);
    section_clusters(&mut page, report, thumbnails);
    section_rest(&mut page, report);
    html::page(&format!("Units of {} that fire together", report.endpoint), &page)
}

fn section_matrix(page: &mut String, report: &Report, matrix: &Matrix, live: usize) {
    let clusters = report.clusters.clusters.len();
    let several = report.clusters.clusters.iter().filter(|cluster| cluster.units.len() > 1).count();
    let alt = format!(
        "Matrix of the correlations of {live} units of {}, in the order of {clusters} clusters; the numbers are in \
         correlations.npy.",
        report.endpoint
    );
    add(
        page,
        format_args!(
            "<h2>The matrix</h2>\n\
             <p>{squares}Red says that two units tend to be \
             active at the same position, blue that one tends to be quiet where the other is active. The units are in \
             an order that was made by hierarchical clustering, so that those which fire together lie side by side: \
             groups of them are red squares on the diagonal.</p>\n\
             <figure>\n{image}\n\
             <figcaption>Correlations within a position. The darkest red stands for {limit:.1} and more, the darkest \
             blue for \u{2212}{limit:.1} and less. The grey bands along the top and the left show the {clusters} \
             clusters, of which {several} have more than one unit.</figcaption>\n</figure>\n",
            image = picture("png", &matrix.png, matrix.size, &alt),
            limit = matrix.limit,
            squares = match matrix.block {
                1 => format!("Each row, and each column, is one of the {live} units that vary. "),
                block => format!(
                    "There are {live} units that vary: each square is the mean correlation of {block} of them, in a \
                     row, with {block}. "
                ),
            },
        ),
    );
}

fn section_shares(page: &mut String, report: &Report, plot: &str) {
    let shares = &report.shares;
    page.push_str("<h2>How far correlations reach</h2>\n");
    page.push_str(
        "<p>Arora et al. (2014) build a network layer by layer, from groups of units whose activities are correlated. \
         GoogLeNet\u{2019}s authors (Szegedy et al. 2015) take from it the reason for their modules: groups whose \
         units lie at one position are covered by 1\u{d7}1 convolutions, and those that are more spread out, of which \
         they expect fewer, by 3\u{d7}3 and 5\u{d7}5 ones.</p>\n",
    );
    match shares.len() {
        1 => page.push_str(
            "<p>This layer has a single position in each picture. There are no neighbouring positions, and so this \
             page cannot say how far correlations reach.</p>\n",
        ),
        _ => {
            let each: Vec<String> = shares
                .iter()
                .map(|share| format!("{} at distance {}", percent(share.per_pair), share.distance))
                .collect();
            let together: Vec<String> = shares.iter().map(|share| percent(share.together)).collect();
            add(
                page,
                format_args!(
                    "<p><strong>Measured here:</strong> the squared correlation of two different units, for one pair \
                     of positions at each distance, is divided into {}; the shares would be {} each if distance made \
                     no difference. As more positions lie farther away, the shares of all positions at a distance \
                     taken together are {}.</p>\n\
                     <p>Two things make correlations whatever the network has learned: neighbouring positions look at \
                     parts of the picture that overlap, and pictures change little from one position to the next. The \
                     shares say how far correlations reach in this layer, over these pictures; they do not say why, or \
                     which sizes of filters are best. With few pictures, chance adds to all of them.</p>\n",
                    listed(&each),
                    percent(1.0 / shares.len() as f64),
                    listed(&together),
                ),
            );
        }
    }
    if shares.len() > 1 {
        add(
            page,
            format_args!(
                "<figure>\n{plot}<figcaption>The shares of squared correlation by distance. Two positions are at \
                 distance 1 if they touch, at a side or a corner, and at distance 2 if one lies between \
                 them.</figcaption>\n\
                 </figure>\n"
            ),
        );
    }
    add(
        page,
        format_args!(
            "<div class=\"wide\" tabindex=\"0\"><table>\n<caption>The same in numbers</caption>\n<thead><tr>\
             <th scope=\"col\">Distance</th>\
             <th scope=\"col\">Positions at it</th>\
             <th scope=\"col\">Root mean square correlation of different units</th>\
             <th scope=\"col\">Mean correlation of a unit with itself</th>\
             <th scope=\"col\">Share, a pair of positions</th>\
             <th scope=\"col\">Share, all together</th></tr></thead>\n<tbody>\n"
        ),
    );
    for share in shares {
        add(
            page,
            format_args!(
                "<tr><th scope=\"row\">{}</th><td>{:.1}</td><td>{:.3}</td><td>{:.3}</td><td>{}</td><td>{}</td></tr>\n",
                share.distance,
                share.neighbours,
                share.mean_square.sqrt(),
                share.same_unit,
                percent(share.per_pair),
                percent(share.together),
            ),
        );
    }
    page.push_str("</tbody>\n</table></div>\n");
}

fn section_clusters(page: &mut String, report: &Report, thumbnails: &BTreeMap<usize, Vec<u8>>) {
    page.push_str(
        "<h2>The clusters</h2>\n\
         <p>In the order of the matrix, each with the pictures that excite it most. The number at a picture says how \
         far the cluster\u{2019}s units are above their usual activity there, averaged over them and over the \
         picture\u{2019}s positions, in standard deviations. Pictures are cut to their middle.</p>\n",
    );
    for (index, (cluster, exciting)) in report.clusters.clusters.iter().zip(&report.exciting).enumerate() {
        let units: Vec<String> = cluster.units.iter().map(usize::to_string).collect();
        let mean = match cluster.mean_correlation {
            Some(mean) => format!("mean correlation {}", signed(mean, 2)),
            None => "a unit by itself".to_owned(),
        };
        add(
            page,
            format_args!(
                "<section>\n<h3>Cluster {}: {}</h3>\n<p>{mean}</p>\n<ul class=\"pictures\">\n",
                index + 1,
                counted(units.len(), "unit"),
            ),
        );
        for excitement in exciting {
            let name = &report.pictures[excitement.picture];
            page.push_str("<li><figure>");
            if let Some(file) = thumbnails.get(&excitement.picture) {
                page.push_str(&picture("jpeg", file, [thumbnail::SIDE; 2], &format!("The picture {name}")));
            }
            let name = escaped(name);
            let value = signed(excitement.value, 2);
            add(page, format_args!("<figcaption><b>{value}</b> <span>{name}</span></figcaption></figure></li>\n"));
        }
        add(
            page,
            format_args!("</ul>\n<details><summary>Units</summary><p>{}</p></details>\n</section>\n", units.join(", ")),
        );
    }
}

fn section_rest(page: &mut String, report: &Report) {
    page.push_str("<h2>What was left out</h2>\n");
    match report.dead.as_slice() {
        [] => page.push_str("<p>No unit: each has different values at some two positions.</p>\n"),
        dead => {
            let names: Vec<String> = dead.iter().map(usize::to_string).collect();
            add(
                page,
                format_args!(
                    "<p>{} with the same value at every position of every picture, which no correlation is defined \
                     for: {}.</p>\n",
                    counted(dead.len(), "unit"),
                    names.join(", ")
                ),
            );
        }
    }
    if !report.unreadable.is_empty() {
        add(
            page,
            format_args!("<p>{} that could not be used:</p>\n<ul>\n", counted(report.unreadable.len(), "picture")),
        );
        for (name, why) in &report.unreadable {
            add(page, format_args!("<li><code>{}</code>: {}</li>\n", escaped(name), escaped(why)));
        }
        page.push_str("</ul>\n");
    }
    page.push_str(
        "<h2>How it is counted</h2>\n\
         <p>For each distance there is one population: all ordered pairs of positions at that distance, of all \
         pictures, so that every direction is in it, and in both senses. The correlation of units i and j is \
         Pearson\u{2019}s, of i at the first position and j at the second, with means and variances over the same \
         population. A distance is the larger of the differences of columns and of rows. Clusters are made by average \
         linkage on one minus the correlation within a position. The numbers are in <code>correlations.npy</code> and \
         <code>clusters.json</code>.</p>\n\
         <h2>Sources</h2>\n<ul>\n\
         <li>S. Arora, A. Bhaskara, R. Ge, T. Ma: Provable Bounds for Learning Some Deep Representations, 2014, \
         arXiv:1310.6343</li>\n\
         <li>C. Szegedy et al.: Going Deeper with Convolutions, 2015, arXiv:1409.4842, section 4</li>\n\
         <li>D. O. Hebb: The Organization of Behavior, 1949</li>\n</ul>\n",
    );
}
