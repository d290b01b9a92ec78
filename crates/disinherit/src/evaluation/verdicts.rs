//! What is found out about a version of a model.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::distance::Distance;
use super::membership::Membership;
use super::relearn::Relearning;
use super::scores::Scores;

/// Which verdicts are asked for, beside accuracy and drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depth {
    /// Membership inference, distances and the linear probe.
    pub attacks: bool,
    /// Relearning, which trains.
    pub relearning: bool,
}

impl Depth {
    /// Everything.
    pub const FULL: Self = Self {
        attacks: true,
        relearning: true,
    };
    /// Accuracy and drift alone: what the outputs say.
    pub const OUTPUTS: Self = Self {
        attacks: false,
        relearning: false,
    };
    /// What costs no training.
    pub const QUICK: Self = Self {
        attacks: true,
        relearning: false,
    };
}

/// What was found out about one version of a model. Shares and accuracies are between 0 and 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdicts {
    /// Accuracy on forgotten and retained data, on training and held-out data apart.
    pub scores: Scores,
    /// What held-out samples of the forgotten classes are taken for: shares by label.
    pub drift: BTreeMap<String, f64>,
    /// Membership inference.
    pub membership: Option<Membership>,
    /// How far the outputs are from those of the retrained model.
    pub distance: Option<Distance>,
    /// Zero retrain forgetting: 1 when outputs on the forget data are those of a fresh network, 0
    /// when they have nothing in common with them (Chundawat et al., arXiv:2205.08096).
    pub zero_retrain_forgetting: Option<f64>,
    /// Balanced accuracy of a linear probe that tells held-out samples of the forgotten classes
    /// from others by the model's features; 0.5 is chance.
    pub probe: Option<f64>,
    /// How fast the forgotten classes come back.
    pub relearning: Option<Relearning>,
}

impl Verdicts {
    /// Steps of relearning, or the limit where it never came back.
    pub fn relearning_steps(&self) -> Option<f64> {
        let relearning = self.relearning?;
        Some(relearning.steps.unwrap_or(relearning.limit) as f64)
    }
}
