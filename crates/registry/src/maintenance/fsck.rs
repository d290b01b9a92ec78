//! Checking that everything is what it was, and repairing what can be.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use futures::stream;
use serde::Serialize;
use umig::ModelId;

use crate::cards::row::CardRow;
use crate::catalog::contract::Snapshot;
use crate::catalog::publication::Publication;
use crate::catalog::rows::ModelRow;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::log::record::{FsckRecord, OperationRecord};
use crate::maintenance::{history, replay};
use crate::objects::read::ReadObject;
use crate::objects::tensor_refs::TensorRef;
use crate::registry::{Registry, graph_of};
use crate::time::now;

/// Objects read at a time.
const CONCURRENT: usize = 8;

/// Something that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// What is wrong, and where.
    pub what: String,
    /// The versions that it concerns.
    pub models: BTreeSet<ModelId>,
    /// How it was repaired, if it was.
    pub repaired: Option<String>,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Versions looked at; of purged ones only the record is left.
    pub models: usize,
    /// FIM cards looked at.
    pub cards: usize,
    /// Erasure requests looked at.
    #[serde(skip_serializing_if = "is_zero")]
    pub erasures: usize,
    /// Entries of the log looked at.
    pub operations: usize,
    /// Objects read.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that nothing speaks of (`gc` removes them).
    pub garbage: usize,
    /// What is not what it was.
    pub damages: Vec<Damage>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Health {
    /// Whether nothing is wrong any more.
    pub fn is_sound(&self) -> bool {
        self.damages.iter().all(|damage| damage.repaired.is_some())
    }
}

/// A check on its way.
pub(super) struct Check<'a> {
    pub(super) registry: &'a Registry,
    from: Option<&'a Registry>,
    repair: bool,
    pub(super) rows: Vec<ModelRow>,
    health: Health,
    /// Objects read, and whether they are whole.
    known: BTreeMap<Digest, bool>,
}

impl Registry {
    /// Reads everything: every object against its digest, every tensor against its shape, every
    /// list of samples, every card, the graph, the chain of the log, and the catalog against the log. With `repair`,
    /// objects are fetched from another registry (`from`) where it has them, and cards that cannot
    /// be read are taken out, since they can be computed again. `progress` is told objects read and
    /// objects there are.
    ///
    /// # Errors
    /// [`RegistryError`] when the catalog or the storage cannot be used at all; what is damaged is no
    /// error but a [`Damage`].
    pub fn check(
        &self,
        repair: bool,
        from: Option<&Self>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Health, RegistryError> {
        // No process removes objects meanwhile. Where this may not be written, none here can anyway.
        let _ = self.writes();
        let Snapshot {
            models,
            edges,
            cards,
            operations,
            erasures,
        } = self.snapshot()?;
        let graph = graph_of(models.clone(), edges);
        let mut check = Check {
            registry: self,
            from,
            repair,
            rows: models,
            health: Health::default(),
            known: BTreeMap::new(),
        };
        check.health.operations = operations.len();
        check.health.erasures = erasures.len();
        for (what, models) in history::contradictions(&operations, &check.rows) {
            check.found(what, models);
        }
        for what in replay::contradictions(&operations, &erasures) {
            check.found(what, BTreeSet::new());
        }
        if let Err(error) = graph {
            check.found(error.to_string(), BTreeSet::new());
        }
        check.models(progress)?;
        check.samples(progress)?;
        check.erasures(&erasures)?;
        check.cards(cards)?;
        check.packs()?;
        let mut health = check.health;
        if health.is_sound() {
            health.garbage = self.unneeded(self.abandoned_before()?)?.0.len();
        }
        Ok(health)
    }
}

impl Check<'_> {
    pub(super) fn found(&mut self, what: String, models: BTreeSet<ModelId>) {
        self.health.damages.push(Damage {
            what,
            models,
            repaired: None,
        });
    }

