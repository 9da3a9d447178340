//! Sessions of int8 against logits in f32.

use std::path::{Path, PathBuf};

use crate::quantise::{Distance, Quantised};
use crate::{Model, Options, Precision, Session};

use super::look::Sample;
use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::pictures;
use crate::command::progress::Progress;

/// What sessions are made for.
pub struct Judge<'a> {
    pub model: &'a Model,
    /// The weights' file, for messages.
    pub input: &'a Path,
    pub threads: usize,
}

impl Judge<'_> {
    fn session(&self, quantised: &Quantised) -> Outcome<Session> {
        let options = Options::new().threads(self.threads).precision(Precision::Int8);
        let session = quantised.model().and_then(|model| model.session(options));
        session.or_fail(Code::Model, self.input.display())
    }

    /// How far `quantised` is from f32 on `samples`.
    pub fn samples(&self, quantised: &Quantised, samples: &[&Sample], progress: &Progress) -> Outcome<Distance> {
        let mut session = self.session(quantised)?;
        let mut distance = Distance::default();
        for Sample { input, logits } in samples {
            session.input_mut().copy_from_slice(input);
            session.run();
            distance.add(logits, session.logits());
            progress.advance(1)?;
        }
        Ok(distance)
    }

    /// How far `quantised` is from f32 on pictures that are read again.
    pub fn held_back(
        &self,
        quantised: &Quantised,
        pictures: &[(PathBuf, Vec<f32>)],
        progress: &Progress,
    ) -> Outcome<Distance> {
        let mut session = self.session(quantised)?;
        let mut distance = Distance::default();
        let (paths, logits): (Vec<PathBuf>, Vec<&[f32]>) =
            pictures.iter().map(|(path, logits)| (path.clone(), logits.as_slice())).unzip();
        let mut logits = logits.into_iter();
        pictures::prepare_each(&paths, *self.model.rule(), self.model.side(), |path, input| {
            // The picture could be read a moment ago.
            let input = input.map_err(|why| Failure::new(Code::Input, format!("{}: {why}", path.display())))?;
            session.input_mut().copy_from_slice(&input);
            session.run();
            distance.add(logits.next().expect("one for each picture"), session.logits());
            progress.advance(1)?;
            Ok(())
        })?;
        Ok(distance)
    }
}

/// Finds how few of `most` layers must be kept higher to satisfy `holds`, and returns what `judge` made of that number. It is
/// searched for by halving, as if keeping more never made the error larger; where it does, the number that is found holds,
/// but may not be the least. Returns what `judge` made of `most` as an error if not even that holds.
pub fn keep_higher<T>(
    most: usize,
    mut judge: impl FnMut(usize) -> Outcome<T>,
    holds: impl Fn(&T) -> bool,
) -> Outcome<Result<T, T>> {
    let none = judge(0)?;
    if holds(&none) {
        return Ok(Ok(none));
    }
    // `too_few` layers do not hold, `enough` do.
    let (mut too_few, mut enough) = (0, most);
    let mut best = judge(most)?;
    if !holds(&best) {
        return Ok(Err(best));
    }
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        let judged = judge(middle)?;
        if holds(&judged) {
            (enough, best) = (middle, judged);
        } else {
            too_few = middle;
        }
    }
    Ok(Ok(best))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_few_layers_are_kept_as_hold() {
        for most in [0, 1, 2, 7, 56] {
            for needed in 0..=most + 1 {
                let mut judged = Vec::new();
                let found = keep_higher(
                    most,
                    |kept| {
                        judged.push(kept);
                        Ok(kept)
                    },
                    |&kept| kept >= needed,
                );
                let expected = if needed <= most { Ok(needed) } else { Err(most) };
                assert_eq!(found.expect("no judgement fails"), expected, "{needed} of {most}");
                assert!(judged.len() <= 2 + most.checked_ilog2().unwrap_or(0) as usize + 1, "{judged:?}");
                judged.sort_unstable();
                judged.dedup();
                assert!(judged.iter().all(|&kept| kept <= most));
            }
        }
    }

    #[test]
    fn a_failed_judgement_ends_the_search() {
        let fails_at =
            |at: usize| move |kept: usize| if kept == at { Err(Failure::new(Code::System, "no")) } else { Ok(kept) };
        for at in [0, 8, 4] {
            assert!(keep_higher(8, fails_at(at), |&kept| kept >= 7).is_err(), "{at}");
        }
    }
}
