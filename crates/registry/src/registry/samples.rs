//! Lists of samples in a registry: written when models are published, at hand when the graph is read.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use umig::{Forget, KeptSamples, SampleSet, Umig};

use crate::catalog::rows::{ModelRow, NewModel};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::registry::{Registry, graph_of};
use crate::samples::builder::Builder;
use crate::samples::key::{Mark, SampleKey};
use crate::samples::shelf::{KeptList, Shelf, unreadable};

/// The most ids that stay in the vertex of their model.
const INLINE: usize = 1000;

/// Lists read at a time.
const CONCURRENT: usize = 32;

/// The setting that says how ids are kept, where it is not in clear.
const SETTING: &str = "sample-ids";
const HASHED: &str = "hashed";

/// The setting with the key of hashed ids.
const KEY: &str = "sample-key";

impl Registry {
    /// Whether lists of samples keep hashes of the ids instead of the ids.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn hashes_sample_ids(&self) -> Result<bool, RegistryError> {
        Ok(self.setting(SETTING)?.as_deref() == Some(HASHED))
    }

    /// Says whether lists of samples that are written from now on keep hashes of the ids, under a key that
    /// the catalog has, instead of the ids. Lists that are there already stay as they are.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn set_hashes_sample_ids(&self, hashed: bool) -> Result<(), RegistryError> {
        if !hashed {
            return self.set(SETTING, "clear");
        }
        if self.sample_key()?.is_none() {
            let key = SampleKey::random()?.to_hex();
            self.wait(self.catalog().set_first(KEY, &key))?;
        }
        self.set(SETTING, HASHED)
    }

    /// The key of hashed ids, if there is one.
    pub(crate) fn sample_key(&self) -> Result<Option<SampleKey>, RegistryError> {
        let key = self.setting(KEY)?;
        key.map(|text| SampleKey::from_hex(&text)).transpose()
    }

    /// The key that lists are written with now; none where ids are kept in clear.
    fn writing_key(&self) -> Result<Option<SampleKey>, RegistryError> {
        if !self.hashes_sample_ids()? {
            return Ok(None);
        }
        let key = self.sample_key()?;
        key.map(Some).ok_or_else(|| RegistryError::Document {
            what: "key of sample ids".into(),
            reason: "it is gone, and ids are to be hashed with it".into(),
        })
    }

    /// Stores a list of samples with their ids in clear, whatever the registry does with lists of models: a
    /// request must still be able to say which samples it means.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn put_sample_list(&self, ids: &BTreeSet<String>) -> Result<KeptSamples, RegistryError> {
        self.writes()?;
        let writer = ListWriter {
            registry: self,
            key: None,
            rewritten: BTreeMap::new(),
        };
        writer.listed(ids)
    }

    /// The ids of a list that has them in clear.
    ///
    /// # Errors
    /// [`RegistryError`] when it cannot be read, or has only hashes of them.
    pub fn sample_ids(&self, kept: &KeptSamples) -> Result<BTreeSet<String>, RegistryError> {
        let digest: Digest = kept.list().parse()?;
        let list = Arc::new(KeptList::new(&self.shelf(false)?, digest, false));
        let ids = kept.clone().with_index(list).ids();
        let ids = ids.map_err(|error| unreadable(digest, error.to_string()))?;
        let hashed = || unreadable(digest, "it has only hashes of the ids".into());
        Ok(ids.ok_or_else(hashed)?.into_iter().collect())
    }

    /// A request as the log keeps it: where lists keep hashes of ids, it names samples by those too.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn logged(&self, forget: &Forget) -> Result<Forget, RegistryError> {
        Ok(match (forget, self.writing_key()?) {
            (Forget::Samples(ids), Some(key)) => {
                Forget::Samples(ids.iter().map(|id| key.written(id)).collect())
            }
            _ => forget.clone(),
        })
    }

    /// A request of the log with ids for the hashes that it names samples by: those ids of `data` that
    /// have them. A request that names no hash is as it was.
    ///
    /// # Errors
    /// [`RegistryError`] when the key that they were hashed with is gone.
    pub fn named<'f, 'i>(
        &self,
        forget: &'f Forget,
        data: impl IntoIterator<Item = &'i str>,
    ) -> Result<Cow<'f, Forget>, RegistryError> {
        let asked = match forget {
            Forget::Samples(asked) if asked.iter().any(|id| SampleKey::wrote(id)) => asked,
            _ => return Ok(Cow::Borrowed(forget)),
        };
        let key = self.sample_key()?.ok_or_else(|| RegistryError::Document {
            what: "key of sample ids".into(),
            reason: "it is gone, and the request names samples by hashes under it".into(),
        })?;
        let meant = |id: &&str| asked.contains(*id) || asked.contains(&key.written(id));
        let ids = data.into_iter().filter(meant).map(str::to_owned);
        Ok(Cow::Owned(Forget::Samples(ids.collect())))
    }

    /// The inheritance graph of all versions, for a request. Of one for single samples the beginnings of
    /// the lists of all current versions are read, many at a time: each of them will be asked.
    ///
    /// # Errors
    /// [`RegistryError`] when the catalog cannot be read or contradicts itself.
    pub fn graph_for(&self, forget: &Forget) -> Result<Umig, RegistryError> {
        let (mut models, edges) = self.wait(self.catalog().network())?;
        let lists = self.attach(&mut models)?;
        if matches!(forget, Forget::Samples(_)) {
            let current = lists.into_iter().filter(|(_, current)| *current);
            let reads = current.map(|(list, _)| async move { list.open().await.map(|_| ()) });
            // What cannot be read is told with its model when it is asked.
            self.wait(
                stream::iter(reads)
                    .buffer_unordered(CONCURRENT)
                    .for_each(|_| async {}),
            );
        }
        graph_of(models, edges)
    }

    /// Where lists lie, with the key of hashed ids where that is asked for.
    pub(crate) fn shelf(&self, hashed: bool) -> Result<Arc<Shelf>, RegistryError> {
        Ok(Arc::new(Shelf {
            blobs: self.blobs().clone(),
            runtime: Arc::clone(&self.runtime),
            key: if hashed { self.sample_key()? } else { None },
        }))
    }

    /// Gives the lists of these models what answers for them. Returns each list, and whether a current
    /// version has it.
    pub(crate) fn attach(
        &self,
        models: &mut [ModelRow],
    ) -> Result<Vec<(Arc<KeptList>, bool)>, RegistryError> {
        let hashed: Vec<bool> = models
            .iter()
            .flat_map(kept_of)
            .map(KeptSamples::is_hashed)
            .collect();
        if hashed.is_empty() {
            return Ok(Vec::new());
        }
        let shelf = self.shelf(hashed.contains(&true))?;
        let mut lists: HashMap<(Digest, bool), (Arc<KeptList>, bool)> = HashMap::new();
        for row in models {
            let (purged, current) = (row.purged, !row.vertex.superseded);
            for training in &mut row.vertex.training {
                if let SampleSet::Kept(kept) = &mut training.samples {
                    let digest: Digest = kept.list().parse()?;
                    let list = lists.entry((digest, purged)).or_insert_with(|| {
                        (Arc::new(KeptList::new(&shelf, digest, purged)), false)
                    });
                    list.1 |= current;
                    let index = Arc::clone(&list.0);
                    *kept = kept.clone().with_index(index);
                }
            }
        }
        Ok(lists.into_values().collect())
    }

    /// New models with their samples as they are kept: long lists, lists without the samples that were taken out, and
    /// in a registry that hashes ids all lists become objects. Nothing where all are as they should be.
    pub(crate) fn with_lists(
        &self,
        models: &[NewModel],
    ) -> Result<Option<Vec<NewModel>>, RegistryError> {
        let listed = |new: &NewModel| {
            let mut trainings = new.row.vertex.training.iter();
            trainings.any(|training| training.samples.is_listed())
        };
        if !models.iter().any(listed) {
            return Ok(None);
        }
        let mut writer = ListWriter {
            registry: self,
            key: self.writing_key()?,
            rewritten: BTreeMap::new(),
        };
        let mut models = models.to_vec();
        let mut changed = false;
        for new in &mut models {
            for training in &mut new.row.vertex.training {
                if let Some(samples) = writer.kept(&training.samples)? {
                    training.samples = samples;
                    changed = true;
                }
            }
        }
        Ok(changed.then_some(models))
    }
}

