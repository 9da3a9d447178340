//! Reports, which say what a set of verdicts amounts to: the accuracy, in all and by class, which classes are taken for
//! which, and whether confidence is deserved.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::heads::Heads;
use super::journal::Verdict;
use super::truth::Picture;
use crate::command::exit::Outcome;
use crate::command::labels::Label;
use crate::command::names;
use crate::command::printable::Printable;

/// Everything that is counted; only classes with pictures are in `classes`.
pub struct Report {
    judged: usize,
    /// The number of pictures whose own class was the likeliest.
    first: usize,
    /// The number of pictures whose own class was among the five likeliest.
    fifth: usize,
    classes: Vec<Class>,
    bins: [Bin; BINS],
    /// The names of the pictures that could not be read, and what was wrong with each.
    unreadable: Vec<(PathBuf, String)>,
}

/// The counts for one class and the pictures that show it.
#[derive(Clone, Debug, Default)]
struct Class {
    class: usize,
    label: Label,
    pictures: usize,
    /// The number of its pictures for which it was the likeliest.
    first: usize,
    /// The number of its pictures for which it was among the five likeliest.
    fifth: usize,
    /// The other classes that were the likeliest for its pictures, and how often each was, the most frequent first.
    taken_for: Vec<(usize, usize)>,
}

/// The pictures whose confidence lies in one fifteenth of the range from 0 to 1.
#[derive(Clone, Copy, Default)]
struct Bin {
    count: usize,
    right: usize,
    /// The sum of the pictures' confidences.
    confidence: f64,
}

/// What is printed in a report beside its counts.
pub struct Context<'a> {
    pub crops: usize,
    pub models: usize,
    /// The speed of this run; `None` if it judged no picture.
    pub images_per_second: Option<f64>,
    /// A label for each class, or no labels.
    pub labels: &'a [Label],
    /// What is counted of auxiliary heads, if the weights have any.
    pub heads: Option<&'a Heads>,
}

impl Report {
    /// Counts the verdicts, of which there is one for each picture.
    pub fn new(pictures: &[Picture], verdicts: &[Verdict], labels: &[Label]) -> Self {
        let mut classes = BTreeMap::<usize, (Class, BTreeMap<usize, usize>)>::new();
        let mut bins = [Bin::default(); BINS];
        let (mut judged, mut first, mut fifth) = (0, 0, 0);
        let mut unreadable = Vec::new();
        for (picture, verdict) in pictures.iter().zip(verdicts) {
            let (top, confidence) = match verdict {
                Verdict::Classes(opinions) => (&opinions[0].top, opinions[0].confidence),
                Verdict::Unreadable(why) => {
                    unreadable.push((picture.path.clone(), why.clone()));
                    continue;
                }
            };
            let (is_first, is_fifth) = (top[0] == picture.class, top.iter().take(5).any(|&c| c == picture.class));
            judged += 1;
            first += usize::from(is_first);
            fifth += usize::from(is_fifth);
            let (class, taken_for) = classes.entry(picture.class).or_default();
            class.pictures += 1;
            class.first += usize::from(is_first);
            class.fifth += usize::from(is_fifth);
            if !is_first {
                *taken_for.entry(top[0]).or_default() += 1;
            }
            let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
            bin.count += 1;
            bin.right += usize::from(is_first);
            bin.confidence += confidence;
        }
        let finished = |(index, (class, taken_for)): (usize, (Class, BTreeMap<usize, usize>))| {
            let mut taken_for: Vec<_> = taken_for.into_iter().collect();
            taken_for.sort_by_key(|&(other, count)| (std::cmp::Reverse(count), other));
            Class { class: index, label: labels.get(index).cloned().unwrap_or_default(), taken_for, ..class }
        };
        Self { judged, first, fifth, classes: classes.into_iter().map(finished).collect(), bins, unreadable }
    }

    /// The number of pictures that could be read.
    pub fn judged(&self) -> usize {
        self.judged
    }

    /// The names of the pictures that could not be read, and what was wrong with each.
    pub fn unreadable(&self) -> &[(PathBuf, String)] {
        &self.unreadable
    }

    /// Expected calibration error: how far confidence and accuracy lie apart, bin by bin, weighted by pictures (Guo et
    /// al. 2017, arXiv:1706.04599, equation 3).
    fn calibration_error(&self) -> f64 {
        let apart = |bin: &Bin| (bin.right as f64 - bin.confidence).abs();
        self.bins.iter().map(apart).sum::<f64>() / self.judged.max(1) as f64
    }

    /// The classes that are recognised least often, the least first, and of equals the one with most mistakes first.
    /// Classes without a mistake are left out.
    fn worst(&self) -> Vec<&Class> {
        let mut worst: Vec<_> = self.classes.iter().filter(|class| class.first < class.pictures).collect();
        let share = |class: &Class| class.first as f64 / class.pictures as f64;
        worst.sort_by(|a, b| {
            let mistakes = |class: &Class| class.pictures - class.first;
            share(a).total_cmp(&share(b)).then(mistakes(b).cmp(&mistakes(a)))
        });
        worst.truncate(WORST);
        worst
    }

