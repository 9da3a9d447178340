//! Threads: a session's own, or those that a caller lends, and how they wait for each other.
//!
//! - [`Team`] runs a job on every thread of a session (`team.rs`); [`Lent`] are threads of the caller's (`lent.rs`)
//! - [`Progress`] leads any number of threads through the phases of a schedule (`progress.rs`)
//! - [`map`] spreads work that is done once, when a session is made (`parallel.rs`)
//! - `waiting.rs` is how all of them wait: spin, yield, park

mod lent;
#[cfg(all(test, loom))]
mod models;
mod parallel;
mod progress;
mod sync;
mod team;
mod waiting;

pub(crate) use lent::Lent;
pub(super) use parallel::map;
pub(super) use progress::Progress;
pub(super) use team::{Job, Team};
