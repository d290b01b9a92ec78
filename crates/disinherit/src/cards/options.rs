//! How Fisher information is computed.

use disinherit_data::DataSet;
use fiun::Estimator;
use serde_json::{Value, json};

use crate::layers::Layers;

/// How Fisher information is computed.
#[derive(Debug, Clone, PartialEq)]
pub struct FisherOptions {
    /// Which quantity it is.
    pub estimator: Estimator,
    /// The layers that a card is to hold. The head's FIM is always there.
    pub layers: Layers,
    /// Use at most this many of a model's own training samples.
    pub samples: Option<usize>,
    /// Use as many samples as are needed to leave at most this share of selection decisions open.
    pub precision: Option<f64>,
    /// The bytes that inner layers may use; `None` for at most 2 GiB of activations.
    pub memory: Option<u64>,
    /// Decides which samples are used.
    pub seed: u64,
    /// Whether a card also keeps what a network that runs here makes of each class, so that edits below
    /// the head need no data.
    pub activations: bool,
}

impl Default for FisherOptions {
    fn default() -> Self {
        Self {
            estimator: Estimator::Empirical,
            layers: Layers::Head,
            samples: None,
            precision: None,
            memory: None,
            seed: 0,
            activations: true,
        }
    }
}

impl FisherOptions {
    /// The part of a set that is looked at.
    pub(crate) fn subset(&self, set: &DataSet) -> DataSet {
        match self.samples {
            Some(limit) => set.sample(limit, self.seed),
            None => set.clone(),
        }
    }

    /// The options as JSON, for telling apart what was computed with different ones.
    pub(crate) fn settings(&self) -> Value {
        json!({
            "estimator": self.estimator.to_string(),
            "layers": self.layers,
            "samples": self.samples,
            "precision": self.precision,
            "memory": self.memory,
            "seed": self.seed,
        })
    }
}
