//! What the pictures that were held back say of the classifier.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::command::exit::Outcome;
use crate::command::printable::Printable;

use super::blocks::Rows;
use super::choice::{Choice, likeliest};
use super::pictures::{Picture, Split};
use super::regression::{logits, softmax};

/// All that is said, in whatever form.
pub struct Report {
    pub folder: PathBuf,
    pub output: PathBuf,
    pub network: &'static str,
    pub classes: Vec<String>,
    /// The number of pictures learnt from and held back, by class.
    pub learnt: Vec<usize>,
    pub held_back: Vec<usize>,
    /// The number of rows that were learnt from.
    pub rows: usize,
    pub views: usize,
    pub choice: Choice,
    /// How many Newton steps the last regression took, and whether it came to the optimum.
    pub steps: usize,
    pub converged: bool,
    pub judged: Judged,
    /// Files that could not be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
    pub doubled: Vec<PathBuf>,
    pub contradictory: Vec<PathBuf>,
    pub outside: usize,
    /// The auxiliary heads that were left out.
    pub heads: Vec<&'static str>,
    pub cache: PathBuf,
}

/// What the classifier makes of the pictures that were held back.
pub struct Judged {
    /// How often pictures of a class, the row, were taken for one, the column.
    pub confusion: Vec<Vec<u32>>,
    /// How many had their class among the five likeliest.
    pub fifth: usize,
    /// As the logits are, and as they were written, divided by the temperature.
    pub calibration: [Calibration; 2],
    /// The pictures that were taken for another class, the surest first.
    pub wrong: Vec<Wrong>,
}

/// Whether confidence is deserved.
#[derive(Clone, Debug, Default)]
pub struct Calibration {
    pub log_loss: f64,
    pub bins: [Bin; BINS],
}

/// The pictures whose confidence lies in one fifteenth of the range from 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bin {
    pub count: usize,
    pub right: usize,
    /// The sum of the pictures' confidences.
    pub confidence: f64,
}

/// A picture that was taken for another class.
pub struct Wrong {
    pub path: PathBuf,
    pub class: usize,
    pub taken_for: usize,
    /// The probability of the class that it was taken for.
    pub confidence: f64,
    /// The probability of its own class.
    pub own: f64,
}

impl Calibration {
    /// Expected calibration error: how far confidence and accuracy lie apart, bin by bin, weighted by pictures (Guo et al.
    /// 2017, arXiv:1706.04599, equation 3).
    pub fn error(&self) -> f64 {
        let count: usize = self.bins.iter().map(|bin| bin.count).sum();
        let apart = |bin: &Bin| (bin.right as f64 - bin.confidence).abs();
        self.bins.iter().map(apart).sum::<f64>() / count.max(1) as f64
    }

    fn add(&mut self, probabilities: &[f64], class: usize) {
        let first = likeliest(probabilities);
        let confidence = probabilities[first];
        let bin = &mut self.bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.count += 1;
        bin.right += usize::from(first == class);
        bin.confidence += confidence;
    }
}

impl Judged {
    /// Judges by `parameters`, the classifier as it is written, whose logits were divided by `temperature`.
    pub fn new(rows: &dyn Rows, pictures: &[Picture], parameters: &[f64], temperature: f64) -> Outcome<Self> {
        let classes = parameters.len() / (rows.features() + 1);
        let mut judged = Self {
            confusion: vec![vec![0; classes]; classes],
            fifth: 0,
            calibration: Default::default(),
            wrong: Vec::new(),
        };
        logits(rows, &vec![0.0; rows.features()], parameters, |row, z| {
            let Picture { path, class, .. } = &pictures[row];
            let (class, own) = (*class, z[*class]);
            let first = likeliest(z);
            judged.confusion[class][first] += 1;
            let before = z.iter().enumerate().filter(|&(other, &z)| z > own || (z == own && other < class)).count();
            judged.fifth += usize::from(before < 5);
            let mut undivided: Vec<f64> = z.iter().map(|z| z * temperature).collect();
            for (calibration, z) in judged.calibration.iter_mut().zip([&mut undivided[..], z]) {
                let own = z[class];
                calibration.log_loss += softmax(z) - own;
                calibration.add(z, class);
            }
            if first != class {
                let (confidence, own) = (z[first], z[class]);
                judged.wrong.push(Wrong { path: path.clone(), class, taken_for: first, confidence, own });
            }
            Ok(())
        })?;
        for calibration in &mut judged.calibration {
            calibration.log_loss /= pictures.len().max(1) as f64;
        }
        judged.wrong.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then_with(|| a.path.cmp(&b.path)));
        Ok(judged)
    }

    /// How many pictures of a class were right.
    pub fn right(&self, class: usize) -> usize {
        self.confusion[class][class] as usize
    }
}

