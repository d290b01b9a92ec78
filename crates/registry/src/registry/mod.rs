//! The registry as one thing: blobs and a catalog.

mod cards;
pub(crate) mod erasures;
mod models;
mod open;
pub(crate) mod samples;
mod service;
pub(crate) mod streams;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::runtime::Runtime;
use umig::{ModelId, Umig};

use crate::catalog::contract::{Catalog, Snapshot};
use crate::catalog::publication::Publication;
use crate::catalog::rows::{Draft, Edge, ManifestRow, ModelRow, Page};
use crate::crash;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::ids::{OperationId, RequestId};
use crate::log::entry::OperationRow;
use crate::log::retired::retired_versions;
use crate::objects::blobs::Blobs;
use crate::objects::features::FeatureCache;
use crate::objects::read::ReadObject;
use crate::objects::shelf::Shelf;
use crate::place::apart::{Alone, Apart};

/// The setting that says how long superseded versions are kept.
const RETENTION: &str = "retention";

/// Its value where there is no end.
const FOREVER: &str = "forever";

/// A registry of models.
pub struct Registry {
    path: Option<PathBuf>,
    address: String,
    actor: String,
    apart: Apart,
    blobs: Blobs,
    catalog: Arc<dyn Catalog>,
    runtime: Arc<Runtime>,
    /// Counts the users that share the connections.
    users: Arc<()>,
}

impl Registry {
    /// The same registry, with the name of its user, for the log.
    #[must_use]
    pub fn used_by(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }

    /// The same registry for another user, over the same connections. What one of the two writes keeps
    /// the other from removing objects, as if it were another process.
    #[must_use]
    pub fn acting_for(&self, actor: impl Into<String>) -> Self {
        let blobs = self.blobs.fresh();
        Self {
            path: self.path.clone(),
            address: self.address.clone(),
            actor: actor.into(),
            apart: Apart::new(
                self.path.as_deref(),
                &self.catalog,
                &self.runtime,
                &self.address,
                &blobs,
            ),
            blobs,
            catalog: Arc::clone(&self.catalog),
            runtime: Arc::clone(&self.runtime),
            users: Arc::clone(&self.users),
        }
    }

    /// Where it is, in words.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The registry's folder; `None` in memory and on shared storage.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether its objects are on shared storage, so that each takes the network's time to read or write.
    pub fn is_remote(&self) -> bool {
        self.blobs.is_remote()
    }

    /// Bytes of tensors, manifests and cards read and written since the registry was opened.
    pub fn traffic(&self) -> (u64, u64) {
        self.blobs.traffic()
    }

    /// The catalog.
    pub fn catalog(&self) -> &dyn Catalog {
        self.catalog.as_ref()
    }

    /// The objects.
    pub(crate) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// The size of every object that there is.
    pub(crate) fn object_sizes(&self) -> Result<BTreeMap<Digest, u64>, RegistryError> {
        let stored = self.runtime.block_on(self.blobs.list())?.into_iter();
        Ok(stored.map(|object| (object.digest, object.size)).collect())
    }

    /// The inheritance graph of all versions. Lists of samples are read when they are asked, from this
    /// registry.
    ///
    /// # Errors
    /// [`RegistryError`] when the catalog cannot be read or contradicts itself.
    pub fn graph(&self) -> Result<Umig, RegistryError> {
        let (mut models, edges) = self.runtime.block_on(self.catalog.network())?;
        self.attach(&mut models)?;
        graph_of(models, edges)
    }

