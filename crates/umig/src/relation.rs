//! Edges: how a child's parameters came from a parent's.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::GraphError;

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
    /// A relation from the columns or attributes in which tables and other formats keep its parts. Parts that its
    /// kind does not have are passed over; a federated average without a weight is that of the parent alone.
    ///
    /// # Errors
    /// [`GraphError::NotReadable`] for a kind that is none, and for an unlearned version without its request.
    pub fn from_parts(
        kind: &str,
        weight: Option<f64>,
        frozen: Vec<String>,
        request: Option<String>,
    ) -> Result<Self, GraphError> {
        let refuse = |reason: String| GraphError::NotReadable(reason);
        Ok(match kind {
            "federated_average" => Self::FederatedAverage {
                weight: weight.unwrap_or(1.0),
            },
            "distributed_average" => Self::DistributedAverage,
            "incremental" => Self::Incremental,
            "transfer" => Self::Transfer { frozen },
            "fine_tune" => Self::FineTune,
            "distilled" => Self::Distilled,
            "merged" => Self::Merged { weight },
            "quantised" => Self::Quantised,
            "adapter" => Self::Adapter,
            "unlearned_from" => Self::UnlearnedFrom {
                request: request.ok_or_else(|| refuse(format!("`{kind}` names no request")))?,
            },
            other => return Err(refuse(format!("`{other}` is no relation of models"))),
        })
    }

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
