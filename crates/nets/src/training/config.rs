//! How to train.

use serde::{Deserialize, Serialize};

use crate::augment::Augment;
use crate::error::NetError;

/// The rule that turns gradients into steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum.
    Sgd,
    /// Adam (Kingma and Ba, arXiv:1412.6980).
    Adam,
}

/// How the learning rate changes over a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// Divided by 10 when the given shares (0 to 1) of the epochs are over.
    Step(Vec<f64>),
    /// Down to 0 along half a cosine, step by step.
    Cosine,
    /// Up and down once, step by step (Smith and Topin, arXiv:1708.07120): in a straight line from
    /// a 25th of the learning rate to the whole in the first 30 %, then down to 0 along half a
    /// cosine. Momentum stays as it is.
    OneCycle,
}

/// How to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The learning rate at the start.
    pub learning_rate: f64,
    /// SGD's momentum.
    pub momentum: f64,
    /// The L2 penalty.
    pub weight_decay: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Passes over the data.
    pub epochs: usize,
    /// Samples per step.
    pub batch_size: usize,
    /// How images are changed at random.
    pub augment: Augment,
    /// Gradients of a tensor longer than this are shortened to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f32>,
}

impl Default for TrainingConfig {
    /// The paper's settings (arXiv:2408.08493, Section 6), with the number of epochs left low.
    fn default() -> Self {
        Self {
            optimizer: Optimizer::Sgd,
            learning_rate: 0.1,
            momentum: 0.9,
            weight_decay: 5e-4,
            schedule: Schedule::Constant,
            epochs: 10,
            batch_size: 64,
            augment: Augment::NONE,
            clip: None,
        }
    }
}

impl TrainingConfig {
    pub(super) fn check(&self) -> Result<(), NetError> {
        let refuse = |what: &str| Err(NetError::Training(what.to_owned()));
        if self.epochs == 0 || self.batch_size == 0 {
            return refuse("epochs and batch_size must be at least 1");
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return refuse("learning_rate must be a positive number");
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return refuse("momentum must be at least 0 and below 1");
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return refuse("weight_decay must be at least 0");
        }
        if self
            .clip
            .is_some_and(|clip| !(clip.is_finite() && clip > 0.0))
        {
            return refuse("clip must be a positive number");
        }
        Ok(())
    }

    /// The learning rate when `done` (0 to 1) of the training is over.
    pub(super) fn rate(&self, done: f64) -> f64 {
        match &self.schedule {
            Schedule::Constant => self.learning_rate,
            Schedule::Step(shares) => {
                let passed = shares.iter().filter(|share| done >= **share).count();
                self.learning_rate * 0.1f64.powi(passed as i32)
            }
            Schedule::Cosine => self.learning_rate * half_cosine(done),
            Schedule::OneCycle if done < WARM_UP => {
                let share = done / WARM_UP;
                self.learning_rate * (FIRST_RATE + (1.0 - FIRST_RATE) * share)
            }
            Schedule::OneCycle => {
                self.learning_rate * half_cosine((done - WARM_UP) / (1.0 - WARM_UP))
            }
        }
    }
}

/// The share of a one-cycle training that the rate goes up for, and the share of the highest rate
/// that it starts at: PyTorch's `OneCycleLR` has the same.
const WARM_UP: f64 = 0.3;
const FIRST_RATE: f64 = 1.0 / 25.0;

/// From 1 to 0.
fn half_cosine(done: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cycle_goes_up_and_down() {
        let config = TrainingConfig {
            learning_rate: 0.5,
            schedule: Schedule::OneCycle,
            ..TrainingConfig::default()
        };
        for (done, rate) in [
            (0.0, 0.02),
            (0.15, 0.26),
            (0.3, 0.5),
            (0.475, 0.25 * (1.0 + 0.5f64.sqrt())),
            (0.65, 0.25),
            (0.825, 0.25 * (1.0 - 0.5f64.sqrt())),
            (1.0, 0.0),
        ] {
            let found = config.rate(done);
            assert!((found - rate).abs() < 1e-12, "{done}: {found} {rate}");
        }
    }
}
