//! Deleting for good what superseded versions remember.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::json;
use umig::ModelId;

use super::now;
use crate::catalog::State;
use crate::catalog::{CardRow, ModelRow, Publication};
use crate::crash;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::operation::Operation;
use crate::registry::Registry;

/// What to delete, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// The versions; each must be superseded.
    pub models: Vec<ModelId>,
    /// Why, for the record.
    pub reason: String,
    /// Say what would go, and delete nothing.
    pub dry_run: bool,
}

/// What was deleted, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// The operation; nothing in a dry run.
    pub operation: Option<i64>,
    /// The versions with their digests, which stay on record.
    pub models: Vec<(ModelId, Digest)>,
    /// FIM cards that went with them.
    pub cards: usize,
    /// Objects that went: those that no version that is left shares.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Objects of these versions that others share, and that therefore stay.
    pub shared: usize,
    /// Entries of the feature cache that went.
    pub features: usize,
}

impl Registry {
    /// Deletes the weights and FIM cards of superseded versions, as far as no version that is left
    /// shares them, the cached features, and in a folder what requests that were stopped have kept
    /// (elsewhere nobody knows whether they are still running). The record stays: ids, digests, reason, time. First the
    /// catalog says so, then the objects go; what a kill in between leaves is garbage.
    ///
    /// # Errors
    /// [`RegistryError::Refused`] for a version that is not there or still in use,
    /// [`RegistryError::Busy`] when somebody writes, or what the storage says.
    pub fn purge(&self, purge: &Purge) -> Result<Purged, RegistryError> {
        let alone = if purge.dry_run { None } else { self.alone()? };
        let rows = self.models()?;
        let chosen = chosen(&rows, &purge.models)?;
        let left: Vec<&ModelRow> = rows
            .iter()
            .filter(|row| !row.purged && !chosen.contains_key(&row.vertex.id))
            .collect();
        let alive: BTreeSet<Digest> = left.iter().map(|row| row.manifest).collect();
        let (going, staying): (Vec<CardRow>, Vec<CardRow>) = self
            .all_cards()?
            .into_iter()
            .partition(|card| !alive.contains(&card.model));
        let mut needed = self.objects_of(left, &staying)?;
        let mut all = self.objects_of(chosen.values().copied(), &going)?;
        // A request that was stopped may have kept cards or weights of what goes.
        let drafted = self.needed_by_drafts()?;
        let alone_here = self.blobs.on_disk();
        if !alone_here {
            // Somebody may be about to publish them.
            needed.extend(drafted.iter().copied());
        }
        let shared = all.intersection(&needed).count();
        all.extend(drafted);
        let gone: BTreeSet<Digest> = all.difference(&needed).copied().collect();
        let sizes: BTreeMap<Digest, u64> = self
            .wait(self.blobs.list())?
            .into_iter()
            .map(|stored| (stored.digest, stored.size))
            .collect();
        let mut purged = Purged {
            operation: None,
            models: chosen
                .values()
                .map(|row| (row.vertex.id.clone(), row.manifest))
                .collect(),
            cards: going.len(),
            objects: gone.len(),
            bytes: gone.iter().filter_map(|digest| sizes.get(digest)).sum(),
            shared,
            features: 0,
        };
        if purge.dry_run {
            return Ok(purged);
        }
        let publication = Publication {
            purged: purge.models.clone(),
            dropped_cards: going,
            ..Publication::of(Operation {
                time: now(),
                command: "purge".into(),
                detail: json!({
                    "reason": purge.reason,
                    "models": purged.models,
                    "cards": purged.cards,
                    "objects": purged.objects,
                    "bytes": purged.bytes,
                }),
            })
        };
        if alone_here {
            self.wait(self.catalog().drop_drafts(now() + 1))?;
        }
        purged.operation = Some(self.commit(&publication)?);
        crash::point("purge after commit");
        self.wait(self.blobs.remove(gone))?;
        if let Some(cache) = self.feature_cache(0) {
            purged.features = cache.forget(None)?;
        }
        drop(alone);
        Ok(purged)
    }

    /// Superseded versions that were replaced before a time (in milliseconds since 1970-01-01 UTC).
    /// Versions of which it is not on record when are not among them.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn superseded_before(&self, time: u64) -> Result<Vec<ModelId>, RegistryError> {
        let times: BTreeMap<i64, u64> = self
            .operations()?
            .into_iter()
            .map(|row| (row.id, row.operation.time))
            .collect();
        Ok(self
            .models()?
            .into_iter()
            .filter(|row| row.state() == State::Superseded)
            .filter(|row| times.get(&row.superseded_by).is_some_and(|t| *t < time))
            .map(|row| row.vertex.id)
            .collect())
    }
}

/// The rows of the versions named.
fn chosen<'a>(
    rows: &'a [ModelRow],
    models: &[ModelId],
) -> Result<BTreeMap<ModelId, &'a ModelRow>, RegistryError> {
    let by_id: BTreeMap<&ModelId, &ModelRow> =
        rows.iter().map(|row| (&row.vertex.id, row)).collect();
    let mut chosen = BTreeMap::new();
    for id in models {
        let reason = match by_id.get(id).map(|row| (row, row.state())) {
            Some((row, State::Superseded)) => {
                chosen.insert(id.clone(), *row);
                continue;
            }
            Some((_, State::Current)) => {
                "is in use: only what a later version has replaced can be purged"
            }
            Some((_, State::Purged)) => "was purged already",
            None => "is not in this registry",
        };
        return Err(RegistryError::Refused(format!("`{id}` {reason}")));
    }
    Ok(chosen)
}
