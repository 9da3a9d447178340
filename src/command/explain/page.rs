//! The page.

use crate::Prediction;

use crate::command::exit::Outcome;
use crate::command::filters;
use crate::command::page::html::{add, counted, escaped, listed, picture, signed, styled_page};

use super::draw::{Canvas, Drawn, tile};
use super::look::Answer;
use super::occlusion::{self, Hidden, POSITIONS};
use super::report::Report;

/// Writes the page.
pub fn page(report: &Report) -> Outcome<String> {
    let canvas = Canvas::new(report.picture)?;
    let mut body = String::new();
    let name = escaped(&report.name);
    let (network, seen) = (report.model.network(), &report.seen);
    let [across, down] = [seen.window.width, seen.window.height].map(|side| side.round());
    let (width, height) = (report.picture.width(), report.picture.height());
    let side = seen.window.side;
    add(
        &mut body,
        format_args!(
            "<h1>What the network makes of <code>{name}</code></h1>\n\
             <p>The network, {} ({}), sees {across} \u{d7} {down} of the picture\u{2019}s {width} \u{d7} {height} pixels, \
             made {side} \u{d7} {side}: what is bright here.</p>\n",
            network.name, network.dialect,
        ),
    );
    figure(&mut body, &canvas.window(&seen.window)?, &format!("The picture {}", report.name), "");
    body.push_str("<h2>What it says</h2>\n");
    bars(&mut body, &seen.top);
    classes(&mut body, report, &canvas)?;
    heads(&mut body, report);
    layers(&mut body, report)?;
    first_layer(&mut body, report)?;
    body.push_str(SOURCES);
    Ok(styled_page(&format!("What the network makes of {}", report.name), STYLE, &body))
}

/// The class maps and what occlusion changes, class by class.
fn classes(body: &mut String, report: &Report, canvas: &Canvas) -> Outcome {
    let (seen, occlusion) = (&report.seen, &report.occlusion);
    body.push_str("<h2>Where it sees that</h2>\n");
    match &seen.maps {
        Some(maps) => {
            let [h, w] = maps[0].shape;
            add(
                body,
                format_args!(
                    "<p><strong>Class maps:</strong> the network\u{2019}s end adds up what speaks for a class at {h} \u{d7} {w} \
                     positions, so that a class\u{2019}s score is the mean of a map, and a constant. From yellow to red it speaks for the \
                     class, from cyan to blue against it. All maps have the same scale; between positions they are drawn in proportion.</p>\n"
                ),
            );
        }
        None => body.push_str(
            "<p>This network has no class maps: they need an end that adds up positions, and it has fully connected layers \
             that see all positions at once.</p>\n",
        ),
    }
    let part = 1.0 / POSITIONS as f64;
    add(
        body,
        format_args!(
            "<p><strong>Occlusion:</strong> a square of {:.0} pixels of the input, in the colour that stands for nothing, \
             hides one part after another, at {POSITIONS} \u{d7} {POSITIONS} places. From yellow to red hiding makes the class \
             less likely, from cyan to blue likelier: the colour is by how much the logarithm of its odds changes, in the same \
             scale for all classes.</p>\n",
            occlusion.square,
        ),
    );
    let largest = |values: &mut dyn Iterator<Item = f32>| values.map(f32::abs).fold(0.0, f32::max);
    let map_limit =
        seen.maps.as_ref().map_or(0.0, |maps| largest(&mut maps.iter().flat_map(|map| map.values.iter().copied())));
    let fall_limit = largest(&mut occlusion.classes.iter().flat_map(|hidden| hidden.falls.iter().copied()));
    for (index, (class, hidden)) in seen.top.iter().zip(&occlusion.classes).enumerate() {
        let label = named(class);
        add(
            body,
            format_args!(
                "<section>\n<h3>{}: {}</h3>\n<div class=\"pair\">\n",
                escaped(&label),
                percent(class.probability.into())
            ),
        );
        if let Some(map) = seen.maps.as_ref().map(|maps| &maps[index]) {
            let mean = map.values.iter().map(|&value| f64::from(value)).sum::<f64>() / map.values.len() as f64;
            let drawn = canvas.heat(map_limit, |point| map.at(point, &seen.window))?;
            let caption = format!(
                "Class map. Its mean {} and the constant {} make the score {}.",
                signed(mean, 2),
                signed(map.bias.into(), 2),
                signed(seen.logits[class.index].into(), 2)
            );
            figure(body, &drawn, &format!("The class map of {label} over the picture"), &caption);
        }
        let value = |point: [f64; 2]| {
            let side = seen.window.side as f64;
            let at = seen.window.input_point(point).map(|at| at / side / part - 0.5);
            let is_inside = at.iter().all(|at| (-0.5..=POSITIONS as f64 - 0.5).contains(at));
            is_inside.then(|| crate::engine::between(&hidden.falls, [POSITIONS; 2], at[1], at[0]))
        };
        let caption = format!(
            "Occlusion. At the worst place the probability is {}, at the best {}.",
            percent(hidden.probabilities[hidden.worst()].into()),
            percent(hidden.probabilities.iter().copied().fold(0.0, f32::max).into()),
        );
        figure(body, &canvas.heat(fall_limit, value)?, &format!("What hiding parts does to {label}"), &caption);
        if index == 0 {
            worst(body, report, canvas, hidden)?;
        }
        body.push_str("</div>\n</section>\n");
    }
    Ok(())
}