impl Report {
    /// How many pictures were held back.
    pub fn count(&self) -> usize {
        self.held_back.iter().sum()
    }

    /// How many of them were right.
    pub fn right(&self) -> usize {
        (0..self.classes.len()).map(|class| self.judged.right(class)).sum()
    }

    /// What scikit-learn calls C: the penalty is 1 / (C rows).
    pub fn c(&self, penalty: f64) -> f64 {
        1.0 / (penalty * self.rows as f64)
    }

    /// The classes that a class was taken for, the most frequent first.
    pub fn taken_for(&self, class: usize) -> Vec<(usize, usize)> {
        let others = self.judged.confusion[class].iter().enumerate();
        let mut others: Vec<_> =
            others.filter(|&(other, &n)| other != class && n > 0).map(|(other, &n)| (other, n as usize)).collect();
        others.sort_by_key(|&(other, n)| (std::cmp::Reverse(n), other));
        others
    }

    /// The classes by the share of their pictures that were right, the least first, of equals the first.
    pub fn least_first(&self) -> Vec<usize> {
        let share = |class: usize| self.judged.right(class) as f64 / self.held_back[class] as f64;
        let mut classes: Vec<usize> = (0..self.classes.len()).collect();
        classes.sort_by(|&a, &b| share(a).total_cmp(&share(b)).then(a.cmp(&b)));
        classes
    }

    /// The share of the held back pictures of the class that has the most: what naming that alone would come to.
    pub fn most(&self) -> f64 {
        *self.held_back.iter().max().expect("there are classes") as f64 / self.count() as f64
    }

