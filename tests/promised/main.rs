//! Tests that need what a machine may lack: an instruction set, or the real weights in `../shared/googlenet`.
//!
//! Each test is listed on every machine, and shown as ignored where its need is not met. Where the environment variable
//! `GOOGLENET_PROMISED` names the need, as in `GOOGLENET_PROMISED="avx2 avx512 weights"`, the test fails instead:
//! whoever makes a machine for tests says so what the machine must have.

#[cfg(all(feature = "decode", feature = "import"))]
mod class_maps;
mod hashes;
#[cfg(all(feature = "decode", feature = "import"))]
mod photographs;
#[cfg(all(feature = "decode", feature = "import"))]
mod precision;
#[path = "../network/random.rs"]
mod random;
#[cfg(all(feature = "decode", feature = "import"))]
mod real;
#[cfg(all(feature = "decode", feature = "import"))]
mod reference;
#[path = "../network/tensors.rs"]
mod tensors;

use googlenet::{Isa, isa};
use libtest_mimic::{Arguments, Trial};

/// What a test needs, as `GOOGLENET_PROMISED` names it, and whether this machine has it.
struct Need {
    name: &'static str,
    is_here: bool,
}

impl Need {
    fn set(name: &'static str) -> Self {
        Self { name, is_here: detected(name).is_some() }
    }

    #[cfg(all(feature = "decode", feature = "import"))]
    fn weights() -> Self {
        Self { name: "weights", is_here: real::folder().is_dir() }
    }
}

/// The instruction set `name`, if this machine has it.
fn detected(name: &str) -> Option<Isa> {
    isa::detected().find(|isa| isa.name() == name)
}

/// The test `name`, which is ignored unless this machine has or was promised to have all of `needs`.
fn trial(name: String, needs: &[Need], test: impl FnOnce() + Send + 'static) -> Trial {
    let promised = std::env::var("GOOGLENET_PROMISED").unwrap_or_default();
    let promised: Vec<&str> = promised.split_whitespace().collect();
    let missing: Vec<&'static str> = needs.iter().filter(|need| !need.is_here).map(|need| need.name).collect();
    let broken: Vec<&'static str> = missing.iter().copied().filter(|name| promised.contains(name)).collect();
    let test = move || {
        if !broken.is_empty() {
            return Err(format!("promised, and not here: {}", broken.join(", ")).into());
        }
        test();
        Ok(())
    };
    let is_ignored = missing.iter().any(|name| !promised.contains(name));
    Trial::test(name, test).with_ignored_flag(is_ignored)
}

fn main() {
    let mut trials = Vec::new();
    for name in isa::NAMES {
        let set = move || detected(name).expect("needed");
        // The kernels' batteries walk every set that the machine has: where this test is ignored, they have not walked
        // its set.
        trials.push(trial(format!("kernels::{name}"), &[Need::set(name)], move || assert_eq!(set().name(), name)));
        trials.push(trial(format!("hashes::{name}"), &[Need::set(name)], move || hashes::are_those_recorded(set())));
        #[cfg(all(feature = "decode", feature = "import"))]
        trials.push(trial(format!("reference::{name}"), &[Need::set(name), Need::weights()], move || {
            reference::logits_and_probabilities_are_the_references(set());
        }));
    }
    #[cfg(all(feature = "decode", feature = "import"))]
    trials.push(trial(
        "photographs".into(),
        &[Need::weights()],
        photographs::a_hundred_photographs_are_recognised_as_often_as_they_should,
    ));
    #[cfg(all(feature = "decode", feature = "import"))]
    trials.push(trial("class_maps".into(), &[Need::weights()], class_maps::a_cat_is_seen_where_it_is));
    #[cfg(all(feature = "decode", feature = "import"))]
    trials.push(trial("precision".into(), &[Need::weights()], precision::lower_precisions_stay_near_f32));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
