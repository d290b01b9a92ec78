//! What each method says of itself.

use disinherit::EngineError;
use disinherit_nets::StateDict;

use super::kind::MethodKind;
use super::tuning::Tuning;

/// How a method works.
#[derive(Clone, Copy)]
pub(super) enum How {
    /// With Fisher information.
    Fisher,
    /// By training on one model at a time: the new weights of a model.
    Trained(fn(&Tuning<'_>) -> Result<StateDict, EngineError>),
    /// In a way of its own over the whole graph.
    Graph,
}

/// A method: its name, what it does, where it comes from, how it works.
pub(super) struct Description {
    pub(super) kind: MethodKind,
    pub(super) name: &'static str,
    pub(super) purpose: &'static str,
    pub(super) source: &'static str,
    /// Whether it serves whole classes only.
    pub(super) classes_only: bool,
    pub(super) how: How,
}
