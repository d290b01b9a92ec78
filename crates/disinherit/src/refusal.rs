//! What is not done below the head.

use crate::error::EngineError;

/// Why a layer below the head is not edited, or not described.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It cannot be done; the head is edited alone.
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
