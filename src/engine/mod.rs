//! The types that a user of the library holds, above all a [`Model`] and its [`Session`]s.

mod class_map;
mod classifier;
mod description;
mod ensemble;
mod model;
mod names;
mod options;
mod pack;
mod quantisation;
mod session;
mod statics;

pub use class_map::ClassMap;
#[cfg(feature = "cli")]
pub(crate) use class_map::between;
pub use description::Description;
pub use ensemble::Ensemble;
pub use model::Model;
pub use options::Options;
pub use session::{Prediction, Session};

/// A proof that these types may cross threads: a change that takes that away does not compile.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    const fn sent<T: Send>() {}
    shared::<Model>();
    shared::<Options>();
    sent::<Session>();
    sent::<Ensemble>();
};
