//! Edges: how a child's parameters came from a parent's.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a child started from one parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Relation {
    /// One term of a federated average (FL).
    FederatedAverage {
        /// The parent's share of the average.
        weight: f64,
    },
    /// One worker of a distributed data-parallel average (DDPL), all with equal weight.
    DistributedAverage,
    /// Training went on with a label set that has grown (IL).
    Incremental,
    /// Transfer with a frozen part (TL).
    Transfer {
        /// Names of the tensors that were not trained.
        frozen: Vec<String>,
    },
    /// Training went on with all parameters free.
    FineTune,
    /// Trained to imitate the parent's outputs.
    Distilled,
    /// Weights merged outside of federated learning.
    Merged {
        /// The parent's share of the merge, when known.
        weight: Option<f64>,
    },
    /// The same model with fewer bits.
    Quantised,
    /// The parent with adapter weights added.
    Adapter,
    /// The parent after an erasure request.
    UnlearnedFrom {
        /// The request, as recorded in the registry.
        request: String,
    },
}

impl Relation {
    /// The relation's name in the JSON form and on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::FederatedAverage { .. } => "federated_average",
            Self::DistributedAverage => "distributed_average",
            Self::Incremental => "incremental",
            Self::Transfer { .. } => "transfer",
            Self::FineTune => "fine_tune",
            Self::Distilled => "distilled",
            Self::Merged { .. } => "merged",
            Self::Quantised => "quantised",
            Self::Adapter => "adapter",
            Self::UnlearnedFrom { .. } => "unlearned_from",
        }
    }

    /// The weight of the parent, where the relation has one.
    pub fn weight(&self) -> Option<f64> {
        match self {
            Self::FederatedAverage { weight } => Some(*weight),
            Self::Merged { weight } => *weight,
            _ => None,
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.name().replace('_', " ");
        match self.weight() {
            Some(weight) => write!(f, "{words} {weight:.3}"),
            None => f.write_str(&words),
        }
    }
}