    /// Writes the report for people: what it amounts to first, then the classes that are recognised least, and, if asked for, the
    /// table of all classes.
    pub fn text(&self, context: &Context<'_>, per_class: bool, out: &mut dyn Write) -> Outcome {
        let label = |class: usize| match context.labels.get(class) {
            Some(label) => label.text.as_str(),
            None => "",
        };
        let percent = |count: usize| 100.0 * count as f64 / self.judged as f64;
        let s = |count: usize| if count == 1 { "" } else { "s" };
        writeln!(
            out,
            "{} picture{}, {} crop{}, {} model{}",
            self.judged,
            s(self.judged),
            context.crops,
            s(context.crops),
            context.models,
            s(context.models)
        )?;
        writeln!(out, "top-1        {:6.2} %  {}", percent(self.first), self.first)?;
        writeln!(out, "top-5        {:6.2} %  {}", percent(self.fifth), self.fifth)?;
        writeln!(out, "calibration  {:6.2} %  expected error, {BINS} bins", 100.0 * self.calibration_error())?;
        if let Some(rate) = context.images_per_second {
            writeln!(out, "speed        {rate:6.2} images/s")?;
        }
        if !self.unreadable.is_empty() {
            writeln!(out, "unreadable   {:6}", self.unreadable.len())?;
        }
        let worst = self.worst();
        if !worst.is_empty() {
            writeln!(out, "\nrecognised least, and taken for")?;
        }
        for class in worst {
            writeln!(
                out,
                "{:5}  {} of {}  {}",
                class.class,
                class.first,
                class.pictures,
                Printable(&class.label.text)
            )?;
            for &(other, count) in class.taken_for.iter().take(3) {
                writeln!(out, "       {count} x  {other:5}  {}", Printable(label(other)))?;
            }
        }
        if let Some(heads) = context.heads {
            heads.text(context.labels, out)?;
        }
        if per_class {
            writeln!(out, "\nclass  pictures  top-1  top-5  label")?;
            for class in &self.classes {
                let (pictures, first, fifth) = (class.pictures, class.first, class.fifth);
                writeln!(
                    out,
                    "{:5}  {pictures:8}  {first:5}  {fifth:5}  {}",
                    class.class,
                    Printable(&class.label.text)
                )?;
            }
        }
        Ok(())
    }

    /// The whole report as one JSON object.
    pub fn json(&self, context: &Context<'_>) -> Value {
        let label = |class: usize| context.labels.get(class).map(|label| label.text.as_str());
        let taken_for = |class: &Class| -> Vec<Value> {
            let one =
                |&(other, count): &(usize, usize)| json!({ "class": other, "label": label(other), "count": count });
            class.taken_for.iter().map(one).collect()
        };
        let class = |class: &Class| {
            json!({
                "class": class.class, "id": class.label.id, "label": label(class.class), "pictures": class.pictures,
                "top1": class.first, "top5": class.fifth, "taken_for": taken_for(class),
            })
        };
        let share = |count: usize| count as f64 / self.judged as f64;
        let bin = |(i, bin): (usize, &Bin)| {
            let mean = |sum: f64| (bin.count > 0).then(|| sum / bin.count as f64);
            let range = [i, i + 1].map(|edge| edge as f64 / BINS as f64);
            json!({
                "range": range, "pictures": bin.count, "confidence": mean(bin.confidence),
                "accuracy": mean(bin.right as f64),
            })
        };
        let unreadable = self.unreadable.iter().map(|(path, error)| {
            let mut one = json!({});
            names::put(&mut one, "image", path);
            one["error"] = json!(error);
            one
        });
        json!({
            "pictures": self.judged, "crops": context.crops, "models": context.models,
            "top1": share(self.first), "top5": share(self.fifth),
            "calibration_error": self.calibration_error(),
            "calibration": self.bins.iter().enumerate().map(bin).collect::<Vec<_>>(),
            "images_per_second": context.images_per_second,
            "worst": self.worst().iter().map(|class| class.class).collect::<Vec<_>>(),
            "classes": self.classes.iter().map(class).collect::<Vec<_>>(),
            "heads": context.heads.map(|heads| heads.json(context.labels)),
            "unreadable": unreadable.collect::<Vec<_>>(),
        })
    }

