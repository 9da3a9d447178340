//! What becomes of the likeliest classes when a grey square hides a part of the input (Zeiler and Fergus 2013, section 4.2).
//!
//! The square's centres lie in the middles of `POSITIONS` times `POSITIONS` equal parts of the input, and the square is three
//! parts wide, so that each part of the input is hidden nine times; at the edges the square is cut off. Grey is the colour
//! that preprocessing makes 0 of.

use crate::{Model, Options};

use crate::command::exit::{Code, OrFail, Outcome};
use crate::command::progress::Progress;

use super::look::Seen;

/// How many positions the square has along each side.
pub const POSITIONS: usize = 14;

/// The classes' probabilities with a part of the input hidden.
pub struct Occlusion {
    /// The square's side in pixels of the input.
    pub square: f64,
    /// What was measured of each of the likeliest classes.
    pub classes: Vec<Hidden>,
}

/// How a class fares when parts of the input are hidden.
pub struct Hidden {
    /// The class's probability with the square at each position, `[POSITIONS, POSITIONS]`.
    pub probabilities: Vec<f32>,
    /// By how much the class's log odds fall, `[POSITIONS, POSITIONS]`; below 0 where they rise.
    pub falls: Vec<f32>,
}

impl Occlusion {
    /// Runs the network of `model` with the square at each position over what was `seen`.
    pub fn measure(model: &Model, seen: &Seen, threads: usize) -> Outcome<Self> {
        let (side, classes) = (model.side(), model.network().classes);
        let count = POSITIONS * POSITIONS;
        // Whole images for each thread, and no more than memory likes.
        let batch = BATCH.min((Options::MAX_PIXELS / 8 / (side * side)).max(1));
        let options = Options::new().threads(threads).batch(batch);
        let mut session = model.session(options).or_fail(Code::Usage, "")?;
        let wanted: Vec<usize> = seen.top.iter().map(|class| class.index).collect();
        let before: Vec<f64> = wanted.iter().map(|&class| log_odds(&seen.logits, class)).collect();
        let mut hidden: Vec<Hidden> = wanted
            .iter()
            .map(|_| Hidden { probabilities: Vec::with_capacity(count), falls: Vec::with_capacity(count) })
            .collect();
        let progress = Progress::new(count, "places");
        let plane = side * side;
        for first in (0..count).step_by(batch) {
            let images = batch.min(count - first);
            for (image, input) in session.input_mut().chunks_exact_mut(3 * plane).take(images).enumerate() {
                input.copy_from_slice(&seen.input);
                let [columns, rows] = square(first + image, side);
                for (channel, y) in (0..3).flat_map(|channel| rows.clone().map(move |y| (channel, y))) {
                    input[channel * plane + y * side..][columns.clone()].fill(0.0);
                }
            }
            session.run();
            for image in 0..images {
                let logits = &session.logits()[image * classes..][..classes];
                let probabilities = &session.probabilities()[image * classes..][..classes];
                for ((hidden, &class), before) in hidden.iter_mut().zip(&wanted).zip(&before) {
                    hidden.probabilities.push(probabilities[class]);
                    hidden.falls.push((before - log_odds(logits, class)) as f32);
                }
            }
            progress.advance(images)?;
        }
        Ok(Self { square: side as f64 * WIDTH / POSITIONS as f64, classes: hidden })
    }
}

impl Hidden {
    /// The position at which the class's probability is the least.
    pub fn worst(&self) -> usize {
        let lowest = self.probabilities.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
        lowest.expect("there are positions").0
    }
}

/// The columns and rows of the input, of `side` pixels, that the square hides at `position`.
pub fn square(position: usize, side: usize) -> [std::ops::Range<usize>; 2] {
    let part = side as f64 / POSITIONS as f64;
    [position % POSITIONS, position / POSITIONS].map(|index| {
        let centre = (index as f64 + 0.5) * part;
        let edge = |at: f64| at.round().clamp(0.0, side as f64) as usize;
        edge(centre - WIDTH / 2.0 * part)..edge(centre + WIDTH / 2.0 * part)
    })
}

/// The logarithm of the odds of a class: of its probability, divided by that of all others together.
fn log_odds(logits: &[f32], class: usize) -> f64 {
    let others = || logits.iter().enumerate().filter(|&(other, _)| other != class).map(|(_, &logit)| f64::from(logit));
    let most = others().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return 0.0; // the only class there is
    }
    f64::from(logits[class]) - most - others().map(|logit| (logit - most).exp()).sum::<f64>().ln()
}

/// The square's side, in parts of the input.
const WIDTH: f64 = 3.0;
/// How many squares a run tries.
const BATCH: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pixel_is_hidden_as_often_as_the_square_is_wide() {
        for side in [32, 64, 224, 227] {
            let mut hidden = vec![0; side * side];
            for position in 0..POSITIONS * POSITIONS {
                let [columns, rows] = square(position, side);
                assert!(!columns.is_empty() && !rows.is_empty());
                for y in rows {
                    hidden[y * side..][columns.clone()].iter_mut().for_each(|count| *count += 1);
                }
            }
            // Only the outer two parts of the input, behind whose squares there are no more, are hidden less often.
            let middle = hidden[side / 2 * side + side / 2];
            assert!(hidden.iter().all(|&count| (4..=9).contains(&count)) && middle == 9, "{side}: {middle}");
        }
    }

    #[test]
    fn log_odds_are_those_of_the_probability() {
        let logits = [1.0_f32, 2.5, -0.5];
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
        for (class, &logit) in logits.iter().enumerate() {
            let p = f64::from(logit).exp() / sum;
            assert!((log_odds(&logits, class) - (p / (1.0 - p)).ln()).abs() < 1e-12);
        }
        assert_eq!(log_odds(&[7.0], 0), 0.0);
    }
}
