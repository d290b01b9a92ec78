//! What is found out about a version of a model.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::distance::Distance;
use super::estimate::Estimate;
use super::measured::Measured;
use super::membership::Membership;
use super::probe::Probes;
use super::relearn::Relearning;
use super::sample_verdict::SampleVerdict;
use super::scores::Scores;
use super::shadows::ShadowVerdict;

/// Which verdicts are asked for, beside accuracy and drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depth {
    /// Membership inference, distances and the linear probe.
    pub attacks: bool,
    /// Relearning, which trains: from the head as it is, and from a neutral row.
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
    /// What held-out samples of the forgotten classes are taken for, or where single samples are
    /// forgotten, those: shares by label.
    pub drift: BTreeMap<String, f64>,
    /// Membership inference.
    pub membership: Option<Membership>,
    /// Where single samples or a source are forgotten: how they stand against samples that were never seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<SampleVerdict>,
    /// How far the outputs are from those of the retrained model.
    pub distance: Option<Distance>,
    /// Zero retrain forgetting: 1 when outputs on the forget data are those of a fresh network, 0
    /// when they have nothing in common with them (Chundawat et al., arXiv:2205.08096).
    pub zero_retrain_forgetting: Option<f64>,
    /// Balanced accuracy of a linear probe that tells held-out samples of the forgotten classes
    /// from others by the model's features; 0.5 is chance. The mean of the probes on the penultimate
    /// layer.
    pub probe: Option<f64>,
    /// The probes with their spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
    /// How fast the forgotten classes come back.
    pub relearning: Option<Relearning>,
    /// How it stands beside the retrained model over networks of other training seeds, where some were grown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadows: Option<ShadowVerdict>,
}

impl Verdicts {
    /// What decides about the inside of the model. A probe of an earlier version was measured once.
    pub fn measured(&self) -> Measured {
        let once = |value: Option<f64>| Estimate::new(&[value?]);
        let probes = self.probes.as_ref();
        let inner = probes.and_then(|probes| probes.inner.as_ref());
        let reset = self.relearning.and_then(|relearning| relearning.reset);
        Measured {
            probe: probes.map(|p| p.penultimate).or(once(self.probe)),
            inner_probe: inner.map(|inner| inner.accuracy),
            reset: reset.map(|reset| reset.steps),
            head_alone: reset.is_some_and(|reset| reset.head_alone),
            area: once(self.membership.and_then(|m| m.area)),
            fitted: self.membership.and_then(|m| m.fitted),
        }
    }

    /// Steps of relearning from the head as it is, or the limit where it never came back.
    pub fn relearning_steps(&self) -> Option<f64> {
        let relearning = self.relearning.filter(|tried| tried.limit > 0)?;
        Some(relearning.steps.unwrap_or(relearning.limit) as f64)
    }
}
