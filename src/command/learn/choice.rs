//! How strongly weights are held back, chosen by cross-validation, and how sure the classifier should be.
//!
//! Each fold of the learnt pictures is judged by a regression on the others: on its pictures' middles, the others seen as
//! middles and mirrored, for which the corners, of which there are four times as many, would change little. The penalty with
//! the least mean loss is chosen. The same logits, of pictures that their regression has not seen, say by which temperature
//! they are to be divided (Chuan Guo, Geoff Pleiss, Yu Sun, Kilian Weinberger: On Calibration of Modern Neural Networks, 2017,
//! arXiv:1706.04599, section 4.2).

use rayon::ThreadPool;

use crate::command::caller;
use crate::command::exit::Outcome;
use crate::command::progress::Progress;

use super::blocks::Rows;
use super::cache::Cache;
use super::moments::Moments;
use super::pictures::Picture;
use super::regression::{Problem, logits, softmax};
use super::rows::CachedRows;

/// A penalty that was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub penalty: f64,
    /// The mean loss of the pictures, each judged by a regression that has not seen it.
    pub log_loss: f64,
    /// How many of these were right.
    pub right: usize,
}

/// What was chosen, and why.
#[derive(Clone, Debug)]
pub struct Choice {
    pub folds: usize,
    /// The penalties that were tried, the strongest first.
    pub candidates: Vec<Candidate>,
    /// The index of the candidate with the least loss.
    pub best: usize,
    /// What logits are divided by.
    pub temperature: f64,
}

/// Logits of pictures that the regression has not seen, `[pictures, classes]`, and their classes.
#[derive(Default)]
struct Unseen {
    logits: Vec<f64>,
    classes: Vec<usize>,
}

impl Choice {
    /// Chooses by `pictures`, which follow each other by class; `views` of them are in the cache, the first of them the middle.
    pub fn new(
        cache: &Cache,
        pictures: &[Picture],
        classes: usize,
        views: &[usize],
        moments: &Moments,
        pool: &ThreadPool,
    ) -> Outcome<Self> {
        let of_class = |class: usize| pictures.iter().filter(move |picture| picture.class == class).count();
        let fewest = (0..classes).map(of_class).min().expect("there are classes");
        let folds = MAX_FOLDS.min(fewest);
        // Of each class every fold has as many, or one more or fewer.
        let mut seen = vec![0; classes];
        let fold: Vec<usize> = pictures
            .iter()
            .map(|picture| {
                seen[picture.class] += 1;
                seen[picture.class] % folds
            })
            .collect();
        let part = |own: usize, inside: bool, views: &[usize]| {
            let pictures = pictures.iter().zip(&fold).filter(|&(_, &fold)| (fold == own) == inside);
            CachedRows::new(cache, pictures.map(|(picture, _)| picture), views)
        };
        let learnt = &views[..views.len().min(2)];
        let rows: Vec<_> = (0..folds).map(|own| (part(own, false, learnt), part(own, true, &[0]))).collect();
        let problems: Vec<_> = rows.iter().map(|(learnt, _)| Problem::new(learnt, classes, moments, pool)).collect();
        let mut parameters: Vec<Vec<f64>> = problems.iter().map(|problem| vec![0.0; problem.parameters()]).collect();

        // Logits take memory: of very many, those of every n-th picture are kept.
        let stride = (pictures.len() * classes).div_ceil(MAX_KEPT).max(1);
        let progress = Progress::new(CANDIDATES * folds, "penalties");
        let mut choice = Self { folds, candidates: Vec::new(), best: 0, temperature: 1.0 };
        let mut kept = Unseen::default();
        for number in 0..CANDIDATES {
            let penalty = penalty(moments, number);
            let (mut loss, mut right, mut unseen, mut judged) = (0.0, 0, Unseen::default(), 0);
            for (own, (problem, (_, held_back))) in problems.iter().zip(&rows).enumerate() {
                // A weaker penalty's optimum is not far from the last one's.
                let start = std::mem::take(&mut parameters[own]);
                parameters[own] = problem.fit(start, penalty, 1e-3, &mut |_| caller::check())?.parameters;
                logits(held_back, &moments.mean, &parameters[own], |row, z| {
                    let class = held_back.class(row);
                    if judged % stride == 0 {
                        unseen.logits.extend(&*z);
                        unseen.classes.push(class);
                    }
                    judged += 1;
                    right += usize::from(likeliest(z) == class);
                    let own = z[class];
                    loss += softmax(z) - own;
                    Ok(())
                })?;
                progress.advance(1)?;
            }
            choice.candidates.push(Candidate { penalty, log_loss: loss / judged as f64, right });
            if choice.candidates[number].log_loss <= choice.candidates[choice.best].log_loss {
                (choice.best, kept) = (number, unseen);
            }
            if is_over(&choice.candidates) {
                break;
            }
        }
        choice.temperature = temperature(&kept, classes);
        Ok(choice)
    }

