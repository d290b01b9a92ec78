//! What a catalog holds of models and requests.

use serde::{Deserialize, Serialize};
use umig::{Model, ModelId, Relation};

use crate::digest::Digest;
use crate::ids::OperationId;

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
    /// The operation that replaced it; `None` when none did, or before operations were recorded so.
    pub superseded_by: Option<OperationId>,
}

impl ModelRow {
    /// A version that nothing has happened to yet.
    pub fn new(vertex: Model, manifest: Digest) -> Self {
        Self {
            vertex,
            manifest,
            purged: false,
            superseded_by: None,
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

/// Where a version's weights are: what [`ModelRow`] says of that, without the vertex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestRow {
    /// The version.
    pub id: ModelId,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// Whether its weights were deleted.
    pub purged: bool,
}

impl From<ModelRow> for ManifestRow {
    fn from(row: ModelRow) -> Self {
        Self {
            id: row.vertex.id,
            manifest: row.manifest,
            purged: row.purged,
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

/// An edge of the inheritance graph: parent, child, relation.
pub type Edge = (ModelId, ModelId, Relation);

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

/// A note that a process writes objects, which nothing refers to until it publishes, or that it removes objects
/// that nothing refers to. It is made longer again and again: of a process that was killed it runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// A name that no other lease has.
    pub holder: String,
    /// Whether objects are removed: while it runs, no other lease begins.
    pub removes: bool,
    /// When it began, in milliseconds since 1970-01-01 UTC.
    pub since: u64,
    /// When it runs out.
    pub until: u64,
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
