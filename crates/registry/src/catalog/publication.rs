//! What one operation changes.

use umig::ModelId;

use crate::cards::row::CardRow;
use crate::catalog::rows::NewModel;
use crate::ids::OperationId;
use crate::log::entry::{Made, Operation};
use crate::log::record::OperationRecord;

/// Everything that one operation changes. It happens as a whole or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// New model versions, parents before children.
    pub models: Vec<NewModel>,
    /// Versions that they replace. They must be current.
    pub superseded: Vec<ModelId>,
    /// New cards; a card for the same model and estimator is replaced.
    pub cards: Vec<CardRow>,
    /// Superseded versions that are current again.
    pub restored: Vec<ModelId>,
    /// Versions that are taken out, with the edges to their parents. No version may inherit from
    /// them.
    pub removed: Vec<ModelId>,
    /// Superseded versions whose weights are to be deleted.
    pub purged: Vec<ModelId>,
    /// Cards that are taken out.
    pub dropped_cards: Vec<CardRow>,
    /// The requests whose drafts are no longer needed.
    pub finished: Vec<String>,
    /// The operation that the erasure request which it concerns must have seen last; any when not given.
    pub seen: Option<OperationId>,
    /// The entry in the log.
    pub operation: Operation,
}

impl Publication {
    /// One that changes nothing but the log: what was done, and when (in milliseconds since
    /// 1970-01-01 UTC).
    pub fn new(time: u64, record: OperationRecord) -> Self {
        Self {
            models: Vec::new(),
            superseded: Vec::new(),
            cards: Vec::new(),
            restored: Vec::new(),
            removed: Vec::new(),
            purged: Vec::new(),
            dropped_cards: Vec::new(),
            finished: Vec::new(),
            seen: None,
            operation: Operation::new(time, record),
        }
    }

    /// The same with other forms of its new models.
    pub(crate) fn with_models(&self, models: Vec<NewModel>) -> Self {
        Self {
            models,
            superseded: self.superseded.clone(),
            cards: self.cards.clone(),
            restored: self.restored.clone(),
            removed: self.removed.clone(),
            purged: self.purged.clone(),
            dropped_cards: self.dropped_cards.clone(),
            finished: self.finished.clone(),
            seen: self.seen,
            operation: self.operation.clone(),
        }
    }

    /// What the log keeps of it.
    pub fn made(&self) -> Made {
        Made {
            models: self
                .models
                .iter()
                .map(|new| (new.row.vertex.id.clone(), new.row.manifest))
                .collect(),
            superseded: self.superseded.clone(),
            cards: self.cards.clone(),
            restored: self.restored.clone(),
            removed: self.removed.clone(),
            purged: self.purged.clone(),
        }
    }
}
