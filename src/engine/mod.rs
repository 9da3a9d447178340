//! What a user holds: a [`Model`] and its [`Session`]s.

mod description;
mod model;
mod options;
mod pack;
mod session;

pub use description::Description;
pub use model::Model;
pub use options::Options;
pub use session::{Prediction, Session};
