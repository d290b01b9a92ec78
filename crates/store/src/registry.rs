//! The registry as one thing: a folder with blobs and a catalog.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fiun::Estimator;
use futures::StreamExt;
use futures::stream::{self, TryStreamExt};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use umig::{ModelId, Umig};

use crate::sqlite::SqliteCatalog;
use crate::{
    Blobs, CardReader, CardRow, Catalog, Digest, FeatureCache, FisherCard, Manifest, ModelRow,
    OperationRow, Publication, StoreError, Tensor, TensorRef, card,
};

/// The registry format that this version writes, and the newest that it reads.
pub const FORMAT: u64 = 1;

const FOLDER: &str = ".disinherit";
const MARKER: &str = "registry.json";

/// Blobs written or read at a time.
const CONCURRENT: usize = 16;

#[derive(Serialize, Deserialize)]
struct Marker {
    format: u64,
    tool: String,
}

/// A registry of models.
pub struct Registry {
    path: Option<PathBuf>,
    blobs: Blobs,
    catalog: Arc<dyn Catalog>,
    runtime: Runtime,
}

impl Registry {
    /// Makes a registry in `folder/.disinherit`.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is one already, or [`StoreError::Io`].
    pub fn create(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FOLDER);
        if path.join(MARKER).exists() {
            return Err(StoreError::Exists(path));
        }
        let objects = path.join("objects");
        std::fs::create_dir_all(&objects).map_err(StoreError::io("make", &objects))?;
        let marker = Marker {
            format: FORMAT,
            tool: format!("disinherit {}", env!("CARGO_PKG_VERSION")),
        };
        let text = serde_json::to_vec_pretty(&marker).map_err(|error| StoreError::Document {
            what: MARKER.into(),
            reason: error.to_string(),
        })?;
        // The catalog first, the marker last: without the marker there is no registry yet.
        let registry = Self::connect(&path)?;
        let mut file =
            tempfile::NamedTempFile::new_in(&path).map_err(StoreError::io("write into", &path))?;
        std::io::Write::write_all(&mut file, &text).map_err(StoreError::io("write", &path))?;
        let target = path.join(MARKER);
        file.persist(&target)
            .map_err(|error| StoreError::io("write", &target)(error.error))?;
        Ok(registry)
    }

    /// Opens the registry in `folder/.disinherit`, or in `folder` itself.
    ///
    /// # Errors
    /// [`StoreError::NoRegistry`], [`StoreError::Newer`], or what reading it says.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let inside = folder.join(FOLDER);
        let path = if folder.join(MARKER).exists() {
            folder.to_owned()
        } else {
            inside
        };
        let marker = path.join(MARKER);
        let text = match std::fs::read(&marker) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::NoRegistry(folder.to_owned()));
            }
            other => other.map_err(StoreError::io("read", &marker))?,
        };
        let marker: Marker =
            serde_json::from_slice(&text).map_err(|error| StoreError::Document {
                what: MARKER.into(),
                reason: error.to_string(),
            })?;
        if marker.format > FORMAT {
            return Err(StoreError::Newer {
                path,
                found: marker.format,
                known: FORMAT,
            });
        }
        Self::connect(&path)
    }

    /// The nearest registry at or above `start`, as git finds its own.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn discover(start: &Path) -> Result<Self, StoreError> {
        let full = start
            .canonicalize()
            .map_err(StoreError::io("read", start))?;
        let found = full
            .ancestors()
            .find(|folder| folder.join(FOLDER).join(MARKER).exists());
        match found {
            Some(folder) => Self::open(folder),
            None => Err(StoreError::NoRegistry(start.to_owned())),
        }
    }

    /// A registry in memory.
    ///
    /// # Errors
    /// [`StoreError::Catalog`].
    pub fn in_memory() -> Result<Self, StoreError> {
        let runtime = runtime()?;
        let catalog = runtime.block_on(SqliteCatalog::in_memory())?;
        Ok(Self {
            path: None,
            blobs: Blobs::in_memory(),
            catalog: Arc::new(catalog),
            runtime,
        })
    }

    fn connect(path: &Path) -> Result<Self, StoreError> {
        let runtime = runtime()?;
        let catalog = runtime.block_on(SqliteCatalog::open(&path.join("catalog.sqlite")))?;
        Ok(Self {
            blobs: Blobs::in_folder(&path.join("objects"))?,
            path: Some(path.to_owned()),
            catalog: Arc::new(catalog),
            runtime,
        })
    }

    /// The registry's folder; `None` in memory.
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
    /// [`StoreError`] when the catalog cannot be read or contradicts itself.
    pub fn graph(&self) -> Result<Umig, StoreError> {
        let (models, edges) = self.runtime.block_on(async {
            Ok::<_, StoreError>((self.catalog.models().await?, self.catalog.edges().await?))
        })?;
        let contradiction = |error: umig::GraphError| StoreError::Document {
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

    /// The manifest digests of all versions.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn digests(&self) -> Result<BTreeMap<ModelId, Digest>, StoreError> {
        let rows: Vec<ModelRow> = self.runtime.block_on(self.catalog.models())?;
        Ok(rows
            .into_iter()
            .map(|row| (row.vertex.id, row.manifest))
            .collect())
    }

    /// The manifest digest of one version, if there is such a version.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn digest(&self, id: &ModelId) -> Result<Option<Digest>, StoreError> {
        self.runtime.block_on(self.catalog.manifest(id))
    }

    /// Stores tensors and the manifest over them, and returns its digest. Nothing refers to it
    /// until it is published.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_model(
        &self,
        manifest: Manifest,
        tensors: BTreeMap<String, Tensor>,
    ) -> Result<Digest, StoreError> {
        self.runtime.block_on(self.put(manifest, tensors))
    }

    /// [`Registry::put_model`] for several, in their order. Many small files reach the disk sooner
    /// together than one after the other.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_models(
        &self,
        models: Vec<(Manifest, BTreeMap<String, Tensor>)>,
    ) -> Result<Vec<Digest>, StoreError> {
        self.runtime.block_on(
            stream::iter(models)
                .map(|(manifest, tensors)| self.put(manifest, tensors))
                .buffered(CONCURRENT)
                .try_collect(),
        )
    }

    async fn put(
        &self,
        mut manifest: Manifest,
        tensors: BTreeMap<String, Tensor>,
    ) -> Result<Digest, StoreError> {
        let stored: Vec<(String, TensorRef)> = stream::iter(tensors)
            .map(|(name, tensor)| async move {
                let reference = TensorRef {
                    dtype: tensor.dtype,
                    shape: tensor.shape,
                    digest: self.blobs.put(tensor.bytes).await?,
                };
                Ok::<_, StoreError>((name, reference))
            })
            .buffer_unordered(CONCURRENT)
            .try_collect()
            .await?;
        manifest.tensors.extend(stored);
        let text = serde_json::to_vec(&manifest).map_err(|error| StoreError::Document {
            what: "manifest".into(),
            reason: error.to_string(),
        })?;
        self.blobs.put(text).await
    }

    /// A manifest by its digest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn manifest(&self, digest: Digest) -> Result<Manifest, StoreError> {
        let bytes = self.runtime.block_on(self.blobs.get(digest))?;
        serde_json::from_slice(&bytes).map_err(|error| StoreError::Document {
            what: format!("manifest {digest}"),
            reason: error.to_string(),
        })
    }

    /// One stored tensor.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tensor(&self, reference: &TensorRef) -> Result<Tensor, StoreError> {
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
    /// [`StoreError`].
    pub fn tensors(&self, manifest: &Manifest) -> Result<BTreeMap<String, Tensor>, StoreError> {
        manifest
            .tensors
            .iter()
            .map(|(name, reference)| Ok((name.clone(), self.tensor(reference)?)))
            .collect()
    }

    /// Stores a card, a blob for each part, and returns its row, to be published.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_card(&self, card: &FisherCard) -> Result<CardRow, StoreError> {
        let parts = card::parts(card)?;
        self.runtime.block_on(async {
            let mut digests = BTreeMap::new();
            for (part, bytes) in parts {
                digests.insert(part, self.blobs.put(bytes).await?);
            }
            let index = card::Index::new(card.header.clone(), digests);
            let text =
                serde_json::to_vec(&index).map_err(|error| StoreError::Card(error.to_string()))?;
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
    /// [`StoreError`].
    pub fn card(
        &self,
        model: Digest,
        estimator: Estimator,
    ) -> Result<Option<CardReader>, StoreError> {
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
    /// [`StoreError`].
    pub fn cards(&self, model: Digest) -> Result<Vec<CardRow>, StoreError> {
        self.runtime.block_on(self.catalog.cards(model))
    }

    /// The card that a row speaks of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn card_of(&self, row: &CardRow) -> Result<CardReader, StoreError> {
        let reader = CardReader::open(&self.blob(row.blob)?)?;
        if reader.header().model != row.model {
            return Err(StoreError::Card("it speaks of another model".into()));
        }
        Ok(reader)
    }

    /// Bytes by their digest.
    pub(crate) fn blob(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
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
    /// [`StoreError`].
    pub fn operations(&self) -> Result<Vec<OperationRow>, StoreError> {
        self.runtime.block_on(self.catalog.operations())
    }

    /// Makes everything that one operation made visible at once, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a version exists already, or what the catalog says.
    pub fn publish(&self, publication: &Publication) -> Result<i64, StoreError> {
        self.runtime.block_on(async {
            // Nothing may be visible that a loss of power could still take away.
            self.blobs.sync().await?;
            self.catalog.publish(publication).await
        })
    }
}

fn runtime() -> Result<Runtime, StoreError> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("registry")
        .enable_all()
        .build()
        .map_err(StoreError::io("start threads for", "the registry"))
}