/// The picture with the square where it makes the likeliest class the least likely.
fn worst(body: &mut String, report: &Report, canvas: &Canvas, hidden: &Hidden) -> Outcome {
    let window = &report.seen.window;
    let [columns, rows] = occlusion::square(hidden.worst(), window.side);
    let [left, top] = window.point([columns.start as f64, rows.start as f64]);
    let [right, bottom] = window.point([columns.end as f64, rows.end as f64]);
    let rule = report.model.rule();
    let colour = rule.mean.map(|mean| mean.round().clamp(0.0, 255.0) as u8);
    let colour = match rule.channels {
        crate::image::Channels::Rgb => colour,
        crate::image::Channels::Bgr => [colour[2], colour[1], colour[0]],
    };
    let drawn = canvas.hide([left, top, right - left, bottom - top], colour)?;
    figure(body, &drawn, "The picture with the square at that place", "The square at the worst place.");
    Ok(())
}

fn heads(body: &mut String, report: &Report) {
    let seen = &report.seen;
    body.push_str("<h2>From shallow to deep</h2>\n");
    let quoted = |names: &[&str]| listed(&names.iter().map(|name| format!("<code>{name}</code>")).collect::<Vec<_>>());
    if !seen.absent.is_empty() {
        add(
            body,
            format_args!(
                "<p>The network was published with classifiers on its way, {}: these weights lack them, and only its end has \
                 an opinion.</p>\n",
                quoted(&seen.absent)
            ),
        );
    }
    if !seen.unfit.is_empty() {
        let side = seen.window.side;
        add(body, format_args!("<p>{} do not run at {side} \u{d7} {side} pixels.</p>\n", quoted(&seen.unfit)));
    }
    if seen.absent.is_empty() && seen.unfit.is_empty() {
        match seen.opinions.len() {
            1 => body.push_str("<p>This network has no classifiers on its way; only its end has an opinion.</p>\n"),
            _ => body.push_str(
                "<p>What each of the classifiers on the way, and the network\u{2019}s end, would answer.</p>\n",
            ),
        }
    }
    for opinion in &seen.opinions {
        let name = escaped(&opinion.name);
        match &opinion.after {
            Some(after) => add(
                body,
                format_args!("<section>\n<h3><code>{name}</code>, behind <code>{}</code></h3>\n", escaped(after)),
            ),
            None => add(body, format_args!("<section>\n<h3><code>{name}</code>, the end</h3>\n")),
        }
        bars(body, &opinion.top);
        body.push_str("</section>\n");
    }
}

fn layers(body: &mut String, report: &Report) -> Outcome {
    let answers = &report.seen.layers;
    let has_modules =
        report.model.network().layers.iter().any(|layer| matches!(layer, crate::model::Layer::Inception(_)));
    let what = if has_modules { "module" } else { "layer" };
    let title = if has_modules { "What its modules answer" } else { "What its convolutions answer" };
    add(
        body,
        format_args!(
            "<h2>{title}</h2>\n<p>ReLU makes 0 of what is negative: the bars say what share of a {what}\u{2019}s values is 0 on \
             this picture.</p>\n<ul class=\"bars\">\n"
        ),
    );
    for answer in answers {
        bar(body, &answer.name, answer.zero_share);
    }
    body.push_str("</ul>\n");
    add(
        body,
        format_args!(
            "<p>The channels of each {what} with the largest values, each with its number and its largest value. Within a {what} \
             the brightest colour stands for the largest value of all.</p>\n"
        ),
    );
    answers.iter().try_for_each(|answer| channels(body, answer))
}

