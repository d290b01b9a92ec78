//! What a finished request did.

use std::collections::{BTreeMap, BTreeSet};

use disinherit_formats::Tensor;
use disinherit_registry::Digest;
use fiun::{AlphaChoice, Selection};
use serde::{Deserialize, Serialize};
use umig::{ModelId, Role};

use crate::cost::Cost;
use crate::method::MethodName;

/// What happened to one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelOutcome {
    /// The version that was touched.
    pub before: ModelId,
    /// The version that replaces it.
    pub after: ModelId,
    /// Its part in the request.
    pub role: Role,
    /// The initial models whose FIMs were merged.
    pub initial: BTreeSet<ModelId>,
    /// The digest before.
    pub digest_before: Digest,
    /// The digest after; nothing in a dry run.
    pub digest_after: Option<Digest>,
    /// The threshold, for a method that dampens.
    pub alpha: Option<f64>,
    /// The dampening constant, for a method that dampens.
    pub lambda: Option<f64>,
    /// What they were chosen from, where they were chosen from data.
    pub choice: Option<AlphaChoice>,
    /// What was done to each tensor.
    pub tensors: BTreeMap<String, Selection>,
    /// Labels of the model that no initial model has; their rows stayed as they were.
    pub unmatched: Vec<String>,
    /// The version whose FIM card stood in for one of its own.
    #[serde(default, rename = "stand_in")]
    pub fallback_card: Option<ModelId>,
    /// Seconds for this model.
    pub seconds: f64,
}

impl ModelOutcome {
    /// All tensors together.
    pub fn selection(&self) -> Selection {
        self.tensors
            .values()
            .copied()
            .fold(Selection::default(), Selection::plus)
    }
}

/// A finished request, as the log has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unlearned {
    /// The request's id.
    pub request: String,
    /// The method.
    #[serde(default)]
    pub method: MethodName,
    /// The operation's number in the log; nothing in a dry run.
    pub operation: Option<i64>,
    /// What happened to each model.
    pub models: Vec<ModelOutcome>,
    /// Seconds for everything, publication included.
    pub seconds: f64,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A finished request with what it cost.
#[derive(Debug, Clone)]
pub struct Done {
    /// What happened, as the log has it.
    pub unlearned: Unlearned,
    /// The tensors that changed in every model, where they were asked for.
    pub changed: BTreeMap<ModelId, BTreeMap<String, Tensor>>,
    /// Touched models that had a FIM card.
    pub from_cards: usize,
    /// What it cost in all.
    pub cost: Cost,
    /// The part of the cost before the first edit: planning and Fisher information.
    pub preparation: Cost,
}
