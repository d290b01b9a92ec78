//! How a request is executed.

use disinherit_registry::LossBound;

/// How a request is executed. Nothing of it decides what the edits are.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RunOptions {
    /// Models edited at the same time; 0 for one per core.
    pub jobs: usize,
    /// Compute everything, write nothing.
    pub dry_run: bool,
    /// Return the changed tensors of every model in [`Done::changed`](crate::Done::changed).
    pub keep_weights: bool,
    /// Make a plan even where data is missing that its tasks need; it can be shown, and is refused when
    /// it is run.
    pub plan_only: bool,
    /// What every model may lose in accuracy on the retained data. A request that would cost one more is
    /// stopped before anything is published.
    pub loss: LossBound,
}
