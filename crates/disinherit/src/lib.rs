//! The engine: from an erasure request to verified, published, unlearned models.
//!
//! ```text
//! request -> plan -> Fisher information -> merge, select, dampen -> publish -> verify
//! ```
//!
//! The engine never prints and never reads the environment; long work reports to a [`Progress`].

mod add;
mod error;
mod evaluate;
mod features;
mod fisher;
mod grow;
mod layers;
mod model;
mod progress;
mod provenance;
mod recipe;
mod study;
mod unlearn;

pub use add::{AddModel, add};
pub use error::EngineError;
pub use evaluate::{Accuracy, Evaluator, Scores};
pub use features::{FEATURE_CACHE, Features};
pub use fisher::{FisherOptions, compute_cards, import_card};
pub use grow::{GrowOptions, Grown, grow, retrain};
pub use layers::Layers;
pub use model::{LoadedModel, find as resolve, now};
pub use progress::{Progress, Silent, Stage};
pub use provenance::{forget_mask, own_data};
pub use recipe::{ModelRecipe, Recipe, RelationName};
pub use study::{Seconds, Study, StudyModel, StudyOptions, run_study};
pub use unlearn::{
    Alpha, ModelOutcome, Needs, Prepared, Scale, UnlearnOptions, Unlearned, needs, prepare, unlearn,
};

/// The default share of held-out forget samples that a model may still recognise.
pub const FORGOTTEN: f64 = 0.01;