    /// What the catalog has of some models, without edges, and without the lists of samples: of an id that very
    /// version, of a name the newest version and the newest that is not superseded. Names are found in it as in the
    /// whole graph, whose other models are not read.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn excerpt<'t>(
        &self,
        names: impl IntoIterator<Item = &'t str>,
    ) -> Result<Umig, RegistryError> {
        let (mut ids, mut whole) = (BTreeSet::new(), BTreeSet::new());
        for text in names {
            match text.parse::<ModelId>() {
                Ok(id) => {
                    ids.insert(id);
                }
                // No model has what is no name.
                Err(_) if ModelId::new(text, 1).is_ok() => {
                    whole.insert(text.to_owned());
                }
                Err(_) => {}
            }
        }
        let (ids, whole): (Vec<_>, Vec<_>) = (Vec::from_iter(ids), Vec::from_iter(whole));
        let rows = self.runtime.block_on(async {
            let mut rows = self.catalog.newest(&whole).await?;
            rows.extend(self.catalog.some_models(&ids).await?);
            Ok::<_, RegistryError>(rows)
        })?;
        let rows: BTreeMap<ModelId, ModelRow> = rows
            .into_iter()
            .map(|row| (row.vertex.id.clone(), row))
            .collect();
        graph_of(rows.into_values().collect(), Vec::new())
    }

    /// Everything that the catalog has, as of one moment.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, RegistryError> {
        self.runtime.block_on(self.catalog.snapshot())
    }

    /// The manifest digests of all versions.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn digests(&self) -> Result<BTreeMap<ModelId, Digest>, RegistryError> {
        let rows = self.manifests()?.into_iter();
        Ok(rows.map(|row| (row.id, row.manifest)).collect())
    }

    /// The manifests of all versions, in the order of their publication: much less to read than
    /// [`Registry::models`].
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn manifests(&self) -> Result<Vec<ManifestRow>, RegistryError> {
        self.runtime.block_on(self.catalog.manifests())
    }

    /// The manifest digest of one version, if there is such a version.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn digest(&self, id: &ModelId) -> Result<Option<Digest>, RegistryError> {
        Ok(self.model(id)?.map(|row| row.manifest))
    }

    /// What the catalog has of one version, if there is such a version.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn model(&self, id: &ModelId) -> Result<Option<ModelRow>, RegistryError> {
        self.runtime.block_on(self.catalog.model(id))
    }

    /// All versions, in the order of their publication.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn models(&self) -> Result<Vec<ModelRow>, RegistryError> {
        self.runtime.block_on(self.catalog.models())
    }

    /// Some versions, by name and version.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn page(&self, page: &Page) -> Result<Vec<ModelRow>, RegistryError> {
        self.runtime.block_on(self.catalog.page(page))
    }

    /// The versions among some rows that were taken out of use and that nothing replaces, each with the request
    /// that did it. Of the log only the entries are read that may have.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn retired<'r>(
        &self,
        rows: impl IntoIterator<Item = &'r ModelRow>,
    ) -> Result<BTreeMap<ModelId, RequestId>, RegistryError> {
        let rows = rows.into_iter().filter(|row| row.vertex.superseded);
        let rows: Vec<&ModelRow> = rows.collect();
        let ids: Vec<ModelId> = rows.iter().map(|row| row.vertex.id.clone()).collect();
        let replaced = self.wait(self.catalog.replaced(&ids))?;
        let gone = rows
            .into_iter()
            .filter(|row| !replaced.contains(&row.vertex.id));
        let gone: BTreeMap<&ModelId, Option<OperationId>> = gone
            .map(|row| (&row.vertex.id, row.superseded_by))
            .collect();
        let by: Option<BTreeSet<OperationId>> = gone.values().copied().collect();
        let log = match by {
            Some(by) => {
                let by: Vec<OperationId> = by.into_iter().collect();
                self.wait(self.catalog.operations_of(&by))?
            }
            // Some were replaced before operations were recorded with their versions.
            None => self.operations()?,
        };
        let mut retired = retired_versions(&log);
        retired.retain(|id, _| gone.contains_key(id));
        Ok(retired)
    }

    /// Whether an object is there.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn has(&self, digest: Digest) -> Result<bool, RegistryError> {
        self.runtime.block_on(self.blobs.has(digest))
    }

    /// The cache of features beside the blobs, of at most `limit` bytes; none in memory. On shared storage all
    /// processes share it.
    pub fn feature_cache(&self, limit: u64) -> Option<FeatureCache> {
        let shelf = match &self.path {
            Some(path) => Shelf::Folder(path.join("cache")),
            None if self.is_remote() => {
                Shelf::Storage(self.blobs.objects(), Arc::clone(&self.runtime))
            }
            None => return None,
        };
        Some(FeatureCache::new(shelf, limit))
    }

    /// The operation log, oldest first.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn operations(&self) -> Result<Vec<OperationRow>, RegistryError> {
        self.runtime.block_on(self.catalog.operations())
    }

    /// Makes everything that one operation made visible at once, or nothing. Long lists of samples become
    /// objects, and in a registry that hashes ids ([`Registry::set_hashes_sample_ids`]) all lists.
    ///
    /// # Errors
    /// [`RegistryError::Conflict`] when a version exists already or is not in the state that it is
    /// taken for, or what the catalog says.
    pub fn publish(&self, publication: &Publication) -> Result<OperationId, RegistryError> {
        self.writes()?;
        match self.with_lists(&publication.models)? {
            None => self.commit(publication),
            Some(models) => self.commit(&publication.with_models(models)),
        }
    }

    /// [`Registry::publish`] for a caller that keeps the others out already.
    pub(crate) fn commit(&self, publication: &Publication) -> Result<OperationId, RegistryError> {
        crash::point("publish");
        self.apart.check()?;
        self.runtime.block_on(async {
            // Nothing may be visible that a loss of power could still take away.
            self.blobs.sync().await?;
            crash::point("publish after sync");
            self.catalog.publish(publication, &self.actor).await
        })
    }

    /// Keeps finished tasks of a request, so that a run that is stopped can take them up.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn keep_drafts(&self, request: &str, drafts: &[Draft]) -> Result<(), RegistryError> {
        self.apart.check()?;
        self.runtime.block_on(async {
            self.blobs.sync().await?;
            self.catalog.keep_drafts(request, drafts).await
        })?;
        crash::point("draft");
        Ok(())
    }

    /// The finished tasks of a request that has not been published.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn drafts(&self, request: &str) -> Result<Vec<Draft>, RegistryError> {
        self.runtime.block_on(self.catalog.drafts(Some(request)))
    }

    /// A setting of the registry.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn setting(&self, name: &str) -> Result<Option<String>, RegistryError> {
        self.runtime.block_on(self.catalog.setting(name))
    }

    /// Changes a setting of the registry.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn set(&self, name: &str, value: &str) -> Result<(), RegistryError> {
        self.runtime.block_on(self.catalog.set(name, value))
    }

    /// A setting of the registry, which is this value where it had none. Of several who ask at once, all get the same.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn setting_or(&self, name: &str, first: &str) -> Result<String, RegistryError> {
        self.runtime.block_on(async {
            self.catalog.set_first(name, first).await?;
            let kept = self.catalog.setting(name).await?;
            Ok(kept.unwrap_or_else(|| first.to_owned()))
        })
    }

    /// How long superseded versions are kept before they are due for a purge, as it was written (`30d`); `None`
    /// where they are kept until they are purged by name.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn retention(&self) -> Result<Option<String>, RegistryError> {
        let kept = self.setting(RETENTION)?;
        Ok(kept.filter(|keep| keep != FOREVER))
    }

    /// Says how long superseded versions are kept before they are due for a purge: a length of time as front ends
    /// read it, or `None` for no end.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn set_retention(&self, keep: Option<&str>) -> Result<(), RegistryError> {
        self.set(RETENTION, keep.unwrap_or(FOREVER))
    }

    /// The finished tasks of all requests that have not been published.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn all_drafts(&self) -> Result<Vec<Draft>, RegistryError> {
        self.runtime.block_on(self.catalog.drafts(None))
    }

    /// Runs to the end what the lower layers do.
    pub(crate) fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }

    /// Says that this process is about to write, which it otherwise says when it first does: on shared storage that takes
    /// round trips to the catalog, and other work can be done meanwhile. Waits while objects are removed.
    ///
    /// # Errors
    /// [`RegistryError::Busy`] when that takes too long, or what the catalog says.
    pub fn begin_to_write(&self) -> Result<(), RegistryError> {
        self.writes()
    }

    /// Keeps away other processes that remove objects.
    pub(crate) fn writes(&self) -> Result<(), RegistryError> {
        self.apart.share()
    }

    /// Keeps all writers away until what is returned goes.
    pub(crate) fn alone(&self) -> Result<Alone, RegistryError> {
        self.apart.alone()
    }

    /// Objects that nothing speaks of and that were written before this belong to no process.
    pub(crate) fn abandoned_before(&self) -> Result<SystemTime, RegistryError> {
        self.apart.abandoned_before()
    }
}

