//! What happened to erasure requests, without what was said.

use serde::Serialize;

use crate::erasures::state::ErasureState;
use crate::ids::{ErasureId, OperationId};

/// An operation that concerns an erasure request: its own step, or what was done for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErasureEvent {
    /// The operation.
    pub operation: OperationId,
    /// The request.
    pub request: ErasureId,
    /// The step in a word, such as `plan`; `unlearn`, `purge` or `undo` for what was done for it.
    pub step: String,
    /// What the request was then; nothing for steps that a version before took.
    pub state: Option<ErasureState>,
    /// Who did it.
    pub actor: String,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub time: u64,
}
