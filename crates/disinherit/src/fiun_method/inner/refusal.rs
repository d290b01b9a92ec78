//! Edits below the head that are not made.

use crate::error::EngineError;

/// Why there is no edit below the head.
pub(super) enum Refusal {
    /// It cannot be made; the head is edited alone.
    Reason(String),
    /// Something failed.
    Error(EngineError),
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Self::Reason(reason.to_owned())
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        Self::Error(error)
    }
}
