//! What can go wrong.

use disinherit::EngineError;
use disinherit::registry::RegistryError;
use disinherit::umig::GraphError;

/// A page, a picture or a table that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Settings that cannot be written down.
    #[error("the report cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// A table that cannot be written.
    #[error("the table cannot be written: {0}")]
    Table(String),
    /// A table that cannot be read.
    #[error("this is no table of edges: {0}")]
    NoEdges(String),
    /// Nothing to report on.
    #[error("there is no study to report on")]
    Empty,
    /// A version or a request that the registry does not have.
    #[error("the registry has no {0}")]
    Unknown(String),
    /// The registry, or its graph.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<csv::Error> for ReportError {
    fn from(error: csv::Error) -> Self {
        Self::Table(error.to_string())
    }
}

impl From<RegistryError> for ReportError {
    fn from(error: RegistryError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<GraphError> for ReportError {
    fn from(error: GraphError) -> Self {
        Self::Engine(error.into())
    }
}