    fn models(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), RegistryError> {
        self.health.models = self.rows.len();
        let mut users: BTreeMap<Digest, BTreeSet<ModelId>> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| !row.purged) {
            let id = row.vertex.id.clone();
            users.entry(row.manifest).or_default().insert(id);
        }
        self.objects(&users, &mut |_, _| {})?;
        let mut objects: BTreeMap<Digest, BTreeSet<ModelId>> = BTreeMap::new();
        let mut shapes: Vec<(TensorRef, String, BTreeSet<ModelId>)> = Vec::new();
        for (digest, models) in users {
            if !self.is_whole(digest) {
                continue;
            }
            match self.registry.manifest(digest) {
                Ok(manifest) => {
                    for digest in manifest.objects() {
                        let entry = objects.entry(digest).or_default();
                        entry.extend(models.iter().cloned());
                    }
                    for (name, tensor) in manifest.tensors.iter() {
                        shapes.push((tensor.clone(), name.to_owned(), models.clone()));
                    }
                }
                Err(error) => self.found(error.to_string(), models),
            }
        }
        self.objects(&objects, progress)?;
        let sizes = self.registry.object_sizes()?;
        for (tensor, name, models) in shapes {
            let expected = tensor.bytes();
            let size = sizes.get(&tensor.digest).copied();
            if size.is_some() && size != expected {
                let what = format!(
                    "the tensor `{name}` has {} bytes, its shape {:?} needs {}",
                    size.unwrap_or_default(),
                    tensor.shape,
                    expected.map_or("more than there can be".into(), |n| n.to_string())
                );
                self.found(what, models);
            }
        }
        Ok(())
    }

    /// Whether an object was read and is whole.
    pub(super) fn is_whole(&self, digest: Digest) -> bool {
        self.known.get(&digest).is_some_and(|whole| *whole)
    }

    /// Reads objects and compares them with their digests.
    pub(super) fn objects(
        &mut self,
        users: &BTreeMap<Digest, BTreeSet<ModelId>>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), RegistryError> {
        let registry = self.registry;
        let todo: Vec<Digest> = users
            .keys()
            .filter(|digest| !self.known.contains_key(digest))
            .copied()
            .collect();
        let (total, mut done) = (todo.len() as u64, 0);
        let mut broken = Vec::new();
        registry.wait(async {
            let mut reads = stream::iter(todo)
                .map(|digest| async move {
                    let read = registry.blobs().get(digest).await;
                    (digest, read.map(|bytes| bytes.len() as u64))
                })
                .buffer_unordered(CONCURRENT);
            while let Some((digest, read)) = reads.next().await {
                done += 1;
                progress(done, total);
                self.known.insert(digest, read.is_ok());
                match read {
                    Ok(size) => {
                        self.health.objects += 1;
                        self.health.bytes += size;
                    }
                    Err(error) => broken.push((digest, error)),
                }
            }
        });
        broken.sort_by_key(|(digest, _)| *digest);
        for (digest, error) in broken {
            let repaired = self.fetched(digest)?;
            if repaired.is_some() {
                self.known.insert(digest, true);
            }
            self.health.damages.push(Damage {
                what: error.to_string(),
                models: users.get(&digest).cloned().unwrap_or_default(),
                repaired,
            });
        }
        Ok(())
    }

    /// Fetches an object from the other registry, if it has it.
    fn fetched(&self, digest: Digest) -> Result<Option<String>, RegistryError> {
        let Some(from) = self.from.filter(|_| self.repair) else {
            return Ok(None);
        };
        let Ok(bytes) = from.object(digest) else {
            return Ok(None);
        };
        self.registry.wait(async {
            self.registry.blobs().put(bytes).await?;
            self.registry.blobs().sync().await
        })?;
        Ok(Some(format!("fetched from {}", from.address())))
    }

    /// Names packs that cannot be read. One is removed in a repair, once all that is needed is there without it.
    fn packs(&mut self) -> Result<(), RegistryError> {
        let repair = self.repair && self.health.is_sound();
        for (pack, reason) in self.registry.blobs().broken_packs() {
            self.found(
                RegistryError::Pack { pack, reason }.to_string(),
                BTreeSet::new(),
            );
            if repair {
                self.registry
                    .wait(self.registry.blobs().remove_pack(pack))?;
                let last = self.health.damages.len() - 1;
                self.health.damages[last].repaired =
                    Some("removed; all that is needed lies elsewhere".into());
            }
        }
        Ok(())
    }

    fn cards(&mut self, cards: Vec<CardRow>) -> Result<(), RegistryError> {
        self.health.cards = cards.len();
        let mut lost: Vec<CardRow> = Vec::new();
        let mut taken_out = Vec::new();
        for card in cards {
            let models: BTreeSet<ModelId> = self
                .rows
                .iter()
                .filter(|row| row.manifest == card.model)
                .map(|row| row.vertex.id.clone())
                .collect();
            let mut objects = BTreeSet::from([card.blob]);
            if let Ok(reader) = self.registry.card_of(&card) {
                objects.extend(reader.parts());
            }
            if self.from.is_some() && self.repair {
                let users = objects.iter().map(|d| (*d, models.clone())).collect();
                self.objects(&users, &mut |_, _| {})?;
            }
            let read = self
                .registry
                .card_of(&card)
                .and_then(|reader| reader.card(self.registry));
            let Err(error) = read else {
                self.health.objects += objects.len();
                continue;
            };
            self.found(format!("the FIM card: {error}"), models);
            taken_out.push(self.health.damages.len() - 1);
            lost.push(card);
        }
        if self.repair && !lost.is_empty() {
            let record = OperationRecord::Fsck(FsckRecord {
                dropped_cards: lost.clone(),
            });
            let publication = Publication {
                dropped_cards: lost,
                ..Publication::new(now(), record)
            };
            self.registry.publish(&publication)?;
            for index in taken_out {
                self.health.damages[index].repaired =
                    Some("taken out; it can be computed again".into());
            }
        }
        Ok(())
    }
}
