//! Which of the offers for a node is taken: the cheapest.
//!
//! What an offer costs depends on shapes and the instruction set alone, so that results have the same bits for any number
//! of threads, on every machine of the set.

use super::Site;
use crate::plan::steps::{KINDS, Offer, Step};

/// The offer that is taken, and why.
pub(super) struct Choice {
    pub offer: Offer,
    pub reason: String,
}

/// The cheapest offer for the site's node.
pub(super) fn choose(site: &Site<'_>) -> Choice {
    cheapest(KINDS.iter().flat_map(|offers| offers(site)).collect())
}

/// The cheapest of `offers`; of equals the first.
///
/// # Panics
/// If there is none: an operation of the model table has no step.
fn cheapest(mut offers: Vec<Offer>) -> Choice {
    let position = |offers: &[Offer]| (0..offers.len()).min_by(|&a, &b| offers[a].cycles.total_cmp(&offers[b].cycles));
    let offer = offers.remove(position(&offers).expect("every operation has a step"));
    let next = position(&offers).map(|next| &offers[next]);
    let reason = match next {
        None => last(&offer).detail(),
        Some(next) => {
            format!("{:.0} kcycles, {} {:.0}", offer.cycles / 1e3, last(next).kernel(), next.cycles / 1e3)
        }
    };
    Choice { offer, reason }
}

/// The step that makes the outputs.
fn last(offer: &Offer) -> &dyn Step {
    offer.steps.last().expect("an offer has steps").1.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::memory::{Operands, Rows};
    use crate::plan::steps::{Ends, Part, StepWeights};

    /// A step that has a name and does nothing.
    #[derive(Debug)]
    struct Named(&'static str);

    impl Step for Named {
        fn kernel(&self) -> String {
            self.0.into()
        }

        fn detail(&self) -> String {
            "alone".into()
        }

        fn run(&self, _: &Part, _: StepWeights<'_>, _: Operands<'_>, _: &mut [u8]) {
            unreachable!("it is not run")
        }
    }

    fn chosen(offers: &[(&'static str, f64)]) -> (String, String) {
        let none = Rows { buffer: 0, first: 0, rows: 0, len: 0 };
        let ends = Ends { input: none, outputs: vec![none] };
        let offer = |&(name, cycles): &(_, _)| Offer::new(cycles, vec![0], ends.clone(), Named(name));
        let Choice { offer, reason } = cheapest(offers.iter().map(offer).collect());
        (last(&offer).kernel(), reason)
    }

    #[test]
    fn the_cheapest_offer_is_taken_and_the_next_is_named() {
        let offers = [("a", 3000.0), ("b", 1000.0), ("c", 2000.0)];
        assert_eq!(chosen(&offers), ("b".into(), "1 kcycles, c 2".into()));
        assert_eq!(chosen(&[("a", 1000.0), ("b", 1000.0)]), ("a".into(), "1 kcycles, b 1".into()));
        assert_eq!(chosen(&offers[..1]), ("a".into(), "alone".into()));
    }

    #[test]
    #[should_panic(expected = "every operation has a step")]
    fn a_node_without_offers_is_a_bug() {
        chosen(&[]);
    }
}