/// The lists that a version points at.
pub(crate) fn kept_of(row: &ModelRow) -> impl Iterator<Item = &KeptSamples> {
    let trainings = row.vertex.training.iter();
    trainings.filter_map(|training| match &training.samples {
        SampleSet::Kept(kept) => Some(kept),
        _ => None,
    })
}

/// Writes the lists of a publication.
struct ListWriter<'r> {
    registry: &'r Registry,
    /// The key that ids are hashed with, where they are.
    key: Option<SampleKey>,
    /// What became of lists, by digest and what was taken out: models of one network share theirs.
    rewritten: BTreeMap<(String, BTreeSet<String>), KeptSamples>,
}

impl ListWriter<'_> {
    /// Samples as they are kept; nothing where they are as they should be.
    fn kept(&mut self, samples: &SampleSet) -> Result<Option<SampleSet>, RegistryError> {
        match samples {
            SampleSet::Unknown | SampleSet::All => Ok(None),
            SampleSet::Listed(ids) if ids.len() <= INLINE && self.key.is_none() => Ok(None),
            SampleSet::Listed(ids) => self.listed(ids).map(SampleSet::Kept).map(Some),
            SampleSet::Kept(kept) => {
                let to_hash = self.key.is_some() && !kept.is_hashed();
                if kept.taken_out().is_empty() && !to_hash {
                    return Ok(None);
                }
                let name = (kept.list().to_owned(), kept.taken_out().clone());
                if let Some(known) = self.rewritten.get(&name) {
                    return Ok(Some(SampleSet::Kept(known.clone())));
                }
                let new = self.rewrite(kept)?;
                self.rewritten.insert(name, new.clone());
                Ok(Some(SampleSet::Kept(new)))
            }
        }
    }

    fn listed(&self, ids: &BTreeSet<String>) -> Result<KeptSamples, RegistryError> {
        if let Some(key) = &self.key {
            return self.marks(ids.iter().map(|id| key.mark(id.as_bytes())).collect(), key);
        }
        let (count, key) = (ids.len() as u64, SampleKey::public());
        let put = &mut |bytes| self.put(bytes);
        let mut builder = Builder::new(count, None, put);
        for id in ids {
            builder.push(id.as_bytes(), &key.mark(id.as_bytes()))?;
        }
        Ok(KeptSamples::new(
            builder.finish()?.to_string(),
            count,
            false,
        ))
    }

    fn marks(&self, mut marks: Vec<Mark>, key: &SampleKey) -> Result<KeptSamples, RegistryError> {
        marks.sort_unstable();
        let count = marks.len() as u64;
        let put = &mut |bytes| self.put(bytes);
        let mut builder = Builder::new(count, Some(key), put);
        for mark in &marks {
            builder.push(mark, mark)?;
        }
        Ok(KeptSamples::new(builder.finish()?.to_string(), count, true))
    }

    /// A list without what was taken out of it. Where ids are hashed now, so are those of a list in clear;
    /// marks stay marks.
    fn rewrite(&self, kept: &KeptSamples) -> Result<KeptSamples, RegistryError> {
        let digest: Digest = kept.list().parse()?;
        let list = KeptList::new(&self.registry.shelf(true)?, digest, false);
        let (index, mut marks) = (list.index()?, Vec::new());
        let (hashed, key) = (index.hashed, list.key(index)?);
        let gone = list.entries_of(kept.taken_out())?;
        if let (false, Some(new)) = (hashed, &self.key) {
            list.each(&mut |entry| {
                marks.extend((!gone.contains(entry)).then(|| new.mark(entry)));
                Ok(())
            })?;
            return self.marks(marks, new);
        }
        let count = index.count - gone.len() as u64;
        let put = &mut |bytes| self.put(bytes);
        let mut builder = Builder::new(count, hashed.then_some(&*key), put);
        list.each(&mut |entry| {
            if gone.contains(entry) {
                return Ok(());
            }
            let mark = match hashed {
                false => key.mark(entry),
                true => Mark::try_from(entry)
                    .map_err(|_| unreadable(digest, "an entry is no hash of 16 bytes".into()))?,
            };
            builder.push(entry, &mark)
        })?;
        Ok(KeptSamples::new(
            builder.finish()?.to_string(),
            count,
            hashed,
        ))
    }

    fn put(&self, bytes: Vec<u8>) -> Result<Digest, RegistryError> {
        self.registry.wait(self.registry.blobs().put(bytes))
    }
}
