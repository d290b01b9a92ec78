//! The catalog's contract: which models exist, who inherited from whom, what was done when.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use umig::{Model, ModelId, Relation};

use crate::{Digest, StoreError};

/// A boxed future, so that catalogs can be chosen at run time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A model version in the catalog.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRow {
    /// The vertex of the inheritance graph.
    pub vertex: Model,
    /// The digest of its manifest.
    pub manifest: Digest,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardRow {
    /// The digest of the model that it speaks of.
    pub model: Digest,
    /// Its estimator, in the words of the card's metadata.
    pub estimator: String,
    /// The digest of its file.
    pub blob: Digest,
}

/// What was done, for the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// When, in milliseconds since 1970-01-01 UTC.
    pub time: u64,
    /// The command.
    pub command: String,
    /// What it did.
    pub detail: Value,
}

/// An operation with its place in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationRow {
    /// Its number, ascending.
    pub id: i64,
    /// What was done.
    #[serde(flatten)]
    pub operation: Operation,
}

/// Everything that one operation makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// New model versions, parents before children.
    pub models: Vec<NewModel>,
    /// Versions that they replace.
    pub superseded: Vec<ModelId>,
    /// New cards; a card for the same model and estimator is replaced.
    pub cards: Vec<CardRow>,
    /// The entry in the log.
    pub operation: Operation,
}

/// A catalog. Every implementation must pass the same conformance suite.
pub trait Catalog: Send + Sync {
    /// All model versions in the order of their publication.
    fn models(&self) -> Answer<'_, Vec<ModelRow>>;
    /// The manifest digest of one version, if there is such a version.
    fn manifest<'a>(&'a self, id: &'a ModelId) -> Answer<'a, Option<Digest>>;
    /// All edges as (parent, child, relation) in the order of their publication.
    fn edges(&self) -> Answer<'_, Vec<(ModelId, ModelId, Relation)>>;
    /// The cards of a model.
    fn cards(&self, model: Digest) -> Answer<'_, Vec<CardRow>>;
    /// The log, oldest first.
    fn operations(&self) -> Answer<'_, Vec<OperationRow>>;
    /// Makes everything visible at once, or nothing, and returns the operation's number.
    /// A version that exists already is a [`StoreError::Conflict`].
    fn publish<'a>(&'a self, publication: &'a Publication) -> Answer<'a, i64>;
}