    /// The penalty that was chosen.
    pub fn penalty(&self) -> f64 {
        self.candidates[self.best].penalty
    }
}

/// The class with the largest logit, of equals the first.
pub fn likeliest(z: &[f64]) -> usize {
    let largest = |best: usize, class: usize| if z[class] > z[best] { class } else { best };
    (1..z.len()).fold(0, largest)
}

/// The penalties that are tried: each is a half of a power of ten weaker than the one before. They are relative to the
/// features' variance, so that features of another scale are treated alike.
fn penalty(moments: &Moments, number: usize) -> f64 {
    moments.total_variance().max(f64::MIN_POSITIVE) * 10_f64.powf(-0.5 * number as f64)
}

/// Whether weaker penalties are no longer worth their while: the last two were no better than one before, or hardly.
fn is_over(candidates: &[Candidate]) -> bool {
    let Some(before) = candidates.len().checked_sub(2).filter(|&before| before > 0) else { return false };
    let least = |candidates: &[Candidate]| candidates.iter().map(|own| own.log_loss).fold(f64::INFINITY, f64::min);
    least(&candidates[before..]) > 0.999 * least(&candidates[..before])
}

/// The temperature by which logits are divided to have the least loss, 1/20 to 20. It is held towards 1 with the weight of
/// one picture, as otherwise a few pictures that are all right would let it vanish.
fn temperature(unseen: &Unseen, classes: usize) -> f64 {
    let loss = |log: f64| {
        let scale = (-log).exp();
        let rows = unseen.logits.chunks_exact(classes).zip(&unseen.classes);
        let of_row = |(z, &class): (&[f64], &usize)| {
            let mut z: Vec<f64> = z.iter().map(|z| z * scale).collect();
            let own = z[class];
            softmax(&mut z) - own
        };
        rows.map(of_row).sum::<f64>() + log * log / 2.0
    };
    // Golden section: Kiefer, Sequential minimax search for a maximum, 1953.
    let ratio = (5_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-20_f64.ln(), 20_f64.ln());
    let mut inner = [high - ratio * (high - low), low + ratio * (high - low)];
    let mut losses = inner.map(loss);
    for _ in 0..60 {
        if losses[0] <= losses[1] {
            high = inner[1];
            inner = [high - ratio * (high - low), inner[0]];
            losses = [loss(inner[0]), losses[0]];
        } else {
            low = inner[0];
            inner = [inner[1], low + ratio * (high - low)];
            losses = [losses[1], loss(inner[1])];
        }
    }
    ((low + high) / 2.0).exp()
}

/// How many folds there are, unless a class has fewer pictures.
const MAX_FOLDS: usize = 5;

/// How many penalties are tried at most: the weakest is 1e-8 of the features' variance.
const CANDIDATES: usize = 17;

/// The most logits that are kept for the temperature: 32 MiB.
const MAX_KEPT: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temperature_undoes_what_logits_were_multiplied_by() {
        // Of each three alike, two are of the first class: the least loss has 2/3 for it.
        let scaled = |scale: f64| Unseen {
            logits: (0..3000).flat_map(|_| [scale * 2_f64.ln(), 0.0]).collect(),
            classes: (0..3000).map(|row| usize::from(row % 3 == 0)).collect(),
        };
        for scale in [0.5, 1.0, 3.0, 10.0] {
            let found = temperature(&scaled(scale), 2);
            assert!((found / scale - 1.0).abs() < 0.01, "{scale}: {found}");
        }
        // Four pictures, all right, say little.
        let right = Unseen { logits: [9.0, 0.0].repeat(4), classes: vec![0; 4] };
        let found = temperature(&right, 2);
        assert!(found > 0.9 && found <= 1.0, "{found}");
        assert!((temperature(&Unseen::default(), 2) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn weaker_penalties_are_tried_while_they_help() {
        let tried = |losses: &[f64]| {
            let of = |&log_loss: &f64| Candidate { penalty: 1.0, log_loss, right: 0 };
            is_over(&losses.iter().map(of).collect::<Vec<_>>())
        };
        assert!(!tried(&[1.0]) && !tried(&[1.0, 2.0]) && !tried(&[1.0, 2.0, 0.9]) && !tried(&[2.0, 1.0, 1.5]));
        assert!(tried(&[1.0, 1.1, 1.2]) && tried(&[1.0, 0.9999, 0.9998]));
        assert_eq!(likeliest(&[1.0, 3.0, 3.0, 2.0]), 1);
    }
}
