//! The registry as one thing: blobs and a catalog.

mod open;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fiun::Estimator;
use futures::StreamExt;
use futures::stream::{self, TryStreamExt};
use tokio::runtime::Runtime;
use umig::{ModelId, Umig};

use crate::blobs::Blobs;
use crate::cache::FeatureCache;
use crate::card::{CardReader, FisherCard};
use crate::catalog::{CardRow, Catalog, ModelRow, Publication};
use crate::catalog::{Draft, Edge, Page, Snapshot};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::lock::Lock;
use crate::manifest::{Manifest, TensorRef};
use crate::operation::OperationRow;
use crate::{card, crash};
use disinherit_formats::{Tensor, TensorSource};

/// Blobs written or read at a time.
const CONCURRENT: usize = 16;

/// A registry of models.
pub struct Registry {
    path: Option<PathBuf>,
    address: String,
    actor: String,
    lock: Option<Lock>,
    pub(crate) blobs: Blobs,
    catalog: Arc<dyn Catalog>,
    runtime: Runtime,
}

impl Registry {
    /// The same registry, with the name of whoever uses it, for the log.
    #[must_use]
    pub fn used_by(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }

    /// Where it is, in words.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The registry's folder; `None` in memory and on shared storage.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Bytes of tensors, manifests and cards read and written since the registry was opened.
    pub fn traffic(&self) -> (u64, u64) {
        self.blobs.traffic()
    }

    /// The catalog.
    pub fn catalog(&self) -> &dyn Catalog {
        self.catalog.as_ref()
    }

    /// The inheritance graph of all versions.
    ///
    /// # Errors
    /// [`RegistryError`] when the catalog cannot be read or contradicts itself.
    pub fn graph(&self) -> Result<Umig, RegistryError> {
        let (models, edges) = self.runtime.block_on(self.catalog.network())?;
        graph_of(models, edges)
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
        let rows: Vec<ModelRow> = self.runtime.block_on(self.catalog.models())?;
        Ok(rows
            .into_iter()
            .map(|row| (row.vertex.id, row.manifest))
            .collect())
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

    /// Stores tensors and the manifest over them, and returns its digest. Nothing refers to it
    /// until it is published.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn put_model(
        &self,
        manifest: Manifest,
        tensors: BTreeMap<String, Tensor>,
    ) -> Result<Digest, RegistryError> {
        self.writes()?;
        self.runtime.block_on(self.put(manifest, tensors))
    }

