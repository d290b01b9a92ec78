//! Models that come in and go out: one at a time, as whole trees, and back in the format that they
//! came in.
//!
//! Import of whole trees: finds the models below some folders, reads what each is and which models it
//! was made from, and adds them to the registry in one operation.
//!
//! ```text
//! find -> open and describe -> parents from cards -> parents from weights -> order -> add
//! ```
//!
//! [`ImportPlan::new`] does everything but the last step, so that a front end can show the plan first;
//! [`ImportPlan::run`] adds the models.

mod candidate;
mod cards;
mod error;
mod find;
mod hub_cache;
mod names;
mod notes;
mod options;
mod parents;
mod plan;
mod tree;

pub use crate::add::{AddModel, NewNetwork, add, add_model_file, add_tensors, describe};
pub use crate::add_many::{add_all, add_all_tensors};
pub use crate::format::{export, format_of};
pub use error::ImportError;
pub use find::{FoundModel, MODEL_ENDINGS, find_models};
pub use notes::{ImportNote, ParentEvidence};
pub use options::{ImportOptions, TrainedOn};
pub use parents::{ParentProposal, WeightSketch, infer_parents};
pub use plan::{ImportPlan, ImportedModel};