/// The strongest channels of an output, as tiles.
fn channels(body: &mut String, answer: &Answer) -> Outcome {
    let [c, h, w] = answer.shape;
    let name = escaped(&answer.name);
    add(
        body,
        format_args!(
            "<section>\n<h3><code>{name}</code></h3>\n<p>{} at {h} \u{d7} {w} positions, of whose values {} are 0</p>\n\
             <ul class=\"pictures tiles\">\n",
            counted(c, "channel"),
            percent(answer.zero_share)
        ),
    );
    let limit = answer.strongest.first().map_or(0.0, |channel| channel.largest);
    for channel in &answer.strongest {
        let drawn = tile(&channel.values, [h, w], limit)?;
        let alt = format!("Channel {} of {}", channel.index, answer.name);
        let own = channel.layer.strip_prefix(&answer.name).and_then(|own| own.strip_prefix('/')).unwrap_or("");
        add(
            body,
            format_args!(
                "<li><figure>{}<figcaption><b>{}</b> <span>{}</span><span>{}</span></figcaption></figure></li>\n",
                picture("png", &drawn.file, [TILE; 2], &alt),
                channel.index,
                number(channel.largest),
                escaped(own)
            ),
        );
    }
    body.push_str("</ul>\n</section>\n");
    Ok(())
}

fn first_layer(body: &mut String, report: &Report) -> Outcome {
    let sheet = filters::draw(report.model, FILTER_ZOOM)?;
    let ([oc, kh, kw], layer) = (sheet.filters, escaped(&sheet.layer));
    add(
        body,
        format_args!(
            "<h2>What its first layer looks for</h2>\n<p>The {oc} filters of <code>{layer}</code>, {kh} \u{d7} {kw}, in the colours \
             that they answer to; grey is no weight, and each is drawn in its own scale. They do not depend on the picture.</p>\n\
             <figure>\n{}</figure>\n",
            picture("png", &sheet.png, sheet.size, &format!("The filters of {}", sheet.layer)),
        ),
    );
    Ok(())
}

fn figure(body: &mut String, drawn: &Drawn, alt: &str, caption: &str) {
    let shown = picture("jpeg", &drawn.file, drawn.size, alt);
    match caption {
        "" => add(body, format_args!("<figure>\n{shown}</figure>\n")),
        _ => add(body, format_args!("<figure>\n{shown}<figcaption>{}</figcaption>\n</figure>\n", escaped(caption))),
    }
}

fn bars(body: &mut String, top: &[Prediction]) {
    body.push_str("<ul class=\"bars\">\n");
    for class in top {
        bar(body, &named(class), class.probability.into());
    }
    body.push_str("</ul>\n");
}

/// A line of a list of bars: what it is, and a share of 1.
fn bar(body: &mut String, what: &str, share: f64) {
    add(
        body,
        format_args!(
            "<li><span>{}</span><b>{}</b><i><i style=\"width:{:.2}%\"></i></i></li>\n",
            escaped(what),
            percent(share),
            100.0 * share.clamp(0.0, 1.0)
        ),
    );
}

/// A class's label, or its number where it has none.
fn named(class: &Prediction) -> String {
    match class.label.as_str() {
        "" => format!("class {}", class.index),
        label => label.to_owned(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1}\u{a0}%", 100.0 * share)
}

/// A value of a channel, with three digits that count.
fn number(value: f32) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// How wide a channel is shown, in pixels.
const TILE: u32 = 84;
/// How wide a weight of a filter is drawn, in pixels.
const FILTER_ZOOM: usize = 6;

const SOURCES: &str = "\
<h2>Sources</h2>\n<ul>\n\
<li>B. Zhou et al.: Learning Deep Features for Discriminative Localization, 2016, arXiv:1512.04150 (class maps)</li>\n\
<li>M. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks, 2013, arXiv:1311.2901 (occlusion)</li>\n\
<li>C. Szegedy et al.: Going Deeper with Convolutions, 2015, arXiv:1409.4842 (the network, its heads)</li>\n</ul>\n";

const STYLE: &str = "\
:root{--bar:#2166ac}@media(prefers-color-scheme:dark){:root{--bar:#67a9cf}}\
.bars{list-style:none;padding:0;margin:.8rem 0}\
.bars li{display:grid;grid-template-columns:1fr auto;gap:0 1rem;margin:.55rem 0}\
.bars span{overflow-wrap:anywhere}\
.bars b{font-variant-numeric:tabular-nums;font-weight:600}\
.bars>li>i{grid-column:1/-1;height:.5rem;background:var(--line);border-radius:.25rem;overflow:hidden}\
.bars i i{display:block;height:100%;min-width:1px;background:var(--bar)}\
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(17rem,100%),1fr));gap:0 1rem}\
.pair figure{margin:.7rem 0 0}\
.tiles img{image-rendering:pixelated;width:100%;max-width:84px}\
.tiles li{max-width:84px}";
