//! The page: the report, drawn, and the pictures that the classifier is most wrong about.

use crate::command::page::html::{add, counted, escaped, listed, page as whole, picture};
use crate::command::page::svg::Drawing;
use crate::command::page::thumbnail;

use super::report::{BINS, Bin, Report, wilson};

/// Writes the page.
pub fn page(report: &Report) -> String {
    let title = format!("What {} has learnt", report.output.file_name().unwrap_or_default().to_string_lossy());
    let mut body = String::new();
    summary(&mut body, &title, report);
    wrong(&mut body, report);
    confusion(&mut body, report);
    calibration(&mut body, report);
    penalties(&mut body, report);
    left_out(&mut body, report);
    whole(&title, &body)
}

/// A share as text, which is not broken.
fn share(value: f64) -> String {
    format!("{:.1}\u{a0}%", 100.0 * value)
}

fn summary(page: &mut String, title: &str, report: &Report) {
    let (right, count) = (report.right(), report.count());
    let [low, high] = wilson(right, count).map(share);
    let learnt: usize = report.learnt.iter().sum();
    add(
        page,
        format_args!(
            "<h1>{title}</h1>\n<p>A classifier of {classes} classes, on the features of {network}, learnt from {pictures} in \
             {views} each. It was judged on {held_back} that were held back, of which it saw no view while it \
             learnt.</p>\n\
             <p><strong>{right} of {count} are right: {top}</strong>. With 95 % confidence it is right for {low} to {high} \
             of pictures such as these. To name the most frequent class always would be right for {most}.</p>\n",
            title = escaped(title),
            classes = report.classes.len(),
            network = escaped(report.network),
            pictures = counted(learnt, "picture"),
            views = counted(report.views, "view"),
            held_back = counted(count, "picture"),
            top = share(right as f64 / count as f64),
            most = share(report.most()),
        ),
    );
}

fn wrong(page: &mut String, report: &Report) {
    let wrong = &report.judged.wrong;
    page.push_str("<h2>Most wrong about</h2>\n");
    if wrong.is_empty() {
        page.push_str("<p>None of the pictures that were held back was taken for another class.</p>\n");
        return;
    }
    let shown = wrong.len().min(SHOWN_PICTURES);
    let which = match wrong.len() - shown {
        0 => format!("All {} that were taken for another class", counted(shown, "picture")),
        _ => format!("The {} of {} pictures that were taken for another class", shown, wrong.len()),
    };
    add(
        page,
        format_args!(
            "<p>{which}, the surest mistakes first. Look whether they lie in the right folder: mistakes of that kind are \
             found here first.</p>\n<ul class=\"pictures\">\n"
        ),
    );
    for own in &wrong[..shown] {
        let name = report.name(&own.path);
        let size = [thumbnail::SIDE; 2];
        let small = thumbnail::of(&own.path).map(|jpeg| picture("jpeg", &jpeg, size, &name)).unwrap_or_default();
        add(
            page,
            format_args!(
                "<li><figure>{small}<figcaption><span>{}</span><span>taken for {}, {}</span><span><code>{}</code></span>\
                 </figcaption></figure></li>\n",
                escaped(&report.classes[own.class]),
                escaped(&report.classes[own.taken_for]),
                share(own.confidence),
                escaped(&name),
            ),
        );
    }
    page.push_str("</ul>\n");
}

