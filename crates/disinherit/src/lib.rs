//! The engine: from an erasure request to verified, published, unlearned models.
//!
//! ```text
//! Engine -> prepare(request, method) -> Prepared (the plan) -> run -> Done -> Evaluator -> certificate
//! ```
//!
//! An [`Engine`] is a registry with data, a device and a place to show progress. [`Engine::prepare`]
//! makes the plan, [`Prepared::run`] executes it and publishes the new versions. Every method goes
//! through one trait, [`Method`]; FIUn is [`Fiun`]. The engine never prints and never reads the
//! environment; long work reports to a [`progress::Progress`].

mod add;
mod add_many;
pub mod cards;
pub mod certificate;
mod checks;
mod cost;
mod described_layer;
mod draft;
mod engine;
mod error;
pub mod evaluation;
mod evidence;
mod execution;
mod feature_memory;
mod features;
mod fiun_method;
mod format;
mod graph_layer;
pub mod import;
mod kept_apart;
mod layers;
mod local_workers;
mod loss_check;
mod matching;
mod method;
pub mod model;
mod model_delta;
mod model_loss;
mod models;
mod opening;
mod outcome;
mod plan;
mod prepared;
pub mod progress;
pub mod provenance;
mod publish;
mod reference;
mod refusal;
mod replacement;
mod request_log;
mod run_options;
pub mod runner;
mod storing;
mod warnings;
mod work;

pub use disinherit_data as data;
pub use disinherit_formats as formats;
pub use disinherit_nets as nets;
pub use disinherit_registry as registry;
pub use {fiun, umig};

pub use cost::Cost;
pub use engine::Engine;
pub use error::{EngineError, Hint, suggest};
pub use evidence::Evidence;
pub use fiun_method::{Alpha, EditDepth, Fiun, FiunOptions, Scale};
pub use layers::Layers;
pub use matching::{Matching, MatchingOptions};
pub use method::{Edit, Method};
pub use model::LoadedModel;
pub use model_loss::ModelLoss;
pub use outcome::{Done, ShardDone, Unlearned};
pub use prepared::Prepared;
pub use request_log::past_request;
pub use run_options::RunOptions;
pub use work::Work;

/// The default share of held-out forget samples that a model may still recognise.
pub const FORGOTTEN: f64 = 0.01;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