    /// A picture's path from the folder of pictures on.
    pub fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.folder).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// Writes the report as tables for people.
    pub fn text(&self, out: &mut dyn Write) -> Outcome {
        let width = |class: &usize| Printable(&self.classes[*class]).to_string().chars().count();
        let order = self.least_first();
        let shown = &order[..order.len().min(SHOWN)];
        let width = shown.iter().map(width).max().unwrap_or(0).clamp(5, 40);
        writeln!(out, "{:width$}  learnt  held back  right  taken for", "class")?;
        for &class in shown {
            let others: Vec<String> = self
                .taken_for(class)
                .into_iter()
                .take(3)
                .map(|(other, n)| format!("{n} x {}", Printable(&self.classes[other])))
                .collect();
            let line = format!(
                "{:width$}  {:6}  {:9}  {:5}  {}",
                Printable(&self.classes[class]).to_string(),
                self.learnt[class],
                self.held_back[class],
                self.judged.right(class),
                others.join(", ")
            );
            writeln!(out, "{}", line.trim_end())?;
        }
        if order.len() > SHOWN {
            writeln!(out, "{} more classes have a higher share right: --json has all", order.len() - SHOWN)?;
        }
        let best = &self.choice.candidates[self.choice.best];
        let (right, count) = (self.right(), self.count());
        let [low, high] = wilson(right, count).map(percent);
        let learnt: usize = self.learnt.iter().sum();
        let [before, after] = &self.judged.calibration;
        writeln!(out, "\nlearnt from   {learnt} pictures, {} views", self.rows)?;
        writeln!(
            out,
            "penalty       C = {:.3e}, of {} tried by {} folds: {} right, log loss {:.3}",
            self.c(best.penalty),
            self.choice.candidates.len(),
            self.choice.folds,
            percent(best.right as f64 / learnt as f64),
            best.log_loss
        )?;
        writeln!(out, "held back     {count} pictures, no view of which was learnt from")?;
        writeln!(
            out,
            "top-1         {:>8}  {right}; {low} to {high} with 95 % confidence",
            percent(right as f64 / count as f64)
        )?;
        if self.classes.len() > 5 {
            let fifth = self.judged.fifth;
            writeln!(out, "top-5         {:>8}  {fifth}", percent(fifth as f64 / count as f64))?;
        }
        writeln!(out, "most frequent {:>8}  what always naming that class comes to", percent(self.most()))?;
        writeln!(
            out,
            "calibration   {:>8}  expected error, log loss {:.3}; temperature {:.3}, without it {} and {:.3}",
            percent(after.error()),
            after.log_loss,
            self.choice.temperature,
            percent(before.error()),
            before.log_loss
        )?;
        for (count, what) in self.left_out() {
            writeln!(out, "left out      {count:>8}  {what}")?;
        }
        Ok(())
    }

    /// How many files were left out, and why.
    pub fn left_out(&self) -> Vec<(usize, &'static str)> {
        let all = [
            (self.unreadable.len(), "cannot be read"),
            (self.doubled.len(), "hold the same as another of their class"),
            (self.contradictory.len(), "hold the same as one of another class"),
            (self.outside, "lie in no class's folder"),
        ];
        all.into_iter().filter(|&(count, _)| count > 0).collect()
    }

    /// The whole report as one JSON object.
    pub fn json(&self) -> Value {
        let [low, high] = wilson(self.right(), self.count());
        let class = |class: usize| {
            json!({
                "label": self.classes[class], "learnt": self.learnt[class], "held_back": self.held_back[class],
                "right": self.judged.right(class),
            })
        };
        let candidate = |own: &super::choice::Candidate| {
            json!({
                "c": self.c(own.penalty), "penalty": own.penalty, "log_loss": own.log_loss, "right": own.right,
            })
        };
        let calibration = |own: &Calibration| {
            let bin = |bin: &Bin| json!({ "count": bin.count, "right": bin.right, "confidence": bin.confidence });
            json!({
                "expected_error": own.error(), "log_loss": own.log_loss,
                "bins": own.bins.iter().map(bin).collect::<Vec<_>>(),
            })
        };
        let wrong = |own: &Wrong| {
            json!({
                "image": self.name(&own.path), "label": self.classes[own.class],
                "taken_for": self.classes[own.taken_for], "confidence": own.confidence, "own": own.own,
            })
        };
        let names = |paths: &[PathBuf]| paths.iter().map(|path| self.name(path)).collect::<Vec<_>>();
        let unreadable = |(path, why): &(PathBuf, String)| json!({ "image": self.name(path), "error": why });
        let [before, after] = &self.judged.calibration;
        json!({
            "network": self.network,
            "learnt": self.learnt.iter().sum::<usize>(), "views": self.views, "rows": self.rows,
            "held_back": self.count(), "right": self.right(),
            "top1": self.right() as f64 / self.count() as f64, "interval": [low, high],
            "top5": self.judged.fifth as f64 / self.count() as f64,
            "most_frequent": self.most(),
            "classes": (0..self.classes.len()).map(class).collect::<Vec<_>>(),
            "confusion": self.judged.confusion,
            "folds": self.choice.folds, "best": self.choice.best,
            "candidates": self.choice.candidates.iter().map(candidate).collect::<Vec<_>>(),
            "steps": self.steps, "converged": self.converged,
            "temperature": self.choice.temperature,
            "calibrated": calibration(after), "uncalibrated": calibration(before),
            "wrong": self.judged.wrong.iter().map(wrong).collect::<Vec<_>>(),
            "unreadable": self.unreadable.iter().map(unreadable).collect::<Vec<_>>(),
            "doubled": names(&self.doubled), "contradictory": names(&self.contradictory), "outside": self.outside,
            "heads_left_out": self.heads,
            "cache": self.cache.to_string_lossy(),
        })
    }
}