fn confusion(page: &mut String, report: &Report) {
    page.push_str("<h2>What is taken for what</h2>\n");
    let classes = report.classes.len();
    if classes <= MATRIX {
        page.push_str(
            "<div class=\"wide\" tabindex=\"0\"><table>\n<caption>A row for each class: what its pictures, of those held \
             back, were taken for</caption>\n<thead><tr><th scope=\"col\">Class</th><th scope=\"col\">Learnt</th>",
        );
        for number in 1..=classes {
            add(page, format_args!("<th scope=\"col\">{number}</th>"));
        }
        page.push_str("</tr></thead>\n<tbody>\n");
        for (class, label) in report.classes.iter().enumerate() {
            add(
                page,
                format_args!(
                    "<tr><th scope=\"row\">{}.\u{a0}{}</th><td>{}</td>",
                    class + 1,
                    escaped(label),
                    report.learnt[class]
                ),
            );
            for (other, &n) in report.judged.confusion[class].iter().enumerate() {
                // Blue is right, red is wrong; the ground shows through, so that the text stays readable on both.
                let colour = if other == class { "33,102,172" } else { "200,60,40" };
                let depth = 0.6 * f64::from(n) / report.held_back[class] as f64;
                let text = if n == 0 { String::new() } else { n.to_string() };
                add(page, format_args!("<td style=\"background:rgba({colour},{depth:.3})\">{text}</td>"));
            }
            page.push_str("</tr>\n");
        }
        page.push_str("</tbody></table></div>\n");
        return;
    }
    let order = report.least_first();
    let shown = &order[..order.len().min(ROWS)];
    add(
        page,
        format_args!(
            "<div class=\"wide\" tabindex=\"0\"><table>\n<caption>The {} of {classes} classes of which the smallest share \
             is right</caption>\n<thead><tr><th scope=\"col\">Class</th><th scope=\"col\">Learnt</th>\
             <th scope=\"col\">Held back</th><th scope=\"col\">Right</th><th scope=\"col\">Taken for</th></tr></thead>\n\
             <tbody>\n",
            shown.len()
        ),
    );
    for &class in shown {
        let others = report.taken_for(class);
        let others: Vec<String> =
            others.iter().take(3).map(|&(other, n)| format!("{} ({n})", escaped(&report.classes[other]))).collect();
        add(
            page,
            format_args!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                escaped(&report.classes[class]),
                report.learnt[class],
                report.held_back[class],
                report.judged.right(class),
                listed(&others),
            ),
        );
    }
    page.push_str("</tbody></table></div>\n");
}

fn calibration(page: &mut String, report: &Report) {
    let [before, after] = &report.judged.calibration;
    page.push_str("<h2>How sure it is</h2>\n");
    add(
        page,
        format_args!(
            "<p>Among pictures of which it says that it is 80 % sure, 80 % should be right. On the average its confidence and \
             its accuracy lie {} apart (expected calibration error, {BINS} bins; log loss {:.3}). Its logits are divided by a \
             temperature of {:.3}, which was found by the learnt pictures; without that it would be {} (log loss {:.3}).</p>\n\
             <figure>\n{}<figcaption>The share that is right, by confidence. On the line both are the same; \
             the larger a dot, the more pictures.</figcaption>\n</figure>\n",
            share(after.error()),
            after.log_loss,
            report.choice.temperature,
            share(before.error()),
            before.log_loss,
            reliability(&after.bins),
        ),
    );
}

/// Accuracy by confidence, a dot for each bin that has pictures.
fn reliability(bins: &[Bin; BINS]) -> String {
    let (left, top, side) = (56.0, 32.0, 280.0);
    let (x, y) = (|value: f64| left + side * value, |value: f64| top + side * (1.0 - value));
    let mut body = String::new();
    for tick in 0..=5 {
        let value = f64::from(tick) / 5.0;
        add(
            &mut body,
            format_args!(
                "<line x1=\"{left}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" class=\"rule\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.0} %</text>\n",
                left + side,
                left - 8.0,
                y(value) + 4.0,
                100.0 * value,
                x(value),
                top + side + 20.0,
                100.0 * value,
                y = y(value),
            ),
        );
    }
    add(
        &mut body,
        format_args!(
            "<line x1=\"{left}\" y1=\"{}\" x2=\"{}\" y2=\"{top}\" class=\"same\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">confidence</text>\n\
             <text x=\"{}\" y=\"14\" text-anchor=\"end\">right</text>\n",
            top + side,
            left + side,
            left + side / 2.0,
            top + side + 40.0,
            left - 8.0
        ),
    );
    let count: usize = bins.iter().map(|bin| bin.count).sum();
    let mut words = Vec::new();
    for bin in bins.iter().filter(|bin| bin.count > 0) {
        let (confidence, right) = (bin.confidence / bin.count as f64, bin.right as f64 / bin.count as f64);
        let radius = (26.0 * (bin.count as f64 / count as f64).sqrt()).max(2.5);
        add(
            &mut body,
            format_args!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius:.1}\" class=\"dot\"><title>{}</title></circle>\n",
                x(confidence),
                y(right),
                words_of(bin)
            ),
        );
        words.push(words_of(bin));
    }
    Drawing {
        class: "reliability",
        size: [left + side + 32.0, top + side + 50.0],
        title: "The share that is right, by confidence",
        described: &words.join("; "),
        style: ".reliability .rule{stroke:var(--grid);stroke-width:1}\
                .reliability .same{stroke:var(--quiet);stroke-width:2}\
                .reliability .dot{fill:var(--own);fill-opacity:.75;stroke:var(--ground)}",
    }
    .draw(&body)
}