impl ReadObject for Registry {
    fn object(&self, digest: Digest) -> Result<Vec<u8>, RegistryError> {
        self.runtime.block_on(self.blobs.get(digest))
    }

    fn object_file(&self, digest: Digest) -> Result<Option<PathBuf>, RegistryError> {
        self.blobs.file(digest)
    }
}

impl Drop for Registry {
    /// Nothing is left open: a copy of the folder has all of it in its files.
    fn drop(&mut self) {
        self.apart.end();
        // Another user's is still open otherwise.
        if Arc::strong_count(&self.users) == 1 {
            self.runtime.block_on(self.catalog.close());
        }
    }
}

/// The graph that rows and edges describe.
///
/// # Errors
/// [`RegistryError::Document`] when they contradict each other.
pub(crate) fn graph_of(models: Vec<ModelRow>, edges: Vec<Edge>) -> Result<Umig, RegistryError> {
    let contradiction = |error: umig::GraphError| RegistryError::Document {
        what: "graph".into(),
        reason: error.to_string(),
    };
    let mut graph = Umig::new();
    for row in models {
        graph.add(row.vertex, []).map_err(contradiction)?;
    }
    for (parent, child, relation) in edges {
        graph
            .add_edge(&parent, &child, relation)
            .map_err(contradiction)?;
    }
    tracing::debug!(models = graph.len(), "the graph was read");
    Ok(graph)
}
