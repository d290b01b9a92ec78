//! The methods' hyperparameters.

use disinherit_nets::{Augment, Optimizer, Schedule, TrainingConfig};
use serde::{Deserialize, Serialize};

use super::kind::MethodKind;

/// Hyperparameters of the methods that train; each method reads those that it knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Passes over the retained data (for gradient ascent, over the forget data).
    pub epochs: usize,
    /// The learning rate.
    pub learning_rate: f64,
    /// Samples per step.
    pub batch_size: usize,
    /// SGD's momentum.
    pub momentum: f64,
    /// The L2 penalty.
    pub weight_decay: f64,
    /// Gradients of a tensor longer than this are shortened to it.
    pub clip: Option<f32>,
    /// The temperature of distillation.
    pub temperature: f64,
    /// The weight of the forget data's term, beside the retained data's.
    pub forget_weight: f64,
    /// The share of parameters that SalUn may change.
    pub saliency: f64,
    /// Decides the order of samples and what is drawn.
    pub seed: u64,
}

/// What replaces some of a method's settings; the rest stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SettingsPatch {
    /// See [`Settings::epochs`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// See [`Settings::learning_rate`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// See [`Settings::batch_size`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<usize>,
    /// See [`Settings::momentum`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// See [`Settings::weight_decay`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// See [`Settings::clip`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f32>,
    /// See [`Settings::temperature`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// See [`Settings::forget_weight`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forget_weight: Option<f64>,
    /// See [`Settings::saliency`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saliency: Option<f64>,
}

impl Settings {
    /// The same settings, some of them replaced.
    pub fn patched(self, patch: &SettingsPatch) -> Self {
        Self {
            epochs: patch.epochs.unwrap_or(self.epochs),
            learning_rate: patch.learning_rate.unwrap_or(self.learning_rate),
            batch_size: patch.batch_size.unwrap_or(self.batch_size),
            momentum: patch.momentum.unwrap_or(self.momentum),
            weight_decay: patch.weight_decay.unwrap_or(self.weight_decay),
            clip: patch.clip.or(self.clip),
            temperature: patch.temperature.unwrap_or(self.temperature),
            forget_weight: patch.forget_weight.unwrap_or(self.forget_weight),
            saliency: patch.saliency.unwrap_or(self.saliency),
            seed: self.seed,
        }
    }

    /// The defaults of a method: those of its paper where they carry over to models of any size,
    /// and otherwise what served the embedded digits and CIFAR-10.
    pub fn for_method(method: MethodKind) -> Self {
        let common = Self {
            epochs: 2,
            learning_rate: 0.01,
            batch_size: 64,
            momentum: 0.9,
            weight_decay: 5e-4,
            clip: Some(1.0),
            temperature: 1.0,
            forget_weight: 1.0,
            saliency: 0.5,
            seed: 1,
        };
        match method {
            MethodKind::Retrain => Self {
                epochs: 20,
                learning_rate: 0.05,
                ..common
            },
            MethodKind::Distill => Self {
                epochs: 10,
                learning_rate: 0.05,
                temperature: 2.0,
                ..common
            },
            MethodKind::GradientAscent => Self {
                epochs: 4,
                weight_decay: 0.0,
                ..common
            },
            MethodKind::NegGradPlus => Self {
                forget_weight: 0.05,
                ..common
            },
            MethodKind::Scrub => Self {
                temperature: 4.0,
                ..common
            },
            MethodKind::Unsir => Self {
                learning_rate: 0.02,
                weight_decay: 0.0,
                clip: None,
                ..common
            },
            MethodKind::BoundaryShrink => Self {
                epochs: 10,
                weight_decay: 0.0,
                ..common
            },
            MethodKind::Delete => Self {
                epochs: 20,
                weight_decay: 0.0,
                ..common
            },
            _ => common,
        }
    }

    /// As a training, for so many epochs.
    pub fn training(&self) -> TrainingConfig {
        TrainingConfig {
            optimizer: Optimizer::Sgd,
            learning_rate: self.learning_rate,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            schedule: Schedule::Constant,
            epochs: self.epochs,
            batch_size: self.batch_size,
            augment: Augment::NONE,
            clip: self.clip,
        }
    }
}
