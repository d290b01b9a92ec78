//! What a request did to one model, as the log keeps it.

use std::collections::{BTreeMap, BTreeSet};

use fiun::{AlphaChoice, Selection};
use serde::{Deserialize, Serialize};
use umig::{ModelId, Role};

use super::inner_edit::InnerEdit;
use super::loss::LossCheck;
use super::matched::MatchedSamples;
use crate::digest::Digest;

/// A version that a request took out of use: it was trained on nothing but what is forgotten, so that
/// nothing of its own would be left. It is superseded, and no version replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredModel {
    /// The version.
    pub model: ModelId,
    /// Its digest.
    pub digest: Digest,
    /// Its part in the request.
    pub role: Role,
}

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
    /// The version whose FIM card was used in place of a card of its own.
    #[serde(default, rename = "stand_in")]
    pub fallback_card: Option<ModelId>,
    /// What was done below the head; nothing where that was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner: Option<InnerEdit>,
    /// What it cost in accuracy on the retained data; nothing in entries from before that was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossCheck>,
    /// How single samples were brought to the certainty of unseen ones; nothing for other methods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<MatchedSamples>,
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
