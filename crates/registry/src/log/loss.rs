//! What a request may cost in retained accuracy, and what it was measured to cost.

use fiun::Target;
use serde::{Deserialize, Serialize};

/// What a request may cost each model in accuracy on the retained data, in shares: 0.01 is a point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossBound {
    /// What every model is held to.
    pub target: f64,
    /// What was accepted beyond that by the user; 1 accepts everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<f64>,
}

impl Default for LossBound {
    /// What the choice of alpha aims at where nothing is said.
    fn default() -> Self {
        Self::new(Target::default().retain_loss)
    }
}

impl LossBound {
    /// Every loss is accepted: for comparing methods, harmful ones too.
    pub const UNLIMITED: Self = Self {
        target: 1.0,
        accepted: Some(1.0),
    };

    /// A bound, beyond which nothing is accepted.
    pub fn new(target: f64) -> Self {
        Self {
            target,
            accepted: None,
        }
    }

    /// The loss up to which a model is published.
    pub fn limit(self) -> f64 {
        self.accepted
            .map_or(self.target, |accepted| accepted.max(self.target))
    }
}

/// The samples that a loss was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckedOn {
    /// Training samples, the model's own and its ancestors', that neither the edit nor the choice of its
    /// strength has seen.
    KeptApart,
    /// Training samples that they have seen.
    Training,
    /// Held-out samples, for a method that trains on all of the retained training samples.
    HeldOut,
}

/// How many retained samples a model names rightly, before and after an edit, sample by sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredLoss {
    /// Which samples.
    pub on: CheckedOn,
    /// How many.
    pub samples: u64,
    /// Named rightly before.
    pub right: u64,
    /// Of these, not any more.
    pub lost: u64,
    /// Named rightly only afterwards.
    pub gained: u64,
}

/// Standard errors that are put down to chance: the 95th percentile of the normal distribution.
const ERRORS: f64 = 1.645;

impl MeasuredLoss {
    /// The accuracy before, 0 to 1.
    pub fn before(&self) -> f64 {
        self.share(self.right)
    }

    /// The accuracy afterwards, 0 to 1.
    pub fn after(&self) -> f64 {
        self.share(self.right + self.gained - self.lost)
    }

    /// The accuracy that was lost; below 0 where some was gained.
    pub fn loss(&self) -> f64 {
        self.share(self.lost) - self.share(self.gained)
    }

    /// The loss that a model of exactly this loss in the long run shows on so many samples, chance
    /// included: of such models, about one in twenty shows more. (One in six would be too many where a
    /// request touches hundreds.)
    ///
    /// The standard error is that of the paired difference under the hypothesis that its mean is
    /// `limit`. A sample adds 1, 0 or -1 to it, so with the probabilities `limit + g` of a loss and `g` of
    /// a gain the variance is `limit + 2 g - limit^2` (the score test for paired proportions, Tango,
    /// Statistics in Medicine 17, 1998; here with the observed share of gains for `g`).
    pub fn allowed(&self, limit: f64) -> f64 {
        let gains = 2.0 * self.share(self.gained);
        let variance = (limit * (1.0 - limit) + gains).max(0.0);
        limit + ERRORS * (variance / self.samples.max(1) as f64).sqrt()
    }

    /// By how much more than a limit allows was lost; at most 0 within it.
    pub fn excess(&self, limit: f64) -> f64 {
        self.loss() - self.allowed(limit)
    }

    fn share(&self, count: u64) -> f64 {
        count as f64 / self.samples.max(1) as f64
    }
}

/// What an edit cost in accuracy on the retained data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossCheck {
    /// It was measured.
    Measured(MeasuredLoss),
    /// No retained sample was at hand.
    NotMeasured,
}

impl LossCheck {
    /// What was measured, if anything was.
    pub fn measured(&self) -> Option<&MeasuredLoss> {
        match self {
            Self::Measured(loss) => Some(loss),
            Self::NotMeasured => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(samples: u64, lost: u64, gained: u64) -> MeasuredLoss {
        MeasuredLoss {
            on: CheckedOn::KeptApart,
            samples,
            right: samples,
            lost,
            gained,
        }
    }

    #[test]
    fn what_is_allowed_is_the_limit_and_chance() {
        // 1.645 sqrt(0.01 * 0.99 / 2000) = 0.003660.
        assert!((measured(2000, 0, 0).allowed(0.01) - 0.013_660).abs() < 1e-6);
        // Gains make the difference noisier: 1.645 sqrt((0.0099 + 2 * 0.01) / 2000) = 0.006360.
        assert!((measured(2000, 0, 20).allowed(0.01) - 0.016_360).abs() < 1e-5);
        assert!(measured(2000, 27, 0).excess(0.01) < 0.0);
        assert!(measured(2000, 28, 0).excess(0.01) > 0.0);
    }

    #[test]
    fn few_samples_are_no_excuse() {
        // One of nine is eleven points: a model that loses one point does that once in eleven times.
        assert!(measured(9, 1, 0).excess(0.01) > 0.0);
        assert!(measured(9, 0, 0).excess(0.01) < 0.0);
        // Nothing is allowed where the limit is 0, and everything where all is accepted.
        assert!(measured(2000, 1, 0).excess(0.0) > 0.0);
        assert!(measured(9, 9, 0).excess(LossBound::UNLIMITED.limit()) <= 0.0);
    }

    #[test]
    fn what_is_accepted_widens_the_bound_and_never_narrows_it() {
        let bound = |accepted| LossBound {
            target: 0.01,
            accepted,
        };
        assert_eq!(bound(None).limit(), 0.01);
        assert_eq!(bound(Some(0.05)).limit(), 0.05);
        assert_eq!(bound(Some(0.0)).limit(), 0.01);
    }
}
