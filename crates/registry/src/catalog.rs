//! The catalog's contract: which models exist, who inherited from whom, what was done when.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use umig::{Model, ModelId, Relation};

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::operation::{Made, Operation, OperationRow};

/// A boxed future, so that catalogs can be chosen at run time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, RegistryError>> + Send + 'a>>;

/// What has become of a model version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// In use.
    Current,
    /// Replaced by a later version; its weights are kept and still remember.
    Superseded,
    /// Its weights are deleted; the record stays.
    Purged,
}

impl State {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Superseded => "superseded",
            Self::Purged => "purged",
        }
    }
}

/// A model version in the catalog.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRow {
    /// The vertex of the inheritance graph.
    pub vertex: Model,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// Whether its weights have been deleted.
    pub purged: bool,
    /// The operation that replaced it; 0 when none did, or before operations were recorded so.
    pub superseded_by: i64,
}

impl ModelRow {
    /// A version that nothing has happened to yet.
    pub fn new(vertex: Model, manifest: Digest) -> Self {
        Self {
            vertex,
            manifest,
            purged: false,
            superseded_by: 0,
        }
    }

    /// What has become of it.
    pub fn state(&self) -> State {
        match (self.purged, self.vertex.superseded) {
            (true, _) => State::Purged,
            (false, true) => State::Superseded,
            (false, false) => State::Current,
        }
    }
}

/// A model version to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct NewModel {
    /// The row.
    pub row: ModelRow,
    /// Its parents.
    pub parents: Vec<(ModelId, Relation)>,
}

/// A FIM card in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardRow {
    /// The digest of the model that it speaks of.
    pub model: Digest,
    /// Its estimator, in the words of the card's metadata.
    pub estimator: String,
    /// The digest of its file.
    pub blob: Digest,
}

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
    /// The entry in the log.
    pub operation: Operation,
}

impl Publication {
    /// One that changes nothing but the log.
    pub fn of(operation: Operation) -> Self {
        Self {
            models: Vec::new(),
            superseded: Vec::new(),
            cards: Vec::new(),
            restored: Vec::new(),
            removed: Vec::new(),
            purged: Vec::new(),
            dropped_cards: Vec::new(),
            finished: Vec::new(),
            operation,
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

/// An edge of the inheritance graph: parent, child, relation.
pub type Edge = (ModelId, ModelId, Relation);

/// A catalog as of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// All model versions in the order of their publication.
    pub models: Vec<ModelRow>,
    /// All edges in the order of their publication.
    pub edges: Vec<Edge>,
    /// All cards.
    pub cards: Vec<CardRow>,
    /// The log, oldest first.
    pub operations: Vec<OperationRow>,
}

/// A page of the models, by name and version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The name and version after which it starts; at the beginning when not given.
    pub after: Option<ModelId>,
    /// How many models at most.
    pub limit: u32,
    /// Only names that start so.
    pub prefix: String,
    /// Only versions in this state.
    pub state: Option<State>,
}

/// A finished task of a request that has not been published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The task.
    pub task: String,
    /// What it made, as JSON.
    pub value: String,
    /// Blobs that it made, which nothing else speaks of yet.
    pub blobs: Vec<Digest>,
}

/// A catalog. Every implementation must pass the same conformance suite.
pub trait Catalog: Send + Sync {
    /// All model versions in the order of their publication.
    fn models(&self) -> Answer<'_, Vec<ModelRow>>;
    /// Some model versions, by name and version.
    fn page<'a>(&'a self, page: &'a Page) -> Answer<'a, Vec<ModelRow>>;
    /// One version, if there is such a version.
    fn model<'a>(&'a self, id: &'a ModelId) -> Answer<'a, Option<ModelRow>>;
    /// All model versions and all edges, as of one moment.
    fn network(&self) -> Answer<'_, (Vec<ModelRow>, Vec<Edge>)>;
    /// Everything, as of one moment.
    fn snapshot(&self) -> Answer<'_, Snapshot>;
    /// The cards of a model, or of all models.
    fn cards(&self, model: Option<Digest>) -> Answer<'_, Vec<CardRow>>;
    /// The log, oldest first.
    fn operations(&self) -> Answer<'_, Vec<OperationRow>>;
    /// Makes everything visible at once, or nothing, and returns the operation's number.
    /// A version that exists already, or is not in the state that the publication takes it for, is a
    /// [`RegistryError::Conflict`].
    fn publish<'a>(&'a self, publication: &'a Publication, actor: &'a str) -> Answer<'a, i64>;
    /// Keeps finished tasks of a request.
    fn keep_drafts<'a>(&'a self, request: &'a str, drafts: &'a [Draft]) -> Answer<'a, ()>;
    /// The finished tasks of a request, or of all requests.
    fn drafts<'a>(&'a self, request: Option<&'a str>) -> Answer<'a, Vec<Draft>>;
    /// Drops drafts that were kept before this time (in milliseconds since 1970-01-01 UTC), and
    /// returns how many.
    fn drop_drafts(&self, before: u64) -> Answer<'_, u64>;
    /// A setting of the registry.
    fn setting<'a>(&'a self, name: &'a str) -> Answer<'a, Option<String>>;
    /// Closes what is open; nothing works afterwards.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// Changes a setting of the registry.
    fn set<'a>(&'a self, name: &'a str, value: &'a str) -> Answer<'a, ()>;
}
