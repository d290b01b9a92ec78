//! Taking an operation back.

use std::collections::BTreeSet;

use serde::Serialize;
use umig::ModelId;

use crate::cards::row::CardRow;
use crate::catalog::publication::Publication;
use crate::error::{RegistryError, UndoRefusal};
use crate::ids::{ErasureId, OperationId};
use crate::log::chain::undone_by;
use crate::log::entry::OperationRow;
use crate::log::record::{OperationRecord, UndoRecord};
use crate::registry::Registry;
use crate::time::now;

/// Operations that cannot be taken back.
const FINAL: [&str; 3] = ["undo", "purge", "fsck"];

/// An operation that was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Undone {
    /// The operation that did it.
    pub operation: OperationId,
    /// The operation that was taken back.
    pub undone: OperationId,
    /// Versions that were taken out. Their objects stay until the next collection of garbage.
    pub removed: Vec<ModelId>,
    /// Versions that are current again.
    pub restored: Vec<ModelId>,
}

/// The erasure request that an operation published its models for, if it did.
fn published_for(row: &OperationRow) -> Option<ErasureId> {
    match row.record() {
        Ok(OperationRecord::Unlearn(record)) => record.erasure.map(|run| run.request),
        _ => None,
    }
}

impl Registry {
    /// Takes an operation back: what it made is taken out, what it replaced is current again. The
    /// log keeps both.
    ///
    /// # Errors
    /// [`RegistryError::NoOperation`]; [`RegistryError::CannotUndo`] when it has been taken back
    /// already, is one that cannot be, later versions inherit from what it made, or weights that it
    /// replaced have been purged; [`RegistryError::Conflict`] when another process is faster.
    pub fn undo(&self, number: OperationId) -> Result<Undone, RegistryError> {
        let log = self.operations()?;
        let row = log
            .iter()
            .find(|row| row.id == number)
            .ok_or(RegistryError::NoOperation(number))?;
        let refuse = |reason| RegistryError::CannotUndo {
            operation: number,
            reason,
        };
        let command = row.command.clone();
        if FINAL.contains(&command.as_str()) || command.starts_with("request ") {
            return Err(refuse(UndoRefusal::Final { command }));
        }
        if let Some(by) = undone_by(&log, number) {
            return Err(refuse(UndoRefusal::Undone { by }));
        }
        let made = &row.made;
        if made.models.is_empty() && made.cards.is_empty() && made.superseded.is_empty() {
            return Err(refuse(UndoRefusal::MadeUnknown { command }));
        }
        let made = row.made.models.iter().rev();
        let removed: Vec<ModelId> = made.map(|(id, _)| id.clone()).collect();
        if let Some(reason) = self.why_kept(&removed)? {
            return Err(refuse(reason));
        }
        let restored = row.made.superseded.clone();
        for id in &restored {
            if self.model(id)?.is_none_or(|row| row.purged) {
                return Err(refuse(UndoRefusal::Purged(id.clone())));
            }
        }
        let record = OperationRecord::Undo(UndoRecord {
            undoes: number,
            erasure: published_for(row),
        });
        let publication = Publication {
            dropped_cards: self.cards_to_drop(row, &removed)?,
            removed,
            restored,
            ..Publication::new(now(), record)
        };
        Ok(Undone {
            operation: self.publish(&publication)?,
            undone: number,
            removed: publication.removed,
            restored: publication.restored,
        })
    }

    /// Why versions cannot be taken out, if they cannot.
    fn why_kept(&self, removed: &[ModelId]) -> Result<Option<UndoRefusal>, RegistryError> {
        let graph = self.graph()?;
        let gone: BTreeSet<&ModelId> = removed.iter().collect();
        for id in removed {
            let Some(model) = graph.get(id) else {
                return Ok(Some(UndoRefusal::Gone(id.clone())));
            };
            if model.superseded {
                return Ok(Some(UndoRefusal::Superseded(id.clone())));
            }
            let children = graph.children(id).into_iter();
            if let Some((child, _)) = children
                .into_iter()
                .find(|(child, _)| !gone.contains(child))
            {
                return Ok(Some(UndoRefusal::Inherited {
                    child: child.clone(),
                    parent: id.clone(),
                }));
            }
        }
        Ok(None)
    }

    /// The cards that the operation made and that are still the ones in use, and those of versions
    /// that are in no version any more.
    fn cards_to_drop(
        &self,
        row: &OperationRow,
        removed: &[ModelId],
    ) -> Result<Vec<CardRow>, RegistryError> {
        let models = self.models()?;
        let kept: BTreeSet<_> = models
            .iter()
            .filter(|row| !removed.contains(&row.vertex.id))
            .map(|row| row.manifest)
            .collect();
        // A card that was made on the way for a version that stays is as good as before.
        let only_cards = row.made.models.is_empty();
        let cards = self.all_cards()?.into_iter();
        Ok(cards
            .filter(|card| {
                !kept.contains(&card.model) || (only_cards && row.made.cards.contains(card))
            })
            .collect())
    }
}
