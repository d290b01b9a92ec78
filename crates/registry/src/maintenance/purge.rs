//! Deleting for good what superseded versions remember.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::Serialize;
use umig::ModelId;

use crate::cards::row::CardRow;
use crate::catalog::publication::Publication;
use crate::catalog::rows::{ModelRow, State};
use crate::crash;
use crate::digest::Digest;
use crate::error::{PurgeRefusal, RegistryError};
use crate::ids::{ErasureId, OperationId};
use crate::log::record::{OperationRecord, PurgeRecord};
use crate::place::apart::Alone;
use crate::registry::Registry;
use crate::time::now;

/// What to delete, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// The versions; each must be superseded.
    pub models: Vec<ModelId>,
    /// Why, for the record.
    pub reason: String,
    /// The erasure request whose weights they are, which is purged with that.
    pub erasure: Option<ErasureId>,
    /// Say what would go, and delete nothing.
    pub dry_run: bool,
}

/// What was deleted, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// The operation; nothing in a dry run.
    pub operation: Option<OperationId>,
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

/// What a purge deletes.
struct Going {
    /// What is told of it.
    purged: Purged,
    cards: Vec<CardRow>,
    objects: BTreeSet<Digest>,
}

impl Registry {
    /// Deletes the weights, FIM cards and lists of samples of superseded versions, as far as no version that
    /// is left shares them, the cached features, and in a folder what requests that were stopped have kept
    /// (elsewhere it is unknown whether they are still running). The record stays: ids, digests,
    /// reason, time. First the catalog says so, then the objects go; what a kill in between leaves is
    /// garbage.
    ///
    /// # Errors
    /// [`RegistryError::CannotPurge`] for a version that is not there or still in use,
    /// [`RegistryError::Refused`] where the erasure request is not at that point,
    /// [`RegistryError::Busy`] when another process writes, or what the storage says.
    pub fn purge(&self, purge: &Purge) -> Result<Purged, RegistryError> {
        let alone = match purge.dry_run {
            true => None,
            false => Some(self.alone()?),
        };
        let Going {
            mut purged,
            cards,
            objects,
        } = self.going(&purge.models)?;
        if purge.dry_run {
            return Ok(purged);
        }
        // What lies in a pack that cannot be read would stay.
        self.blobs().check_packs()?;
        let record = OperationRecord::Purge(PurgeRecord {
            reason: purge.reason.clone(),
            models: purged.models.clone(),
            cards: purged.cards,
            objects: purged.objects,
            bytes: purged.bytes,
            erasure: purge.erasure,
        });
        let publication = Publication {
            purged: purge.models.clone(),
            dropped_cards: cards,
            ..Publication::new(now(), record)
        };
        if let Some(alone @ Alone::Leased(_)) = &alone {
            self.check_not_in_use(&objects, alone.before())?;
        }
        if self.blobs().on_disk() {
            self.wait(self.catalog().drop_drafts(now() + 1))?;
        }
        purged.operation = Some(self.commit(&publication)?);
        crash::point("purge after commit");
        self.wait(self.blobs().remove(objects))?;
        if let Some(cache) = self.feature_cache(0) {
            purged.features = cache.forget(None)?;
        }
        drop(alone);
        Ok(purged)
    }

    /// Refuses to remove objects that a process which is writing may be about to publish: those that were written
    /// after it began.
    fn check_not_in_use(
        &self,
        objects: &BTreeSet<Digest>,
        before: SystemTime,
    ) -> Result<(), RegistryError> {
        let stored = self.wait(self.blobs().list())?.into_iter();
        let mut going = stored.filter(|object| objects.contains(&object.digest));
        match going.any(|object| object.written >= before) {
            false => Ok(()),
            true => Err(RegistryError::Busy(self.address().into())),
        }
    }

    /// What purging these versions deletes.
    fn going(&self, models: &[ModelId]) -> Result<Going, RegistryError> {
        let rows = self.models()?;
        let chosen = chosen(&rows, models)?;
        let left: Vec<&ModelRow> = rows
            .iter()
            .filter(|row| !row.purged && !chosen.contains_key(&row.vertex.id))
            .collect();
        let alive: BTreeSet<Digest> = left.iter().map(|row| row.manifest).collect();
        let (cards, staying): (Vec<CardRow>, Vec<CardRow>) = self
            .all_cards()?
            .into_iter()
            .partition(|card| !alive.contains(&card.model));
        let mut needed = self.objects_for(left, &staying)?;
        needed.extend(self.needed_by_erasures()?);
        let mut all = self.objects_for(chosen.values().copied(), &cards)?;
        // A request that was stopped may have kept cards or weights of what goes.
        let drafted = self.needed_by_drafts()?;
        if !self.blobs().on_disk() {
            // Another process may be about to publish them.
            needed.extend(drafted.iter().copied());
        }
        let shared = all.intersection(&needed).count();
        all.extend(drafted);
        let objects: BTreeSet<Digest> = all.difference(&needed).copied().collect();
        let sizes = self.object_sizes()?;
        let purged = Purged {
            operation: None,
            models: chosen
                .values()
                .map(|row| (row.vertex.id.clone(), row.manifest))
                .collect(),
            cards: cards.len(),
            objects: objects.len(),
            bytes: objects.iter().filter_map(|digest| sizes.get(digest)).sum(),
            shared,
            features: 0,
        };
        Ok(Going {
            purged,
            cards,
            objects,
        })
    }

    /// Superseded versions that were replaced before a time (in milliseconds since 1970-01-01 UTC).
    /// Versions without such a record are not among them.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn superseded_before(&self, time: u64) -> Result<Vec<ModelId>, RegistryError> {
        let times: BTreeMap<OperationId, u64> = self
            .operations()?
            .into_iter()
            .map(|row| (row.id, row.time))
            .collect();
        Ok(self
            .models()?
            .into_iter()
            .filter(|row| row.state() == State::Superseded)
            .filter(|row| {
                row.superseded_by
                    .and_then(|id| times.get(&id))
                    .is_some_and(|t| *t < time)
            })
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
            Some((_, State::Current)) => PurgeRefusal::InUse,
            Some((_, State::Purged)) => PurgeRefusal::Purged,
            None => PurgeRefusal::Unknown,
        };
        return Err(RegistryError::CannotPurge {
            model: id.clone(),
            reason,
        });
    }
    Ok(chosen)
}
