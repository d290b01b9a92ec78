//! Accuracy on what was to be forgotten and on the rest, on training and held-out data apart.

use serde::{Deserialize, Serialize};
use umig::ModelId;

use super::judgement::Judgement;

/// Accuracies between 0 and 1; `None` where there is nothing to measure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// On the model's own training data.
    pub train: Option<f64>,
    /// On held-out data.
    pub heldout: Option<f64>,
}

/// How well a model knows what was to be forgotten, and the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// On the forget data (for a held-out class: samples of that class).
    pub forget: Accuracy,
    /// On everything else.
    pub retain: Accuracy,
}

/// How well one version has forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertifiedVerdict {
    /// The version.
    pub model: ModelId,
    /// Accuracy on what is forgotten and what is retained.
    pub scores: Scores,
    /// The largest accuracy on forgotten held-out data that passes.
    pub at_most: f64,
    /// Whether it passes; nothing where there was nothing to measure.
    pub passed: Option<bool>,
}

impl CertifiedVerdict {
    /// The verdict on a model that scores so, where at most so much may still be recognised: by the
    /// accuracy on forgotten held-out samples, or where there are none, on training samples.
    pub fn new(model: ModelId, scores: Scores, at_most: f64) -> Self {
        let measured = scores.forget.heldout.or(scores.forget.train);
        Self {
            model,
            scores,
            at_most,
            passed: measured.map(|accuracy| accuracy <= at_most),
        }
    }

    /// What it says, in one word.
    pub fn judgement(&self) -> Judgement {
        match self.passed {
            Some(true) => Judgement::NotRecognised,
            Some(false) => Judgement::Recognised,
            None => Judgement::NotMeasured,
        }
    }
}
