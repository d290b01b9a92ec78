//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};

use disinherit::EngineError;
use disinherit::formats::FormatError;
use disinherit::registry::RegistryError;
use disinherit::umig::GraphError;
use disinherit_desk::DeskError;
use disinherit_report::ReportError;

/// A report or a bundle that cannot be made or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The desk, or a crate below it.
    #[error(transparent)]
    Desk(DeskError),
    /// The bill of materials.
    #[error(transparent)]
    Report(ReportError),
    /// A document that cannot be written.
    #[error("the bundle cannot be written: {0}")]
    Document(String),
    /// Something is where the bundle was to go.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// The disk.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl AuditError {
    /// Wraps an error of the disk with what was tried, and where.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

impl From<DeskError> for AuditError {
    fn from(error: DeskError) -> Self {
        Self::Desk(error)
    }
}

impl From<EngineError> for AuditError {
    fn from(error: EngineError) -> Self {
        Self::Desk(error.into())
    }
}

impl From<RegistryError> for AuditError {
    fn from(error: RegistryError) -> Self {
        Self::Desk(error.into())
    }
}

impl From<GraphError> for AuditError {
    fn from(error: GraphError) -> Self {
        EngineError::from(error).into()
    }
}

impl From<FormatError> for AuditError {
    fn from(error: FormatError) -> Self {
        EngineError::from(error).into()
    }
}

impl From<ReportError> for AuditError {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Engine(error) => error.into(),
            other => Self::Report(other),
        }
    }
}

impl From<serde_json::Error> for AuditError {
    fn from(error: serde_json::Error) -> Self {
        Self::Document(error.to_string())
    }
}
