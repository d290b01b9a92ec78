//! What can go wrong at the desk, and what can be done about it.

use disinherit::EngineError;
use disinherit::registry::{ErasureId, ErasureState, RegistryError};
use disinherit::umig::ModelId;

/// A step of a request that cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeskError {
    /// The engine, or a crate below it.
    #[error(transparent)]
    Engine(EngineError),
    /// The models that a request touches have changed since it was planned: what was approved is another
    /// thing than what would be done.
    #[error(
        "request {request} touches other models than were planned: {}",
        names(models)
    )]
    ScopeChanged {
        /// The request.
        request: ErasureId,
        /// The models that are new, gone or another version.
        models: Vec<ModelId>,
    },
    /// A run that was cancelled while it went on.
    #[error("request {request} was {reason}")]
    Cancelled {
        /// The request.
        request: ErasureId,
        /// By whom, and why.
        reason: String,
    },
    /// A part of a run that does not go on.
    #[error("no run of request {request} goes on (its state: {state})")]
    NotRunning {
        /// The request.
        request: ErasureId,
        /// Its state.
        state: ErasureState,
    },
    /// Verdicts that are not those that were asked for.
    #[error(
        "request {request} has {asked} new versions to be judged, and the {given} verdicts are not on these"
    )]
    Verdicts {
        /// The request.
        request: ErasureId,
        /// How many models were to be judged.
        asked: usize,
        /// How many verdicts there are.
        given: usize,
    },
    /// What a cluster says that parts of a job were given to.
    #[error("{0}")]
    Cluster(String),
    /// A method that this version does not have.
    #[error("request {request} was planned with the method `{method}`: {reason}")]
    Method {
        /// The request.
        request: ErasureId,
        /// The method.
        method: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What can be done about an error. Each front end words it in its own language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// Plan the request anew; it needs another approval then.
    PlanAgain {
        /// The request.
        request: ErasureId,
    },
}

impl DeskError {
    /// What can be done, where something of the desk's own can. What the engine's errors hint at is theirs.
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::ScopeChanged { request, .. } | Self::Method { request, .. } => {
                Some(Hint::PlanAgain { request: *request })
            }
            Self::Engine(_)
            | Self::Cancelled { .. }
            | Self::NotRunning { .. }
            | Self::Verdicts { .. }
            | Self::Cluster(_) => None,
        }
    }
}

impl From<EngineError> for DeskError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<RegistryError> for DeskError {
    fn from(error: RegistryError) -> Self {
        Self::Engine(error.into())
    }
}

/// The most models that are named.
const NAMED: usize = 5;

fn names(models: &[ModelId]) -> String {
    let shown: Vec<String> = models
        .iter()
        .take(NAMED)
        .map(|id| format!("`{id}`"))
        .collect();
    let more = models.len().saturating_sub(NAMED);
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