    /// Writes the table of classes as CSV, a row for each class (RFC 4180, but lines end in \n).
    pub fn csv(&self, context: &Context<'_>, out: &mut dyn Write) -> Outcome {
        let heads = context.heads.map(Heads::csv_header).unwrap_or_default();
        writeln!(out, "class,id,label,pictures,top1,top5,taken_for,times{heads}")?;
        for class in &self.classes {
            let id = class.label.id.as_deref().unwrap_or_default();
            let (other, times) = match class.taken_for.first() {
                Some((other, times)) => (other.to_string(), times.to_string()),
                None => Default::default(),
            };
            let (index, label) = (class.class, quoted(&class.label.text));
            let (pictures, first, fifth) = (class.pictures, class.first, class.fifth);
            let heads = context.heads.map(|heads| heads.csv(index)).unwrap_or_default();
            writeln!(out, "{index},{id},{label},{pictures},{first},{fifth},{other},{times}{heads}")?;
        }
        Ok(())
    }
}

/// A field of CSV, which may hold any text. Control characters are escaped, and a text that a spreadsheet would take for a
/// formula begins with an apostrophe, as OWASP, "CSV Injection", advises.
fn quoted(text: &str) -> String {
    let formula = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{formula}{}\"", Printable(text).to_string().replace('"', "\"\""))
}

/// The usual number of bins of confidence.
const BINS: usize = 15;

/// How many of the worst classes are shown.
const WORST: usize = 10;

#[cfg(test)]
mod tests {
    use super::super::journal::Opinion;
    use super::*;

    fn report() -> Report {
        let case = |class: usize, top: &[usize], confidence: f64| {
            let opinion = Opinion { top: top.to_vec(), confidence };
            (Picture { path: "p".into(), class }, Verdict::Classes(vec![opinion]))
        };
        let unreadable = (Picture { path: "bad.png".into(), class: 3 }, Verdict::Unreadable("cut off".into()));
        let (pictures, verdicts): (Vec<_>, Vec<_>) = [
            case(0, &[0, 1, 2, 3, 4], 1.0),
            case(0, &[2, 1, 0, 3, 4], 0.5),
            case(1, &[2, 0, 3, 4, 5, 1], 0.5), // the class is the sixth, not among five
            case(1, &[2, 1, 0, 3, 4], 0.5),
            case(2, &[2, 1, 0, 3, 4], 0.02),
            unreadable,
        ]
        .into_iter()
        .unzip();
        let labels = ["a", "b \"c\", d", "e"].map(|text| Label { id: None, text: text.into() });
        Report::new(&pictures, &verdicts, &labels)
    }

    #[test]
    fn counts_are_what_they_are_called() {
        let report = report();
        assert_eq!((report.judged, report.first, report.fifth), (5, 2, 4));
        assert_eq!(report.unreadable(), [("bad.png".into(), "cut off".to_owned())]);
        // The bin of 1.0 has one picture, which is right: the two are 0 apart. The bin of 0.5 has three, none right:
        // 1.5 apart. The bin of 0.02 has one, which is right: 0.98 apart.
        assert!((report.calibration_error() - (1.5 + 0.98) / 5.0).abs() < 1e-12);
        let worst: Vec<_> = report.worst().iter().map(|class| (class.class, class.taken_for.clone())).collect();
        assert_eq!(worst, [(1, vec![(2, 2)]), (0, vec![(2, 1)])]);
    }

    #[test]
    fn fields_of_csv_are_no_formulas_and_have_no_control_characters() {
        assert_eq!(quoted("a \"b\", c"), "\"a \"\"b\"\", c\"");
        for begin in ["=", "+", "-", "@"] {
            assert_eq!(quoted(&format!("{begin}1+2")), format!("\"'{begin}1+2\""));
        }
        assert_eq!(quoted("a=b\n\u{1b}[2J\u{202e}"), "\"a=b\\n\\u{1b}[2J\\u{202e}\"");
        assert_eq!(quoted("\t=1"), "\"'\\t=1\"");
    }

    #[test]
    fn json_csv_and_text_say_the_same() {
        let report = report();
        let labels = ["a", "b \"c\", d", "e"].map(|text| Label { id: None, text: text.into() });
        let context = Context { crops: 10, models: 2, images_per_second: Some(3.0), labels: &labels, heads: None };
        let json = report.json(&context);
        assert_eq!((&json["pictures"], &json["top1"], &json["top5"]), (&json!(5), &json!(0.4), &json!(0.8)));
        assert_eq!(json["classes"][1]["taken_for"], json!([{ "class": 2, "label": "e", "count": 2 }]));
        assert_eq!(json["calibration"][7]["pictures"], 3);
        assert_eq!(json["worst"], json!([1, 0]));
        let mut csv = Vec::new();
        report.csv(&context, &mut csv).expect("written");
        let csv = String::from_utf8(csv).expect("UTF-8");
        assert!(csv.contains("\n1,,\"b \"\"c\"\", d\",2,0,1,2,2\n"), "{csv}");
        let mut text = Vec::new();
        report.text(&context, true, &mut text).expect("written");
        let text = String::from_utf8(text).expect("UTF-8");
        for part in ["5 pictures, 10 crops, 2 models", "top-1         40.00 %  2", "49.60 %", "unreadable        1"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