fn words_of(bin: &Bin) -> String {
    let mean = share(bin.confidence / bin.count as f64);
    format!("{} {mean} sure, {} right", counted(bin.count, "picture"), bin.right)
}

fn penalties(page: &mut String, report: &Report) {
    let choice = &report.choice;
    page.push_str("<h2>How strongly weights are held back</h2>\n");
    let learnt: usize = report.learnt.iter().sum();
    add(
        page,
        format_args!(
            "<p>A penalty on large weights keeps the classifier from learning the pictures by heart. Of several penalties \
             the one was taken with the least loss by cross-validation: the learnt pictures are divided into {} parts, and \
             each is judged by a classifier that has not seen it.</p>\n<div class=\"wide\" tabindex=\"0\"><table>\n<thead>\
             <tr><th scope=\"col\">C</th><th scope=\"col\">Log loss</th><th scope=\"col\">Right, of {learnt}</th>\
             <th scope=\"col\"></th></tr></thead>\n<tbody>\n",
            choice.folds
        ),
    );
    for (number, candidate) in choice.candidates.iter().enumerate() {
        add(
            page,
            format_args!(
                "<tr><th scope=\"row\">{:.2e}</th><td>{:.4}</td><td>{}</td><td>{}</td></tr>\n",
                report.c(candidate.penalty),
                candidate.log_loss,
                candidate.right,
                if number == choice.best { "taken" } else { "" }
            ),
        );
    }
    page.push_str("</tbody></table></div>\n<p>C is scikit-learn\u{2019}s: the larger, the weaker the penalty.</p>\n");
}

fn left_out(page: &mut String, report: &Report) {
    if report.left_out().is_empty() {
        return;
    }
    page.push_str("<h2>Left out</h2>\n");
    let mut list = |what: &str, names: Vec<String>| {
        if names.is_empty() {
            return;
        }
        let (shown, more) = names.split_at(names.len().min(ROWS));
        let more = if more.is_empty() { String::new() } else { format!(", and {} more", more.len()) };
        let shown: Vec<String> = shown.iter().map(|name| format!("<code>{}</code>", escaped(name))).collect();
        let count = counted(names.len(), "file");
        add(
            page,
            format_args!("<details><summary>{count} {what}</summary><p>{}{more}</p></details>\n", shown.join(", ")),
        );
    };
    let name = |path: &std::path::PathBuf| report.name(path);
    let unreadable = report.unreadable.iter().map(|(path, why)| format!("{}: {why}", report.name(path)));
    list("cannot be read", unreadable.collect());
    list("hold the same as another of their class", report.doubled.iter().map(name).collect());
    list("hold the same as one of another class", report.contradictory.iter().map(name).collect());
    if report.outside > 0 {
        add(page, format_args!("<p>{} in no class\u{2019}s folder.</p>\n", counted(report.outside, "picture")));
    }
}

/// How many pictures are shown.
const SHOWN_PICTURES: usize = 36;

/// Up to how many classes there is a matrix.
const MATRIX: usize = 20;

/// How many lines a table or a list has at most.
const ROWS: usize = 50;
