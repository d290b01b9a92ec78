//! The engine: from an erasure request to verified, published, unlearned models.
//!
//! ```text
//! request -> plan -> Fisher information -> merge, select, dampen -> publish -> verify
//! ```
//!
//! The engine never prints and never reads the environment; long work reports to a [`Progress`].

mod add;
mod certificate;
mod cost;
mod draft;
mod error;
mod evaluate;
mod features;
mod fisher;
mod form;
mod grow;
pub mod import;
mod layers;
mod lesson;
mod methods;
mod model;
mod progress;
mod provenance;
mod recipe;
mod revisit;
mod runner;
mod study;
mod unlearn;
mod verdicts;

// The lower crates that a front end needs, so that it depends on the engine alone.
pub use disinherit_data as data;
pub use disinherit_formats as formats;
pub use disinherit_nets as nets;
pub use disinherit_registry as registry;
pub use {fiun, umig};

pub use add::{
    AddModel, NewNetwork, add, add_all, add_bundle, add_tensors, describe, next_version,
};
pub use certificate::{
    Certificate, CertifiedModel, CertifiedVerdict, Envelope, LogPosition, PREDICATE, PublicKey,
    SecretKey, Statement, Subject, certify,
};
pub use cost::Cost;
pub use error::EngineError;
pub use evaluate::{Accuracy, Evaluator, Scores, judge};
pub use features::{FEATURE_CACHE, Features};
pub use fisher::{FisherOptions, compute_cards, import_card};
pub use form::{export, form_of};
pub use grow::{GrowOptions, Grown, check_recipe, grow, lesson_of};
pub use layers::Layers;
pub use lesson::Lesson;
pub use methods::{Mended, Method, Settings, SettingsPatch, Trial, Variant, run_method};
pub use model::{LoadedModel, find as resolve, now};
pub use progress::{Progress, Silent, Stage};
pub use provenance::{absence_warning, absent_samples, forget_mask, own_data};
pub use recipe::{Heads, LabelChoice, ModelRecipe, Recipe, RelationName, Repeat};
pub use revisit::{last_request, revisit};
pub use runner::Runner;
pub use study::{
    Compared, MethodResult, ModelResult, Study, StudyModel, StudyOptions, mean, run_study,
};
pub use unlearn::{
    Alpha, ModelOutcome, Needs, Prepared, Scale, UnlearnOptions, Unlearned, needs, prepare, unlearn,
};

pub use verdicts::{Depth, Distance, Membership, Relearning, Verdicts};

/// The default share of held-out forget samples that a model may still recognise.
pub const FORGOTTEN: f64 = 0.01;
