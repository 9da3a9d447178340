//! What the command says of itself: its version, the commit that it was built of, and the instruction sets here.

use crate::{Options, isa};

/// The version and the commit, if that is known: `build.rs` finds it.
pub fn short() -> String {
    match option_env!("GOOGLENET_COMMIT") {
        Some(commit) => format!("{} ({commit})", env!("CARGO_PKG_VERSION")),
        None => env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The same, and which instruction set is used of which there are.
pub fn long() -> String {
    let sets: Vec<&str> = isa::detected().map(|set| set.name()).collect();
    let used = match Options::new().chosen_isa() {
        Ok(set) => set.name().to_owned(),
        Err(error) => format!("none: {error}"),
    };
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    format!("{}\ninstruction set: {used} (of {})\ntarget: {target}", short(), sets.join(", "))
}
