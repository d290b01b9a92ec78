//! What a finished request did.

use std::collections::BTreeMap;

use disinherit_formats::Tensor;
use disinherit_registry::{
    LossBound, MethodName, ModelOutcome, OperationId, RequestId, RetiredModel,
};
use serde::{Deserialize, Serialize};
use umig::{ModelId, Shard};

use crate::cost::Cost;

/// A finished request, as the log has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unlearned {
    /// The request's id.
    pub request: RequestId,
    /// The method.
    #[serde(default)]
    pub method: MethodName,
    /// The operation's number in the log; nothing in a dry run.
    pub operation: Option<OperationId>,
    /// What happened to each model.
    pub models: Vec<ModelOutcome>,
    /// The models that were taken out of use without a successor: nothing of their own would be left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<RetiredModel>,
    /// What every model was allowed to lose in accuracy on the retained data.
    #[serde(default)]
    pub loss_bound: LossBound,
    /// Seconds for everything, publication included.
    pub seconds: f64,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A finished request with what it cost.
#[derive(Debug, Clone)]
pub struct Done {
    /// What happened, as the log has it.
    pub unlearned: Unlearned,
    /// The tensors that changed in every model, where they were asked for.
    pub changed: BTreeMap<ModelId, BTreeMap<String, Tensor>>,
    /// Touched models that had a FIM card.
    pub from_cards: usize,
    /// What it cost in all.
    pub cost: Cost,
    /// The part of the cost before the first edit: planning and Fisher information.
    pub preparation: Cost,
}

/// What a process did of a request that several work on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShardDone {
    /// The request's id.
    pub request: RequestId,
    /// The shard.
    pub shard: Shard,
    /// The models that are edited in this shard. All their new versions are drafts now.
    pub models: Vec<ModelId>,
    /// How many of them this process edited.
    pub edited: usize,
    /// How many were finished already.
    pub taken_up: usize,
    /// Seconds that it took.
    pub seconds: f64,
}
