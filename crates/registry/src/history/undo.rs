//! Taking an operation back.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::json;
use umig::ModelId;

use super::now;
use crate::catalog::{CardRow, Publication};
use crate::error::RegistryError;
use crate::operation::{Operation, OperationRow};
use crate::registry::Registry;

/// Operations that cannot be taken back.
const FINAL: [&str; 3] = ["undo", "purge", "fsck"];

/// An operation that was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Undone {
    /// The operation that did it.
    pub operation: i64,
    /// The operation that was taken back.
    pub undone: i64,
    /// Versions that were taken out. Their objects stay until the next collection of garbage.
    pub removed: Vec<ModelId>,
    /// Versions that are current again.
    pub restored: Vec<ModelId>,
}

impl Registry {
    /// Takes an operation back: what it made is taken out, what it replaced is current again. The
    /// log keeps both.
    ///
    /// # Errors
    /// [`RegistryError::Refused`] when there is no such operation, it has been taken back already, it
    /// is one that cannot be, later versions inherit from what it made, or weights that it replaced
    /// have been purged; [`RegistryError::Conflict`] when somebody is faster.
    pub fn undo(&self, number: i64) -> Result<Undone, RegistryError> {
        let log = self.operations()?;
        let refuse = |reason: String| Err(RegistryError::Refused(reason));
        let Some(row) = log.iter().find(|row| row.id == number) else {
            return refuse(format!(
                "there is no operation {number}; `disinherit log --operations` lists them"
            ));
        };
        let command = &row.operation.command;
        if FINAL.contains(&command.as_str()) {
            return refuse(format!("operation {number} (`{command}`) cannot be undone"));
        }
        if let Some(by) = undone_by(&log, number) {
            return refuse(format!(
                "operation {number} was undone already, by operation {by}"
            ));
        }
        if row.made.models.is_empty() && row.made.cards.is_empty() {
            return refuse(format!(
                "operation {number} (`{command}`) does not say what it made; it is older than that"
            ));
        }
        let removed: Vec<ModelId> = row
            .made
            .models
            .iter()
            .rev()
            .map(|(id, _)| id.clone())
            .collect();
        self.check_removal(number, &removed)?;
        let restored = row.made.superseded.clone();
        for id in &restored {
            if self.model(id)?.is_none_or(|row| row.purged) {
                return refuse(format!(
                    "operation {number} cannot be undone: `{id}`, which it replaced, was purged"
                ));
            }
        }
        let publication = Publication {
            dropped_cards: self.cards_to_drop(row, &removed)?,
            removed,
            restored,
            ..Publication::of(Operation {
                time: now(),
                command: "undo".into(),
                detail: json!({"undoes": number}),
            })
        };
        Ok(Undone {
            operation: self.publish(&publication)?,
            undone: number,
            removed: publication.removed,
            restored: publication.restored,
        })
    }

    fn check_removal(&self, number: i64, removed: &[ModelId]) -> Result<(), RegistryError> {
        let graph = self.graph()?;
        let gone: BTreeSet<&ModelId> = removed.iter().collect();
        for id in removed {
            let Some(model) = graph.get(id) else {
                return Err(RegistryError::Refused(format!(
                    "operation {number} cannot be undone: `{id}`, which it made, is gone"
                )));
            };
            if model.superseded {
                return Err(RegistryError::Refused(format!(
                    "operation {number} cannot be undone: `{id}`, which it made, was replaced since; \
                     undo that first"
                )));
            }
            let heir = graph
                .children(id)
                .into_iter()
                .find(|(child, _)| !gone.contains(child));
            if let Some((heir, _)) = heir {
                return Err(RegistryError::Refused(format!(
                    "operation {number} cannot be undone: `{heir}` inherits from `{id}`, which it made; \
                     undo that first"
                )));
            }
        }
        Ok(())
    }

    /// The cards that the operation made and that are still the ones in use, and those of versions
    /// that nobody has any more.
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

/// The operation that took another one back, if one did.
pub fn undone_by(log: &[OperationRow], number: i64) -> Option<i64> {
    log.iter()
        .find(|row| row.operation.command == "undo" && row.operation.detail["undoes"] == number)
        .map(|row| row.id)
}