/// The interval in which a share lies with 95 % confidence of which `right` of `count` were seen (Edwin Wilson, Probable
/// inference, the law of succession, and statistical inference, 1927).
pub fn wilson(right: usize, count: usize) -> [f64; 2] {
    let (z, n) = (1.959_963_984_540_054_f64, count as f64);
    if count == 0 {
        return [0.0, 1.0];
    }
    let share = right as f64 / n;
    let middle = share + z * z / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    [middle - half, middle + half].map(|end| (end / (1.0 + z * z / n)).clamp(0.0, 1.0))
}

/// A share as text.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// How many bins calibration has, as in `eval`.
pub const BINS: usize = 15;

/// How many classes the table shows.
const SHOWN: usize = 25;

/// The number of pictures of each class.
pub fn counts(pictures: &[Picture], classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    pictures.iter().for_each(|picture| counts[picture.class] += 1);
    counts
}

/// The numbers of pictures that were learnt from and held back, by class.
pub fn sides(split: &Split, classes: usize) -> [Vec<usize>; 2] {
    [counts(&split.learnt, classes), counts(&split.held_back, classes)]
}

#[cfg(test)]
mod tests {
    use super::super::regression::tests::Table;
    use super::*;

    #[test]
    fn intervals_are_wilsons() {
        // Computed in Python, by the formula as Wilson has it.
        let cases = [
            (0, 10, [0.0, 0.277_532_8]),
            (10, 10, [0.722_467_2, 1.0]),
            (45, 50, [0.786_397_7, 0.956_524_2]),
            (391, 400, [0.957_797_3, 0.988_118_4]),
        ];
        for (right, count, expected) in cases {
            let found = wilson(right, count);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{right} of {count}: {found:?}");
        }
    }

    #[test]
    fn what_is_judged_is_counted() {
        let table = Table { features: 1, values: vec![1.0, -1.0, 0.25, 2.0], classes: vec![0, 1, 1, 0] };
        let picture = |class: usize| Picture { path: format!("{class}").into(), class, content: 0 };
        let pictures: Vec<_> = table.classes.iter().map(|&class| picture(class)).collect();
        // Logits x and -x; undivided by the temperature 2 they are twice as far apart.
        let judged = Judged::new(&table, &pictures, &[1.0, -1.0, 0.0, 0.0], 2.0).expect("read");
        assert_eq!(judged.confusion, [[2, 0], [1, 1]]);
        assert_eq!((judged.wrong.len(), judged.wrong[0].class, judged.fifth), (1, 1, 4));
        let p = |logit: f64| 1.0 / (1.0 + (-2.0 * logit).exp());
        assert!((judged.wrong[0].confidence - p(0.25)).abs() < 1e-12 && (judged.wrong[0].own - p(-0.25)).abs() < 1e-12);
        for (calibration, scale) in judged.calibration.iter().zip([2.0, 1.0]) {
            let [a, b, c, d] = [1.0, 1.0, 0.25, 2.0].map(|x| p(scale * x));
            let loss = -(a.ln() + b.ln() + (1.0 - c).ln() + d.ln()) / 4.0;
            assert!((calibration.log_loss - loss).abs() < 1e-12);
            let bin = |p: f64| ((p * 15.0) as usize).min(14);
            // Of pictures in one bin confidences add up before they are compared.
            let mut bins = [0.0_f64; BINS];
            for (p, right) in [(a, 1.0), (b, 1.0), (c, 0.0), (d, 1.0)] {
                bins[bin(p)] += right - p;
            }
            let error = bins.iter().map(|apart| apart.abs()).sum::<f64>() / 4.0;
            assert!((calibration.error() - error).abs() < 1e-12, "{scale}");
        }
    }
}