    /// [`Registry::put_model`] for several, in their order. Many small files reach the disk sooner
    /// together than one after the other.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn put_models(
        &self,
        models: Vec<(Manifest, BTreeMap<String, Tensor>)>,
    ) -> Result<Vec<Digest>, RegistryError> {
        self.writes()?;
        self.runtime.block_on(
            stream::iter(models)
                .map(|(manifest, tensors)| self.put(manifest, tensors))
                .buffered(CONCURRENT)
                .try_collect(),
        )
    }

    /// Stores a model from where its tensors are, one tensor after the other: no more than one is in memory at a
    /// time.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn put_checkpoint(
        &self,
        mut manifest: Manifest,
        file: &dyn TensorSource,
    ) -> Result<Digest, RegistryError> {
        self.writes()?;
        for name in file.tensors().into_keys() {
            let tensor = file.tensor(&name)?;
            let reference = TensorRef {
                dtype: tensor.dtype,
                shape: tensor.shape,
                digest: self.runtime.block_on(self.blobs.put(tensor.bytes))?,
            };
            manifest.tensors.insert(name, reference);
        }
        self.runtime.block_on(self.put(manifest, BTreeMap::new()))
    }

    async fn put(
        &self,
        mut manifest: Manifest,
        tensors: BTreeMap<String, Tensor>,
    ) -> Result<Digest, RegistryError> {
        let stored: Vec<(String, TensorRef)> = stream::iter(tensors)
            .map(|(name, tensor)| async move {
                let reference = TensorRef {
                    dtype: tensor.dtype,
                    shape: tensor.shape,
                    digest: self.blobs.put(tensor.bytes).await?,
                };
                Ok::<_, RegistryError>((name, reference))
            })
            .buffer_unordered(CONCURRENT)
            .try_collect()
            .await?;
        manifest.tensors.extend(stored);
        let text = serde_json::to_vec(&manifest).map_err(|error| RegistryError::Document {
            what: "manifest".into(),
            reason: error.to_string(),
        })?;
        self.blobs.put(text).await
    }

    /// Stores a document that comes with a model, for its manifest to point at.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn put_document(&self, bytes: Vec<u8>) -> Result<Digest, RegistryError> {
        self.writes()?;
        self.runtime.block_on(self.blobs.put(bytes))
    }

    /// A document that came with a model.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn document(&self, digest: Digest) -> Result<Vec<u8>, RegistryError> {
        self.blob(digest)
    }

    /// A manifest by its digest.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn manifest(&self, digest: Digest) -> Result<Manifest, RegistryError> {
        let bytes = self.runtime.block_on(self.blobs.get(digest))?;
        serde_json::from_slice(&bytes).map_err(|error| RegistryError::Document {
            what: format!("manifest {digest}"),
            reason: error.to_string(),
        })
    }

    /// One stored tensor.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn tensor(&self, reference: &TensorRef) -> Result<Tensor, RegistryError> {
        let bytes = self.runtime.block_on(self.blobs.get(reference.digest))?;
        Ok(Tensor {
            dtype: reference.dtype,
            shape: reference.shape.clone(),
            bytes,
        })
    }

    /// All tensors of a manifest.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn tensors(&self, manifest: &Manifest) -> Result<BTreeMap<String, Tensor>, RegistryError> {
        manifest
            .tensors
            .iter()
            .map(|(name, reference)| Ok((name.clone(), self.tensor(reference)?)))
            .collect()
    }

    /// Stores a card, a blob for each part, and returns its row, to be published.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn put_card(&self, card: &FisherCard) -> Result<CardRow, RegistryError> {
        let parts = card::parts(card)?;
        self.writes()?;
        self.runtime.block_on(async {
            let mut digests = BTreeMap::new();
            for (part, bytes) in parts {
                digests.insert(part, self.blobs.put(bytes).await?);
            }
            let index = card::Index::new(card.header.clone(), digests);
            let text = serde_json::to_vec(&index)
                .map_err(|error| RegistryError::Card(error.to_string()))?;
            Ok(CardRow {
                model: card.header.model,
                estimator: card.header.estimator.to_string(),
                blob: self.blobs.put(text).await?,
            })
        })
    }

    /// The card of a model with this estimator, if there is one. Its values are read when they are
    /// asked for.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn card(
        &self,
        model: Digest,
        estimator: Estimator,
    ) -> Result<Option<CardReader>, RegistryError> {
        let name = estimator.to_string();
        let row = self
            .cards(model)?
            .into_iter()
            .find(|row| row.estimator == name);
        row.map(|row| self.card_of(&row)).transpose()
    }

    /// The rows of all cards of a model.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn cards(&self, model: Digest) -> Result<Vec<CardRow>, RegistryError> {
        self.runtime.block_on(self.catalog.cards(Some(model)))
    }

    /// The card that a row speaks of.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn card_of(&self, row: &CardRow) -> Result<CardReader, RegistryError> {
        let reader = CardReader::open(&self.blob(row.blob)?)?;
        if reader.header().model != row.model {
            return Err(RegistryError::Card("it speaks of another model".into()));
        }
        Ok(reader)
    }

    /// Whether an object is there.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn has(&self, digest: Digest) -> Result<bool, RegistryError> {
        self.runtime.block_on(self.blobs.has(digest))
    }

    /// Bytes by their digest.
    pub(crate) fn blob(&self, digest: Digest) -> Result<Vec<u8>, RegistryError> {
        self.runtime.block_on(self.blobs.get(digest))
    }

    /// The cache of features beside the blobs, of at most `limit` bytes; none in memory.
    pub fn feature_cache(&self, limit: u64) -> Option<FeatureCache> {
        let path = self.path.as_ref()?;
        Some(FeatureCache::new(path.join("cache"), limit))
    }

    /// The operation log, oldest first.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn operations(&self) -> Result<Vec<OperationRow>, RegistryError> {
        self.runtime.block_on(self.catalog.operations())
    }

    /// Makes everything that one operation made visible at once, or nothing.
    ///
    /// # Errors
    /// [`RegistryError::Conflict`] when a version exists already or is not in the state that it is
    /// taken for, or what the catalog says.
    pub fn publish(&self, publication: &Publication) -> Result<i64, RegistryError> {
        self.writes()?;
        self.commit(publication)
    }

    /// [`Registry::publish`] for whoever keeps the others out already.
    pub(crate) fn commit(&self, publication: &Publication) -> Result<i64, RegistryError> {
        crash::point("publish");
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

    /// The cards of all models.
    pub(crate) fn all_cards(&self) -> Result<Vec<CardRow>, RegistryError> {
        self.runtime.block_on(self.catalog.cards(None))
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

    /// Keeps those away who remove objects.
    pub(crate) fn writes(&self) -> Result<(), RegistryError> {
        self.lock.as_ref().map_or(Ok(()), Lock::share)
    }

    /// Keeps all writers away until what is returned goes; nothing to hold on shared storage.
    pub(crate) fn alone(&self) -> Result<Option<std::fs::File>, RegistryError> {
        self.lock.as_ref().map(Lock::alone).transpose()
    }
}

impl Drop for Registry {
    /// Nothing is left open: whoever copies the folder next finds all of it in its files.
    fn drop(&mut self) {
        self.runtime.block_on(self.catalog.close());
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
    Ok(graph)
}
